//! The controller as a machine: changes of the world in, writes out.
//!
//! Owns the world it is told, the allocation's books and what is to be written. Does not
//! allocate before its first complete view, nor before a view at least as new as its
//! leadership; writes nothing unless it leads. Everything it remembers can be thrown
//! away: the statuses are the facts.

mod config;
mod events;
mod statuses;
mod writes;

#[cfg(test)]
mod tests;

pub use config::{ControllerConfig, PoolReport};

use crate::alloc::{Allocator, Decision, Ledger};
use crate::config::{PoolSet, pools};
use crate::lease::{Leadership, WRITE_MARGIN};
use crate::name::{Kind, NamespacedName, Text};
use crate::problem::{Problem, Severity};
use crate::world::{Change, Delta, World};
use crate::write::{Counters, Outcome, Queue, Settled, Ticket, Write, WriteKey};
use events::Told;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// See the module.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    world: World,
    leadership: Leadership,
    pools: Arc<PoolSet>,
    config_problems: Vec<Problem>,
    /// None while it may not allocate.
    allocator: Option<Allocator>,
    queue: Queue,
    /// Services whose value changed since the last turn.
    touched: BTreeSet<NamespacedName>,
    pools_touched: bool,
    namespaces_touched: BTreeSet<Text>,
    /// Which Service's status shows which address.
    shown: BTreeSet<(IpAddr, NamespacedName)>,
    /// Services whose new address still shows on another.
    blocked: BTreeMap<IpAddr, BTreeSet<NamespacedName>>,
    told: Told,
    /// When each pool's status may be written again.
    pool_pause: BTreeMap<NamespacedName, Instant>,
    /// The newest time it was told.
    now: Instant,
}

impl Controller {
    /// The kinds that must be listed before anything is decided.
    pub const KINDS: &'static [Kind] = &[
        Kind::Namespace,
        Kind::IpAddressPool,
        Kind::Service,
        Kind::Secret,
        Kind::ConfigurationState,
    ];

    /// Knows nothing and follows.
    pub fn new(config: ControllerConfig, seed: u64, now: Instant) -> Self {
        let queue = Queue::new(config.queue.clone(), seed, now);
        Self {
            config,
            world: World::default(),
            leadership: Leadership::Follower { holder: None },
            pools: Arc::default(),
            config_problems: Vec::new(),
            allocator: None,
            queue,
            touched: BTreeSet::new(),
            pools_touched: true,
            namespaces_touched: BTreeSet::new(),
            shown: BTreeSet::new(),
            blocked: BTreeMap::new(),
            told: Told::default(),
            pool_pause: BTreeMap::new(),
            now,
        }
    }

    /// Takes one change in; [`Controller::turn`] decides once all that is queued is in.
    pub fn handle_change(&mut self, change: Change, _now: Instant) {
        self.unblock_writes(&change);
        let before = self.shown_before(&change);
        let touched = self.world.apply(change);
        match touched.kind {
            Some(Kind::Service) => {
                self.index_shown(before, &touched.names);
                self.touched.extend(touched.names);
            }
            Some(Kind::IpAddressPool) => self.pools_touched |= !touched.names.is_empty(),
            Some(Kind::Namespace) => {
                let names = touched.names.into_iter().map(|name| name.name);
                self.namespaces_touched.extend(names);
            }
            _ => {}
        }
    }

    /// Who leads now. A new leadership begins with an empty ledger; the end of one
    /// forgets everything that was to be written.
    pub fn handle_leadership(&mut self, leadership: &Leadership, _now: Instant) {
        let epoch = |of: &Leadership| match of {
            Leadership::Leader { epoch, .. } => Some(*epoch),
            Leadership::Follower { .. } => None,
        };
        if epoch(&self.leadership) != epoch(leadership) {
            self.allocator = None;
            self.queue.clear();
            self.told = Told::default();
            self.blocked.clear();
            self.pool_pause.clear();
        }
        self.leadership = leadership.clone();
    }

    /// Decides, after a batch of inputs.
    pub fn turn(&mut self, now: Instant) {
        self.now = now;
        let other_pools = self.read_config();
        if !self.may_decide() {
            self.touched.clear();
            self.namespaces_touched.clear();
            return;
        }
        let mut concerned = std::mem::take(&mut self.touched);
        let moved = self.services_of_namespaces();
        match &mut self.allocator {
            Some(allocator) if !other_pools => {
                concerned.append(&mut allocator.update(&self.world, &concerned));
                concerned.append(&mut allocator.reconsider(&self.world, moved));
            }
            former => {
                let ledger = former.as_ref().map_or_else(Ledger::default, |a| a.ledger());
                let mut allocator = Allocator::new(self.config.options.clone());
                allocator.restart(&self.world, Arc::clone(&self.pools), &ledger);
                *former = Some(allocator);
                let all = self.world.services.iter();
                concerned.extend(all.map(|stored| stored.object.name.clone()));
            }
        }
        self.want_services(concerned, now);
        self.want_pools(now);
        self.want_configuration_state(now);
        self.want_secret(now);
    }

    /// The next write, while this replica leads and its lease is good for long enough.
    pub fn poll_write(&mut self, now: Instant) -> Option<(Ticket, Write)> {
        self.now = now;
        if !self.may_write(now) || !self.may_decide() {
            return None;
        }
        while let Some((ticket, mut write)) = self.queue.poll_write(now) {
            if self.complete(ticket, &mut write, now) {
                return Some((ticket, write));
            }
            self.queue.handle_outcome(ticket, Outcome::NotFound, now);
        }
        None
    }

    /// By when a write must have ended; none: whenever.
    pub fn write_deadline(&self) -> Option<Instant> {
        match self.leadership {
            Leadership::Leader {
                until: Some(until), ..
            } => until.checked_sub(WRITE_MARGIN),
            _ => None,
        }
    }

    /// How a write ended. Events follow a status that was written.
    pub fn handle_outcome(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Settled> {
        let settled = self.queue.handle_outcome(ticket, outcome, now)?;
        self.tell_written(ticket, &settled);
        Some(settled)
    }

    /// Does what time asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.queue.handle_timeout(now);
        if self.allocator.is_some() && self.may_decide() {
            self.want_pools(now);
        }
    }

    /// When something is due though nothing happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // What may not be sent is no reason to wake up; a renewal comes by itself.
        let may = self.may_write(self.now) && self.may_decide();
        let writes = self.queue.poll_timeout().filter(|_| may);
        let writes = match self.write_deadline() {
            Some(end) => writes.filter(|due| *due < end),
            None => writes,
        };
        [writes, self.pools_due()].into_iter().flatten().min()
    }

    /// The first list of every kind is in.
    pub fn is_complete(&self) -> bool {
        self.world.epoch(Self::KINDS).is_some()
    }

    /// Everything that is wrong, for ConfigurationState, metrics and people.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> + '_ {
        let holders = self.allocator.iter().flat_map(Allocator::problems);
        self.world
            .problems()
            .chain(&self.config_problems)
            .chain(holders)
    }

    /// Some object of the configuration is refused.
    pub fn is_config_stale(&self) -> bool {
        let mut all = self.world.problems().chain(&self.config_problems);
        all.any(|problem| problem.severity == Severity::Error)
    }

    /// The decision of each Service; none while it follows.
    pub fn decisions(&self) -> impl Iterator<Item = (&NamespacedName, &Arc<Decision>)> + '_ {
        self.allocator.iter().flat_map(Allocator::decisions)
    }

    /// What is decided and not yet seen to come back.
    pub fn ledger(&self) -> Ledger {
        self.allocator
            .as_ref()
            .map_or_else(Ledger::default, Allocator::ledger)
    }

    /// The world as it was told.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The pools in use.
    pub fn pools(&self) -> &Arc<PoolSet> {
        &self.pools
    }

    /// Counters of writing.
    pub fn counters(&self) -> Counters {
        self.queue.counters()
    }

    /// Requests in flight: a release of the lease waits for them.
    pub fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }

    /// Objects that wait for a request.
    pub fn pending_writes(&self) -> usize {
        self.queue.pending()
    }

    /// Throws away what can be computed anew. For tests: nothing may change by it.
    #[cfg(test)]
    fn forget_books(&mut self) {
        if let Some(allocator) = &mut self.allocator {
            let ledger = allocator.ledger();
            allocator.restart(&self.world, Arc::clone(&self.pools), &ledger);
        }
    }

    /// This replica leads and has seen the world as it was after that began.
    fn may_decide(&self) -> bool {
        match self.leadership {
            Leadership::Leader { epoch, .. } => self
                .world
                .epoch(Self::KINDS)
                .is_some_and(|seen| seen >= epoch),
            Leadership::Follower { .. } => false,
        }
    }

    fn may_write(&self, now: Instant) -> bool {
        match self.leadership {
            Leadership::Leader { until: None, .. } => true,
            Leadership::Leader { .. } => self.write_deadline().is_some_and(|end| now < end),
            Leadership::Follower { .. } => false,
        }
    }

    /// Parses the pools again if they changed; tells whether what is used differs.
    fn read_config(&mut self) -> bool {
        if !std::mem::take(&mut self.pools_touched) {
            return false;
        }
        let (set, problems) = pools(&self.world, &self.config.namespace);
        self.config_problems = problems;
        let differs = *self.pools != set;
        if differs {
            self.pools = Arc::new(set);
        }
        differs
    }

    /// Services of the namespaces whose labels changed, if any pool asks for those.
    fn services_of_namespaces(&mut self) -> BTreeSet<NamespacedName> {
        let namespaces = std::mem::take(&mut self.namespaces_touched);
        let asked = self.pools.iter().any(|pool| {
            let audience = pool.audience.as_ref();
            audience.is_some_and(|a| !a.namespace_selectors.is_empty())
        });
        if namespaces.is_empty() || !asked {
            return BTreeSet::new();
        }
        let services = self.world.services.iter().map(|stored| &stored.object.name);
        let within = services.filter(|name| namespaces.contains(&name.namespace));
        within.cloned().collect()
    }

    /// Any sign of an object ends its conflict, also one that changes no value.
    fn unblock_writes(&mut self, change: &Change) {
        match change {
            Change::Service(Delta::Upsert(stored)) => {
                let key = WriteKey::Service(stored.object.name.clone());
                self.see(key, &stored.object.name.clone());
            }
            Change::Pool(Delta::Upsert(stored)) => {
                self.queue.seen(&WriteKey::Pool(stored.object.name.clone()));
            }
            Change::ConfigurationState(Delta::Upsert(stored)) => {
                let key = WriteKey::ConfigurationState(stored.object.name.clone());
                self.queue.seen(&key);
            }
            _ => {}
        }
    }

    fn see(&mut self, key: WriteKey, name: &NamespacedName) {
        self.queue.seen(&key);
        // What was written may have been changed again by someone else.
        self.touched.insert(name.clone());
    }
}
