//! Which of the Services whose statuses show one address keep it, from the statuses alone:
//! speakers announce an address only for its keepers.

use super::Options;
use super::books::check_holders;
use super::claim::claim;
use super::wish::{Standing, Terms, Wish};
use crate::config::PoolSet;
use crate::name::NamespacedName;
use crate::world::{Service, World};
use std::net::IpAddr;
use std::sync::Arc;

/// The keepers among the Services that show `address`, in the order of holders: two
/// addresses before one, creation time, namespace/name; after the first only those that
/// may share with it. A Service that may not have the address by its own wish loses to
/// one that may, and keeps it when it is alone, until the controller has moved it.
pub fn keepers<'a>(
    claimants: impl Iterator<Item = &'a Service>,
    address: IpAddr,
    world: &World,
    pools: &PoolSet,
    options: &Options,
) -> Vec<&'a Service> {
    let only_ipv6 = super::step::only_ipv6(pools);
    let mut ranked = Vec::new();
    for service in claimants {
        let wish = Wish::parse(service, options, only_ipv6);
        if wish.standing != Standing::Ours {
            continue;
        }
        let held: Vec<IpAddr> = service.addresses().collect();
        if !held.contains(&address) {
            continue;
        }
        let namespace = super::step::namespace_labels(world, service);
        let claim = claim(&wish, service, &held, pools, namespace);
        let may = claim.addresses.contains(&address);
        let count = usize::MAX - claim.weight(&wish);
        ranked.push(((!may, count, wish.rank()), wish.terms, service));
    }
    ranked.sort_by(|a, b| a.0.cmp(&b.0));
    let any = ranked.first().is_some_and(|(rank, _, _)| !rank.0);
    let mut terms: Vec<Arc<Terms>> = Vec::new();
    let mut keepers = Vec::new();
    for ((may_not, _, _), own, service) in ranked {
        if (may_not && any) || check_holders(&terms, &own).is_err() {
            continue;
        }
        terms.push(own);
        keepers.push(service);
    }
    keepers
}

/// [`keepers`] of an address among all Services; a speaker with an index by address calls
/// that instead.
pub fn keepers_of(
    world: &World,
    pools: &PoolSet,
    options: &Options,
    address: IpAddr,
) -> Vec<NamespacedName> {
    let all = world.services.iter().map(|stored| &*stored.object);
    keepers(all, address, world, pools, options)
        .into_iter()
        .map(|service| service.name.clone())
        .collect()
}
