//! The shell of Harbinger: tasks, channels, signals, the admin endpoint, metrics and the command line.
//!
//! Owns everything that waits, reads the clock or talks to a person. It decides nothing: decisions are
//! the engine's, objects are the cluster crate's, sockets are the linux crate's. It is a library beside a
//! thin `main` so that tests can use the same parts.

pub mod admin;
pub mod cli;
pub mod controller;
pub mod daemon;
pub mod explain;
pub mod metrics;
pub mod output;
pub mod plan;
pub mod shutdown;
pub mod speaker;
pub mod telemetry;
mod writes;
