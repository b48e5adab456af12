//! The real speaker against the real FRR, BIRD and GoBGP: what a router on the LAN is told, and what it has to take
//! back.

#[path = "lab_bgp/command.rs"]
mod command;
#[path = "lab_bgp/drain.rs"]
mod drain;
#[path = "lab_bgp/examples.rs"]
mod examples;
#[path = "lab_bgp/faults.rs"]
mod faults;
#[path = "lab_bgp/kit.rs"]
mod kit;
#[path = "lab_bgp/routes.rs"]
mod routes;
#[path = "lab_bgp/statuses.rs"]
mod statuses;
