//! Several nodes with the real program: who answers, and who does when that one is gone. Times are printed,
//! never judged.

#[path = "lab_failover/moves.rs"]
mod moves;
#[path = "lab_failover/start.rs"]
mod start;
#[path = "lab_failover/status.rs"]
mod status;

tests::enter_lab_at_start!();
