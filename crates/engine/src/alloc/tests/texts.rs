//! The texts of events, as scripts and people read them.

use super::build::*;
use crate::alloc::{Note, Options};
use crate::world::{FamilyPolicy, IpAddressPool, Service};
use crate::write::EVENT_NOTE_BYTES_MAX;

fn events(pools: Vec<IpAddressPool>, services: Vec<Service>) -> Vec<Note> {
    let world = world(pools, services);
    let allocation = decide(&world, &Default::default(), &Options::default());
    let name = crate::name::NamespacedName::new("default", "s");
    allocation.decisions[&name].events.clone()
}

#[track_caller]
fn check(pools: Vec<IpAddressPool>, services: Vec<Service>, expected: &[&str]) {
    let said: Vec<String> = events(pools, services)
        .iter()
        .map(|n| {
            format!(
                "{} {}: {}",
                if n.warning { "Warning" } else { "Normal" },
                n.reason,
                n.message
            )
        })
        .collect();
    assert_eq!(said, expected);
}

const PREFER: FamilyPolicy = FamilyPolicy::PreferDualStack;

#[test]
fn says_what_was_assigned() {
    let p = || vec![pool("p", "192.0.2.1/32,2001:db8::1/128")];
    check(
        p(),
        vec![svc("s")],
        &["Normal IPAllocated: Assigned IP [\"192.0.2.1\"]"],
    );
    check(
        p(),
        vec![svc("s").dual(PREFER)],
        &["Normal IPAllocated: Assigned IP [\"192.0.2.1\" \"2001:db8::1\"]"],
    );
    check(p(), vec![svc("s").holds("192.0.2.1").of_pool("p")], &[]);
    check(
        p(),
        vec![svc("s").note("metallb.universe.tf/allow-shared-ip", "k")],
        &[
            "Warning deprecatedAnnotation: Annotations with the prefix metallb.universe.tf/ are deprecated, use metallb.io/: metallb.universe.tf/allow-shared-ip",
            "Normal IPAllocated: Assigned IP [\"192.0.2.1\"]",
        ],
    );
    check(
        p(),
        vec![svc("s").holds("192.0.2.9").of_pool("p")],
        &[
            "Normal ClearAssignment: current IP [\"192.0.2.9\"] not allowed by config, will attempt for new IP assignment: \"192.0.2.9\" is not allowed in config",
            "Normal IPAllocated: Assigned IP [\"192.0.2.1\"]",
        ],
    );
}

#[test]
fn names_each_pool_and_why_it_refused() {
    let pools = vec![
        pool("full", "192.0.2.1/32"),
        pool("manual", "192.0.2.2/32").manual(),
        pool("other", "192.0.2.3/32").pinned(1, "other", ""),
        pool("six", "2001:db8::/64"),
    ];
    check(
        pools,
        vec![svc("a").at(1), svc("s")],
        &[
            "Warning AllocationFailed: Failed to allocate IP for \"default/s\": no available IPs: \
           pool \"full\": no free IPv4 address; pool \"manual\": autoAssign is false; \
           pool \"other\": serviceAllocation does not admit the Service; pool \"six\": has no IPv4 addresses",
        ],
    );
    check(
        vec![],
        vec![svc("s")],
        &[
            "Warning AllocationFailed: Failed to allocate IP for \"default/s\": no available IPs: there is no usable pool",
        ],
    );
}

#[test]
fn says_why_a_request_fails() {
    let p = || {
        vec![
            pool("p", "192.0.2.0/28"),
            pool("q", "198.51.100.0/32").pinned(1, "other", ""),
            pool("r", "oops"),
        ]
    };
    let at = |pool: &str| svc("s").note("metallb.io/address-pool", pool);
    let holder = |key: &str, number| svc("h").shared(key, number).holds("192.0.2.1").of_pool("p");
    for (service, text) in [
        (
            svc("s").wants("203.0.113.1"),
            "[\"203.0.113.1\"] is not allowed in config",
        ),
        (
            svc("s").wants("2001:db8::1"),
            "requested loadBalancer IP(s) [\"2001:db8::1\"] does not match the ipFamily of the service",
        ),
        (
            svc("s")
                .wants("192.0.2.2")
                .note("metallb.io/address-pool", "q"),
            "requested loadBalancer IP(s) [\"192.0.2.2\"] is not compatible with requested address pool q",
        ),
        (
            svc("s").wants("198.51.100.0"),
            "pool \"q\" not compatible for ip assignment",
        ),
        (
            svc("s").wants("192.0.2.1"),
            "can't change sharing key for \"default/s\", address 192.0.2.1 also in use by default/h",
        ),
        (
            svc("s").shared("k", 80).wants("192.0.2.1"),
            "port TCP/80 is already in use on \"192.0.2.1\"",
        ),
        (
            svc("s").wants("x"),
            "invalid metallb.io/loadBalancerIPs \"x\" in \"x\"",
        ),
        (at("x"), "unknown pool \"x\""),
        (at("q"), "pool \"q\" not compatible for ip assignment"),
        (
            at("r"),
            "pool \"r\" is refused: see its problem in ConfigurationState",
        ),
    ] {
        let text =
            format!("Warning AllocationFailed: Failed to allocate IP for \"default/s\": {text}");
        check(p(), vec![holder("k", 80), service], &[&text]);
    }
    check(
        vec![pool("p", "192.0.2.1/32")],
        vec![
            svc("a").at(1),
            svc("s").note("metallb.io/address-pool", "p"),
        ],
        &[
            "Warning AllocationFailed: Failed to allocate IP for \"default/s\": no available IPs in pool \"p\": no free IPv4 address",
        ],
    );
}

#[test]
fn cuts_long_lists_with_the_count_last() {
    let pools = (0..200)
        .map(|n| pool(&format!("pool-number-{n:03}"), &format!("10.0.{n}.0/24")).manual())
        .collect();
    let events = events(pools, vec![svc("s")]);
    let text = &events[0].message;
    assert!(text.len() <= EVENT_NOTE_BYTES_MAX, "{}", text.len());
    assert!(text.len() > EVENT_NOTE_BYTES_MAX - 100, "{}", text.len());
    let named = text.matches("pool-number-").count();
    assert!(
        text.ends_with(&format!("; and {} more", 200 - named)),
        "{text}"
    );

    let long = "x".repeat(250);
    let holders: Vec<Service> = (0..30)
        .map(|n| {
            svc(&format!("{long}{n}"))
                .shared("k", 1000 + n)
                .holds("192.0.2.1")
                .of_pool("p")
        })
        .chain([svc("s").wants("192.0.2.1")])
        .collect();
    let events = self::events(vec![pool("p", "192.0.2.1/32")], holders);
    assert!(events[0].message.len() <= EVENT_NOTE_BYTES_MAX);
    assert!(
        events[0].message.ends_with(" more"),
        "{}",
        events[0].message
    );
}
