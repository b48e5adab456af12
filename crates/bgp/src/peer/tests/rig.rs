//! One peer, driven by hand: the test is the router, the clock and the socket.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use crate::decode::{Decoder, Received};
use crate::message::{
    Asn, Capabilities, Cease, Families, GracefulRestart, Message, Notification, Open, RefreshKind,
    RouteRefresh, Update, WireRules,
};
use crate::peer::{Action, Close, ConnId, Endpoints, Peer, PeerEvent, Reason, State};
use crate::{Config, RouteAttributes, RouteSet, Settings};

pub(super) const OUR_ASN: u32 = 64_500;
pub(super) const ROUTER_ASN: u32 = 64_512;
pub(super) const OUR_ID: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const ROUTER_ID: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

/// The one instant of a test; everything else is added to it.
#[allow(clippy::disallowed_methods)]
pub(super) fn base() -> Instant {
    Instant::now()
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn settings() -> Settings {
    Settings::new(OUR_ASN, ROUTER_ASN, OUR_ID)
}

pub(super) fn config(settings: Settings) -> Config {
    Config::new(settings).expect("the test's settings are good")
}

pub(super) fn ends() -> Endpoints {
    Endpoints::new(
        "10.0.0.1:40000".parse().unwrap(),
        "10.0.0.254:179".parse().unwrap(),
    )
}

/// Host routes 192.0.2.0, .1, ... with plain attributes.
pub(super) fn hosts(count: u32) -> RouteSet {
    let plain = Arc::new(RouteAttributes::default());
    let mut routes = RouteSet::new();
    for n in 0..count {
        routes.insert(host(n), plain.clone()).unwrap();
    }
    routes
}

pub(super) fn host(n: u32) -> IpNetwork {
    IpNetwork::new(Ipv4Addr::from_bits(0xc000_0200 + n).into(), 32).unwrap()
}

/// What a router offers that can everything.
pub(super) fn capabilities(asn: u32, families: Families) -> Capabilities {
    Capabilities {
        multiprotocol: families.iter().map(|family| family.afi_safi()).collect(),
        route_refresh: true,
        extended_messages: true,
        enhanced_refresh: true,
        four_octet_as: Some(Asn(asn)),
        ..Capabilities::default()
    }
}

pub(super) fn restart_capability(time: u16) -> GracefulRestart {
    GracefulRestart {
        restarting: false,
        notification: true,
        restart_time_secs: time,
        families: Default::default(),
    }
}

/// A message we sent, as the router reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Open(Box<Open>),
    Keepalive,
    Updates(Vec<Update>),
    Notification(Notification),
    Refresh(RefreshKind),
}

pub(super) struct Rig {
    pub(super) peer: Peer,
    pub(super) now: Instant,
    /// What the router says in its OPEN.
    pub(super) open: Open,
    pub(super) events: Vec<PeerEvent>,
    pub(super) actions: Vec<Action>,
    /// How long each message was, of the last `sent`.
    pub(super) lengths: Vec<usize>,
}

impl Rig {
    pub(super) fn new(settings: Settings) -> Rig {
        let families = settings.families;
        let now = base();
        let mut rig = Rig {
            peer: Peer::new(config(settings), 7, now),
            now,
            open: Open::new(
                Asn(ROUTER_ASN),
                90,
                ROUTER_ID,
                capabilities(ROUTER_ASN, families),
            ),
            events: Vec::new(),
            actions: Vec::new(),
            lengths: Vec::new(),
        };
        rig.drain();
        rig
    }

    /// Collects what the machine asks for and tells.
    pub(super) fn drain(&mut self) {
        while let Some(action) = self.peer.poll_action() {
            self.actions.push(action);
        }
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
        }
    }

    pub(super) fn events(&mut self) -> Vec<PeerEvent> {
        self.drain();
        std::mem::take(&mut self.events)
    }

    pub(super) fn actions(&mut self) -> Vec<Action> {
        self.drain();
        std::mem::take(&mut self.actions)
    }

    /// The connection it wants opened; there must be exactly one.
    pub(super) fn dialled(&mut self) -> ConnId {
        let dials: Vec<ConnId> = self
            .actions()
            .into_iter()
            .filter_map(|action| {
                if let Action::Connect(conn) = action {
                    Some(conn)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(dials.len(), 1, "one dial");
        dials[0]
    }

    /// The connections it wants closed.
    pub(super) fn closed(&mut self) -> Vec<(ConnId, Close)> {
        self.actions()
            .into_iter()
            .filter_map(|action| {
                if let Action::Close(conn, how) = action {
                    Some((conn, how))
                } else {
                    None
                }
            })
            .collect()
    }

    pub(super) fn connect(&mut self) -> ConnId {
        let conn = self.dialled();
        self.peer.handle_connected(conn, ends(), self.now);
        conn
    }

    pub(super) fn accept(&mut self) -> Option<ConnId> {
        self.peer.handle_accepted(ends(), self.now)
    }

    pub(super) fn say(&mut self, conn: ConnId, message: &Message) {
        let rules = WireRules {
            extended_out: true,
            four_octet_as: true,
            ..WireRules::default()
        };
        let mut octets = Vec::new();
        message.encode(&rules, &mut octets).unwrap();
        self.say_octets(conn, &octets);
    }

    pub(super) fn say_octets(&mut self, conn: ConnId, octets: &[u8]) {
        self.peer.handle_bytes(conn, octets, self.now);
        self.drain();
    }

    pub(super) fn say_open(&mut self, conn: ConnId) {
        let open = self.open.clone();
        self.say(conn, &Message::Open(open));
    }

    pub(super) fn ask_refresh(&mut self, conn: ConnId) {
        let family = crate::AfiSafi::IPV4_UNICAST;
        self.say(
            conn,
            &Message::RouteRefresh(RouteRefresh {
                family,
                kind: RefreshKind::Request,
            }),
        );
    }

    /// Everything up to Established on a dialled connection, with all that was sent read.
    pub(super) fn establish(&mut self) -> ConnId {
        let conn = self.connect();
        self.establish_on(conn);
        conn
    }

    pub(super) fn establish_on(&mut self, conn: ConnId) {
        self.say_open(conn);
        self.say(conn, &Message::Keepalive);
        assert_eq!(self.peer.state(), State::Established);
    }

    /// Reads all that waits on a connection.
    pub(super) fn sent(&mut self, conn: ConnId) -> Vec<Got> {
        let mut octets = Vec::new();
        while let Some(more) = self.peer.poll_transmit(conn, 10_000, self.now) {
            octets.extend(more);
        }
        self.drain();
        self.read(&octets)
    }

    pub(super) fn read(&mut self, octets: &[u8]) -> Vec<Got> {
        let negotiated = self.peer.view().negotiated;
        let rules = WireRules {
            extended_in: true,
            families: Families::BOTH,
            extended_next_hop: true,
            four_octet_as: true,
            ..negotiated.map(|n| n.rules).unwrap_or_default()
        };
        let mut decoder = Decoder::new(true);
        let (mut got, mut at) = (Vec::new(), 0);
        self.lengths.clear();
        loop {
            let (used, frame) = decoder.next_frame(&octets[at..]);
            at += used;
            let Some(frame) = frame else { break };
            let frame = frame.expect("what we send is well formed");
            self.lengths.push(frame.octets.len());
            got.push(
                match frame.read(&rules).expect("what we send is well formed") {
                    Received::Open(open) => Got::Open(Box::new(open)),
                    Received::Update(update) => {
                        assert_eq!((update.treated_as_withdraw, update.discarded), (None, None));
                        Got::Updates(update.to_updates())
                    }
                    Received::Notification(notification) => Got::Notification(notification),
                    Received::Keepalive => Got::Keepalive,
                    Received::RouteRefresh(refresh) => Got::Refresh(refresh.kind),
                },
            );
        }
        assert_eq!(at, octets.len());
        got
    }

    /// The NOTIFICATION that ends a connection, which must be the last thing on it.
    pub(super) fn farewell(&mut self, conn: ConnId) -> Option<Notification> {
        let got = self.sent(conn);
        let last = got
            .iter()
            .position(|got| matches!(got, Got::Notification(_)));
        if let Some(at) = last {
            assert_eq!(at, got.len() - 1, "the NOTIFICATION is the last message");
        }
        got.into_iter().find_map(|got| {
            if let Got::Notification(n) = got {
                Some(n)
            } else {
                None
            }
        })
    }

    /// Lets time pass, with every deadline on the way.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        let mut turns = 0;
        while let Some(at) = self.peer.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.peer.handle_timeout(self.now);
            self.drain();
            turns += 1;
            assert!(turns < 100_000, "the machine does not come to rest");
        }
        self.now = end;
    }

    /// Lets time pass while the router takes what is sent and keeps the session alive.
    pub(super) fn live(&mut self, conn: ConnId, by: Duration) -> Vec<Got> {
        let end = self.now + by;
        let mut got = self.sent(conn);
        while self.now < end {
            self.advance(secs(1).min(end - self.now));
            self.say(conn, &Message::Keepalive);
            got.extend(self.sent(conn));
        }
        got
    }

    /// Time to the next dial.
    pub(super) fn until_dial(&mut self) -> Duration {
        let start = self.now;
        for _ in 0..1000 {
            self.drain();
            if self
                .actions
                .iter()
                .any(|action| matches!(action, Action::Connect(_)))
            {
                return self.now - start;
            }
            let at = self.peer.poll_timeout().expect("it dials some day");
            self.now = self.now.max(at);
            self.peer.handle_timeout(self.now);
        }
        panic!("it never dials");
    }

    pub(super) fn down_reason(&mut self) -> Option<Reason> {
        self.events().into_iter().find_map(|event| match event {
            PeerEvent::Down { reason, .. } => Some(reason),
            _ => None,
        })
    }
}

pub(super) fn cease(cease: Cease) -> Option<Notification> {
    Some(Notification::cease(cease))
}

/// Prefixes announced by these messages, in order.
pub(super) fn announced(got: &[Got]) -> Vec<IpNetwork> {
    updates(got)
        .into_iter()
        .flat_map(|update| match update {
            Update::Announced { prefixes, .. } => prefixes,
            _ => Vec::new(),
        })
        .collect()
}

pub(super) fn withdrawn(got: &[Got]) -> Vec<IpNetwork> {
    updates(got)
        .into_iter()
        .flat_map(|update| match update {
            Update::Withdrawn(prefixes) => prefixes,
            _ => Vec::new(),
        })
        .collect()
}

pub(super) fn updates(got: &[Got]) -> Vec<Update> {
    got.iter()
        .flat_map(|got| match got {
            Got::Updates(updates) => updates.clone(),
            _ => Vec::new(),
        })
        .collect()
}
