//! Claims: which node says that it holds an address, and which of several counts.
//!
//! Owns the comparison (higher term, then the order of L2-82) and the table of claims as one
//! node knows them. Does not carry claims between nodes (`members`), make any (`wire`), or
//! know who may hold an address (`elect`).

#[cfg(test)]
mod tests;

use crate::elect::order;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// One node's word on one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says so.
    pub node: Arc<str>,
    /// Grows by one at each change of holder.
    pub term: u64,
}

/// Whether one claim wins over another on the same address: the higher term, else the
/// better place in the order of `key` (L2-82, L2-55). `key` is the address that decides
/// the order for the Service; both nodes know it from the same object.
pub fn beats(one: (&str, u64), other: (&str, u64), key: IpAddr) -> bool {
    let place = |node: &str| order::digest(node, key);
    match one.1.cmp(&other.1) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => (place(one.0), one.0) < (place(other.0), other.0),
    }
}

/// The claim that wins over all others.
pub fn best<'a>(
    claims: impl IntoIterator<Item = (&'a str, u64)>,
    key: IpAddr,
) -> Option<(&'a str, u64)> {
    claims
        .into_iter()
        .reduce(|best, other| match beats(other, best, key) {
            true => other,
            false => best,
        })
}

/// Every claim of living nodes, as one node knows them. At rest one per address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    by_address: BTreeMap<IpAddr, Vec<Claim>>,
}

impl Claims {
    /// The claims on an address, by name of the node.
    pub fn on(&self, address: IpAddr) -> &[Claim] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The term with which a node claims an address.
    pub fn term(&self, address: IpAddr, node: &str) -> Option<u64> {
        let mut claims = self.on(address).iter();
        Some(claims.find(|claim| &*claim.node == node)?.term)
    }

    /// A node claims an address, or no longer.
    pub fn set(&mut self, address: IpAddr, node: &Arc<str>, term: Option<u64>) {
        let claims = self.by_address.entry(address).or_default();
        let at = claims.binary_search_by(|claim| claim.node.cmp(node));
        match (at, term) {
            (Ok(at), Some(term)) => {
                if let Some(claim) = claims.get_mut(at) {
                    claim.term = term;
                }
            }
            (Ok(at), None) => {
                claims.remove(at);
            }
            (Err(at), Some(term)) => {
                let node = Arc::clone(node);
                // Nearly always the only one: no room for more by the ten thousand.
                claims.reserve_exact(1);
                claims.insert(at, Claim { node, term });
            }
            (Err(_), None) => {}
        }
        if claims.is_empty() {
            self.by_address.remove(&address);
        }
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &[Claim])> + '_ {
        self.by_address
            .iter()
            .map(|(address, claims)| (*address, claims.as_slice()))
    }

    /// Addresses that anybody claims.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Nobody claims anything.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// Addresses on which the claims are not the same as in another table.
    pub fn differing(&self, other: &Self) -> BTreeSet<IpAddr> {
        let mut differing = BTreeSet::new();
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => return differing,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((ours, _)), Some((theirs, _))) => ours.cmp(theirs),
            };
            match order {
                std::cmp::Ordering::Less => differing.extend(ours.next().map(|(a, _)| a)),
                std::cmp::Ordering::Greater => differing.extend(theirs.next().map(|(a, _)| a)),
                std::cmp::Ordering::Equal => {
                    if let (Some((address, ours)), Some((_, theirs))) = (ours.next(), theirs.next())
                        && ours != theirs
                    {
                        differing.insert(address);
                    }
                }
            }
        }
    }
}
