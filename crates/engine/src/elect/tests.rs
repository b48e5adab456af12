//! Who answers for an address: orders, shares, refusals, memory.

mod build;
mod memory;
mod placement;
mod refusals;
mod sharing;
