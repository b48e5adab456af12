//! The bundle against a router that is the same machine, waiting: bytes are carried by hand.

mod leaving;

use super::place::crc32;
use super::{RouterAction, RouterEvent, Routers};
use crate::config::bgp::{BgpConfig, bgp};
use crate::config::pools;
use crate::elect::Elector;
use crate::elect::tests::build::*;
use crate::facts::Interface;
use crate::name::NamespacedName;
use crate::routes::{Routes, Session};
use crate::speaker::tests::lan::base;
use crate::world::*;
use bgp::{Close, ConnId, Endpoints, Peer, PeerEvent, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUTER: &str = "192.0.2.1";
const OURS: &str = "192.0.2.10";

/// A node on the router's link.
fn interfaces() -> BTreeMap<u32, Interface> {
    let eth0 = Interface {
        index: 2,
        name: "eth0".into(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        ethernet: true,
        up: true,
        carrier: true,
        broadcast: true,
        addresses: vec![format!("{OURS}/24").parse().unwrap()],
        ..Interface::default()
    };
    BTreeMap::from([(2, eth0)])
}

fn raw_peer() -> BgpPeer {
    BgpPeer {
        name: NamespacedName::new(NAMESPACE, "r"),
        my_asn: 64512,
        peer_asn: Some(64513),
        peer_address: Some(ROUTER.into()),
        ..BgpPeer::default()
    }
}

/// The sessions of node n1 with these addresses served.
fn sessions(peer: BgpPeer, addresses: &[&str]) -> Arc<BTreeMap<String, Session>> {
    let mut build = Build::bare(&["n1"]);
    build.add(Change::BgpPeer(Delta::Upsert(stored(peer))));
    build.add(Change::BfdProfile(Delta::Upsert(stored(BfdProfile {
        name: NamespacedName::new(NAMESPACE, "fast"),
        ..BfdProfile::default()
    }))));
    build.add(Change::BgpAdvertisement(Delta::Upsert(stored(
        BgpAdvertisement {
            name: NamespacedName::new(NAMESPACE, "a"),
            aggregation_length: 32,
            aggregation_length_v6: 128,
            ..BgpAdvertisement::default()
        },
    ))));
    for address in addresses {
        build.served(service(&format!("web-{address}"), &[address]));
    }
    let (set, _) = pools(&build.world, NAMESPACE);
    let set = Arc::new(set);
    let (config, problems): (BgpConfig, _) = bgp(&build.world, &set, NAMESPACE);
    assert_eq!(problems, []);
    let mut elector = Elector::default();
    elector.set_config(Arc::clone(&set), Vec::new());
    elector.update(&build.world);
    let mut routes = Routes::new("n1", Default::default());
    routes.set_config(set, Arc::new(config));
    routes.update(&build.world, &elector, &BTreeSet::new());
    Arc::new(routes.sessions().clone())
}

/// A node and the router it talks to.
struct Pair {
    now: Instant,
    node: Routers,
    router: Peer,
    link: Option<(ConnId, ConnId)>,
    events: Vec<RouterEvent>,
    /// What the router was told.
    updates: usize,
}

impl Pair {
    fn new(sessions: &Arc<BTreeMap<String, Session>>) -> Self {
        let now = base();
        let settings = Settings {
            passive: true,
            ..Settings::new(64513, 64512, Ipv4Addr::new(192, 0, 2, 1))
        };
        let config = bgp::Config::new(settings).unwrap();
        let mut node = Routers::new("n1", 7, now);
        node.set_interfaces(&interfaces(), now);
        node.set_sessions(sessions, now);
        let mut pair = Self {
            now,
            node,
            router: Peer::new(config, 8, now),
            link: None,
            events: Vec::new(),
            updates: 0,
        };
        pair.run();
        pair
    }

    /// Carries everything until nothing moves.
    fn run(&mut self) {
        for _ in 0..100 {
            let mut moved = false;
            while let Some(action) = self.node.poll_action() {
                moved = true;
                self.act(action);
            }
            while let Some(action) = self.router.poll_action() {
                moved = true;
                if let (bgp::Action::Close(..), Some((ours, _))) = (action, self.link.take()) {
                    self.node.closed("r", ours, bgp::Closed::ByPeer, self.now);
                }
            }
            moved |= self.carry();
            while let Some(event) = self.node.poll_event() {
                self.events.push(event);
            }
            while self.router.poll_event().is_some() {}
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn act(&mut self, action: RouterAction) {
        let ends: (SocketAddr, SocketAddr) = (
            SocketAddr::new(OURS.parse().unwrap(), 40_000),
            SocketAddr::new(ROUTER.parse().unwrap(), 179),
        );
        match action {
            RouterAction::Connect { peer, conn, dial } => {
                assert_eq!((peer.as_str(), dial.remote, dial.ttl), ("r", ends.1, 1));
                let theirs = self
                    .router
                    .handle_accepted(Endpoints::new(ends.1, ends.0), self.now);
                let theirs = theirs.expect("the router takes the connection");
                self.link = Some((conn, theirs));
                self.node.connected("r", conn, ends.0, ends.1, self.now);
            }
            RouterAction::Close { how, .. } => {
                self.carry();
                if let Some((_, theirs)) = self.link.take() {
                    let how = match how {
                        Close::Finish => bgp::Closed::ByPeer,
                        Close::Abort => bgp::Closed::Reset,
                    };
                    self.router.handle_closed(theirs, how, self.now);
                }
            }
            RouterAction::Bfd(_) | RouterAction::Discover(_) | RouterAction::Undiscover(_) => {}
        }
    }

    fn carry(&mut self) -> bool {
        let mut moved = false;
        while let Some((ours, theirs)) = self.link {
            let out = self.node.transmit("r", ours, 4_096, self.now);
            let back = self.router.poll_transmit(theirs, 4_096, self.now);
            if out.is_none() && back.is_none() {
                break;
            }
            moved = true;
            if let Some(octets) = out {
                // Type 2 in the header is an UPDATE; each message was asked for alone or with others.
                self.updates += octets
                    .windows(19)
                    .filter(|w| w[..16] == [0xff; 16] && w[18] == 2)
                    .count();
                self.router.handle_bytes(theirs, &octets, self.now);
            }
            if let Some(octets) = back {
                self.node.bytes("r", ours, &octets, self.now);
            }
        }
        moved
    }

    fn state(&self) -> bgp::State {
        self.node.views().next().expect("a session").2.state()
    }

    fn sent(&self) -> Vec<String> {
        let (_, _, machine) = self.node.views().next().expect("a session");
        machine
            .advertised()
            .map(|(prefix, _)| prefix.to_string())
            .collect()
    }

    fn later(&mut self, by: Duration) {
        let end = self.now + by;
        for turn in 0.. {
            assert!(turn < 1_000, "its deadlines do not move");
            let Some(due) = self.node.poll_timeout().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }
}

#[test]
fn a_session_comes_up_and_carries_the_plan() {
    let mut pair = Pair::new(&sessions(raw_peer(), &["10.0.0.1", "10.0.0.2"]));
    assert_eq!(pair.state(), bgp::State::Established);
    assert_eq!(pair.sent(), ["10.0.0.1/32", "10.0.0.2/32"]);
    let established = |event: &RouterEvent| {
        matches!(
            event,
            RouterEvent::Peer {
                event: PeerEvent::Established(_),
                ..
            }
        )
    };
    assert_eq!(pair.events.iter().filter(|e| established(e)).count(), 1);
    // Two host routes in one message, and the End-of-RIB.
    assert_eq!(pair.updates, 2);

    pair.node
        .set_sessions(&sessions(raw_peer(), &["10.0.0.2", "10.0.0.3"]), pair.now);
    pair.run();
    assert_eq!(pair.sent(), ["10.0.0.2/32", "10.0.0.3/32"]);
    assert_eq!(
        pair.updates, 4,
        "one withdrawal, one announcement, and not a byte for what stayed"
    );
}

#[test]
fn a_missing_source_address_waits_and_begins_when_it_comes() {
    let peer = BgpPeer {
        source_address: Some("192.0.2.99".into()),
        ..raw_peer()
    };
    let mut pair = Pair::new(&sessions(peer, &["10.0.0.1"]));
    assert_eq!(pair.state(), bgp::State::Idle);
    let view = pair.node.views().next().unwrap().2.view();
    assert_eq!(view.obstacle, Some(bgp::Obstacle::SourceAddressMissing));
    let mut with = interfaces();
    let eth0 = with.get_mut(&2).unwrap();
    eth0.addresses.push("192.0.2.99/24".parse().unwrap());
    pair.node.set_interfaces(&with, pair.now);
    pair.run();
    assert_eq!(pair.state(), bgp::State::Established);
}

#[test]
fn a_peer_that_goes_is_told_before_it_is_forgotten() {
    let mut pair = Pair::new(&sessions(raw_peer(), &["10.0.0.1"]));
    pair.node.set_sessions(&Arc::default(), pair.now);
    pair.run();
    pair.later(Duration::from_secs(3));
    assert_eq!(pair.node.views().count(), 0);
    let state = pair.router.state();
    assert_ne!(state, bgp::State::Established);
}

// BGP-74
#[test]
fn a_stop_withdraws_says_goodbye_and_ends() {
    let mut pair = Pair::new(&sessions(raw_peer(), &["10.0.0.1"]));
    pair.node.stop(pair.now);
    pair.run();
    pair.later(Duration::from_secs(4));
    assert!(pair.node.is_stopped());
    assert_eq!(pair.node.poll_timeout(), None);
}

// BGP-130
#[test]
fn a_lost_path_closes_the_session_in_the_same_call() {
    let peer = BgpPeer {
        bfd_profile: Some("fast".into()),
        ..raw_peer()
    };
    let mut pair = Pair::new(&sessions(peer, &["10.0.0.1"]));
    assert_eq!(
        pair.state(),
        bgp::State::Established,
        "BFD that never came up holds nothing back"
    );
    // A BFD peer that answers until it is silent.
    let address: IpAddr = ROUTER.parse().unwrap();
    let mut far = bfd::Endpoint::new(9, pair.now);
    let key = bfd::SessionKey::new(OURS.parse().unwrap(), bfd::Mode::SingleHop);
    far.set_sessions(&BTreeMap::from([(key, bfd::Profile::default())]), pair.now);
    let meta = |remote: IpAddr, local: IpAddr, now: Instant| bfd::Meta {
        remote,
        local: Some(local),
        interface: 2,
        vrf: None,
        mode: bfd::Mode::SingleHop,
        ttl: Some(255),
        received: now,
    };
    let ours: IpAddr = OURS.parse().unwrap();
    let up = |pair: &Pair| {
        pair.node
            .bfd_status("r")
            .is_some_and(|s| s.state == bfd::State::Up)
    };
    for _ in 0..400 {
        pair.now += Duration::from_millis(50);
        far.handle_timeout(pair.now);
        while let Some(sent) = far.poll_transmit() {
            pair.node
                .bfd_datagram(&sent.bytes, &meta(address, ours, pair.now), pair.now);
        }
        pair.node.handle_timeout(pair.now);
        while let Some(sent) = pair.node.bfd_transmit() {
            far.handle_datagram(&sent.bytes, &meta(ours, address, pair.now), pair.now);
        }
        pair.run();
        if up(&pair) {
            break;
        }
    }
    assert!(up(&pair), "BFD comes up");
    pair.events.clear();
    let deadline = pair.now + Duration::from_secs(5);
    let mut turns = 0;
    while pair.events.is_empty() && pair.now < deadline {
        turns += 1;
        assert!(turns < 1_000, "its deadlines do not move");
        let due = pair.node.poll_timeout().expect("a deadline");
        pair.now = pair.now.max(due);
        pair.node.handle_timeout(pair.now);
        while pair.node.bfd_transmit().is_some() {}
        if !up(&pair) {
            assert_ne!(pair.state(), bgp::State::Established, "not one call later");
        }
        while let Some(event) = pair.node.poll_event() {
            pair.events.push(event);
        }
    }
    assert!(
        pair.events
            .iter()
            .any(|event| matches!(event, RouterEvent::Bfd(_)))
    );
    assert_ne!(pair.state(), bgp::State::Established);
}

// BGP-37
#[test]
fn the_identifier_without_any_address_is_the_crc_of_the_name() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
