//! The order of Services that decides between several on one address, and who keeps an
//! address that is held twice.
//!
//! By a late write of an old leader two Services may hold one address without a valid
//! key. It is announced for the keeper alone until the controller has given the other a
//! new one; the rule is the allocator's.

use crate::alloc::{self, Options};
use crate::config::PoolSet;
use crate::world::{Service, World};
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

/// Creation, then namespace and name; without a time after all others.
pub(super) fn by_creation(a: &Service, b: &Service) -> Ordering {
    let created = |service: &Service| service.created.unwrap_or(i64::MAX);
    (created(a), &a.name).cmp(&(created(b), &b.name))
}

/// The holders that keep an address, by creation; one alone always does.
pub(super) fn kept(
    holders: &[Arc<Service>],
    address: IpAddr,
    world: &World,
    pools: &PoolSet,
    options: &Options,
) -> Vec<Arc<Service>> {
    if holders.len() < 2 {
        return holders.to_vec();
    }
    let claimants = holders.iter().map(Arc::as_ref);
    let keepers = alloc::keepers(claimants, address, world, pools, options);
    let keeps = |holder: &&Arc<Service>| keepers.iter().any(|keeper| keeper.name == holder.name);
    let mut kept: Vec<Arc<Service>> = holders.iter().filter(keeps).cloned().collect();
    kept.sort_by(|a, b| by_creation(a, b));
    kept
}
