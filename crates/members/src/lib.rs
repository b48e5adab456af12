//! Who is alive: SWIM membership (by `foca`) in sealed datagrams, as a sans-io machine.
//!
//! What it is: [`Membership`] is told datagrams, addresses to join and the time; it asks for datagrams to be sent and for one
//! deadline, and tells events. It owns the view of the live members with the small record each of them carries, the seal and its
//! replay windows, and the search for peers.
//!
//! What it deliberately does not do: open sockets, read a clock, draw random numbers that must never repeat (the shell passes the
//! boot id), log, or decide anything about addresses. Which node answers for what is `engine`'s.
//!
//! | file | what |
//! |---|---|
//! | `membership` | the machine; below it `inbound`, `join`, `records`, `claims`, `conflict` |
//! | `claims` | what one node says about its addresses: buckets, digests, parts on the wire |
//! | `config`, `event` | what goes in at the start, what is told |
//! | `identity` | a node's name, address, boot and rank; which of two wins |
//! | `seal`, `replay` | authenticated encryption of each datagram; windows against replay |
//! | `message`, `codec` | the wire: our messages, and foca's |
//! | `timers`, `runtime`, `random` | what foca needs from its surroundings |
//!
//! A datagram is `version (1) | key id (8) | boot id (16) | counter (8) | sealed payload | tag (16)`; the payload is one
//! message (see `message`). Integers are big endian throughout.

mod claims;
mod codec;
mod config;
mod event;
mod identity;
mod membership;
mod message;
mod random;
mod replay;
mod runtime;
mod seal;
mod timers;

pub use claims::{Claim, MAX_CLAIMS, MAX_TERM};
pub use config::{Config, ConfigError, Sealing, Tuning};
pub use event::{Counters, DropReason, Event, Standing};
pub use identity::BootId;
pub use membership::{Member, Membership, RecordError, Transmit};
pub use message::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, MAX_RECORD_BYTES};
pub use seal::{KeyError, Keys, MAX_DATAGRAM_BYTES, MAX_KEYS, MIN_SECRET_BYTES};
