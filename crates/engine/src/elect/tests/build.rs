//! A world in a few words, shared by the tests of the election and the speaker.

use crate::config::{self, Advertisement, PoolSet};
use crate::elect::{ElectOptions, Elector, decided};
use crate::facts::{MemberRecord, MembersView};
use crate::name::NamespacedName;
use crate::plan::{L2Entry, Refusal};
use crate::problem::Problem;
use crate::world::*;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) const NAMESPACE: &str = "metallb-system";

/// The inputs of an election.
#[derive(Clone, Debug, Default)]
pub(crate) struct Build {
    pub(crate) world: World,
    pub(crate) members: MembersView,
    pub(crate) options: ElectOptions,
}

pub(crate) fn stored<T>(object: T) -> Stored<T> {
    Stored {
        object: Arc::new(object),
        origin: Origin::default(),
    }
}

pub(crate) fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

pub(crate) fn selector(text: &str) -> crate::selector::LabelSelector {
    crate::selector::LabelSelector {
        match_labels: labels(text),
        match_expressions: Vec::new(),
    }
}

pub(crate) fn pool(name: &str, addresses: &[&str]) -> IpAddressPool {
    IpAddressPool {
        name: NamespacedName::new(NAMESPACE, name),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        auto_assign: true,
        ..IpAddressPool::default()
    }
}

pub(crate) fn advertisement(name: &str) -> L2Advertisement {
    L2Advertisement {
        name: NamespacedName::new(NAMESPACE, name),
        ..L2Advertisement::default()
    }
}

pub(crate) fn node(name: &str, with: &str) -> Node {
    Node {
        name: NamespacedName::new("", name),
        labels: labels(with),
        ..Node::default()
    }
}

pub(crate) fn service(name: &str, addresses: &[&str]) -> Service {
    Service {
        name: NamespacedName::new("default", name),
        uid: format!("uid-{name}"),
        created: Some(100),
        load_balancer: true,
        cluster_ips: addresses
            .iter()
            .map(|address| match address.contains(':') {
                true => IpAddr::from([0xfd; 16]),
                false => IpAddr::from([10, 96, 0, 1]),
            })
            .collect(),
        ingress: addresses
            .iter()
            .map(|address| Ingress {
                ip: Some(address.parse().unwrap()),
                hostname: None,
                ip_mode: None,
            })
            .collect(),
        ..Service::default()
    }
}

/// A sharing Service with a port of its own.
pub(crate) fn sharing(name: &str, addresses: &[&str], port: u16) -> Service {
    Service {
        annotations: labels("metallb.io/allow-shared-ip=key").into(),
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port,
            node_port: None,
        }],
        ..service(name, addresses)
    }
}

pub(crate) fn endpoint(ready: Option<bool>, serving: Option<bool>, node: &str) -> Endpoint {
    Endpoint {
        ready,
        serving,
        node: (!node.is_empty()).then(|| node.into()),
    }
}

pub(crate) fn slice(service: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        name: NamespacedName::new("default", format!("{service}-slice")),
        service: service.into(),
        endpoints: endpoints.into(),
    }
}

/// A slice with a ready endpoint on each node.
pub(crate) fn ready_on(service: &str, nodes: &[&str]) -> EndpointSlice {
    let ready = |node: &&str| endpoint(Some(true), None, node);
    slice(service, nodes.iter().map(ready).collect())
}

/// Everything at once, from nothing remembered: an entry for each address that a Service
/// holds when there is any advertisement, by address, and what is wrong with them.
pub(crate) fn entries(
    world: &World,
    pools: &PoolSet,
    advertisements: &[Arc<Advertisement>],
    members: &MembersView,
    options: &ElectOptions,
) -> (Vec<L2Entry>, Vec<Problem>) {
    let elector = decided(world, pools, advertisements, members, options);
    (elector.entries(), elector.problems())
}

impl Build {
    /// Nodes, all alive, and pool `p` of 10.0.0.0/8, 192.168.0.0/16 and fc00::/16 with one plain advertisement.
    pub(crate) fn new(nodes: &[&str]) -> Self {
        let mut build = Self::bare(nodes);
        build.add(Change::L2Advertisement(Delta::Upsert(stored(
            advertisement("a"),
        ))));
        build
    }

    /// The same without the advertisement.
    pub(crate) fn bare(nodes: &[&str]) -> Self {
        let mut build = Self::default();
        for name in nodes {
            build.node(node(name, ""));
        }
        build.members.settled = true;
        let all = ["10.0.0.0/8", "192.168.0.0/16", "fc00::/16"];
        build.add(Change::Pool(Delta::Upsert(stored(pool("p", &all)))));
        build
    }

    pub(crate) fn add(&mut self, change: Change) -> &mut Self {
        self.world.apply(change);
        self
    }

    pub(crate) fn node(&mut self, node: Node) -> &mut Self {
        let name = node.name.name.clone();
        self.members.alive.entry(name.to_string()).or_default();
        self.add(Change::Node(Delta::Upsert(stored(node))))
    }

    pub(crate) fn advertisement(&mut self, ad: L2Advertisement) -> &mut Self {
        self.add(Change::L2Advertisement(Delta::Upsert(stored(ad))))
    }

    pub(crate) fn service(&mut self, service: Service) -> &mut Self {
        self.add(Change::Service(Delta::Upsert(stored(service))))
    }

    pub(crate) fn slice(&mut self, slice: EndpointSlice) -> &mut Self {
        self.add(Change::EndpointSlice(Delta::Upsert(stored(slice))))
    }

    /// A Service with a ready endpoint on `n1`.
    pub(crate) fn served(&mut self, service: Service) -> &mut Self {
        let slice = ready_on(&service.name.name, &["n1"]);
        self.service(service).slice(slice)
    }

    /// A node claims an address with a term; none: no longer.
    pub(crate) fn claim(
        &mut self,
        address: &str,
        node: &str,
        term: impl Into<Option<u64>>,
    ) -> &mut Self {
        let claims = Arc::make_mut(&mut self.members.claims);
        claims.set(address.parse().unwrap(), &Arc::from(node), term.into());
        self
    }

    pub(crate) fn dead(&mut self, node: &str) -> &mut Self {
        self.members.alive.remove(node);
        self
    }

    /// The member's record names these interfaces.
    pub(crate) fn interfaces(&mut self, node: &str, names: &[&str]) -> &mut Self {
        self.options.interfaces_known = true;
        let record = MemberRecord {
            interfaces: names
                .iter()
                .map(|n| ((*n).to_owned(), [2, 0, 0, 0, 0, 1]))
                .collect(),
            ..MemberRecord::default()
        };
        self.members.alive.insert(node.to_owned(), record);
        self
    }

    pub(crate) fn config(&self) -> (Arc<config::PoolSet>, Vec<Arc<config::Advertisement>>) {
        let (pools, _) = config::pools(&self.world, NAMESPACE);
        let (ads, _) = config::l2_advertisements(&self.world, &pools, NAMESPACE);
        (Arc::new(pools), ads)
    }

    pub(crate) fn elect(&self) -> (Vec<L2Entry>, Vec<Problem>) {
        let (pools, ads) = self.config();
        entries(&self.world, &pools, &ads, &self.members, &self.options)
    }

    pub(crate) fn entry(&self, address: &str) -> L2Entry {
        let address: IpAddr = address.parse().unwrap();
        let (entries, _) = self.elect();
        entries
            .into_iter()
            .find(|entry| entry.address == address)
            .expect("an entry")
    }

    pub(crate) fn refusals(&self, address: &str) -> Vec<(String, Refusal)> {
        self.entry(address).refusals.into_iter().collect()
    }

    pub(crate) fn elector(&self) -> Elector {
        let mut elector = Elector::new(self.options.clone());
        let (pools, ads) = self.config();
        elector.set_config(pools, ads);
        elector.set_members(&self.members);
        elector.update(&self.world);
        elector
    }
}
