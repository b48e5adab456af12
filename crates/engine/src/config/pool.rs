//! IPAddressPools: parsing, overlaps, whom they serve, how much they hold.
//!
//! Owns [`PoolSet`]. Does not know who uses an address: that is `alloc`'s.

use super::addresses::is_buggy;
use super::{AddressRange, Judge, counts};
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, reason};
use crate::selector::{Labels, Selector, any_matches};
use crate::world::{Family, IpAddressPool, Service, ServiceAllocation, Stored, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A pool that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `metadata.name`.
    pub name: String,
    /// The object.
    pub object: NamespacedName,
    /// Labels (advertisements select by them).
    pub labels: Labels,
    /// In the order of `spec.addresses`; they never overlap.
    pub ranges: Vec<AddressRange>,
    /// Used without being asked for.
    pub auto_assign: bool,
    /// Addresses ending .0 and .255 are not in the pool.
    pub avoid_buggy_ips: bool,
    /// `spec.serviceAllocation`; its presence makes the pool a pinned one.
    pub audience: Option<Audience>,
}

/// Whom a pinned pool serves, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Lower is used first, 0 is last.
    pub priority: i64,
    /// Namespaces by name.
    pub namespaces: BTreeSet<String>,
    /// Namespaces by label, united with the names.
    pub namespace_selectors: Vec<Selector>,
    /// Services by label, ANDed with the namespaces.
    pub service_selectors: Vec<Selector>,
}

impl Pool {
    /// Whether the pool owns an address, for allocation: `avoidBuggyIPs` takes them out.
    pub fn owns(&self, address: IpAddr) -> bool {
        !(self.avoid_buggy_ips && is_buggy(address))
            && self.ranges.iter().any(|range| range.contains(address))
    }

    /// Whether a Service may have addresses of it (compat/metallb.md 2.1).
    /// `namespace_labels` are those of the Service's namespace, if it is known.
    ///
    /// DIFFERS: with namespace selectors that match no namespace MetalLB takes explicit
    /// requests from anywhere; here the pool then serves nobody.
    pub fn serves(&self, service: &Service, namespace_labels: Option<&Labels>) -> bool {
        let Some(audience) = &self.audience else {
            return true;
        };
        let anywhere = audience.namespaces.is_empty() && audience.namespace_selectors.is_empty();
        let namespace = anywhere
            || audience
                .namespaces
                .contains(service.name.namespace.as_str())
            || namespace_labels
                .is_some_and(|labels| any_matches(&audience.namespace_selectors, labels));
        let selected = audience.service_selectors.is_empty()
            || any_matches(&audience.service_selectors, &service.labels);
        namespace && selected
    }

    /// Where a pinned pool stands in the order: by priority, 0 last.
    pub fn precedence(&self) -> i64 {
        match self.audience.as_ref().map_or(0, |a| a.priority) {
            0 => i64::MAX,
            priority => priority,
        }
    }

    /// Usable addresses of a family; saturates at `u128::MAX`.
    pub fn capacity(&self, family: Family) -> u128 {
        let ranges = self.ranges.iter().filter(|r| r.family() == family);
        ranges.fold(0u128, |sum, range| {
            let buggy = if self.avoid_buggy_ips {
                range.buggy()
            } else {
                0
            };
            sum.saturating_add(range.size() - buggy)
        })
    }

    /// Whether it has ranges of a family.
    pub fn has_family(&self, family: Family) -> bool {
        self.ranges.iter().any(|range| range.family() == family)
    }
}

/// All pools that may be used, and the names of those that may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSet {
    /// By name.
    pools: Vec<Arc<Pool>>,
    /// First address of each range → (its last, index of the pool).
    ranges: BTreeMap<IpAddr, (IpAddr, usize)>,
    /// Objects that exist and are refused, with their labels.
    refused: BTreeMap<String, Labels>,
}

impl PoolSet {
    /// The usable pools by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pool>> + '_ {
        self.pools.iter()
    }

    /// How many are usable.
    pub fn len(&self) -> usize {
        self.pools.len()
    }

    /// None is usable.
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// A usable pool by name.
    pub fn get(&self, name: &str) -> Option<&Arc<Pool>> {
        self.index_of(name).and_then(|index| self.pools.get(index))
    }

    /// The pool in whose ranges an address lies, `avoidBuggyIPs` or not (the speaker's
    /// view; compat/metallb.md 8).
    pub fn containing(&self, address: IpAddr) -> Option<&Arc<Pool>> {
        self.index_containing(address)
            .and_then(|index| self.pools.get(index))
    }

    /// The pool that owns an address for allocation, `avoidBuggyIPs` honoured.
    pub fn owner(&self, address: IpAddr) -> Option<&Arc<Pool>> {
        self.containing(address).filter(|pool| pool.owns(address))
    }

    /// The name of the pool of an address of a Service, for advertisements: the pool that
    /// contains it, else the refused one that its `ip-allocated-from-pool` names. A typo
    /// in a pool must not take away addresses that are in use.
    pub fn name_for(&self, service: &Service, address: IpAddr) -> Option<&str> {
        if let Some(pool) = self.containing(address) {
            return Some(&pool.name);
        }
        let named = service.annotation("ip-allocated-from-pool")?;
        let (name, _) = self.refused.get_key_value(named)?;
        Some(name)
    }

    /// Whether a pool of that name exists and is refused.
    pub fn is_refused(&self, name: &str) -> bool {
        self.refused.contains_key(name)
    }

    /// Names and labels of every pool, refused ones too, for advertisements.
    pub fn labelled(&self) -> impl Iterator<Item = (&str, &Labels)> + '_ {
        let usable = self.pools.iter().map(|p| (p.name.as_str(), &p.labels));
        usable.chain(self.refused.iter().map(|(n, l)| (n.as_str(), l)))
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.pools
            .binary_search_by(|pool| pool.name.as_str().cmp(name))
            .ok()
    }

    pub(crate) fn at(&self, index: usize) -> &Arc<Pool> {
        &self.pools[index]
    }

    fn index_containing(&self, address: IpAddr) -> Option<usize> {
        let (_, (last, index)) = self.ranges.range(..=address).next_back()?;
        (address <= *last).then_some(*index)
    }

    /// The first range of an accepted pool that overlaps this one.
    fn overlapping(&self, range: &AddressRange) -> Option<(&Pool, AddressRange)> {
        let (_, (_, index)) = self
            .ranges
            .range(..=range.last())
            .next_back()
            .filter(|(_, (last, _))| *last >= range.first())?;
        let pool = self.pools.get(*index)?;
        let other = pool.ranges.iter().find(|other| other.overlaps(range))?;
        Some((pool, *other))
    }

    fn accept(&mut self, pool: Pool) {
        let index = self.pools.len();
        for range in &pool.ranges {
            self.ranges.insert(range.first(), (range.last(), index));
        }
        self.pools.push(Arc::new(pool));
    }
}

/// Parses every IPAddressPool of our namespace. Of two that overlap the later by name is
/// refused, and nothing of it is used.
pub fn pools(world: &World, namespace: &str) -> (PoolSet, Vec<Problem>) {
    let mut set = PoolSet::default();
    let mut problems = Vec::new();
    let mut counted: Vec<&Stored<IpAddressPool>> = Vec::new();
    for stored in world.pools.iter() {
        let mut judge = judge(stored);
        if counts(&mut judge, namespace) {
            counted.push(stored);
        }
        problems.append(&mut judge.problems);
    }
    counted.sort_by(|a, b| a.object.name.name.cmp(&b.object.name.name));
    for stored in counted {
        let mut judge = judge(stored);
        match parse(&stored.object, &set, &mut judge) {
            Some(pool) => set.accept(pool),
            None => {
                let raw = &stored.object;
                set.refused
                    .insert(raw.name.name.to_string(), raw.labels.clone());
            }
        }
        problems.append(&mut judge.problems);
    }
    (set, problems)
}

fn judge(stored: &Stored<IpAddressPool>) -> Judge<'_> {
    Judge::new(
        Kind::IpAddressPool,
        &stored.object.name,
        stored.origin.source.clone(),
    )
}

fn parse(raw: &IpAddressPool, others: &PoolSet, judge: &mut Judge<'_>) -> Option<Pool> {
    let ranges = ranges(raw, others, judge);
    let audience = match &raw.service_allocation {
        None => Some(None),
        Some(allocation) => audience(allocation, judge).map(Some),
    };
    Some(Pool {
        name: raw.name.name.to_string(),
        object: raw.name.clone(),
        labels: raw.labels.clone(),
        ranges: ranges?,
        auto_assign: raw.auto_assign,
        avoid_buggy_ips: raw.avoid_buggy_ips,
        audience: audience?,
    })
}

fn ranges(
    raw: &IpAddressPool,
    others: &PoolSet,
    judge: &mut Judge<'_>,
) -> Option<Vec<AddressRange>> {
    if raw.addresses.is_empty() {
        judge.error(
            reason::INVALID_ADDRESSES,
            "spec.addresses is empty: a pool needs at least one CIDR or range",
        );
        return None;
    }
    let mut parsed: Vec<(AddressRange, &str)> = Vec::new();
    // First address → index in `parsed`: a neighbour look-up instead of all pairs.
    let mut own: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut good = true;
    for (index, text) in raw.addresses.iter().enumerate() {
        let range = match AddressRange::parse(text) {
            Ok(range) => range,
            Err(why) => {
                let text = format!("spec.addresses[{index}]: {why}");
                judge.error(reason::INVALID_ADDRESSES, text);
                good = false;
                continue;
            }
        };
        let earlier = own
            .range(..=range.last())
            .next_back()
            .and_then(|(_, index)| parsed.get(*index))
            .filter(|(other, _)| other.overlaps(&range));
        if let Some((_, other)) = earlier {
            let text = format!("spec.addresses[{index}]: {text:?} overlaps with {other:?}");
            judge.error(reason::OVERLAPPING_ADDRESSES, text);
            good = false;
            continue;
        }
        if let Some((pool, other)) = others.overlapping(&range) {
            let text = format!(
                "spec.addresses[{index}]: {text:?} overlaps with {other} of pool {:?}",
                pool.name
            );
            judge.error(reason::OVERLAPPING_ADDRESSES, text);
            good = false;
        }
        own.insert(range.first(), parsed.len());
        parsed.push((range, text));
    }
    good.then(|| parsed.into_iter().map(|(range, _)| range).collect())
}

fn audience(raw: &ServiceAllocation, judge: &mut Judge<'_>) -> Option<Audience> {
    let namespaces = judge.distinct("spec.serviceAllocation.namespaces", &raw.namespaces);
    let namespaces = namespaces.into_iter().cloned().collect();
    let field = "spec.serviceAllocation.namespaceSelectors";
    let namespace_selectors = judge.selectors(field, &raw.namespace_selectors);
    let field = "spec.serviceAllocation.serviceSelectors";
    let service_selectors = judge.selectors(field, &raw.service_selectors);
    let priority = i32::try_from(raw.priority).ok();
    if priority.is_none() {
        let text = format!(
            "spec.serviceAllocation.priority: {} is no number of 32 bits",
            raw.priority
        );
        judge.error(reason::INVALID_FIELD, text);
    }
    Some(Audience {
        priority: i64::from(priority?),
        namespaces,
        namespace_selectors: namespace_selectors?,
        service_selectors: service_selectors?,
    })
}
