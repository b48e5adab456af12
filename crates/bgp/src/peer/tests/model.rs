//! The outbound set against a model of a router: what it holds, and how much it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use proptest::prelude::*;

use super::rig::*;
use crate::message::{Attributes, Community, Families, NextHop, Update};
use crate::peer::{ConnId, Endpoints};
use crate::{Closed, RouteAttributes, RouteSet, Settings};

type Held = BTreeMap<IpNetwork, (NextHop, Attributes)>;

#[derive(Clone, Debug)]
enum Step {
    /// Prefix n with attributes of this kind, or gone.
    Route(u32, Option<u8>),
    /// Everything at once.
    Routes(Vec<(u32, u8)>),
    Read(usize),
    Refresh,
    Reset,
    Time,
    Drain,
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u32..40, prop::option::of(0_u8..5)).prop_map(|(n, kind)| Step::Route(n, kind)),
        2 => prop::collection::vec((0_u32..40, 0_u8..5), 0..40).prop_map(Step::Routes),
        6 => (1_usize..400).prop_map(Step::Read),
        2 => Just(Step::Refresh),
        1 => Just(Step::Reset),
        2 => Just(Step::Time),
        1 => Just(Step::Drain),
        1 => Just(Step::Start),
    ]
}

fn prefix(n: u32) -> IpNetwork {
    if n.is_multiple_of(3) {
        IpNetwork::new(
            std::net::Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(n)).into(),
            128,
        )
        .unwrap()
    } else {
        host(n)
    }
}

fn kind(n: u8) -> Arc<RouteAttributes> {
    Arc::new(RouteAttributes {
        communities: (0..n % 3)
            .map(|c| Community::new(1, u16::from(c)))
            .collect(),
        // A next hop of the wrong family for some: withheld.
        next_hop: (n == 4).then(|| "2001:db8::99".parse().unwrap()),
        med: (n == 3).then_some(3),
        ..RouteAttributes::default()
    })
}

struct Router {
    rig: Rig,
    conn: ConnId,
    octets: Vec<u8>,
    held: Held,
    told: usize,
}

impl Router {
    fn new() -> Router {
        let mut rig = Rig::new(Settings {
            families: Families::BOTH,
            drain_wait: secs(600),
            ..settings()
        });
        rig.open.capabilities.extended_messages = false;
        let conn = ConnId(0);
        let mut router = Router {
            rig,
            conn,
            octets: Vec::new(),
            held: Held::new(),
            told: 0,
        };
        router.up();
        router
    }

    fn up(&mut self) {
        self.rig.until_dial();
        self.conn = self.rig.dialled();
        let ends = Endpoints {
            ipv6: Some("2001:db8::1".parse().unwrap()),
            ..ends()
        };
        self.rig
            .peer
            .handle_connected(self.conn, ends, self.rig.now);
        self.rig.establish_on(self.conn);
        self.held.clear();
        self.octets.clear();
    }

    fn read(&mut self, budget: usize) {
        self.octets.extend(
            self.rig
                .peer
                .poll_transmit(self.conn, budget, self.rig.now)
                .unwrap_or_default(),
        );
        // Whole messages only.
        let mut at = 0;
        while let Some(length) = self.octets.get(at + 16..at + 18) {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            if self.octets.len() < at + length {
                break;
            }
            at += length;
        }
        let whole: Vec<u8> = self.octets.drain(..at).collect();
        for update in updates(&self.rig.read(&whole)) {
            match update {
                Update::Announced {
                    prefixes,
                    next_hop,
                    attributes,
                } => {
                    self.told += prefixes.len();
                    self.held.extend(
                        prefixes
                            .into_iter()
                            .map(|prefix| (prefix, (next_hop, attributes.clone()))),
                    );
                }
                Update::Withdrawn(prefixes) => {
                    self.told += prefixes.len();
                    for prefix in prefixes {
                        assert!(self.held.remove(&prefix).is_some(), "{prefix} was not held");
                    }
                }
                Update::EndOfRib(_) => {}
            }
        }
    }

    fn flush(&mut self) {
        while self.rig.peer.wants_write(self.conn) {
            self.read(5_000);
        }
    }
}

/// What the router must hold, by another way than the machine's.
fn wanted(routes: &BTreeMap<u32, u8>, draining: bool) -> Held {
    let mut held = Held::new();
    for (n, of) in routes {
        let (prefix, route) = (prefix(*n), kind(*of));
        let hop = match (prefix.is_ipv4(), route.next_hop) {
            (true, None) => NextHop::V4(OUR_ID),
            (true, Some(_)) => continue,
            (false, hop) => {
                let global = hop
                    .map_or("2001:db8::1".to_owned(), |hop| hop.to_string())
                    .parse()
                    .unwrap();
                NextHop::V6 {
                    global,
                    link_local: None,
                }
            }
        };
        let mut communities: Vec<Community> = route.communities.iter().copied().collect();
        communities.extend(draining.then_some(Community::GRACEFUL_SHUTDOWN));
        let attributes = Attributes {
            as_path: crate::AsPath::repeated(crate::Asn(OUR_ASN), 1),
            med: route.med,
            communities,
            ..Attributes::default()
        };
        held.insert(prefix, (hop, attributes));
    }
    held
}

fn as_set(routes: &BTreeMap<u32, u8>) -> RouteSet {
    let mut set = RouteSet::new();
    for (n, of) in routes {
        set.insert(prefix(*n), kind(*of)).unwrap();
    }
    set
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // BGP-80
    // BGP-81
    // BGP-100
    // BGP-101
    #[test]
    fn whatever_happens_the_router_ends_up_with_what_is_wanted(steps in prop::collection::vec(step(), 1..80)) {
        let mut router = Router::new();
        let (mut routes, mut draining) = (BTreeMap::new(), false);
        for step in steps {
            match step {
                Step::Route(n, Some(of)) => { routes.insert(n, of); }
                Step::Route(n, None) => { routes.remove(&n); }
                Step::Routes(all) => routes = all.into_iter().collect(),
                Step::Read(budget) => router.read(budget),
                Step::Refresh => router.rig.ask_refresh(router.conn),
                Step::Reset if !draining => {
                    router.rig.peer.handle_closed(router.conn, Closed::Reset, router.rig.now);
                    router.up();
                }
                Step::Time => {
                    router.rig.say(router.conn, &crate::Message::Keepalive);
                    router.rig.advance(millis(700));
                }
                // A drain with nothing announced ends the session at once.
                Step::Drain if router.rig.peer.advertised().count() > 0 => {
                    router.rig.peer.drain(router.rig.now);
                    draining = true;
                }
                Step::Start => {
                    router.rig.peer.start(router.rig.now);
                    draining = false;
                }
                Step::Reset | Step::Drain => {}
            }
            router.rig.peer.set_routes(&as_set(&routes), router.rig.now);
            let out = router.rig.peer.established().unwrap().outbound.as_ref().unwrap();
            prop_assert!(out.pending() <= 80, "bounded by prefixes, not by changes");
        }
        router.rig.advance(secs(2));
        router.flush();
        let expected = wanted(&routes, draining);
        prop_assert_eq!(&router.held, &expected);
        let sent: Vec<IpNetwork> = router.rig.peer.advertised().map(|(prefix, _)| *prefix).collect();
        prop_assert_eq!(sent, expected.keys().copied().collect::<Vec<_>>());
        let view = router.rig.peer.view();
        prop_assert_eq!(view.routes_withheld, routes.len() - expected.len());
        prop_assert_eq!((view.routes_pending, view.routes_unsendable), (0, 0));
        prop_assert!(view.announced_all);
        // The same again says nothing; an equal set of other values neither.
        router.told = 0;
        router.rig.peer.set_routes(&as_set(&routes), router.rig.now);
        router.flush();
        prop_assert_eq!(router.told, 0);
        // One refresh tells each IPv4 prefix once, and changes nothing.
        router.rig.ask_refresh(router.conn);
        router.rig.advance(secs(2));
        router.flush();
        prop_assert_eq!(router.told, expected.keys().filter(|prefix| prefix.is_ipv4()).count());
        prop_assert_eq!(&router.held, &expected);
    }

    // BGP-80
    #[test]
    fn a_prefix_that_changed_often_while_nobody_read_costs_one_message(changes in 1_u32..60) {
        let mut router = Router::new();
        router.rig.peer.set_routes(&RouteSet::new(), router.rig.now);
        router.flush();
        let mut routes = BTreeMap::new();
        for n in 0..changes {
            routes.insert(1, (n % 4) as u8);
            router.rig.peer.set_routes(&as_set(&routes), router.rig.now);
        }
        router.flush();
        prop_assert_eq!(router.told, 1);
        prop_assert_eq!(router.held, wanted(&routes, false));
    }
}
