//! Facts about the whole machine, shown on a small virtual network of real machines.

mod claims;
mod conflicts;
mod deaths;
mod detection;
mod hostile;
mod hostile_claims;
mod joining;
mod keys;
mod net;
mod pauses;
mod records;

pub(crate) use net::origin;
