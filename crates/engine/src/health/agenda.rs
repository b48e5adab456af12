//! When what is to be probed, what is in flight, and what changes by itself.

use super::node::Asked;
use super::probe::ProbeId;
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One thing that is probed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Node(Arc<str>, Family),
    Service(Arc<NamespacedName>, Arc<str>),
}

/// LIMIT: probes in flight. 1,000 dead ones (500 nodes in two families) with a timeout of half a second are 500 at a
/// time; a socket and a buffer each.
pub(super) const FLIGHTS_MAX: usize = 512;

/// A result that has not come this long after the timeout never will: the prober lost it, and that says nothing.
const LOST_AFTER: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) key: Key,
    pub(super) asked: Asked,
    pub(super) started: Instant,
    expires: Instant,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    due: Clock,
    alarms: Clock,
    flights: BTreeMap<ProbeId, Flight>,
    flying: BTreeMap<Key, ProbeId>,
    next: u64,
}

/// Keys by time, each once.
#[derive(Clone, Debug, Default)]
struct Clock {
    by_time: BTreeSet<(Instant, Key)>,
    by_key: BTreeMap<Key, Instant>,
}

impl Clock {
    fn set(&mut self, key: &Key, at: Option<Instant>) {
        if let Some(old) = self.by_key.remove(key) {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_key.insert(key.clone(), at);
            self.by_time.insert((at, key.clone()));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Instant) -> Option<(Instant, Key)> {
        let first = self.by_time.first().filter(|(at, _)| *at <= now)?.clone();
        self.set(&first.1, None);
        Some(first)
    }
}

impl Agenda {
    /// The next probe of it.
    pub(super) fn plan(&mut self, key: &Key, at: Instant) {
        self.due.set(key, Some(at));
    }

    /// When it changes by itself.
    pub(super) fn alarm(&mut self, key: &Key, at: Option<Instant>) {
        self.alarms.set(key, at);
    }

    /// Nothing of it any more; a probe in flight is forgotten.
    pub(super) fn drop(&mut self, key: &Key) {
        self.due.set(key, None);
        self.alarms.set(key, None);
        self.abandon(key);
    }

    /// The probe in flight is not waited for any more.
    pub(super) fn abandon(&mut self, key: &Key) {
        if let Some(id) = self.flying.remove(key) {
            self.flights.remove(&id);
        }
    }

    /// The next that is due, with the time it was due at, while there is room.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(Instant, Key)> {
        if self.flights.len() >= FLIGHTS_MAX {
            return None;
        }
        self.due.pop(now)
    }

    /// The next alarm that is due.
    pub(super) fn next_alarm(&mut self, now: Instant) -> Option<Key> {
        self.alarms.pop(now).map(|(_, key)| key)
    }

    pub(super) fn start(
        &mut self,
        key: Key,
        asked: Asked,
        timeout: Duration,
        now: Instant,
    ) -> ProbeId {
        self.abandon(&key);
        let id = ProbeId(self.next);
        self.next = self.next.wrapping_add(1);
        self.flying.insert(key.clone(), id);
        let expires = now + timeout + LOST_AFTER;
        let flight = Flight {
            key,
            asked,
            started: now,
            expires,
        };
        self.flights.insert(id, flight);
        id
    }

    pub(super) fn land(&mut self, id: ProbeId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        self.flying.remove(&flight.key);
        Some(flight)
    }

    /// A flight whose result never came.
    pub(super) fn lost(&mut self, now: Instant) -> Option<Flight> {
        let (id, _) = self
            .flights
            .iter()
            .find(|(_, flight)| flight.expires <= now)?;
        let id = *id;
        self.land(id)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let room = self.flights.len() < FLIGHTS_MAX;
        let due = self.due.first().filter(|_| room);
        // Timeouts differ little, so the oldest is a good enough bound for what hardly ever happens.
        let oldest = self.flights.values().next().map(|flight| flight.expires);
        due.into_iter()
            .chain(self.alarms.first())
            .chain(oldest)
            .min()
    }
}
