//! Who takes the packets of which Service, and whom a front sends to: tables.

use super::*;
use crate::elect::tests::build;
use crate::elect::{ElectOptions, Elector};
use crate::health::{Cause, HealthView, NodeHealth, State};
use crate::problem::{Problem, Severity, reason};
use crate::world::{
    Change, Delta, Endpoint, EndpointSlice, Family, Node, Origin, Service, ServicePort, Stored,
    TrafficPolicy, World,
};

const OUTSIDE: ForwardOptions = ForwardOptions {
    outside: true,
    traffic: None,
    guard: false,
};
const INSIDE: ForwardOptions = ForwardOptions {
    outside: false,
    traffic: None,
    guard: false,
};

fn stored<T>(object: T) -> Stored<T> {
    Stored {
        object: Arc::new(object),
        origin: Origin::default(),
    }
}

fn node(name: &str, ips: &[&str]) -> Node {
    Node {
        internal_ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ..build::node(name, "")
    }
}

fn port(port: u16, node_port: Option<u16>) -> ServicePort {
    ServicePort {
        name: "".into(),
        protocol: Protocol::Tcp,
        port,
        node_port,
    }
}

fn web() -> Service {
    Service {
        ports: vec![port(80, Some(30080))],
        ..build::service("web", &["192.0.2.200"])
    }
}

fn annotated(service: Service, key: &str, value: &str) -> Service {
    let mut annotations = service.annotations.clone();
    annotations.insert(format!("harbinger.dev/{key}"), value.to_owned());
    Service {
        annotations,
        ..service
    }
}

fn local() -> Service {
    Service {
        external_policy: TrafficPolicy::Local,
        ..web()
    }
}

fn affine() -> Service {
    Service {
        affinity_secs: Some(10_800),
        ..web()
    }
}

fn three() -> Vec<Node> {
    vec![
        node("a", &["10.0.0.1", "fd00::1"]),
        node("b", &["10.0.0.2", "fd00::2"]),
        node("c", &["10.0.0.3", "fd00::3"]),
    ]
}

/// A slice with an endpoint for each node named; `-` is one without a node, `~n` ends and still serves.
fn slice(service: &str, endpoints: &[&str]) -> EndpointSlice {
    let endpoint = |text: &&str| Endpoint {
        ready: Some(!text.starts_with('~')),
        serving: Some(true),
        node: Some(text.trim_start_matches('~').into()).filter(|node| node != "-"),
    };
    EndpointSlice {
        name: NamespacedName::new("default", service),
        service: service.into(),
        endpoints: endpoints.iter().map(endpoint).collect(),
    }
}

struct Cluster {
    node: &'static str,
    options: ForwardOptions,
    nodes: Vec<Node>,
    services: Vec<Service>,
    slices: Vec<EndpointSlice>,
    own_addresses: BTreeSet<IpAddr>,
}

fn cluster(options: ForwardOptions, services: Vec<Service>) -> Cluster {
    Cluster {
        node: if options.outside { "edge" } else { "a" },
        options,
        nodes: three(),
        services,
        slices: Vec::new(),
        own_addresses: BTreeSet::new(),
    }
}

impl Cluster {
    fn decided(self) -> Decided {
        let mut world = World::default();
        let mut addresses = BTreeSet::new();
        for node in self.nodes {
            world.apply(Change::Node(Delta::Upsert(stored(node))));
        }
        for service in self.services {
            addresses.extend(service.addresses());
            world.apply(Change::Service(Delta::Upsert(stored(service))));
        }
        for slice in self.slices {
            world.apply(Change::EndpointSlice(Delta::Upsert(stored(slice))));
        }
        let mut elector = Elector::new(ElectOptions {
            outside: self.options.outside.then(|| self.node.to_owned()),
            ..ElectOptions::default()
        });
        elector.update(&world);
        decide(&Asked {
            node: self.node,
            options: self.options,
            world: &world,
            elector: &elector,
            health: &HealthView::default(),
            addresses: &addresses,
            interfaces: &BTreeSet::from(["eth0".to_owned()]),
            own_addresses: &self.own_addresses,
        })
    }
}

fn only(decided: &Decided) -> &FrontPort {
    let mut ports = decided.table.ports.values();
    let only = ports.next().expect("a port");
    assert!(ports.next().is_none(), "{:?}", decided.table.ports);
    only
}

/// `a b! c-`: up, up and local, down.
fn shown(port: &FrontPort) -> String {
    let targets = &port.targets.as_ref().expect("a front").targets;
    let word = |t: &Target| {
        let local = if t.local { "!" } else { "" };
        let down = if t.up { "" } else { "-" };
        format!("{}{local}{down}", t.node)
    };
    targets.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn reasons(problems: &[Problem]) -> Vec<(&'static str, Severity)> {
    problems.iter().map(|p| (p.reason, p.severity)).collect()
}

#[test]
fn who_takes_the_packets_depends_on_where_the_announcer_stands() {
    use Traffic::{Front, Node};
    let forced = ForwardOptions {
        traffic: Some(Front),
        ..INSIDE
    };
    let table = [
        ("a plain Service inside", INSIDE, web(), Node, vec![]),
        ("outside", OUTSIDE, web(), Front, vec![]),
        (
            "asked by annotation",
            INSIDE,
            annotated(web(), "traffic", "front"),
            Front,
            vec![],
        ),
        ("the cluster's default", forced, web(), Front, vec![]),
        (
            "against the default",
            forced,
            annotated(web(), "traffic", "node"),
            Node,
            vec![],
        ),
        ("affinity keeps the client", forced, affine(), Node, vec![]),
        ("Local keeps the client", forced, local(), Node, vec![]),
        (
            "affinity outside",
            OUTSIDE,
            affine(),
            Front,
            vec![(reason::AFFINITY_IN_FRONT, Severity::Warning)],
        ),
        (
            "Local outside",
            OUTSIDE,
            local(),
            Front,
            vec![(reason::CLIENT_ADDRESS_LOST, Severity::Note)],
        ),
        (
            "affinity forced in front",
            INSIDE,
            annotated(affine(), "traffic", "front"),
            Front,
            vec![(reason::AFFINITY_IN_FRONT, Severity::Warning)],
        ),
        (
            "nobody else is there outside",
            OUTSIDE,
            annotated(web(), "traffic", "node"),
            Front,
            vec![(reason::NO_NODE_MODE, Severity::Warning)],
        ),
        (
            "a word that is none",
            INSIDE,
            annotated(web(), "traffic", "both"),
            Node,
            vec![(reason::INVALID_ANNOTATION, Severity::Warning)],
        ),
        (
            "a percentage that is none",
            OUTSIDE,
            annotated(web(), "panicThreshold", "101"),
            Front,
            vec![(reason::INVALID_ANNOTATION, Severity::Warning)],
        ),
    ];
    for (what, options, service, traffic, told) in table {
        assert_eq!(policy(&service, None, options).traffic, traffic, "{what}");
        let problems = cluster(options, vec![service]).decided().problems;
        assert_eq!(reasons(&problems), told, "{what}");
    }
}

#[test]
fn a_front_sends_to_the_node_port_of_every_node() {
    let decided = cluster(OUTSIDE, vec![web()]).decided();
    let port = only(&decided);
    assert_eq!(port.node_port, Some(30080));
    assert_eq!(shown(port), "a b c");
    let table = &decided.table;
    assert!(table.own_connections && table.interfaces.is_empty() && table.icmp_echo);
    assert!(decided.problems.is_empty(), "{:?}", decided.problems);
}

#[test]
fn inside_the_own_share_is_left_to_kube_proxy_and_pods_are_left_alone() {
    let service = annotated(web(), "traffic", "front");
    let decided = cluster(INSIDE, vec![service]).decided();
    assert_eq!(shown(only(&decided)), "a! b c");
    assert!(!decided.table.own_connections);
    assert!(decided.table.interfaces.contains("eth0"));
}

#[test]
fn where_nothing_is_fronted_the_table_is_empty() {
    let decided = cluster(INSIDE, vec![web(), local()]).decided();
    assert_eq!(decided.table, ForwardTable::default());
}

#[test]
fn the_guard_knows_the_ports_of_node_mode_too() {
    let guarded = ForwardOptions {
        guard: true,
        ..INSIDE
    };
    let decided = cluster(guarded, vec![web()]).decided();
    let port = only(&decided);
    assert_eq!((port.traffic, port.node_port), (Traffic::Node, None));
    assert!(port.targets.is_none());
}

#[test]
fn services_on_one_address_keep_their_ports_apart() {
    let https = annotated(
        Service {
            ports: vec![port(443, Some(30443))],
            ..build::sharing("https", &["192.0.2.200"], 443)
        },
        "traffic",
        "front",
    );
    let http = build::sharing("http", &["192.0.2.200"], 80);
    let decided = cluster(INSIDE, vec![http, https]).decided();
    let ports = decided.table.ports.iter();
    let ports: Vec<_> = ports.map(|(f, p)| (f.port, p.traffic)).collect();
    assert_eq!(ports, [(80, Traffic::Node), (443, Traffic::Front)]);
}

#[test]
fn each_family_goes_to_the_addresses_of_its_own() {
    let both = Service {
        ports: vec![port(80, Some(30080))],
        ..build::service("web", &["192.0.2.200", "2001:db8::200"])
    };
    let mut cluster = cluster(OUTSIDE, vec![both]);
    cluster.nodes[2].internal_ips.truncate(1);
    let decided = cluster.decided();
    let all = decided.table.ports.iter();
    let all: Vec<_> = all
        .map(|(front, port)| (front.address.is_ipv4(), shown(port)))
        .collect();
    assert_eq!(all, [(true, "a b c".into()), (false, "a b".into())]);
    assert_eq!(
        reasons(&decided.problems),
        [(reason::NO_INTERNAL_IP, Severity::Note)]
    );
    assert!(decided.problems[0].message.contains("\"c\""));
}

#[test]
fn services_with_equal_targets_share_them() {
    let other = Service {
        ports: vec![port(80, Some(30081))],
        ..build::service("other", &["192.0.2.201"])
    };
    let decided = cluster(OUTSIDE, vec![web(), other]).decided();
    let sets = decided.table.ports.values();
    let sets: Vec<_> = sets.map(|p| p.targets.as_ref().unwrap()).collect();
    assert!(Arc::ptr_eq(sets[0], sets[1]));
}

#[test]
fn affinity_chooses_the_node_by_the_source_alone() {
    let decided = cluster(OUTSIDE, vec![affine()]).decided();
    assert!(only(&decided).targets.as_ref().unwrap().by_source);
}

#[test]
fn nodes_that_go_or_are_excluded_get_nothing() {
    type Edit = fn(&mut Node);
    let table: [(&str, Edit); 4] = [
        ("deleted", |node| node.deleting = true),
        ("emptied by the autoscaler", |node| {
            node.to_be_deleted = true
        }),
        ("out of service", |node| node.out_of_service = true),
        ("excluded", |node| {
            let label = "node.kubernetes.io/exclude-from-external-load-balancers";
            node.labels.insert(label.to_owned(), String::new());
        }),
    ];
    for (what, edit) in table {
        let mut cluster = cluster(OUTSIDE, vec![web()]);
        edit(&mut cluster.nodes[1]);
        assert_eq!(shown(only(&cluster.decided())), "a c", "{what}");
    }
}

#[test]
fn policy_local_goes_to_nodes_with_endpoints_only() {
    let table: [(&str, &[&str], &str); 5] = [
        ("one", &["b"], "b"),
        ("two, one twice", &["c", "a", "c"], "a c"),
        ("ready before ending", &["~a", "b"], "b"),
        ("ending where none is ready", &["~a", "~c"], "a c"),
        ("without a node: every one", &["a", "-"], "a b c"),
    ];
    for (what, endpoints, expected) in table {
        let mut cluster = cluster(OUTSIDE, vec![local()]);
        cluster.slices = vec![slice("web", endpoints)];
        assert_eq!(shown(only(&cluster.decided())), expected, "{what}");
    }
}

#[test]
fn a_port_without_node_port_is_refused_and_told() {
    let mut service = web();
    service.ports.push(port(81, None));
    let decided = cluster(OUTSIDE, vec![service]).decided();
    let of: Vec<_> = decided.table.ports.values().map(|p| p.node_port).collect();
    assert_eq!(of, [Some(30080), None]);
    assert_eq!(
        reasons(&decided.problems),
        [(reason::NO_NODE_PORT, Severity::Warning)]
    );
    assert!(decided.problems[0].message.contains("81/TCP"));
}

#[test]
fn without_node_ports_the_own_kube_proxy_serves_inside() {
    let service = Service {
        no_node_ports: true,
        ports: vec![port(80, None)],
        ..annotated(web(), "traffic", "front")
    };
    let decided = cluster(INSIDE, vec![service]).decided();
    assert_eq!(decided.table, ForwardTable::default());
    assert_eq!(
        reasons(&decided.problems),
        [(reason::NO_NODE_PORT, Severity::Note)]
    );
}

#[test]
fn source_ranges_are_read_and_a_bad_one_opens_nothing() {
    let ranged = |ranges: &[&str]| Service {
        source_ranges: ranges.iter().map(|r| (*r).to_owned()).collect(),
        ..web()
    };
    let table: [(&[&str], &[&str], usize); 4] = [
        (&[], &[], 0),
        (
            &["10.0.0.0/8", " 2001:db8::/32 "],
            &["10.0.0.0/8", "2001:db8::/32"],
            0,
        ),
        (&["10.0.0.0/8", "ten"], &["10.0.0.0/8"], 1),
        (&["ten"], &["255.255.255.255/32"], 1),
    ];
    for (written, read, told) in table {
        let decided = cluster(OUTSIDE, vec![ranged(written)]).decided();
        let ranges = &only(&decided).source_ranges;
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, read, "{written:?}");
        assert_eq!(decided.problems.len(), told, "{written:?}");
    }
}

#[test]
fn an_address_of_an_interface_is_told() {
    let mut cluster = cluster(OUTSIDE, vec![web()]);
    cluster.own_addresses = BTreeSet::from(["192.0.2.200".parse().unwrap()]);
    let problems = cluster.decided().problems;
    assert_eq!(
        reasons(&problems),
        [(reason::VIP_ON_INTERFACE, Severity::Warning)]
    );
}

/// Every node silent since the same moment, but those named.
fn health(up: &[&str]) -> HealthView {
    let since = crate::speaker::tests::lan::base();
    let mut view = HealthView {
        settled: true,
        ..HealthView::default()
    };
    for node in three() {
        let name = node.name.name.to_string();
        let usable = up.contains(&name.as_str());
        let shown = |ip: &IpAddr| NodeHealth {
            address: *ip,
            state: if usable {
                State::Healthy
            } else {
                State::Unhealthy
            },
            cause: if usable { Cause::None } else { Cause::Path },
            since,
            last_healthy: Some(since),
            rung: None,
            reason: Arc::from(""),
            weight: 100,
            confirmed_dead: false,
        };
        let families = node
            .internal_ips
            .iter()
            .map(|ip| (Family::of(*ip), shown(ip)));
        view.nodes.insert(name, Arc::new(families.collect()));
    }
    view
}

fn withdrawn_of(options: ForwardOptions, services: &[Service], view: &HealthView) -> Vec<String> {
    let mut world = World::default();
    for node in three() {
        world.apply(Change::Node(Delta::Upsert(stored(node))));
    }
    for service in services {
        world.apply(Change::Service(Delta::Upsert(stored(service.clone()))));
    }
    let mut elector = Elector::new(ElectOptions {
        outside: options.outside.then(|| "edge".to_owned()),
        ..ElectOptions::default()
    });
    elector.update(&world);
    let withdrawn = withdrawn(&Asked {
        node: "edge",
        options,
        world: &world,
        elector: &elector,
        health: view,
        addresses: &BTreeSet::new(),
        interfaces: &BTreeSet::new(),
        own_addresses: &BTreeSet::new(),
    });
    withdrawn.iter().map(ToString::to_string).collect()
}

#[test]
fn withdraw_takes_the_address_back_while_too_few_are_healthy_whoever_holds_it() {
    let asks = annotated(web(), "panic", "withdraw");
    let of = |services: &[Service], up: &[&str]| withdrawn_of(OUTSIDE, services, &health(up));
    assert_eq!(of(std::slice::from_ref(&asks), &[]), ["192.0.2.200"]);
    assert!(of(std::slice::from_ref(&asks), &["b"]).is_empty());
    assert!(of(&[web()], &[]).is_empty(), "only who asks for it");
    let half = annotated(asks.clone(), "panicThreshold", "50");
    assert_eq!(of(std::slice::from_ref(&half), &["b"]), ["192.0.2.200"]);
    assert!(of(&[half], &["b", "c"]).is_empty());
    // Nothing is known, nothing is fronted, or another one on the address wants to stay.
    assert!(withdrawn_of(OUTSIDE, std::slice::from_ref(&asks), &HealthView::default()).is_empty());
    assert!(withdrawn_of(INSIDE, std::slice::from_ref(&asks), &health(&[])).is_empty());
    let shares = |name: &str, number: u16| Service {
        ports: vec![port(number, Some(30000 + number))],
        ..build::sharing(name, &["192.0.2.200"], number)
    };
    let stays = shares("stays", 81);
    let goes = annotated(shares("goes", 82), "panic", "withdraw");
    assert!(of(&[goes.clone(), stays], &[]).is_empty());
    assert_eq!(of(&[goes], &[]), ["192.0.2.200"]);
}
