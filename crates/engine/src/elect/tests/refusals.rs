//! MetalLB's tables in our own words: who is a candidate, and who is not and why.

use super::build::*;
use crate::elect::ElectOptions;
use crate::plan::{InterfaceSet, Refusal};
use crate::world::{Change, Delta, Service, TrafficPolicy};
use std::collections::BTreeMap;

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const VIP: &str = "10.0.0.1";

fn local(name: &str, addresses: &[&str]) -> Service {
    Service {
        external_policy: TrafficPolicy::Local,
        ..service(name, addresses)
    }
}

fn all(nodes: &[&str], why: Refusal) -> Vec<(String, Refusal)> {
    nodes.iter().map(|node| ((*node).to_owned(), why)).collect()
}

// L2-80, L2-82
#[test]
fn the_first_of_the_order_answers() {
    let mut build = Build::new(&["node-a", "node-b", "node-c"]);
    build.served(service("web", &[VIP]));
    let entry = build.entry(VIP);
    assert_eq!(entry.owner.as_deref(), Some("node-b"));
    assert_eq!(entry.candidates, ["node-b", "node-a", "node-c"]);
    assert_eq!(entry.interfaces, InterfaceSet::All);
    assert!(entry.refusals.is_empty());
}

// L2-80
#[test]
fn without_a_serving_endpoint_nobody_answers() {
    let (yes, no) = (Some(true), Some(false));
    for (ready, serving, serves) in [
        (None, None, true),
        (yes, None, true),
        (yes, no, true),
        (no, yes, true),
        (no, no, false),
        (no, None, false),
    ] {
        let mut build = Build::new(&["n1", "n2"]);
        build
            .service(service("web", &[VIP]))
            .slice(slice("web", vec![endpoint(ready, serving, "n1")]));
        let entry = build.entry(VIP);
        assert_eq!(entry.owner.is_some(), serves, "{ready:?} {serving:?}");
        if !serves {
            assert_eq!(
                build.refusals(VIP),
                all(&["n1", "n2"], Refusal::NoEndpoints)
            );
        }
    }
    let mut build = Build::new(&["n1", "n2"]);
    build.service(service("web", &[VIP]));
    assert_eq!(
        build.refusals(VIP),
        all(&["n1", "n2"], Refusal::NoEndpoints)
    );
}

// L2-80
#[test]
fn local_wants_an_endpoint_on_the_node() {
    let mut build = Build::new(&["n1", "n2", "n3"]);
    build
        .service(local("web", &[VIP]))
        .slice(ready_on("web", &["n2", "n2"]));
    assert_eq!(build.entry(VIP).candidates, ["n2"]);
    assert_eq!(
        build.refusals(VIP),
        all(&["n1", "n3"], Refusal::NoLocalEndpoints)
    );

    // One that ends but still serves counts, one without a node counts nowhere.
    let ending = vec![
        endpoint(Some(false), Some(true), "n3"),
        endpoint(Some(true), None, ""),
    ];
    build.slice(slice("web", ending));
    assert_eq!(build.entry(VIP).candidates, ["n3"]);
    build.slice(slice("web", vec![endpoint(Some(true), None, "")]));
    assert_eq!(build.entry(VIP).owner, None);
    assert_eq!(
        build.refusals(VIP),
        all(&["n1", "n2", "n3"], Refusal::NoLocalEndpoints)
    );
}

// L2-80
#[test]
fn cluster_counts_an_endpoint_without_a_node() {
    let mut build = Build::new(&["n1", "n2"]);
    build
        .service(service("web", &[VIP]))
        .slice(slice("web", vec![endpoint(None, None, "")]));
    assert_eq!(build.entry(VIP).candidates.len(), 2);
}

#[test]
fn slices_of_one_service_are_united_and_of_another_namespace_ignored() {
    let mut build = Build::new(&["n1", "n2", "n3"]);
    build
        .service(local("web", &[VIP]))
        .slice(ready_on("web", &["n1"]));
    let mut second = ready_on("web", &["n2"]);
    second.name.name = "web-second".into();
    let mut foreign = ready_on("web", &["n3"]);
    foreign.name.namespace = "other".into();
    build.slice(second).slice(foreign);
    assert_eq!(build.refusals(VIP), all(&["n3"], Refusal::NoLocalEndpoints));
}

#[test]
fn the_annotation_stands_in_for_slices_that_do_not_exist() {
    let mut build = Build::new(&["n1", "n2"]);
    let annotated = Service {
        annotations: BTreeMap::from([("harbinger.dev/endpoints".into(), "n2, n9".into())]).into(),
        ..local("web", &[VIP])
    };
    build.service(annotated);
    assert_eq!(build.entry(VIP).candidates, ["n2"]);
    build.slice(slice("web", Vec::new()));
    assert_eq!(
        build.refusals(VIP),
        all(&["n1", "n2"], Refusal::NoEndpoints)
    );
}

// L2-80
#[test]
fn exclusion_network_and_death_each_have_their_reason() {
    let mut build = Build::new(&["n1", "n2", "n3", "n4"]);
    build
        .served(service("web", &[VIP]))
        .node(node("n2", EXCLUDE))
        .dead("n3");
    let mut unavailable = node("n4", "");
    unavailable.network_unavailable = true;
    build.node(unavailable);
    assert_eq!(build.entry(VIP).candidates, ["n1"]);
    let expected: Vec<(String, Refusal)> = vec![
        ("n2".into(), Refusal::NodeLabeledExcludeBalancers),
        ("n3".into(), Refusal::NotAlive),
        ("n4".into(), Refusal::NodeNetworkUnavailable),
    ];
    assert_eq!(build.refusals(VIP), expected);
    build.options.ignore_exclude = true;
    assert_eq!(build.entry(VIP).candidates.len(), 2);
    build.members.off = true;
    assert_eq!(
        build.entry(VIP).candidates.len(),
        3,
        "without membership every node lives"
    );
}

// L2-80
#[test]
fn only_nodes_that_an_advertisement_of_the_pool_selects_take_part() {
    let mut build = Build::bare(&[]);
    build
        .node(node("n1", "rack=a"))
        .node(node("n2", "rack=b"))
        .node(node("n3", "rack=c"));
    build.served(service("web", &[VIP]));
    assert!(build.elect().0.is_empty(), "no advertisement, no entry");

    let mut other = advertisement("other");
    other.pools = vec!["other".into()];
    build.advertisement(other);
    assert_eq!(
        build.refusals(VIP),
        all(&["n1", "n2", "n3"], Refusal::NoMatchingAdvertisement)
    );

    let mut a = advertisement("a");
    a.node_selectors = vec![selector("rack=a")];
    let mut b = advertisement("b");
    b.node_selectors = vec![selector("rack=b"), selector("rack=z")];
    b.pools = vec!["p".into()];
    build.advertisement(a).advertisement(b);
    assert_eq!(
        build.refusals(VIP),
        all(&["n3"], Refusal::NoMatchingAdvertisement)
    );
}

#[test]
fn service_selectors_restrict_and_an_address_of_no_pool_matches_nothing() {
    let mut build = Build::bare(&["n1"]);
    let mut a = advertisement("a");
    a.service_selectors = vec![selector("tier=web")];
    build.advertisement(a).served(service("web", &[VIP]));
    assert_eq!(
        build.refusals(VIP),
        all(&["n1"], Refusal::NoMatchingAdvertisement)
    );
    let mut labelled = service("web", &[VIP]);
    labelled.labels = labels("tier=web");
    build.service(labelled);
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("n1"));
    build.served(service("stray", &["203.0.113.1"]));
    assert_eq!(
        build.refusals("203.0.113.1"),
        all(&["n1"], Refusal::NoMatchingAdvertisement)
    );
}

#[test]
fn avoid_buggy_ips_does_not_concern_the_announcer() {
    let mut build = Build::new(&["n1"]);
    let mut buggy = pool("p", &["10.0.0.0/8"]);
    buggy.avoid_buggy_ips = true;
    build.add(Change::Pool(Delta::Upsert(stored(buggy))));
    build.served(service("web", &["10.0.0.255"]));
    assert_eq!(build.entry("10.0.0.255").owner.as_deref(), Some("n1"));
}

// L2-81
#[test]
fn a_sharing_service_refuses_advertisements_that_select_services() {
    for value in ["key", ""] {
        let mut build = Build::new(&["n1"]);
        let mut b = advertisement("b");
        b.service_selectors = vec![selector("tier=web")];
        build.advertisement(b);
        let mut shared = service("web", &[VIP]);
        shared.annotations =
            BTreeMap::from([("metallb.io/allow-shared-ip".into(), value.into())]).into();
        build.served(shared.clone());
        assert_eq!(
            build.entry(VIP).owner.as_deref(),
            Some("n1"),
            "b does not apply"
        );
        shared.labels = labels("tier=web");
        build.service(shared);
        assert_eq!(
            build.refusals(VIP),
            all(&["n1"], Refusal::SharedIpWithServiceSelector)
        );
    }
}

// L2-81
#[test]
fn weights_add_up_over_matching_preferences_of_selecting_advertisements() {
    let mut build = Build::bare(&[]);
    for (name, with) in [
        ("edge-a", "edge=,fast="),
        ("edge-b", "edge="),
        ("worker-a", ""),
    ] {
        build.node(node(name, with));
    }
    build.served(service("web", &["10.20.30.1"]));
    let mut a = advertisement("a");
    a.preferred_nodes = vec![(100, selector("edge="))];
    build.advertisement(a.clone());
    assert_eq!(
        build.entry("10.20.30.1").candidates,
        ["edge-b", "edge-a", "worker-a"]
    );
    a.preferred_nodes.push((1, selector("fast=")));
    build.advertisement(a);
    assert_eq!(
        build.entry("10.20.30.1").candidates,
        ["edge-a", "edge-b", "worker-a"]
    );
    // A second one scores only the nodes it selects itself.
    let mut b = advertisement("b");
    b.node_selectors = vec![selector("fast=")];
    b.preferred_nodes = vec![(100, crate::selector::LabelSelector::default())];
    build.advertisement(b);
    assert_eq!(
        build.entry("10.20.30.1").candidates,
        ["edge-a", "edge-b", "worker-a"]
    );
    let mut c = advertisement("c");
    c.preferred_nodes = vec![
        (50, selector("edge=")),
        (100, crate::selector::LabelSelector::default()),
    ];
    build.advertisement(c);
    assert_eq!(
        build.entry("10.20.30.1").candidates,
        ["edge-a", "edge-b", "worker-a"]
    );
}

// L2-43, L2-44
#[test]
fn a_node_without_a_selected_usable_interface_is_no_candidate() {
    let mut build = Build::bare(&["n1", "n2", "n3"]);
    build.served(service("web", &[VIP]));
    let mut a = advertisement("a");
    a.interfaces = vec!["eth1".into()];
    build.advertisement(a);
    build
        .interfaces("n1", &["eth0"])
        .interfaces("n2", &["eth0", "eth1"])
        .interfaces("n3", &[]);
    let entry = build.entry(VIP);
    assert_eq!(entry.candidates, ["n2"]);
    assert_eq!(entry.interfaces.names(), ["eth1"]);
    assert_eq!(
        build.refusals(VIP),
        all(&["n1", "n3"], Refusal::NoUsableInterface)
    );

    // A record that is cut may hide the interface: the node is taken to have it.
    build.members.alive.get_mut("n1").unwrap().truncated = true;
    assert_eq!(build.entry(VIP).candidates.len(), 2);
    build.members.alive.get_mut("n1").unwrap().truncated = false;

    // A second one without a list means every interface.
    build.advertisement(advertisement("b"));
    assert_eq!(build.entry(VIP).interfaces, InterfaceSet::All);
    assert_eq!(
        build.refusals(VIP),
        all(&["n3"], Refusal::NoUsableInterface)
    );
    build.options.interfaces_known = false;
    assert!(build.refusals(VIP).is_empty());
}

// L2-44
#[test]
fn one_node_says_that_no_interface_is_there() {
    let mut build = Build::bare(&["n1", "n2"]);
    build.served(service("web", &[VIP]));
    let mut a = advertisement("a");
    a.interfaces = vec!["eth7".into()];
    build
        .advertisement(a)
        .interfaces("n1", &["eth0"])
        .interfaces("n2", &["eth0"]);
    let elector = build.elector();
    let vip = VIP.parse().unwrap();
    let says: Vec<bool> = ["n1", "n2"]
        .iter()
        .map(|node| elector.unannounced(vip, node).is_some())
        .collect();
    assert_eq!(says.iter().filter(|says| **says).count(), 1);
    assert_eq!(elector.owner(vip), None);
    let reasons: Vec<&str> = elector.problems().iter().map(|p| p.reason).collect();
    assert_eq!(reasons, [crate::problem::reason::UNKNOWN_INTERFACE]);
}

#[test]
fn a_foreign_class_and_another_type_are_not_ours() {
    let mut build = Build::new(&["n1"]);
    let mut classed = service("classed", &[VIP]);
    classed.class = Some("other".into());
    let mut cluster_ip = service("cluster-ip", &["10.0.0.2"]);
    cluster_ip.load_balancer = false;
    build
        .served(classed)
        .served(cluster_ip)
        .served(service("ours", &["10.0.0.3"]));
    let addresses = |build: &Build| -> Vec<String> {
        build
            .elect()
            .0
            .iter()
            .map(|entry| entry.address.to_string())
            .collect()
    };
    assert_eq!(addresses(&build), ["10.0.0.3"]);
    build.options = ElectOptions {
        lb_class: Some("other".into()),
        ..ElectOptions::default()
    };
    assert_eq!(addresses(&build), [VIP]);
}
