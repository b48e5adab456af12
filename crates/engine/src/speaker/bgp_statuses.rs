//! What the speaker writes of routers: ServiceBGPStatus, its events, and BGPSessionState.
//!
//! One ServiceBGPStatus for each Service and node says whom the node is configured to tell
//! (compat/metallb.md 2.7), as long as there are few; above that one for the whole node.
//! BGPSessionState says how a session really is. Owns what is remembered of both.

use super::{Speaker, statuses};
use crate::facts::SessionFact;
use crate::name::{Kind, NamespacedName};
use crate::routes::{Route, RouteTable, Session};
use crate::world::{BgpStatus, Touched, World};
use crate::write::{Queue, SessionStateValue, Write, WriteKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// LIMIT: ServiceBGPStatuses of the whole cluster while the mode is automatic. Each is an
/// object and two requests; at 1,000 Services and three nodes they already take tens of
/// seconds to write.
const OBJECTS_MAX: usize = 5_000;
/// Below this they are written again, so that one Service more or less does not write them
/// all.
const OBJECTS_AGAIN: usize = 4_500;

/// Whether ServiceBGPStatuses are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BgpStatusMode {
    /// While Services times nodes are few; above that one for each node.
    #[default]
    Auto,
    /// Always, as MetalLB.
    Always,
    /// Never.
    Never,
}

/// How fine they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Grain {
    #[default]
    Service,
    Node,
    Nothing,
}

#[derive(Clone, Debug, Default)]
pub(super) struct BgpStatuses {
    /// As last looked at.
    sessions: Arc<BTreeMap<String, Session>>,
    /// For each Service the peers that are told of it, with how many routes.
    peers: BTreeMap<NamespacedName, BTreeMap<String, u32>>,
    /// This node's objects as the watch shows them, by Service; the node's own by an empty name.
    seen: BTreeMap<NamespacedName, BTreeMap<NamespacedName, Arc<BgpStatus>>>,
    service_of: BTreeMap<NamespacedName, NamespacedName>,
    /// Services whose announcement is told by an event.
    told: BTreeSet<NamespacedName>,
    stale: BTreeSet<NamespacedName>,
    grain: Grain,
}

impl BgpStatuses {
    /// Takes in what the watch shows.
    pub(super) fn seen(&mut self, world: &World, touched: &Touched, node: &str, queue: &mut Queue) {
        for name in &touched.names {
            if let Some(service) = self.service_of.remove(name) {
                if let Some(objects) = self.seen.get_mut(&service) {
                    objects.remove(name);
                    if objects.is_empty() {
                        self.seen.remove(&service);
                    }
                }
                self.stale.insert(service);
            }
            let Some(stored) = world.bgp_statuses.get(name) else {
                queue.seen(&WriteKey::DeleteBgpStatus(name.clone()));
                continue;
            };
            let object = &stored.object;
            if object.node != node {
                continue;
            }
            let service = object.service.clone();
            if object.has_status {
                queue.seen(&WriteKey::BgpStatus(service.clone()));
            }
            let objects = self.seen.entry(service.clone()).or_default();
            objects.insert(name.clone(), Arc::clone(object));
            self.service_of.insert(name.clone(), service.clone());
            self.stale.insert(service);
        }
        if touched.listed {
            self.stale.extend(self.peers.keys().cloned());
        }
    }

    /// What of the sessions differs from what was last looked at.
    fn follow(&mut self, sessions: &Arc<BTreeMap<String, Session>>) {
        if Arc::ptr_eq(&self.sessions, sessions) {
            return;
        }
        let old = std::mem::replace(&mut self.sessions, Arc::clone(sessions));
        let none = Arc::<RouteTable>::default();
        for (peer, session) in old.iter() {
            let new = sessions.get(peer).map_or(&none, |new| &new.routes);
            self.compare(peer, &session.routes, new);
        }
        for (peer, session) in sessions.iter().filter(|(peer, _)| !old.contains_key(*peer)) {
            self.compare(peer, &none, &session.routes);
        }
    }

    /// Routes that stayed are the same value: they cost a comparison of pointers.
    fn compare(&mut self, peer: &str, old: &Arc<RouteTable>, new: &Arc<RouteTable>) {
        if Arc::ptr_eq(old, new) {
            return;
        }
        let same = |a: &Arc<Route>, b: Option<&Arc<Route>>| b.is_some_and(|b| Arc::ptr_eq(a, b));
        for (prefix, route) in old.iter().filter(|(p, route)| !same(route, new.get(*p))) {
            let _prefix = prefix;
            for service in &route.services {
                self.stale.insert(service.clone());
                let Some(peers) = self.peers.get_mut(service) else {
                    continue;
                };
                if let Some(count) = peers.get_mut(peer) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        peers.remove(peer);
                    }
                }
                if peers.is_empty() {
                    self.peers.remove(service);
                }
            }
        }
        for (_, route) in new.iter().filter(|(p, route)| !same(route, old.get(*p))) {
            for service in &route.services {
                self.stale.insert(service.clone());
                let peers = self.peers.entry(service.clone()).or_default();
                let count = peers.entry(peer.to_owned()).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
}

/// The object that stands for the whole node.
fn whole() -> NamespacedName {
    NamespacedName::new("", "")
}

impl Speaker {
    /// Wants the statuses of the Services whose peers changed.
    pub(super) fn want_bgp_statuses(&mut self, world: bool, now: Instant) {
        if !self.planned || self.world.epoch(super::ROUTED_FROM).is_none() {
            return;
        }
        self.bgp_statuses.follow(&self.sessions);
        if self.world.epoch(&[Kind::ServiceBgpStatus]).is_none() {
            return;
        }
        if world {
            self.choose_grain();
        }
        for service in std::mem::take(&mut self.bgp_statuses.stale) {
            let peers = self.bgp_peers(&service);
            if service != whole() {
                self.tell_bgp(&service, peers.is_empty());
            }
            self.want_bgp_status(&service, peers, now);
        }
    }

    fn choose_grain(&mut self) {
        let statuses = &mut self.bgp_statuses;
        // Where no router is told anything, ten thousand Services are not counted for it.
        if statuses.sessions.is_empty() && statuses.peers.is_empty() && statuses.seen.is_empty() {
            return;
        }
        let grain = match self.config.bgp_statuses {
            BgpStatusMode::Always => Grain::Service,
            BgpStatusMode::Never => Grain::Nothing,
            BgpStatusMode::Auto => {
                let services = self.world.services.iter();
                let held = services.filter(|stored| stored.object.addresses().next().is_some());
                let objects = held.count().saturating_mul(self.world.nodes.len());
                let bound = match statuses.grain {
                    Grain::Service => OBJECTS_MAX,
                    Grain::Node | Grain::Nothing => OBJECTS_AGAIN,
                };
                match objects <= bound {
                    true => Grain::Service,
                    false => Grain::Node,
                }
            }
        };
        if std::mem::replace(&mut statuses.grain, grain) != grain {
            let all = statuses.peers.keys().chain(statuses.seen.keys()).cloned();
            statuses.stale.extend(all.collect::<Vec<_>>());
        }
        if grain == Grain::Node {
            statuses.stale.insert(whole());
        }
    }

    /// Whom this node tells of a Service as far as there is to be an object that says so,
    /// sorted; of the node itself, whom it tells anything.
    fn bgp_peers(&self, service: &NamespacedName) -> Vec<String> {
        let statuses = &self.bgp_statuses;
        match (statuses.grain, *service == whole()) {
            (Grain::Service, false) => {
                let peers = statuses.peers.get(service);
                peers
                    .into_iter()
                    .flat_map(|all| all.keys())
                    .cloned()
                    .collect()
            }
            (Grain::Node, true) => {
                let telling = |(_, session): &(&String, &Session)| !session.routes.is_empty();
                let sessions = statuses.sessions.iter().filter(telling);
                sessions.map(|(peer, _)| peer.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// An event when the announcement begins and one when it ends; with thousands of objects
    /// there are none.
    fn tell_bgp(&mut self, service: &NamespacedName, silent: bool) {
        let statuses = &mut self.bgp_statuses;
        if statuses.grain != Grain::Service {
            statuses.told.clear();
            return;
        }
        let told_before = statuses.seen.get(service);
        let told_before = told_before.is_some_and(|all| all.values().any(|o| o.has_status));
        let node = &self.config.node;
        let event = match silent {
            false if statuses.told.insert(service.clone()) && !told_before => {
                let text = format!("announcing from node {node:?} with protocol \"bgp\"");
                statuses::event(&self.world, service, false, "nodeAssigned", text)
            }
            true if statuses.told.remove(service) => {
                let text = format!("no longer announcing from node {node:?} with protocol \"bgp\"");
                statuses::event(&self.world, service, false, "nodeWithdrawn", text)
            }
            _ => None,
        };
        event
            .into_iter()
            .for_each(|event| self.queue.push_event(event));
    }

    fn want_bgp_status(&mut self, service: &NamespacedName, peers: Vec<String>, now: Instant) {
        let objects = self.bgp_statuses.seen.get(service);
        let ours = |object: &&Arc<BgpStatus>| object.name.namespace == self.config.namespace;
        let objects = objects.into_iter().flat_map(|all| all.values());
        let mut objects = objects
            .filter(ours)
            .cloned()
            .collect::<Vec<_>>()
            .into_iter();
        let key = WriteKey::BgpStatus(service.clone());
        if peers.is_empty() {
            self.queue.withdraw(&key);
        } else {
            let first = objects.next();
            let right = first
                .as_ref()
                .is_some_and(|o| o.has_status && o.peers == peers);
            if right {
                self.queue.withdraw(&key);
            } else {
                let write = Write::BgpStatus {
                    existing: first.map(|object| object.name.clone()),
                    node: self.config.node.clone(),
                    service: service.clone(),
                    peers,
                };
                self.queue.set_desired(write, now);
            }
        }
        for object in objects {
            let write = Write::DeleteBgpStatus(object.name.clone());
            self.queue.set_desired(write, now);
        }
    }

    /// Wants the states of this node's sessions.
    pub(super) fn want_session_states(&mut self, now: Instant) {
        if self.world.epoch(&[Kind::BgpSessionState]).is_none() {
            return;
        }
        let sessions = Arc::clone(&self.facts.sessions);
        for (peer, fact) in sessions.iter() {
            let value = self.session_state(peer, fact);
            let key = WriteKey::SessionState(value.name.clone());
            let seen = self.world.session_states.get(&value.name);
            let right = seen.is_some_and(|stored| {
                let object = &stored.object;
                object.bgp == value.bgp
                    && object.bfd == value.bfd
                    && object.last_error == value.last_error
            });
            if right {
                self.queue.withdraw(&key);
            } else {
                self.queue
                    .set_desired(Write::SessionState(Box::new(value)), now);
            }
        }
        let gone: Vec<NamespacedName> = self
            .world
            .session_states
            .iter()
            .map(|stored| &stored.object)
            .filter(|object| object.node == self.config.node)
            .filter(|object| object.name.namespace == self.config.namespace)
            .filter(|object| !sessions.contains_key(&object.peer))
            .map(|object| object.name.clone())
            .collect();
        for name in gone {
            self.queue.set_desired(Write::DeleteSessionState(name), now);
        }
    }

    fn session_state(&self, peer: &str, fact: &SessionFact) -> SessionStateValue {
        let node = self.config.node.as_str();
        SessionStateValue {
            name: NamespacedName::new(self.config.namespace.as_str(), session_name(node, peer)),
            node: node.to_owned(),
            peer: peer.to_owned(),
            neighbor: fact.neighbor.clone(),
            vrf: fact.vrf.clone(),
            bgp: fact.bgp.to_owned(),
            bfd: fact.bfd.to_owned(),
            last_error: fact.last_error.clone(),
        }
    }

    pub(super) fn session_states_seen(&mut self, touched: &Touched) {
        for name in &touched.names {
            self.queue.seen(&WriteKey::SessionState(name.clone()));
            if self.world.session_states.get(name).is_none() {
                self.queue.seen(&WriteKey::DeleteSessionState(name.clone()));
            }
        }
    }
}

/// One name for one session: a dot is in neither label of a name of two parts, and the
/// lengths keep `a.b` with `c` apart from `a` with `b.c`.
fn session_name(node: &str, peer: &str) -> String {
    let dots = node.bytes().filter(|octet| *octet == b'.').count();
    format!("{node}.{peer}.{dots}")
}
