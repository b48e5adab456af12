//! Packet sockets on real interfaces.

use std::net::{Ipv4Addr, Ipv6Addr};

use linux::group::Memberships;
use linux::packet::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Insn, Options, PacketSocket, VLAN_UNKNOWN};
use tests::fleet::station;
use tests::lab::{self, Host};
use tokio::time::timeout;

use crate::kit::{ACCEPT, SOON, accept_word, arp_request, cable, insn, next_frame, target_of};

/// A socket for ARP frames that pass a filter.
fn arp(index: u32, filter: &[Insn]) -> PacketSocket {
    PacketSocket::open(index, ETHERTYPE_ARP, filter, Options::default()).unwrap()
}

/// A sender of any frame, on "eth0".
fn sender(host: &Host) -> PacketSocket {
    arp(host.index("eth0").unwrap(), &[])
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
            let socket = arp(index, &filter);
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
    b.block_on(async || {
        let filter = accept_word(38, u32::from(one));
        let socket = arp(index, &filter);
        let send = |targets: &[Ipv4Addr]| {
            let frames: Vec<_> = targets.iter().map(|target| arp_request(*target)).collect();
            station::send(&a, "eth0", &frames).unwrap();
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
    b.block_on(async || {
        let all = [ACCEPT];
        let socket = arp(index, &all);
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
            station::send(&a, "eth0", &[tagged]).unwrap();
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
    let woken = b.block_on(async || {
        let vip = Ipv4Addr::new(192, 0, 2, 1);
        let filter = accept_word(38, u32::from(vip));
        let socket = arp(index, &filter);
        a.block_on(async || {
            let out = sender(&a);
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

// The socket's part of a bounded turn.
#[test]
fn what_a_bounded_turn_leaves_is_readable_at_once_in_the_next() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let index = b.index("eth0").unwrap();
    b.block_on(async || {
        let options = Options {
            receive_buffer_bytes: Some(4 << 20),
        };
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &[ACCEPT], options).unwrap();
        let frames = vec![arp_request(Ipv4Addr::new(192, 0, 2, 1)); 600];
        station::send(&a, "eth0", &frames).unwrap();
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

// What a loop has to live with: errors of sends and of sockets.
#[test]
fn a_dead_interface_is_an_error_of_the_socket_and_of_nothing_else() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    let index = b.index("eth0").unwrap();
    b.block_on(async || {
        let all = [ACCEPT];
        let socket = arp(index, &all);
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

// L2-10, L2-41
#[test]
fn a_request_through_a_bridge_is_heard_once_and_only_on_the_bridge() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    b.add_bridge("br7").unwrap();
    b.set_master("eth0", Some("br7")).unwrap();
    let (port, bridge) = (b.index("eth0").unwrap(), b.index("br7").unwrap());
    b.block_on(async || {
        let (on_port, on_bridge) = (arp(port, &[ACCEPT]), arp(bridge, &[ACCEPT]));
        let vip = Ipv4Addr::new(192, 0, 2, 1);
        // The bridge forwards nothing before its port has left the learning state; then every frame.
        lab::eventually(SOON, "a request on the bridge", || {
            station::send(&a, "eth0", &[arp_request(vip)]).unwrap();
            (on_bridge.statistics().unwrap().passed > 0).then_some(())
        });
        let (frame, meta) = next_frame(&on_bridge).await;
        assert_eq!((target_of(&frame), meta.ifindex), (vip, bridge));
        assert_eq!(on_port.statistics().unwrap().passed, 0);
    });
}
