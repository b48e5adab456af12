//! Worlds for the tests, in few words.

use crate::alloc::{Allocation, Ledger, Options, allocate};
use crate::config;
use crate::name::NamespacedName;
use crate::selector::{LabelSelector, Labels};
use crate::world::{
    Change, Delta, Family, FamilyPolicy, Ingress, IpAddressPool, Namespace, Object, Origin,
    Protocol, Service, ServiceAllocation, ServicePort, Stored, TrafficPolicy, World,
};
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) const NAMESPACE: &str = "metallb-system";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn stored<T>(object: T) -> Stored<T> {
    Stored {
        object: Arc::new(object),
        origin: Origin::default(),
    }
}

pub(crate) fn labels(pairs: &str) -> Labels {
    let pairs = pairs.split(',').filter(|p| !p.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

pub(crate) fn selector(pairs: &str) -> LabelSelector {
    LabelSelector {
        match_labels: labels(pairs),
        match_expressions: Vec::new(),
    }
}

/// A pool: `addresses` separated by commas.
pub(crate) fn pool(name: &str, addresses: &str) -> IpAddressPool {
    let addresses = addresses.split(',').filter(|a| !a.is_empty());
    IpAddressPool {
        name: NamespacedName::new(NAMESPACE, name),
        addresses: addresses.map(str::to_owned).collect(),
        auto_assign: true,
        ..IpAddressPool::default()
    }
}

pub(crate) trait PoolWords: Sized {
    fn manual(self) -> Self;
    fn tidy(self) -> Self;
    fn pinned(self, priority: i64, namespaces: &str, services: &str) -> Self;
    fn for_namespaces_with(self, pairs: &str) -> Self;
}

impl PoolWords for IpAddressPool {
    fn manual(mut self) -> Self {
        self.auto_assign = false;
        self
    }

    fn tidy(mut self) -> Self {
        self.avoid_buggy_ips = true;
        self
    }

    fn pinned(mut self, priority: i64, namespaces: &str, services: &str) -> Self {
        let namespaces = namespaces.split(',').filter(|n| !n.is_empty());
        self.service_allocation = Some(ServiceAllocation {
            priority,
            namespaces: namespaces.map(str::to_owned).collect(),
            service_selectors: (!services.is_empty())
                .then(|| selector(services))
                .into_iter()
                .collect(),
            ..ServiceAllocation::default()
        });
        self
    }

    fn for_namespaces_with(mut self, pairs: &str) -> Self {
        let mut allocation = self.service_allocation.unwrap_or_default();
        allocation.namespace_selectors.push(selector(pairs));
        self.service_allocation = Some(allocation);
        self
    }
}

/// A single-stack IPv4 LoadBalancer Service in `default` with TCP/80, created at 100.
pub(crate) fn svc(name: &str) -> Service {
    Service {
        name: NamespacedName::new("default", name),
        uid: format!("uid-{name}"),
        created: Some(100),
        load_balancer: true,
        cluster_ips: vec![ip("10.96.0.1")],
        families: vec![Family::V4],
        ports: vec![port(Protocol::Tcp, 80)],
        ..Service::default()
    }
}

pub(crate) fn port(protocol: Protocol, port: u16) -> ServicePort {
    ServicePort {
        name: "".into(),
        protocol,
        port,
        node_port: None,
    }
}

pub(crate) trait ServiceWords: Sized {
    fn at(self, created: i64) -> Self;
    fn holds(self, addresses: &str) -> Self;
    fn of_pool(self, pool: &str) -> Self;
    fn note(self, key: &str, value: &str) -> Self;
    fn dual(self, policy: FamilyPolicy) -> Self;
    fn v6(self) -> Self;
    fn shared(self, key: &str, port: u16) -> Self;
    fn local(self, selector: &str) -> Self;
    fn labelled(self, pairs: &str) -> Self;
    fn within(self, namespace: &str) -> Self;
    fn wants(self, addresses: &str) -> Self;
}

impl ServiceWords for Service {
    fn at(mut self, created: i64) -> Self {
        self.created = Some(created);
        self
    }

    fn holds(mut self, addresses: &str) -> Self {
        let each = addresses.split(',').filter(|a| !a.is_empty());
        self.ingress = each
            .map(|address| Ingress {
                ip: Some(ip(address)),
                hostname: None,
                ip_mode: Some("VIP".into()),
            })
            .collect();
        self
    }

    fn of_pool(self, pool: &str) -> Self {
        self.note("metallb.io/ip-allocated-from-pool", pool)
    }

    fn note(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    fn dual(mut self, policy: FamilyPolicy) -> Self {
        self.family_policy = policy;
        self.cluster_ips = vec![ip("10.96.0.1"), ip("fd00:96::1")];
        self.families = vec![Family::V4, Family::V6];
        self
    }

    fn v6(mut self) -> Self {
        self.cluster_ips = vec![ip("fd00:96::1")];
        self.families = vec![Family::V6];
        self
    }

    fn shared(mut self, key: &str, number: u16) -> Self {
        self.ports = vec![port(Protocol::Tcp, number)];
        self.note("metallb.io/allow-shared-ip", key)
    }

    fn local(mut self, pairs: &str) -> Self {
        self.external_policy = TrafficPolicy::Local;
        self.selector = labels(pairs);
        self
    }

    fn labelled(mut self, pairs: &str) -> Self {
        self.labels = labels(pairs);
        self
    }

    fn within(mut self, namespace: &str) -> Self {
        self.name.namespace = namespace.into();
        self.uid = format!("{}-in-{namespace}", self.uid);
        self
    }

    fn wants(self, addresses: &str) -> Self {
        self.note("metallb.io/loadBalancerIPs", addresses)
    }
}

pub(crate) fn reset<T: Object>(objects: Vec<T>) -> Delta<T> {
    Delta::Reset {
        objects: objects.into_iter().map(stored).collect(),
        epoch: 0,
    }
}

pub(crate) fn world(pools: Vec<IpAddressPool>, services: Vec<Service>) -> World {
    let mut world = World::default();
    world.apply(Change::Pool(reset(pools)));
    world.apply(Change::Service(reset(services)));
    world.apply(Change::Namespace(reset(vec![namespace("default", "")])));
    world
}

pub(crate) fn namespace(name: &str, pairs: &str) -> Namespace {
    Namespace {
        name: NamespacedName::new("", name),
        labels: labels(pairs),
    }
}

pub(crate) fn decide(world: &World, ledger: &Ledger, options: &Options) -> Allocation {
    let (pools, _) = config::pools(world, NAMESPACE);
    allocate(world, &Arc::new(pools), ledger, options)
}

/// `name: change pool addresses (reason)` for each Service, a line each.
pub(crate) fn lines(allocation: &Allocation) -> Vec<String> {
    allocation
        .decisions
        .iter()
        .map(|(name, decision)| {
            let mut line = format!("{}: {}", name.name, decision.change.as_str());
            if let Some(pool) = &decision.pool {
                line.push_str(&format!(" {pool}"));
            }
            for address in &decision.addresses {
                line.push_str(&format!(" {address}"));
            }
            if let Some(reason) = decision.reason {
                line.push_str(&format!(" ({reason})"));
            }
            line
        })
        .collect()
}
