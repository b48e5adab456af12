//! Several Services on one address (compat/metallb.md 3.3).

use super::build::*;
use super::check;
use crate::world::{Protocol, Service};

fn two(a: Service, b: Service) -> String {
    let world = world(vec![pool("p", "192.0.2.1-192.0.2.2")], vec![a, b]);
    lines(&decide(&world, &Default::default(), &Default::default())).join(" | ")
}

const TOGETHER: &str = "a: assigned p 192.0.2.1 | b: assigned p 192.0.2.1";
const APART: &str = "a: assigned p 192.0.2.1 | b: assigned p 192.0.2.2";

#[test]
fn shares_by_key_ports_and_backends() {
    let a = || svc("a").shared("k", 80);
    let dns = |name: &str, protocol| {
        let mut service = svc(name).shared("dns", 53);
        service.ports = vec![port(protocol, 53)];
        service
    };
    let old_prefix = |name: &str, number| {
        let mut service = svc(name).note("metallb.universe.tf/allow-shared-ip", "k");
        service.ports = vec![port(Protocol::Tcp, number)];
        service
    };
    for (what, a, b, expected) in [
        (
            "equal keys, other ports",
            a(),
            svc("b").shared("k", 81),
            TOGETHER,
        ),
        (
            "equal keys, equal ports",
            a(),
            svc("b").shared("k", 80),
            APART,
        ),
        ("other keys", a(), svc("b").shared("l", 81), APART),
        ("no key", svc("a"), svc("b").shared("k", 81), APART),
        (
            "empty keys are none",
            svc("a").shared("", 80),
            svc("b").shared("", 81),
            APART,
        ),
        (
            "TCP/53 and UDP/53",
            dns("a", Protocol::Tcp),
            dns("b", Protocol::Udp),
            TOGETHER,
        ),
        (
            "the old prefix",
            old_prefix("a", 80),
            old_prefix("b", 81),
            TOGETHER,
        ),
        (
            "one old, one new prefix",
            old_prefix("a", 80),
            svc("b").shared("k", 81),
            TOGETHER,
        ),
    ] {
        assert_eq!(two(a, b), expected, "{what}");
    }
}

#[test]
fn the_backends_are_part_of_the_key() {
    let a = || svc("a").shared("k", 80);
    for (what, a, b, expected) in [
        (
            "namespaces do not matter",
            a(),
            svc("b").shared("k", 81).within("zoo"),
            TOGETHER,
        ),
        (
            "Cluster and Local",
            a(),
            svc("b").shared("k", 81).local("app=x"),
            APART,
        ),
        (
            "Local with other selectors",
            a().local("app=y"),
            svc("b").shared("k", 81).local("app=x"),
            APART,
        ),
        (
            "Local with equal selectors",
            a().local("app=x"),
            svc("b").shared("k", 81).local("app=x"),
            TOGETHER,
        ),
        (
            "Cluster and Local without selector",
            a(),
            svc("b").shared("k", 81).local(""),
            TOGETHER,
        ),
    ] {
        assert_eq!(two(a, b), expected, "{what}");
    }
}

#[test]
fn joins_on_request_where_it_may() {
    let held = || svc("a").shared("k", 80).holds("192.0.2.9").of_pool("p");
    let p = || vec![pool("p", "192.0.2.0/24")];
    check(
        "with the key",
        p(),
        vec![held(), svc("b").shared("k", 81).wants("192.0.2.9")],
        &["a: kept p 192.0.2.9", "b: assigned p 192.0.2.9"],
    );
    check(
        "without",
        p(),
        vec![held(), svc("b").wants("192.0.2.9")],
        &["a: kept p 192.0.2.9", "b: pending (AllocationFailed)"],
    );
    check(
        "with its port",
        p(),
        vec![held(), svc("b").shared("k", 80).wants("192.0.2.9")],
        &["a: kept p 192.0.2.9", "b: pending (AllocationFailed)"],
    );
}

#[test]
fn takes_the_lowest_of_free_and_shareable() {
    check(
        "a free one below",
        vec![pool("p", "192.0.2.0/24")],
        vec![
            svc("a").shared("k", 80).holds("192.0.2.5").of_pool("p"),
            svc("b").shared("k", 81),
        ],
        &["a: kept p 192.0.2.5", "b: assigned p 192.0.2.0"],
    );
    check(
        "the shareable one below",
        vec![pool("p", "192.0.2.5/32,192.0.2.0/32")],
        vec![
            svc("a").shared("k", 80).holds("192.0.2.5").of_pool("p"),
            svc("b").shared("k", 81),
        ],
        &["a: kept p 192.0.2.5", "b: assigned p 192.0.2.5"],
    );
    check(
        "a full pool still takes who may share",
        vec![pool("p", "192.0.2.5/32")],
        vec![
            svc("a").shared("k", 80),
            svc("b").shared("k", 81),
            svc("c").shared("k", 81),
        ],
        &[
            "a: assigned p 192.0.2.5",
            "b: assigned p 192.0.2.5",
            "c: pending (AllocationFailed)",
        ],
    );
    check(
        "over a run of taken ports",
        vec![pool("p", "192.0.2.0/30")],
        (0..4)
            .map(|n| svc(&format!("s{n}")).shared("k", 80))
            .chain([svc("t").shared("k", 81), svc("u").shared("k", 80)])
            .collect(),
        &[
            "s0: assigned p 192.0.2.0",
            "s1: assigned p 192.0.2.1",
            "s2: assigned p 192.0.2.2",
            "s3: assigned p 192.0.2.3",
            "t: assigned p 192.0.2.0",
            "u: pending (AllocationFailed)",
        ],
    );
}

#[test]
fn a_changed_key_parts_company() {
    let held = |name: &str, key: &str, number| {
        svc(name)
            .shared(key, number)
            .holds("192.0.2.1")
            .of_pool("p")
    };
    let p = || vec![pool("p", "192.0.2.1-192.0.2.2")];
    check(
        "the first by order stays",
        p(),
        vec![held("a", "x", 80), held("b", "k", 81)],
        &[
            "a: kept p 192.0.2.1",
            "b: reassigned p 192.0.2.2 (ClearAssignment)",
        ],
    );
    check(
        "alone a key may change",
        p(),
        vec![held("a", "x", 80)],
        &["a: kept p 192.0.2.1"],
    );
    check(
        "a port may change",
        p(),
        vec![held("a", "k", 80), held("b", "k", 82)],
        &["a: kept p 192.0.2.1", "b: kept p 192.0.2.1"],
    );
    check(
        "not to one in use",
        p(),
        vec![held("a", "k", 80), held("b", "k", 80)],
        &[
            "a: kept p 192.0.2.1",
            "b: reassigned p 192.0.2.2 (ClearAssignment)",
        ],
    );
}
