//! What the `linux` crate and the lab claim about the kernel, shown on the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use linux::group::{GROUPS_PER_SOCKET_MAX, Memberships, solicited_node};
use linux::packet::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Insn, Options, PacketSocket, VLAN_UNKNOWN};
use linux::probe;
use linux::route::{self, Links, Snapshot};
use linux::udp::MemberSocket;
use tests::lab::{self, Capture, Echo, Host, Lan, LanOptions, Topology, Web, client, nft};
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

tests::enter_lab_at_start!();

/// Long enough for a loaded machine; every wait ends at its event.
const SOON: Duration = Duration::from_secs(10);

const ACCEPT: Insn = Insn {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 0xffff,
};

/// Accepts frames whose 32 bits at `offset` are `value`.
fn accept_word(offset: u32, value: u32) -> [Insn; 4] {
    [
        // load word at offset
        insn(0x20, 0, 0, offset),
        // equal: next, else one further
        insn(0x15, 0, 1, value),
        ACCEPT,
        insn(0x06, 0, 0, 0),
    ]
}

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

/// An ARP request for `target`, padded, broadcast from a made-up sender.
fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 99]);
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([2, 0, 0, 0, 0, 99]);
    frame.extend(Ipv4Addr::new(192, 0, 2, 99).octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

fn target_of(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(frame[38], frame[39], frame[40], frame[41])
}

/// Two hosts on one cable, "a" and "b", both with an eth0 that is up.
fn cable() -> (Host, Host) {
    let (a, b) = (Host::new("a").unwrap(), Host::new("b").unwrap());
    a.add_veth_to("eth0", &b, "eth0").unwrap();
    // Known addresses: the link-local ones made from them are known, too.
    a.set_mac("eth0", [2, 0, 0, 0, 0, 0xa]).unwrap();
    b.set_mac("eth0", [2, 0, 0, 0, 0, 0xb]).unwrap();
    a.link_up("eth0").unwrap();
    b.link_up("eth0").unwrap();
    (a, b)
}

/// A sender of any frame, on "eth0".
fn sender(host: &Host) -> PacketSocket {
    let index = host.index("eth0").unwrap();
    PacketSocket::open(index, ETHERTYPE_ARP, &[], Options::default()).unwrap()
}

async fn next_frame(socket: &PacketSocket) -> (Vec<u8>, linux::packet::Meta) {
    let mut buf = vec![0; 2048];
    loop {
        timeout(SOON, socket.readable())
            .await
            .expect("a frame")
            .unwrap();
        if let Some((len, meta)) = socket.recv(&mut buf).unwrap() {
            buf.truncate(len);
            return (buf, meta);
        }
    }
}

// L2-12
#[test]
fn no_unfiltered_frame_slips_in_before_or_after_the_bind() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let wanted = Ipv4Addr::new(192, 0, 2, 1);
    let other = Ipv4Addr::new(192, 0, 2, 2);
    // A storm of frames that the filter refuses, while sockets are opened again and again.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let storm = {
        let host = a.clone();
        a.thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let _guard = runtime.enter();
            let socket = sender(&host);
            let mut sent = 0u64;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                if socket.send(&arp_request(other)).is_ok() {
                    sent += 1;
                }
            }
            sent
        })
    };
    let index = b.index("eth0").unwrap();
    let passed = b.block_on(async || {
        let filter = accept_word(38, u32::from(wanted));
        let mut passed = 0;
        let mut buf = [0; 128];
        for _ in 0..200 {
            let socket =
                PacketSocket::open(index, ETHERTYPE_ARP, &filter, Options::default()).unwrap();
            // A full swap of the filter opens no gap either.
            socket.set_filter(&filter).unwrap();
            tokio::task::yield_now().await;
            assert!(socket.recv(&mut buf).unwrap().is_none());
            passed += socket.statistics().unwrap().passed;
        }
        passed
    });
    stop.send(()).unwrap();
    let sent = storm.join().unwrap();
    assert_eq!(passed, 0, "of {sent} frames");
    assert!(sent > 200, "the storm was none: {sent} frames");
}

// L2-12, L2-10
#[test]
fn receives_what_the_filter_lets_through_and_a_new_filter_decides_from_then_on() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let (one, two) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let index = b.index("eth0").unwrap();
    let a_index = a.index("eth0").unwrap();
    b.block_on(async || {
        let filter = accept_word(38, u32::from(one));
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &filter, Options::default()).unwrap();
        let send = |targets: &[Ipv4Addr]| {
            a.block_on(async || {
                let out =
                    PacketSocket::open(a_index, ETHERTYPE_ARP, &[], Options::default()).unwrap();
                for target in targets {
                    out.send(&arp_request(*target)).unwrap();
                }
            });
        };
        send(&[two, one]);
        let (frame, meta) = next_frame(&socket).await;
        assert_eq!(target_of(&frame), one);
        assert_eq!(frame.len(), 60);
        assert_eq!(
            (meta.ifindex, meta.outgoing, meta.vlan),
            (index, false, None)
        );
        assert!(!meta.truncated);
        socket.set_filter(&accept_word(38, u32::from(two))).unwrap();
        send(&[one, two]);
        let (frame, _) = next_frame(&socket).await;
        assert_eq!(target_of(&frame), two);
        // An empty program drops everything.
        socket.set_filter(&[]).unwrap();
        send(&[one, two]);
        socket.set_filter(&[ACCEPT]).unwrap();
        send(&[Ipv4Addr::new(192, 0, 2, 3)]);
        let (frame, _) = next_frame(&socket).await;
        assert_eq!(target_of(&frame), Ipv4Addr::new(192, 0, 2, 3));
        assert_eq!(socket.statistics().unwrap().passed, 3);
        // An invalid program is refused and the old one stays.
        let jump_out = [insn(0x15, 200, 0, 0)];
        assert!(socket.set_filter(&jump_out).is_err());
        send(&[one]);
        assert_eq!(target_of(&next_frame(&socket).await.0), one);
    });
}

// L2-10
#[test]
fn a_vlan_tag_is_told_beside_the_frame() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let index = b.index("eth0").unwrap();
    let a_index = a.index("eth0").unwrap();
    b.block_on(async || {
        let all = [ACCEPT];
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &all, Options::default()).unwrap();
        let own = b.mac("eth0").unwrap();
        let to_all = [0xff; 6];
        // The kernel throws the tag of a VLAN it does not know away and marks the frame as another host's;
        // a priority tag goes without a trace.
        let cases = [
            (0x0064u16, to_all, Some(VLAN_UNKNOWN)),
            (0x0064, own, Some(VLAN_UNKNOWN)),
            (0xe000, to_all, None),
            (0xe000, own, None),
        ];
        for (tci, destination, expected) in cases {
            let mut tagged = arp_request(Ipv4Addr::new(192, 0, 2, 1));
            tagged[..6].copy_from_slice(&destination);
            let [high, low] = tci.to_be_bytes();
            tagged.splice(12..12, [0x81, 0x00, high, low]);
            a.block_on(async || {
                let out =
                    PacketSocket::open(a_index, ETHERTYPE_ARP, &[], Options::default()).unwrap();
                out.send(&tagged).unwrap();
            });
            let (frame, meta) = next_frame(&socket).await;
            assert_eq!(meta.vlan, expected, "{tci:#06x} to {destination:?}");
            // The tag itself is gone: the frame reads as any other.
            assert_eq!(frame[12..14], [0x08, 0x06]);
        }
    });
}

// L2-11
#[test]
fn sockets_and_memberships_leave_the_interface_as_it_was() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    let before = b.link("eth0").unwrap();
    b.block_on(async || {
        let all = [ACCEPT];
        let _arp =
            PacketSocket::open(before.index, ETHERTYPE_ARP, &all, Options::default()).unwrap();
        let _ip6 =
            PacketSocket::open(before.index, ETHERTYPE_IPV6, &all, Options::default()).unwrap();
        let mut groups = Memberships::new(before.index);
        groups.set(&["2001:db8::1".parse().unwrap()]).unwrap();
        let during = b.link("eth0").unwrap();
        assert_eq!(during, before);
        assert_eq!((during.promiscuity, during.all_multicast), (0, 0));
    });
}

// L2-13
#[test]
fn a_storm_of_foreign_requests_does_not_reach_the_process() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let index = b.index("eth0").unwrap();
    let a_index = a.index("eth0").unwrap();
    let woken = b.block_on(async || {
        let vip = Ipv4Addr::new(192, 0, 2, 1);
        let filter = accept_word(38, u32::from(vip));
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &filter, Options::default()).unwrap();
        a.block_on(async || {
            let out = PacketSocket::open(a_index, ETHERTYPE_ARP, &[], Options::default()).unwrap();
            let foreign = arp_request(Ipv4Addr::new(192, 0, 2, 2));
            for _ in 0..50_000 {
                // A full queue is part of a storm.
                let _ = out.send(&foreign);
            }
            out.send(&arp_request(vip)).unwrap();
        });
        let (frame, _) = next_frame(&socket).await;
        assert_eq!(target_of(&frame), vip);
        socket.statistics().unwrap().passed
    });
    assert_eq!(woken, 1);
}

// L2-24
#[test]
fn what_a_bounded_turn_leaves_is_readable_at_once_in_the_next() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let index = b.index("eth0").unwrap();
    let a_index = a.index("eth0").unwrap();
    b.block_on(async || {
        let options = Options {
            receive_buffer_bytes: Some(4 << 20),
        };
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &[ACCEPT], options).unwrap();
        a.block_on(async || {
            let out = PacketSocket::open(a_index, ETHERTYPE_ARP, &[], Options::default()).unwrap();
            for _ in 0..600 {
                out.send(&arp_request(Ipv4Addr::new(192, 0, 2, 1))).unwrap();
            }
        });
        let mut buf = [0; 128];
        let mut turns = Vec::new();
        while turns.iter().sum::<usize>() < 600 {
            timeout(SOON, socket.readable()).await.unwrap().unwrap();
            let frames = (0..256).take_while(|_| socket.recv(&mut buf).unwrap().is_some());
            turns.push(frames.count());
        }
        assert_eq!(turns, [256, 256, 88]);
    });
}

// L2-25, L2-47
#[test]
fn a_dead_interface_is_an_error_of_the_socket_and_of_nothing_else() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    let index = b.index("eth0").unwrap();
    b.block_on(async || {
        let all = [ACCEPT];
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &all, Options::default()).unwrap();
        let frame = arp_request(Ipv4Addr::new(192, 0, 2, 1));
        let mut buf = [0; 128];
        b.link_down("eth0").unwrap();
        timeout(SOON, socket.readable()).await.unwrap().unwrap();
        let told = socket.recv(&mut buf).unwrap_err();
        assert_eq!(told.raw_os_error(), Some(libc::ENETDOWN));
        assert!(socket.recv(&mut buf).unwrap().is_none());
        let refused = socket.send(&frame).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENETDOWN));
        b.link_up("eth0").unwrap();
        socket.send(&frame).unwrap();
        b.delete_link("eth0").unwrap();
        assert!(socket.send(&frame).is_err());
        let gone = PacketSocket::open(index, ETHERTYPE_ARP, &all, Options::default());
        let e = gone.err().expect("no interface of this index");
        assert_eq!(e.raw_os_error(), Some(libc::ENODEV), "{e}");
        assert!(e.to_string().contains(&format!("interface {index}")), "{e}");
    });
}

/// Opens links on `host`, runs them, and hands the receiver to `f`.
fn with_links<R: Send>(
    host: &Host,
    options: route::Options,
    f: impl AsyncFnOnce(Receiver<Arc<Snapshot>>, Arc<route::Counters>) -> R + Send,
) -> R {
    host.block_on(async || {
        let (links, receiver) = Links::open(options).await.unwrap();
        let counters = links.counters();
        tokio::spawn(links.run());
        f(receiver, counters).await
    })
}

/// Waits for a snapshot that fits, and says how long it took.
async fn until(
    links: &mut Receiver<Arc<Snapshot>>,
    what: &str,
    fits: impl Fn(&Snapshot) -> bool,
) -> Duration {
    let began = Instant::now();
    let found = timeout(SOON, links.wait_for(|s| fits(s))).await;
    assert!(found.is_ok(), "never seen: {what}");
    let took = began.elapsed();
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1e3);
    took
}

fn named<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a route::Link> {
    snapshot.values().find(|l| l.name == name)
}

// L2-40, L2-45
#[test]
fn every_change_of_an_interface_is_seen() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    with_links(&b, route::Options::default(), async |mut links, _| {
        let first = links.borrow_and_update().clone();
        let eth0 = named(&first, "eth0").unwrap().clone();
        assert_eq!(eth0.link_type, 1);
        assert_eq!(eth0.kind.as_deref(), Some("veth"));
        assert_eq!(eth0.mac, Some(b.mac("eth0").unwrap()));
        assert!(eth0.flags.up && eth0.flags.broadcast && !eth0.flags.loopback);
        let lo = named(&first, "lo").unwrap();
        assert!(lo.flags.loopback && lo.link_type == 772);
        assert!(lo.addresses.contains(&(Ipv4Addr::LOCALHOST.into(), 8)));

        b.add_address("eth0", "192.0.2.7/24").unwrap();
        let v4: (IpAddr, u8) = ("192.0.2.7".parse().unwrap(), 24);
        until(&mut links, "address added", |s| {
            s[&eth0.index].addresses.contains(&v4)
        })
        .await;
        b.add_address("eth0", "2001:db8::7/64").unwrap();
        let v6: (IpAddr, u8) = ("2001:db8::7".parse().unwrap(), 64);
        until(&mut links, "IPv6 address added", |s| {
            s[&eth0.index].addresses.contains(&v6)
        })
        .await;
        b.delete_address("eth0", "192.0.2.7/24").unwrap();
        until(&mut links, "address removed", |s| {
            !s[&eth0.index].addresses.contains(&v4)
        })
        .await;

        a.link_down("eth0").unwrap();
        until(&mut links, "carrier lost", |s| {
            !s[&eth0.index].flags.carrier
        })
        .await;
        a.link_up("eth0").unwrap();
        until(&mut links, "carrier back", |s| s[&eth0.index].flags.running).await;
        b.link_down("eth0").unwrap();
        until(&mut links, "down", |s| !s[&eth0.index].flags.up).await;
        b.link_up("eth0").unwrap();
        until(&mut links, "up", |s| s[&eth0.index].flags.up).await;

        b.rename("eth0", "lan7").unwrap();
        until(&mut links, "renamed", |s| s[&eth0.index].name == "lan7").await;
        let mac = [2, 0, 0, 0, 7, 7];
        b.set_mac("lan7", mac).unwrap();
        until(&mut links, "MAC changed", |s| {
            s[&eth0.index].mac == Some(mac)
        })
        .await;
        b.sysctl("net/ipv6/conf/lan7/disable_ipv6", "1").unwrap();
        until(&mut links, "IPv6 off", |s| s[&eth0.index].ipv6_disabled).await;
        b.sysctl("net/ipv6/conf/lan7/disable_ipv6", "0").unwrap();
        until(&mut links, "IPv6 on", |s| !s[&eth0.index].ipv6_disabled).await;

        b.delete_link("lan7").unwrap();
        until(&mut links, "deleted", |s| !s.contains_key(&eth0.index)).await;
        b.add_veth("eth0", "eth0-p").unwrap();
        until(&mut links, "created again", |s| named(s, "eth0").is_some()).await;
    });
}

// L2-41
#[test]
fn a_bridge_port_is_told_with_its_master_and_kind() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    with_links(&b, route::Options::default(), async |mut links, _| {
        b.add_bridge("br7").unwrap();
        until(&mut links, "bridge", |s| named(s, "br7").is_some()).await;
        let bridge = named(&links.borrow(), "br7").unwrap().clone();
        assert_eq!(bridge.kind.as_deref(), Some("bridge"));
        b.set_master("eth0", Some("br7")).unwrap();
        until(&mut links, "port", |s| {
            named(s, "eth0").unwrap().master == Some(bridge.index)
        })
        .await;
        let port = named(&links.borrow(), "eth0").unwrap().clone();
        assert_eq!(port.master_kind.as_deref(), Some("bridge"));
        b.set_master("eth0", None).unwrap();
        until(&mut links, "released", |s| {
            named(s, "eth0").unwrap().master.is_none()
        })
        .await;
        b.add_macvlan("eth0", "mv0").unwrap();
        until(&mut links, "macvlan", |s| named(s, "mv0").is_some()).await;
        assert_eq!(
            named(&links.borrow(), "mv0").unwrap().kind.as_deref(),
            Some("macvlan")
        );
    });
}

// L2-40
#[test]
fn an_overrun_of_the_event_buffer_loses_no_interface() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("busy").unwrap();
    let options = route::Options {
        // The least the kernel gives: a few events.
        event_buffer_bytes: Some(1),
        ..route::Options::default()
    };
    host.block_on(async || {
        let (links, mut receiver) = Links::open(options).await.unwrap();
        let counters = links.counters();
        // Nobody reads while 1,000 pairs appear.
        let began = Instant::now();
        host.add_veths("v", 1000).unwrap();
        println!("1,000 pairs made in {:?}", began.elapsed());
        tokio::spawn(links.run());
        until(&mut receiver, "2,000 interfaces after an overrun", |s| {
            s.len() == 2001
        })
        .await;
        assert!(counters.overruns() >= 1, "{counters:?}");
        let dumps = counters.dumps();
        assert!(dumps < 20, "{dumps} dumps");
    });
}

// L2-40
#[test]
fn a_burst_of_changes_costs_few_dumps_and_no_change_no_snapshot() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("busy").unwrap();
    with_links(
        &host,
        route::Options::default(),
        async |mut links, counters| {
            let busy = host.clone();
            let maker = host.thread(move || busy.add_veths("v", 300).unwrap());
            until(&mut links, "600 interfaces while they appear", |s| {
                s.len() == 601
            })
            .await;
            maker.join().unwrap();
            // 300 pairs make at least 600 events.
            let (events, dumps) = (counters.events(), counters.dumps());
            println!("{events} events, {dumps} dumps");
            assert!(dumps < 300, "{dumps} dumps for {events} events");
            links.borrow_and_update();
            // A change and its opposite before anybody looks is no news.
            host.add_address("lo", "192.0.2.9/32").unwrap();
            until(&mut links, "address", |s| {
                named(s, "lo").unwrap().addresses.iter().any(|a| a.1 == 32)
            })
            .await;
        },
    );
}

// L2-40
#[test]
fn the_periodic_dump_runs_without_an_event() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("quiet").unwrap();
    let options = route::Options {
        resync_interval: Duration::from_millis(20),
        ..route::Options::default()
    };
    with_links(&host, options, async |links, counters| {
        let deadline = Instant::now() + SOON;
        while counters.dumps() < 4 {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        // Nothing changed, so nothing was published.
        assert!(!links.has_changed().unwrap());
    });
}

#[test]
fn default_routes_are_told_with_router_and_interface() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    b.add_address("eth0", "192.0.2.7/24").unwrap();
    b.add_address("eth0", "2001:db8::7/64").unwrap();
    b.add_route("0.0.0.0/0", "192.0.2.1").unwrap();
    b.add_route("::/0", "2001:db8::1").unwrap();
    b.add_route("198.51.100.0/24", "192.0.2.2").unwrap();
    let index = b.index("eth0").unwrap();
    let gateways = b.block_on(async || route::default_gateways().await.unwrap());
    let got: Vec<_> = gateways
        .iter()
        .map(|g| (g.address, g.ifindex, g.ipv6))
        .collect();
    let expected = [
        ("192.0.2.1".parse().ok(), index, false),
        ("2001:db8::1".parse().ok(), index, true),
    ];
    assert_eq!(got, expected);
}

/// How many groups of addresses ending in 10:0000 to 10:ffff the kernel lists for an interface.
fn kernel_groups(host: &Host, name: &str) -> usize {
    let table = host.proc_net("igmp6").unwrap();
    table
        .lines()
        .filter(|l| l.split_whitespace().nth(1) == Some(name))
        .filter(|l| l.contains("ff0200000000000000000001ff10"))
        .count()
}

// L2-67, L2-69
#[test]
fn five_thousand_groups_are_joined_and_left_on_one_interface() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    let index = b.index("eth0").unwrap();
    let vips: Vec<Ipv6Addr> = (0..5000u128)
        .map(|n| Ipv6Addr::from((0x2001_0db8_u128 << 96) + 0x10_0000 + n))
        .collect();
    b.run(|| {
        let mut groups = Memberships::new(index);
        // In bounded steps, so that nothing else waits long.
        let (began, mut slowest) = (Instant::now(), Duration::ZERO);
        let mut steps = 0;
        loop {
            let step = Instant::now();
            let done = groups.set_some(&vips, 100).unwrap();
            slowest = slowest.max(step.elapsed());
            steps += 1;
            if done {
                break;
            }
        }
        assert_eq!(steps, 50);
        println!(
            "5,000 groups joined in {:?}, slowest 100 in {slowest:?}",
            began.elapsed()
        );
        assert_eq!(groups.groups().count(), 5000);
        assert_eq!(groups.sockets(), 5000_usize.div_ceil(GROUPS_PER_SOCKET_MAX));
        assert_eq!(kernel_groups(&b, "eth0"), 5000);
        // Two addresses with the same low 24 bits share a group; it stays till the last one goes.
        let twin: Ipv6Addr = "2001:db8:ffff::10:0000".parse().unwrap();
        groups.set(&[vips[0], twin]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        groups.set(&[twin]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        groups.set(&[]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 0);
        // A leave of what the kernel has forgotten is harmless.
        groups.set(&[twin]).unwrap();
        b.delete_link("eth0").unwrap();
        groups.set(&[]).unwrap();
        // A join on what is gone is an error that names it, and can be tried again.
        let e = groups.set(&[twin]).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::ENODEV), "{e}");
    });
}

// L2-66, L2-68
#[test]
fn a_join_programs_the_interface_and_is_reported_by_mld() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let vip: Ipv6Addr = "2001:db8::10:cdef".parse().unwrap();
    let group = solicited_node(vip);
    let index = b.index("eth0").unwrap();
    let capture = Capture::start(&a, "eth0").unwrap();
    b.run(|| {
        let mut groups = Memberships::new(index);
        groups.set(&[vip]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        assert!(
            capture.wait(SOON, |f| f.mld_report_for(group)).is_some(),
            "no MLD report for {group}"
        );
        // The kernel forgets everything when the MTU falls below IPv6's least; rejoin repairs that.
        set_mtu(&b, "eth0", 1000);
        assert_eq!(kernel_groups(&b, "eth0"), 0);
        set_mtu(&b, "eth0", 1500);
        groups.rejoin().unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        groups.set(&[]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 0);
    });
}

fn set_mtu(host: &Host, name: &str, mtu: u32) {
    host.netlink(async |h| {
        let index = host.index(name)?;
        let message = rtnetlink::LinkUnspec::new_with_index(index).mtu(mtu);
        Ok(h.link().set(message.build()).execute().await?)
    })
    .unwrap();
}

// L2-60
#[test]
fn a_unicast_solicitation_for_a_foreign_address_reaches_a_packet_socket() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    a.add_address("eth0", "2001:db8::1/64").unwrap();
    let vip: Ipv6Addr = "2001:db8::99".parse().unwrap();
    let index = b.index("eth0").unwrap();
    let b_mac = b.mac("eth0").unwrap();
    b.block_on(async || {
        // ICMPv6 neighbour solicitation (135) at offset 54.
        let filter = [
            insn(0x30, 0, 0, 54),
            insn(0x15, 0, 1, 135),
            ACCEPT,
            insn(0x06, 0, 0, 0),
        ];
        let socket =
            PacketSocket::open(index, ETHERTYPE_IPV6, &filter, Options::default()).unwrap();
        // The neighbour is known but stale to `a`, as a router's would be: it probes by unicast in the end.
        // Here the state says so at once.
        let probe = netlink_packet_route::neighbour::NeighbourState::Probe;
        a.set_neighbour("eth0", vip.into(), b_mac, probe).unwrap();
        loop {
            let (frame, meta) = next_frame(&socket).await;
            if frame[62..78] == vip.octets() && frame[..6] == b_mac {
                assert!(!meta.outgoing);
                assert_eq!(frame[38..54], vip.octets(), "unicast by address as well");
                break;
            }
        }
    });
}

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
