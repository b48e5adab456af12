//! The two phases, over all Services or over those that a change can reach.
//!
//! Invariant between two turns: nobody who waits could be served. Giving an address to
//! one never helps another, so a new Service costs itself alone; when something came free
//! (or terms changed) all who wait are asked again, in order.

use super::books::{Books, Clash};
use super::claim::{Claim, claim};
use super::decision::{Decision, Served, decide};
use super::serve::Asker;
use super::text::quoted;
use super::wish::{Rank, Standing, Terms, Wish};
use super::{Allocation, Ledger, LedgerEntry, Options};
use crate::config::PoolSet;
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity, reason};
use crate::selector::Labels;
use crate::world::{Family, PoolStatus, Service, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The allocation with its books kept between two turns. Throwing it away and calling
/// [`Allocator::restart`] with its ledger gives the same answer.
#[derive(Debug)]
pub struct Allocator {
    options: Options,
    books: Books,
    /// Boxed: a map keeps room for twice as many as there are.
    entries: BTreeMap<NamespacedName, Box<Entry>>,
    /// Who claims or has which address: losers are asked again when the keeper goes.
    claims: BTreeSet<(IpAddr, NamespacedName)>,
    waiting: BTreeSet<Rank>,
}

#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    wish: Wish,
    /// Claimed when it was last judged, for the index.
    claimed: Vec<IpAddr>,
    ledger: Option<LedgerEntry>,
    served: Served,
    problem: Option<Box<Problem>>,
    decision: Arc<Decision>,
}

/// One Service in the first phase.
struct Holder {
    name: NamespacedName,
    /// Two addresses before one, then creation, then name.
    rank: (usize, Rank),
    claim: Claim,
    /// What its status shows: facts go before what is only decided.
    status: Vec<IpAddr>,
}

impl Allocator {
    /// Nothing is known before [`Allocator::restart`].
    pub fn new(options: Options) -> Self {
        Self {
            options,
            books: Books::default(),
            entries: BTreeMap::new(),
            claims: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Decides for every Service anew, with these pools.
    pub fn restart(&mut self, world: &World, pools: Arc<PoolSet>, ledger: &Ledger) {
        *self = Self::new(self.options.clone());
        self.books = Books::new(pools);
        let names = world.services.iter().map(|s| s.object.name.clone());
        let names: BTreeSet<NamespacedName> = names.collect();
        self.step(world, names, ledger);
    }

    /// Decides anew where the touched Services reach; returns whose decision differs now.
    /// For other pools: [`Allocator::restart`]; for other labels of namespaces:
    /// [`Allocator::reconsider`].
    pub fn update(
        &mut self,
        world: &World,
        touched: &BTreeSet<NamespacedName>,
    ) -> BTreeSet<NamespacedName> {
        let mut slow = BTreeSet::new();
        let mut changed = BTreeSet::new();
        for name in touched {
            match self.came_back(world, name) {
                Some(differs) if differs => {
                    changed.insert(name.clone());
                }
                Some(_) => {}
                None => {
                    slow.insert(name.clone());
                }
            }
        }
        changed.append(&mut self.step(world, slow, &Ledger::default()));
        changed
    }

    /// The same for Services that are what they were in a world that is not: the labels of
    /// their namespace differ.
    pub fn reconsider(
        &mut self,
        world: &World,
        names: BTreeSet<NamespacedName>,
    ) -> BTreeSet<NamespacedName> {
        self.step(world, names, &Ledger::default())
    }

    /// The decision of a Service.
    pub fn decision(&self, name: &NamespacedName) -> Option<&Arc<Decision>> {
        self.entries.get(name).map(|entry| &entry.decision)
    }

    /// All decisions, by name.
    pub fn decisions(&self) -> impl Iterator<Item = (&NamespacedName, &Arc<Decision>)> + '_ {
        self.entries
            .iter()
            .map(|(name, entry)| (name, &entry.decision))
    }

    /// What is decided and not yet seen to come back.
    pub fn ledger(&self) -> Ledger {
        let entries = self.entries.values();
        let pending = entries.filter_map(|entry| {
            let ledger = entry.ledger.clone()?;
            Some((entry.service.uid.clone(), ledger))
        });
        Ledger(pending.collect())
    }

    /// Two holders of one address.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> + '_ {
        self.entries
            .values()
            .filter_map(|entry| entry.problem.as_deref())
    }

    /// The pools it decides with.
    pub fn pools(&self) -> &Arc<PoolSet> {
        self.books.pools()
    }

    /// The status each usable pool should have.
    pub fn pool_statuses(&self) -> impl Iterator<Item = (&str, PoolStatus)> + '_ {
        let pools = self.books.pools().iter().enumerate();
        pools.map(|(index, pool)| (pool.name.as_str(), self.books.status(index)))
    }

    /// Everything as one value.
    pub fn allocation(&self) -> Allocation {
        let decisions = self.decisions();
        let pools = self.pool_statuses();
        Allocation {
            ledger: self.ledger(),
            decisions: decisions.map(|(n, d)| (n.clone(), Arc::clone(d))).collect(),
            problems: self.problems().cloned().collect(),
            pools: pools
                .map(|(name, status)| (name.to_owned(), status))
                .collect(),
        }
    }

    /// The usual case: our own write is seen, and nothing else differs. Tells whether the
    /// decision differs; none when it is not that case.
    fn came_back(&mut self, world: &World, name: &NamespacedName) -> Option<bool> {
        let only_ipv6 = only_ipv6(self.books.pools());
        let service = &world.services.get(name)?.object;
        let entry = self.entries.get_mut(name)?;
        let old = &entry.service;
        let same = old.uid == service.uid
            && old.labels == service.labels
            && service
                .addresses()
                .eq(entry.served.addresses.iter().copied())
            && service.annotation("ip-allocated-from-pool") == entry.decision.pool.as_deref();
        if !same || Wish::parse(service, &self.options, only_ipv6) != entry.wish {
            return None;
        }
        for address in std::mem::take(&mut entry.claimed) {
            if !entry.served.addresses.contains(&address) {
                self.claims.remove(&(address, name.clone()));
            }
        }
        entry.claimed = entry.served.addresses.clone();
        entry.served.lost.clear();
        entry.problem = None;
        Some(self.conclude(name, Arc::clone(service)))
    }

    fn step(
        &mut self,
        world: &World,
        touched: BTreeSet<NamespacedName>,
        ledger: &Ledger,
    ) -> BTreeSet<NamespacedName> {
        if touched.is_empty() {
            return touched;
        }
        let reached = self.reach(world, touched);
        let former = self.take_off(world, &reached);
        let mut holders = Vec::new();
        for name in &reached {
            if let Some(holder) = self.enter(world, name, ledger) {
                holders.push(holder);
            }
        }
        self.first_phase(holders);
        let freed = former
            .iter()
            .any(|(address, terms)| !self.still_on(*address, terms));
        let mut asked: BTreeSet<Rank> = reached
            .iter()
            .filter_map(|name| Some(self.entries.get(name)?.wish.rank()))
            .collect();
        if freed {
            asked.extend(self.waiting.iter().cloned());
        }
        let mut concerned = reached;
        concerned.extend(self.second_phase(world, asked));
        concerned
            .into_iter()
            .filter(|name| match self.entries.get(name) {
                Some(entry) => {
                    let service = Arc::clone(&entry.service);
                    self.conclude(name, service)
                }
                None => true,
            })
            .collect()
    }

    /// The touched Services and all that claim an address with them.
    fn reach(&self, world: &World, touched: BTreeSet<NamespacedName>) -> BTreeSet<NamespacedName> {
        if self.claims.is_empty() {
            // At the start nobody claims anything yet.
            return touched;
        }
        let mut reached = touched.clone();
        let mut queue: Vec<NamespacedName> = touched.into_iter().collect();
        let mut asked: BTreeSet<IpAddr> = BTreeSet::new();
        while let Some(name) = queue.pop() {
            let mut addresses: Vec<IpAddr> = Vec::new();
            if let Some(entry) = self.entries.get(&name) {
                addresses.extend(&entry.claimed);
                addresses.extend(&entry.served.addresses);
            }
            if let Some(stored) = world.services.get(&name) {
                addresses.extend(stored.object.addresses());
            }
            for address in addresses {
                if !asked.insert(address) {
                    continue;
                }
                let from = (address, NamespacedName::default());
                let others = self.claims.range(from..).take_while(|(a, _)| *a == address);
                for (_, other) in others {
                    if reached.insert(other.clone()) {
                        queue.push(other.clone());
                    }
                }
            }
        }
        reached
    }

    /// Takes the reached Services off the books; returns where they were. Those that are
    /// gone, or are another object by the same name, are forgotten.
    fn take_off(
        &mut self,
        world: &World,
        reached: &BTreeSet<NamespacedName>,
    ) -> Vec<(IpAddr, Arc<Terms>)> {
        let mut former = Vec::new();
        for name in reached {
            let Some(entry) = self.entries.get_mut(name) else {
                continue;
            };
            let terms = Arc::clone(&entry.wish.terms);
            self.waiting.remove(&entry.wish.rank());
            for address in std::mem::take(&mut entry.claimed) {
                self.claims.remove(&(address, name.clone()));
            }
            for address in std::mem::take(&mut entry.served.addresses) {
                self.claims.remove(&(address, name.clone()));
                self.books.release(address, &terms);
                former.push((address, Arc::clone(&terms)));
            }
            let now = world.services.get(name);
            if now.is_none_or(|stored| stored.object.uid != entry.service.uid) {
                self.entries.remove(name);
            }
        }
        former
    }

    /// Reads a Service anew and says what it claims.
    fn enter(&mut self, world: &World, name: &NamespacedName, ledger: &Ledger) -> Option<Holder> {
        let service = Arc::clone(&world.services.get(name)?.object);
        let pools = Arc::clone(self.books.pools());
        let wish = Wish::parse(&service, &self.options, only_ipv6(&pools));
        let old = self.entries.remove(name);
        let pending = match &old {
            Some(entry) => entry.ledger.clone(),
            None => ledger.0.get(&service.uid).cloned(),
        };
        let status = unique(service.addresses());
        let namespace = namespace_labels(world, &service);
        let judged = |held: &[IpAddr]| claim(&wish, &service, held, &pools, namespace);
        let pending =
            pending.filter(|pending| wish.standing == Standing::Ours && ours(pending, &status));
        let mut chosen = match wish.standing {
            Standing::Ours => choose_claim(&status, pending.as_ref(), judged),
            Standing::Foreign | Standing::Plain => Claim::default(),
        };
        let given_up = pending.as_ref().is_some_and(|p| p.addresses.is_empty());
        if given_up && chosen.weight(&wish) == 0 {
            // Half of a pair that was decided to be given back: somebody may have it by now.
            chosen.addresses.clear();
            chosen.origin = None;
        }
        let origin = chosen.origin.take();
        let holder = Holder {
            name: name.clone(),
            rank: (usize::MAX - chosen.weight(&wish), wish.rank()),
            claim: chosen,
            status,
        };
        let mut claimed = holder.status.clone();
        claimed.extend(&holder.claim.addresses);
        if wish.standing != Standing::Ours {
            claimed.clear();
        }
        let claimed = unique(claimed.into_iter());
        for address in &claimed {
            self.claims.insert((*address, name.clone()));
        }
        let served = Served {
            origin,
            lost: holder.claim.lost.clone(),
            ..Served::default()
        };
        let decision = match old {
            Some(entry) => entry.decision,
            None => Arc::new(decide(
                &service,
                &wish,
                &Served::default(),
                &pools,
                &self.options,
            )),
        };
        let entry = Entry {
            service,
            wish,
            claimed,
            ledger: None,
            served,
            problem: None,
            decision,
        };
        self.entries.insert(name.clone(), Box::new(entry));
        Some(holder)
    }

    /// Every holder keeps what it may: facts of statuses first, then what is decided.
    fn first_phase(&mut self, mut holders: Vec<Holder>) {
        holders.sort_by(|a, b| a.rank.cmp(&b.rank));
        for facts in [true, false] {
            for holder in &holders {
                for address in &holder.claim.addresses {
                    if holder.status.contains(address) == facts {
                        self.keep(&holder.name, *address);
                    }
                }
            }
        }
        for holder in &holders {
            let Some(entry) = self.entries.get_mut(&holder.name) else {
                continue;
            };
            let order = &holder.claim.addresses;
            let place = |address: &IpAddr| order.iter().position(|a| a == address);
            entry.served.addresses.sort_by_key(place);
            entry.served.addresses.shrink_to_fit();
            if entry.served.addresses.is_empty() {
                entry.served.origin = None;
            }
        }
    }

    fn keep(&mut self, name: &NamespacedName, address: IpAddr) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let terms = &entry.wish.terms;
        match self.books.check(address, terms) {
            Ok(()) => {
                let pool = entry.served.origin.as_ref().and_then(|o| o.index());
                self.books.take(address, pool, terms);
                entry.served.addresses.push(address);
            }
            Err(clash) => {
                let text = duplicate(address, &clash);
                entry.served.lost.push(text.clone());
                let problem = Problem::new(
                    Severity::Warning,
                    Kind::Service,
                    name,
                    reason::DUPLICATE_HOLDER,
                    text,
                );
                entry.problem = Some(Box::new(problem));
            }
        }
    }

    fn still_on(&self, address: IpAddr, terms: &Terms) -> bool {
        self.entries.get(&terms.name).is_some_and(|entry| {
            *entry.wish.terms == *terms && entry.served.addresses.contains(&address)
        })
    }

    /// Serves those who want something, in order; again while something comes back (each
    /// Service can give back only what the first phase left it, so at most twice).
    fn second_phase(&mut self, world: &World, asked: BTreeSet<Rank>) -> BTreeSet<NamespacedName> {
        let mut concerned = BTreeSet::new();
        let mut asked = asked;
        loop {
            let mut returned: Vec<(IpAddr, Arc<Terms>)> = Vec::new();
            for rank in &asked {
                self.waiting.remove(rank);
                let Some(entry) = self.entries.get_mut(&rank.1) else {
                    continue;
                };
                if entry.wish.standing != Standing::Ours {
                    continue;
                }
                concerned.insert(rank.1.clone());
                let asker = Asker {
                    wish: &entry.wish,
                    service: &entry.service,
                    namespace: namespace_labels(world, &entry.service),
                };
                let effect = asker.serve(&mut self.books, &mut entry.served);
                if effect.unsatisfied {
                    self.waiting.insert(rank.clone());
                }
                for address in effect.returned {
                    returned.push((address, Arc::clone(&entry.wish.terms)));
                }
                for address in &entry.served.addresses {
                    self.claims.insert((*address, rank.1.clone()));
                }
            }
            if returned.is_empty() {
                return concerned;
            }
            for (address, terms) in returned {
                self.books.release(address, &terms);
            }
            asked = self.waiting.clone();
        }
    }

    /// Makes the decision and the ledger entry of what was served; tells whether the
    /// decision differs from the former.
    fn conclude(&mut self, name: &NamespacedName, service: Arc<Service>) -> bool {
        let pools = Arc::clone(self.books.pools());
        let Some(entry) = self.entries.get_mut(name) else {
            return true;
        };
        entry.service = service;
        let decision = decide(
            &entry.service,
            &entry.wish,
            &entry.served,
            &pools,
            &self.options,
        );
        let pending =
            entry.wish.standing == Standing::Ours && decision.addresses != decision.previous;
        entry.ledger = pending.then(|| LedgerEntry {
            addresses: decision.addresses.clone(),
            base: decision.previous.clone(),
        });
        if *entry.decision == decision {
            return false;
        }
        entry.decision = Arc::new(decision);
        true
    }
}

/// Every pool holds IPv6 alone (design/cli.md: then a manifest without families is IPv6).
pub(super) fn only_ipv6(pools: &PoolSet) -> bool {
    !pools.is_empty() && pools.iter().all(|pool| !pool.has_family(Family::V4))
}

pub(super) fn namespace_labels<'a>(world: &'a World, service: &Service) -> Option<&'a Labels> {
    let name = NamespacedName::new("", service.name.namespace.as_str());
    world
        .namespaces
        .get(&name)
        .map(|stored| &stored.object.labels)
}

/// Whether a status can be what it was when we decided, or what our writes make of it. Else
/// someone else wrote after us, and the status is the fact.
fn ours(pending: &LedgerEntry, status: &[IpAddr]) -> bool {
    let known = |a: &IpAddr| pending.base.contains(a) || pending.addresses.contains(a);
    status.iter().all(known)
}

/// What is decided and on its way counts as held; what it replaces is looked at again
/// when it may not be had any more.
fn choose_claim(
    status: &[IpAddr],
    pending: Option<&LedgerEntry>,
    judged: impl Fn(&[IpAddr]) -> Claim,
) -> Claim {
    let shown = judged(status);
    let Some(pending) = pending.filter(|pending| !pending.addresses.is_empty()) else {
        return shown;
    };
    let mut decided = judged(&pending.addresses);
    if decided.addresses.len() < pending.addresses.len() && !shown.addresses.is_empty() {
        return shown;
    }
    decided.lost = shown.lost;
    decided
}

fn unique(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut out: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !out.contains(&address) {
            out.push(address);
        }
    }
    out.shrink_to_fit();
    out
}

fn duplicate(address: IpAddr, clash: &Clash) -> String {
    let address = quoted(&[address]);
    match clash {
        Clash::Key(holders) => {
            let mut names: Vec<String> = holders.iter().map(|h| h.name.to_string()).collect();
            names.sort();
            names.truncate(NAMES_MAX);
            format!(
                "{address} is held by {} too, which keeps it",
                names.join(",")
            )
        }
        Clash::Port(protocol, port) => format!(
            "{address} is shared and its port {}/{port} is used by a Service that keeps it",
            protocol.as_str()
        ),
    }
}

/// LIMIT: names of keepers in one problem; they are all on one address.
const NAMES_MAX: usize = 8;
