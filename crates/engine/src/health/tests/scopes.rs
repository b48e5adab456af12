//! What is probed, out of the world.

use super::super::*;
use crate::world::{
    Change, Delta, Endpoint, EndpointSlice, Node, Origin, Protocol, Service, ServicePort, Stored,
    TrafficPolicy, World,
};

fn stored<T>(object: T) -> Stored<T> {
    Stored {
        object: Arc::new(object),
        origin: Origin::default(),
    }
}

fn node(name: &str, addresses: &[&str]) -> Node {
    Node {
        name: NamespacedName::new("", name),
        internal_ips: addresses
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect(),
        ..Node::default()
    }
}

fn service(name: &str, local: bool) -> Service {
    let port = |protocol, node_port| ServicePort {
        name: "".into(),
        protocol,
        port: 80,
        node_port,
    };
    Service {
        name: NamespacedName::new("default", name),
        load_balancer: true,
        families: vec![Family::V4],
        external_policy: if local {
            TrafficPolicy::Local
        } else {
            TrafficPolicy::Cluster
        },
        health_check_node_port: local.then_some(32_000),
        ports: vec![
            port(Protocol::Udp, Some(30_053)),
            port(Protocol::Tcp, Some(30_080)),
        ],
        ..Service::default()
    }
}

fn world(nodes: Vec<Node>, services: Vec<Service>) -> World {
    let mut world = World::default();
    nodes.into_iter().for_each(|node| {
        world.apply(Change::Node(Delta::Upsert(stored(node))));
    });
    services.into_iter().for_each(|service| {
        world.apply(Change::Service(Delta::Upsert(stored(service))));
    });
    world
}

#[test]
fn a_node_is_probed_on_the_first_address_of_each_family() {
    let node = node("a", &["10.0.0.1", "fd00::1", "10.9.9.9", "fd00::9"]);
    let desired = desired_of(&world(vec![node], vec![]), &Scope::default());
    let addresses: Vec<String> = desired.nodes["a"]
        .addresses
        .values()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
}

#[test]
fn a_node_that_leaves_says_why() {
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    type Change = fn(&mut Node);
    let change: [(Change, bool, bool); 5] = [
        (|n| n.deleting = true, false, true),
        (|n| n.to_be_deleted = true, false, true),
        (|n| n.maintenance = true, false, true),
        (
            |n| n.labels = [(LABEL.to_owned(), String::new())].into(),
            true,
            false,
        ),
        // Cordon and NotReady take nobody out.
        (|n| n.not_ready = true, false, false),
    ];
    const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
    assert_eq!(label, LABEL);
    for (change, excluded, leaving) in change {
        let mut leaver = node("a", &["10.0.0.1"]);
        change(&mut leaver);
        let desired = desired_of(
            &world(vec![leaver, node("b", &[])], vec![]),
            &Scope::default(),
        );
        let a = &desired.nodes["a"];
        assert_eq!((a.excluded, a.leaving.is_some()), (excluded, leaving));
    }
    let mut only = node("a", &["10.0.0.1"]);
    only.labels = [(LABEL.to_owned(), String::new())].into();
    let desired = desired_of(&world(vec![only], vec![]), &Scope::default());
    assert!(
        !desired.nodes["a"].excluded,
        "a cluster of one such node is served by it"
    );
}

#[test]
fn only_local_services_are_probed_for_themselves_and_only_where_they_live() {
    let mut world = world(
        vec![node("a", &["10.0.0.1"]), node("b", &["10.0.0.2"])],
        vec![service("plain", false), service("near", true)],
    );
    let endpoint = |node: &str, ready, serving| Endpoint {
        ready: Some(ready),
        serving: Some(serving),
        node: Some(node.into()),
    };
    let slice = EndpointSlice {
        name: NamespacedName::new("default", "near-x"),
        service: "near".into(),
        endpoints: [endpoint("a", true, true), endpoint("b", false, false)].into(),
    };
    world.apply(Change::EndpointSlice(Delta::Upsert(stored(slice))));
    let desired = desired_of(&world, &Scope::default());
    assert_eq!(desired.services.len(), 1);
    let near = &desired.services[&NamespacedName::new("default", "near")];
    assert_eq!(near.check, Check::Local { port: 32_000 });
    assert_eq!(near.nodes.iter().collect::<Vec<_>>(), ["a"]);
    let ports = &desired.node_ports[&Family::V4];
    assert_eq!(ports.len(), 1, "one TCP port of the Cluster Service");
    assert_eq!(ports[0].port, 30_080);
}

#[test]
fn foreign_services_are_left_alone_and_ports_are_bounded() {
    let mut foreign = service("foreign", true);
    foreign.class = Some("x/y".into());
    let many = (0..200).map(|index| service(&format!("s{index:03}"), false));
    let desired = desired_of(
        &world(vec![], many.chain([foreign]).collect()),
        &Scope::default(),
    );
    assert!(desired.services.is_empty());
    assert_eq!(desired.node_ports[&Family::V4].len(), 64);
}
