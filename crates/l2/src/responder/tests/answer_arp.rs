//! ARP: which frames are answered, and how.

use std::net::{IpAddr, Ipv4Addr};

use crate::testing::*;
use crate::{DropReason, Event, FrameMeta, Interface, MacAddr, Transmit, TransmitKind};

/// Gives one frame to a fresh responder; what it sent, or why not.
fn check(frame: &[u8], meta: FrameMeta) -> Result<Vec<u8>, DropReason> {
    let now = base();
    let mut responder = quiet(now);
    responder.handle_frame(frame, meta, now);
    let mut sent = drain(&mut responder);
    let dropped = DropReason::ALL
        .iter()
        .copied()
        .find(|&reason| responder.counters().dropped(reason) == 1);
    match (sent.pop(), dropped) {
        (Some(transmit), None) => {
            assert!(sent.is_empty(), "one frame, one reply");
            assert!(matches!(transmit.kind, TransmitKind::Reply(_)));
            Ok(transmit.bytes)
        }
        (None, Some(reason)) => Err(reason),
        other => panic!("answered and dropped, or neither: {other:?}"),
    }
}

fn reply_to(target_mac: MacAddr, target: Ipv4Addr) -> Vec<u8> {
    let reply = ArpFrame {
        destination: target_mac,
        source: US,
        operation: 2,
        sender_mac: US,
        sender: VIP,
        target_mac,
        target,
        ..ArpFrame::default()
    };
    reply.bytes()
}

// L2-03, L2-20, L2-21
#[test]
fn answers_a_request_from_any_subnet_by_one_padded_unicast_reply() {
    let reply = check(&ArpFrame::default().bytes(), META).unwrap();
    assert_eq!(reply, reply_to(CLIENT, CLIENT_IP));
    assert_eq!(reply.len(), 60);
    assert!(
        reply[42..].iter().all(|&octet| octet == 0),
        "no memory leaks into the padding"
    );
}

// L2-04
#[test]
fn passes_the_six_cases_of_metallb() {
    let request = ArpFrame::default;
    let cases = [
        (
            "ARP reply",
            ArpFrame {
                operation: 2,
                ..request()
            },
            Some(DropReason::ArpReply),
            "ARPReply",
        ),
        (
            "other destination",
            ArpFrame {
                destination: OTHER,
                ..request()
            },
            Some(DropReason::EthernetDestination),
            "EthernetDestination",
        ),
        (
            "not announced",
            ArpFrame {
                target: STRANGER,
                ..request()
            },
            Some(DropReason::AnnounceIp),
            "AnnounceIP",
        ),
        (
            "announced on another interface",
            ArpFrame {
                target: ELSEWHERE,
                ..request()
            },
            Some(DropReason::NotMatchInterface),
            "NotMatchInterface",
        ),
        ("broadcast", request(), None, ""),
        (
            "unicast",
            ArpFrame {
                destination: US,
                ..request()
            },
            None,
            "",
        ),
    ];
    for (name, frame, reason, text) in cases {
        let result = check(&frame.bytes(), META);
        assert_eq!(result.err(), reason, "{name}");
        assert_eq!(reason.map_or("", DropReason::as_str), text, "{name}");
    }
}

// L2-05
#[test]
fn answers_a_probe_with_zero_target() {
    let probe = ArpFrame {
        sender: Ipv4Addr::UNSPECIFIED,
        ..ArpFrame::default()
    };
    assert_eq!(
        check(&probe.bytes(), META).unwrap(),
        reply_to(CLIENT, Ipv4Addr::UNSPECIFIED)
    );
}

// L2-06
#[test]
fn answers_unicast_requests_like_broadcast_ones() {
    let unicast = ArpFrame {
        destination: US,
        target_mac: US,
        ..ArpFrame::default()
    };
    assert_eq!(
        check(&unicast.bytes(), META),
        check(&ArpFrame::default().bytes(), META)
    );
}

// L2-01, L2-02
#[test]
fn drops_what_is_no_arp_for_ethernet_and_ipv4_by_name() {
    let request = ArpFrame::default;
    let mut cases = Vec::new();
    for body in 0..28 {
        cases.push((
            request().bytes()[..14 + body].to_vec(),
            DropReason::Malformed,
        ));
    }
    for header in 0..14 {
        cases.push((request().bytes()[..header].to_vec(), DropReason::Malformed));
    }
    for lengths in [[6, 16], [0, 0], [255, 255], [8, 4]] {
        cases.push((
            ArpFrame {
                lengths,
                ..request()
            }
            .bytes(),
            DropReason::NotEthernetIpv4,
        ));
    }
    for hardware in [0, 6, 32, 0xffff] {
        cases.push((
            ArpFrame {
                hardware,
                ..request()
            }
            .bytes(),
            DropReason::NotEthernetIpv4,
        ));
    }
    for protocol in [0x86dd, 0, 0x0806] {
        cases.push((
            ArpFrame {
                protocol,
                ..request()
            }
            .bytes(),
            DropReason::NotEthernetIpv4,
        ));
    }
    for operation in [0, 3, 4, 8, 9, 24, 25, 65535] {
        cases.push((
            ArpFrame {
                operation,
                ..request()
            }
            .bytes(),
            DropReason::Operation,
        ));
    }
    for (frame, reason) in cases {
        assert_eq!(check(&frame, META), Err(reason), "{frame:02x?}");
    }
}

// L2-01
#[test]
fn ignores_trailing_padding_of_any_length_and_content() {
    for length in [0, 1, 17, 18, 1486] {
        let frame = ArpFrame {
            padding: vec![0xa5; length],
            ..ArpFrame::default()
        };
        assert_eq!(
            check(&frame.bytes(), META).unwrap(),
            reply_to(CLIENT, CLIENT_IP),
            "{length}"
        );
    }
}

// L2-07
#[test]
fn never_answers_or_suspects_its_own_frames() {
    let request = ArpFrame::default;
    let ours = ArpFrame {
        sender_mac: US,
        sender: VIP,
        operation: 2,
        ..request()
    };
    let cases = [
        (
            request(),
            FrameMeta {
                outgoing: true,
                ..META
            },
            DropReason::Outgoing,
        ),
        (
            ArpFrame {
                source: US,
                ..request()
            },
            META,
            DropReason::OwnEcho,
        ),
        (
            ArpFrame {
                sender_mac: US,
                ..request()
            },
            META,
            DropReason::OwnEcho,
        ),
        (
            ArpFrame {
                source: US,
                ..ours.clone()
            },
            META,
            DropReason::OwnEcho,
        ),
        (
            ArpFrame {
                source: OTHER,
                ..ours
            },
            META,
            DropReason::OwnEcho,
        ),
    ];
    for (frame, meta, reason) in cases {
        let now = base();
        let mut responder = quiet(now);
        responder.handle_frame(&frame.bytes(), meta, now);
        assert_eq!(responder.counters().dropped(reason), 1, "{frame:?}");
        assert_eq!(drain(&mut responder), [], "{frame:?}");
        assert_eq!(events(&mut responder), [], "{frame:?}");
    }
}

// L2-08
#[test]
fn drops_senders_that_no_station_can_have() {
    let request = ArpFrame::default;
    for mac in [MacAddr::ZERO, MacAddr::BROADCAST, GROUP] {
        assert_eq!(
            check(
                &ArpFrame {
                    sender_mac: mac,
                    ..request()
                }
                .bytes(),
                META
            ),
            Err(DropReason::BadSender)
        );
        assert_eq!(
            check(
                &ArpFrame {
                    source: mac,
                    ..request()
                }
                .bytes(),
                META
            ),
            Err(DropReason::BadSender)
        );
    }
}

// L2-09
#[test]
fn a_gratuitous_request_for_our_address_is_a_claim_and_no_question() {
    let now = base();
    let mut responder = quiet(now);
    let claim = ArpFrame {
        sender: VIP,
        ..ArpFrame::default()
    };
    responder.handle_frame(&claim.bytes(), META, now);
    let answered = |sent: &Transmit| matches!(sent.kind, TransmitKind::Reply(_));
    assert!(!drain(&mut responder).iter().any(answered));
    assert_eq!(
        responder.counters().dropped(DropReason::GratuitousRequest),
        1
    );
    assert_eq!(
        events(&mut responder),
        [Event::ForeignClaim {
            address: IpAddr::V4(VIP),
            mac: CLIENT
        }]
    );
}

// L2-10
#[test]
fn drops_frames_of_other_devices_and_vlans_but_not_priority_tags() {
    let tagged = |tci: u16| {
        let plain = ArpFrame::default().bytes();
        let mut frame = plain[..12].to_vec();
        frame.extend([0x81, 0x00]);
        frame.extend(tci.to_be_bytes());
        frame.extend(&plain[12..]);
        frame
    };
    let plain = ArpFrame::default().bytes();
    let vlan = |vlan| FrameMeta {
        vlan: Some(vlan),
        ..META
    };
    assert_eq!(
        check(
            &plain,
            FrameMeta {
                ifindex: INDEX + 1,
                ..META
            }
        ),
        Err(DropReason::OtherDevice)
    );
    assert_eq!(check(&plain, vlan(5)), Err(DropReason::Vlan));
    assert_eq!(check(&plain, vlan(0xe005)), Err(DropReason::Vlan));
    assert_eq!(check(&plain, vlan(4095)), Err(DropReason::Vlan));
    assert!(check(&plain, vlan(0)).is_ok());
    assert!(check(&plain, vlan(0xe000)).is_ok());
    assert_eq!(check(&tagged(0xe005), META), Err(DropReason::Vlan));
    assert_eq!(
        check(&tagged(0xe000), META).unwrap(),
        reply_to(CLIENT, CLIENT_IP)
    );
}

// L2-20: the Ethernet source is not whom we answer.
#[test]
fn replies_to_the_sender_in_the_body_once_and_unicast() {
    let relayed = ArpFrame {
        source: OTHER,
        ..ArpFrame::default()
    };
    assert_eq!(
        check(&relayed.bytes(), META).unwrap(),
        reply_to(CLIENT, CLIENT_IP)
    );
    let multicast = ArpFrame {
        destination: GROUP,
        ..ArpFrame::default()
    };
    assert_eq!(
        check(&multicast.bytes(), META),
        Err(DropReason::EthernetDestination)
    );
}

#[test]
fn targets_that_are_no_host_are_nobodys() {
    for target in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        let now = base();
        let mut responder = quiet(now);
        responder.set_addresses(&set([target, VIP]), &set::<Ipv4Addr>([]), now);
        responder.handle_frame(
            &ArpFrame {
                target,
                ..ArpFrame::default()
            }
            .bytes(),
            META,
            now,
        );
        assert_eq!(responder.counters().dropped(DropReason::AnnounceIp), 1);
        assert_eq!(drain(&mut responder), []);
    }
}

// L2-22
#[test]
fn answers_with_the_present_hardware_address() {
    let now = base();
    let mut responder = quiet(now);
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    responder.set_interface(
        Interface {
            mac: OTHER,
            ..INTERFACE
        },
        now,
    );
    let stale = drain(&mut responder)
        .into_iter()
        .find(|t| t.bytes[6..12] == US.0);
    assert_eq!(stale, None, "nothing built with the old address leaves");
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    let reply = responder.poll_transmit().unwrap();
    assert_eq!(reply.bytes[6..12], OTHER.0);
    assert_eq!(reply.bytes[22..28], OTHER.0);
}

#[test]
fn ethertypes_that_are_not_ours_are_dropped() {
    let mut frame = ArpFrame::default().bytes();
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    assert_eq!(check(&frame, META), Err(DropReason::EtherType));
}

#[test]
fn counts_requests_and_responses_per_address() {
    let now = base();
    let mut responder = quiet(now);
    for _ in 0..3 {
        responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    }
    responder.handle_frame(
        &ArpFrame {
            target: STRANGER,
            ..ArpFrame::default()
        }
        .bytes(),
        META,
        now,
    );
    drain(&mut responder);
    let counted = responder.counters().addresses[&IpAddr::V4(VIP)];
    assert_eq!((counted.requests_received, counted.responses_sent), (3, 3));
    assert_eq!(
        responder.counters().addresses.len(),
        2,
        "strangers get no counter"
    );
    assert_eq!(responder.counters().frames_received, 4);
}
