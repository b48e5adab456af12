//! The in-kernel forwarding table: compile what is desired, read what is there, apply the difference as one batch.
//!
//! ```text
//! ForwardTable --compile--> Ruleset --.
//!                                      diff --> [Change] --one transaction--> kernel
//!              kernel --read back--> Ruleset --'
//! ```
//!
//! Owns table `harbinger` of each family, whole: what is not ours is never touched, what is in ours and not desired is
//! removed. [`Dataplane`] is the machine around a [`Backend`]: [`Kernel`], or [`Chaos`] in tests. Everything else is a
//! function of values: slots ([`maglev`]), names, rules, [`compile`], [`diff`] and [`update`].
//!
//! Deliberately absent: who is healthy, who may announce, probes, threads, clocks, logs.

pub mod backend;
pub mod change;
pub mod chaos;
pub mod compile;
pub mod diff;
mod error;
mod flows;
mod kernel;
pub mod maglev;
pub mod names;
mod plane;
pub mod rules;
pub mod ruleset;
pub mod update;

#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use chaos::Chaos;
pub use error::Error;
pub use kernel::Kernel;
pub use maglev::{shares, slots};
pub use plane::{Applied, Config, Connections, Counters, Dataplane};
pub use ruleset::{Family, Ruleset};
