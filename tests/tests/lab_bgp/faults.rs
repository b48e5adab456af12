//! Sessions that must not come up, and routes that must go at once, or must not go.

use std::time::{Duration, Instant};

use tests::fleet::WITHIN;
use tests::lab;
use tests::lab::router::{Bird, Frr, Router, await_bfd, await_routes, await_session};

use crate::kit::{FIRST, ROUTER, bird, fleet, frr, node, peer, service};

/// A profile of 100 ms × 3.
const FAST: &str = "---\napiVersion: metallb.io/v1beta1\nkind: BFDProfile\n\
    metadata: {name: fast, namespace: metallb-system}\n\
    spec: {receiveInterval: 100, transmitInterval: 100, detectMultiplier: 3}\n";

// BGP-130, BGP-131
#[test]
fn a_node_that_is_stopped_loses_its_routes_by_bfd_long_before_the_hold_time() {
    if !lab::ready() {
        return;
    }
    let mut fleet = fleet(2, &(peer("r", ROUTER, ", bfdProfile: fast") + FAST));
    fleet.write("web.yaml", &service("web", false, 2)).unwrap();
    // BIRD waits a minute after an error unless it is told otherwise.
    let more = "bfd; error wait time 1, 2; connect delay time 1;";
    let router = Bird::start(&fleet.lab.client, &bird(2, more)).unwrap();
    fleet.start_all().unwrap();
    for n in 0..2 {
        await_bfd(&router, node(n), WITHIN, |session| session.state == "Up");
    }
    await_routes(&router, WITHIN, |routes| {
        routes.get(FIRST).is_some_and(|told| told.len() == 2)
    });
    let stopped = Instant::now();
    fleet.process(0).unwrap().stop();
    let routes = await_routes(&router, WITHIN, |routes| {
        routes.get(FIRST).is_some_and(|told| told.len() == 1)
    });
    assert_eq!(routes[FIRST][0].peer, Some(node(1)));
    println!(
        "routes gone {:?} after the process was stopped",
        stopped.elapsed()
    );
    fleet.process(0).unwrap().cont();
    await_routes(&router, WITHIN, |routes| {
        routes.get(FIRST).is_some_and(|told| told.len() == 2)
    });
}

// BGP-130
#[test]
fn a_dead_router_is_noticed_by_bfd_and_the_session_returns_with_it() {
    if !lab::ready() {
        return;
    }
    let mut fleet = fleet(
        1,
        &(peer("r", ROUTER, ", bfdProfile: fast, connectTime: 1s") + FAST),
    );
    fleet.write("web.yaml", &service("web", false, 1)).unwrap();
    let mut router = Bird::start(&fleet.lab.client, &bird(1, "bfd;")).unwrap();
    fleet.start(0).unwrap();
    await_bfd(&router, node(0), WITHIN, |session| session.state == "Up");
    await_session(&router, node(0), WITHIN, |session| session.is_established());
    router.process().stop();
    let said = |word: &str| {
        std::fs::read_to_string(fleet.log(0))
            .unwrap()
            .contains(word)
    };
    lab::eventually(WITHIN, "the node closes the session", || {
        said("bgpDown").then_some(())
    });
    router.process().cont();
    await_routes(&router, Duration::from_secs(90), |routes| {
        routes.contains_key(FIRST)
    });
}

// BGP-07, BGP-08
#[test]
fn a_wrong_password_is_no_session_and_the_right_one_is_taken_up_without_a_restart() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let locked = |word: &str| peer("r", ROUTER, &format!(", password: {word}, connectTime: 1s"));
    let mut fleet = fleet(1, &locked("wrong"));
    fleet.write("web.yaml", &service("web", false, 1)).unwrap();
    let router = Frr::start(&fleet.lab.client, &frr(1, &["neighbor {} password right"])).unwrap();
    fleet.start(0).unwrap();
    let log = fleet.log(0);
    let said = |word: &str| std::fs::read_to_string(&log).unwrap().contains(word);
    lab::eventually(WITHIN, "the node says why", || {
        said("check password").then_some(())
    });
    assert!(
        !router
            .session(node(0))
            .unwrap()
            .is_some_and(|session| session.is_established())
    );
    fleet.write("peers.yaml", &locked("right")).unwrap();
    await_routes(&router, WITHIN, |routes| routes.contains_key(FIRST));
    assert!(
        !said("\"wrong\"") && !said("right"),
        "no password in the log"
    );
}

// BGP-74, BGP-142
#[test]
fn a_stop_withdraws_and_with_graceful_restart_the_router_keeps_the_routes() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let mut fleet = fleet(1, &peer("r", ROUTER, ""));
    fleet.write("web.yaml", &service("web", false, 1)).unwrap();
    let router = Frr::start(&fleet.lab.client, &frr(1, &["bgp graceful-restart"])).unwrap();
    fleet.start(0).unwrap();
    await_routes(&router, WITHIN, |routes| routes.contains_key(FIRST));
    assert!(fleet.stop(0).unwrap().success());
    await_routes(&router, WITHIN, |routes| routes.is_empty());

    fleet
        .write(
            "peers.yaml",
            &peer("r", ROUTER, ", enableGracefulRestart: true"),
        )
        .unwrap();
    fleet.start(0).unwrap();
    await_routes(&router, WITHIN, |routes| routes.contains_key(FIRST));
    fleet.kill(0).unwrap();
    await_session(&router, node(0), WITHIN, |session| {
        !session.is_established()
    });
    assert!(
        router.routes().unwrap().contains_key(FIRST),
        "kept while we are away"
    );
    fleet.start(0).unwrap();
    await_session(&router, node(0), WITHIN, |session| session.is_established());
    await_routes(&router, WITHIN, |routes| {
        routes
            .get(FIRST)
            .is_some_and(|told| told.iter().all(|route| !route.stale))
    });
}
