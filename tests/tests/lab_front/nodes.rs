//! Which node a connection goes to, and which it does not.

use std::net::SocketAddr;
use std::time::Instant;

use tests::fleet::{V4, V6, WITHIN};
use tests::lab::{self, client};

use crate::kit::{ANSWER, EDGE, Edge, NODES};

/// A share of 256 slots that is a third: of so many connections each node gets some.
const MANY: usize = 60;

#[test]
fn a_client_reaches_every_node_through_the_box() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    edge.wait_up(&[0, 1, 2]);
    for address in [V4, V6] {
        let seen = edge.spread(address, MANY);
        println!("{address}: {seen:?}");
        assert_eq!(seen.len(), NODES, "{address}: {seen:?}");
        let (_, peer) = edge.get(address).unwrap();
        let own = &edge.fleet.lab.nodes[EDGE];
        let theirs = edge.fleet.lab.nodes[EDGE].mac("eth0").unwrap();
        assert_eq!(edge.fleet.node_of(theirs).unwrap(), Some(EDGE), "{own:?}");
        // The way back leads through the box, so the node sees the box.
        let expected = match peer.is_ipv4() {
            true => lab::Topology::node_ipv4(EDGE),
            false => lab::Topology::node_ipv6(EDGE),
        };
        let peer = match peer {
            std::net::IpAddr::V6(v6) => v6.to_canonical(),
            v4 => v4,
        };
        let expected: std::net::IpAddr = match peer.is_ipv4() {
            true => lab::Topology::node_ipv4(EDGE).parse().unwrap(),
            false => expected.parse().unwrap(),
        };
        assert_eq!(peer, expected);
    }
}

#[test]
fn datagrams_reach_a_node_too() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    for address in [V4, V6] {
        let to = SocketAddr::new(address.parse().unwrap(), 53);
        let answer = client::udp_exchange(&edge.fleet.lab.client, to, b"hello", ANSWER).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("node-") && answer.ends_with(" hello"),
            "{answer:?}"
        );
    }
}

#[test]
fn no_connection_goes_to_a_node_that_died() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    edge.wait_up(&[0, 1, 2]);
    assert_eq!(edge.spread(V4, MANY).len(), NODES);
    // It keeps its carrier, and nothing of it is heard any more.
    let died = Instant::now();
    edge.fleet.lab.ports[1].mute().unwrap();
    edge.wait_up(&[0, 2]);
    println!("out of the table {:?} after its death", died.elapsed());
    for address in [V4, V6] {
        let seen = edge.spread(address, MANY);
        println!("{address}: {seen:?}");
        assert!(!seen.contains_key("node-1"), "{seen:?}");
        assert_eq!(seen.len(), 2, "{seen:?}");
    }
    let back = Instant::now();
    edge.fleet.lab.ports[1].unmute().unwrap();
    edge.wait_up(&[0, 1, 2]);
    println!("in the table again {:?} after its return", back.elapsed());
}

#[test]
fn nodes_leave_and_return_by_label() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    edge.wait_up(&[0, 1, 2]);
    let manifests = std::fs::read_to_string(edge.fleet.manifests().join("nodes.yaml")).unwrap();
    let excluded = manifests.replace(
        "name: node-0, labels: {}",
        "name: node-0, labels: {node.kubernetes.io/exclude-from-external-load-balancers: \"\"}",
    );
    assert_ne!(excluded, manifests);
    edge.fleet.write("nodes.yaml", &excluded).unwrap();
    edge.wait_for("node-0 gets nothing", |shown| {
        let targets = shown.ports.iter().flat_map(|port| &port.targets);
        let mut targets = targets.filter(|t| t.node == "node-0");
        targets.all(|t| !t.up)
    });
    assert!(!edge.spread(V4, MANY).contains_key("node-0"));
    edge.fleet.write("nodes.yaml", &manifests).unwrap();
    edge.wait_up(&[0, 1, 2]);
}

#[test]
fn a_node_that_is_drained_gets_nothing_new_and_what_is_left_there_is_counted() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    edge.wait_up(&[0, 1, 2]);
    assert_eq!(edge.spread(V4, MANY).len(), NODES);
    let manifests = std::fs::read_to_string(edge.fleet.manifests().join("nodes.yaml")).unwrap();
    let drained = manifests.replace(
        "name: node-1, labels: {}",
        "name: node-1, labels: {}, annotations: {harbinger.dev/maintenance: \"true\"}",
    );
    assert_ne!(drained, manifests);
    edge.fleet.write("nodes.yaml", &drained).unwrap();
    edge.wait_up(&[0, 2]);
    let own = lab::Topology::node_ipv4(1);
    let shown = edge.wait_for("its connections are counted", |shown| {
        let mut lines = shown.draining.iter();
        lines.any(|line| line.address == own && line.connections.is_some_and(|n| n > 0))
    });
    println!("{:?}", shown.draining);
    assert!(!edge.spread(V4, MANY).contains_key("node-1"));
    edge.fleet.write("nodes.yaml", &manifests).unwrap();
    edge.wait_up(&[0, 1, 2]);
    assert!(edge.shown().unwrap().draining.is_empty());
}

/// The times of the probes come from the profile here, and so does the policy.
#[test]
fn a_profile_withdraws_the_address_while_no_node_is_healthy() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    let profile = "apiVersion: harbinger.dev/v1alpha1\nkind: FrontProfile\n\
        metadata: {name: quick, namespace: metallb-system}\nspec:\n  \
        health: {interval: 200ms, timeout: 100ms, fall: 2, rise: 1, fastInterval: 100ms, slowInterval: 200ms}\n  \
        panic: {policy: withdraw}\n  slowStart: 0s\n";
    edge.fleet.write("profile.yaml", profile).unwrap();
    edge.wait_up(&[0, 1, 2]);
    assert!(edge.get(V4).is_ok());
    let all = || edge.fleet.lab.ports[..NODES].iter();
    let died = Instant::now();
    all().for_each(|port| port.mute().unwrap());
    let announced = || edge.fleet.admin(EDGE, "/debug/facts").unwrap().contains(V4);
    lab::eventually(WITHIN, "the address is given back", || {
        (!announced()).then_some(())
    });
    println!("withdrawn {:?} after the last node died", died.elapsed());
    assert!(edge.get(V4).is_err());
    let back = Instant::now();
    all().for_each(|port| port.unmute().unwrap());
    lab::eventually(WITHIN, "it is announced again", || edge.get(V4).ok());
    println!("back {:?} after the nodes were", back.elapsed());
}
