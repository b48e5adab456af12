//! Services without an address: which pool, which address, and when none.

use super::build::*;
use super::{check, check_with};
use crate::alloc::Options;
use crate::world::{Change, Delta, FamilyPolicy, Service};

const PREFER: FamilyPolicy = FamilyPolicy::PreferDualStack;
const REQUIRE: FamilyPolicy = FamilyPolicy::RequireDualStack;

#[test]
fn packs_first_fit_in_written_order() {
    let two = || vec![svc("a"), svc("b")];
    check(
        "lowest first",
        vec![pool("p", "192.0.2.0/24")],
        two(),
        &["a: assigned p 192.0.2.0", "b: assigned p 192.0.2.1"],
    );
    check(
        "entries in written order, not by number",
        vec![pool("p", "192.0.2.9/32,192.0.2.1-192.0.2.2")],
        two(),
        &["a: assigned p 192.0.2.9", "b: assigned p 192.0.2.1"],
    );
    check(
        "host bits of a CIDR are masked off",
        vec![pool("p", "198.51.100.10/24")],
        vec![svc("a")],
        &["a: assigned p 198.51.100.0"],
    );
    check(
        "a freed low address is used again at once",
        vec![pool("p", "192.0.2.0/24")],
        vec![svc("a"), svc("z").holds("192.0.2.1").of_pool("p")],
        &["a: assigned p 192.0.2.0", "z: kept p 192.0.2.1"],
    );
    check(
        "an IPv6 block is as good",
        vec![pool("p", "2001:db8::/64")],
        vec![svc("a").v6(), svc("b").v6()],
        &["a: assigned p 2001:db8::", "b: assigned p 2001:db8::1"],
    );
    check(
        "the very last address of IPv6 does not break arithmetic",
        vec![pool("p", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127")],
        vec![svc("a").v6(), svc("b").v6()],
        &[
            "a: assigned p ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
            "b: pending (AllocationFailed)",
        ],
    );
    check(
        "the very last address of IPv4 is given",
        vec![pool("p", "255.255.255.255/32")],
        vec![svc("a")],
        &["a: assigned p 255.255.255.255"],
    );
}

#[test]
fn serves_by_creation_then_name() {
    let one = || vec![pool("p", "192.0.2.1/32")];
    check(
        "the older one",
        one(),
        vec![svc("a").at(2), svc("b").at(1)],
        &["a: pending (AllocationFailed)", "b: assigned p 192.0.2.1"],
    );
    check(
        "the name among equals",
        one(),
        vec![svc("b"), svc("a")],
        &["a: assigned p 192.0.2.1", "b: pending (AllocationFailed)"],
    );
    let mut unborn = svc("a");
    unborn.created = None;
    check(
        "no creation time is the last",
        one(),
        vec![unborn, svc("b").at(i64::MAX - 1)],
        &["a: pending (AllocationFailed)", "b: assigned p 192.0.2.1"],
    );
}

#[test]
fn leaves_out_buggy_addresses() {
    check(
        "from .255 over .0",
        vec![pool("p", "192.0.2.255-192.0.3.1").tidy()],
        vec![svc("a"), svc("b")],
        &["a: assigned p 192.0.3.1", "b: pending (AllocationFailed)"],
    );
    check(
        "the first of a /24",
        vec![pool("p", "192.0.2.0/24").tidy()],
        vec![svc("a")],
        &["a: assigned p 192.0.2.1"],
    );
    check(
        "a request for one is outside of the pool",
        vec![pool("p", "192.0.2.0/24").tidy()],
        vec![svc("a").wants("192.0.2.255")],
        &["a: pending (AllocationFailed)"],
    );
    check(
        "IPv6 has none",
        vec![pool("p", "2001:db8::/64").tidy()],
        vec![svc("a").v6()],
        &["a: assigned p 2001:db8::"],
    );
}

#[test]
fn picks_pools_by_pinning_priority_and_name() {
    let general = || pool("a-general", "192.0.2.0/28");
    check(
        "by name",
        vec![pool("b", "192.0.2.16/28"), pool("a", "192.0.2.0/28")],
        vec![svc("s")],
        &["s: assigned a 192.0.2.0"],
    );
    check(
        "pinned before the others",
        vec![
            general(),
            pool("z", "198.51.100.0/28").pinned(0, "default", ""),
        ],
        vec![svc("s")],
        &["s: assigned z 198.51.100.0"],
    );
    check(
        "the lower priority, zero last",
        vec![
            pool("a", "198.51.100.0/28").pinned(0, "default", ""),
            pool("b", "198.51.100.16/28").pinned(20, "default", ""),
            pool("c", "198.51.100.32/28").pinned(10, "default", ""),
        ],
        vec![svc("s")],
        &["s: assigned c 198.51.100.32"],
    );
    check(
        "a full pinned pool gives way to the general ones",
        vec![
            general(),
            pool("z", "198.51.100.0/32").pinned(1, "default", ""),
        ],
        vec![svc("s"), svc("t")],
        &[
            "s: assigned z 198.51.100.0",
            "t: assigned a-general 192.0.2.0",
        ],
    );
    check(
        "a priority alone matches every Service",
        vec![general(), pool("z", "198.51.100.0/28").pinned(5, "", "")],
        vec![svc("s")],
        &["s: assigned z 198.51.100.0"],
    );
}

#[test]
fn pinned_pools_serve_whom_they_name() {
    check(
        "another namespace",
        vec![pool("z", "198.51.100.0/28").pinned(1, "other", "")],
        vec![svc("s"), svc("t").within("other")],
        &[
            "s: pending (AllocationFailed)",
            "t: assigned z 198.51.100.0",
        ],
    );
    check(
        "service selectors alone",
        vec![pool("z", "198.51.100.0/28").pinned(1, "", "tier=web")],
        vec![svc("s").labelled("tier=web"), svc("t").labelled("tier=db")],
        &[
            "s: assigned z 198.51.100.0",
            "t: pending (AllocationFailed)",
        ],
    );
    check(
        "namespace and selector are both needed",
        vec![pool("z", "198.51.100.0/28").pinned(1, "default", "tier=web")],
        vec![
            svc("s").labelled("tier=web"),
            svc("t"),
            svc("u").within("x").labelled("tier=web"),
        ],
        &[
            "s: assigned z 198.51.100.0",
            "t: pending (AllocationFailed)",
            "u: pending (AllocationFailed)",
        ],
    );
    check(
        "without autoAssign not by itself",
        vec![pool("m", "192.0.2.0/28").manual()],
        vec![svc("s")],
        &["s: pending (AllocationFailed)"],
    );
    check(
        "no pool at all",
        vec![],
        vec![svc("s")],
        &["s: pending (AllocationFailed)"],
    );
}

#[test]
fn matches_namespaces_by_label() {
    let pools = || {
        vec![
            pool("a", "192.0.2.0/28"),
            pool("z", "198.51.100.0/28").for_namespaces_with("team=red"),
        ]
    };
    let line = |pairs: &str, service: Service| {
        let mut world = world(pools(), vec![service]);
        let namespace = stored(namespace("default", pairs));
        world.apply(Change::Namespace(Delta::Upsert(namespace)));
        lines(&decide(&world, &Default::default(), &Options::default())).join("|")
    };
    assert_eq!(line("team=red", svc("s")), "s: assigned z 198.51.100.0");
    assert_eq!(line("team=blue", svc("s")), "s: assigned a 192.0.2.0");
    let asked = || svc("s").wants("198.51.100.3");
    assert_eq!(line("team=red", asked()), "s: assigned z 198.51.100.3");
    // MetalLB takes this one: compat/metallb.md 8, not copied.
    assert_eq!(line("team=blue", asked()), "s: pending (AllocationFailed)");
}

#[test]
fn gives_what_is_requested() {
    let p = || vec![pool("m", "192.0.2.0/24,2001:db8::/64").manual()];
    let field = |text: &str| {
        let mut service = svc("s");
        service.load_balancer_ip = Some(text.to_owned());
        service
    };
    check(
        "by field",
        p(),
        vec![field("192.0.2.7")],
        &["s: assigned m 192.0.2.7"],
    );
    check(
        "by annotation",
        p(),
        vec![svc("s").wants("192.0.2.7")],
        &["s: assigned m 192.0.2.7"],
    );
    check(
        "by the old annotation",
        p(),
        vec![svc("s").note("metallb.universe.tf/loadBalancerIPs", "192.0.2.7")],
        &["s: assigned m 192.0.2.7"],
    );
    check(
        "the new annotation wins, even when empty",
        p(),
        vec![
            svc("s")
                .wants("")
                .note("metallb.universe.tf/loadBalancerIPs", "192.0.2.7"),
        ],
        &["s: pending (AllocationFailed)"],
    );
    check(
        "spaces are trimmed, the order stays as asked",
        p(),
        vec![svc("s").dual(REQUIRE).wants(" 2001:db8::9 , 192.0.2.9 ")],
        &["s: assigned m 2001:db8::9 192.0.2.9"],
    );
    check(
        "an empty field asks for nothing",
        vec![pool("p", "192.0.2.0/24")],
        vec![field("")],
        &["s: assigned p 192.0.2.0"],
    );
    check(
        "an older pending one does not get a requested address before",
        vec![pool("p", "192.0.2.1/32")],
        vec![svc("old").at(1), svc("young").at(2).wants("192.0.2.1")],
        &[
            "old: assigned p 192.0.2.1",
            "young: pending (AllocationFailed)",
        ],
    );
}

#[test]
fn refuses_requests_that_cannot_be_met() {
    let p = || {
        vec![
            pool("p", "192.0.2.0/24,2001:db8::/64"),
            pool("q", "198.51.100.0/24"),
        ]
    };
    let pending = &["s: pending (AllocationFailed)"];
    let mut both = svc("s").wants("192.0.2.1");
    both.load_balancer_ip = Some("192.0.2.1".to_owned());
    let mut bad_field = svc("s");
    bad_field.load_balancer_ip = Some("web.example".to_owned());
    for (what, service) in [
        ("field and annotation", both),
        ("an unreadable field", bad_field),
        ("an unreadable annotation", svc("s").wants("192.0.2.256")),
        ("an empty part", svc("s").wants("192.0.2.1,")),
        ("two of a family", svc("s").wants("192.0.2.1,192.0.2.2")),
        (
            "three",
            svc("s")
                .dual(PREFER)
                .wants("192.0.2.1,2001:db8::1,192.0.2.2"),
        ),
        ("another family", svc("s").wants("2001:db8::1")),
        (
            "one for a dual-stack Service",
            svc("s").dual(PREFER).wants("192.0.2.1"),
        ),
        (
            "two for a single-stack Service",
            svc("s").wants("192.0.2.1,2001:db8::1"),
        ),
        ("no pool owns it", svc("s").wants("203.0.113.1")),
        (
            "from two pools",
            svc("s").dual(REQUIRE).wants("198.51.100.1,2001:db8::1"),
        ),
        (
            "another pool is requested",
            svc("s")
                .wants("192.0.2.1")
                .note("metallb.io/address-pool", "q"),
        ),
    ] {
        check(what, p(), vec![service], pending);
    }
}

#[test]
fn takes_from_the_requested_pool_only() {
    let p = || {
        vec![
            pool("a", "192.0.2.0/32"),
            pool("m", "198.51.100.0/32").manual(),
            pool("n", "203.0.113.0/28").pinned(1, "other", ""),
        ]
    };
    let ask = |name: &str, pool: &str| svc(name).note("metallb.io/address-pool", pool);
    check(
        "autoAssign is no matter",
        p(),
        vec![ask("s", "m")],
        &["s: assigned m 198.51.100.0"],
    );
    check(
        "the old prefix",
        p(),
        vec![svc("s").note("metallb.universe.tf/address-pool", "m")],
        &["s: assigned m 198.51.100.0"],
    );
    check(
        "empty asks for none",
        p(),
        vec![ask("s", "")],
        &["s: assigned a 192.0.2.0"],
    );
    check(
        "full, and no other is tried",
        p(),
        vec![ask("s", "m"), ask("t", "m")],
        &[
            "s: assigned m 198.51.100.0",
            "t: pending (AllocationFailed)",
        ],
    );
    check(
        "unknown",
        p(),
        vec![ask("s", "x")],
        &["s: pending (AllocationFailed)"],
    );
    check(
        "its serviceAllocation is honoured",
        p(),
        vec![ask("s", "n")],
        &["s: pending (AllocationFailed)"],
    );
}

#[test]
fn handles_its_class_alone() {
    let p = || vec![pool("p", "192.0.2.0/24")];
    let classed = |class: &str| {
        let mut service = svc("s");
        service.class = Some(class.to_owned());
        service
    };
    check(
        "a class and none wanted",
        p(),
        vec![classed("x")],
        &["s: ignored"],
    );
    check(
        "its status is left alone",
        p(),
        vec![classed("x").holds("192.0.2.0"), svc("t")],
        &["s: ignored", "t: assigned p 192.0.2.0"],
    );
    let only = Options {
        lb_class: Some("x".to_owned()),
        ..Options::default()
    };
    check_with(
        "ours",
        &only,
        p(),
        vec![classed("x")],
        &["s: assigned p 192.0.2.0"],
    );
    check_with("another's", &only, p(), vec![classed("y")], &["s: ignored"]);
    check_with(
        "none, and one wanted",
        &only,
        p(),
        vec![svc("s")],
        &["s: ignored"],
    );
}

#[test]
fn clears_what_is_no_load_balancer() {
    let p = || vec![pool("p", "192.0.2.0/32")];
    let plain = |service: Service| Service {
        load_balancer: false,
        ..service
    };
    check("nothing to do", p(), vec![plain(svc("s"))], &["s: none"]);
    check(
        "its address is free at once",
        p(),
        vec![plain(svc("s").holds("192.0.2.0").of_pool("p")), svc("t")],
        &["s: cleared", "t: assigned p 192.0.2.0"],
    );
    let world = world(p(), vec![plain(svc("s").of_pool("p"))]);
    let allocation = decide(&world, &Default::default(), &Options::default());
    let decision = allocation.decisions.values().next().expect("one");
    assert!(decision.write, "the annotation is taken away");
}
