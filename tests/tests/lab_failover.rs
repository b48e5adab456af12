//! Several nodes with the real program: who answers, and who does when that one is gone. Times are printed,
//! never judged.

#[path = "lab_failover/faults.rs"]
mod faults;
#[path = "lab_failover/health.rs"]
mod health;
#[path = "lab_failover/hostile.rs"]
mod hostile;
#[path = "lab_failover/many.rs"]
mod many;
#[path = "lab_failover/moves.rs"]
mod moves;
#[path = "lab_failover/partition.rs"]
mod partition;
#[path = "lab_failover/planned.rs"]
mod planned;
#[path = "lab_failover/start.rs"]
mod start;
#[path = "lab_failover/status.rs"]
mod status;

tests::enter_lab_at_start!();
