//! From the receipt of a Service's change to its written status.

use std::collections::BTreeMap;
use std::time::Instant;

use engine::name::NamespacedName;
use engine::world::{Change, Delta, Service, Stored};

use crate::metrics::Timings;

/// LIMIT: Services whose time is taken at once; the others are served all the same.
const WAITING_MAX: usize = 20_000;

pub(super) struct Waiting {
    since: BTreeMap<NamespacedName, Instant>,
    timings: Timings,
}

impl Waiting {
    pub(super) fn new(timings: Timings) -> Self {
        Self {
            since: BTreeMap::new(),
            timings,
        }
    }

    /// A Service that has no address begins to wait; one that has one waits no more.
    pub(super) fn seen(&mut self, change: &Change, now: Instant) {
        match change {
            Change::Service(Delta::Upsert(stored)) => self.service(stored, now),
            Change::Service(Delta::Delete(name)) => {
                self.since.remove(name);
            }
            _ => {}
        }
    }

    fn service(&mut self, stored: &Stored<Service>, now: Instant) {
        let service = &stored.object;
        if service.load_balancer && service.ingress.is_empty() {
            if self.since.len() < WAITING_MAX {
                self.since.entry(service.name.clone()).or_insert(now);
            }
        } else {
            self.since.remove(&service.name);
        }
    }

    /// Its status is written.
    pub(super) fn written(&mut self, name: &NamespacedName, now: Instant) {
        if let Some(since) = self.since.remove(name) {
            let took = now.saturating_duration_since(since);
            self.timings.status_written.observe(took.as_secs_f64());
        }
    }

    /// Who still waits is not waiting for us but for a pool.
    pub(super) fn nothing_to_write(&mut self) {
        self.since.clear();
    }
}
