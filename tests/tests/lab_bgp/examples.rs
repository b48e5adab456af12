//! The examples with their routers' configurations, as a newcomer would use them.

use std::path::Path;

use tests::fleet::{Fleet, WITHIN};
use tests::lab;
use tests::lab::router::{Bird, Frr, Router, await_bfd, await_routes};

use crate::kit::{FIRST, node};

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
