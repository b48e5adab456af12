//! The books: no address on two Services that may not share it, none on a Service that has lost it, none taken away.

use super::Sim;
use crate::sim::server::SERVICES;
use engine::name::NamespacedName;
use engine::world::{Service, World};
use engine::write::ServiceStatus;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// One lease: the longest that two Services may show one address after there is one leader.
const LEASE: Duration = Duration::from_secs(2);
/// A new leader lists everything and writes.
const LEADER: Duration = Duration::from_secs(3);
/// From the watch to the wire.
const ROAD: Duration = Duration::from_millis(50);

/// Who shows what, and since when that is wrong.
#[derive(Default)]
pub(super) struct Books {
    pub(super) shown: BTreeMap<IpAddr, Vec<NamespacedName>>,
    /// Since when an address is on any Service.
    pub(super) since: BTreeMap<IpAddr, Instant>,
    pub(super) conflicts: BTreeMap<IpAddr, Instant>,
    /// Addresses on no Service any more, with the length of the history at which they went.
    gone: BTreeMap<IpAddr, (usize, Instant)>,
}

impl Sim {
    /// The addresses that Services show have changed.
    pub(super) fn book(&mut self, shown: BTreeMap<IpAddr, Vec<NamespacedName>>) {
        let now = self.now;
        let length = self.server.length(SERVICES);
        let mut conflicts = BTreeMap::new();
        for (address, names) in &shown {
            if names.len() > 1 && !may_share(&self.server.truth, names) {
                let since = self.checks.books.conflicts.get(address).copied();
                conflicts.insert(*address, since.unwrap_or(now));
            }
        }
        let books = &mut self.checks.books;
        for address in books.shown.keys() {
            if !shown.contains_key(address) {
                books.gone.insert(*address, (length, now));
            }
        }
        books.gone.retain(|address, _| !shown.contains_key(address));
        books.since.retain(|address, _| shown.contains_key(address));
        for address in shown.keys() {
            books.since.entry(*address).or_insert(now);
        }
        for address in conflicts.keys() {
            if !books.conflicts.contains_key(address) {
                let names = &shown[address];
                self.trace
                    .line(now, format_args!("{address} shows on {names:?}"));
            }
        }
        self.checks.books.conflicts = conflicts;
        self.checks.books.shown = shown;
    }

    pub(super) fn check_books(&mut self) {
        let now = self.now;
        let bound = LEASE + self.slowness();
        for (address, since) in &self.checks.books.conflicts {
            // While nobody leads, nobody can mend it.
            let since = (*since).max(self.checks.led_at + LEADER);
            if now.saturating_duration_since(since) > bound && self.leads() {
                let names = &self.checks.books.shown[address];
                let text = format!("{address} shows on {names:?} for longer than a lease");
                self.fail(text);
                return;
            }
        }
        self.check_none();
    }

    /// How long the server takes with everything a mend needs.
    fn slowness(&self) -> Duration {
        (self.api.lag + self.api.way) * 6
    }

    fn leads(&self) -> bool {
        let watcher = self.nodes.len();
        self.replicas.iter().enumerate().any(|(at, replica)| {
            let leads = replica
                .process
                .as_ref()
                .is_some_and(|p| p.leads() && !p.paused);
            leads && self.server.is_current(watcher + at)
        })
    }

    /// None: whoever has been shown that an address is gone does not answer for it.
    fn check_none(&mut self) {
        let now = self.now;
        for (address, (length, since)) in &self.checks.books.gone {
            let Some(nodes) = self.checks.answerers.get(address) else {
                continue;
            };
            for node in nodes {
                let progress = &self.server.watchers[*node].progress[SERVICES];
                let knows = progress.listed && progress.position >= *length;
                if knows && now > *since + self.api.lag + ROAD * 2 && self.knows_for(*node, ROAD) {
                    let name = &self.nodes[*node].name;
                    self.fail(format!(
                        "{name} answers for {address}, which is on no Service, and knows it"
                    ));
                    return;
                }
            }
        }
    }

    /// The brain has had time to act on what it was shown.
    fn knows_for(&self, node: usize, time: Duration) -> bool {
        let process = self.nodes[node].process.as_ref();
        process.is_some_and(|p| p.shown_at + time < self.now && p.speaker.is_complete())
    }

    /// A controller is about to write a status: does it take away what it has no reason to?
    pub(in crate::sim) fn check_decision(&mut self, replica: usize, status: &ServiceStatus) {
        if let Some(address) = self.taken_away(replica, status) {
            self.fail(format!(
                "controller {replica} takes {address} from {}, which may keep it",
                status.name
            ));
        }
    }

    fn taken_away(&self, replica: usize, status: &ServiceStatus) -> Option<IpAddr> {
        let process = self.replicas[replica].process.as_ref()?;
        let world = process.controller.world();
        let service = &world.services.get(&status.name)?.object;
        let mut lost = service
            .addresses()
            .filter(|address| !status.addresses.contains(address) && service.load_balancer);
        lost.find(|address| {
            let pooled = process.controller.pools().owner(*address).is_some();
            let wish = service.annotation("loadBalancerIPs");
            let wanted = wish.is_none_or(|wish| wish == address.to_string());
            let mut others = world.services.iter().map(|other| &other.object);
            let shared = others.any(|other| {
                other.name != service.name && other.addresses().any(|a| a == *address)
            });
            pooled && wanted && !shared
        })
    }
}

/// Whether these Services may all show one address: the same key, no port twice, and the same way to their endpoints.
fn may_share(world: &World, names: &[NamespacedName]) -> bool {
    let services: Vec<&Service> = names
        .iter()
        .filter_map(|name| world.services.get(name))
        .map(|stored| &*stored.object)
        .filter(|service| service.load_balancer)
        .collect();
    let pairs = services
        .iter()
        .enumerate()
        .flat_map(|(at, one)| services[at + 1..].iter().map(move |other| (one, other)));
    pairs.into_iter().all(|(one, other)| {
        let key = one.annotation("allow-shared-ip");
        key.is_some()
            && key == other.annotation("allow-shared-ip")
            && one.external_policy == other.external_policy
            && one.ports.iter().all(|port| {
                let same = |p: &engine::world::ServicePort| p.port == port.port;
                !other.ports.iter().any(same)
            })
    })
}
