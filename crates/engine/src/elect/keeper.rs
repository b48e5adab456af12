//! Of the Services on one address, those that may stay there together.
//!
//! Owns the rule of who keeps (design/cli.md, Order) as the speaker needs it: an address
//! that two Services hold by a late write of an old leader is announced for the keeper
//! alone until the controller has given the other a new one.

use crate::world::{Protocol, Service, TrafficPolicy};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Creation, then namespace and name; without a time after all others.
pub(crate) fn by_creation(a: &Service, b: &Service) -> Ordering {
    let created = |service: &Service| service.created.unwrap_or(i64::MAX);
    (created(a), &a.name).cmp(&(created(b), &b.name))
}

/// Splits the Services on one address into those that keep it and those that lose it,
/// each by creation. Holders of two addresses come before holders of one.
pub fn kept(holders: &[Arc<Service>]) -> (Vec<Arc<Service>>, Vec<Arc<Service>>) {
    let mut order: Vec<&Arc<Service>> = holders.iter().collect();
    let two = |service: &Service| std::cmp::Reverse(service.addresses().take(2).count());
    order.sort_by(|a, b| two(a).cmp(&two(b)).then_with(|| by_creation(a, b)));
    let mut keepers: Vec<Arc<Service>> = Vec::new();
    let mut losers: Vec<Arc<Service>> = Vec::new();
    for service in order {
        let welcome = keepers.iter().all(|keeper| may_share(keeper, service));
        let side = if welcome { &mut keepers } else { &mut losers };
        side.push(Arc::clone(service));
    }
    keepers.sort_by(|a, b| by_creation(a, b));
    losers.sort_by(|a, b| by_creation(a, b));
    (keepers, losers)
}

/// compat/metallb.md 3.3: equal keys that are not empty, equal back ends under Local, no
/// port in common.
fn may_share(a: &Service, b: &Service) -> bool {
    let key = |service: &Service| {
        let key = service.annotation("allow-shared-ip").unwrap_or_default();
        (!key.is_empty()).then(|| key.to_owned())
    };
    let backend = |service: &Service| match service.external_policy {
        TrafficPolicy::Local => service.selector.clone(),
        TrafficPolicy::Cluster => std::collections::BTreeMap::new(),
    };
    let ports = |service: &Service| -> BTreeSet<(Protocol, u16)> {
        service
            .ports
            .iter()
            .map(|port| (port.protocol, port.port))
            .collect()
    };
    key(a).is_some()
        && key(a) == key(b)
        && backend(a) == backend(b)
        && ports(a).is_disjoint(&ports(b))
}
