//! What stays of a front when its process ends, in good order and not.

use std::net::SocketAddr;

use tests::fleet::V4;
use tests::lab::{self, client};

use crate::kit::{ANSWER, EDGE, Edge};

#[test]
fn a_killed_process_leaves_its_table_and_the_next_takes_it_over() {
    if !lab::ready() {
        return;
    }
    let mut edge = Edge::new();
    edge.wait_up(&[0, 1, 2]);
    // Now the client knows where the address is; nobody tells it any more after the kill.
    edge.spread(V4, 5);
    edge.fleet.kill(EDGE).unwrap();
    edge.spread(V4, 20);
    edge.fleet.start(EDGE).unwrap();
    edge.wait_up(&[0, 1, 2]);
    edge.spread(V4, 20);
}

#[test]
fn a_stopped_process_takes_its_table_along() {
    if !lab::ready() {
        return;
    }
    let mut edge = Edge::with(&crate::kit::service(""), &["--linger", "0s"]);
    edge.wait_up(&[0, 1, 2]);
    edge.spread(V4, 5);
    let status = edge.fleet.stop(EDGE).unwrap();
    assert!(status.success(), "{status}\n{}", edge.fleet.logs());
    let to = SocketAddr::new(V4.parse().unwrap(), 80);
    client::connect(&edge.fleet.lab.client, to, ANSWER).unwrap_err();
}

#[test]
fn a_table_that_is_to_stay_stays() {
    if !lab::ready() {
        return;
    }
    let mut edge = Edge::with(
        &crate::kit::service(""),
        &["--linger", "0s", "--keep-on-exit"],
    );
    edge.wait_up(&[0, 1, 2]);
    edge.spread(V4, 5);
    let status = edge.fleet.stop(EDGE).unwrap();
    assert!(status.success(), "{status}\n{}", edge.fleet.logs());
    // The client still has the address in its cache.
    edge.spread(V4, 20);
}
