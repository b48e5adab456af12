//! Who is on which address, and what is free.
//!
//! Owns the free intervals by pool and family, the Services by address, and the index of
//! shareable addresses. Decides whether two Services may be on one address; nothing else.

use super::wish::{Key, Terms};
use crate::config::PoolSet;
use crate::config::bits;
use crate::config::{address_of, is_buggy};
use crate::world::{Family, PoolStatus, Protocol};
use rangemap::RangeInclusiveSet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// LIMIT: the all-ones IPv6 address is never picked, because interval arithmetic needs a
/// successor for every end.
const BITS_MAX: u128 = u128::MAX - 1;

#[derive(Debug, Default)]
pub(super) struct Books {
    pools: Arc<PoolSet>,
    /// By index of the pool, IPv4 then IPv6.
    space: Vec<[Space; 2]>,
    uses: BTreeMap<IpAddr, Use>,
    shared: BTreeMap<(Family, Key), Shared>,
}

#[derive(Debug, Default)]
struct Space {
    free: RangeInclusiveSet<u128>,
    in_use: u128,
}

#[derive(Debug)]
struct Use {
    /// The pool it was taken from; none for an address of a refused pool.
    pool: Option<usize>,
    /// At least one; all with the same key when there are more.
    holders: Vec<Arc<Terms>>,
}

/// The addresses in use under one key, and which of them use which port. Runs of
/// neighbours are one interval, so that a full block is passed in one step.
#[derive(Debug, Default)]
struct Shared {
    addresses: BTreeSet<u128>,
    ports: BTreeMap<(Protocol, u16), RangeInclusiveSet<u128>>,
}

/// Why a Service may not be on an address with those that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// Keys differ or are empty; these are there.
    Key(Vec<Arc<Terms>>),
    /// The key is right, a port is taken.
    Port(Protocol, u16),
}

impl Books {
    pub(super) fn new(pools: Arc<PoolSet>) -> Self {
        let mut space = Vec::new();
        for pool in pools.iter() {
            let mut both = [Space::default(), Space::default()];
            for range in &pool.ranges {
                if let Some(span) = span(range.first(), range.last()) {
                    both[range.family() as usize].free.insert(span);
                }
            }
            space.push(both);
        }
        Self {
            pools,
            space,
            uses: BTreeMap::new(),
            shared: BTreeMap::new(),
        }
    }

    pub(super) fn pools(&self) -> &Arc<PoolSet> {
        &self.pools
    }

    /// Whether a Service may be on an address, by the others on it alone.
    pub(super) fn check(&self, address: IpAddr, terms: &Terms) -> Result<(), Clash> {
        let Some(used) = self.uses.get(&address) else {
            return Ok(());
        };
        // Many on one address: the index of ports answers without asking each of them.
        if let Some(key) = &terms.key
            && used
                .holders
                .first()
                .is_some_and(|first| first.key.as_ref() == Some(key))
            && used.holders.iter().all(|holder| holder.name != terms.name)
            && let Some(shared) = self.shared.get(&(Family::of(address), key.clone()))
        {
            let bits = bits(address);
            let taken = |port| {
                shared
                    .ports
                    .get(port)
                    .is_some_and(|used| used.contains(&bits))
            };
            return match terms.ports.iter().find(|port| taken(port)) {
                Some((protocol, port)) => Err(Clash::Port(*protocol, *port)),
                None => Ok(()),
            };
        }
        check_holders(&used.holders, terms)
    }

    /// Puts a Service on an address that [`Books::check`] allows.
    pub(super) fn take(&mut self, address: IpAddr, pool: Option<usize>, terms: &Arc<Terms>) {
        let family = Family::of(address);
        let first = !self.uses.contains_key(&address);
        let used = self.uses.entry(address).or_insert_with(|| Use {
            pool,
            holders: Vec::new(),
        });
        used.holders.push(Arc::clone(terms));
        if first && let Some(space) = space_of(&mut self.space, pool, family) {
            space.in_use += 1;
            if let Some(span) = span(address, address) {
                space.free.remove(span);
            }
        }
        if let (Some(key), Some(span)) = (&terms.key, span(address, address)) {
            let shared = self.shared.entry((family, key.clone())).or_default();
            shared.addresses.insert(*span.start());
            for port in &terms.ports {
                shared.ports.entry(*port).or_default().insert(span.clone());
            }
        }
    }

    /// Takes a Service off an address.
    pub(super) fn release(&mut self, address: IpAddr, terms: &Terms) {
        let family = Family::of(address);
        let Some(used) = self.uses.get_mut(&address) else {
            return;
        };
        used.holders.retain(|holder| holder.name != terms.name);
        let empty = used.holders.is_empty();
        let pool = used.pool;
        let Some(span) = span(address, address) else {
            if empty {
                self.uses.remove(&address);
            }
            return;
        };
        if let Some(key) = &terms.key {
            self.unshare(&(family, key.clone()), &span, terms, empty);
        }
        if empty {
            self.uses.remove(&address);
            if let Some(space) = space_of(&mut self.space, pool, family) {
                space.in_use -= 1;
                space.free.insert(span);
            }
        }
    }

    fn unshare(
        &mut self,
        key: &(Family, Key),
        span: &RangeInclusive<u128>,
        terms: &Terms,
        empty: bool,
    ) {
        let Some(shared) = self.shared.get_mut(key) else {
            return;
        };
        for port in &terms.ports {
            if let Some(used) = shared.ports.get_mut(port) {
                used.remove(span.clone());
                if used.is_empty() {
                    shared.ports.remove(port);
                }
            }
        }
        if empty {
            shared.addresses.remove(span.start());
            if shared.addresses.is_empty() {
                self.shared.remove(key);
            }
        }
    }

    /// The first address of a pool and family that is free or shareable, entry by entry in
    /// written order, lowest first.
    pub(super) fn pick(&self, pool: usize, family: Family, terms: &Terms) -> Option<IpAddr> {
        let parsed = self.pools.at(pool);
        let space = &self.space.get(pool)?[family as usize];
        let shared = terms
            .key
            .as_ref()
            .and_then(|key| self.shared.get(&(family, key.clone())));
        let ranges = parsed.ranges.iter().filter(|r| r.family() == family);
        for range in ranges {
            let Some(span) = span(range.first(), range.last()) else {
                continue;
            };
            let free = first_free(&space.free, &span, family, parsed.avoid_buggy_ips);
            let shareable = shared.and_then(|shared| {
                let buggy = |bits| parsed.avoid_buggy_ips && is_buggy(address_of(family, bits));
                first_shareable(shared, &span, terms).filter(|bits| !buggy(*bits))
            });
            let first = match (free, shareable) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if let Some(first) = first {
                return Some(address_of(family, first));
            }
        }
        None
    }

    /// The counters of a pool; saturate at `i64::MAX`.
    pub(super) fn status(&self, pool: usize) -> PoolStatus {
        let count = |family: Family| {
            let in_use = self
                .space
                .get(pool)
                .map_or(0, |s| s[family as usize].in_use);
            let capacity = self.pools.at(pool).capacity(family);
            let clamp = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
            (clamp(in_use), clamp(capacity.saturating_sub(in_use)))
        };
        let (assigned_ipv4, available_ipv4) = count(Family::V4);
        let (assigned_ipv6, available_ipv6) = count(Family::V6);
        PoolStatus {
            assigned_ipv4,
            assigned_ipv6,
            available_ipv4,
            available_ipv6,
        }
    }
}

/// Whether a Service may join those that are on an address (compat/metallb.md 3.3).
/// TCP/53 and UDP/53 are two ports as any two protocols are.
pub(super) fn check_holders(holders: &[Arc<Terms>], terms: &Terms) -> Result<(), Clash> {
    let others = || holders.iter().filter(|holder| holder.name != terms.name);
    if others().next().is_none() {
        return Ok(());
    }
    if terms.key.is_none() || others().any(|holder| holder.key != terms.key) {
        return Err(Clash::Key(others().cloned().collect()));
    }
    for holder in others() {
        if let Some((protocol, port)) = holder.ports.intersection(&terms.ports).next() {
            return Err(Clash::Port(*protocol, *port));
        }
    }
    Ok(())
}

fn space_of(space: &mut [[Space; 2]], pool: Option<usize>, family: Family) -> Option<&mut Space> {
    space.get_mut(pool?).map(|both| &mut both[family as usize])
}

/// The interval of a range without the all-ones address; none when nothing is left.
fn span(first: IpAddr, last: IpAddr) -> Option<RangeInclusive<u128>> {
    let (first, last) = (bits(first), bits(last).min(BITS_MAX));
    (first <= last).then_some(first..=last)
}

fn first_free(
    free: &RangeInclusiveSet<u128>,
    span: &RangeInclusive<u128>,
    family: Family,
    avoid_buggy: bool,
) -> Option<u128> {
    for interval in free.overlapping(span) {
        let start = *interval.start().max(span.start());
        let end = *interval.end().min(span.end());
        // At most two neighbours are buggy: .255 and the .0 after it.
        let candidate = (start..=end)
            .take(3)
            .find(|bits| !avoid_buggy || !is_buggy(address_of(family, *bits)));
        if candidate.is_some() {
            return candidate;
        }
    }
    None
}

fn first_shareable(shared: &Shared, span: &RangeInclusive<u128>, terms: &Terms) -> Option<u128> {
    let mut from = *span.start();
    'next: loop {
        if from > *span.end() {
            return None;
        }
        let candidate = *shared.addresses.range(from..=*span.end()).next()?;
        for port in &terms.ports {
            let taken = shared.ports.get(port).and_then(|used| used.get(&candidate));
            if let Some(taken) = taken {
                from = taken.end().saturating_add(1);
                continue 'next;
            }
        }
        return Some(candidate);
    }
}
