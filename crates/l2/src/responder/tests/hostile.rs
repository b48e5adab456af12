//! The hostile inputs of the checklist that a machine can see: floods, claims, mirrors. Malformed frames are among
//! the answers' tests; renames and re-creation of interfaces are link events.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::claims::{CLAIMS_MAX, REPEAT};
use crate::limit::SENDERS_MAX;
use crate::responder::FRAMES_PER_TURN;
use crate::testing::*;
use crate::{DropReason, Event, FrameMeta, MacAddr, Transmit};

fn station(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([2, 1, a, b, c, d])
}

fn request_of(mac: MacAddr) -> Vec<u8> {
    ArpFrame {
        source: mac,
        sender_mac: mac,
        ..ArpFrame::default()
    }
    .bytes()
}

fn solicitation_of(mac: MacAddr) -> Vec<u8> {
    NdFrame {
        source_mac: mac,
        options: option(1, mac),
        ..NdFrame::default()
    }
    .bytes()
}

fn to(mac: MacAddr) -> impl Fn(&Transmit) -> bool {
    move |transmit| transmit.bytes[..6] == mac.0
}

// L2-23, L2-77: 100,000 requests per second from one station for a second, and another station beside it.
#[test]
fn a_flooding_sender_gets_its_budget_and_delays_nobody() {
    type Build = fn(MacAddr) -> Vec<u8>;
    for build in [request_of as Build, solicitation_of] {
        let start = base();
        let mut responder = quiet(start);
        let (mut to_flooder, mut to_client) = (0, 0);
        let flood = build(OTHER);
        for millis in 0..1_000 {
            let now = start + ms(millis);
            for _ in 0..100 {
                responder.handle_frame(&flood, META, now);
            }
            let asks = millis % 100 == 50;
            if asks {
                responder.handle_frame(&build(CLIENT), META, now);
            }
            let sent = drain(&mut responder);
            to_flooder += sent.iter().filter(|t| to(OTHER)(t)).count();
            let answered = sent.iter().filter(|t| to(CLIENT)(t)).count();
            assert_eq!(
                answered,
                usize::from(asks),
                "answered in the turn of the question"
            );
            to_client += answered;
        }
        assert_eq!(to_client, 10);
        assert_eq!(to_flooder, 40 + 19, "burst and 20 a second");
        let limited = responder.counters().dropped(DropReason::RateLimited);
        assert_eq!(limited, 100_000 - to_flooder as u64);
        let address = if flood[12] == 8 {
            IpAddr::V4(VIP)
        } else {
            IpAddr::V6(VIP6)
        };
        assert_eq!(
            responder.counters().addresses[&address].requests_received,
            100_010
        );
    }
}

// L2-23
#[test]
fn a_flood_from_a_hundred_thousand_stations_is_held_by_the_interface_budget() {
    let start = base();
    let mut responder = quiet(start);
    let mut replies = 0;
    for n in 0..100_000 {
        let now = start + ms(u64::from(n) / 100);
        responder.handle_frame(&request_of(station(n)), META, now);
        replies += drain(&mut responder).len();
        assert!(responder.senders.len() <= SENDERS_MAX);
    }
    assert!(
        (20_000..=21_000).contains(&replies),
        "20,000 a second and a burst: {replies}"
    );
    assert_eq!(responder.senders.len(), SENDERS_MAX);
    assert_eq!(responder.counters().addresses.len(), 2);
}

// L2-24
#[test]
fn a_turn_leaves_no_more_replies_than_it_may_read_frames() {
    let now = base();
    let mut responder = quiet(now);
    for n in 0..1_000 {
        responder.handle_frame(&request_of(station(n)), META, now);
    }
    assert_eq!(
        responder.counters().dropped(DropReason::Backlog),
        1_000 - FRAMES_PER_TURN as u64
    );
    assert_eq!(drain(&mut responder).len(), FRAMES_PER_TURN);
}

// L2-73: a flood of duplicate address detection from changing stations.
#[test]
fn answers_to_duplicate_detection_are_ten_a_second_per_address() {
    let start = base();
    let second = Ipv6Addr::from(u128::from(VIP6) ^ 1 << 64);
    let mut responder = quiet(start);
    responder.set_addresses(&set([VIP6, second]), &set([ELSEWHERE]), start);
    drain(&mut responder);
    let mut sent: BTreeMap<IpAddr, Vec<u64>> = BTreeMap::new();
    for millis in 0..3_000 {
        let now = start + ms(millis);
        for target in [VIP6, second] {
            let flood = NdFrame {
                source_mac: station(millis as u32),
                target,
                ..NdFrame::dad()
            };
            responder.handle_frame(&flood.bytes(), META, now);
        }
        for transmit in drain(&mut responder) {
            assert!(to(MacAddr([0x33, 0x33, 0, 0, 0, 1]))(&transmit));
            sent.entry(transmit.kind.address())
                .or_default()
                .push(millis);
        }
    }
    for times in sent.values() {
        assert_eq!(times.len(), 30);
        assert!(
            times
                .windows(11)
                .all(|window| window[10] - window[0] >= 1_000)
        );
    }
    assert_eq!(sent.len(), 2, "each address has its own ten");
    assert_eq!(
        responder.counters().dropped(DropReason::DadRateLimited),
        6_000 - 60
    );
    responder.handle_frame(&solicitation_of(CLIENT), META, start + ms(3_000));
    assert_eq!(
        drain(&mut responder).len(),
        1,
        "questions of others are answered meanwhile"
    );
}

/// Two foreign stations claim our address in turn each 10 ms, in a way the caller chooses.
fn claim_in_turn(claim: impl Fn(MacAddr) -> Vec<u8>) {
    let start = base();
    let mut responder = quiet(start);
    let mut told = Vec::new();
    for n in 0..1_000 {
        let mac = if n % 2 == 0 { CLIENT } else { OTHER };
        responder.handle_frame(&claim(mac), META, start + ms(n * 10));
        told.extend(events(&mut responder));
    }
    let address = told.first().map(Event::address).unwrap();
    let expected = [CLIENT, OTHER].map(|mac| Event::ForeignClaim { address, mac });
    assert_eq!(told, expected, "one event per station");
    assert_eq!(
        responder.counters().addresses[&address].foreign_claims,
        1_000,
        "each frame is counted"
    );
    let later = start + REPEAT + ms(10_000);
    responder.handle_frame(&claim(OTHER), META, later);
    assert_eq!(
        events(&mut responder),
        expected[1..],
        "told again after ten minutes"
    );
}

// L2-04, L2-09
#[test]
fn claims_in_turn_make_one_event_each() {
    claim_in_turn(|mac| {
        ArpFrame {
            source: mac,
            sender_mac: mac,
            sender: VIP,
            ..ArpFrame::default()
        }
        .bytes()
    });
    claim_in_turn(|mac| {
        ArpFrame {
            source: mac,
            sender_mac: mac,
            sender: VIP,
            target: STRANGER,
            operation: 2,
            ..ArpFrame::default()
        }
        .bytes()
    });
    claim_in_turn(|mac| {
        NdFrame {
            source_mac: mac,
            options: option(2, mac),
            ..NdFrame::advertisement()
        }
        .bytes()
    });
}

// L2-09
#[test]
fn no_more_than_64_claims_are_remembered_or_told() {
    let start = base();
    let mut responder = quiet(start);
    let mut told = 0;
    for n in 0..10_000 {
        let mac = station(n);
        let claim = ArpFrame {
            source: mac,
            sender_mac: mac,
            sender: VIP,
            ..ArpFrame::default()
        };
        responder.handle_frame(&claim.bytes(), META, start + ms(u64::from(n) * 10));
        told += events(&mut responder).len();
        assert!(responder.foreign_told.len() <= CLAIMS_MAX);
    }
    assert_eq!(told, CLAIMS_MAX);
    assert_eq!(
        responder.counters().addresses[&IpAddr::V4(VIP)].foreign_claims,
        10_000
    );
    let claim = ArpFrame {
        sender: VIP,
        ..ArpFrame::default()
    };
    responder.handle_frame(&claim.bytes(), META, start + REPEAT + ms(100_000));
    assert_eq!(events(&mut responder).len(), 1, "old claims make room");
}

// L2-09: a claim for what is not ours is nobody's business.
#[test]
fn claims_for_other_addresses_are_not_told() {
    let now = base();
    let mut responder = quiet(now);
    for sender in [STRANGER, ELSEWHERE, CLIENT_IP] {
        responder.handle_frame(
            &ArpFrame {
                sender,
                target: sender,
                ..ArpFrame::default()
            }
            .bytes(),
            META,
            now,
        );
    }
    assert_eq!(events(&mut responder), []);
    assert_eq!(responder.foreign_told.len(), 0);
}

// L2-07: everything we send, mirrored back by a span port or a loop.
#[test]
fn own_frames_mirrored_back_do_nothing() {
    let now = base();
    let mut responder = responder(now);
    responder.handle_frame(&request_of(CLIENT), META, now);
    responder.handle_frame(&solicitation_of(CLIENT), META, now);
    responder.handle_frame(&NdFrame::dad().bytes(), META, now);
    let sent = drain(&mut responder);
    assert_eq!(sent.len(), 3 + 3, "three replies and the first rounds");
    for transmit in &sent {
        responder.handle_frame(&transmit.bytes, META, now);
        responder.handle_frame(
            &transmit.bytes,
            FrameMeta {
                outgoing: true,
                ..META
            },
            now,
        );
    }
    assert_eq!(drain(&mut responder), []);
    assert_eq!(events(&mut responder), []);
    assert_eq!(responder.counters().dropped(DropReason::OwnEcho), 6);
    assert_eq!(responder.counters().dropped(DropReason::Outgoing), 6);
}
