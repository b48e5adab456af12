//! A node that is to carry nothing any more, and an unnumbered link.

use super::*;
use crate::routes::Departure;
use std::net::Ipv6Addr;

const WAIT: Duration = Duration::from_secs(4);

fn leaving_peer() -> BgpPeer {
    BgpPeer {
        annotations: BTreeMap::from([("harbinger.dev/drain-wait".to_owned(), "4s".to_owned())]),
        ..raw_peer()
    }
}

/// Communities of what the router was told.
fn communities(pair: &Pair) -> Vec<String> {
    let (_, _, machine) = pair.node.views().next().expect("a session");
    let told = machine.advertised();
    told.flat_map(|(_, attributes)| attributes.communities.iter().map(ToString::to_string))
        .collect()
}

fn stopped(pair: &Pair) -> bool {
    let over = |event: &RouterEvent| {
        matches!(
            event,
            RouterEvent::Peer {
                event: PeerEvent::Stopped,
                ..
            }
        )
    };
    pair.events.iter().any(over)
}

// BGP-99
#[test]
fn maintenance_tells_waits_withdraws_and_ends_with_a_word_and_its_end_brings_all_back() {
    let serving = sessions(leaving_peer(), &["10.0.0.1"]);
    let empty = sessions(leaving_peer(), &[]);
    let mut pair = Pair::new(&serving);
    pair.node.set_departure(Departure::Maintenance, pair.now);
    pair.node.set_sessions(&empty, pair.now);
    pair.run();
    pair.later(WAIT - Duration::from_millis(1));
    assert_eq!(pair.state(), bgp::State::Established);
    assert_eq!(pair.sent(), ["10.0.0.1/32"], "told as going, and not gone");
    pair.later(Duration::from_secs(2));
    assert_eq!(pair.state(), bgp::State::Idle);
    assert!(stopped(&pair));
    let error = pair.router.view().last_error.expect("it was told why");
    assert!(
        error.reason.to_string().contains("node drained"),
        "{}",
        error.reason
    );
    // It is still shown, and dials nobody.
    pair.later(Duration::from_secs(120));
    assert_eq!(pair.node.views().count(), 1);
    assert_eq!(pair.state(), bgp::State::Idle);

    pair.node.set_departure(Departure::Stays, pair.now);
    pair.node.set_sessions(&serving, pair.now);
    pair.run();
    pair.later(Duration::from_secs(60));
    assert_eq!(pair.state(), bgp::State::Established);
    assert_eq!(pair.sent(), ["10.0.0.1/32"]);
    assert_eq!(communities(&pair), Vec::<String>::new());
}

// BGP-99
#[test]
fn maintenance_that_is_taken_back_in_time_withdraws_nothing() {
    let serving = sessions(leaving_peer(), &["10.0.0.1"]);
    let mut pair = Pair::new(&serving);
    pair.node.set_departure(Departure::Maintenance, pair.now);
    pair.node
        .set_sessions(&sessions(leaving_peer(), &[]), pair.now);
    pair.run();
    pair.later(WAIT / 2);
    pair.node.set_departure(Departure::Stays, pair.now);
    pair.node.set_sessions(&serving, pair.now);
    pair.run();
    pair.later(Duration::from_secs(30));
    assert_eq!(pair.state(), bgp::State::Established);
    assert_eq!(pair.sent(), ["10.0.0.1/32"]);
    assert!(!stopped(&pair));
}

// BGP-134
#[test]
fn an_excluded_node_keeps_its_sessions_and_withdraws_in_two_steps() {
    let serving = sessions(leaving_peer(), &["10.0.0.1"]);
    let empty = sessions(leaving_peer(), &[]);
    let mut pair = Pair::new(&serving);
    pair.node.set_departure(Departure::Excluded, pair.now);
    pair.node.set_sessions(&empty, pair.now);
    pair.run();
    assert_eq!(communities(&pair), ["65535:0"]);
    pair.later(WAIT - Duration::from_millis(1));
    assert_eq!(pair.sent(), ["10.0.0.1/32"]);
    pair.later(Duration::from_millis(1));
    assert_eq!(pair.sent(), Vec::<String>::new());
    pair.later(Duration::from_secs(30));
    assert_eq!(pair.state(), bgp::State::Established);
    assert!(!stopped(&pair));

    pair.node.set_departure(Departure::Stays, pair.now);
    pair.node.set_sessions(&serving, pair.now);
    pair.run();
    assert_eq!(pair.sent(), ["10.0.0.1/32"]);
    assert_eq!(communities(&pair), Vec::<String>::new());
}

#[test]
fn a_peer_that_goes_while_the_node_is_in_maintenance_is_forgotten() {
    let mut pair = Pair::new(&sessions(leaving_peer(), &["10.0.0.1"]));
    pair.node.set_departure(Departure::Maintenance, pair.now);
    pair.run();
    pair.later(WAIT + Duration::from_secs(2));
    pair.node.set_sessions(&Arc::default(), pair.now);
    pair.run();
    pair.later(Duration::from_secs(3));
    assert_eq!(pair.node.views().count(), 0);
    pair.node.stop(pair.now);
    pair.run();
    pair.later(Duration::from_secs(1));
    assert!(pair.node.is_stopped());
}

/// What the node asks for, attempts that are given up aside.
fn actions(node: &mut Routers) -> Vec<RouterAction> {
    std::iter::from_fn(|| node.poll_action())
        .filter(|action| !matches!(action, RouterAction::Close { .. }))
        .collect()
}

// BGP-13, BGP-14
#[test]
fn an_unnumbered_peer_is_dialled_on_its_link_as_soon_as_it_is_heard() {
    let now = base();
    let peer = BgpPeer {
        peer_address: None,
        interface: Some("eth0".into()),
        ..raw_peer()
    };
    let mut node = Routers::new("n1", 7, now);
    let mut with = interfaces();
    let eth0 = with.get_mut(&2).unwrap();
    eth0.addresses.push("fe80::10/64".parse().unwrap());
    node.set_interfaces(&with, now);
    node.set_sessions(&sessions(peer, &["10.0.0.1"]), now);
    assert_eq!(actions(&mut node), [RouterAction::Discover(2)]);
    let view = node.views().next().unwrap().2.view();
    assert_eq!(view.obstacle, Some(bgp::Obstacle::NeighborUnknown));
    node.handle_timeout(now);
    let sent: Vec<bool> = std::iter::from_fn(|| node.discovery_transmit())
        .map(|message| message.to_routers)
        .collect();
    assert_eq!(
        sent,
        [false, true],
        "one to all nodes, a question to all routers"
    );

    let advertisement = l2::packet::router::advertisement(None);
    let own: Ipv6Addr = "fe80::10".parse().unwrap();
    node.discovered(2, own, Some(255), &advertisement, now);
    assert_eq!(actions(&mut node), [], "our own word is nobody's");
    let router: Ipv6Addr = "fe80::1".parse().unwrap();
    node.discovered(2, router, Some(255), &advertisement, now);
    let dial = match actions(&mut node).as_slice() {
        [RouterAction::Connect { dial, .. }] => dial.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(dial.remote, "[fe80::1%2]:179".parse().unwrap());
    assert_eq!((dial.device, dial.ttl), (Some(2), 1));

    with.get_mut(&2).unwrap().up = false;
    node.set_interfaces(&with, now);
    assert!(actions(&mut node).contains(&RouterAction::Undiscover(2)));
    let view = node.views().next().unwrap().2.view();
    assert_eq!(view.obstacle, Some(bgp::Obstacle::InterfaceMissing));
}
