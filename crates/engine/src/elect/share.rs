//! The bounded share: nobody carries much more than the others (design/ownership.md, 4).
//!
//! Owns the arithmetic and the fold over addresses in order. Who keeps an address by its
//! claim is counted by the caller through [`Shares::count`] before the free ones are placed.

use std::collections::BTreeMap;

/// How many of `addresses` one of `candidates` may carry:
/// max(ceil(addresses / candidates), floor(1.25 × addresses / candidates)).
pub fn share(addresses: usize, candidates: usize) -> usize {
    if candidates == 0 {
        return 0;
    }
    let even = addresses.div_ceil(candidates);
    let eased = addresses.saturating_mul(5) / candidates.saturating_mul(4);
    even.max(eased)
}

/// What one class of addresses (same candidates, same best group) has placed so far.
#[derive(Clone, Debug)]
pub struct Shares<N> {
    limit: usize,
    carried: BTreeMap<N, usize>,
}

impl<N: Ord + Clone> Shares<N> {
    /// Nothing placed yet of `addresses` among `candidates` nodes.
    pub fn new(addresses: usize, candidates: usize) -> Self {
        Self {
            limit: share(addresses, candidates),
            carried: BTreeMap::new(),
        }
    }

    /// Counts addresses for a node that has them already.
    pub fn count(&mut self, node: N, addresses: usize) {
        *self.carried.entry(node).or_default() += addresses;
    }

    /// Gives one more address to the first of `order` that is below its share; to the
    /// least loaded one when all are at it (only claims can bring that about). `None`
    /// when nobody is in the order.
    pub fn place<'a>(&mut self, order: impl IntoIterator<Item = &'a N> + Clone) -> Option<N>
    where
        N: 'a,
    {
        let carried = |node: &N| self.carried.get(node).copied().unwrap_or_default();
        let below = order.clone().into_iter().find(|n| carried(n) < self.limit);
        let node = below
            .or_else(|| order.into_iter().min_by_key(|node| carried(node)))?
            .clone();
        self.count(node.clone(), 1);
        Some(node)
    }
}
