//! Who answers for an address: orders, shares, refusals, memory.

pub(crate) mod build;
mod claims;
mod health;
mod memory;
mod placement;
mod refusals;
mod sharing;
mod speed;
