//! Bidirectional Forwarding Detection (RFC 5880, 5881, 5883): the packet, the session and the endpoint that finds the
//! session a packet belongs to.
//!
//! | module | what |
//! |---|---|
//! | [`packet`] | the 24 octets on the wire, read in the order of RFC 5880 §6.8.6 |
//! | [`config`] | profiles with FRR's defaults, keys of sessions, what the kernel says of a datagram |
//! | [`endpoint`] | the machine: all sessions of one node, their deadlines, sockets, events |
//! | [`counters`] | every dropped packet under a named reason |
//! | [`status`] | what a session looks like from outside |
//!
//! The crate does no I/O, knows no time and starts nothing: datagrams with their kernel receive times and `now` are
//! passed in; datagrams, sockets to open and events are polled out. It does not decide who is a peer, and what a lost
//! peer means (BGP's business).
//!
//! Decisions: asynchronous mode only. Echo is neither sent nor promised, demand mode is obeyed and never asked for,
//! authenticated packets are dropped, the C bit is 0.

pub mod config;
pub mod counters;
pub mod endpoint;
pub mod packet;
mod random;
mod session;
pub mod status;
#[cfg(test)]
mod testing;

pub use config::{Meta, Mode, Note, Profile, ProfileError, ProfileSpec, SessionKey};
pub use counters::{Counters, DropReason};
pub use endpoint::{Action, Endpoint, Receiver, SessionId, Socket, Transmit};
pub use packet::{Diagnostic, Discriminator, Packet, State};
pub use status::{Cause, Event, StateChange, Status};
