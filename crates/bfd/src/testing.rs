//! What the tests of this crate share: one base instant, packets written octet by octet, an endpoint with a hand-fed
//! peer, and two endpoints on a virtual wire.
//!
//! Packets are deliberately not built by `packet`, so that reading and building cannot share a mistake.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::{
    Cause, Endpoint, Event, Meta, Mode, Packet, Profile, SessionKey, State, StateChange, Status,
};

pub(crate) const US: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
pub(crate) const INTERFACE: u32 = 7;
/// What the hand-fed peer calls the session.
pub(crate) const THEIRS: u32 = 0x7e57_7e57;

/// The one clock read of a test; everything else is added to it.
#[expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be made otherwise; only differences matter"
)]
pub(crate) fn base() -> Instant {
    Instant::now()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// A profile of these intervals, both ways.
pub(crate) fn profile(interval_ms: u64, multiplier: u8) -> Profile {
    Profile {
        receive_interval: ms(interval_ms),
        transmit_interval: ms(interval_ms),
        detect_multiplier: multiplier,
        ..Profile::default()
    }
}

pub(crate) fn key(mode: Mode) -> SessionKey {
    SessionKey {
        local: Some(US),
        ..SessionKey::new(PEER, mode)
    }
}

/// The fields that tests vary; the default is a neighbour in Down that does not know us yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    pub(crate) version: u8,
    pub(crate) diagnostic: u8,
    pub(crate) state: u8,
    /// P, F, C, A, D, M, from 0x20 down.
    pub(crate) flags: u8,
    pub(crate) multiplier: u8,
    pub(crate) length: u8,
    pub(crate) mine: u32,
    pub(crate) yours: u32,
    pub(crate) min_tx_us: u32,
    pub(crate) min_rx_us: u32,
    pub(crate) echo_us: u32,
}

impl Default for Raw {
    fn default() -> Self {
        Raw {
            version: 1,
            diagnostic: 0,
            state: State::Down as u8,
            flags: 0,
            multiplier: 3,
            length: 24,
            mine: THEIRS,
            yours: 0,
            min_tx_us: 1_000_000,
            min_rx_us: 50_000,
            echo_us: 0,
        }
    }
}

impl Raw {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![
            self.version << 5 | self.diagnostic,
            self.state << 6 | self.flags,
            self.multiplier,
            self.length,
        ];
        for word in [
            self.mine,
            self.yours,
            self.min_tx_us,
            self.min_rx_us,
            self.echo_us,
        ] {
            bytes.extend(word.to_be_bytes());
        }
        bytes
    }
}

/// One session whose peer is the test.
pub(crate) struct Hand {
    pub(crate) endpoint: Endpoint,
    pub(crate) key: SessionKey,
    pub(crate) now: Instant,
    pub(crate) events: Vec<Event>,
    /// Everything sent, with its time.
    pub(crate) sent: Vec<(Instant, Packet)>,
}

impl Hand {
    pub(crate) fn new(profile: Profile) -> Self {
        Self::with(key(Mode::SingleHop), profile)
    }

    pub(crate) fn with(key: SessionKey, profile: Profile) -> Self {
        let now = base();
        let mut endpoint = Endpoint::new(7, now);
        endpoint.set_sessions(&BTreeMap::from([(key, profile)]), now);
        let mut hand = Hand {
            endpoint,
            key,
            now,
            events: Vec::new(),
            sent: Vec::new(),
        };
        hand.drain();
        hand
    }

    /// A session in Up with a peer of these intervals, its poll answered, its first packets taken away.
    pub(crate) fn up(profile: Profile, peer: Raw) -> Self {
        let mut hand = Self::new(profile);
        hand.rise(peer);
        hand
    }

    pub(crate) fn rise(&mut self, peer: Raw) {
        let known = Raw {
            yours: self.mine(),
            ..peer
        };
        self.take(Raw { yours: 0, ..peer });
        for (state, flags) in [(State::Init, 0), (State::Up, 0x10)] {
            self.take(Raw {
                state: state as u8,
                flags,
                ..known
            });
        }
        assert_eq!(self.status().state, State::Up);
        self.wait(ms(20));
        self.take(Raw {
            state: State::Up as u8,
            ..known
        });
        self.events.clear();
        self.sent.clear();
    }

    pub(crate) fn mine(&self) -> u32 {
        self.status().local_discriminator.get()
    }

    pub(crate) fn status(&self) -> Status {
        self.endpoint.status(&self.key).expect("the session lives")
    }

    pub(crate) fn meta(&self) -> Meta {
        Meta {
            remote: PEER,
            local: Some(US),
            interface: INTERFACE,
            vrf: None,
            mode: self.key.mode,
            ttl: Some(255),
            received: self.now,
        }
    }

    pub(crate) fn take(&mut self, raw: Raw) {
        let meta = self.meta();
        self.take_with(&raw.bytes(), meta);
    }

    pub(crate) fn take_with(&mut self, bytes: &[u8], meta: Meta) {
        self.endpoint.handle_datagram(bytes, &meta, self.now);
        self.drain();
    }

    /// A packet of the peer in this state that knows us.
    pub(crate) fn take_state(&mut self, state: State, raw: Raw) {
        let yours = self.mine();
        self.take(Raw {
            state: state as u8,
            yours,
            ..raw
        });
    }

    pub(crate) fn set(&mut self, profile: Profile) {
        self.endpoint
            .set_sessions(&BTreeMap::from([(self.key, profile)]), self.now);
        self.drain();
    }

    /// Lets time pass, waking at every deadline.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        let mut same = 0;
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= until) {
            same = if due <= self.now { same + 1 } else { 0 };
            assert!(same < 3, "a deadline that changes nothing is a busy loop");
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
        self.endpoint.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let packet = Packet::decode(&transmit.bytes).expect("what we send is valid");
            self.sent.push((self.now, packet));
        }
        self.events
            .extend(std::iter::from_fn(|| self.endpoint.poll_event()));
        while self.endpoint.poll_action().is_some() {}
    }

    /// What was sent since the last call.
    pub(crate) fn sent(&mut self) -> Vec<Packet> {
        self.sent.drain(..).map(|(_, packet)| packet).collect()
    }

    pub(crate) fn changes(&mut self) -> Vec<StateChange> {
        self.events
            .drain(..)
            .filter_map(|event| match event {
                Event::StateChanged(change) => Some(change),
                Event::UnknownPeer { .. } => None,
            })
            .collect()
    }
}

/// What becomes of a packet on the virtual wire.
pub(crate) type Fate<'a> = Box<dyn FnMut(Instant, usize, &Packet) -> Vec<Duration> + 'a>;

/// When, the how-manieth, to which end, what.
type Arrival = (Instant, u64, usize, Vec<u8>);

/// Two endpoints with one session between them; each packet arrives after each delay its fate gives, or never.
pub(crate) struct Wire<'a> {
    pub(crate) ends: [Endpoint; 2],
    pub(crate) now: Instant,
    pub(crate) fate: Fate<'a>,
    pub(crate) sent: Vec<(Instant, usize, Packet)>,
    pub(crate) changes: Vec<(Instant, usize, StateChange)>,
    flying: BinaryHeap<Reverse<Arrival>>,
    count: u64,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(seed: u64, profiles: [Profile; 2]) -> Self {
        let now = base();
        let mut ends = [Endpoint::new(seed, now), Endpoint::new(!seed, now)];
        for (end, profile) in profiles.into_iter().enumerate() {
            ends[end].set_sessions(&BTreeMap::from([(Self::key(end), profile)]), now);
        }
        let mut wire = Wire {
            ends,
            now,
            fate: Box::new(|_, _, _| vec![us(100)]),
            sent: Vec::new(),
            changes: Vec::new(),
            flying: BinaryHeap::new(),
            count: 0,
        };
        wire.drain();
        wire
    }

    /// Of end 0 the session with PEER, of end 1 the one with US.
    pub(crate) fn key(end: usize) -> SessionKey {
        let [local, peer] = if end == 0 { [US, PEER] } else { [PEER, US] };
        SessionKey {
            local: Some(local),
            ..SessionKey::new(peer, Mode::SingleHop)
        }
    }

    pub(crate) fn status(&self, end: usize) -> Status {
        self.ends[end]
            .status(&Self::key(end))
            .expect("the session lives")
    }

    pub(crate) fn both_up(&self) -> bool {
        [0, 1]
            .iter()
            .all(|end| self.status(*end).state == State::Up)
    }

    pub(crate) fn set(&mut self, end: usize, profile: Profile) {
        self.ends[end].set_sessions(&BTreeMap::from([(Self::key(end), profile)]), self.now);
        self.drain();
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let deadlines = self.ends.iter().filter_map(Endpoint::poll_timeout);
            let arrival = self.flying.peek().map(|Reverse((at, ..))| *at);
            let next = deadlines.chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(Reverse((at, _, end, bytes))) = self.flying.peek().cloned() {
                if at > self.now {
                    break;
                }
                self.flying.pop();
                self.deliver(end, &bytes, at);
            }
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
            self.drain();
        }
        self.now = until;
    }

    fn deliver(&mut self, end: usize, bytes: &[u8], at: Instant) {
        let key = Self::key(end);
        let meta = Meta {
            remote: key.peer,
            local: key.local,
            interface: INTERFACE,
            vrf: None,
            mode: key.mode,
            ttl: Some(255),
            received: at,
        };
        self.ends[end].handle_datagram(bytes, &meta, self.now);
    }

    pub(crate) fn drain(&mut self) {
        for end in 0..2 {
            while let Some(transmit) = self.ends[end].poll_transmit() {
                let packet = Packet::decode(&transmit.bytes).expect("what we send is valid");
                self.sent.push((self.now, end, packet));
                for delay in (self.fate)(self.now, end, &packet) {
                    self.count += 1;
                    let arrival = (
                        self.now + delay,
                        self.count,
                        1 - end,
                        transmit.bytes.to_vec(),
                    );
                    self.flying.push(Reverse(arrival));
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                if let Event::StateChanged(change) = event {
                    self.changes.push((self.now, end, change));
                }
            }
            while self.ends[end].poll_action().is_some() {}
        }
    }

    pub(crate) fn downs(&self) -> usize {
        let left_up = |(_, _, c): &&(Instant, usize, StateChange)| c.from == State::Up;
        self.changes.iter().filter(left_up).count()
    }
}

/// The causes of the changes, in order.
pub(crate) fn causes(changes: &[StateChange]) -> Vec<(State, State, Cause)> {
    changes.iter().map(|c| (c.from, c.to, c.cause)).collect()
}
