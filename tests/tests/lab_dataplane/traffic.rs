//! Real traffic: a client, a front and two nodes, each a namespace; the front holds an address of each family.
//!
//! ```text
//! client 192.0.2.100 -- 192.0.2.1 front 10.1.N.1 -- 10.1.N.2 node N, N = 0, 1
//!        2001:db8:2::100 -- ::1         fd00:N::1 -- fd00:N::2
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Config, Dataplane, Kernel};
use engine::forward::{ForwardTable, Front, FrontPort, Target, TargetSet, Traffic};
use engine::name::NamespacedName;
use engine::world::Protocol;
use tests::lab::client::{connect, http_get, udp_exchange};
use tests::lab::{self, Echo, Host, Web};

const SOON: Duration = Duration::from_secs(2);
const TCP_NODE_PORT: u16 = 30_080;
const UDP_NODE_PORT: u16 = 30_053;
const LONG_NODE_PORT: u16 = 30_090;

struct Site {
    client: Host,
    front: Host,
    nodes: Vec<Host>,
    _servers: Vec<(Web, Echo)>,
    plane: Dataplane<Kernel>,
    table: ForwardTable,
}

fn node(n: usize, v4: bool) -> IpAddr {
    let text = match v4 {
        true => format!("10.1.{n}.2"),
        false => format!("fd00:{n}::2"),
    };
    text.parse().expect("an address")
}

/// The Service's addresses.
fn held() -> [IpAddr; 2] {
    ["198.51.100.10", "2001:db8:ffff::10"].map(|a| a.parse().expect("an address"))
}

fn targets(up: [bool; 2], v4: bool) -> Arc<TargetSet> {
    let target = |n: usize| Target {
        node: format!("node-{n}"),
        address: node(n, v4),
        up: up[n],
        weight: 1,
        local: false,
    };
    Arc::new(TargetSet {
        targets: vec![target(0), target(1)],
        by_source: false,
    })
}

/// Echoes what it is told on each connection, till it is closed.
fn long_lived(host: &Host, address: SocketAddr) {
    let listener = host.run(|| TcpListener::bind(address)).expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut octets = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut octets) {
                    if stream.write_all(&octets[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

impl Site {
    fn new(kernel: impl FnOnce() -> Kernel + Send) -> Self {
        let client = Host::new("client").expect("a host");
        let front = Host::new("front").expect("a host");
        front.forwarding(true).expect("forwarding");
        client.add_veth_to("eth0", &front, "eth0").expect("a link");
        for (host, addresses) in [
            (&client, ["192.0.2.100/24", "2001:db8:2::100/64"]),
            (&front, ["192.0.2.1/24", "2001:db8:2::1/64"]),
        ] {
            for address in addresses {
                host.add_address("eth0", address).expect("an address");
            }
            host.link_up("eth0").expect("up");
        }
        client
            .add_route("198.51.100.0/24", "192.0.2.1")
            .expect("a route");
        client
            .add_route("2001:db8:ffff::/64", "2001:db8:2::1")
            .expect("a route");
        let mut nodes = Vec::new();
        let mut servers = Vec::new();
        for n in 0..2 {
            let host = Host::new(&format!("node-{n}")).expect("a host");
            let link = format!("eth{}", n + 1);
            front.add_veth_to(&link, &host, "eth0").expect("a link");
            for family in ["10.1.N.1/24", "fd00:N::1/64"] {
                let address = family.replace('N', &n.to_string());
                front.add_address(&link, &address).expect("an address");
                let far = address
                    .replacen(".1/", ".2/", 1)
                    .replacen("::1/", "::2/", 1);
                host.add_address("eth0", &far).expect("an address");
            }
            front.link_up(&link).expect("up");
            host.link_up("eth0").expect("up");
            for v4 in [true, false] {
                let at = |port| SocketAddr::new(node(n, v4), port);
                let start = || {
                    let web = Web::start(&host, at(TCP_NODE_PORT)).ok()?;
                    Some((web, Echo::start(&host, at(UDP_NODE_PORT)).ok()?))
                };
                servers.push(lab::eventually(SOON, "servers", start));
                long_lived(&host, at(LONG_NODE_PORT));
            }
            nodes.push(host);
        }
        let kernel = front.run(kernel);
        let plane = Dataplane::new(kernel, Config::default(), Instant::now()).expect("empty");
        let mut site = Self {
            client,
            front,
            nodes,
            _servers: servers,
            plane,
            table: ForwardTable {
                icmp_echo: true,
                ..ForwardTable::default()
            },
        };
        site.send_to([true, true]);
        site
    }

    /// Both addresses lead to the nodes that are up.
    fn send_to(&mut self, up: [bool; 2]) {
        for address in held() {
            let set = targets(up, address.is_ipv4());
            for (protocol, port, node_port) in [
                (Protocol::Tcp, 80, TCP_NODE_PORT),
                (Protocol::Udp, 53, UDP_NODE_PORT),
                (Protocol::Tcp, 90, LONG_NODE_PORT),
            ] {
                let front = Front {
                    address,
                    protocol,
                    port,
                };
                let entry = FrontPort {
                    service: NamespacedName::new("default", "web"),
                    traffic: Traffic::Front,
                    node_port: Some(node_port),
                    targets: Some(Arc::clone(&set)),
                    source_ranges: Vec::new(),
                };
                self.table.ports.insert(front, entry);
            }
        }
        self.apply();
    }

    fn apply(&mut self) {
        let table = Arc::new(self.table.clone());
        self.plane.apply(table, Instant::now()).expect("applied");
    }

    /// How many of `count` new connections each node took, and the source it saw.
    fn spread(&self, address: IpAddr, count: usize) -> BTreeMap<(String, IpAddr), usize> {
        let mut spread = BTreeMap::new();
        for _ in 0..count {
            let answer =
                http_get(&self.client, SocketAddr::new(address, 80), SOON).expect("answered");
            let (node, peer) = answer.trim().split_once(' ').expect("two words");
            let peer = peer.parse().expect("an address");
            *spread.entry((node.to_owned(), peer)).or_default() += 1;
        }
        spread
    }

    fn run(&self, host: &Host, words: &[&str]) {
        let mut command = Command::new(words[0]);
        let done = host
            .run(|| command.args(&words[1..]).output())
            .expect("it runs");
        assert!(done.status.success(), "{words:?}: {done:?}");
    }

    /// One echo request; the answer's source must be the address, or the connected socket does not hear it.
    /// One echo request under an identifier of its own: under a former one it would belong to a tracked flow.
    fn ping(&self, address: IpAddr, identifier: u16) -> bool {
        use socket2::{Domain, Protocol, Socket, Type};
        let (domain, protocol, kind) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
        };
        let socket = self
            .client
            .run(|| Socket::new(domain, Type::RAW, Some(protocol)));
        let socket = socket.expect("a raw socket");
        socket
            .connect(&SocketAddr::new(address, 0).into())
            .expect("connected");
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a time-out");
        let [high, low] = identifier.to_be_bytes();
        let mut request = vec![kind, 0, 0, 0, high, low, 0, 1];
        if kind == 8 {
            // The sum that makes the whole all ones.
            let sum = !(0x0800u16 + identifier + 0x0001);
            request[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        socket.send(&request).expect("sent");
        let mut answer = [0; 128];
        let at = if kind == 8 { 20 } else { 0 };
        // Echo replies; another message from there is none.
        (&socket)
            .read(&mut answer)
            .is_ok_and(|n| n > at && matches!(answer[at], 0 | 129))
    }
}

fn kernel() -> Kernel {
    Kernel::open().expect("nf_tables")
}

#[test]
fn connections_reach_healthy_nodes_in_the_computed_share_and_the_dead_get_none() {
    if !lab::ready() {
        return;
    }
    let mut site = Site::new(kernel);
    for address in held() {
        let v4 = address.is_ipv4();
        assert_eq!(
            dataplane::shares(&targets([true, true], v4))
                .into_values()
                .collect::<Vec<_>>(),
            [128, 128]
        );
        let spread = site.spread(address, 200);
        println!("{address}: {spread:?}");
        assert_eq!(spread.len(), 2, "both nodes, and one source each");
        for ((name, source), count) in &spread {
            // Half of 200, five deviations of 7.
            assert!((65..=135).contains(count), "{name}: {count}");
            let n = usize::from(name == "node-1");
            let front = node(n, v4)
                .to_string()
                .replacen(".2", ".1", 1)
                .replacen("::2", "::1", 1);
            let front = if v4 { format!("10.1.{n}.1") } else { front };
            assert_eq!(source.to_string(), front, "the front's own address");
        }
        let answer = udp_exchange(&site.client, SocketAddr::new(address, 53), b"hello", SOON);
        assert!(answer.expect("answered").ends_with(b" hello"));
    }
    let counted = site.plane.traffic().expect("counted");
    assert_eq!(counted.sets.iter().map(|(_, _, n)| n).sum::<u64>(), 402);
    site.send_to([false, true]);
    for address in held() {
        let nodes: BTreeSet<String> = site
            .spread(address, 40)
            .into_keys()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(nodes, BTreeSet::from(["node-1".to_owned()]));
    }
    site.send_to([false, false]);
    for address in held() {
        let refused = connect(&site.client, SocketAddr::new(address, 80), SOON);
        let kind = refused.expect_err("nobody is up").kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
    }
    site.send_to([true, true]);
    assert_eq!(site.spread(held()[0], 40).len(), 2);
}

#[test]
fn the_address_answers_pings_and_only_its_ports_are_open() {
    if !lab::ready() {
        return;
    }
    let mut site = Site::new(kernel);
    for address in held() {
        // The first may be lost while neighbours look for each other.
        let mut identifiers = 1..=100;
        lab::eventually(SOON, "an echo reply", || {
            site.ping(address, identifiers.next()?).then_some(())
        });
        for port in [1, 22, 79, 81, 443, 30_080, 65_535] {
            let refused = connect(&site.client, SocketAddr::new(address, port), SOON);
            let kind = refused.expect_err("closed").kind();
            assert_eq!(kind, std::io::ErrorKind::ConnectionRefused, "port {port}");
        }
        let begun = Instant::now();
        let refused = udp_exchange(&site.client, SocketAddr::new(address, 80), b"x", SOON);
        let kind = refused.expect_err("closed").kind();
        assert_eq!(
            kind,
            std::io::ErrorKind::ConnectionRefused,
            "an ICMP error, not silence"
        );
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    site.table.icmp_echo = false;
    site.table
        .closed
        .insert("198.51.100.11".parse().expect("an address"));
    site.apply();
    assert!(
        !site.ping(held()[0], 1_000) && !site.ping(held()[1], 1_000),
        "not wanted, not answered"
    );
    let closed = "198.51.100.11:80".parse().expect("an address");
    let refused = connect(&site.client, closed, SOON).expect_err("no port at all");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn source_ranges_hold_and_source_addresses_are_used() {
    if !lab::ready() {
        return;
    }
    let mut site = Site::new(kernel);
    let ranges = |site: &mut Site, ranges: [&str; 2]| {
        for (front, port) in &mut site.table.ports {
            let range = ranges[usize::from(front.address.is_ipv6())];
            port.source_ranges = vec![range.parse().expect("a range")];
        }
        site.apply();
    };
    let short = Duration::from_millis(300);
    ranges(&mut site, ["192.0.2.0/25", "2001:db8:2::/64"]);
    for address in held() {
        connect(&site.client, SocketAddr::new(address, 80), SOON).expect("inside");
    }
    ranges(&mut site, ["192.0.2.128/25", "2001:db8:3::/64"]);
    for address in held() {
        connect(&site.client, SocketAddr::new(address, 80), short).expect_err("outside");
    }
    for port in site.table.ports.values_mut() {
        port.source_ranges.clear();
    }
    let sources = [
        "192.0.2.201",
        "192.0.2.202",
        "2001:db8:2::201",
        "2001:db8:2::202",
    ];
    for source in sources {
        let length = if source.contains(':') { 64 } else { 24 };
        site.front
            .add_address("eth0", &format!("{source}/{length}"))
            .expect("an address");
    }
    for node in &site.nodes {
        node.add_route("192.0.2.0/24", &node_gateway(node, true))
            .expect("a route");
        node.add_route("2001:db8:2::/64", &node_gateway(node, false))
            .expect("a route");
    }
    site.table.source_addresses = sources.map(|a| a.parse().expect("an address")).into();
    site.apply();
    for address in held() {
        let seen: BTreeSet<IpAddr> = site
            .spread(address, 40)
            .into_keys()
            .map(|(_, s)| s)
            .collect();
        let wanted = site
            .table
            .source_addresses
            .iter()
            .filter(|a| a.is_ipv4() == address.is_ipv4());
        assert_eq!(seen, wanted.copied().collect());
    }
}

/// The front, seen from a node.
fn node_gateway(host: &Host, v4: bool) -> String {
    let n = host.name().trim_start_matches("node-");
    match v4 {
        true => format!("10.1.{n}.1"),
        false => format!("fd00:{n}::1"),
    }
}

fn talk(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"still here")?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)
}

fn talkers(site: &Site) -> Vec<TcpStream> {
    let to = (0..20).map(|n| SocketAddr::new(held()[n % 2], 90));
    to.map(|to| {
        let mut stream = connect(&site.client, to, SOON).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("a time-out");
        talk(&mut stream).expect("answered");
        stream
    })
    .collect()
}

#[test]
fn open_connections_live_through_lost_tracking_foreign_flushes_and_our_own_death() {
    if !lab::ready() {
        return;
    }
    for open in [Kernel::open, Kernel::open_shared] {
        let mut site = Site::new(|| open().expect("nf_tables"));
        let mut streams = talkers(&site);
        let mut alive = |what: &str| {
            let lost = streams.iter_mut().filter_map(|s| talk(s).err()).count();
            assert_eq!(lost, 0, "of 20 after {what}");
        };
        site.run(&site.front, &["conntrack", "-F"]);
        alive("conntrack -F");
        site.run(&site.front, &["nft", "flush", "ruleset"]);
        site.plane.handle_events(Instant::now()).expect("repaired");
        alive("nft flush ruleset");
        site.run(&site.front, &["conntrack", "-F"]);
        alive("both");
        let now = Instant::now();
        let next = site.front.run(|| open().expect("nf_tables"));
        // The owner must be gone before another may claim; a table without owner stays all the same.
        let (table, front) = (Arc::new(site.table.clone()), site.front.clone());
        let Site {
            client,
            nodes,
            _servers,
            plane,
            ..
        } = site;
        drop(plane);
        alive("the death of the process");
        drop(next);
        let kernel = front.run(|| open().expect("nf_tables"));
        let mut plane = Dataplane::new(kernel, Config::default(), now).expect("adopted");
        let applied = plane.apply(table, now).expect("applied");
        assert_eq!(applied.changes, 0, "adopted as it was");
        alive("its return");
        plane.remove(now).expect("removed");
        drop((client, nodes, _servers));
    }
}

#[test]
fn the_flows_of_a_dead_node_are_forgotten_and_those_of_others_are_not() {
    if !lab::ready() {
        return;
    }
    let mut site = Site::new(kernel);
    let streams = talkers(&site);
    let mut counts = Vec::new();
    for n in 0..2 {
        counts.push(
            site.plane
                .flows(node(n, true))
                .expect("counted")
                .expect("a mark"),
        );
    }
    println!("flows by node: {counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), 10, "all of IPv4 are marked");
    assert!(counts[0] > 0, "some to the node that dies");
    site.table.dead = BTreeSet::from([node(0, true), node(0, false)]);
    site.send_to([false, true]);
    let left = site.plane.flows(node(0, true)).expect("counted");
    assert_eq!(left, Some(0), "of the dead");
    let left = site.plane.flows(node(1, true)).expect("counted");
    assert_eq!(left, Some(counts[1]), "of the living");
    let usage = site
        .front
        .run(|| linux::conntrack::Conntrack::open()?.usage())
        .expect("read");
    assert!(usage.entries > 0, "{usage:?}");
    drop(streams);
}

#[test]
fn a_machine_outside_the_cluster_reaches_its_own_addresses() {
    if !lab::ready() {
        return;
    }
    let mut site = Site::new(kernel);
    site.front
        .add_route("198.51.100.0/24", "192.0.2.100")
        .expect("a route out");
    site.table.own_connections = true;
    site.apply();
    let to = SocketAddr::new(held()[0], 80);
    let answer = http_get(&site.front, to, SOON).expect("answered");
    assert!(answer.starts_with("node-"), "{answer}");
    let closed = connect(&site.front, SocketAddr::new(held()[0], 81), SOON);
    assert_eq!(
        closed.expect_err("closed").kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[test]
fn packets_from_other_interfaces_than_the_clients_are_left_alone() {
    if !lab::ready() {
        return;
    }
    let mut site = Site::new(kernel);
    site.table.interfaces = BTreeSet::from(["eth1".to_owned()]);
    site.apply();
    let short = Duration::from_millis(300);
    let to = SocketAddr::new(held()[0], 80);
    connect(&site.client, to, short).expect_err("dropped where it would be forwarded");
    site.table.interfaces = BTreeSet::from(["eth0".to_owned()]);
    site.apply();
    connect(&site.client, to, SOON).expect("the clients' interface");
}
