//! A node that is to carry nothing any more: the routers hear it before the routes go.

use std::time::{Duration, Instant};

use tests::fleet::{self, WITHIN};
use tests::lab;
use tests::lab::router::{Bird, Router, await_routes, await_session};

use crate::kit::{FIRST, ROUTER, bird, fleet, node, peer, service};

const WAIT: Duration = Duration::from_secs(2);
const GOING: &str = "65535:0";

/// Node 0 with this line in its metadata.
fn nodes(metadata: &str) -> String {
    let first = fleet::node_manifest(0, "").replace("labels: {}", metadata);
    first + &fleet::node_manifest(1, "")
}

/// Whether the node's path is told as one that is about to go.
fn going(router: &dyn Router, n: usize) -> Option<bool> {
    let routes = router.routes().unwrap();
    let told = routes
        .get(FIRST)?
        .iter()
        .find(|r| r.peer == Some(node(n)))?;
    Some(told.communities.contains(GOING))
}

fn two_steps(metadata: &str, session_stays: bool) {
    let patient = peer("r", ROUTER, ", connectTime: 1s").replace(
        "metadata: {name: r,",
        "metadata: {name: r, annotations: {harbinger.dev/drain-wait: 2s},",
    );
    let mut fleet = fleet(2, &patient);
    fleet.write("web.yaml", &service("web", false, 2)).unwrap();
    let more = "error wait time 1, 2; connect delay time 1;";
    let router = Bird::start(&fleet.lab.client, &bird(2, more)).unwrap();
    fleet.start_all().unwrap();
    let both = |router: &dyn Router| {
        await_routes(router, WITHIN, |routes| {
            let told = routes.get(FIRST).map(Vec::as_slice).unwrap_or_default();
            told.len() == 2 && told.iter().all(|r| !r.communities.contains(GOING))
        });
    };
    both(&router);
    fleet.write("nodes.yaml", &nodes(metadata)).unwrap();
    let told = Instant::now();
    lab::eventually(WITHIN, "the route is told as going", || {
        going(&router, 0).filter(|going| *going)
    });
    assert_eq!(going(&router, 1), Some(false), "the other node stays");
    lab::eventually(WITHIN, "the route is withdrawn", || {
        going(&router, 0).is_none().then_some(())
    });
    // The router is polled, so the first sight may be late; never early by more than that.
    assert!(told.elapsed() > WAIT / 2, "{:?}", told.elapsed());
    if session_stays {
        await_session(&router, node(0), WITHIN, |session| session.is_established());
    } else {
        let ended = await_session(&router, node(0), WITHIN, |session| {
            !session.is_established()
        });
        println!("the router was told {:?}", ended.last_error);
    }
    fleet.write("nodes.yaml", &nodes("labels: {}")).unwrap();
    both(&router);
}

// BGP-99
#[test]
fn maintenance_is_told_then_withdrawn_and_the_session_ends_and_returns() {
    if lab::ready() {
        two_steps("annotations: {harbinger.dev/maintenance: \"true\"}", false);
    }
}

// BGP-134
#[test]
fn an_excluded_nodes_routes_go_in_two_steps_and_its_session_stays() {
    if lab::ready() {
        two_steps(
            "labels: {node.kubernetes.io/exclude-from-external-load-balancers: \"\"}",
            true,
        );
    }
}
