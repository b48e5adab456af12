//! What the kernel of this node is to do with packets for the addresses it holds, and what is told about it.
//!
//! Owns the newest table and what was told of it. Who holds an address is decided elsewhere; the table follows.

use super::Speaker;
use super::statuses::event;
use crate::forward::{Asked, Decided, ForwardTable, Traffic, decide, policy};
use crate::health::HealthView;
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity};
use crate::world::Touched;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The newest decision, and what was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarding {
    table: Arc<ForwardTable>,
    problems: Vec<Problem>,
    /// What was told of each Service, by its uid.
    told: BTreeMap<NamespacedName, (String, BTreeSet<Problem>)>,
    /// The health it was decided from.
    health: Arc<HealthView>,
    /// Services that ask to be fronted.
    asking: BTreeSet<NamespacedName>,
    /// Those of which that may not be known any more.
    touched: BTreeSet<NamespacedName>,
}

impl Speaker {
    /// What the kernel is to do; the pointer changes only when it does. Empty where nothing is fronted.
    pub fn forward(&self) -> &Arc<ForwardTable> {
        &self.forwarding.table
    }

    /// What is wrong with what is fronted here.
    pub(super) fn forward_problems(&self) -> impl Iterator<Item = &Problem> + '_ {
        self.forwarding.problems.iter()
    }

    /// Decides again when what it is made from differs: `changed`, or the health of the nodes.
    pub(super) fn decide_forward(&mut self, changed: bool) {
        let health = Arc::clone(self.health_view());
        if !self.planned || !changed && Arc::ptr_eq(&self.forwarding.health, &health) {
            return;
        }
        let decided = if self.fronts() {
            self.asked_forward(|asked| decide(&asked))
        } else {
            Decided::default()
        };
        self.forwarding.health = health;
        if *self.forwarding.table != decided.table {
            self.forwarding.table = Arc::new(decided.table);
        }
        if self.forwarding.problems != decided.problems {
            self.forwarding.problems = decided.problems;
            self.tell_forward();
        }
    }

    /// These may ask to be fronted now, or no longer.
    pub(super) fn note_fronted(&mut self, touched: &Touched) {
        if touched.kind == Some(Kind::Service) {
            self.forwarding
                .touched
                .extend(touched.names.iter().cloned());
        }
    }

    /// Follows which Services ask to be fronted, all of them after another `config`: each turn wants to know, and ten
    /// thousand are not read for it.
    pub(super) fn follow_fronted(&mut self, config: bool) {
        let mut names = std::mem::take(&mut self.forwarding.touched);
        if config {
            let services = self.world.services.iter();
            names.extend(services.map(|stored| stored.object.name.clone()));
        }
        let options = self.config.forward;
        for name in names {
            let stored = self.world.services.get(&name);
            let asks = stored.is_some_and(|stored| {
                let service = &stored.object;
                let profile = self.elector.profile(service);
                service.load_balancer && policy(service, profile, options).traffic == Traffic::Front
            });
            match asks {
                true => self.forwarding.asking.insert(name),
                false => self.forwarding.asking.remove(&name),
            };
        }
    }

    /// Anything can be fronted at all. In a cluster where nobody asks for it, nothing is even looked at.
    pub(super) fn fronts(&self) -> bool {
        let options = self.config.forward;
        options.outside || options.guard || !self.forwarding.asking.is_empty()
    }

    /// Asks something of all that a forward table is made from.
    pub(super) fn asked_forward<T>(&self, ask: impl FnOnce(Asked<'_>) -> T) -> T {
        let known = self.facts.interfaces.as_ref();
        let interfaces = self.plan.answers.keys();
        let interfaces = interfaces.filter_map(|index| Some(known?.get(index)?.name.clone()));
        let own = known.iter().flat_map(|all| all.values());
        let own = own.flat_map(|interface| interface.addresses.iter().map(|network| network.ip()));
        ask(Asked {
            node: &self.config.node,
            options: self.config.forward,
            world: &self.world,
            elector: &self.elector,
            health: self.health_view(),
            addresses: &self.held(),
            interfaces: &interfaces.collect(),
            own_addresses: &own.collect(),
        })
    }

    /// Addresses that packets come here for: answered for on the local network, or told to a router.
    fn held(&self) -> BTreeSet<IpAddr> {
        let mut held: BTreeSet<IpAddr> = self.own.held().collect();
        let told = self.routes.announced();
        for service in told.filter(|service| !self.routes.peers_of(service).is_empty()) {
            let stored = self.world.services.get(service);
            let addresses = stored.iter().flat_map(|stored| stored.object.addresses());
            held.extend(addresses);
        }
        held
    }

    /// Tells each problem of a Service once, as long as it stands.
    fn tell_forward(&mut self) {
        let mut standing: BTreeMap<NamespacedName, BTreeSet<Problem>> = BTreeMap::new();
        for problem in &self.forwarding.problems {
            let of = standing.entry(problem.object.clone()).or_default();
            of.insert(problem.clone());
        }
        let mut told = BTreeMap::new();
        for (service, problems) in standing {
            let Some(stored) = self.world.services.get(&service) else {
                continue;
            };
            let uid = stored.object.uid.clone();
            let before = self.forwarding.told.get(&service);
            let before = before.filter(|(known, _)| *known == uid);
            for problem in &problems {
                if before.is_some_and(|(_, known)| known.contains(problem)) {
                    continue;
                }
                let warning = problem.severity != Severity::Note;
                let text = problem.message.clone();
                let event = event(&self.world, &service, warning, problem.reason, text);
                event
                    .into_iter()
                    .for_each(|event| self.queue.push_event(event));
            }
            told.insert(service, (uid, problems));
        }
        self.forwarding.told = told;
    }
}
