//! All sessions of one node as one machine: which session a packet belongs to, one order of deadlines, the sockets
//! that are needed.
//!
//! Owns the sessions, their discriminators and source ports, the deadlines and the counters. Does not own a socket,
//! choose peers, or act on a lost one. Finding the session of a packet is in the module `demux`.
//!
//! ```text
//!   set_sessions ──────┐                        ┌─► poll_transmit   24 octets and the session's socket
//!   handle_datagram ───┤                        ├─► poll_action     sockets to open and close
//!   handle_timeout ────┼──────► Endpoint ───────┼─► poll_event      state changes, strangers
//!   handle_path_down ──┤                        └─► poll_timeout    one deadline
//!   port_taken, transmit_failed, stop
//! ```
//!
//! The caller drains the polls after each call that takes `now`, and only then asks for the deadline. **Before
//! `handle_timeout` it reads all receive sockets empty** (at most one full receive buffer each): then a loop that was
//! held up declares nothing down that the kernel had heard in time (BFD-51).

mod demux;
mod sockets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::{Meta, Profile, SessionKey};
use crate::counters::{Counters, DropReason};
use crate::packet::{Discriminator, PACKET_BYTES, Packet, State};
use crate::random::SplitMix;
use crate::session::{Handled, Pace, Session};
use crate::status::{Event, StateChange, Status};
use sockets::Sockets;

pub use sockets::{Action, Receiver, SOURCE_PORTS, Socket};

/// LIMIT: sessions of one node; four times what the checklist measures, a quarter of the source ports.
pub const SESSIONS_MAX: usize = 4_096;
/// LIMIT: events that wait to be polled; a turn makes at most one per session and packet.
pub const EVENTS_MAX: usize = 2 * SESSIONS_MAX;
/// A discriminator is not used again for this long (BFD-14).
const DISCRIMINATOR_REST: Duration = Duration::from_secs(300);
/// LIMIT: resting discriminators that are remembered; the oldest is let go for more.
const RESTING_MAX: usize = 4 * SESSIONS_MAX;
/// Strangers are told of at most once in this time (BFD-13).
const STRANGER_PAUSE: Duration = Duration::from_secs(60);
/// Own packets that come back before another discriminator is tried: the peer may have chosen ours by chance.
const REFLECTIONS_MAX: u8 = 3;

/// A session's number, for as long as the endpoint lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A packet to send from a session's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Whose socket ([`Action::Open`] told its addresses).
    pub session: SessionId,
    /// The datagram.
    pub bytes: [u8; PACKET_BYTES],
}

/// All BFD sessions of a node.
#[derive(Debug)]
pub struct Endpoint {
    epoch: Instant,
    /// The latest time we were told.
    now: Instant,
    random: SplitMix,
    /// Invariant: `keys` and `discriminators` name exactly these.
    sessions: BTreeMap<SessionId, Session>,
    keys: BTreeMap<SessionKey, SessionId>,
    discriminators: BTreeMap<Discriminator, SessionId>,
    resting: VecDeque<(Instant, Discriminator)>,
    next_id: u64,
    sockets: Sockets,
    /// One entry per session that has a deadline, never later than it; a deadline that moves away is corrected when
    /// its entry comes up, so a received packet costs no change here.
    deadlines: BTreeSet<(Instant, SessionId)>,
    /// Sessions with a packet due; `Session::queued` keeps each in it once.
    senders: VecDeque<SessionId>,
    events: VecDeque<Event>,
    stranger_told: Option<Instant>,
    counters: Counters,
}

impl Endpoint {
    /// An endpoint without sessions. Discriminators, source ports and jitter come from the seed.
    pub fn new(seed: u64, now: Instant) -> Self {
        let mut random = SplitMix::new(seed);
        Endpoint {
            epoch: now,
            now,
            sockets: Sockets::new(random.next()),
            random,
            sessions: BTreeMap::new(),
            keys: BTreeMap::new(),
            discriminators: BTreeMap::new(),
            resting: VecDeque::new(),
            next_id: 0,
            deadlines: BTreeSet::new(),
            senders: VecDeque::new(),
            events: VecDeque::new(),
            stranger_told: None,
            counters: Counters::default(),
        }
    }

    /// Takes the whole desired set. New sessions begin; those that are gone say AdminDown for a while and end
    /// (BFD-23); those that stay take their profile without leaving their state (BFD-41).
    pub fn set_sessions(&mut self, desired: &BTreeMap<SessionKey, Profile>, now: Instant) {
        self.turn(now);
        let gone: Vec<SessionId> = self
            .keys
            .iter()
            .filter(|(key, _)| !desired.contains_key(key))
            .map(|(_, id)| *id)
            .collect();
        for id in gone {
            self.change(id, |session, now| {
                (!session.is_closing())
                    .then(|| session.close(now))
                    .flatten()
            });
        }
        for (key, profile) in desired {
            let Some(id) = self.keys.get(key).copied() else {
                self.add(*key, *profile);
                continue;
            };
            self.change(id, |session, now| {
                session.set_profile(*profile);
                session.is_closing().then(|| session.reopen(now)).flatten()
            });
        }
    }

    /// A datagram from a receive socket. One that is not for a session of ours changes nothing but a counter (BFD-09).
    pub fn handle_datagram(&mut self, datagram: &[u8], meta: &Meta, now: Instant) {
        self.turn(now);
        self.counters.received += 1;
        let candidate = self.candidate(meta);
        match self.accept(datagram, meta, candidate) {
            Ok((id, packet)) => self.deliver(id, &packet, meta.received),
            Err(reason) => self.count_drop(candidate, reason, meta),
        }
    }

    /// The interface or the local address of a session is gone: it is Down at once, with diagnostic 5 (BFD-64). A
    /// path that works again needs no word: packets come.
    pub fn handle_path_down(&mut self, key: &SessionKey, now: Instant) {
        self.turn(now);
        if let Some(id) = self.keys.get(key).copied() {
            self.change(id, Session::path_down);
        }
    }

    /// Lets timers fire; receive sockets were read empty before.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.turn(now);
        while let Some((at, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.scheduled = None;
            if session.is_gone(now) {
                self.remove(id);
            } else {
                self.change(id, Session::handle_timeout);
            }
        }
    }

    /// The source port is taken by somebody else: the session takes the next free one and asks for a new socket.
    pub fn port_taken(&mut self, id: SessionId, now: Instant) {
        self.turn(now);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.source_port = self.sockets.next_port(session.source_port);
            self.sockets.open(id, session);
        }
    }

    /// A packet handed out could not be sent; it is lost, and the next one goes at its time.
    pub fn transmit_failed(&mut self) {
        self.counters.send_failures += 1;
    }

    /// The process stops: every session says AdminDown three times, 10 ms apart, and ends (BFD-23).
    /// [`is_empty`](Self::is_empty) tells when all is said.
    pub fn stop(&mut self, now: Instant) {
        self.turn(now);
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.change(id, Session::stop);
        }
    }

    /// Whether no session is left, not even one that says goodbye.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next packet to send, built from what is true now.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        while let Some(id) = self.senders.pop_front() {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.queued = false;
            let mut pace = Pace {
                epoch: self.epoch,
                random: &mut self.random,
            };
            let packet = session.transmit(self.now, &mut pace);
            self.settle(id);
            if let Some(packet) = packet {
                self.counters.sent += 1;
                return Some(Transmit {
                    session: id,
                    bytes: packet.encode(),
                });
            }
        }
        None
    }

    /// The next socket to open or close.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.sockets.poll()
    }

    /// The next fact.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Every session, those that say goodbye included.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, Status)> + '_ {
        self.sessions.iter().map(|(id, s)| (*id, s.status()))
    }

    /// One session.
    pub fn status(&self, key: &SessionKey) -> Option<Status> {
        let id = self.keys.get(key)?;
        self.sessions.get(id).map(Session::status)
    }

    /// What was received, sent and dropped.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn turn(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while self
            .resting
            .front()
            .is_some_and(|(at, _)| self.now.saturating_duration_since(*at) >= DISCRIMINATOR_REST)
        {
            self.resting.pop_front();
        }
    }

    fn add(&mut self, key: SessionKey, profile: Profile) {
        if self.sessions.len() >= SESSIONS_MAX {
            self.counters.sessions_refused += 1;
            return;
        }
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let discriminator = self.fresh_discriminator();
        let port = self.sockets.first_port();
        let session = Session::new(key, profile, discriminator, port, self.now);
        self.sockets.open(id, &session);
        self.discriminators.insert(discriminator, id);
        self.keys.insert(key, id);
        self.sessions.insert(id, session);
        self.change(id, |_, _| None);
    }

    fn remove(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        if let Some(at) = session.scheduled {
            self.deadlines.remove(&(at, id));
        }
        self.keys.remove(&session.key);
        self.rest(session.discriminator);
        self.sockets.close(id, &session);
    }

    /// Random, not zero, not in use and not used lately (BFD-14).
    fn fresh_discriminator(&mut self) -> Discriminator {
        loop {
            // At most a few thousand of four thousand million numbers are taken.
            let number = (self.random.next() >> 32) as u32;
            if let Some(new) = Discriminator::new(number)
                && !self.discriminators.contains_key(&new)
                && !self.resting.iter().any(|(_, old)| *old == new)
            {
                return new;
            }
        }
    }

    fn rest(&mut self, discriminator: Discriminator) {
        self.discriminators.remove(&discriminator);
        if self.resting.len() >= RESTING_MAX {
            self.resting.pop_front();
        }
        self.resting.push_back((self.now, discriminator));
    }

    /// Changes a session and puts right what depends on it.
    fn change(
        &mut self,
        id: SessionId,
        f: impl FnOnce(&mut Session, Instant) -> Option<StateChange>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(change) = f(session, self.now) {
            self.tell(Event::StateChanged(change));
        }
        self.reschedule(id);
    }

    fn deliver(&mut self, id: SessionId, packet: &Packet, received: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        // At most two: the silence before the packet, and the packet.
        let mut changes = [None; 2];
        let mut free = changes.iter_mut();
        let handled = session.handle(packet, received, self.now, |change| {
            if let Some(place) = free.next() {
                *place = Some(change);
            }
        });
        match handled {
            Handled::Taken => {}
            Handled::FinalWithheld => self.counters.finals_withheld += 1,
            Handled::AdminDown => {
                session.drops.count(DropReason::AdminDown);
                self.counters.drops.count(DropReason::AdminDown);
            }
        }
        for change in changes.into_iter().flatten() {
            self.tell(Event::StateChanged(change));
        }
        self.reschedule(id);
    }

    fn reschedule(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let mut pace = Pace {
            epoch: self.epoch,
            random: &mut self.random,
        };
        session.schedule(self.now, &mut pace);
        self.settle(id);
    }

    /// Puts a session into the queue of senders and the order of deadlines as it asks.
    fn settle(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.is_due(self.now) && !session.queued {
            session.queued = true;
            self.senders.push_back(id);
        }
        let Some(deadline) = session.deadline() else {
            return;
        };
        if session.queued && deadline <= self.now {
            // What is due is in the queue; the deadline after it is entered when the packet is taken.
            return;
        }
        match session.scheduled {
            Some(at) if at <= deadline => {}
            earlier => {
                if let Some(at) = earlier {
                    self.deadlines.remove(&(at, id));
                }
                session.scheduled = Some(deadline);
                self.deadlines.insert((deadline, id));
            }
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= EVENTS_MAX {
            self.counters.events_lost += 1;
        } else {
            self.events.push_back(event);
        }
    }

    fn count_drop(&mut self, candidate: Option<SessionId>, reason: DropReason, meta: &Meta) {
        self.counters.drops.count(reason);
        let candidate = match reason {
            // So that the session's status can say which mode its peer uses.
            DropReason::WrongPort => candidate.or_else(|| self.other_mode(meta)),
            _ => candidate,
        };
        if let Some(session) = candidate.and_then(|id| self.sessions.get_mut(&id)) {
            session.drops.count(reason);
        }
        match reason {
            DropReason::UnknownPeer => self.stranger(meta),
            DropReason::Reflected => self.reflected(candidate),
            _ => {}
        }
    }

    fn stranger(&mut self, meta: &Meta) {
        let lately = |at: Instant| self.now.saturating_duration_since(at) < STRANGER_PAUSE;
        if !self.stranger_told.is_some_and(lately) {
            self.stranger_told = Some(self.now);
            let (remote, mode): (IpAddr, _) = (meta.remote, meta.mode);
            self.tell(Event::UnknownPeer { remote, mode });
        }
    }

    /// The peer may have the same discriminator by chance: while Down another one costs nothing.
    fn reflected(&mut self, candidate: Option<SessionId>) {
        let Some((id, session)) = candidate.and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return;
        };
        session.reflections = session.reflections.saturating_add(1);
        if session.state() != State::Down || session.reflections < REFLECTIONS_MAX {
            return;
        }
        session.reflections = 0;
        let old = session.discriminator;
        let new = self.fresh_discriminator();
        self.rest(old);
        self.discriminators.insert(new, id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.discriminator = new;
        }
    }
}

#[cfg(test)]
mod tests;
