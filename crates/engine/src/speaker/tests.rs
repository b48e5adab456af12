//! The speaker, alone and with others on a virtual LAN.

mod alone;
mod bgp;
mod claims;
pub(crate) mod lan;
mod statuses;
mod together;
