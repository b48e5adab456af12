//! The decisions of Harbinger: domain types, every decision as a function of a
//! snapshot, and the machines that hold the state of the two roles.
//!
//! Nothing here does I/O, knows the time, locks, logs or knows Kubernetes'
//! types: `cluster` turns objects into [`world`] types, the shell carries plans
//! to sockets and facts back up.

pub mod alloc;
pub mod claims;
mod compact;
pub mod config;
pub mod controller;
pub mod elect;
pub mod facts;
pub mod forward;
pub mod health;
pub mod interfaces;
pub mod lease;
pub mod name;
pub mod plan;
pub mod problem;
pub mod record;
pub mod routes;
pub mod selector;
pub mod speaker;
pub mod wire;
pub mod world;
pub mod write;
