//! Which ports of an address are open, and to whom.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tests::fleet::{V4, V6};
use tests::lab::{self, client};

use crate::kit::{ANSWER, Edge, service};

#[test]
fn the_other_ports_of_an_address_are_closed() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::new();
    for address in [V4, V6] {
        // 22 is nobody's; 81 is the Service's and has no NodePort.
        for port in [22, 81] {
            let to = SocketAddr::new(address.parse().unwrap(), port);
            let error = client::connect(&edge.fleet.lab.client, to, ANSWER).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{to}: {error}");
        }
    }
    let events = std::fs::read_to_string(edge.fleet.log(crate::kit::EDGE)).unwrap();
    assert!(!events.contains("\"panicked"), "{events}");
}

#[test]
fn only_the_source_ranges_get_in() {
    if !lab::ready() {
        return;
    }
    let edge = Edge::with(
        &service("  loadBalancerSourceRanges: [198.51.100.0/24, \"2001:db8:9::/64\"]\n"),
        &[],
    );
    for address in [V4, V6] {
        let to = SocketAddr::new(address.parse().unwrap(), 80);
        client::connect(&edge.fleet.lab.client, to, ANSWER).unwrap_err();
    }
    edge.fleet
        .write(
            "web.yaml",
            &service("  loadBalancerSourceRanges: [192.0.2.0/24, \"2001:db8:2::/64\"]\n"),
        )
        .unwrap();
    edge.wait_for("the new ranges", |shown| {
        shown.ports.iter().all(|port| {
            let mut ranges = port.source_ranges.iter();
            ranges.any(|range| range == "192.0.2.0/24")
        })
    });
    for address in [V4, V6] {
        edge.spread(address, 5);
    }
}
