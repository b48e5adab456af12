//! What there is at the start: a cluster of some size, drawn from the seed.

use super::check::Checks;
use super::fault::Faults;
use super::host::Host;
use super::lan::{End, Lan, Port};
use super::node::Node;
use super::queue::Queue;
use super::random::Random;
use super::replica::Replica;
use super::server::{NAMESPACE, SERVICES, Server, Watcher, stored};
use super::trace::Trace;
use super::{Event, Settings, Sim, watch};
use engine::controller::Controller;
use engine::elect::Placement;
use engine::facts::Interface;
use engine::name::NamespacedName;
use engine::selector::Labels;
use engine::world::{
    Change, Delta, Endpoint, EndpointSlice, Family, FamilyPolicy, IpAddressPool, L2Advertisement,
    Namespace, Node as NodeObject, Pod, Protocol, Service, ServicePort, TrafficPolicy,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// What is drawn before anything is built.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) segments: usize,
    pub(super) replicas: usize,
    pub(super) services: usize,
    pub(super) hosts: usize,
    pub(super) ipv6: bool,
}

impl Shape {
    fn draw(random: &mut Random, settings: &Settings) -> Self {
        if let Some(nodes) = settings.quiet {
            return Self {
                nodes,
                segments: 1,
                replicas: 2,
                services: 10,
                hosts: 1,
                ipv6: false,
            };
        }
        let nodes = match random.below(100) {
            0..70 => random.range(2, 7),
            70..92 => random.range(7, 13),
            92..98 => random.range(13, 25),
            _ => random.range(25, 51),
        };
        Self {
            nodes,
            segments: 1 + usize::from(random.chance(300)),
            replicas: random.range(2, 4),
            services: random.range(3, 24),
            hosts: random.range(1, 4),
            ipv6: random.chance(350),
        }
    }
}

/// An object of the cluster's own scope or of a namespace.
fn named(namespace: &str, name: impl Into<engine::name::Text>) -> NamespacedName {
    NamespacedName::new(namespace, name)
}

/// A Node with what people and the cluster may say of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) excluded: bool,
    pub(super) unavailable: bool,
    pub(super) maintenance: bool,
}

pub(super) fn node_object(name: &str, said: Said) -> Change {
    let exclusion = (
        "node.kubernetes.io/exclude-from-external-load-balancers",
        "",
    );
    let object = NodeObject {
        name: named("", name),
        labels: if said.excluded {
            labels(&[exclusion])
        } else {
            labels(&[])
        },
        network_unavailable: said.unavailable,
        maintenance: said.maintenance,
        ..NodeObject::default()
    };
    Change::Node(Delta::Upsert(stored(object)))
}

pub(super) fn pod_name(node: &str) -> NamespacedName {
    named(NAMESPACE, format!("speaker-{node}"))
}

pub(super) fn pod_object(node: usize, name: &str) -> Change {
    let pod = Pod {
        name: pod_name(name),
        uid: format!("pod-{name}"),
        node: Some(name.to_owned()),
        ips: vec![super::node::member_address(node).ip()],
        labels: labels(&[("app", "speaker")]),
    };
    Change::Pod(Delta::Upsert(stored(pod)))
}

pub(super) fn pool_object(name: &str, addresses: &[String]) -> Change {
    let pool = IpAddressPool {
        name: named(NAMESPACE, name),
        addresses: addresses.to_vec(),
        auto_assign: true,
        ..IpAddressPool::default()
    };
    Change::Pool(Delta::Upsert(stored(pool)))
}

pub(super) fn advertisement(name: &str, pools: &[&str], interfaces: &[&str]) -> Change {
    let object = L2Advertisement {
        name: named(NAMESPACE, name),
        pools: pools.iter().map(|p| (*p).to_owned()).collect(),
        interfaces: interfaces.iter().map(|i| (*i).to_owned()).collect(),
        ..L2Advertisement::default()
    };
    Change::L2Advertisement(Delta::Upsert(stored(object)))
}

pub(super) fn slice(service: &str, nodes: &[String], ready: bool) -> Change {
    let endpoint = |node: &String| Endpoint {
        ready: Some(ready),
        serving: Some(ready),
        node: Some(node.into()),
    };
    let object = EndpointSlice {
        name: named("default", format!("{service}-slice")),
        service: service.into(),
        endpoints: nodes.iter().map(endpoint).collect(),
    };
    Change::EndpointSlice(Delta::Upsert(stored(object)))
}

impl Sim {
    pub(super) fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Random::new(seed);
        let shape = Shape::draw(&mut random, &settings);
        // The one reading of the clock: an origin to count from.
        let start = Instant::now() + Duration::from_secs(3600);
        let mut lan = Lan::new(
            shape.segments,
            random.between(Duration::from_secs(15), Duration::from_secs(300)),
        );
        lan.loss = settings.loss;
        let placement = match random.chance(120) && settings.quiet.is_none() {
            true => Placement::MetalLb,
            false => Placement::Fair,
        };
        let linger = random.pick(&[0, 0, 500, 2_000]).unwrap_or(0);
        let faults = Faults::new(&mut random, &settings, start);
        let server = Server::new();
        let telling = settings.telling;
        let mut sim = Self {
            seed,
            settings,
            start,
            now: start,
            queue: Queue::new(),
            random,
            lan,
            server,
            api: watch::Api::default(),
            nodes: Vec::new(),
            replicas: Vec::new(),
            hosts: Vec::new(),
            faults,
            checks: Checks::new(start),
            trace: Trace::new(start, telling),
            placement,
            linger: Duration::from_millis(linger),
            boots: 0,
            steps: 0,
            failure: None,
        };
        sim.populate(&shape);
        sim.begin(&shape);
        sim
    }

    /// The objects, the machines and their ports.
    fn populate(&mut self, shape: &Shape) {
        for name in ["default", NAMESPACE] {
            let object = Namespace {
                name: named("", name),
                ..Namespace::default()
            };
            self.server
                .commit(Change::Namespace(Delta::Upsert(stored(object))), self.now);
        }
        for index in 0..shape.nodes {
            self.plug_node(index, shape.segments);
        }
        let count = shape.services + self.random.below(shape.services + 4);
        let main = format!("10.0.0.10-10.0.0.{}", 9 + count.min(100));
        self.server.commit(pool_object("main", &[main]), self.now);
        let interfaces: &[&str] = match shape.segments {
            1 => &[],
            _ => &["eth0"],
        };
        self.server
            .commit(advertisement("all", &[], interfaces), self.now);
        if shape.ipv6 {
            let six = pool_object("six", &["fc00::1:10-fc00::1:60".to_owned()]);
            self.server.commit(six, self.now);
        }
        for _ in 0..shape.services {
            let (service, slice) = self.draw_service(shape.ipv6);
            self.server
                .commit(Change::Service(Delta::Upsert(stored(service))), self.now);
            self.server.commit(slice, self.now);
        }
        for host in 0..shape.hosts {
            let mac = [2, 0xcc, 0, 0, 0, host as u8 + 1];
            let port = self.lan.plug(Port {
                end: End::Host(host),
                segment: 0,
                switch: self.random.below(2),
                mac,
            });
            let pace = self.random.millis(5, 20);
            let host = Host::new(host, port, mac, &mut self.random, pace);
            self.hosts.push(host);
        }
        for _ in 0..shape.replicas {
            self.replicas.push(Replica {
                process: None,
                skew_ms: self.random.range(0, 4000) as i64 - 2000,
            });
            self.server.watchers.push(Watcher::new(Controller::KINDS));
        }
    }

    fn plug_node(&mut self, index: usize, segments: usize) {
        let name = format!("n{index}");
        let mut interfaces = BTreeMap::new();
        let switch = self.random.below(2);
        for segment in 0..segments {
            let ifindex = segment as u32 + 2;
            let mac = [2, 0, segment as u8, 0, (index >> 8) as u8, index as u8];
            interfaces.insert(ifindex, interface(segment, mac));
            self.lan.plug(Port {
                end: End::Node {
                    node: index,
                    ifindex,
                },
                segment,
                switch,
                mac,
            });
        }
        self.server
            .commit(node_object(&name, Said::default()), self.now);
        self.server.commit(pod_object(index, &name), self.now);
        self.nodes.push(Node {
            name,
            powered: true,
            interfaces,
            process: None,
            wrong_key: false,
        });
        self.server
            .watchers
            .push(Watcher::new(engine::speaker::KINDS));
    }

    /// A Service as users make them, with its endpoints.
    pub(super) fn draw_service(&mut self, ipv6: bool) -> (Service, Change) {
        self.boots += 1;
        let number = self.boots;
        let name = format!("s{number}");
        let dual = ipv6 && self.random.chance(500);
        let mut service = Service {
            name: named("default", name.as_str()),
            uid: format!("uid-{number}"),
            created: Some(1_000 + number as i64),
            load_balancer: true,
            cluster_ips: vec![IpAddr::from([10, 96, (number >> 8) as u8, number as u8])],
            families: vec![Family::V4],
            ports: vec![ServicePort {
                name: "".into(),
                protocol: Protocol::Tcp,
                port: 1_000 + number as u16,
                node_port: None,
            }],
            ..Service::default()
        };
        if dual {
            service.cluster_ips.push(IpAddr::from([0xfd; 16]));
            service.families.push(Family::V6);
            service.family_policy = FamilyPolicy::PreferDualStack;
        }
        if self.settings.quiet.is_some() {
            // Every node may have every address.
        } else if self.random.chance(150) {
            service.external_policy = TrafficPolicy::Local;
        } else if self.random.chance(150) {
            let key = format!("key-{}", self.random.below(2));
            service
                .annotations
                .insert("metallb.io/allow-shared-ip".to_owned(), key);
            service.annotations.insert(
                "metallb.io/loadBalancerIPs".to_owned(),
                "10.0.0.12".to_owned(),
            );
        }
        let slice = self.draw_slice(&name);
        (service, slice)
    }

    pub(super) fn draw_slice(&mut self, service: &str) -> Change {
        let count = self.random.range(1, 4);
        let mut nodes = Vec::new();
        for _ in 0..count {
            let node = self.random.below(self.nodes.len());
            nodes.push(self.nodes[node].name.clone());
        }
        nodes.sort();
        nodes.dedup();
        slice(service, &nodes, true)
    }

    /// Everything starts, not quite at once.
    fn begin(&mut self, shape: &Shape) {
        for watcher in 0..shape.nodes + shape.replicas {
            let wait = self.random.millis(0, 600);
            self.after(wait, Event::Start { watcher });
        }
        for host in 0..shape.hosts {
            let wait = Duration::from_secs(3);
            self.after(wait, Event::Client { host });
        }
        self.after(Duration::from_millis(20), Event::Tick);
        if self.settings.quiet.is_none() {
            self.after(self.faults.first, Event::Fault);
        }
        self.services_changed();
        debug_assert_eq!(super::server::KINDS[SERVICES].as_str(), "Service");
    }

    /// In a line.
    pub(super) fn cast(&self) -> String {
        format!(
            "{} nodes, {} segments, {} controllers, {} Services, {} hosts, faults {:?}, loss {}, placement {:?}, linger {:?}",
            self.nodes.len(),
            self.lan.trunks.len(),
            self.replicas.len(),
            self.server.truth.services.len(),
            self.hosts.len(),
            self.faults.profile,
            self.lan.loss,
            self.placement,
            self.linger,
        )
    }
}

fn interface(segment: usize, mac: [u8; 6]) -> Interface {
    Interface {
        index: segment as u32 + 2,
        name: format!("eth{segment}"),
        mac: Some(mac),
        ethernet: true,
        up: true,
        carrier: true,
        broadcast: true,
        ipv6: true,
        ..Interface::default()
    }
}
