//! The work grows with what changed, counted in answers rather than seconds.

use super::build::*;
use crate::alloc::{Allocator, Ledger, Options};
use crate::config;
use crate::world::{Change, Delta};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A quadratic allocation of 10,000 would take minutes in a debug build.
#[test]
fn ten_thousand_pending_services_are_one_pass() {
    let services = (0..10_000)
        .map(|n| svc(&format!("s{n:05}")).shared("k", 80))
        .collect();
    let mut world = world(vec![pool("p", "10.0.0.0/16").tidy()], services);
    let (pools, _) = config::pools(&world, NAMESPACE);
    let mut allocator = Allocator::new(Options::default());
    allocator.restart(&world, Arc::new(pools), &Ledger::default());
    let (_, status) = allocator.pool_statuses().next().expect("a pool");
    assert_eq!(status.assigned_ipv4, 10_000);
    let new = stored(svc("new").at(999));
    let name = new.object.name.clone();
    world.apply(Change::Service(Delta::Upsert(new)));
    let changed = allocator.update(&world, &BTreeSet::from([name.clone()]));
    assert_eq!(changed, BTreeSet::from([name]), "nobody else is concerned");
}
