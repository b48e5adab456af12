//! The health machine of this speaker: when it runs, what it looks at, and what of it is told on Services.
//!
//! Owns the machine. Nothing is probed while nobody would act on it.

use super::Speaker;
use super::statuses::event;
use crate::facts::Word;
use crate::health::{
    Health, HealthEvent, HealthView, Opinion, Probe, ProbeId, ProbeResult, Scope, Settings,
    desired_of,
};
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// Whether nodes are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probes {
    /// Every node while something is fronted, else this node alone, so that the others hear of its health.
    #[default]
    Auto,
    /// Every node, always.
    On,
    /// Never: every node counts.
    Off,
}

/// The machine and what feeds it.
pub(super) struct Probing {
    health: Option<Health>,
    seed: u64,
    /// Nodes that have been members.
    members: BTreeSet<String>,
    nothing: Arc<HealthView>,
    /// What the others are told.
    word: Option<Word>,
    /// This node alone is looked at.
    alone: bool,
    /// For the shell's log.
    events: Vec<HealthEvent>,
}

/// LIMIT: events for the log that nobody has taken; the newest are worth no more than the first.
const EVENTS_MAX: usize = 256;

impl Probing {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            health: None,
            seed,
            members: BTreeSet::new(),
            nothing: Arc::default(),
            word: None,
            alone: false,
            events: Vec::new(),
        }
    }

    pub(super) fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    /// What the others are told of the health of nodes.
    pub(super) fn word(&self) -> Option<&Word> {
        self.word.as_ref()
    }

    /// True when it differs.
    pub(super) fn set_word(&mut self, word: Option<Word>) -> bool {
        let differs = self.word != word;
        self.word = word;
        differs
    }
}

impl Speaker {
    /// The health machine; none while nothing is probed.
    pub fn health(&self) -> Option<&Health> {
        self.probing.health.as_ref()
    }

    /// Who may get new connections; the empty view while nothing is probed.
    pub fn health_view(&self) -> &Arc<HealthView> {
        match &self.probing.health {
            Some(health) => health.view(),
            None => &self.probing.nothing,
        }
    }

    /// The next probe to carry out; the caller owes [`Self::handle_probe`].
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        self.probing.health.as_mut()?.poll_probe(now)
    }

    /// What came of one; [`Self::turn`] makes something of it.
    pub fn handle_probe(&mut self, id: ProbeId, result: &ProbeResult, now: Instant) {
        if let Some(health) = &mut self.probing.health {
            health.handle_result(id, result, now);
        }
    }

    /// A change of health, for the log.
    pub fn poll_health_event(&mut self) -> Option<HealthEvent> {
        (!self.probing.events.is_empty()).then(|| self.probing.events.remove(0))
    }

    /// Looks again at what is to be probed when the world or the members `changed`, and tells what happened.
    pub(super) fn probe(&mut self, changed: bool, now: Instant) {
        if changed && self.planned {
            // Nobody is there to hear of it, or this machine is none of the nodes.
            let unheard = self.facts.members.off || self.config.forward.outside;
            let (wanted, alone) = match self.config.probes {
                Probes::On => (true, false),
                Probes::Off => (false, false),
                Probes::Auto if self.fronts() => (true, false),
                Probes::Auto => (!unheard, true),
            };
            if !wanted || self.probing.alone != alone {
                // What one node showed is no view of all.
                self.probing.health = None;
            }
            self.probing.alone = alone;
            if wanted {
                self.aim(now);
            }
        }
        if let Some(health) = &mut self.probing.health {
            health.handle_timeout(now);
        }
        self.tell_health();
    }

    fn aim(&mut self, now: Instant) {
        let of_services = self.service_settings();
        let members = &self.facts.members;
        let (seen, alive) = (&mut self.probing.members, &members.alive);
        if members.off || !members.settled {
            seen.clear();
        }
        seen.extend(alive.keys().cloned());
        // Whoever says that it leaves is not lost when it is gone.
        seen.retain(|name| !alive.get(name).is_some_and(|record| record.leaving));
        // With most of them gone it is this one that is cut off.
        let most = alive.len() * 2 > seen.len();
        let lost = seen
            .iter()
            .filter(|name| most && !alive.contains_key(*name));
        let scope = Scope {
            own_node: Some(self.config.node.clone()),
            ignore_exclude: self.config.ignore_exclude,
            lb_class: self.config.lb_class.clone(),
            settings: self.profiles.node_settings(),
            of_services,
            lost: lost.cloned().collect(),
            ..Scope::default()
        };
        let mut desired = desired_of(&self.world, &scope);
        if self.probing.alone {
            // Its own kube-proxy, and nothing else: a NodePort that fails says more about pods.
            desired.nodes.retain(|name, _| *name == self.config.node);
            desired.node_ports.clear();
            desired.services.clear();
        }
        for (name, node) in &mut desired.nodes {
            node.heard = *name != self.config.node && members.alive.contains_key(name);
        }
        let records = self.facts.members.alive.iter();
        let others = records.filter(|(name, _)| **name != self.config.node);
        let words = others.filter_map(|(name, record)| Some((name, record.word.as_ref()?)));
        desired.observers = words
            .map(|(name, word)| (name.clone(), opinion(word)))
            .collect();
        let desired = Arc::new(desired);
        let seed = self.probing.seed;
        let health = self
            .probing
            .health
            .get_or_insert_with(|| Health::new(seed, now));
        health.set_desired(desired, now);
    }

    /// Of Services that are probed for themselves and have a profile.
    fn service_settings(&self) -> BTreeMap<NamespacedName, Settings> {
        if self.profiles.is_empty() {
            return BTreeMap::new();
        }
        let services = self.world.services.iter().map(|stored| &stored.object);
        let probed = services.filter(|service| service.health_check_node_port.is_some());
        let settings = probed.filter_map(|service| {
            let profile = self.elector.profile(service)?;
            Some((service.name.clone(), profile.settings))
        });
        settings.collect()
    }

    fn tell_health(&mut self) {
        let Some(health) = &mut self.probing.health else {
            return;
        };
        let mut told = Vec::new();
        while let Some(event) = health.poll_event() {
            told.push(event);
        }
        for told in told {
            self.tell_on_service(&told);
            if self.probing.events.len() < EVENTS_MAX {
                self.probing.events.push(told);
            }
        }
    }

    /// On the Service it concerns, by whoever announces it: one speaker of many.
    fn tell_on_service(&mut self, told: &HealthEvent) {
        let node = &self.config.node;
        let (service, warning, reason, text) = match told {
            HealthEvent::Service {
                service,
                node: on,
                from,
                to,
                reason,
            } => {
                // From the first look at a node nothing is to be told, if it is well.
                if !from.is_usable() && to.is_usable() && *from == crate::health::State::Unknown {
                    return;
                }
                let text = format!(
                    "node {on:?} is {} for it, as {node:?} sees it: {reason}",
                    to.as_str()
                );
                (service, !to.is_usable(), "BackendHealth", text)
            }
            HealthEvent::BadAnswer {
                service,
                node: on,
                wrong_service,
                reason,
            } => {
                let name = if *wrong_service {
                    "WrongHealthPort"
                } else {
                    "BadHealthAnswer"
                };
                (service, true, name, format!("node {on:?}: {reason}"))
            }
            HealthEvent::AllBackendsUnhealthy {
                service: Some(service),
                ..
            } => {
                let text = format!("no node can serve it, as {node:?} sees them");
                (service, true, "AllBackendsUnhealthy", text)
            }
            HealthEvent::BackendsBack {
                service: Some(service),
                ..
            } => {
                let text = format!("a node can serve it again, as {node:?} sees it");
                (service, false, "BackendsBack", text)
            }
            HealthEvent::Held {
                service: Some(service),
                node: on,
                hold,
            } => {
                let text = format!(
                    "node {on:?} changes too often and gets no connection for {} s",
                    hold.as_secs()
                );
                (service, true, "BackendHeld", text)
            }
            HealthEvent::Node { .. }
            | HealthEvent::Held { .. }
            | HealthEvent::AllBackendsUnhealthy { .. }
            | HealthEvent::BackendsBack { .. }
            | HealthEvent::Isolated { .. } => return,
        };
        if !self.announces(service) {
            return;
        }
        let event = event(&self.world, service, warning, reason, text);
        event
            .into_iter()
            .for_each(|event| self.queue.push_event(event));
    }

    fn announces(&self, service: &NamespacedName) -> bool {
        self.own.interfaces(service).is_some() || !self.routes.peers_of(service).is_empty()
    }

    /// Families in which nodes are probed, for people.
    pub fn probed_families(&self) -> BTreeSet<Family> {
        let nodes = self.health_view().nodes.values();
        nodes
            .flat_map(|families| families.keys().copied())
            .collect()
    }
}

/// What another one's word means to the machine here.
fn opinion(word: &Word) -> Opinion {
    Opinion {
        counts: word.counts,
        cannot_reach: word.unreachable.clone(),
    }
}
