//! Sockets and netlink as safe types for current-thread tokio runtimes.
//!
//! Owns: packet sockets ([`packet`]), multicast group memberships ([`group`]), the picture of the host's
//! interfaces ([`route`]) and their carriers ([`carrier`]), the membership protocol's UDP socket ([`udp`]), BFD's
//! sockets ([`bfd`]), TCP for BGP ([`tcp`]), router advertisements of unnumbered links ([`neighbor`]), transactions on
//! nf_tables ([`nftables`]) and acts on tracked connections ([`conntrack`]), real-time scheduling ([`sched`]), programs
//! on an interface's ingress ([`bpf`]) and facts for the host check ([`probe`]). It is the only crate that may hold
//! `unsafe`.
//!
//! Deliberately absent: decisions. Nothing here knows what an announced address is, retries on its own
//! account, logs, or changes a setting of the host.
//!
//! Every object acts in the network namespace of the thread that opens it.

pub mod bfd;
pub mod bpf;
pub mod carrier;
pub mod conntrack;
mod error;
mod fd;
pub mod group;
pub mod neighbor;
mod netfilter;
mod netlink;
pub mod nftables;
pub mod packet;
pub mod probe;
pub mod readable;
pub mod route;
pub mod sched;
mod sys;
pub mod tcp;
pub mod udp;

pub use error::Error;
