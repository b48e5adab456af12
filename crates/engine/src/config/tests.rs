//! Tables of the rules of pools and advertisements.

use super::{AddressRange, l2_advertisements, pools};
use crate::alloc::tests::build::*;
use crate::name::NamespacedName;
use crate::plan::InterfaceSet;
use crate::problem::Problem;
use crate::selector::{LabelSelector, Requirement};
use crate::world::{Change, Family, IpAddressPool, L2Advertisement, World};
use proptest::prelude::*;

#[test]
fn parses_ranges_as_pools_write_them() {
    for (text, expected) in [
        ("192.0.2.0/24", Ok("192.0.2.0-192.0.2.255")),
        ("198.51.100.10/24", Ok("198.51.100.0-198.51.100.255")),
        ("192.0.2.7/32", Ok("192.0.2.7-192.0.2.7")),
        ("0.0.0.0/0", Ok("0.0.0.0-255.255.255.255")),
        (
            "2001:db8::5/64",
            Ok("2001:db8::-2001:db8::ffff:ffff:ffff:ffff"),
        ),
        ("::/0", Ok("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("192.0.2.1-192.0.2.9", Ok("192.0.2.1-192.0.2.9")),
        ("192.0.2.1 - 192.0.2.9", Ok("192.0.2.1-192.0.2.9")),
        ("192.0.2.1-192.0.2.1", Ok("192.0.2.1-192.0.2.1")),
        ("2001:db8::1-2001:db8::ff", Ok("2001:db8::1-2001:db8::ff")),
        ("192.0.2.1", Err("bare")),
        ("2001:db8::1", Err("bare")),
        ("192.0.2.9-192.0.2.1", Err("starts after its end")),
        ("192.0.2.1-2001:db8::1", Err("mixes IPv4 and IPv6")),
        ("2001:db8::1-192.0.2.1", Err("mixes IPv4 and IPv6")),
        ("192.0.2.0/33", Err("neither")),
        ("192.0.2.0/", Err("neither")),
        ("192.0.2.0/255.255.255.0", Err("neither")),
        ("192.0.2.0/+24", Err("neither")),
        ("192.0.2/24", Err("neither")),
        ("192.0.2.1-", Err("neither")),
        ("-192.0.2.1", Err("neither")),
        ("192.0.2.1-192.0.2.2-192.0.2.3", Err("neither")),
        ("192.0.2.0/24-192.0.3.0/24", Err("neither")),
        ("fe80::1%eth0/64", Err("neither")),
        ("192.0.02.0/24", Err("neither")),
        ("192.0.2.0/024", Err("neither")),
        (" 192.0.2.0/24", Err("neither")),
        ("::ffff:192.0.2.0/120", Err("neither")),
        ("::ffff:192.0.2.1-::ffff:192.0.2.9", Err("neither")),
        ("web.example", Err("neither")),
        ("", Err("neither")),
    ] {
        match (AddressRange::parse(text), expected) {
            (Ok(range), Ok(shown)) => assert_eq!(range.to_string(), shown, "{text}"),
            (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{text}: {why}"),
            (other, _) => panic!("{text}: {other:?}"),
        }
    }
}

/// `severity kind/name reason message` of each problem, and the pools that are usable.
fn judged(raw: Vec<IpAddressPool>) -> (Vec<String>, Vec<String>) {
    let world = world(raw, vec![]);
    let (set, problems) = pools(&world, NAMESPACE);
    let names = set.iter().map(|pool| pool.name.clone()).collect();
    (names, problems.iter().map(line).collect())
}

fn line(problem: &Problem) -> String {
    let severity = problem.severity.as_str();
    format!(
        "{severity} {} {}: {}",
        problem.object.name, problem.reason, problem.message
    )
}

#[track_caller]
fn check(raw: Vec<IpAddressPool>, usable: &[&str], problems: &[&str]) {
    let (names, lines) = judged(raw);
    assert_eq!(names, usable);
    assert_eq!(lines, problems);
}

fn bad_selector() -> LabelSelector {
    LabelSelector {
        match_expressions: vec![Requirement {
            key: "a".to_owned(),
            operator: "Near".to_owned(),
            values: Vec::new(),
        }],
        ..LabelSelector::default()
    }
}

#[test]
fn one_bad_pool_never_disables_a_good_one() {
    let good = || pool("good", "203.0.113.0/24");
    check(
        vec![good(), pool("x", "192.0.2.1")],
        &["good"],
        &[
            "error x InvalidAddresses: spec.addresses[0]: \"192.0.2.1\" is a bare address: write a mask (/32 or /128) or a range",
        ],
    );
    check(
        vec![good(), pool("x", "")],
        &["good"],
        &[
            "error x InvalidAddresses: spec.addresses is empty: a pool needs at least one CIDR or range",
        ],
    );
    check(
        vec![
            good(),
            pool("x", "192.0.2.9-192.0.2.1,nonsense,192.0.2.0/24"),
        ],
        &["good"],
        &[
            "error x InvalidAddresses: spec.addresses[0]: \"192.0.2.9-192.0.2.1\" starts after its end",
            "error x InvalidAddresses: spec.addresses[1]: \"nonsense\" is neither a CIDR nor a range start-end",
        ],
    );
    let mut selecting = pool("x", "192.0.2.0/24").pinned(1, "", "");
    let allocation = selecting.service_allocation.as_mut().expect("pinned");
    allocation.service_selectors = vec![bad_selector()];
    check(
        vec![good(), selecting],
        &["good"],
        &[
            "error x InvalidSelector: spec.serviceAllocation.serviceSelectors[0]: key \"a\": \"Near\" is not a label selector operator",
        ],
    );
    let mut selecting = pool("x", "192.0.2.0/24").pinned(1, "", "");
    let allocation = selecting.service_allocation.as_mut().expect("pinned");
    allocation.namespace_selectors = vec![bad_selector()];
    let (names, lines) = judged(vec![good(), selecting]);
    assert_eq!(names, ["good"]);
    assert!(lines[0].contains("namespaceSelectors[0]"), "{lines:?}");
}

#[test]
fn a_priority_has_32_bits() {
    let at = |priority| pool("p", "192.0.2.0/24").pinned(priority, "", "");
    check(vec![at(i64::from(i32::MIN))], &["p"], &[]);
    check(vec![at(i64::from(i32::MAX))], &["p"], &[]);
    let why =
        "error p InvalidField: spec.serviceAllocation.priority: 2147483648 is no number of 32 bits";
    check(vec![at(1 << 31)], &[], &[why]);
}

#[test]
fn of_two_that_overlap_the_later_by_name_is_refused() {
    check(
        vec![pool("a", "192.0.2.0/25"), pool("b", "192.0.2.0/24")],
        &["a"],
        &[
            "error b OverlappingAddresses: spec.addresses[0]: \"192.0.2.0/24\" overlaps with 192.0.2.0-192.0.2.127 of pool \"a\"",
        ],
    );
    check(
        vec![pool("b", "192.0.2.5/32"), pool("a", "192.0.2.0/24")],
        &["a"],
        &[
            "error b OverlappingAddresses: spec.addresses[0]: \"192.0.2.5/32\" overlaps with 192.0.2.0-192.0.2.255 of pool \"a\"",
        ],
    );
    check(
        vec![pool("a", "192.0.2.0/24,192.0.2.9-192.0.2.10")],
        &[],
        &[
            "error a OverlappingAddresses: spec.addresses[1]: \"192.0.2.9-192.0.2.10\" overlaps with \"192.0.2.0/24\"",
        ],
    );
    check(
        vec![
            pool("a", "192.0.2.0/25,192.0.2.128/25"),
            pool("b", "192.0.3.0/24"),
        ],
        &["a", "b"],
        &[],
    );
    // What is refused refuses nobody.
    let (names, _) = judged(vec![
        pool("a", "192.0.2.0/25"),
        pool("b", "192.0.2.0/24"),
        pool("c", "192.0.2.128/25"),
    ]);
    assert_eq!(names, ["a", "c"]);
    let (names, _) = judged(vec![
        pool("a", "::/1"),
        pool("b", "0.0.0.0/0"),
        pool("c", "8000::/1"),
    ]);
    assert_eq!(names, ["a", "b", "c"], "families never overlap");
}

#[test]
fn what_is_named_twice_is_told_and_used_once() {
    let twice = pool("p", "192.0.2.0/24").pinned(1, "default,x,default", "");
    check(
        vec![twice],
        &["p"],
        &["error p Duplicate: spec.serviceAllocation.namespaces[2] repeats \"default\""],
    );
    let mut twice = pool("p", "192.0.2.0/24").pinned(1, "", "a=b");
    let allocation = twice.service_allocation.as_mut().expect("pinned");
    allocation.service_selectors.push(selector("a=b"));
    allocation.namespace_selectors = vec![selector("c=d"), selector("c=d")];
    let (names, lines) = judged(vec![twice]);
    assert_eq!((names.len(), lines.len()), (1, 2), "{lines:?}");
}

#[test]
fn only_our_namespace_counts() {
    let mut foreign = pool("p", "192.0.2.0/24");
    foreign.name.namespace = "elsewhere".into();
    check(
        vec![foreign.clone(), pool("p", "192.0.2.0/24")],
        &["p"],
        &[
            "warning p WrongNamespace: objects of metallb.io count only in namespace \"metallb-system\", this one is ignored",
        ],
    );
    foreign.name.namespace = "".into();
    check(vec![foreign], &["p"], &[]);
}

#[test]
fn counts_addresses() {
    let capacity = |addresses: &str, tidy: bool| {
        let raw = pool("p", addresses);
        let world = world(vec![if tidy { raw.tidy() } else { raw }], vec![]);
        let (set, _) = pools(&world, NAMESPACE);
        let pool = set.get("p").expect("good");
        (pool.capacity(Family::V4), pool.capacity(Family::V6))
    };
    for (addresses, tidy, v4, v6) in [
        ("192.0.2.0/24", false, 256, 0),
        ("192.0.2.0/24", true, 254, 0),
        ("192.0.2.1-192.0.2.254", true, 254, 0),
        ("192.0.2.255-192.0.3.0", true, 0, 0),
        ("192.0.2.0/32", true, 0, 0),
        ("10.0.0.0/8", true, (1 << 24) - (1 << 17), 0),
        ("0.0.0.0/0", false, 1 << 32, 0),
        ("2001:db8::/64,192.0.2.0/31", true, 1, 1 << 64),
        ("::/0", false, 0, u128::MAX),
        ("::/1,8000::/1", false, 0, u128::MAX),
    ] {
        assert_eq!(capacity(addresses, tidy), (v4, v6), "{addresses} {tidy}");
    }
}

#[test]
fn finds_the_pool_of_an_address() {
    let world = world(
        vec![
            pool("a", "192.0.2.0/25").tidy(),
            pool("b", "192.0.2.128/25,2001:db8::/64"),
            pool("c", "oops"),
        ],
        vec![],
    );
    let (set, _) = pools(&world, NAMESPACE);
    let name = |address: &str| {
        set.containing(ip(address))
            .map(|p| p.name.clone())
            .unwrap_or_default()
    };
    let owner = |address: &str| {
        set.owner(ip(address))
            .map(|p| p.name.clone())
            .unwrap_or_default()
    };
    for (address, containing, owning) in [
        ("192.0.2.0", "a", ""),
        ("192.0.2.1", "a", "a"),
        ("192.0.2.255", "b", "b"),
        ("192.0.3.0", "", ""),
        ("192.0.1.255", "", ""),
        ("2001:db8::9", "b", "b"),
        ("2001:db8:1::", "", ""),
        ("::", "", ""),
    ] {
        assert_eq!(
            (name(address), owner(address)),
            (containing.to_owned(), owning.to_owned()),
            "{address}"
        );
    }
    let service = svc("s").of_pool("c");
    assert_eq!(
        set.name_for(&service, ip("203.0.113.1")),
        Some("c"),
        "refused, and still announced"
    );
    assert_eq!(set.name_for(&service.of_pool("d"), ip("203.0.113.1")), None);
    assert!(set.is_refused("c") && !set.is_refused("a"));
}

fn ad(name: &str) -> L2Advertisement {
    L2Advertisement {
        name: NamespacedName::new(NAMESPACE, name),
        ..L2Advertisement::default()
    }
}

fn with_ads(ads: Vec<L2Advertisement>) -> World {
    let mut red = pool("red", "192.0.2.0/24");
    red.labels = labels("colour=red");
    let mut world = world(
        vec![red, pool("blue", "198.51.100.0/24"), pool("bad", "x")],
        vec![],
    );
    world.apply(Change::L2Advertisement(reset(ads)));
    world
}

/// Pools of the first advertisement, and all problems.
fn advertised(ads: Vec<L2Advertisement>) -> (Option<String>, Vec<String>) {
    let world = with_ads(ads);
    let (set, _) = pools(&world, NAMESPACE);
    let (all, problems) = l2_advertisements(&world, &set, NAMESPACE);
    let first = all
        .first()
        .map(|ad| ad.pools.iter().cloned().collect::<Vec<_>>().join(","));
    (first, problems.iter().map(line).collect())
}

#[test]
fn resolves_pools_by_name_and_selector() {
    let named = |names: &str| L2Advertisement {
        pools: names.split(',').map(str::to_owned).collect(),
        ..ad("a")
    };
    assert_eq!(
        advertised(vec![ad("a")]),
        (Some("bad,blue,red".to_owned()), vec![])
    );
    assert_eq!(
        advertised(vec![named("blue")]),
        (Some("blue".to_owned()), vec![])
    );
    let mut both = named("blue");
    both.pool_selectors = vec![selector("colour=red")];
    assert_eq!(
        advertised(vec![both]),
        (Some("blue,red".to_owned()), vec![])
    );
    let mut none = ad("a");
    none.pool_selectors = vec![selector("colour=green")];
    assert_eq!(advertised(vec![none]), (Some(String::new()), vec![]));
    assert_eq!(
        advertised(vec![named("green")]),
        (
            Some(String::new()),
            vec![
                "warning a UnknownPool: spec.ipAddressPools: there is no pool \"green\"".to_owned()
            ]
        ),
        "an unknown name is not all pools"
    );
    assert_eq!(
        advertised(vec![named("bad")]),
        (Some("bad".to_owned()), vec![]),
        "a refused pool exists"
    );
    assert_eq!(
        advertised(vec![named("red,red")]),
        (
            Some("red".to_owned()),
            vec!["error a Duplicate: spec.ipAddressPools[1] repeats \"red\"".to_owned()]
        )
    );
}

#[test]
fn an_advertisement_with_a_bad_selector_is_refused_alone() {
    let bad: [fn(&mut L2Advertisement); 4] = [
        |ad| ad.pool_selectors = vec![bad_selector()],
        |ad| ad.node_selectors = vec![bad_selector()],
        |ad| ad.service_selectors = vec![bad_selector()],
        |ad| ad.preferred_nodes = vec![(1, bad_selector())],
    ];
    for spoil in bad {
        let mut spoilt = ad("a");
        spoil(&mut spoilt);
        let world = with_ads(vec![spoilt, ad("b")]);
        let (set, _) = pools(&world, NAMESPACE);
        let (all, problems) = l2_advertisements(&world, &set, NAMESPACE);
        let names: Vec<&str> = all.iter().map(|ad| ad.object.name.as_str()).collect();
        assert_eq!(names, ["b"]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].reason, "InvalidSelector");
    }
}

#[test]
fn keeps_the_rest_of_an_advertisement() {
    let mut raw = ad("a");
    raw.interfaces = vec!["eth0".to_owned(), "eth1".to_owned(), "eth0".to_owned()];
    raw.preferred_nodes = vec![
        (0, selector("a=b")),
        (100, selector("a=b")),
        (101, selector("a=b")),
        (7, selector("")),
    ];
    raw.node_selectors = vec![selector("a=b")];
    raw.service_selectors = vec![selector("tier=web")];
    let world = with_ads(vec![raw]);
    let (set, _) = pools(&world, NAMESPACE);
    let (all, problems) = l2_advertisements(&world, &set, NAMESPACE);
    let parsed = &all[0];
    assert_eq!(
        parsed.interfaces,
        InterfaceSet::Named(["eth0".to_owned(), "eth1".to_owned()].into())
    );
    assert_eq!(parsed.preference(&labels("a=b")), 107);
    assert_eq!(parsed.preference(&labels("")), 7);
    assert!(parsed.selects_node(&labels("a=b")) && !parsed.selects_node(&labels("")));
    assert!(parsed.selects_service(&labels("tier=web")) && !parsed.selects_service(&labels("")));
    assert!(parsed.covers("red") && !parsed.covers("green"));
    let reasons: Vec<&str> = problems.iter().map(|p| p.reason).collect();
    assert_eq!(reasons, ["Duplicate", "InvalidField", "InvalidField"]);
    let open = with_ads(vec![ad("a")]);
    let (all, _) = l2_advertisements(&open, &set, NAMESPACE);
    assert!(all[0].selects_node(&labels("")) && all[0].selects_service(&labels("")));
    assert_eq!(all[0].interfaces, InterfaceSet::All);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_parser(text in "[0-9a-f.:/ -]{0,40}|.{0,20}") {
        if let Ok(range) = AddressRange::parse(&text) {
            prop_assert!(range.first() <= range.last());
            prop_assert_eq!(AddressRange::parse(&range.to_string()), Ok(range));
        }
    }

    #[test]
    fn accepted_pools_never_overlap(raw in proptest::collection::vec((0u8..40, 0u8..12), 1..12)) {
        let raw = raw.iter().enumerate();
        let raw = raw.map(|(n, (first, more))| pool(&format!("p{n:02}"), &format!("192.0.2.{first}-192.0.2.{}", first + more)));
        let world = world(raw.collect(), vec![]);
        let (set, problems) = pools(&world, NAMESPACE);
        for last in 0..=60u8 {
            let address = ip(&format!("192.0.2.{last}"));
            let owners = set.iter().filter(|pool| pool.owns(address)).count();
            prop_assert!(owners <= 1);
            prop_assert_eq!(set.owner(address).is_some(), owners == 1);
        }
        prop_assert_eq!(set.len() + problems.len(), world.pools.len());
    }

    #[test]
    fn buggy_addresses_are_counted_as_they_are(first in any::<u32>(), more in 0u32..5000) {
        let last = first.saturating_add(more);
        let range = AddressRange::parse(&format!("{}-{}", std::net::Ipv4Addr::from(first), std::net::Ipv4Addr::from(last))).expect("a range");
        let counted = (first..=last).filter(|n| matches!(n & 255, 0 | 255)).count();
        prop_assert_eq!(range.buggy(), counted as u128);
    }
}
