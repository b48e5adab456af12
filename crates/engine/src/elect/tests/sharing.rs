//! Addresses that hang together: dual stack, shared addresses, addresses held twice.

use super::build::*;
use crate::elect::{Placement, share::share};
use crate::name::NamespacedName;
use crate::plan::Refusal;
use crate::problem::reason;
use crate::world::{Service, TrafficPolicy};
use std::collections::BTreeMap;

const NODES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];

fn local(service: Service) -> Service {
    Service {
        external_policy: TrafficPolicy::Local,
        ..service
    }
}

// L2-84
#[test]
fn dual_stack_has_one_owner_by_its_first_address() {
    let mut build = Build::new(&NODES);
    build.served(service("web", &["192.168.1.240", "fc00:f853:ccd:e799::1"]));
    for address in ["192.168.1.240", "fc00:f853:ccd:e799::1"] {
        assert_eq!(
            build.entry(address).candidates,
            ["node5", "node3", "node4", "node1", "node2"]
        );
    }
    build.served(service("web", &["fc00:f853:ccd:e799::1", "192.168.1.240"]));
    let first = build.entry("fc00:f853:ccd:e799::1");
    assert_ne!(first.owner.as_deref(), Some("node5"));
    assert_eq!(build.entry("192.168.1.240").owner, first.owner);
}

// L2-84
#[test]
fn a_shared_address_has_one_owner_among_the_common_candidates() {
    let mut build = Build::new(&["n1", "n2", "n3"]);
    build
        .service(local(sharing("a", &["10.0.0.1"], 80)))
        .slice(ready_on("a", &["n1", "n2"]));
    build
        .service(local(sharing("b", &["10.0.0.1"], 81)))
        .slice(ready_on("b", &["n2", "n3"]));
    let entry = build.entry("10.0.0.1");
    assert_eq!(entry.candidates, ["n2"]);
    assert_eq!(entry.services.len(), 2);
    assert_eq!(
        build.refusals("10.0.0.1"),
        [
            ("n1".to_owned(), Refusal::SharedServiceElsewhere),
            ("n3".to_owned(), Refusal::NoLocalEndpoints)
        ]
    );
    // One that has no candidate at all does not count.
    build.slice(slice("b", Vec::new()));
    assert_eq!(build.entry("10.0.0.1").candidates.len(), 2);
    assert!(build.elect().1.is_empty());
}

// L2-84
#[test]
fn without_a_common_candidate_the_first_service_decides() {
    let mut build = Build::new(&["n1", "n2"]);
    let mut younger = local(sharing("a", &["10.0.0.1"], 80));
    younger.created = Some(200);
    build.service(younger).slice(ready_on("a", &["n1"]));
    build
        .service(local(sharing("b", &["10.0.0.1"], 81)))
        .slice(ready_on("b", &["n2"]));
    let entry = build.entry("10.0.0.1");
    assert_eq!(entry.owner.as_deref(), Some("n2"));
    assert_eq!(entry.services.first().unwrap().name, "b", "by creation");
    let (_, problems) = build.elect();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].reason, reason::NO_COMMON_CANDIDATE);
    assert_eq!(problems[0].object, NamespacedName::new("default", "a"));
    let elector = build.elector();
    let announced = elector
        .announcement("10.0.0.1".parse().unwrap(), "n2")
        .unwrap();
    assert_eq!(announced.services, [NamespacedName::new("default", "b")]);
}

// L2-84
#[test]
fn what_hangs_together_over_two_services_has_one_owner() {
    let mut build = Build::new(&["n1", "n2", "n3"]);
    build.served(sharing("dual", &["10.0.0.1", "fc00::1"], 80));
    let mut six = sharing("six", &["fc00::1"], 81);
    six.created = Some(50);
    build.service(local(six)).slice(ready_on("six", &["n3"]));
    assert_eq!(build.entry("fc00::1").owner.as_deref(), Some("n3"));
    assert_eq!(build.entry("10.0.0.1").owner.as_deref(), Some("n3"));
}

#[test]
fn only_the_keeper_of_a_doubly_held_address_is_announced() {
    let mut build = Build::new(&["n1"]);
    let mut older = service("z-older", &["10.0.0.1"]);
    older.created = Some(1);
    build
        .served(older)
        .served(service("a-younger", &["10.0.0.1"]));
    let entry = build.entry("10.0.0.1");
    assert_eq!(entry.services, [NamespacedName::new("default", "z-older")]);
    let (_, problems) = build.elect();
    assert_eq!(problems[0].reason, reason::DUPLICATE_HOLDER);
    assert_eq!(problems[0].object.name, "a-younger");
}

#[test]
fn who_keeps_is_the_allocators_rule_and_follows_each_change() {
    let mut build = Build::new(&["n1"]);
    let aged = |created, service: Service| Service { created, ..service };
    build.served(aged(Some(1), service("one", &["10.0.0.1"])));
    build.served(aged(Some(9), service("two", &["10.0.0.1", "fc00::1"])));
    build.served(aged(None, service("none", &["10.0.0.1"])));
    let keeps = |build: &Build| -> Vec<String> {
        let services = build.entry("10.0.0.1").services;
        services
            .into_iter()
            .map(|name| name.name.to_string())
            .collect()
    };
    assert_eq!(keeps(&build), ["two"], "two addresses before one");
    build.served(aged(Some(9), service("two", &["fc00::1"])));
    assert_eq!(keeps(&build), ["one"], "then the older");

    let mut build = Build::new(&["n1"]);
    for (name, port) in [("a", 80), ("b", 81), ("c", 80)] {
        build.served(sharing(name, &["10.0.0.1"], port));
    }
    assert_eq!(keeps(&build), ["a", "b"], "c wants a port that is taken");
    let mut other_key = sharing("b", &["10.0.0.1"], 81);
    other_key.annotations =
        BTreeMap::from([("metallb.io/allow-shared-ip".into(), "x".into())]).into();
    build.served(other_key);
    assert_eq!(keeps(&build), ["a"]);
}

#[test]
fn fair_placement_keeps_everybody_below_the_share() {
    let mut build = Build::new(&NODES);
    build.options.placement = Placement::Fair;
    for host in 1..=50 {
        let mut service = service(&format!("s{host}"), &[&format!("10.0.0.{host}")]);
        service.created = Some(host);
        build.served(service);
    }
    let mut carried = BTreeMap::<String, usize>::new();
    for entry in build.elect().0 {
        *carried.entry(entry.owner.unwrap()).or_default() += 1;
    }
    assert!(
        carried.values().all(|most| *most <= share(50, 5)),
        "{carried:?}"
    );
    assert_eq!(carried.len(), 5);
}

#[test]
fn preference_beats_share() {
    let mut build = Build::bare(&["n1", "n2"]);
    build.node(node("edge", "edge="));
    build.options.placement = Placement::Fair;
    let mut a = advertisement("a");
    a.preferred_nodes = vec![(10, selector("edge="))];
    build.advertisement(a);
    for host in 1..=6 {
        build.served(service(&format!("s{host}"), &[&format!("10.0.0.{host}")]));
    }
    assert!(
        build
            .elect()
            .0
            .iter()
            .all(|entry| entry.owner.as_deref() == Some("edge"))
    );
}
