//! Services with addresses: what is kept over restarts and edits of pools.

use super::build::*;
use super::check;
use crate::alloc::{Ledger, LedgerEntry, Options};
use crate::world::{FamilyPolicy, Ingress, Service};

const PREFER: FamilyPolicy = FamilyPolicy::PreferDualStack;
const REQUIRE: FamilyPolicy = FamilyPolicy::RequireDualStack;

fn held(name: &str, addresses: &str) -> Service {
    svc(name).holds(addresses).of_pool("p")
}

#[test]
fn keeps_what_a_status_shows() {
    let p = || vec![pool("p", "192.0.2.1-192.0.2.2")];
    check(
        "before any wish, also an older one's",
        p(),
        vec![
            svc("a").at(1).wants("192.0.2.1"),
            held("b", "192.0.2.1").at(2),
        ],
        &["a: pending (AllocationFailed)", "b: kept p 192.0.2.1"],
    );
    check(
        "in a pool that is not for all",
        vec![pool("p", "192.0.2.0/24").manual()],
        vec![held("a", "192.0.2.9")],
        &["a: kept p 192.0.2.9"],
    );
    check(
        "in its order",
        vec![pool("p", "192.0.2.0/24,2001:db8::/64")],
        vec![held("a", "2001:db8::5,192.0.2.5").dual(PREFER)],
        &["a: kept p 2001:db8::5 192.0.2.5"],
    );
    check(
        "whatever order was asked for",
        vec![pool("p", "192.0.2.0/24,2001:db8::/64")],
        vec![
            held("a", "2001:db8::5,192.0.2.5")
                .dual(PREFER)
                .wants("192.0.2.5,2001:db8::5"),
        ],
        &["a: kept p 2001:db8::5 192.0.2.5"],
    );
    check(
        "though the request cannot be read",
        p(),
        vec![held("a", "192.0.2.2").wants("nonsense")],
        &["a: kept p 192.0.2.2 (LoadBalancerFailed)"],
    );
    check(
        "a better pool does not attract",
        vec![pool("a", "198.51.100.0/24"), pool("p", "192.0.2.0/24")],
        vec![held("s", "192.0.2.9")],
        &["s: kept p 192.0.2.9"],
    );
}

#[test]
fn ignores_hostnames() {
    let hostname = Ingress {
        ip: None,
        hostname: Some("x.example".into()),
        ip_mode: None,
    };
    let mut beside = held("a", "192.0.2.1");
    beside.ingress.insert(0, hostname.clone());
    let mut only = svc("b");
    only.ingress = vec![hostname];
    check(
        "beside an address and alone",
        vec![pool("p", "192.0.2.0/24")],
        vec![beside.clone(), only],
        &["a: kept p 192.0.2.1", "b: assigned p 192.0.2.0"],
    );
    let world = world(vec![pool("p", "192.0.2.0/24")], vec![beside]);
    let allocation = decide(&world, &Ledger::default(), &Options::default());
    assert!(allocation.decisions.values().all(|d| !d.write));
}

#[test]
fn writes_only_what_differs() {
    let p = vec![pool("p", "192.0.2.0/24")];
    let right = held("right", "192.0.2.1");
    let mut no_mode = held("no-mode", "192.0.2.2");
    no_mode.ingress[0].ip_mode = None;
    let mut proxy = held("proxy", "192.0.2.3");
    proxy.ingress[0].ip_mode = Some("Proxy".into());
    let unnamed = svc("unnamed").holds("192.0.2.4");
    let old_prefix = svc("old-prefix")
        .holds("192.0.2.5")
        .note("metallb.universe.tf/ip-allocated-from-pool", "p");
    let twice = held("twice", "192.0.2.6,192.0.2.6");
    let world = world(p, vec![right, no_mode, proxy, unnamed, old_prefix, twice]);
    let allocation = decide(&world, &Ledger::default(), &Options::default());
    let writes: Vec<(&str, bool)> = allocation
        .decisions
        .iter()
        .map(|(n, d)| (n.name.as_str(), d.write))
        .collect();
    assert_eq!(
        writes,
        [
            ("no-mode", false),
            ("old-prefix", true),
            ("proxy", true),
            ("right", false),
            ("twice", true),
            ("unnamed", true)
        ]
    );
    let front = Options {
        ip_mode: "Proxy",
        ..Options::default()
    };
    let allocation = decide(&world, &Ledger::default(), &front);
    let quiet: Vec<&str> = allocation
        .decisions
        .iter()
        .filter(|(_, d)| !d.write)
        .map(|(n, _)| n.name.as_str())
        .collect();
    assert_eq!(quiet, ["proxy"]);
}

#[test]
fn follows_edits_of_pools() {
    check(
        "grown",
        vec![pool("p", "192.0.2.0/23")],
        vec![held("s", "192.0.2.9")],
        &["s: kept p 192.0.2.9"],
    );
    check(
        "shrunk beside it",
        vec![pool("p", "192.0.2.8/29")],
        vec![held("s", "192.0.2.9")],
        &["s: kept p 192.0.2.9"],
    );
    check(
        "shrunk away from it",
        vec![pool("p", "192.0.2.0/29")],
        vec![held("s", "192.0.2.9")],
        &["s: reassigned p 192.0.2.0 (ClearAssignment)"],
    );
    check(
        "renamed",
        vec![pool("q", "192.0.2.0/24")],
        vec![held("s", "192.0.2.9")],
        &["s: kept q 192.0.2.9"],
    );
    check(
        "split",
        vec![pool("q", "192.0.2.0/29"), pool("r", "192.0.2.8/29")],
        vec![held("s", "192.0.2.9"), held("t", "192.0.2.1")],
        &["s: kept r 192.0.2.9", "t: kept q 192.0.2.1"],
    );
    check(
        "deleted, with another",
        vec![pool("q", "198.51.100.0/24")],
        vec![held("s", "192.0.2.9")],
        &["s: reassigned q 198.51.100.0 (ClearAssignment)"],
    );
    check(
        "deleted, with none",
        vec![],
        vec![held("s", "192.0.2.9")],
        &["s: cleared (AllocationFailed)"],
    );
    check(
        "avoidBuggyIPs set",
        vec![pool("p", "192.0.2.0/24").tidy()],
        vec![held("s", "192.0.2.255")],
        &["s: reassigned p 192.0.2.1 (ClearAssignment)"],
    );
    check(
        "pinned to others",
        vec![pool("p", "192.0.2.0/24").pinned(1, "other", "")],
        vec![held("s", "192.0.2.9")],
        &["s: cleared (AllocationFailed)"],
    );
    check(
        "pinned to it",
        vec![pool("p", "192.0.2.0/24").pinned(1, "default", "")],
        vec![held("s", "192.0.2.9")],
        &["s: kept p 192.0.2.9"],
    );
    check(
        "autoAssign taken away",
        vec![pool("p", "192.0.2.0/24").manual()],
        vec![held("s", "192.0.2.9")],
        &["s: kept p 192.0.2.9"],
    );
}

#[test]
fn a_refused_pool_gives_nothing_and_takes_nothing() {
    let typo = || vec![pool("p", "192.0.2.0/244")];
    check(
        "a typo",
        typo(),
        vec![held("s", "192.0.2.9"), svc("t")],
        &["s: kept p 192.0.2.9", "t: pending (AllocationFailed)"],
    );
    check(
        "not what the pool never had",
        typo(),
        vec![svc("s").holds("192.0.2.9")],
        &["s: cleared (AllocationFailed)"],
    );
    check(
        "a pair",
        typo(),
        vec![held("s", "192.0.2.9,2001:db8::9").dual(REQUIRE)],
        &["s: kept p 192.0.2.9 2001:db8::9"],
    );
    check(
        "half a pair stays too",
        typo(),
        vec![held("s", "192.0.2.9").dual(REQUIRE)],
        &["s: kept p 192.0.2.9 (AdditionalAssignFailed)"],
    );
    check(
        "another pool may be asked for",
        vec![pool("p", "x"), pool("q", "198.51.100.0/24")],
        vec![held("s", "192.0.2.9").note("metallb.io/address-pool", "q")],
        &["s: reassigned q 198.51.100.0 (ClearAssignment)"],
    );
    check(
        "the one that overlaps it may own the address",
        vec![pool("a", "192.0.2.0/28"), pool("p", "192.0.2.0/24")],
        vec![held("s", "192.0.2.9"), held("t", "192.0.2.99")],
        &["s: kept a 192.0.2.9", "t: kept p 192.0.2.99"],
    );
}

#[test]
fn follows_wishes_of_holders() {
    let p = || vec![pool("p", "192.0.2.0/24"), pool("q", "198.51.100.0/24")];
    check(
        "another address is requested",
        p(),
        vec![held("s", "192.0.2.9").wants("192.0.2.10")],
        &["s: reassigned p 192.0.2.10 (ClearAssignment)"],
    );
    check(
        "the same",
        p(),
        vec![held("s", "192.0.2.9").wants("192.0.2.9")],
        &["s: kept p 192.0.2.9"],
    );
    check(
        "one that cannot be had",
        p(),
        vec![held("s", "192.0.2.9").wants("203.0.113.1")],
        &["s: cleared (AllocationFailed)"],
    );
    check(
        "another pool",
        p(),
        vec![held("s", "192.0.2.9").note("metallb.io/address-pool", "q")],
        &["s: reassigned q 198.51.100.0 (ClearAssignment)"],
    );
    check(
        "an unknown pool",
        p(),
        vec![held("s", "192.0.2.9").note("metallb.io/address-pool", "x")],
        &["s: cleared (AllocationFailed)"],
    );
    check(
        "the other family",
        vec![pool("p", "192.0.2.0/24,2001:db8::/64")],
        vec![held("s", "192.0.2.9").v6()],
        &["s: reassigned p 2001:db8:: (ClearAssignment)"],
    );
    check(
        "two exchange theirs",
        p(),
        vec![
            held("s", "192.0.2.1").wants("192.0.2.2"),
            held("t", "192.0.2.2").wants("192.0.2.1"),
        ],
        &[
            "s: reassigned p 192.0.2.2 (ClearAssignment)",
            "t: reassigned p 192.0.2.1 (ClearAssignment)",
        ],
    );
}

#[test]
fn one_of_two_holders_keeps_the_address() {
    let p = || vec![pool("p", "192.0.2.0/24,2001:db8::/64")];
    check(
        "the older",
        p(),
        vec![held("a", "192.0.2.9").at(2), held("b", "192.0.2.9").at(1)],
        &[
            "a: reassigned p 192.0.2.0 (ClearAssignment)",
            "b: kept p 192.0.2.9",
        ],
    );
    check(
        "the first by name among equals",
        p(),
        vec![held("a", "192.0.2.9"), held("b", "192.0.2.9")],
        &[
            "a: kept p 192.0.2.9",
            "b: reassigned p 192.0.2.0 (ClearAssignment)",
        ],
    );
    check(
        "two before one",
        p(),
        vec![
            held("a", "192.0.2.9").at(1),
            held("b", "192.0.2.9,2001:db8::9").dual(PREFER).at(2),
        ],
        &[
            "a: reassigned p 192.0.2.0 (ClearAssignment)",
            "b: kept p 192.0.2.9 2001:db8::9",
        ],
    );
    check(
        "the pair keeps its other half",
        p(),
        vec![
            held("a", "192.0.2.9").at(2),
            held("b", "192.0.2.9,2001:db8::9").dual(PREFER).at(2),
            held("c", "192.0.2.9,2001:db8::7").dual(PREFER).at(1),
        ],
        &[
            "a: reassigned p 192.0.2.0 (ClearAssignment)",
            "b: reassigned p 2001:db8::9 192.0.2.1 (ClearAssignment)",
            "c: kept p 192.0.2.9 2001:db8::7",
        ],
    );
    let world = world(
        p(),
        vec![held("a", "192.0.2.9").at(2), held("b", "192.0.2.9").at(1)],
    );
    let allocation = decide(&world, &Ledger::default(), &Options::default());
    let [problem] = allocation.problems.as_slice() else {
        panic!("{:?}", allocation.problems)
    };
    assert_eq!(
        (problem.reason, problem.object.name.as_str()),
        ("DuplicateHolder", "a")
    );
    assert_eq!(
        problem.message,
        "\"192.0.2.9\" is held by default/b too, which keeps it"
    );
}

#[test]
fn what_is_decided_counts_as_held() {
    let p = vec![pool("p", "192.0.2.0/24")];
    let entry = |addresses: &str, base: &str| LedgerEntry {
        addresses: addresses
            .split(',')
            .filter(|a| !a.is_empty())
            .map(ip)
            .collect(),
        base: base.split(',').filter(|a| !a.is_empty()).map(ip).collect(),
    };
    let cases = [
        (
            "kept, younger or not",
            svc("a").at(9),
            entry("192.0.2.0", ""),
            "a: assigned p 192.0.2.0",
        ),
        (
            "wherever it is",
            svc("a").at(9),
            entry("192.0.2.77", ""),
            "a: assigned p 192.0.2.77",
        ),
        (
            "unless it may not be had any more",
            svc("a").at(9),
            entry("198.51.100.1", ""),
            "a: assigned p 192.0.2.1",
        ),
        (
            "a status that someone else wrote after it is the fact",
            held("a", "192.0.2.5").at(9),
            entry("192.0.2.7", ""),
            "a: kept p 192.0.2.5",
        ),
        (
            "the status it was decided on is not",
            held("a", "192.0.2.5").at(9),
            entry("192.0.2.7", "192.0.2.5"),
            "a: reassigned p 192.0.2.7",
        ),
        (
            "nothing decided: what is shown may be kept again",
            held("a", "192.0.2.5").at(9),
            entry("", "192.0.2.5"),
            "a: kept p 192.0.2.5",
        ),
    ];
    for (what, service, entry, expected) in cases {
        let world = world(p.clone(), vec![service, svc("b").at(1)]);
        let ledger = Ledger([("uid-a".to_owned(), entry)].into());
        let allocation = decide(&world, &ledger, &Options::default());
        assert_eq!(lines(&allocation)[0], expected, "{what}");
    }
    let world = world(p, vec![held("a", "192.0.2.7").at(9), svc("b").at(1)]);
    let ledger = Ledger([("uid-b".to_owned(), entry("192.0.2.7", ""))].into());
    let allocation = decide(&world, &ledger, &Options::default());
    assert_eq!(
        lines(&allocation),
        ["a: kept p 192.0.2.7", "b: assigned p 192.0.2.0"],
        "a fact goes before a decision"
    );
}

#[test]
fn counts_pools_without_overflow() {
    let status = |pools, services| {
        let world = world(pools, services);
        let allocation = decide(&world, &Ledger::default(), &Options::default());
        let s = allocation.pools["p"];
        [
            s.assigned_ipv4,
            s.available_ipv4,
            s.assigned_ipv6,
            s.available_ipv6,
        ]
    };
    assert_eq!(
        status(vec![pool("p", "192.0.2.0/24")], vec![svc("a")]),
        [1, 255, 0, 0]
    );
    assert_eq!(
        status(vec![pool("p", "192.0.2.0/32").tidy()], vec![]),
        [0, 0, 0, 0],
        "MetalLB says -1"
    );
    assert_eq!(
        status(vec![pool("p", "192.0.2.0/23").tidy()], vec![svc("a")]),
        [1, 507, 0, 0]
    );
    assert_eq!(
        status(vec![pool("p", "::/0,10.0.0.0/8")], vec![svc("a")]),
        [1, (1 << 24) - 1, 0, i64::MAX]
    );
    assert_eq!(
        status(
            vec![pool("p", "2001:db8::/64,2001:db8:1::/128")],
            vec![svc("a").v6()]
        ),
        [0, 0, 1, i64::MAX]
    );
    let shared = vec![svc("a").shared("k", 1), svc("b").shared("k", 2)];
    assert_eq!(
        status(vec![pool("p", "192.0.2.0/30")], shared),
        [1, 3, 0, 0],
        "distinct addresses"
    );
}
