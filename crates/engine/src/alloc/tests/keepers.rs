//! Who may announce an address that several statuses show.

use super::build::*;
use crate::alloc::{Options, keepers_of};
use crate::config;
use crate::world::{FamilyPolicy, Service};

#[track_caller]
fn check(what: &str, services: Vec<Service>, expected: &[&str]) {
    let pools = vec![
        pool("p", "192.0.2.0/24,2001:db8::/64"),
        pool("q", "198.51.100.0/24"),
    ];
    let world = world(pools, services);
    let (pools, _) = config::pools(&world, NAMESPACE);
    let keepers = keepers_of(&world, &pools, &Options::default(), ip("192.0.2.9"));
    let names: Vec<&str> = keepers.iter().map(|name| name.name.as_str()).collect();
    assert_eq!(names, expected, "{what}");
}

#[test]
fn the_order_of_holders_decides() {
    let held = |name: &str| svc(name).holds("192.0.2.9").of_pool("p");
    let dual = |s: Service| {
        s.dual(FamilyPolicy::PreferDualStack)
            .holds("192.0.2.9,2001:db8::9")
    };
    check("nobody", vec![svc("a")], &[]);
    check("alone", vec![held("a")], &["a"]);
    check(
        "alone, though it may not",
        vec![held("a").wants("192.0.2.1")],
        &["a"],
    );
    check("the older", vec![held("a").at(2), held("b").at(1)], &["b"]);
    check("by name", vec![held("b"), held("a")], &["a"]);
    check(
        "two before one",
        vec![held("a").at(1), dual(held("b")).at(2)],
        &["b"],
    );
    check(
        "who may, before who may not",
        vec![
            held("a").at(1).note("metallb.io/address-pool", "q"),
            held("b").at(2),
        ],
        &["b"],
    );
    check(
        "all that share",
        vec![
            held("b").shared("k", 80),
            held("a").shared("k", 81),
            held("c").shared("k", 80),
        ],
        &["a", "b"],
    );
    let mut foreign = held("a");
    foreign.class = Some("x".to_owned());
    let mut plain = held("b");
    plain.load_balancer = false;
    check("only ours", vec![foreign, plain, held("c")], &["c"]);
}
