//! L2Advertisements: checked selectors, pool names resolved.
//!
//! Owns [`Advertisement`]. Who announces is `elect`'s.

use super::{Judge, PoolSet, counts};
use crate::name::{Kind, NamespacedName};
use crate::plan::InterfaceSet;
use crate::problem::{Problem, Severity, reason};
use crate::selector::{Labels, Selector, any_matches};
use crate::world::{L2Advertisement, World};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Weights of preferences (compat/metallb.md 2.2).
const WEIGHTS: std::ops::RangeInclusive<i64> = 1..=100;

/// An L2Advertisement that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The object.
    pub object: NamespacedName,
    /// Names of the pools it is for, by name and by selector; refused pools are among
    /// them, as their addresses in use go on.
    pub pools: BTreeSet<String>,
    /// Nodes; empty: all.
    pub node_selectors: Vec<Selector>,
    /// Services; empty: all.
    pub service_selectors: Vec<Selector>,
    /// Where.
    pub interfaces: InterfaceSet,
    /// Soft preferences: weight and the nodes it is for.
    pub preferred_nodes: Vec<(u32, Selector)>,
}

impl Advertisement {
    /// Whether it is for a pool.
    pub fn covers(&self, pool: &str) -> bool {
        self.pools.contains(pool)
    }

    /// Whether a node with these labels may announce by it.
    pub fn selects_node(&self, labels: &Labels) -> bool {
        self.node_selectors.is_empty() || any_matches(&self.node_selectors, labels)
    }

    /// Whether it is for a Service with these labels.
    pub fn selects_service(&self, labels: &Labels) -> bool {
        self.service_selectors.is_empty() || any_matches(&self.service_selectors, labels)
    }

    /// The summed weight of the preferences that match a node's labels.
    pub fn preference(&self, labels: &Labels) -> u64 {
        let matching = self.preferred_nodes.iter();
        matching
            .filter(|(_, selector)| selector.matches(labels))
            .map(|(weight, _)| u64::from(*weight))
            .sum()
    }
}

/// Parses every L2Advertisement of our namespace, by name. One with a bad selector is
/// refused; a pool name that does not exist is a warning.
pub fn l2_advertisements(
    world: &World,
    pools: &PoolSet,
    namespace: &str,
) -> (Vec<Arc<Advertisement>>, Vec<Problem>) {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for stored in world.l2_advertisements.iter() {
        let raw = &stored.object;
        let source = stored.origin.source.clone();
        let mut judge = Judge::new(Kind::L2Advertisement, &raw.name, source);
        if counts(&mut judge, namespace)
            && let Some(advertisement) = parse(raw, pools, &mut judge)
        {
            all.push(Arc::new(advertisement));
        }
        problems.append(&mut judge.problems);
    }
    (all, problems)
}

fn parse(raw: &L2Advertisement, pools: &PoolSet, judge: &mut Judge<'_>) -> Option<Advertisement> {
    let names = judge.distinct("spec.ipAddressPools", &raw.pools);
    let pool_selectors = judge.selectors("spec.ipAddressPoolSelectors", &raw.pool_selectors);
    let node_selectors = judge.selectors("spec.nodeSelectors", &raw.node_selectors);
    let service_selectors = judge.selectors("spec.serviceSelectors", &raw.service_selectors);
    let interfaces = interfaces(raw, judge);
    let preferred_nodes = preferences(raw, judge);
    let pool_selectors = pool_selectors?;
    let every = raw.pools.is_empty() && raw.pool_selectors.is_empty();
    let mut resolved = BTreeSet::new();
    for (name, labels) in pools.labelled() {
        let named = names.iter().any(|wanted| *wanted == name);
        if every || named || any_matches(&pool_selectors, labels) {
            resolved.insert(name.to_owned());
        }
    }
    for name in names.iter().filter(|name| !resolved.contains(**name)) {
        let text = format!("spec.ipAddressPools: there is no pool {name:?}");
        judge.tell(Severity::Warning, reason::UNKNOWN_POOL, text);
    }
    Some(Advertisement {
        object: raw.name.clone(),
        pools: resolved,
        node_selectors: node_selectors?,
        service_selectors: service_selectors?,
        interfaces,
        preferred_nodes: preferred_nodes?,
    })
}

fn interfaces(raw: &L2Advertisement, judge: &mut Judge<'_>) -> InterfaceSet {
    if raw.interfaces.is_empty() {
        return InterfaceSet::All;
    }
    let distinct = judge.distinct("spec.interfaces", &raw.interfaces);
    InterfaceSet::Named(distinct.into_iter().cloned().collect())
}

/// None when a selector is bad; a weight out of range leaves out that preference.
fn preferences(raw: &L2Advertisement, judge: &mut Judge<'_>) -> Option<Vec<(u32, Selector)>> {
    let mut all = Some(Vec::new());
    for (index, (weight, selector)) in raw.preferred_nodes.iter().enumerate() {
        let field = format!("spec.preferredNodeSelectors[{index}]");
        let parsed = match Selector::parse(selector) {
            Ok(parsed) => parsed,
            Err(why) => {
                let text = format!("{field}.preference: {why}");
                judge.error(reason::INVALID_SELECTOR, text);
                all = None;
                continue;
            }
        };
        match u32::try_from(*weight) {
            Ok(small) if WEIGHTS.contains(weight) => {
                if let Some(all) = all.as_mut() {
                    all.push((small, parsed));
                }
            }
            _ => {
                let text = format!("{field}.weight: {weight} is not within 1 and 100");
                judge.error(reason::INVALID_FIELD, text);
            }
        }
    }
    all
}
