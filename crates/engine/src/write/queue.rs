//! The policy of writing: newest wins, bounded in flight and per second, backoff per
//! object, events after statuses.
//!
//! Owns what is to be written and when. Does not know leases: who may write at all is
//! the caller's to say. Nothing is queued twice: each object has one place, and what is
//! sent is what is wanted when its turn comes.

use super::{Event, Outcome, SplitMix, Write};
use crate::name::NamespacedName;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// The object a write is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKey {
    /// Status of a Service.
    Service(NamespacedName),
    /// ServiceL2Status of this node for a Service.
    L2Status(NamespacedName),
    /// A ServiceL2Status to delete.
    DeleteL2Status(NamespacedName),
    /// ServiceBGPStatus of this node for a Service.
    BgpStatus(NamespacedName),
    /// A ServiceBGPStatus to delete.
    DeleteBgpStatus(NamespacedName),
    /// A BGPSessionState.
    SessionState(NamespacedName),
    /// A BGPSessionState to delete.
    DeleteSessionState(NamespacedName),
    /// The membership Secret.
    Secret(NamespacedName),
    /// A ConfigurationState.
    ConfigurationState(NamespacedName),
    /// Status of a pool.
    Pool(NamespacedName),
}

impl WriteKey {
    /// The object of a write; none for an event, which has no state to be newest of.
    pub fn of(write: &Write) -> Option<Self> {
        Some(match write {
            Write::ServiceStatus(status) => Self::Service(status.name.clone()),
            Write::PoolStatus { name, .. } => Self::Pool(name.clone()),
            Write::L2Status { service, .. } => Self::L2Status(service.clone()),
            Write::DeleteL2Status(name) => Self::DeleteL2Status(name.clone()),
            Write::BgpStatus { service, .. } => Self::BgpStatus(service.clone()),
            Write::DeleteBgpStatus(name) => Self::DeleteBgpStatus(name.clone()),
            Write::SessionState(value) => Self::SessionState(value.name.clone()),
            Write::DeleteSessionState(name) => Self::DeleteSessionState(name.clone()),
            Write::ConfigurationState(value) => Self::ConfigurationState(value.name.clone()),
            Write::MembershipSecret(name) => Self::Secret(name.clone()),
            Write::Event(_) => return None,
        })
    }

    /// Lower goes first: what announces, then what only tells.
    fn class(&self) -> u8 {
        match self {
            Self::Service(_) | Self::L2Status(_) | Self::DeleteL2Status(_) | Self::Secret(_) => 0,
            Self::BgpStatus(_)
            | Self::DeleteBgpStatus(_)
            | Self::SessionState(_)
            | Self::DeleteSessionState(_)
            | Self::ConfigurationState(_)
            | Self::Pool(_) => 1,
        }
    }
}

/// Bounds of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Requests at once.
    pub in_flight_max: usize,
    /// Requests in a second, in the long run.
    pub per_second: u32,
    /// Requests that may go at once after a pause.
    pub burst: u32,
    /// First delay after a failure; doubles.
    pub backoff_min: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// How long a conflict waits for the watch to show the newer object.
    pub conflict_wait: Duration,
    /// Events kept; beyond it the oldest is dropped and counted.
    pub events_max: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            in_flight_max: 32,
            // High: the bound in flight is what protects a slow server.
            per_second: 4000,
            burst: 400,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            conflict_wait: Duration::from_secs(1),
            // LIMIT: one for each of 10,000 Services twice; about 6 MB at worst.
            events_max: 20_000,
        }
    }
}

/// Stands for one request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// A request that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What was sent.
    pub write: Write,
    /// How it ended.
    pub outcome: Outcome,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent, events included.
    pub sent: u64,
    /// Events sent.
    pub events_sent: u64,
    /// Requests that succeeded.
    pub done: u64,
    /// Another version was there.
    pub conflicts: u64,
    /// The object was gone.
    pub not_found: u64,
    /// Refused for good.
    pub refused: u64,
    /// The server could not be asked.
    pub unavailable: u64,
    /// Events dropped: too many, refused, or out of tries.
    pub events_dropped: u64,
    /// Outcomes of requests nobody knows.
    pub unknown_tickets: u64,
}

#[derive(Debug)]
struct Item {
    write: Write,
    state: State,
    failures: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// In `ready` under this number.
    Ready(u64),
    /// In `waiting`.
    Waiting(Instant),
    /// The same, and the watch may end it.
    Conflict(Instant),
    /// Sent; `wanted` turns false when nothing is to be written any more.
    InFlight { wanted: bool },
    /// Written and not yet seen by the watch.
    Done,
}

#[derive(Debug)]
enum Sent {
    Object(WriteKey, Write),
    Event(Event, u32),
}

/// The writer's memory. See the module.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
    random: SplitMix,
    items: BTreeMap<WriteKey, Item>,
    /// By class, then first come.
    ready: BTreeMap<(u8, u64), WriteKey>,
    waiting: BTreeSet<(Instant, WriteKey)>,
    events: VecDeque<(Event, u32)>,
    event_pause: Option<Instant>,
    in_flight: BTreeMap<Ticket, Sent>,
    /// Successful writes of one object in quick succession: somebody else writes against
    /// us, or the server keeps something else. (How many, and until when the next counts.)
    streaks: BTreeMap<WriteKey, (u32, Instant)>,
    next_prune: Instant,
    next: u64,
    /// The theoretical time of the next request at the long-run rate (GCRA).
    paced: Instant,
    counters: Counters,
}

/// An object written this often in a row is written slower and slower.
const STREAK_MAX: u32 = 4;
/// Writes further apart are no streak; a pool's status may follow each second.
const STREAK_GAP: Duration = Duration::from_millis(900);
/// Times an event is tried.
const EVENT_TRIES_MAX: u32 = 4;
/// Doublings of the backoff, so that the shift cannot overflow.
const DOUBLINGS_MAX: u32 = 16;

impl Queue {
    /// An empty queue.
    pub fn new(config: QueueConfig, seed: u64, now: Instant) -> Self {
        Self {
            config,
            random: SplitMix::new(seed),
            items: BTreeMap::new(),
            ready: BTreeMap::new(),
            waiting: BTreeSet::new(),
            events: VecDeque::new(),
            event_pause: None,
            in_flight: BTreeMap::new(),
            streaks: BTreeMap::new(),
            next_prune: now,
            next: 0,
            paced: now,
            counters: Counters::default(),
        }
    }

    /// What an object should be; the newest wins. The same again changes nothing, neither
    /// while it waits nor when it is written and not yet seen.
    pub fn set_desired(&mut self, write: Write, now: Instant) {
        let Some(key) = WriteKey::of(&write) else {
            if let Write::Event(event) = write {
                self.push_event(event);
            }
            return;
        };
        match self.items.get_mut(&key) {
            None => {
                let delay = self.streak_delay(&key, now);
                let state = match delay {
                    Some(until) => self.wait(&key, until),
                    None => self.line_up(&key),
                };
                let item = Item {
                    write,
                    state,
                    failures: 0,
                };
                self.items.insert(key, item);
            }
            Some(item) => {
                let same = item.write == write;
                item.write = write;
                match &mut item.state {
                    State::InFlight { wanted } => *wanted = true,
                    State::Done if !same => {
                        let delay = self.streak_delay(&key, now);
                        let state = match delay {
                            Some(until) => self.wait(&key, until),
                            None => self.line_up(&key),
                        };
                        self.set_state(&key, state);
                    }
                    State::Done | State::Ready(_) | State::Waiting(_) | State::Conflict(_) => {}
                }
            }
        }
    }

    /// Nothing is to be written to the object any more: it is as it should be, or gone.
    pub fn withdraw(&mut self, key: &WriteKey) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        if let State::InFlight { wanted } = &mut item.state {
            *wanted = false;
            return;
        }
        self.unline(key);
        self.items.remove(key);
    }

    /// The watch showed the object again: a conflict may be tried anew, and what was
    /// written need not be remembered.
    pub fn seen(&mut self, key: &WriteKey) {
        match self.items.get(key).map(|item| &item.state) {
            Some(State::Done) => {
                self.items.remove(key);
            }
            Some(State::Conflict(_)) => {
                self.unline(key);
                let state = self.line_up(key);
                self.set_state(key, state);
            }
            _ => {}
        }
    }

    /// Queues an event, to be sent when no object waits.
    pub fn push_event(&mut self, event: Event) {
        if self.events.len() >= self.config.events_max {
            self.events.pop_front();
            self.counters.events_dropped += 1;
        }
        self.events.push_back((event, 0));
    }

    /// Forgets everything that is not in flight: another replica writes now.
    pub fn clear(&mut self) {
        let sent: BTreeSet<WriteKey> = self
            .in_flight
            .values()
            .filter_map(|sent| match sent {
                Sent::Object(key, _) => Some(key.clone()),
                Sent::Event(..) => None,
            })
            .collect();
        self.items.retain(|key, _| sent.contains(key));
        for item in self.items.values_mut() {
            item.state = State::InFlight { wanted: false };
        }
        self.ready.clear();
        self.waiting.clear();
        self.events.clear();
        self.streaks.clear();
    }

    /// The next request, if one is due and the bounds allow it. The caller owes an
    /// [`Queue::handle_outcome`] for each.
    pub fn poll_write(&mut self, now: Instant) -> Option<(Ticket, Write)> {
        self.handle_timeout(now);
        if self.in_flight.len() >= self.config.in_flight_max || now < self.paced_from() {
            return None;
        }
        let (sent, write) = match self.ready.pop_first() {
            Some((_, key)) => {
                let item = self.items.get_mut(&key)?;
                item.state = State::InFlight { wanted: true };
                let write = item.write.clone();
                (Sent::Object(key, write.clone()), write)
            }
            None => {
                if self.event_pause.is_some_and(|until| now < until) {
                    return None;
                }
                let (event, tries) = self.events.pop_front()?;
                self.event_pause = None;
                self.counters.events_sent += 1;
                (Sent::Event(event.clone(), tries), Write::Event(event))
            }
        };
        self.paced = self.paced.max(now) + self.interval();
        self.counters.sent += 1;
        let ticket = Ticket(self.number());
        self.in_flight.insert(ticket, sent);
        Some((ticket, write))
    }

    /// How a request ended; returns what was sent.
    pub fn handle_outcome(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Settled> {
        let Some(sent) = self.in_flight.remove(&ticket) else {
            self.counters.unknown_tickets += 1;
            return None;
        };
        self.count(&outcome);
        match sent {
            Sent::Object(key, write) => {
                self.settle(&key, &write, &outcome, now);
                Some(Settled { write, outcome })
            }
            Sent::Event(event, tries) => {
                let write = Write::Event(event.clone());
                self.settle_event(event, tries, &outcome, now);
                Some(Settled { write, outcome })
            }
        }
    }

    /// Ends the pauses that are over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((until, _)) = self.waiting.first()
            && *until <= now
        {
            let Some((_, key)) = self.waiting.pop_first() else {
                return;
            };
            let state = self.line_up(&key);
            self.set_state(&key, state);
        }
    }

    /// When to call [`Queue::poll_write`] again though nothing happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let pause = self.waiting.first().map(|(until, _)| *until);
        if self.in_flight.len() >= self.config.in_flight_max {
            return pause;
        }
        let events = (!self.events.is_empty()).then(|| {
            self.event_pause
                .unwrap_or(self.paced_from())
                .max(self.paced_from())
        });
        let paced = (!self.ready.is_empty()).then(|| self.paced_from());
        [pause, events, paced].into_iter().flatten().min()
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Objects that still need a request.
    pub fn pending(&self) -> usize {
        self.ready.len() + self.waiting.len()
    }

    /// Events that still need one.
    pub fn events(&self) -> usize {
        self.events.len()
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn settle(&mut self, key: &WriteKey, sent: &Write, outcome: &Outcome, now: Instant) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        let wanted = !matches!(item.state, State::InFlight { wanted: false });
        if !wanted {
            self.items.remove(key);
            return;
        }
        let same = item.write == *sent;
        let state = match outcome {
            Outcome::Done(_) => {
                item.failures = 0;
                self.note_streak(key, now);
                if same {
                    State::Done
                } else {
                    // What is wanted now was decided on the version before: let the
                    // watch show ours first.
                    self.conflict(key, now)
                }
            }
            // The watch will show that it is gone; what is wanted then is asked again.
            Outcome::NotFound if same => State::Done,
            Outcome::Conflict | Outcome::NotFound => self.conflict(key, now),
            Outcome::Refused(_) | Outcome::Unavailable(_) => {
                item.failures = item.failures.saturating_add(1);
                let failures = item.failures;
                let until = now + self.backoff(failures);
                self.wait(key, until)
            }
        };
        self.set_state(key, state);
    }

    fn settle_event(&mut self, event: Event, tries: u32, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Done(_) => {}
            Outcome::Unavailable(_) if tries + 1 < EVENT_TRIES_MAX => {
                let pause = self.backoff(tries + 1);
                self.event_pause = Some(now + pause);
                self.events.push_back((event, tries + 1));
            }
            _ => self.counters.events_dropped += 1,
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Done(_) => &mut self.counters.done,
            Outcome::Conflict => &mut self.counters.conflicts,
            Outcome::NotFound => &mut self.counters.not_found,
            Outcome::Refused(_) => &mut self.counters.refused,
            Outcome::Unavailable(_) => &mut self.counters.unavailable,
        };
        *counter += 1;
    }

    fn conflict(&mut self, key: &WriteKey, now: Instant) -> State {
        let until = now + self.config.conflict_wait;
        self.waiting.insert((until, key.clone()));
        State::Conflict(until)
    }

    fn wait(&mut self, key: &WriteKey, until: Instant) -> State {
        self.waiting.insert((until, key.clone()));
        State::Waiting(until)
    }

    fn line_up(&mut self, key: &WriteKey) -> State {
        let number = self.number();
        self.ready.insert((key.class(), number), key.clone());
        State::Ready(number)
    }

    fn unline(&mut self, key: &WriteKey) {
        match self.items.get(key).map(|item| &item.state) {
            Some(State::Ready(number)) => {
                self.ready.remove(&(key.class(), *number));
            }
            Some(State::Waiting(until) | State::Conflict(until)) => {
                self.waiting.remove(&(*until, key.clone()));
            }
            Some(State::InFlight { .. } | State::Done) | None => {}
        }
    }

    fn set_state(&mut self, key: &WriteKey, state: State) {
        if let Some(item) = self.items.get_mut(key) {
            item.state = state;
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn backoff(&mut self, failures: u32) -> Duration {
        let plain = self.plain_backoff(failures);
        self.random.jittered(plain).min(self.config.backoff_max)
    }

    fn plain_backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let plain = self.config.backoff_min.saturating_mul(1 << doublings);
        plain.min(self.config.backoff_max)
    }

    fn note_streak(&mut self, key: &WriteKey, now: Instant) {
        if self.next_prune <= now {
            self.streaks.retain(|_, (_, until)| now < *until);
            self.next_prune = now + STREAK_GAP;
        }
        let former = self.streaks.get(key).filter(|(_, until)| now < *until);
        let streak = former.map_or(1, |(streak, _)| streak + 1);
        // What is slowed down already must not look like patience.
        let slowed = match streak.checked_sub(STREAK_MAX) {
            Some(beyond) => self.plain_backoff(beyond + 1) * 2,
            None => Duration::ZERO,
        };
        let until = now + STREAK_GAP + slowed;
        self.streaks.insert(key.clone(), (streak, until));
    }

    fn streak_delay(&mut self, key: &WriteKey, now: Instant) -> Option<Instant> {
        let (streak, until) = *self.streaks.get(key)?;
        if until <= now || streak < STREAK_MAX {
            return None;
        }
        Some(now + self.backoff(streak - STREAK_MAX + 1))
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.config.per_second.max(1)
    }

    /// When the next request may go.
    fn paced_from(&self) -> Instant {
        let burst = self.interval() * self.config.burst.saturating_sub(1);
        self.paced.checked_sub(burst).unwrap_or(self.paced)
    }
}

#[cfg(test)]
mod tests;
