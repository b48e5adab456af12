//! Neighbor Discovery: which frames are answered, and how.

use std::net::{IpAddr, Ipv6Addr};

use crate::packet::nd;
use crate::testing::*;
use crate::{DropReason, Event, Interface, MacAddr};

const ALL_NODES_MAC: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

/// What a case changes in an otherwise valid frame.
type Change = fn(&mut NdFrame);

fn changed(frame: &NdFrame, change: Change) -> NdFrame {
    let mut frame = frame.clone();
    change(&mut frame);
    frame
}

/// Gives one frame to a fresh responder; what it sent, or why not.
fn check_bytes(frame: &[u8]) -> Result<Vec<u8>, DropReason> {
    let now = base();
    let mut responder = quiet(now);
    responder.handle_frame(frame, META, now);
    let mut sent = drain(&mut responder);
    let dropped = DropReason::ALL
        .iter()
        .copied()
        .find(|&reason| responder.counters().dropped(reason) == 1);
    match (sent.pop(), dropped) {
        (Some(transmit), None) => {
            assert!(sent.is_empty(), "one frame, one reply");
            Ok(transmit.bytes)
        }
        (None, Some(reason)) => Err(reason),
        other => panic!("answered and dropped, or neither: {other:?}"),
    }
}

fn check(frame: &NdFrame) -> Result<Vec<u8>, DropReason> {
    check_bytes(&frame.bytes())
}

/// The advertisement of [`VIP6`] that the rows ask for, built by the test's own hands.
fn advertisement(to_mac: MacAddr, to: Ipv6Addr, flags: u8) -> Vec<u8> {
    let answer = NdFrame {
        destination_mac: to_mac,
        source_mac: US,
        source: VIP6,
        destination: to,
        kind: 136,
        flags,
        options: option(2, US),
        ..NdFrame::default()
    };
    answer.bytes()
}

// L2-70, L2-71
#[test]
fn answers_a_solicitation_solicited_and_overriding_from_the_address_itself() {
    let answer = check(&NdFrame::default()).unwrap();
    assert_eq!(answer, advertisement(CLIENT, CLIENT_IP6, 0x60));
    assert_eq!(answer[21], 255, "hop limit");
    assert_eq!(answer[54..56], [136, 0]);
}

// L2-65, L2-72: what MetalLB drops as `NoSourceLL`, and what an ICMPv6 socket never sees.
#[test]
fn answers_a_unicast_reachability_probe_without_option() {
    let probe = NdFrame {
        destination_mac: US,
        destination: VIP6,
        options: Vec::new(),
        ..NdFrame::default()
    };
    assert_eq!(
        check(&probe).unwrap(),
        advertisement(CLIENT, CLIENT_IP6, 0x60)
    );
    let with_option = NdFrame {
        options: option(1, OTHER),
        ..probe
    };
    assert_eq!(
        check(&with_option).unwrap(),
        advertisement(OTHER, CLIENT_IP6, 0x60)
    );
}

// L2-72
#[test]
fn never_answers_to_an_option_that_no_station_can_have() {
    for mac in [MacAddr::ZERO, MacAddr::BROADCAST, GROUP, ALL_NODES_MAC] {
        let frame = NdFrame {
            options: option(1, mac),
            ..NdFrame::default()
        };
        assert_eq!(
            check(&frame).unwrap(),
            advertisement(CLIENT, CLIENT_IP6, 0x60),
            "{mac}"
        );
    }
}

// L2-73
#[test]
fn answers_duplicate_address_detection_to_all_nodes() {
    let answer = advertisement(ALL_NODES_MAC, "ff02::1".parse().unwrap(), 0x20);
    assert_eq!(check(&NdFrame::dad()).unwrap(), answer);
    let nonce = NdFrame {
        options: vec![14, 1, 1, 2, 3, 4, 5, 6],
        ..NdFrame::dad()
    };
    assert_eq!(check(&nonce).unwrap(), answer);
}

// L2-62
#[test]
fn each_failed_validation_has_its_own_reason() {
    const ALL_NODES: Ipv6Addr = nd::ALL_NODES;
    let ask: [(Change, DropReason); 14] = [
        (|f| f.version = 4, DropReason::Version),
        (|f| f.payload_length = Some(33), DropReason::PayloadLength),
        (
            |f| f.payload_length = Some(u16::MAX),
            DropReason::PayloadLength,
        ),
        (|f| f.hop_limit = 254, DropReason::HopLimit),
        (|f| f.hop_limit = 0, DropReason::HopLimit),
        (|f| f.code = 1, DropReason::Code),
        (|f| f.cut = Some(0), DropReason::IcmpLength),
        (|f| f.cut = Some(3), DropReason::IcmpLength),
        (|f| f.cut = Some(23), DropReason::IcmpLength),
        (|f| f.checksum_error = 1, DropReason::Checksum),
        (|f| f.checksum_error = 0xfffe, DropReason::Checksum),
        (|f| f.target = ALL_NODES, DropReason::MulticastTarget),
        (|f| f.source = ALL_NODES, DropReason::MulticastSource),
        (|f| f.options[1] = 0, DropReason::OptionLength),
    ];
    let detect: [(Change, DropReason); 3] = [
        (|f| f.destination = VIP6, DropReason::UnspecifiedToUnicast),
        (
            |f| f.destination = ALL_NODES,
            DropReason::UnspecifiedToUnicast,
        ),
        (
            |f| f.options = option(1, CLIENT),
            DropReason::UnspecifiedWithSourceLl,
        ),
    ];
    for (cases, whole) in [
        (&ask[..], NdFrame::default()),
        (&detect[..], NdFrame::dad()),
    ] {
        assert!(check(&whole).is_ok());
        for (change, reason) in cases {
            let frame = changed(&whole, *change);
            assert_eq!(check(&frame), Err(*reason), "{frame:?}");
        }
    }
}

// L2-62
#[test]
fn a_missing_checksum_is_a_wrong_one() {
    let mut frame = NdFrame::default().bytes();
    frame[56..58].copy_from_slice(&[0, 0]);
    assert_eq!(check_bytes(&frame), Err(DropReason::Checksum));
}

// L2-62: octets behind the payload are no part of the message.
#[test]
fn ignores_padding_behind_the_payload() {
    let mut frame = NdFrame {
        options: Vec::new(),
        ..NdFrame::default()
    }
    .bytes();
    frame.extend([1, 0, 0xa5, 0xa5]);
    assert_eq!(
        check_bytes(&frame).unwrap(),
        advertisement(CLIENT, CLIENT_IP6, 0x60)
    );
}

// L2-62
#[test]
fn drops_what_is_too_short_for_its_headers() {
    let whole = NdFrame::default().bytes();
    for length in 0..54 {
        assert_eq!(
            check_bytes(&whole[..length]),
            Err(DropReason::Malformed),
            "{length}"
        );
    }
    for length in 54..whole.len() {
        assert_eq!(
            check_bytes(&whole[..length]),
            Err(DropReason::PayloadLength),
            "{length}"
        );
    }
}

// L2-64
#[test]
fn walks_options_with_a_bound_and_skips_the_unknown() {
    let with = |options: Vec<u8>| {
        check(&NdFrame {
            options,
            ..NdFrame::default()
        })
    };
    let unknown = |units: u8| [vec![200, units], vec![0x5a; usize::from(units) * 8 - 2]].concat();
    let source = option(1, OTHER);
    let to_other = advertisement(OTHER, CLIENT_IP6, 0x60);
    let to_client = advertisement(CLIENT, CLIENT_IP6, 0x60);

    assert_eq!(
        with([unknown(1), source.clone()].concat()).unwrap(),
        to_other
    );
    assert_eq!(
        with([unknown(40), source.clone()].concat()).unwrap(),
        to_other,
        "a length above 31 units"
    );
    assert_eq!(
        with([unknown(1).repeat(15), source.clone()].concat()).unwrap(),
        to_other,
        "16 options"
    );
    assert_eq!(
        with([unknown(1).repeat(16), source.clone()].concat()),
        Err(DropReason::OptionCount),
        "17 options"
    );
    assert_eq!(with(unknown(1).repeat(255)), Err(DropReason::OptionCount));
    let long = [vec![1, 2], OTHER.0.to_vec(), vec![0; 8]].concat();
    assert_eq!(
        with(long).unwrap(),
        to_client,
        "only one unit is a link-layer address"
    );
    assert_eq!(
        with([option(14, OTHER), option(13, OTHER)].concat()).unwrap(),
        to_client
    );

    for past_end in [
        vec![1],
        vec![1, 1, 0],
        vec![1, 2, 0, 0, 0, 0, 0, 0],
        [source, vec![9, 255]].concat(),
    ] {
        assert_eq!(
            with(past_end.clone()),
            Err(DropReason::OptionLength),
            "{past_end:?}"
        );
    }
}

// L2-65
#[test]
fn drops_by_destination_type_and_target() {
    const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99);
    const REFUSED: Result<(), DropReason> = Err(DropReason::EthernetDestination);
    let cases: [(Change, Result<(), DropReason>); 9] = [
        (|f| f.destination_mac = OTHER, REFUSED),
        (|f| f.destination_mac = MacAddr::BROADCAST, REFUSED),
        (|f| f.destination_mac = ALL_NODES_MAC, REFUSED),
        (|f| f.destination = nd::ALL_NODES, REFUSED),
        (
            |f| (f.destination_mac, f.destination) = (US, STRANGER6),
            REFUSED,
        ),
        (
            |f| (f.destination_mac, f.destination, f.target) = (US, STRANGER6, STRANGER6),
            Err(DropReason::AnnounceIp),
        ),
        (|f| f.destination_mac = US, Ok(())),
        (|f| (f.destination_mac, f.destination) = (US, VIP6), Ok(())),
        (|f| f.destination = VIP6, Ok(())),
    ];
    for (change, result) in cases {
        let frame = changed(&NdFrame::default(), change);
        assert_eq!(check(&frame).map(drop), result, "{frame:?}");
    }
    for kind in [0, 1, 128, 129, 133, 134, 137, 143, 255] {
        let frame = NdFrame {
            kind,
            ..NdFrame::default()
        };
        assert_eq!(check(&frame), Err(DropReason::MessageType), "{kind}");
    }
}

// L2-65
#[test]
fn an_address_of_other_interfaces_is_not_answered_here() {
    let now = base();
    let mut responder = quiet(now);
    responder.set_addresses(&set([VIP]), &set([VIP6]), now);
    responder.handle_frame(&NdFrame::default().bytes(), META, now);
    assert_eq!(
        responder.counters().dropped(DropReason::NotMatchInterface),
        1
    );
    assert_eq!(drain(&mut responder), []);
}

#[test]
fn targets_that_are_no_host_are_nobodys() {
    for target in ["::", "::1"] {
        let target: Ipv6Addr = target.parse().unwrap();
        let frame = NdFrame {
            target,
            destination: target,
            destination_mac: US,
            ..NdFrame::default()
        };
        assert_eq!(check(&frame), Err(DropReason::AnnounceIp));
    }
}

// L2-07, L2-62: hostile sources.
#[test]
fn never_answers_its_own_or_an_impossible_source() {
    let solicitations: [(Change, DropReason); 5] = [
        (|f| f.source_mac = US, DropReason::OwnEcho),
        (|f| f.options = option(1, US), DropReason::OwnEcho),
        (|f| f.source_mac = GROUP, DropReason::BadSender),
        (|f| f.source_mac = MacAddr::ZERO, DropReason::BadSender),
        (|f| f.source = VIP6, DropReason::GratuitousRequest),
    ];
    let advertisements: [(Change, DropReason); 2] = [
        (|f| f.source_mac = US, DropReason::OwnEcho),
        (|f| f.options = option(2, US), DropReason::OwnEcho),
    ];
    let solicitation = (&solicitations[..], NdFrame::default());
    for (cases, whole) in [
        solicitation,
        (&advertisements[..], NdFrame::advertisement()),
    ] {
        for (change, reason) in cases {
            let frame = changed(&whole, *change);
            assert_eq!(check(&frame), Err(*reason), "{frame:?}");
        }
    }
}

// L2-78
#[test]
fn never_answers_fragments_extension_headers_or_tagged_frames() {
    // Hop-by-hop, routing, fragment, authentication, no next header, destination options, TCP, ICMP for IPv4.
    for next_header in [0, 43, 44, 51, 59, 60, 6, 1] {
        let frame = NdFrame {
            next_header,
            ..NdFrame::default()
        };
        assert_eq!(check(&frame), Err(DropReason::NextHeader), "{next_header}");
    }
    // A jumbo payload: length 0, hop-by-hop first.
    let jumbo = NdFrame {
        next_header: 0,
        payload_length: Some(0),
        ..NdFrame::default()
    };
    assert_eq!(check(&jumbo), Err(DropReason::NextHeader));
    // An atomic fragment (RFC 6946) before a solicitation that is otherwise right.
    let plain = NdFrame::default().bytes();
    let mut atomic = [&plain[..54], &[58, 0, 0, 0, 0, 0, 0, 1], &plain[54..]].concat();
    atomic[19] += 8;
    atomic[20] = 44;
    assert_eq!(check_bytes(&atomic), Err(DropReason::NextHeader));
    let tagged = [&plain[..12], &[0x81, 0, 0, 9], &plain[12..]].concat();
    assert_eq!(check_bytes(&tagged), Err(DropReason::Vlan));
}

// L2-78: SEND options (RFC 3971: CGA 11, signature 12, timestamp 13) change nothing.
#[test]
fn skips_send_options_as_unknown() {
    let cga = [vec![11, 2], vec![0; 14]].concat();
    let signature = [vec![12, 16], vec![7; 126]].concat();
    let options = [cga, signature, option(13, OTHER), option(1, CLIENT)].concat();
    let answer = check(&NdFrame {
        options,
        ..NdFrame::default()
    })
    .unwrap();
    assert_eq!(answer, advertisement(CLIENT, CLIENT_IP6, 0x60));
}

// L2-63
#[test]
fn neighbor_discovery_is_off_while_ipv6_is_off_and_arp_goes_on() {
    let now = base();
    let mut responder = quiet(now);
    responder.set_interface(
        Interface {
            ipv6: false,
            ..INTERFACE
        },
        now,
    );
    responder.handle_frame(&NdFrame::default().bytes(), META, now);
    assert_eq!(responder.counters().dropped(DropReason::Ipv6Disabled), 1);
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    assert_eq!(drain(&mut responder).len(), 1);
}

// Only that claims are seen, and invalid ones are not: what follows from a claim is not due yet.
#[test]
fn a_foreign_advertisement_is_a_claim_and_an_invalid_one_is_not() {
    const VALID: DropReason = DropReason::NeighborAdvertisement;
    let cases: [(Change, Option<MacAddr>, DropReason); 9] = [
        (|_| (), Some(CLIENT), VALID),
        (|f| f.options = option(2, OTHER), Some(OTHER), VALID),
        (|f| f.options.clear(), Some(CLIENT), VALID),
        (
            |f| (f.flags, f.destination) = (0x60, CLIENT_IP6),
            Some(CLIENT),
            VALID,
        ),
        (|f| f.flags = 0x60, None, DropReason::SolicitedToMulticast),
        (|f| f.hop_limit = 64, None, DropReason::HopLimit),
        (|f| f.checksum_error = 1, None, DropReason::Checksum),
        (
            |f| f.target = nd::ALL_NODES,
            None,
            DropReason::MulticastTarget,
        ),
        (|f| f.target = CLIENT_IP6, None, VALID),
    ];
    let address = IpAddr::V6(VIP6);
    for (change, mac, reason) in cases {
        let frame = changed(&NdFrame::advertisement(), change);
        let now = base();
        let mut responder = quiet(now);
        responder.handle_frame(&frame.bytes(), META, now);
        let claims = mac.map(|mac| Event::ForeignClaim { address, mac });
        assert_eq!(events(&mut responder), Vec::from_iter(claims), "{frame:?}");
        assert_eq!(responder.counters().dropped(reason), 1, "{frame:?}");
        assert_eq!(drain(&mut responder), [], "{frame:?}");
    }
}
