//! Two of our own machines on a virtual wire: delays, segments of any size, a window that fills, resets, loss of a side.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use super::rig::{base, config};
use crate::decode::{Decoder, Received};
use crate::message::{Families, Update, WireRules};
use crate::peer::timers::Random;
use crate::{Action, Close, Closed, ConnId, Endpoints, Peer, PeerEvent, Settings, State};

#[derive(Clone, Debug)]
enum What {
    /// The dial of this side arrives at the other.
    Syn(usize, ConnId),
    /// Octets of this TCP connection for this side.
    Data(usize, usize, Vec<u8>),
    Fin(usize, usize, bool),
    /// The sender of this side learns that its octets were read.
    Ack(usize, usize, usize),
}

/// One TCP connection: what each side calls it, and what is on its way to each side.
#[derive(Debug, Default)]
struct Tcp {
    names: [Option<ConnId>; 2],
    in_flight: [usize; 2],
    last: [Option<Instant>; 2],
    reader: [Option<Reader>; 2],
}

/// What a side reads, as a router would.
#[derive(Debug)]
struct Reader {
    decoder: Decoder,
    held: BTreeMap<IpNetwork, Update>,
}

/// How the wire behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) delay_ms: u64,
    pub(super) segment: usize,
    pub(super) window: usize,
}

pub(super) struct Net {
    pub(super) peers: [Peer; 2],
    pub(super) now: Instant,
    pub(super) events: [Vec<PeerEvent>; 2],
    pub(super) listens: [bool; 2],
    weather: Weather,
    random: Random,
    tcp: Vec<Tcp>,
    queue: BTreeMap<(Instant, u64), What>,
    order: u64,
    /// UPDATEs that arrived at each side.
    pub(super) updates: [usize; 2],
}

pub(super) fn side(n: usize, families: Families) -> Settings {
    let (mine, yours, id) = if n == 0 {
        (64_500, 64_512, Ipv4Addr::new(10, 0, 0, 1))
    } else {
        (64_512, 64_500, Ipv4Addr::new(10, 0, 0, 254))
    };
    Settings {
        families,
        ..Settings::new(mine, yours, id)
    }
}

impl Net {
    pub(super) fn new(settings: [Settings; 2], seed: u64, weather: Weather) -> Net {
        let now = base();
        let [a, b] = settings;
        Net {
            peers: [
                Peer::new(config(a), seed, now),
                Peer::new(config(b), seed ^ 0x5555, now),
            ],
            now,
            events: Default::default(),
            listens: [true; 2],
            weather,
            random: Random::new(seed),
            tcp: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            updates: [0; 2],
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound)
    }

    fn post(&mut self, at: Instant, what: What) {
        self.order += 1;
        self.queue.insert((at, self.order), what);
    }

    fn delay(&mut self) -> Duration {
        let micros = self.below(self.weather.delay_ms as usize * 1_000 + 1);
        Duration::from_micros(50 + micros as u64)
    }

    fn ends(&self, of: usize, outgoing: bool) -> Endpoints {
        let address = |n: usize| if n == 0 { "10.0.0.1" } else { "10.0.0.254" };
        let port = |dials: bool| if dials { 40_000 } else { 179 };
        let at = |n: usize, dials: bool| format!("{}:{}", address(n), port(dials)).parse().unwrap();
        let v6 = if of == 0 {
            "2001:db8::1"
        } else {
            "2001:db8::fe"
        };
        Endpoints {
            ipv6: Some(v6.parse().unwrap()),
            ..Endpoints::new(at(of, outgoing), at(1 - of, !outgoing))
        }
    }

    /// Does what the machines ask for until they ask for nothing.
    pub(super) fn settle(&mut self) {
        for of in 0..2 {
            while let Some(action) = self.peers[of].poll_action() {
                match action {
                    Action::Connect(conn) => {
                        let at = self.now + self.delay();
                        self.post(at, What::Syn(of, conn));
                    }
                    Action::Close(conn, how) => self.close(of, conn, how),
                }
            }
            while let Some(event) = self.peers[of].poll_event() {
                self.events[of].push(event);
            }
            for tcp in 0..self.tcp.len() {
                self.transmit(of, tcp);
            }
            while let Some(Action::Close(conn, how)) = self.peers[of].poll_action() {
                self.close(of, conn, how);
            }
        }
    }

    fn transmit(&mut self, of: usize, tcp: usize) {
        let Some(conn) = self.tcp[tcp].names[of] else {
            return;
        };
        loop {
            let room = self
                .weather
                .window
                .saturating_sub(self.tcp[tcp].in_flight[of]);
            let budget = room.min(1 + self.below(self.weather.segment));
            if budget == 0 {
                return;
            }
            let Some(octets) = self.peers[of].poll_transmit(conn, budget, self.now) else {
                return;
            };
            self.tcp[tcp].in_flight[of] += octets.len();
            let at = self.in_order(of, tcp);
            self.post(at, What::Data(1 - of, tcp, octets));
        }
    }

    fn in_order(&mut self, from: usize, tcp: usize) -> Instant {
        let at = (self.now + self.delay()).max(self.tcp[tcp].last[from].unwrap_or(self.now));
        self.tcp[tcp].last[from] = Some(at);
        at
    }

    fn close(&mut self, of: usize, conn: ConnId, how: Close) {
        let Some(tcp) = self.tcp.iter().position(|tcp| tcp.names[of] == Some(conn)) else {
            return;
        };
        self.tcp[tcp].names[of] = None;
        self.tcp[tcp].reader[of] = None;
        let at = self.in_order(of, tcp);
        self.post(at, What::Fin(1 - of, tcp, how == Close::Abort));
    }

    /// Cuts every connection there is: both sides see a reset.
    pub(super) fn cut(&mut self) {
        for tcp in 0..self.tcp.len() {
            for of in 0..2 {
                if let Some(conn) = self.tcp[tcp].names[of].take() {
                    self.tcp[tcp].reader[of] = None;
                    self.peers[of].handle_closed(conn, Closed::Reset, self.now);
                }
            }
        }
        self.settle();
    }

    fn deliver(&mut self, what: What) {
        match what {
            What::Syn(from, conn) => {
                let to = 1 - from;
                let accepted = if self.listens[to] {
                    self.peers[to].handle_accepted(self.ends(to, false), self.now)
                } else {
                    None
                };
                let Some(name) = accepted else {
                    self.peers[from].handle_connect_failed(
                        conn,
                        crate::ConnectFailure::Refused,
                        self.now,
                    );
                    return;
                };
                let reader = || {
                    Some(Reader {
                        decoder: Decoder::new(true),
                        held: BTreeMap::new(),
                    })
                };
                let mut tcp = Tcp {
                    reader: [reader(), reader()],
                    ..Tcp::default()
                };
                (tcp.names[from], tcp.names[to]) = (Some(conn), Some(name));
                self.tcp.push(tcp);
                self.peers[from].handle_connected(conn, self.ends(from, true), self.now);
            }
            What::Data(to, tcp, octets) => {
                let at = self.now + self.delay();
                self.post(at, What::Ack(1 - to, tcp, octets.len()));
                let Some(conn) = self.tcp[tcp].names[to] else {
                    return;
                };
                self.read(to, tcp, &octets);
                self.peers[to].handle_bytes(conn, &octets, self.now);
            }
            What::Fin(to, tcp, reset) => {
                let how = if reset { Closed::Reset } else { Closed::ByPeer };
                self.tcp[tcp].reader[to] = None;
                if let Some(conn) = self.tcp[tcp].names[to].take() {
                    self.peers[to].handle_closed(conn, how, self.now);
                }
            }
            What::Ack(of, tcp, octets) => self.tcp[tcp].in_flight[of] -= octets,
        }
    }

    fn read(&mut self, to: usize, tcp: usize, octets: &[u8]) {
        let rules = WireRules {
            extended_in: true,
            four_octet_as: true,
            families: Families::BOTH,
            enhanced_refresh: true,
            extended_next_hop: true,
            ..WireRules::default()
        };
        let Some(reader) = &mut self.tcp[tcp].reader[to] else {
            return;
        };
        let mut at = 0;
        loop {
            let (used, frame) = reader.decoder.next_frame(&octets[at..]);
            at += used;
            let Some(frame) = frame else { return };
            let Ok(Received::Update(update)) = frame.expect("we send good headers").read(&rules)
            else {
                continue;
            };
            assert_eq!((update.treated_as_withdraw, update.discarded), (None, None));
            self.updates[to] += 1;
            for update in update.to_updates() {
                match &update {
                    Update::Announced { prefixes, .. } => {
                        for prefix in prefixes.clone() {
                            reader.held.insert(prefix, update.clone());
                        }
                    }
                    Update::Withdrawn(prefixes) => prefixes.iter().for_each(|prefix| {
                        assert!(
                            reader.held.remove(prefix).is_some(),
                            "{prefix} was not held"
                        );
                    }),
                    Update::EndOfRib(_) => {}
                }
            }
        }
    }

    /// What a side holds of the other's routes, on the session that stands.
    pub(super) fn held(&self, of: usize) -> Vec<IpNetwork> {
        let readers: Vec<&Reader> = self
            .tcp
            .iter()
            .filter_map(|tcp| tcp.reader[of].as_ref())
            .collect();
        assert!(readers.len() <= 1, "one connection at rest");
        readers
            .first()
            .map(|reader| reader.held.keys().copied().collect())
            .unwrap_or_default()
    }

    pub(super) fn connections(&self) -> usize {
        self.tcp
            .iter()
            .filter(|tcp| tcp.names.iter().any(Option::is_some))
            .count()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, by: Duration) {
        let end = self.now + by;
        let mut turns = 0;
        self.settle();
        loop {
            let arrival = self.queue.keys().next().map(|(at, _)| *at);
            let due = self.peers.iter().filter_map(Peer::poll_timeout).min();
            let Some(next) = [arrival, due]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self
                .queue
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                let what = entry.remove();
                self.deliver(what);
                self.settle();
            }
            for of in 0..2 {
                if self.peers[of]
                    .poll_timeout()
                    .is_some_and(|at| at <= self.now)
                {
                    self.peers[of].handle_timeout(self.now);
                }
            }
            self.settle();
            turns += 1;
            assert!(turns < 2_000_000, "the machines do not come to rest");
        }
        self.now = end;
    }

    pub(super) fn run_until_established(&mut self, within: Duration) -> Duration {
        let start = self.now;
        while self
            .peers
            .iter()
            .any(|peer| peer.state() != State::Established)
        {
            assert!(
                self.now - start <= within,
                "{:?}",
                self.peers.each_ref().map(Peer::view)
            );
            self.run(Duration::from_millis(5));
        }
        self.now - start
    }
}

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // From jitter: a quarter of this range is spread evenly enough for a test.
        let spread = self
            .jittered(Duration::from_nanos(4 * 1_000_000))
            .as_nanos() as usize;
        spread.wrapping_mul(2_654_435_761) % bound.max(1)
    }
}
