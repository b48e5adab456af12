//! One row per rule: objects in, decisions out.

use super::build::*;
use crate::alloc::{Ledger, Options};
use crate::world::{FamilyPolicy, IpAddressPool, Service};

#[track_caller]
pub(super) fn check(pools: Vec<IpAddressPool>, services: Vec<Service>, expected: &[&str]) {
    let world = world(pools, services);
    let allocation = decide(&world, &Ledger::default(), &Options::default());
    assert_eq!(lines(&allocation), expected);
}

const PREFER: FamilyPolicy = FamilyPolicy::PreferDualStack;
const REQUIRE: FamilyPolicy = FamilyPolicy::RequireDualStack;

#[test]
fn gives_the_lowest_free_address() {
    check(
        vec![pool("p", "192.0.2.0/24")],
        vec![svc("a"), svc("b")],
        &["a: assigned p 192.0.2.0", "b: assigned p 192.0.2.1"],
    );
}

#[test]
fn keeps_what_a_status_shows_before_any_wish() {
    check(
        vec![pool("p", "192.0.2.1-192.0.2.2")],
        vec![
            svc("a").at(1).wants("192.0.2.1"),
            svc("b").at(2).holds("192.0.2.1").from_pool("p"),
        ],
        &["a: pending (AllocationFailed)", "b: kept p 192.0.2.1"],
    );
}

#[test]
fn adds_the_second_family_from_the_same_pool() {
    check(
        vec![pool("p", "192.0.2.0/24,2001:db8::/64")],
        vec![
            svc("a").dual(PREFER).holds("192.0.2.7").from_pool("p"),
            svc("b").dual(REQUIRE),
        ],
        &[
            "a: added p 192.0.2.7 2001:db8::",
            "b: assigned p 192.0.2.0 2001:db8::1",
        ],
    );
}
