//! What several observers make of one node, and what all of it looks like: the parts of the machine that look at more
//! than one result.

use super::agenda::Key;
use super::event::{HealthEvent, Line};
use super::gauge::Level;
use super::verdict::Cause;
use super::view::{HealthView, NodeHealth, Observer, ServiceHealth, State};
use super::{GONE_FOR, Health, HealthDesired, NodeWanted, Opinion};
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// So many that count have to agree.
const OBSERVERS: usize = 2;

/// So often in a row this one has to have heard nothing before established connections are given up.
const SILENCES: u32 = 2;

impl Health {
    /// New words of others: whoever they call lost is looked at now, and not waited for long.
    pub(super) fn hear(&mut self, old: &HealthDesired, now: Instant) {
        self.observe();
        let names: Vec<Arc<str>> = self
            .nodes
            .keys()
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            let doubts = |desired: &HealthDesired| {
                let wanted = desired.nodes.get(&*name);
                let lost = wanted.is_some_and(|node| node.member_lost);
                (lost, voices(desired, &name))
            };
            let (then, today) = (doubts(old), doubts(&self.desired));
            if today.0 && !then.0 || today.1 > then.1 {
                self.corroborate(&name, now);
            }
            self.agree(&name, now);
        }
    }

    fn corroborate(&mut self, name: &Arc<str>, now: Instant) {
        for family in [Family::V4, Family::V6] {
            let Some(node) = self.nodes.get_mut(&(Arc::clone(name), family)) else {
                continue;
            };
            if node.gauge.usable() {
                node.hurried = true;
                let key = Key::Node(Arc::clone(name), family);
                self.agenda.abandon(&key);
                self.agenda.plan(&key, now);
            }
        }
    }

    /// Looks at itself: how many of the others it reaches.
    pub(super) fn observe(&mut self) {
        let own = self.desired.own_node.as_deref();
        let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
        for ((name, _), node) in &self.nodes {
            if Some(&**name) == own {
                continue;
            }
            if let Some(alive) = node.alive {
                // Whose speaker is heard is in reach, whatever its kube-proxy does.
                let wanted = self.desired.nodes.get(&**name);
                let heard = wanted.is_some_and(|node| node.heard);
                *seen.entry(name).or_default() |= alive || heard;
            }
        }
        let of = seen.len();
        let reaches = seen.values().filter(|alive| **alive).count();
        // Between two nodes the gateway decides which one is alone.
        let tie = of == 1 && self.desired.gateway == Some(true);
        // DIFFERS: health.md asks for more than half of the others. Of three nodes one that dies would leave two that do
        // not count; so a node counts itself, and a machine that is none of them needs half.
        let most = match own {
            Some(_) => (reaches + 1) * 2 > of + 1,
            None => reaches * 2 >= of && reaches > 0,
        };
        let counts = of == 0 || most || tie;
        // Whoever has no fellows has nobody who could know better, and his packets take this very path.
        let frozen = !counts && !self.desired.observers.is_empty();
        let observer = Observer {
            reaches,
            of,
            counts,
            frozen,
        };
        let settled = self.nodes.values().all(|node| node.alive.is_some());
        let settled = settled || self.view.settled;
        if observer.frozen != self.view.observer.frozen {
            self.told.event(HealthEvent::Isolated {
                isolated: observer.frozen,
                reaches,
                of,
            });
        }
        if observer != self.view.observer || settled != self.view.settled {
            let view = Arc::make_mut(&mut self.view);
            view.observer = observer;
            view.settled = settled;
        }
    }

    /// Whether a node is dead by agreement; if so it is taken down at once.
    pub(super) fn agree(&mut self, name: &Arc<str>, now: Instant) {
        let desired = Arc::clone(&self.desired);
        let Some(wanted) = desired.nodes.get(&**name) else {
            return;
        };
        let Some(why) = self.dead(name, wanted) else {
            return;
        };
        let counts = self.view.observer.counts;
        for family in [Family::V4, Family::V6] {
            let key = (Arc::clone(name), family);
            let Some(node) = self.nodes.get_mut(&key) else {
                continue;
            };
            if node.confirmed {
                continue;
            }
            // One lost packet beside the death of a speaker stops new connections for a moment; it resets none.
            let sure = !counts || node.gauge.fails >= SILENCES;
            if sure || node.gauge.level != Level::Unhealthy {
                node.confirmed = sure;
                node.gauge.force(Cause::Path, &why, now);
                self.show_node(name, family, now);
            }
        }
    }

    fn dead(&self, name: &Arc<str>, wanted: &NodeWanted) -> Option<String> {
        let probes = || {
            [Family::V4, Family::V6]
                .into_iter()
                .filter_map(|family| self.nodes.get(&(Arc::clone(name), family)))
        };
        // Nobody is believed against one's own eyes.
        if probes().any(|node| node.alive == Some(true)) {
            return None;
        }
        let silent = probes().next().is_some() && probes().all(|node| node.alive == Some(false));
        let down = silent && probes().all(|node| node.gauge.level == Level::Unhealthy);
        let observer = &self.view.observer;
        if !silent && observer.counts {
            return None;
        }
        let mut said = Vec::new();
        if silent && observer.counts {
            said.push("no answer here".to_owned());
        }
        if wanted.member_lost {
            said.push("the members have lost it".to_owned());
        }
        if wanted.not_ready && down {
            said.push("its kubelet is silent".to_owned());
        }
        if down && observer.of == 1 && self.desired.gateway == Some(true) {
            said.push("the gateway answers".to_owned());
        }
        let fellows = fellows(&self.desired, name).map(|(observer, _)| observer);
        said.extend(fellows.map(|observer| format!("{observer} cannot reach it")));
        (said.len() >= OBSERVERS).then(|| format!("confirmed dead: {}", said.join(", ")))
    }

    /// Puts a node into the view as it is now, and tells what changed.
    pub(super) fn show_node(&mut self, name: &Arc<str>, family: Family, now: Instant) {
        let desired = Arc::clone(&self.desired);
        let default = NodeWanted::default();
        let wanted = desired.nodes.get(&**name).unwrap_or(&default);
        let settings = self.settings;
        let Some(node) = self.nodes.get_mut(&(Arc::clone(name), family)) else {
            return;
        };
        node.settle(wanted, now);
        let shown = node.shown(wanted, &settings, now);
        let drained = node.drained_at(&settings).filter(|at| *at > now);
        let alarm = node.gauge.alarm(now).into_iter().chain(drained).min();
        self.agenda
            .alarm(&Key::Node(Arc::clone(name), family), alarm);
        self.put_node(name, family, shown, now);
    }

    pub(super) fn show_gone(
        &mut self,
        name: &Arc<str>,
        family: Family,
        address: IpAddr,
        now: Instant,
    ) {
        let key = Key::Node(Arc::clone(name), family);
        self.agenda.alarm(&key, Some(now + GONE_FOR));
        let shown = NodeHealth {
            address,
            state: State::Removed,
            cause: Cause::Removed,
            since: now,
            last_healthy: None,
            rung: None,
            reason: Arc::from("the Node is gone, or has this address no more"),
            weight: 100,
            confirmed_dead: false,
        };
        self.put_node(name, family, shown, now);
    }

    pub(super) fn forget_gone(&mut self, name: &Arc<str>, family: Family) {
        let view = Arc::make_mut(&mut self.view);
        if let Some(families) = view.nodes.get_mut(&**name) {
            Arc::make_mut(families).remove(&family);
            if families.is_empty() {
                view.nodes.remove(&**name);
                self.told.forget(name);
            }
        }
        self.stale = true;
    }

    fn put_node(&mut self, name: &Arc<str>, family: Family, shown: NodeHealth, now: Instant) {
        let old = self.view.node(name, family);
        let Some(from) = old.map(|old| old.state).filter(|_| old != Some(&shown)) else {
            if old.is_none() {
                self.insert_node(name, family, shown);
            }
            return;
        };
        let to = shown.state;
        if std::mem::discriminant(&from) != std::mem::discriminant(&to) {
            self.counters.changes = self.counters.changes.saturating_add(1);
            let reason = Arc::clone(&shown.reason);
            let line = Line {
                at: now,
                family,
                service: None,
                from,
                to,
                reason: Arc::clone(&reason),
            };
            self.told.line(name, line);
            self.told.event(HealthEvent::Node {
                node: name.to_string(),
                family,
                from,
                to,
                reason,
            });
        }
        self.insert_node(name, family, shown);
    }

    fn insert_node(&mut self, name: &Arc<str>, family: Family, shown: NodeHealth) {
        let view = Arc::make_mut(&mut self.view);
        let families = view.nodes.entry(name.to_string()).or_default();
        Arc::make_mut(families).insert(family, shown);
        self.stale = true;
    }

    /// The same for a Service on a node.
    pub(super) fn show_service(
        &mut self,
        service: &Arc<NamespacedName>,
        node: &Arc<str>,
        now: Instant,
    ) {
        let key = (Arc::clone(service), Arc::clone(node));
        let Some(probe) = self.services.get_mut(&key) else {
            return;
        };
        let shown = probe.shown(now);
        let alarm = probe.gauge.alarm(now);
        let key = Key::Service(Arc::clone(service), Arc::clone(node));
        self.agenda.alarm(&key, alarm);
        let known = self.view.services.get(&**service);
        let old = known.and_then(|nodes| nodes.get(&**node));
        if old == Some(&shown) {
            return;
        }
        if let Some(from) = old.map(|old| old.state).filter(|from| *from != shown.state) {
            self.tell_service(service, node, from, &shown, now);
        }
        let view = Arc::make_mut(&mut self.view);
        if !view.services.contains_key(&**service) {
            view.services.insert((**service).clone(), Arc::default());
        }
        if let Some(nodes) = view.services.get_mut(&**service) {
            Arc::make_mut(nodes).insert(node.to_string(), shown);
        }
        self.look_for_nobody(Some(service), None);
    }

    fn tell_service(
        &mut self,
        service: &NamespacedName,
        node: &Arc<str>,
        from: State,
        shown: &ServiceHealth,
        now: Instant,
    ) {
        self.counters.changes = self.counters.changes.saturating_add(1);
        let reason = Arc::clone(&shown.reason);
        let line = Line {
            at: now,
            family: Family::V4,
            service: Some(service.clone()),
            from,
            to: shown.state,
            reason: Arc::clone(&reason),
        };
        self.told.line(node, line);
        self.told.event(HealthEvent::Service {
            service: service.clone(),
            node: node.to_string(),
            from,
            to: shown.state,
            reason,
        });
    }

    pub(super) fn hide_service(&mut self, service: &NamespacedName, node: &str) {
        let view = Arc::make_mut(&mut self.view);
        if let Some(nodes) = view.services.get_mut(service) {
            Arc::make_mut(nodes).remove(node);
            if nodes.is_empty() {
                view.services.remove(service);
                self.nobody.remove(&(Some(service.clone()), None));
            }
        }
    }

    pub(super) fn tell_held(
        &mut self,
        node: &Arc<str>,
        service: Option<&Arc<NamespacedName>>,
        until: Instant,
        now: Instant,
    ) {
        self.told.event(HealthEvent::Held {
            node: node.to_string(),
            service: service.map(|service| (**service).clone()),
            hold: until.saturating_duration_since(now),
        });
    }

    /// What follows from all nodes together, once for each call of the machine.
    pub(super) fn finish(&mut self, now: Instant) {
        if !self.stale {
            return;
        }
        self.stale = false;
        let (dead, draining) = self.flows(now);
        if dead != self.view.dead || draining != self.view.draining {
            let view = Arc::make_mut(&mut self.view);
            view.dead = dead;
            view.draining = draining;
        }
        for family in [Family::V4, Family::V6] {
            self.look_for_nobody(None, Some(family));
        }
    }

    fn flows(&self, now: Instant) -> (BTreeSet<IpAddr>, BTreeMap<IpAddr, Instant>) {
        let mut dead: BTreeSet<IpAddr> = BTreeSet::new();
        let mut draining = BTreeMap::new();
        for node in self
            .view
            .nodes
            .values()
            .flat_map(|families| families.values())
        {
            match node.state {
                State::Removed => {
                    dead.insert(node.address);
                }
                _ if node.confirmed_dead => {
                    dead.insert(node.address);
                }
                State::Draining { until } | State::Excluded { until } if until <= now => {
                    dead.insert(node.address);
                }
                State::Draining { until } | State::Excluded { until } => {
                    draining.insert(node.address, until);
                }
                State::Unknown | State::Healthy | State::Suspect | State::Unhealthy => {}
            }
        }
        dead.extend(self.gone.keys());
        (dead, draining)
    }

    fn look_for_nobody(&mut self, service: Option<&NamespacedName>, family: Option<Family>) {
        let nobody = match (service, family) {
            (Some(service), _) => nobody_serves(&self.view, service),
            (None, Some(family)) => nobody_is_healthy(&self.view, family),
            (None, None) => return,
        };
        let service = service.cloned();
        let key = (service.clone(), family);
        if nobody == self.nobody.contains_key(&key) {
            return;
        }
        if nobody {
            self.nobody.insert(key, ());
            self.told
                .event(HealthEvent::AllBackendsUnhealthy { service, family });
        } else {
            self.nobody.remove(&key);
            self.told
                .event(HealthEvent::BackendsBack { service, family });
        }
    }
}

/// Known, and none of them usable.
fn nobody(mut states: impl Iterator<Item = State>) -> bool {
    let mut any = false;
    let none = states.all(|state| {
        any = true;
        !state.is_usable() && state != State::Unknown
    });
    any && none
}

fn nobody_serves(view: &HealthView, service: &NamespacedName) -> bool {
    let nodes = view.services.get(service);
    nobody(nodes.into_iter().flat_map(|n| n.values()).map(|s| s.state))
}

fn nobody_is_healthy(view: &HealthView, family: Family) -> bool {
    let nodes = view.nodes.values().filter_map(|all| all.get(&family));
    let here = nodes.filter(|node| !matches!(node.state, State::Removed | State::Excluded { .. }));
    nobody(here.map(|node| node.state))
}

/// Others that count and cannot reach it.
fn fellows<'a>(
    desired: &'a HealthDesired,
    name: &'a str,
) -> impl Iterator<Item = (&'a String, &'a Opinion)> {
    desired.observers.iter().filter(move |(observer, opinion)| {
        // Nobody says of himself that he is dead.
        opinion.counts && observer.as_str() != name && opinion.cannot_reach.contains(name)
    })
}

fn voices(desired: &HealthDesired, name: &str) -> usize {
    fellows(desired, name).count()
}
