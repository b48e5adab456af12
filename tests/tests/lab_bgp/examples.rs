//! The examples with their routers' configurations, as a newcomer would use them.

use std::path::Path;

use tests::fleet::{Fleet, WITHIN};
use tests::lab;
use tests::lab::router::{Bird, Frr, Router, await_bfd, await_routes};
use tests::lab::{Host, Port};

use crate::kit::{FIRST, FIRST_V6, node};

const NODES: usize = 3;

fn text(example: &str, file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    std::fs::read_to_string(root.join(example).join(file)).unwrap()
}

/// Three nodes run on the example's objects alone.
fn fleet(example: &str) -> Fleet {
    let mut fleet = Fleet::new(NODES).unwrap();
    fleet.remove("nodes.yaml").unwrap();
    fleet
        .write("objects.yaml", &text(example, "objects.yaml"))
        .unwrap();
    fleet.start_all().unwrap();
    fleet
}

fn every_node_is_a_path(router: &dyn Router) {
    await_routes(router, WITHIN, |routes| {
        routes.get(FIRST).is_some_and(|told| told.len() == NODES)
    });
}

fn every_path_is_watched(router: &dyn Router) {
    for n in 0..NODES {
        await_bfd(router, node(n), WITHIN, |session| session.state == "Up");
    }
}

#[test]
fn bgp_router_with_frr_and_with_bird() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let fleet = fleet("bgp-router");
    let frr = Frr::start(&fleet.lab.client, &text("bgp-router", "frr.conf")).unwrap();
    every_node_is_a_path(&frr);
    drop(frr);
    let bird = Bird::start(&fleet.lab.client, &text("bgp-router", "bird.conf")).unwrap();
    every_node_is_a_path(&bird);
}

#[test]
fn bgp_bfd_with_frr_and_with_bird() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let fleet = fleet("bgp-bfd");
    let frr = Frr::start(&fleet.lab.client, &text("bgp-bfd", "frr.conf")).unwrap();
    every_node_is_a_path(&frr);
    every_path_is_watched(&frr);
    drop(frr);
    let bird = Bird::start(&fleet.lab.client, &text("bgp-bfd", "bird.conf")).unwrap();
    every_node_is_a_path(&bird);
    every_path_is_watched(&bird);
}

/// A link without addresses from each node to the router.
pub(crate) fn uplinks(fleet: &Fleet) {
    for (n, node) in fleet.lab.nodes.iter().enumerate() {
        let far = format!("n{n}");
        node.add_veth_to("uplink", &fleet.lab.client, &far).unwrap();
        node.link_up("uplink").unwrap();
        fleet.lab.client.link_up(&far).unwrap();
    }
}

fn both_families_by_every_node(router: &dyn Router) {
    await_routes(router, WITHIN, |routes| {
        [FIRST, FIRST_V6]
            .iter()
            .all(|prefix| routes.get(*prefix).is_some_and(|told| told.len() == NODES))
    });
}

// BGP-13, BGP-14, BGP-141
#[test]
fn bgp_unnumbered_with_frr_and_with_bird() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let fleet = fleet("bgp-unnumbered");
    uplinks(&fleet);
    let frr = Frr::start(&fleet.lab.client, &text("bgp-unnumbered", "frr.conf")).unwrap();
    both_families_by_every_node(&frr);
    drop(frr);
    let bird = Bird::start(&fleet.lab.client, &text("bgp-unnumbered", "bird.conf")).unwrap();
    both_families_by_every_node(&bird);
}

#[test]
fn bgp_dual_stack_with_frr_and_with_bird() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let fleet = fleet("bgp-dual-stack");
    let frr = Frr::start(&fleet.lab.client, &text("bgp-dual-stack", "frr.conf")).unwrap();
    both_families_by_every_node(&frr);
    drop(frr);
    let bird = Bird::start(&fleet.lab.client, &text("bgp-dual-stack", "bird.conf")).unwrap();
    both_families_by_every_node(&bird);
}

/// The router of the second rack.
fn second_router(fleet: &Fleet) -> (Host, Port) {
    let host = Host::new("router-b").unwrap();
    let port = fleet.lab.lan.attach(&host, "eth0", &["192.0.2.101/24"]);
    (host, port.unwrap())
}

fn told_by(router: &dyn Router, nodes: &[usize]) {
    let mut wanted: Vec<_> = nodes.iter().map(|n| Some(node(*n))).collect();
    wanted.sort();
    await_routes(router, WITHIN, |routes| {
        let mut told: Vec<_> = match routes.get(FIRST) {
            Some(told) => told.iter().map(|route| route.peer).collect(),
            None => Vec::new(),
        };
        told.sort();
        told == wanted
    });
}

#[test]
fn bgp_two_racks_with_frr_and_with_bird() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let fleet = fleet("bgp-two-racks");
    let (host, _port) = second_router(&fleet);
    let conf = |file: &str| text("bgp-two-racks", file);
    let a = Frr::start(&fleet.lab.client, &conf("frr-a.conf")).unwrap();
    let b = Bird::start(&host, &conf("bird-b.conf")).unwrap();
    told_by(&a, &[0, 1]);
    told_by(&b, &[2]);
    drop((a, b));
    let a = Bird::start(&fleet.lab.client, &conf("bird-a.conf")).unwrap();
    let b = Frr::start(&host, &conf("frr-b.conf")).unwrap();
    told_by(&a, &[0, 1]);
    told_by(&b, &[2]);
}

/// What each route is told with, and what the router makes of it.
fn communities_hold(router: &dyn Router) {
    let routes = await_routes(router, WITHIN, |routes| {
        let all = |prefix| routes.get(prefix).is_some_and(|told| told.len() == NODES);
        all(FIRST) && all("203.0.112.0/32")
    });
    for route in &routes[FIRST] {
        assert!(route.communities.contains("64513:200"), "{route:?}");
        assert!(route.large_communities.contains("64512:1:7"), "{route:?}");
        assert_eq!(route.local_pref, Some(200), "{route:?}");
    }
    for route in &routes["203.0.112.0/32"] {
        let kept = ["65535:65281", "no-export", "noexport"];
        assert!(
            kept.iter().any(|c| route.communities.contains(*c)),
            "{route:?}"
        );
    }
}

#[test]
fn bgp_communities_with_frr_and_with_bird() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let fleet = fleet("bgp-communities");
    let frr = Frr::start(&fleet.lab.client, &text("bgp-communities", "frr.conf")).unwrap();
    communities_hold(&frr);
    drop(frr);
    let bird = Bird::start(&fleet.lab.client, &text("bgp-communities", "bird.conf")).unwrap();
    communities_hold(&bird);
}
