//! Neighbor Discovery: which frames are answered, and how.

use std::net::{IpAddr, Ipv6Addr};

use crate::testing::*;
use crate::{DropReason, Event, Interface, MacAddr};

const ALL_NODES_MAC: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

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
    let ask = NdFrame::default;
    let short = |length| NdFrame {
        cut: Some(length),
        ..ask()
    };
    let cases = [
        (
            NdFrame {
                version: 4,
                ..ask()
            },
            DropReason::Version,
        ),
        (
            NdFrame {
                payload_length: Some(33),
                ..ask()
            },
            DropReason::PayloadLength,
        ),
        (
            NdFrame {
                payload_length: Some(u16::MAX),
                ..ask()
            },
            DropReason::PayloadLength,
        ),
        (
            NdFrame {
                hop_limit: 254,
                ..ask()
            },
            DropReason::HopLimit,
        ),
        (
            NdFrame {
                hop_limit: 0,
                ..ask()
            },
            DropReason::HopLimit,
        ),
        (NdFrame { code: 1, ..ask() }, DropReason::Code),
        (short(0), DropReason::IcmpLength),
        (short(3), DropReason::IcmpLength),
        (short(23), DropReason::IcmpLength),
        (
            NdFrame {
                checksum_error: 1,
                ..ask()
            },
            DropReason::Checksum,
        ),
        (
            NdFrame {
                checksum_error: 0xfffe,
                ..ask()
            },
            DropReason::Checksum,
        ),
        (
            NdFrame {
                target: "ff02::1".parse().unwrap(),
                ..ask()
            },
            DropReason::MulticastTarget,
        ),
        (
            NdFrame {
                source: "ff02::2".parse().unwrap(),
                ..ask()
            },
            DropReason::MulticastSource,
        ),
        (
            NdFrame {
                options: vec![1, 0, 1, 2, 3, 4, 5, 6],
                ..ask()
            },
            DropReason::OptionLength,
        ),
        (
            NdFrame {
                destination: VIP6,
                ..NdFrame::dad()
            },
            DropReason::UnspecifiedToUnicast,
        ),
        (
            NdFrame {
                destination: "ff02::1".parse().unwrap(),
                ..NdFrame::dad()
            },
            DropReason::UnspecifiedToUnicast,
        ),
        (
            NdFrame {
                options: option(1, CLIENT),
                ..NdFrame::dad()
            },
            DropReason::UnspecifiedWithSourceLl,
        ),
    ];
    for (frame, reason) in cases {
        assert_eq!(check(&frame), Err(reason), "{frame:?}");
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
    let ask = NdFrame::default;
    let group: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
    let stranger: Ipv6Addr = "2001:db8::99".parse().unwrap();
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    let cases = [
        (
            NdFrame {
                destination_mac: OTHER,
                ..ask()
            },
            Err(DropReason::EthernetDestination),
        ),
        (
            NdFrame {
                destination_mac: MacAddr::BROADCAST,
                ..ask()
            },
            Err(DropReason::EthernetDestination),
        ),
        (
            NdFrame {
                destination_mac: ALL_NODES_MAC,
                ..ask()
            },
            Err(DropReason::EthernetDestination),
        ),
        (
            NdFrame {
                destination: all_nodes,
                ..ask()
            },
            Err(DropReason::EthernetDestination),
        ),
        (
            NdFrame {
                destination: stranger,
                destination_mac: US,
                ..ask()
            },
            Err(DropReason::EthernetDestination),
        ),
        (
            NdFrame {
                target: stranger,
                destination: stranger,
                destination_mac: US,
                ..ask()
            },
            Err(DropReason::AnnounceIp),
        ),
        (
            NdFrame {
                destination: group,
                destination_mac: US,
                ..ask()
            },
            Ok(()),
        ),
        (
            NdFrame {
                destination: VIP6,
                destination_mac: US,
                ..ask()
            },
            Ok(()),
        ),
        (
            NdFrame {
                destination: VIP6,
                ..ask()
            },
            Ok(()),
        ),
    ];
    for (frame, result) in cases {
        assert_eq!(check(&frame).map(drop), result, "{frame:?}");
    }
    for kind in [0, 1, 128, 129, 133, 134, 137, 143, 255] {
        assert_eq!(
            check(&NdFrame { kind, ..ask() }),
            Err(DropReason::MessageType),
            "{kind}"
        );
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
    let ask = NdFrame::default;
    let cases = [
        (
            NdFrame {
                source_mac: US,
                ..ask()
            },
            DropReason::OwnEcho,
        ),
        (
            NdFrame {
                options: option(1, US),
                ..ask()
            },
            DropReason::OwnEcho,
        ),
        (
            NdFrame {
                source_mac: GROUP,
                ..ask()
            },
            DropReason::BadSender,
        ),
        (
            NdFrame {
                source_mac: MacAddr::ZERO,
                options: Vec::new(),
                ..ask()
            },
            DropReason::BadSender,
        ),
        (
            NdFrame {
                source: VIP6,
                ..ask()
            },
            DropReason::GratuitousRequest,
        ),
        (
            NdFrame {
                source_mac: US,
                ..NdFrame::advertisement()
            },
            DropReason::OwnEcho,
        ),
        (
            NdFrame {
                options: option(2, US),
                ..NdFrame::advertisement()
            },
            DropReason::OwnEcho,
        ),
    ];
    for (frame, reason) in cases {
        assert_eq!(check(&frame), Err(reason), "{frame:?}");
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

// L2-76: this crate's part, that claims are seen and invalid ones are not.
#[test]
fn a_foreign_advertisement_is_a_claim_and_an_invalid_one_is_not() {
    let claim = NdFrame::advertisement;
    let unicast = NdFrame {
        flags: 0x60,
        destination: CLIENT_IP6,
        destination_mac: CLIENT,
        ..claim()
    };
    let cases = [
        (claim(), Some(CLIENT), DropReason::NeighborAdvertisement),
        (
            NdFrame {
                options: option(2, OTHER),
                ..claim()
            },
            Some(OTHER),
            DropReason::NeighborAdvertisement,
        ),
        (
            NdFrame {
                options: Vec::new(),
                ..claim()
            },
            Some(CLIENT),
            DropReason::NeighborAdvertisement,
        ),
        (unicast, Some(CLIENT), DropReason::NeighborAdvertisement),
        (
            NdFrame {
                flags: 0x60,
                ..claim()
            },
            None,
            DropReason::SolicitedToMulticast,
        ),
        (
            NdFrame {
                hop_limit: 64,
                ..claim()
            },
            None,
            DropReason::HopLimit,
        ),
        (
            NdFrame {
                checksum_error: 1,
                ..claim()
            },
            None,
            DropReason::Checksum,
        ),
        (
            NdFrame {
                target: "ff02::1".parse().unwrap(),
                ..claim()
            },
            None,
            DropReason::MulticastTarget,
        ),
        (
            NdFrame {
                target: CLIENT_IP6,
                ..claim()
            },
            None,
            DropReason::NeighborAdvertisement,
        ),
    ];
    for (frame, mac, reason) in cases {
        let now = base();
        let mut responder = quiet(now);
        responder.handle_frame(&frame.bytes(), META, now);
        let claims: Vec<_> = mac
            .map(|mac| Event::ForeignClaim {
                address: IpAddr::V6(VIP6),
                mac,
            })
            .into_iter()
            .collect();
        assert_eq!(events(&mut responder), claims, "{frame:?}");
        assert_eq!(responder.counters().dropped(reason), 1, "{frame:?}");
        assert_eq!(drain(&mut responder), [], "{frame:?}");
    }
}
