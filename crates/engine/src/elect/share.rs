//! The bounded share: nobody carries much more than the others (design/ownership.md, 4).
//!
//! Owns the arithmetic and the fold over addresses in order. Does not know claims: a
//! holder that keeps its address is counted by the caller through [`Shares::count`]
//! before the free ones are placed; that is the seam for sticky claims.

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

    /// Counts an address for a node that has it already.
    pub fn count(&mut self, node: N) {
        *self.carried.entry(node).or_default() += 1;
    }

    /// Gives one more address to the first of `order` that is below its share; to the
    /// least loaded one when all are at it (only claims can bring that about). `None`
    /// when nobody is in the order.
    pub fn place(&mut self, order: &[N]) -> Option<N> {
        let carried = |node: &N| self.carried.get(node).copied().unwrap_or_default();
        let node = order
            .iter()
            .find(|node| carried(node) < self.limit)
            .or_else(|| order.iter().min_by_key(|node| carried(node)))?
            .clone();
        self.count(node.clone());
        Some(node)
    }
}
