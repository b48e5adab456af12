//! Against a reference model and against the promises, under random operations.

use super::build::*;
use crate::alloc::{Allocation, Allocator, Change as Fate, Ledger, Options};
use crate::config::{self, PoolSet};
use crate::name::NamespacedName;
use crate::world::{
    Change, Delta, FamilyPolicy, Ingress, IpAddressPool, Service, TrafficPolicy, World,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Sets of pools that differ by a grown, shrunk, renamed, split, deleted, spoilt pool.
fn pool_sets() -> Vec<Vec<IpAddressPool>> {
    let dual = || pool("d", "198.51.100.0/30,2001:db8::/126");
    vec![
        vec![pool("p", "192.0.2.0/29"), dual()],
        vec![pool("p", "192.0.2.0/30"), dual()],
        vec![pool("q", "192.0.2.0/29"), dual().manual()],
        vec![
            pool("p", "192.0.2.0/30"),
            pool("r", "192.0.2.4/30"),
            dual().pinned(1, "default", ""),
        ],
        vec![pool("p", "192.0.2.6/31,192.0.2.0/31").tidy()],
        vec![
            pool("p", "192.0.2.0/29").pinned(1, "default", ""),
            pool("s", "2001:db8::/126"),
        ],
        vec![pool("p", "192.0.2.0/299"), dual()],
        vec![],
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Put(Box<Service>),
    Delete(usize),
    Pools(usize),
    /// The decision of a Service becomes its status.
    Land(usize),
    /// All of them do, and the controller starts anew.
    Restart,
    /// The books are thrown away, the ledger is not.
    Forget,
}

fn service() -> impl Strategy<Value = Service> {
    let shape = (0..8usize, 1..4i64, 0..4usize, 80..83u16, 0..6usize);
    let more = (0..6usize, any::<bool>(), 0..2usize);
    (shape, more).prop_map(
        |((index, created, key, number, asks), (stack, local, ns))| {
            let mut service = svc(&format!("s{index}")).at(created);
            service = service.within(["default", "other"][ns]);
            if let Some(key) = ["", "k", "l"].get(key) {
                service = service.shared(key, number);
            }
            if local {
                service.external_policy = TrafficPolicy::Local;
            }
            service = match stack {
                0 => service.dual(FamilyPolicy::PreferDualStack),
                1 => service.dual(FamilyPolicy::RequireDualStack),
                2 => service.v6(),
                _ => service,
            };
            match asks {
                0 => service.wants("192.0.2.1"),
                1 => service.wants("198.51.100.1,2001:db8::1"),
                2 => service.note("metallb.io/address-pool", "d"),
                3 => Service {
                    load_balancer: index % 3 > 0,
                    ..service
                },
                _ => service,
            }
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => service().prop_map(|s| Op::Put(Box::new(s))),
        2 => (0..16usize).prop_map(Op::Delete),
        1 => (0..pool_sets().len()).prop_map(Op::Pools),
        4 => (0..16usize).prop_map(Op::Land),
        1 => Just(Op::Restart),
        1 => Just(Op::Forget),
    ]
}

/// A controller of few words: the world and the allocation over it.
struct Bench {
    world: World,
    pools: Arc<PoolSet>,
    allocator: Allocator,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            world: world(pool_sets().remove(0), vec![]),
            pools: Arc::default(),
            allocator: Allocator::new(Options::default()),
        };
        bench.restart(&Ledger::default());
        bench
    }

    fn restart(&mut self, ledger: &Ledger) {
        self.pools = Arc::new(config::pools(&self.world, NAMESPACE).0);
        self.allocator
            .restart(&self.world, Arc::clone(&self.pools), ledger);
    }

    fn name(&self, index: usize) -> Option<NamespacedName> {
        let names: Vec<_> = self
            .world
            .services
            .iter()
            .map(|s| s.object.name.clone())
            .collect();
        (!names.is_empty()).then(|| names[index % names.len()].clone())
    }

    fn update(&mut self, name: NamespacedName) {
        self.allocator.update(&self.world, &BTreeSet::from([name]));
    }

    fn put(&mut self, mut service: Service) {
        if let Some(old) = self.world.services.get(&service.name) {
            // The status and what goes with it are not the user's.
            service.ingress = old.object.ingress.clone();
            service.created = old.object.created;
            let pool = old
                .object
                .annotations
                .get("metallb.io/ip-allocated-from-pool");
            if let Some(pool) = pool {
                service = service.clone().of_pool(pool);
            }
        }
        let name = service.name.clone();
        self.world
            .apply(Change::Service(Delta::Upsert(stored(service))));
        self.update(name);
    }

    fn land(&mut self, name: &NamespacedName) {
        let Some(stored_service) = self.world.services.get(name) else {
            return;
        };
        let mut service = (*stored_service.object).clone();
        let Some(decision) = self.allocator.decision(name).cloned() else {
            return;
        };
        if decision.change == Fate::Ignored {
            return;
        }
        service.ingress = decision
            .addresses
            .iter()
            .map(|a| Ingress {
                ip: Some(*a),
                hostname: None,
                ip_mode: Some("VIP".into()),
            })
            .collect();
        service
            .annotations
            .remove("metallb.io/ip-allocated-from-pool");
        if let Some(pool) = &decision.pool {
            service = service.of_pool(pool);
        }
        self.world
            .apply(Change::Service(Delta::Upsert(stored(service))));
        self.update(name.clone());
    }

    fn land_all(&mut self) {
        let names: Vec<_> = self
            .world
            .services
            .iter()
            .map(|s| s.object.name.clone())
            .collect();
        names.iter().for_each(|name| self.land(name));
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Put(service) => self.put((**service).clone()),
            Op::Delete(index) => {
                if let Some(name) = self.name(*index) {
                    self.world
                        .apply(Change::Service(Delta::Delete(name.clone())));
                    self.update(name);
                }
            }
            Op::Pools(index) => {
                let pools = pool_sets().remove(*index);
                self.world.apply(Change::Pool(reset(pools)));
                let ledger = self.allocator.ledger();
                self.restart(&ledger);
            }
            Op::Land(index) => {
                if let Some(name) = self.name(*index) {
                    self.land(&name);
                }
            }
            Op::Restart => {
                self.land_all();
                self.restart(&Ledger::default());
            }
            Op::Forget => {
                let ledger = self.allocator.ledger();
                self.restart(&ledger);
            }
        }
    }
}

fn may_share(a: &Service, b: &Service) -> bool {
    let key = |s: &Service| {
        s.annotation("allow-shared-ip")
            .unwrap_or_default()
            .to_owned()
    };
    let ports = |s: &Service| {
        s.ports
            .iter()
            .map(|p| (p.protocol, p.port))
            .collect::<BTreeSet<_>>()
    };
    let backend = |s: &Service| {
        if s.external_policy == TrafficPolicy::Local {
            s.selector.clone()
        } else {
            BTreeMap::new()
        }
    };
    !key(a).is_empty()
        && key(a) == key(b)
        && backend(a) == backend(b)
        && ports(a).is_disjoint(&ports(b))
}

fn namespace_of<'a>(world: &'a World, service: &Service) -> Option<&'a crate::selector::Labels> {
    let name = NamespacedName::new("", service.name.namespace.as_str());
    world.namespaces.get(&name).map(|n| &n.object.labels)
}

/// Whether a Service may be on an address, by its wish, the pools and those who are there.
fn may_have(
    world: &World,
    pools: &PoolSet,
    s: &Service,
    a: IpAddr,
    with: &BTreeMap<NamespacedName, Vec<IpAddr>>,
) -> bool {
    let others = with
        .iter()
        .filter(|(name, on)| **name != s.name && on.contains(&a));
    let wanted = s.annotation("address-pool");
    pools.owner(a).is_some_and(|pool| {
        pool.serves(s, namespace_of(world, s)) && wanted.is_none_or(|wanted| wanted == pool.name)
    }) && others.into_iter().all(|(name, _)| {
        may_share(
            s,
            &world.services.get(name).expect("a holder exists").object,
        )
    })
}

fn given(allocator: &Allocator) -> BTreeMap<NamespacedName, Vec<IpAddr>> {
    allocator
        .decisions()
        .map(|(n, d)| (n.clone(), d.addresses.clone()))
        .collect()
}

fn outcome(allocation: &Allocation) -> Vec<(String, Option<String>, Vec<IpAddr>, Fate)> {
    let each = allocation.decisions.iter();
    each.map(|(n, d)| (n.to_string(), d.pool.clone(), d.addresses.clone(), d.change))
        .collect()
}

/// Every address of the pools, in the order in which they are given.
fn every_address(pools: &PoolSet, s: &Service, world: &World) -> Vec<IpAddr> {
    let mut ordered: Vec<_> = pools
        .iter()
        .filter(|p| p.auto_assign)
        .filter(|p| p.serves(s, namespace_of(world, s)))
        .collect();
    ordered.sort_by_key(|p| (p.audience.is_none(), p.precedence()));
    let in_range = |range: &config::AddressRange| {
        let (first, size) = (config::bits(range.first()), range.size());
        let family = range.family();
        (0..size)
            .map(move |n| config::address_of(family, first + n))
            .collect::<Vec<_>>()
    };
    ordered
        .iter()
        .flat_map(|p| p.ranges.iter().flat_map(in_range))
        .collect()
}

/// The reference: what a reader of compat/metallb.md 3.2 would write for one family.
fn model(world: &World, pools: &PoolSet) -> BTreeMap<NamespacedName, Vec<IpAddr>> {
    let mut services: Vec<_> = world
        .services
        .iter()
        .map(|s| Arc::clone(&s.object))
        .collect();
    services.sort_by_key(|s| (s.created, s.name.clone()));
    let mut on: BTreeMap<NamespacedName, Vec<IpAddr>> = BTreeMap::new();
    for s in &services {
        let kept = s.addresses().find(|a| may_have(world, pools, s, *a, &on));
        on.insert(s.name.clone(), kept.into_iter().collect());
    }
    for s in &services {
        if on[&s.name].is_empty() {
            let mut all = every_address(pools, s, world).into_iter();
            let found = all.find(|a| a.is_ipv4() && may_have(world, pools, s, *a, &on));
            on.insert(s.name.clone(), found.into_iter().collect());
        }
    }
    on
}

/// IPv4 Services without requests, some with statuses.
fn plain() -> impl Strategy<Value = Vec<Service>> {
    let one = (0..12usize, 1..4i64, 0..3usize, 80..83u16, 0..12u8);
    vec(one, 0..12).prop_map(|all| {
        all.into_iter()
            .map(|(index, created, key, number, held)| {
                let service = svc(&format!("s{index}"))
                    .at(created)
                    .shared(["", "k", "l"][key], number);
                if held < 9 {
                    service.holds(&format!("192.0.2.{held}")).of_pool("p")
                } else {
                    service
                }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_reference_model(services in plain(), set in 0..6usize) {
        let world = world(pool_sets().remove(set), services);
        let (pools, _) = config::pools(&world, NAMESPACE);
        let allocation = decide(&world, &Ledger::default(), &Options::default());
        let found: BTreeMap<_, _> = allocation.decisions.iter().map(|(n, d)| (n.clone(), d.addresses.clone())).collect();
        prop_assert_eq!(found, model(&world, &pools));
    }

    #[test]
    fn no_address_twice_without_a_valid_key(ops in vec(op(), 1..30)) {
        let mut bench = Bench::new();
        for op in &ops {
            bench.run(op);
            let given = given(&bench.allocator);
            for (name, addresses) in &given {
                let service = &bench.world.services.get(name).expect("decided for").object;
                let frozen = bench.allocator.decision(name).and_then(|d| d.pool.clone()).is_some_and(|p| bench.pools.is_refused(&p));
                for address in addresses {
                    prop_assert!(frozen || may_have(&bench.world, &bench.pools, service, *address, &given), "{name} on {address} after {op:?}");
                }
            }
        }
    }

    #[test]
    fn the_books_are_only_a_cache(ops in vec(op(), 1..30)) {
        let mut bench = Bench::new();
        for op in &ops {
            let ledger = bench.allocator.ledger();
            bench.run(op);
            if !matches!(op, Op::Restart) {
                let scratch = decide(&bench.world, &ledger, &Options::default());
                prop_assert_eq!(outcome(&bench.allocator.allocation()), outcome(&scratch), "{:?}", op);
                let pools = bench.allocator.allocation().pools;
                prop_assert_eq!(pools, scratch.pools);
            }
            let again = decide(&bench.world, &bench.allocator.ledger(), &Options::default());
            prop_assert_eq!(outcome(&bench.allocator.allocation()), outcome(&again), "settled after {:?}", op);
        }
    }

    #[test]
    fn no_valid_address_is_lost_or_moved(ops in vec(op(), 1..30)) {
        let mut bench = Bench::new();
        for op in &ops {
            bench.land_all();
            let before = given(&bench.allocator);
            bench.run(op);
            let after = given(&bench.allocator);
            let asks = |s: &Service| s.annotation("loadBalancerIPs").is_some() || s.annotation("address-pool").is_some();
            for (name, addresses) in &after {
                let service = &bench.world.services.get(name).expect("decided for").object;
                let [held] = before.get(name).map(Vec::as_slice).unwrap_or_default() else { continue };
                let single = service.cluster_ips.len() == 1 && service.cluster_ips[0].is_ipv4() == held.is_ipv4();
                if !service.load_balancer || !single || asks(service) { continue }
                // It may lose it only to a Service that may not share it and goes first.
                if may_have(&bench.world, &bench.pools, service, *held, &after) {
                    prop_assert_eq!(addresses, &vec![*held], "{} after {:?}", name, op);
                }
            }
        }
    }

    #[test]
    fn nothing_that_fits_is_left_pending(ops in vec(op(), 1..30)) {
        let mut bench = Bench::new();
        for op in &ops {
            bench.run(op);
            let given = given(&bench.allocator);
            for (name, decision) in bench.allocator.decisions() {
                let service = &bench.world.services.get(name).expect("decided for").object;
                if !decision.addresses.is_empty() || !service.load_balancer || service.annotation("loadBalancerIPs").is_some() { continue }
                if let Some(wanted) = service.annotation("address-pool") {
                    let Some(pool) = bench.pools.get(wanted) else { continue };
                    if !pool.auto_assign { continue }
                }
                let fits = |a: &IpAddr| may_have(&bench.world, &bench.pools, service, *a, &given);
                let all = every_address(&bench.pools, service, &bench.world);
                let v4 = all.iter().find(|a| a.is_ipv4() && fits(a));
                let v6 = all.iter().find(|a| a.is_ipv6() && fits(a));
                let missed = match (service.family_policy, service.cluster_ips.len(), service.cluster_ips[0].is_ipv4()) {
                    // Both of one pool: only `d` has two families.
                    (FamilyPolicy::RequireDualStack, ..) => v4.zip(v6).filter(|(a, b)| bench.pools.owner(**a) == bench.pools.owner(**b)).map(|(a, _)| a),
                    (_, 2, _) => v4.or(v6),
                    (_, _, true) => v4,
                    (_, _, false) => v6,
                };
                prop_assert_eq!(missed, None, "{} after {:?}", name, op);
            }
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(services in vec(service(), 1..12), seed in any::<u64>()) {
        let mut unique: BTreeMap<NamespacedName, Service> = BTreeMap::new();
        for (n, service) in services.into_iter().enumerate() {
            unique.entry(service.name.clone()).or_insert(if n % 2 == 0 { service.holds("192.0.2.3").of_pool("p") } else { service });
        }
        let straight: Vec<Service> = unique.values().cloned().collect();
        let mut mixed = straight.clone();
        mixed.sort_by_key(|s| (s.uid.len() as u64 ^ seed).wrapping_mul(0x9e37_79b9 ^ s.uid.bytes().map(u64::from).sum::<u64>()));
        let mut other = world(pool_sets().remove(0), vec![]);
        for service in mixed {
            other.apply(Change::Service(Delta::Upsert(stored(service))));
        }
        let one = decide(&world(pool_sets().remove(0), straight), &Ledger::default(), &Options::default());
        prop_assert_eq!(one, decide(&other, &Ledger::default(), &Options::default()));
    }
}

/// A found case: half of a pair is decided to be given back, its status still shows it, and a
/// Service that goes first in the order of wishes appears.
#[test]
fn an_address_on_its_way_back_is_free_on_every_replica() {
    let mut bench = Bench::new();
    let pair = svc("s7").at(1).within("other").shared("l", 80);
    for op in [
        Op::Pools(5),
        Op::Put(Box::new(
            svc("s7").at(1).within("other").shared("", 80).v6(),
        )),
        Op::Land(0),
        Op::Put(Box::new(pair.dual(FamilyPolicy::RequireDualStack))),
    ] {
        bench.run(&op);
    }
    let ledger = bench.allocator.ledger();
    bench.run(&Op::Put(Box::new(svc("s0").at(1).shared("", 80).v6())));
    let scratch = decide(&bench.world, &ledger, &Options::default());
    assert_eq!(outcome(&bench.allocator.allocation()), outcome(&scratch));
}

/// A found case: of two on a shared address one changes its key and wants a pair that cannot be
/// had. It goes first in the order of holders and gives the address back: the other stays.
#[test]
fn nobody_is_moved_for_half_of_a_pair_that_is_given_back() {
    let mut bench = Bench::new();
    let first = || svc("s0").at(1).within("other");
    let second = svc("s1").at(1).within("other").shared("l", 80).v6();
    for op in [
        Op::Pools(5),
        Op::Put(Box::new(
            first().shared("l", 81).dual(FamilyPolicy::PreferDualStack),
        )),
        Op::Put(Box::new(second)),
    ] {
        bench.run(&op);
    }
    bench.land_all();
    let name = NamespacedName::new("other", "s1");
    assert_eq!(given(&bench.allocator)[&name], [ip("2001:db8::")]);
    let changed = first().shared("", 80).dual(FamilyPolicy::RequireDualStack);
    bench.run(&Op::Put(Box::new(changed)));
    assert_eq!(given(&bench.allocator)[&name], [ip("2001:db8::")]);
}
