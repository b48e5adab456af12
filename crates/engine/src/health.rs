//! Which nodes may get new connections: the health machine (design/health.md).
//!
//! Owns the state of each *(node, family)*, fed by the probe of the node, and of each *(Service, node)* of the few
//! Services that are probed for themselves; the schedule of probes, thresholds, damping, agreement with other
//! observers, and what is to be told. It asks for probes and is told what came of them; it opens no socket. Who of
//! the healthy gets a connection, and what happens when nobody is, is [`choice`], a function of its view.
//!
//! ```text
//!   set_desired ──► Health ──► poll_probe ──► (shell) ──► handle_result
//!                     └──► view (who may), poll_event (what changed and why), history
//! ```

mod agenda;
mod agreement;
mod choice;
mod desired;
mod event;
mod gauge;
mod node;
mod probe;
mod scope;
mod service;
mod verdict;
mod view;

#[cfg(test)]
mod tests;

pub use choice::{Ask, Choice, Chosen, Mode, Panic, PanicPolicy, Weights, choice};
pub use desired::{
    Check, HealthDesired, HttpCheck, INTERVAL_FLOOR, NodePort, NodeWanted, Opinion, ServiceCheck,
    Settings, THRESHOLD_MAX, TIME_MAX, TIMEOUT_FLOOR,
};
pub use event::{HISTORY_MAX, HealthEvent, Line};
pub use node::NODE_PORT;
pub use probe::{Answer, Probe, ProbeId, ProbeKind, ProbeResult, Rung};
pub use scope::{Scope, desired as desired_of};
pub use verdict::Cause;
pub use view::{HealthView, NodeHealth, Observer, ServiceHealth, State};

use crate::name::NamespacedName;
use crate::world::Family;
use crate::write::SplitMix;
use agenda::{Agenda, Flight, Key};
use event::Told;
use gauge::Gauge;
use node::{Given, NodeProbe};
use service::ServiceProbe;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// LIMIT: nodes that are probed; Kubernetes itself ends at 5,000.
pub const NODES_MAX: usize = 5_000;

/// LIMIT: (Service, node) pairs that are probed for themselves: a few hundred octets each.
pub const PAIRS_MAX: usize = 50_000;

/// LIMIT: probes of Services for themselves, a second, all together; with more pairs each is probed less often.
pub const PAIRS_PER_SECOND: u32 = 1_000;

/// What is down for longer than this is probed at the slow interval.
const SLOW_AFTER: Duration = Duration::from_secs(60);

/// A probe that only corroborates what others say waits no longer.
const CORROBORATE: Duration = Duration::from_millis(100);

/// How long a node that is gone, or an address that it had, is shown and its flows are forgotten.
const GONE_FOR: Duration = Duration::from_secs(60);

/// Counts of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Results by rung and kind.
    pub results: BTreeMap<(Rung, &'static str), u64>,
    /// Results of probes that nobody waits for any more.
    pub late: u64,
    /// Probes whose result never came.
    pub lost: u64,
    /// Probes that began later than half an interval after they were due: the prober is too slow or too narrow.
    pub delayed: u64,
    /// Changes of state.
    pub changes: u64,
}

/// See the module.
pub struct Health {
    desired: Arc<HealthDesired>,
    settings: Settings,
    random: SplitMix,
    agenda: Agenda,
    nodes: BTreeMap<(Arc<str>, Family), NodeProbe>,
    services: BTreeMap<(Arc<NamespacedName>, Arc<str>), ServiceProbe>,
    /// Addresses that no node has any more, and until when their flows are forgotten.
    gone: BTreeMap<IpAddr, Instant>,
    view: Arc<HealthView>,
    told: Told,
    counters: Counters,
    /// The view has to be looked at as a whole.
    stale: bool,
    /// For whom it was told that nobody is healthy.
    nobody: BTreeMap<(Option<NamespacedName>, Option<Family>), ()>,
}

impl Health {
    /// Nothing to probe.
    pub fn new(seed: u64, _now: Instant) -> Self {
        Self {
            desired: Arc::default(),
            settings: Settings::default(),
            random: SplitMix::new(seed),
            agenda: Agenda::default(),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            gone: BTreeMap::new(),
            view: Arc::default(),
            told: Told::default(),
            counters: Counters::default(),
            stale: false,
            nobody: BTreeMap::new(),
        }
    }

    /// What is to be probed from now on. What stays the same keeps its state.
    pub fn set_desired(&mut self, desired: Arc<HealthDesired>, now: Instant) {
        if self.desired == desired {
            return;
        }
        let old = std::mem::replace(&mut self.desired, desired);
        self.settings = self.desired.settings.clamped();
        self.take_nodes(now);
        self.take_services(&old, now);
        self.hear(&old, now);
        self.finish(now);
    }

    fn take_nodes(&mut self, now: Instant) {
        let desired = Arc::clone(&self.desired);
        let mut wanted: BTreeMap<(Arc<str>, Family), IpAddr> = BTreeMap::new();
        for (name, node) in desired.nodes.iter().take(NODES_MAX) {
            let name: Arc<str> = Arc::from(name.as_str());
            for (family, address) in &node.addresses {
                wanted.insert((Arc::clone(&name), *family), *address);
            }
        }
        let kept =
            |key: &(Arc<str>, Family), node: &NodeProbe| wanted.get(key) == Some(&node.address);
        let leaving: Vec<_> = self
            .nodes
            .iter()
            .filter(|(key, node)| !kept(key, node))
            .map(|(key, node)| (key.clone(), node.address))
            .collect();
        for (key, address) in leaving {
            self.nodes.remove(&key);
            self.agenda.drop(&Key::Node(Arc::clone(&key.0), key.1));
            self.gone.insert(address, now + GONE_FOR);
            self.show_gone(&key.0, key.1, address, now);
        }
        for (key, address) in wanted {
            self.gone.remove(&address);
            let (name, family) = &key;
            let new = !self.nodes.contains_key(&key);
            if new {
                let probe = NodeProbe::new(*family, address, now);
                self.nodes.insert(key.clone(), probe);
                self.agenda.plan(&Key::Node(Arc::clone(name), *family), now);
            }
            self.show_node(name, *family, now);
        }
    }

    fn take_services(&mut self, old: &HealthDesired, now: Instant) {
        let desired = Arc::clone(&self.desired);
        let mut wanted = BTreeMap::new();
        for (name, check) in &desired.services {
            // A port that is another one now begins anew.
            let same = old
                .services
                .get(name)
                .is_some_and(|old| old.check == check.check);
            let service = Arc::new(name.clone());
            for node in &check.nodes {
                let addresses = desired.nodes.get(node).map(|node| &node.addresses);
                // One family is enough: the counts behind are of the Service.
                let first = addresses.and_then(|all| all.values().next());
                let Some(address) = first.filter(|_| wanted.len() < PAIRS_MAX) else {
                    continue;
                };
                let key = (Arc::clone(&service), Arc::from(node.as_str()));
                wanted.insert(key, (*address, same));
            }
        }
        let keeps = |key: &(Arc<NamespacedName>, Arc<str>), probe: &ServiceProbe| {
            wanted.get(key) == Some(&(probe.address, true))
        };
        let leaving: Vec<_> = self
            .services
            .iter()
            .filter(|(key, probe)| !keeps(key, probe))
            .map(|(key, _)| key.clone())
            .collect();
        for key in leaving {
            self.services.remove(&key);
            self.agenda
                .drop(&Key::Service(Arc::clone(&key.0), Arc::clone(&key.1)));
            self.hide_service(&key.0, &key.1);
        }
        for (key, (address, _)) in wanted {
            if !self.services.contains_key(&key) {
                let probe = ServiceProbe::new(address, now);
                self.services.insert(key.clone(), probe);
                let (service, node) = &key;
                let due = Key::Service(Arc::clone(service), Arc::clone(node));
                self.agenda.plan(&due, now);
                self.show_service(service, node, now);
            }
        }
    }

    /// The next probe to carry out now, if one is due and there is room.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        let (due, key) = self.agenda.next_due(now)?;
        let (asked, mut timeout, interval) = match &key {
            Key::Node(name, family) => {
                let node = self.nodes.get_mut(&(Arc::clone(name), *family))?;
                let asked = node.ask(&self.desired);
                let hurried = std::mem::take(&mut node.hurried);
                let timeout = self.settings.timeout;
                let timeout = if hurried {
                    timeout.min(CORROBORATE)
                } else {
                    timeout
                };
                (asked, timeout, self.settings.interval)
            }
            Key::Service(service, node) => {
                let wanted = self.desired.services.get(&**service)?;
                let settings = wanted.settings.clamped();
                let probe = self
                    .services
                    .get(&(Arc::clone(service), Arc::clone(node)))?;
                (
                    probe.ask(&wanted.check),
                    settings.timeout,
                    settings.interval,
                )
            }
        };
        timeout = timeout.max(TIMEOUT_FLOOR);
        if now.saturating_duration_since(due) > interval / 2 {
            self.counters.delayed = self.counters.delayed.saturating_add(1);
        }
        let probe = |id| Probe {
            id,
            target: asked.target,
            kind: asked.kind.clone(),
            timeout,
            rung: asked.rung,
        };
        let id = self.agenda.start(key, asked.clone(), timeout, now);
        Some(probe(id))
    }

    /// What came of a probe.
    pub fn handle_result(&mut self, id: ProbeId, result: &ProbeResult, now: Instant) {
        let Some(flight) = self.agenda.land(id) else {
            self.counters.late = self.counters.late.saturating_add(1);
            return;
        };
        let counted = (flight.asked.rung, result.as_str());
        let count = self.counters.results.entry(counted).or_default();
        *count = count.saturating_add(1);
        match flight.key.clone() {
            Key::Node(name, family) => self.node_result(&flight, &name, family, result, now),
            Key::Service(service, node) => {
                self.service_result(&flight, &service, &node, result, now);
            }
        }
        self.finish(now);
    }

    fn node_result(
        &mut self,
        flight: &Flight,
        name: &Arc<str>,
        family: Family,
        result: &ProbeResult,
        now: Instant,
    ) {
        let given = Given {
            settings: self.settings,
            node_ports: self.desired.node_ports.get(&family).map_or(0, Vec::len),
            frozen: self.view.observer.frozen,
            now,
        };
        let key = (Arc::clone(name), family);
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        let was_alive = node.alive;
        let held = node.gauge.held_until();
        let after = node.result(&flight.asked, result, &given);
        node.eligible(result, flight.asked.rung);
        let first = was_alive.is_none();
        let next = if after.soon {
            now
        } else {
            let gauge = node.gauge.clone();
            self.next(&gauge, &given.settings, flight.started, first, now)
        };
        let holds = self
            .nodes
            .get(&key)
            .and_then(|node| node.gauge.held_until());
        if let Some(until) = holds.filter(|_| held.is_none()) {
            self.tell_held(name, None, until, now);
        }
        self.agenda.plan(&flight.key, next);
        let alive = self.nodes.get(&key).and_then(|node| node.alive);
        if alive != was_alive {
            self.observe();
        }
        self.agree(name, now);
        self.show_node(name, family, now);
    }

    fn service_result(
        &mut self,
        flight: &Flight,
        service: &Arc<NamespacedName>,
        node: &Arc<str>,
        result: &ProbeResult,
        now: Instant,
    ) {
        let desired = Arc::clone(&self.desired);
        let Some(wanted) = desired.services.get(&**service) else {
            return;
        };
        let key = (Arc::clone(service), Arc::clone(node));
        let Some(probe) = self.services.get_mut(&key) else {
            return;
        };
        let held = probe.gauge.held_until();
        let cause = probe.gauge.cause;
        let first = probe.gauge.fails == 0 && probe.gauge.passes == 0;
        probe.result(service, wanted, result, self.view.observer.frozen, now);
        let gauge = probe.gauge.clone();
        if gauge.cause != cause && matches!(gauge.cause, Cause::WrongService | Cause::Rubbish) {
            self.told.event(HealthEvent::BadAnswer {
                service: (**service).clone(),
                node: node.to_string(),
                wrong_service: gauge.cause == Cause::WrongService,
                reason: Arc::clone(&gauge.reason),
            });
        }
        if let Some(until) = gauge.held_until().filter(|_| held.is_none()) {
            self.tell_held(node, Some(service), until, now);
        }
        let mut settings = wanted.settings.clamped();
        let pairs = u32::try_from(self.services.len()).unwrap_or(u32::MAX);
        let least = Duration::from_secs(1) * pairs / PAIRS_PER_SECOND;
        settings.interval = settings.interval.max(least);
        let next = self.next(&gauge, &settings, flight.started, first, now);
        self.agenda.plan(&flight.key, next);
        self.show_service(service, node, now);
    }

    /// When it is probed again.
    fn next(
        &mut self,
        gauge: &Gauge,
        settings: &Settings,
        started: Instant,
        first: bool,
        now: Instant,
    ) -> Instant {
        if gauge.changing(settings) {
            // From the end of this probe, so that a slow answer does not hurry the next.
            return now + settings.fast.min(settings.interval);
        }
        let next = if gauge.down_for(SLOW_AFTER, now) {
            started + self.random.around(settings.slow, 100)
        } else if first {
            // Those that began together part: each gets its place in the interval.
            started + self.random.within(settings.interval)
        } else {
            started + self.random.around(settings.interval, 100)
        };
        next.max(now)
    }

    /// What is due by itself: holds that end, shares that grow, drains that are over, probes that were lost.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(flight) = self.agenda.lost(now) {
            self.counters.lost = self.counters.lost.saturating_add(1);
            self.agenda.plan(&flight.key, now);
        }
        if self.gone.values().any(|until| *until <= now) {
            self.gone.retain(|_, until| *until > now);
            self.stale = true;
        }
        while let Some(key) = self.agenda.next_alarm(now) {
            // A drain may be over though nothing that is shown differs.
            self.stale = true;
            match key {
                Key::Node(name, family) => {
                    if let Some(node) = self.nodes.get_mut(&(Arc::clone(&name), family)) {
                        node.gauge.release(&self.settings, now);
                        self.show_node(&name, family, now);
                    } else {
                        self.forget_gone(&name, family);
                    }
                }
                Key::Service(service, node) => {
                    let settings = self.desired.services.get(&*service).map(|s| s.settings);
                    let key = (Arc::clone(&service), Arc::clone(&node));
                    if let (Some(probe), Some(settings)) = (self.services.get_mut(&key), settings) {
                        probe.gauge.release(&settings.clamped(), now);
                        self.show_service(&service, &node, now);
                    }
                }
            }
        }
        self.finish(now);
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_probe`] though nothing happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.deadline()
    }

    /// Something worth telling.
    pub fn poll_event(&mut self) -> Option<HealthEvent> {
        self.told.poll()
    }

    /// Who may get new connections, now. The pointer changes only when something in it does.
    pub fn view(&self) -> &Arc<HealthView> {
        &self.view
    }

    /// The last changes of a node, oldest first.
    pub fn history(&self, node: &str) -> impl Iterator<Item = &Line> + '_ {
        self.told.lines(node)
    }

    /// What is probed.
    pub fn desired(&self) -> &Arc<HealthDesired> {
        &self.desired
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Events that were pushed out before anybody took them.
    pub fn events_dropped(&self) -> u64 {
        self.told.dropped
    }

    /// Probes that are being carried out.
    pub fn in_flight(&self) -> usize {
        self.agenda.in_flight()
    }

    /// Probes a second that this amounts to while everything is well.
    pub fn probes_per_second(&self) -> u64 {
        let rate = |count: usize, interval: Duration| {
            let millis = u64::try_from(interval.as_millis()).unwrap_or(1).max(1);
            u64::try_from(count)
                .unwrap_or(u64::MAX)
                .saturating_mul(1000)
                / millis
        };
        let pairs = self
            .desired
            .services
            .values()
            .map(|check| rate(check.nodes.len(), check.settings.clamped().interval));
        let pairs = pairs.sum::<u64>().min(u64::from(PAIRS_PER_SECOND));
        rate(self.nodes.len(), self.settings.interval).saturating_add(pairs)
    }
}
