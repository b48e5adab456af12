//! The speaker, alone and with others on a virtual LAN.

mod alone;
pub(crate) mod lan;
mod together;
