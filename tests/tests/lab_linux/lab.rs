//! The lab itself, and what of the `linux` crate needs no frame: reports of closed ports, facts of the host.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use linux::probe;
use linux::udp::MemberSocket;
use tests::lab::{self, Echo, Host, Lan, LanOptions, Topology, Web, client, nft};
use tokio::time::timeout;

use crate::kit::{SOON, cable};

#[test]
fn a_closed_port_on_another_host_is_reported() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    for (near, far) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        let prefix = if near.contains(':') { 64 } else { 24 };
        a.add_address("eth0", &format!("{near}/{prefix}")).unwrap();
        b.add_address("eth0", &format!("{far}/{prefix}")).unwrap();
        let near: IpAddr = near.parse().unwrap();
        let far: IpAddr = far.parse().unwrap();
        a.block_on(async || {
            let socket = MemberSocket::bind(SocketAddr::new(near, 7946)).unwrap();
            let closed = SocketAddr::new(far, 7946);
            let began = Instant::now();
            socket.send_to(b"ping", closed).unwrap();
            let report = loop {
                timeout(SOON, socket.readable()).await.unwrap().unwrap();
                if let Some(report) = socket.unreachable().unwrap() {
                    break report;
                }
            };
            println!("port unreachable after {:?}", began.elapsed());
            assert_eq!((report.peer, report.reporter), (closed, Some(far)));
            assert!(report.port);
        });
    }
}

#[test]
fn host_facts_are_those_of_the_namespace() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    b.run(|| {
        let capabilities = probe::capabilities().unwrap();
        assert!(capabilities.net_raw() && capabilities.net_admin());
        probe::packet_socket().unwrap();
        assert!(!probe::ipvs_interface());
        assert_eq!(
            probe::interface_sysctl("eth0", "arp_ignore").unwrap(),
            Some(0)
        );
        b.sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
        assert_eq!(
            probe::interface_sysctl("eth0", "arp_ignore").unwrap(),
            Some(1)
        );
        assert_eq!(probe::nf_tables().unwrap(), probe::NfTables::Available);
        let at: SocketAddr = "0.0.0.0:7946".parse().unwrap();
        let held = std::net::UdpSocket::bind(at).unwrap();
        assert_eq!(
            probe::port(probe::Transport::Udp, at).unwrap(),
            probe::Port::InUse
        );
        drop(held);
        assert_eq!(
            probe::port(probe::Transport::Udp, at).unwrap(),
            probe::Port::Free
        );
    });
    // L2-48: the interface of kube-proxy's IPVS mode; any device of that name will do.
    b.add_veth("kube-ipvs0", "other").unwrap();
    assert!(b.run(probe::ipvs_interface));
}

#[test]
fn a_lab_of_three_nodes_is_made_in_a_moment_and_talks() {
    if !lab::ready() {
        return;
    }
    let began = Instant::now();
    let lab = Topology::new(3, LanOptions::default()).unwrap();
    println!("three nodes and a client in {:?}", began.elapsed());
    for (n, node) in lab.nodes.iter().enumerate() {
        for ip in [Topology::node_ipv4(n), Topology::node_ipv6(n)] {
            let at = SocketAddr::new(ip.parse().unwrap(), 8080);
            let web = Web::start(node, at).unwrap();
            let _echo = Echo::start(node, at).unwrap();
            let answer = client::http_get(&lab.client, web.address(), SOON).unwrap();
            assert!(answer.starts_with(&format!("node-{n} ")), "{answer}");
            let back = client::udp_exchange(&lab.client, at, b"x", SOON).unwrap();
            assert_eq!(back, format!("node-{n} x").as_bytes());
        }
    }
    // A cut cable, with and without the host's knowledge.
    let at: SocketAddr = "192.0.2.11:8080".parse().unwrap();
    let _web = Web::start(&lab.nodes[0], at).unwrap();
    let short = Duration::from_millis(200);
    lab.ports[0].mute().unwrap();
    assert!(lab.nodes[0].link("eth0").unwrap().carrier);
    assert!(client::http_get(&lab.client, at, short).is_err());
    lab.ports[0].unmute().unwrap();
    client::http_get(&lab.client, at, SOON).unwrap();
    lab.ports[0].cut().unwrap();
    assert!(!lab.nodes[0].link("eth0").unwrap().carrier);
}

#[test]
fn a_rule_of_the_lab_leads_from_a_service_to_its_back_end() {
    if !lab::ready() {
        return;
    }
    let lab = Topology::new(2, LanOptions::default()).unwrap();
    for (vip, own, far) in [
        (
            "192.0.2.200",
            Topology::node_ipv4(0),
            Topology::node_ipv4(1),
        ),
        (
            "2001:db8:2::200",
            Topology::node_ipv6(0),
            Topology::node_ipv6(1),
        ),
    ] {
        let address = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
        let vip_at = address(vip, 80);
        let local = Web::start(&lab.nodes[0], address(&own, 8080)).unwrap();
        let remote = Web::start(&lab.nodes[1], address(&far, 8080)).unwrap();
        let echo = Echo::start(&lab.nodes[1], address(&far, 5353)).unwrap();
        // Node 0 answers for the address: the client is told so.
        let mac = lab.nodes[0].mac("eth0").unwrap();
        let permanent = netlink_packet_route::neighbour::NeighbourState::Permanent;
        lab.client
            .set_neighbour("eth0", vip_at.ip(), mac, permanent)
            .unwrap();
        let rule = |protocol, port, to, masquerade| nft::Dnat {
            protocol,
            from: address(vip, port),
            to,
            masquerade,
        };
        // To itself: the client's address stays.
        nft::set(
            &lab.nodes[0],
            &[rule(nft::Protocol::Tcp, 80, local.address(), false)],
        )
        .unwrap();
        let answer = client::http_get(&lab.client, vip_at, SOON).unwrap();
        let client_ip = if vip_at.is_ipv4() {
            "192.0.2.100"
        } else {
            "2001:db8:2::100"
        };
        assert_eq!(answer, format!("node-0 {client_ip}\n"));
        // To another node: the client hides behind node 0. The rules are replaced, not added.
        let rules = [
            rule(nft::Protocol::Tcp, 80, remote.address(), true),
            rule(nft::Protocol::Udp, 53, echo.address(), true),
        ];
        nft::set(&lab.nodes[0], &rules).unwrap();
        let answer = client::http_get(&lab.client, vip_at, SOON).unwrap();
        assert_eq!(answer, format!("node-1 {own}\n"));
        let back = client::udp_exchange(&lab.client, address(vip, 53), b"q", SOON).unwrap();
        assert_eq!(back, b"node-1 q");
        // From the node itself, too.
        let answer = client::http_get(&lab.nodes[0], vip_at, SOON).unwrap();
        assert!(answer.starts_with("node-1 "), "{answer}");
        nft::clear(&lab.nodes[0]).unwrap();
        let short = Duration::from_millis(200);
        assert!(client::http_get(&lab.client, vip_at, short).is_err());
    }
}

#[test]
fn a_child_process_lives_on_its_host_and_ends_with_its_value() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("h").unwrap();
    let mut command = std::process::Command::new("cat");
    command
        .arg("/proc/net/dev")
        .stdout(std::process::Stdio::piped());
    let mut child = host.spawn(command).unwrap();
    let mut listing = String::new();
    let mut out = child.stdout().unwrap();
    std::io::Read::read_to_string(&mut out, &mut listing).unwrap();
    assert!(child.wait().unwrap().success());
    let interfaces = listing.lines().skip(2).count();
    assert_eq!(interfaces, 1, "only loopback: {listing}");

    let mut sleeper = std::process::Command::new("sleep");
    sleeper.arg("1000");
    let mut child = host.spawn(sleeper).unwrap();
    let id = child.id();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    };
    child.stop();
    lab::eventually(SOON, "stopped", || (state()? == 'T').then_some(()));
    child.cont();
    lab::eventually(SOON, "going on", || (state()? != 'T').then_some(()));
    drop(child);
    assert_eq!(state(), None);
}

#[test]
fn the_switch_takes_snooping_and_ageing_options() {
    if !lab::ready() {
        return;
    }
    let options = LanOptions {
        snooping: true,
        ageing: Some(Duration::from_secs(1)),
    };
    let lan = Lan::with(options).unwrap();
    let host = Host::new("h").unwrap();
    lan.attach(&host, "eth0", &["192.0.2.1/24"]).unwrap();
    let options = lan
        .switch()
        .netlink(async |h| {
            use futures::TryStreamExt;
            use netlink_packet_route::link::{InfoBridge, InfoData, LinkAttribute, LinkInfo};
            let bridge = h
                .link()
                .get()
                .match_name("br0")
                .execute()
                .try_next()
                .await?;
            let infos = bridge
                .unwrap()
                .attributes
                .into_iter()
                .filter_map(|a| match a {
                    LinkAttribute::LinkInfo(infos) => Some(infos),
                    _ => None,
                })
                .flatten();
            let mut found = (0, false);
            for info in infos {
                if let LinkInfo::Data(InfoData::Bridge(data)) = info {
                    for item in data {
                        match item {
                            InfoBridge::AgeingTime(t) => found.0 = t,
                            InfoBridge::MulticastSnooping(on) => found.1 = on,
                            _ => {}
                        }
                    }
                }
            }
            Ok(found)
        })
        .unwrap();
    assert_eq!(options, (100, true));
}
