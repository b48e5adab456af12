//! Tables and properties of the allocation.

pub(crate) mod build;
mod families;
mod holders;
mod keepers;
mod properties;
mod sharing;
mod speed;
mod texts;
mod wishes;

use crate::alloc::{Ledger, Options};
use crate::world::{IpAddressPool, Service};
use build::*;

/// Objects in, one line for each Service out.
#[track_caller]
fn check(what: &str, pools: Vec<IpAddressPool>, services: Vec<Service>, expected: &[&str]) {
    let world = world(pools, services);
    let allocation = decide(&world, &Ledger::default(), &Options::default());
    assert_eq!(lines(&allocation), expected, "{what}");
}

#[track_caller]
fn check_with(
    what: &str,
    options: &Options,
    pools: Vec<IpAddressPool>,
    services: Vec<Service>,
    expected: &[&str],
) {
    let world = world(pools, services);
    let allocation = decide(&world, &Ledger::default(), options);
    assert_eq!(lines(&allocation), expected, "{what}");
}
