//! Whatever the bytes and the order of calls: no panic, bounded tables, valid frames, the same run twice.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use crate::claims::CLAIMS_MAX;
use crate::limit::SENDERS_MAX;
use crate::packet::arp::{self, Arp};
use crate::packet::nd::{self, Message};
use crate::packet::{ETHERNET_HEADER, Ethernet};
use crate::responder::{EVENTS_MAX, FRAMES_PER_TURN};
use crate::testing::*;
use crate::{Action, Config, FrameMeta, Interface, MacAddr, Responder, Transmit};

#[derive(Clone, Debug)]
enum Op {
    Frame(Vec<u8>, FrameMeta),
    Plan(BTreeSet<IpAddr>, BTreeSet<IpAddr>),
    Link(Interface),
    Wait(u64),
    Drain { fail: bool },
}

fn mac() -> impl Strategy<Value = MacAddr> {
    prop_oneof![
        Just(US),
        Just(CLIENT),
        Just(OTHER),
        Just(MacAddr::BROADCAST),
        Just(MacAddr::ZERO),
        any::<[u8; 6]>().prop_map(MacAddr),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => (0u8..12).prop_map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))),
        4 => (0u128..12).prop_map(|n| IpAddr::V6(Ipv6Addr::from(u128::from(VIP6) + n))),
        1 => any::<u32>().prop_map(|n| IpAddr::V4(n.into())),
        1 => any::<u128>().prop_map(|n| IpAddr::V6(n.into())),
    ]
}

fn addresses() -> impl Strategy<Value = BTreeSet<IpAddr>> {
    prop::collection::btree_set(address(), 0..12)
}

fn arp_frame() -> impl Strategy<Value = Vec<u8>> {
    let v4 = |address| match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => VIP,
    };
    (mac(), mac(), address(), address(), 0u16..4).prop_map(
        move |(source, sender_mac, sender, target, operation)| {
            let frame = ArpFrame {
                source,
                sender_mac,
                sender: v4(sender),
                target: v4(target),
                operation,
                ..ArpFrame::default()
            };
            frame.bytes()
        },
    )
}

fn nd_frame() -> impl Strategy<Value = Vec<u8>> {
    let options = prop::collection::vec(any::<u8>(), 0..64);
    (mac(), address(), any::<bool>(), any::<bool>(), options).prop_map(
        |(source_mac, target, advertise, dad, options)| {
            let target = match target {
                IpAddr::V4(_) => VIP6,
                IpAddr::V6(address) => address,
            };
            let mut frame = if advertise {
                NdFrame::advertisement()
            } else {
                NdFrame::default()
            };
            if dad {
                frame.source = Ipv6Addr::UNSPECIFIED;
            }
            frame.destination_mac = nd::solicited_node_mac(target);
            frame.destination = nd::solicited_node(target);
            NdFrame {
                source_mac,
                target,
                options,
                ..frame
            }
            .bytes()
        },
    )
}

/// Frames from nonsense to nearly right: random octets, and valid frames with some octets overwritten or cut.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<usize>(), any::<u8>()), 0..4);
    let damaged = (
        prop_oneof![arp_frame(), nd_frame()],
        changes,
        any::<usize>(),
    )
        .prop_map(|(mut bytes, changes, cut)| {
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            if cut.is_multiple_of(3) {
                bytes.truncate(cut / 3 % (bytes.len() + 1));
            }
            bytes
        });
    let random = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![2 => arp_frame(), 2 => nd_frame(), 3 => damaged, 1 => random]
}

fn op() -> impl Strategy<Value = Op> {
    let meta =
        (0u32..20, any::<bool>(), prop::option::of(0u16..3)).prop_map(|(n, outgoing, vlan)| {
            FrameMeta {
                ifindex: if n == 0 { 99 } else { INDEX },
                outgoing: outgoing && n < 4,
                vlan,
            }
        });
    let link =
        (mac(), 0u8..8, any::<bool>(), 0u32..8).prop_map(|(mac, usable, ipv6, index)| Interface {
            index: if index == 0 { 99 } else { INDEX },
            mac,
            usable: usable != 0,
            ipv6,
        });
    prop_oneof![
        12 => (frame(), meta).prop_map(|(bytes, meta)| Op::Frame(bytes, meta)),
        2 => (addresses(), addresses()).prop_map(|(here, elsewhere)| Op::Plan(here, elsewhere)),
        1 => link.prop_map(Op::Link),
        3 => prop_oneof![Just(0), 0u64..2_000, 0u64..200_000].prop_map(Op::Wait),
        3 => any::<bool>().prop_map(|fail| Op::Drain { fail }),
    ]
}

/// Every frame that leaves parses, is ours, and is about one of our addresses.
fn check_frame(transmit: &Transmit, responder: &Responder) {
    let Transmit { bytes, kind } = transmit;
    assert!(bytes.len() >= 60 && bytes.len() <= 86, "{}", bytes.len());
    assert!(
        responder.addresses().contains(&kind.address()),
        "about an address that is not ours"
    );
    assert!(responder.interface().usable);
    let frame = Ethernet::parse(bytes).unwrap();
    assert_eq!(frame.source, responder.interface().mac);
    assert!(frame.destination != MacAddr::ZERO && frame.destination != frame.source);
    match kind.address() {
        IpAddr::V4(address) => {
            assert_eq!(frame.ethertype, arp::ETHERTYPE);
            assert_eq!(Arp::parse(frame.payload).unwrap().sender, address);
            assert!(
                bytes[ETHERNET_HEADER + arp::LENGTH..]
                    .iter()
                    .all(|&octet| octet == 0)
            );
        }
        IpAddr::V6(address) => {
            assert!(responder.interface().ipv6);
            assert_eq!(frame.ethertype, nd::ETHERTYPE);
            let Ok(Message::Advertisement {
                source,
                target,
                options,
            }) = Message::parse(frame.payload)
            else {
                panic!("not a valid advertisement: {bytes:02x?}")
            };
            assert_eq!(
                (source, target, options.target_ll),
                (address, address, Some(frame.source))
            );
        }
    }
}

fn check_bounds(responder: &Responder) {
    assert!(responder.senders.len() <= SENDERS_MAX);
    assert!(responder.foreign_told.len() <= CLAIMS_MAX);
    assert!(responder.replies.len() <= FRAMES_PER_TURN);
    assert!(responder.events.len() <= EVENTS_MAX);
    assert!(responder.dad.len() <= responder.here.len());
    assert!(responder.counters().addresses.keys().eq(&responder.here));
    responder.schedule.assert_consistent();
}

/// Runs the calls; what left, and what was asked for.
fn play(ops: &[Op], seed: u64, start: std::time::Instant) -> (Vec<Transmit>, Vec<Action>, u64) {
    let mut responder = Responder::new(Config::default(), INTERFACE, seed, start);
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        &set([ELSEWHERE]),
        start,
    );
    let (mut now, mut sent, mut asked) = (start, Vec::new(), Vec::new());
    for op in ops {
        match op {
            Op::Frame(bytes, meta) => {
                let (before, queued) = (
                    responder.counters().dropped_total(),
                    responder.replies.len(),
                );
                responder.handle_frame(bytes, *meta, now);
                let answered = responder.replies.len() - queued;
                let dropped = responder.counters().dropped_total() - before;
                assert_eq!(answered as u64 + dropped, 1, "one reply, or one reason");
            }
            Op::Plan(here, elsewhere) => responder.set_addresses(here, elsewhere, now),
            Op::Link(interface) => responder.set_interface(*interface, now),
            Op::Wait(millis) => {
                now += ms(*millis);
                responder.handle_timeout(now);
            }
            Op::Drain { fail } => {
                while let Some(transmit) = responder.poll_transmit() {
                    check_frame(&transmit, &responder);
                    if *fail {
                        responder.transmit_failed(transmit.kind, now);
                    }
                    sent.push(transmit);
                }
                asked.extend(std::iter::from_fn(|| responder.poll_action()));
                for action in &asked {
                    if let (true, Action::JoinGroup(group)) = (*fail, action) {
                        responder.join_failed(*group, now);
                    }
                }
                events(&mut responder);
                assert!(
                    responder.poll_timeout().is_none_or(|due| due > now),
                    "drained, so nothing is due"
                );
            }
        }
        check_bounds(&responder);
    }
    (sent, asked, responder.counters().dropped_total())
}

proptest! {
    // Each case is a run of up to 80 calls, played twice.
    #![proptest_config(ProptestConfig::with_cases(100))]

    // L2-01, L2-62, L2-64
    #[test]
    fn random_octets_never_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..20)) {
        let now = base();
        let mut responder = quiet(now);
        for mut frame in frames {
            responder.handle_frame(&frame, META, now);
            for ethertype in [[0x08, 0x06], [0x86, 0xdd], [0x81, 0x00]] {
                if let Some(field) = frame.get_mut(12..14) {
                    field.copy_from_slice(&ethertype);
                }
                responder.handle_frame(&frame, META, now);
            }
        }
        check_bounds(&responder);
    }

    // L2-01, L2-23, L2-32, L2-35, L2-62, L2-64
    #[test]
    fn any_order_of_calls_keeps_the_invariants_and_repeats_itself(
        ops in prop::collection::vec(op(), 0..80),
        seed in any::<u64>(),
    ) {
        let start = base();
        let once = play(&ops, seed, start);
        prop_assert_eq!(once, play(&ops, seed, start), "same inputs and same seed give the same bytes");
    }

    // L2-35
    #[test]
    fn a_withdrawn_address_never_speaks_again(
        ops in prop::collection::vec(op(), 0..40),
        gone in address(),
    ) {
        let start = base();
        let mut ops: Vec<Op> = ops;
        for op in &mut ops {
            if let Op::Plan(here, _) = op {
                here.remove(&gone);
            }
        }
        let mut all: BTreeSet<IpAddr> = set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]);
        all.insert(gone);
        let mut responder = Responder::new(Config::default(), INTERFACE, 1, start);
        responder.set_addresses(&all, &set([ELSEWHERE]), start);
        all.remove(&gone);
        responder.set_addresses(&all, &set([ELSEWHERE]), start);
        let mut now = start;
        for op in ops {
            match op {
                Op::Frame(bytes, meta) => responder.handle_frame(&bytes, meta, now),
                Op::Plan(here, elsewhere) => responder.set_addresses(&here, &elsewhere, now),
                Op::Link(interface) => responder.set_interface(interface, now),
                Op::Wait(millis) => { now += ms(millis); responder.handle_timeout(now); }
                Op::Drain { .. } => {}
            }
            for transmit in drain(&mut responder) {
                prop_assert_ne!(transmit.kind.address(), gone);
            }
        }
    }
}
