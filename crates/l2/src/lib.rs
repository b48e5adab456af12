//! ARP and Neighbor Discovery for addresses that no kernel interface has: frames, and a responder for a set of
//! addresses on one interface.
//!
//! | module | what |
//! |---|---|
//! | [`packet`] | frames on the wire, read with validation and built with padding |
//! | [`filter`] | kernel filters for an address set, as classic BPF instructions |
//! | [`fastpath`] | plain ARP requests answered inside the kernel, by a program as a value |
//! | [`responder`] | the machine: probes, answers, announces unasked, joins groups, defends, tells of claims by others |
//! | [`config`], [`counters`] | what goes in beside frames, and what is counted |
//!
//! The crate does no I/O, knows no time and starts nothing: frames, facts and `now` are passed in, frames, actions and
//! events are polled out. It does not decide which addresses belong on which interface, nor who may answer for one.

mod claims;
pub mod config;
pub mod counters;
pub mod fastpath;
pub mod filter;
mod groups;
mod guard;
mod limit;
mod mac;
pub mod packet;
pub mod responder;
mod schedule;
#[cfg(test)]
mod testing;

pub use claims::{CLAIMS_MAX, REPEAT as CLAIM_REPEAT, SPEAKER_REPEAT as SPEAKER_CLAIM_REPEAT};
pub use config::{Config, FrameMeta, Interface};
pub use counters::{AddressCounters, Counters, DropReason};
pub use filter::{Filter, Insn};
pub use groups::{RETRY_MAX as JOIN_RETRY_MAX, RETRY_MIN as JOIN_RETRY_MIN};
pub use guard::{DEFENCE_SPACING, PROBE_RETRY, PROBE_SPACING, PROBES};
pub use mac::MacAddr;
pub use responder::{Action, Event, FRAMES_PER_TURN, Responder, Transmit, TransmitKind};
pub use schedule::{BURST_IPV4, BURST_IPV6, IPV6_SPACING, SEND_RETRY};
