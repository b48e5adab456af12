//! Probes before the first use, addresses in use, defence, and other speakers on our addresses.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::packet::{Ethernet, arp, nd};
use crate::testing::*;
use crate::{
    Config, DropReason, Event, Interface, MacAddr, PROBE_RETRY, PROBE_SPACING, Responder, Transmit,
    TransmitKind,
};

const SECOND: Duration = Duration::from_secs(1);

/// For [`VIP`] and [`VIP6`], which nobody has announced before.
fn virgin(now: Instant) -> Responder {
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    let here = set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]);
    responder.set_addresses_probing(&here, &set([ELSEWHERE]), |_| true, now);
    responder
}

fn times(sent: &[(Instant, Transmit)], from: Instant, kind: TransmitKind) -> Vec<u64> {
    sent.iter()
        .filter(|(_, transmit)| transmit.kind == kind)
        .map(|(at, _)| u64::try_from((*at - from).as_millis()).unwrap())
        .collect()
}

/// A host that says that it has [`VIP`].
fn claim(mac: MacAddr, operation: u16) -> Vec<u8> {
    let frame = ArpFrame {
        source: mac,
        operation,
        sender_mac: mac,
        sender: VIP,
        ..ArpFrame::default()
    };
    frame.bytes()
}

/// The same of [`VIP6`].
fn claim6(mac: MacAddr) -> NdFrame {
    NdFrame {
        source_mac: mac,
        options: option(2, mac),
        ..NdFrame::advertisement()
    }
}

/// A host that wants to have [`VIP`].
fn probe(mac: MacAddr) -> Vec<u8> {
    let frame = ArpFrame {
        source: mac,
        sender_mac: mac,
        sender: std::net::Ipv4Addr::UNSPECIFIED,
        ..ArpFrame::default()
    };
    frame.bytes()
}

fn dad(mac: MacAddr, options: Vec<u8>) -> Vec<u8> {
    let frame = NdFrame {
        source_mac: mac,
        options,
        ..NdFrame::dad()
    };
    frame.bytes()
}

// L2-54
#[test]
fn an_address_is_not_in_use_by_a_station_that_turns_out_to_be_a_speaker() {
    let now = base();
    let mut responder = virgin(now);
    responder.handle_frame(&claim(OTHER, 2), META, now);
    assert_eq!(responder.in_use().count(), 1);
    responder.set_speaker_macs(&[OTHER].into());
    assert_eq!(responder.in_use().count(), 0);
    let sent = run(&mut responder, now, now + SECOND);
    let said = times(&sent, now, TransmitKind::Gratuitous(VIP.into()));
    assert!(!said.is_empty(), "announced, and not asked for once more");
    let asked = times(&sent, now, TransmitKind::Probe(VIP.into()));
    assert!(asked.is_empty());
}

// L2-51 L2-75
#[test]
fn a_new_address_is_asked_for_three_times_and_then_announced() {
    let now = base();
    let mut responder = virgin(now);
    assert!(responder.announced().is_empty());
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    assert_eq!(responder.counters().dropped(DropReason::Probing), 1);
    let sent = run(&mut responder, now, now + 10 * SECOND);
    for address in [IpAddr::V4(VIP), IpAddr::V6(VIP6)] {
        let asked = times(&sent, now, TransmitKind::Probe(address));
        assert_eq!(asked, [0, 100, 200], "{address}");
        let said = times(&sent, now, TransmitKind::Gratuitous(address));
        assert_eq!(said.first(), Some(&300), "{address}");
    }
    assert_eq!(responder.announced(), *responder.addresses());
    assert!(responder.take_announced_changed() && !responder.take_announced_changed());
    responder.handle_frame(&ArpFrame::default().bytes(), META, now + 10 * SECOND);
    assert_eq!(drain(&mut responder).len(), 1);
}

// L2-51
#[test]
fn an_arp_probe_claims_nothing() {
    let now = base();
    let mut responder = virgin(now);
    let sent = drain(&mut responder);
    let bytes = &sent
        .iter()
        .find(|sent| sent.kind == TransmitKind::Probe(VIP.into()))
        .unwrap()
        .bytes;
    let written = ArpFrame {
        source: US,
        sender_mac: US,
        sender: std::net::Ipv4Addr::UNSPECIFIED,
        ..ArpFrame::default()
    };
    assert_eq!(*bytes, written.bytes());
}

// L2-75
#[test]
fn a_solicitation_of_our_own_has_a_nonce_and_no_source() {
    let now = base();
    let mut responder = virgin(now);
    let sent = drain(&mut responder);
    let bytes = &sent
        .iter()
        .find(|sent| sent.kind == TransmitKind::Probe(VIP6.into()))
        .unwrap()
        .bytes;
    let frame = Ethernet::parse(bytes).unwrap();
    assert_eq!(frame.destination, nd::solicited_node_mac(VIP6));
    let nd::Message::Solicitation { options, .. } = nd::Message::parse(frame.payload).unwrap()
    else {
        panic!("{frame:?}");
    };
    let nonce = MacAddr(options.nonce.unwrap());
    assert_eq!(*bytes, dad(US, option(14, nonce)), "octet by octet");
    // Another seed has another nonce: two nodes must not take each other for an echo.
    let mut other = Responder::new(Config::default(), INTERFACE, 2, now);
    other.set_addresses_probing(&set([VIP6]), &set::<IpAddr>([]), |_| true, now);
    assert_ne!(drain(&mut other)[0].bytes, *bytes);
}

// L2-52 L2-75
#[test]
fn whoever_answers_or_asks_meanwhile_has_the_address() {
    let now = base();
    let cases: [(&str, Vec<u8>, IpAddr); 6] = [
        ("a reply", claim(OTHER, 2), VIP.into()),
        ("a gratuitous request", claim(OTHER, 1), VIP.into()),
        ("a probe", probe(OTHER), VIP.into()),
        ("an advertisement", claim6(OTHER).bytes(), VIP6.into()),
        ("a solicitation", dad(OTHER, Vec::new()), VIP6.into()),
        (
            "another's nonce",
            dad(OTHER, option(14, OTHER)),
            VIP6.into(),
        ),
    ];
    for (name, frame, address) in cases {
        let mut responder = virgin(now);
        run(&mut responder, now, now + ms(250));
        responder.handle_frame(&frame, META, now + ms(250));
        let in_use = Event::InUse {
            address,
            mac: OTHER,
        };
        assert_eq!(events(&mut responder), [in_use], "{name}");
        let found: Vec<_> = responder.in_use().collect();
        assert_eq!(found, [(address, OTHER)], "{name}");
        let sent = run(&mut responder, now + ms(250), now + 20 * SECOND);
        let about = |sent: &(Instant, Transmit)| sent.1.kind.address() == address;
        assert!(!sent.iter().any(about), "{name}: silent");
        assert!(!responder.announced().contains(&address), "{name}");
        assert_eq!(
            responder.announced().len(),
            1,
            "{name}: the other is announced"
        );
    }
}

// L2-52
#[test]
fn an_address_in_use_is_tried_again_and_told_once() {
    let now = base();
    let mut responder = virgin(now);
    responder.handle_frame(&claim(OTHER, 2), META, now);
    assert_eq!(events(&mut responder).len(), 1);
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    assert_eq!(responder.counters().dropped(DropReason::AddressInUse), 1);
    let sent = run(&mut responder, now, now + PROBE_RETRY - ms(1));
    assert!(times(&sent, now, TransmitKind::Probe(VIP.into())).is_empty());
    // It still has it: nothing new to tell, and another half minute.
    let again = now + PROBE_RETRY;
    responder.handle_timeout(again);
    assert_eq!(drain(&mut responder).len(), 1);
    responder.handle_frame(&claim(OTHER, 2), META, again + ms(1));
    assert!(events(&mut responder).is_empty());
    assert_eq!(responder.in_use().count(), 1);
    // It has gone.
    let later = again + ms(1) + PROBE_RETRY;
    let sent = run(&mut responder, again + ms(1), later + SECOND);
    let asked = times(&sent, later, TransmitKind::Probe(VIP.into()));
    assert_eq!(asked, [0, 100, 200]);
    let said = times(&sent, later, TransmitKind::Gratuitous(VIP.into()));
    assert_eq!(said.first(), Some(&300));
    assert_eq!(responder.in_use().count(), 0);
    assert!(responder.announced().contains(&VIP.into()));
}

// L2-51 L2-52
#[test]
fn what_we_and_other_speakers_say_while_probing_is_no_use() {
    let now = base();
    let second = MacAddr([0x02, 0, 0, 0, 0, 0x02]);
    let mut responder = virgin(now);
    responder.set_own_macs(&[US, second].into());
    responder.set_speaker_macs(&[OTHER].into());
    let echo = drain(&mut responder)
        .into_iter()
        .find(|sent| sent.kind == TransmitKind::Probe(VIP6.into()))
        .unwrap();
    // Our own solicitation by another way, with whatever address a bridge gave it.
    let mut echo = echo.bytes;
    echo[6..12].copy_from_slice(&CLIENT.octets());
    for frame in [
        probe(second),
        claim(second, 2),
        probe(OTHER),
        dad(OTHER, Vec::new()),
        echo,
    ] {
        responder.handle_frame(&frame, META, now);
    }
    assert_eq!(responder.counters().dropped(DropReason::OwnEcho), 1);
    assert!(events(&mut responder).is_empty());
    run(&mut responder, now, now + SECOND);
    assert_eq!(responder.announced().len(), 2);
}

// L2-51
#[test]
fn a_probe_waits_for_the_link_and_begins_again_with_it() {
    let now = base();
    let mut responder = virgin(now);
    run(&mut responder, now, now + ms(150));
    let down = Interface {
        usable: false,
        ..INTERFACE
    };
    responder.set_interface(down, now + ms(150));
    assert!(run(&mut responder, now + ms(150), now + 60 * SECOND).is_empty());
    let up = now + 60 * SECOND;
    responder.set_interface(INTERFACE, up);
    let sent = run(&mut responder, up, up + SECOND);
    let asked = times(&sent, up, TransmitKind::Probe(VIP.into()));
    assert_eq!(asked, [0, 100, 200]);
    // Proven once, it is not asked for again.
    responder.set_interface(down, up + SECOND);
    responder.set_interface(INTERFACE, up + SECOND);
    let sent = run(&mut responder, up + SECOND, up + 2 * SECOND);
    assert!(times(&sent, up, TransmitKind::Probe(VIP.into())).is_empty());
    assert!(!times(&sent, up, TransmitKind::Gratuitous(VIP.into())).is_empty());
}

// L2-51
#[test]
fn a_probe_the_kernel_refused_is_sent_again() {
    let now = base();
    let mut responder = virgin(now);
    let sent = drain(&mut responder);
    assert_eq!(sent.len(), 2);
    for transmit in sent {
        responder.transmit_failed(transmit.kind, now);
    }
    let sent = run(&mut responder, now, now + SECOND);
    assert_eq!(
        times(&sent, now, TransmitKind::Probe(VIP.into())),
        [100, 200, 300]
    );
    assert_eq!(
        times(&sent, now, TransmitKind::Gratuitous(VIP.into()))[0],
        400
    );
}

// L2-51
#[test]
fn a_takeover_is_never_delayed_and_the_question_is_asked_once() {
    let now = base();
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    let here = set([VIP]);
    let nothing = set::<IpAddr>([]);
    responder.set_addresses_probing(&here, &nothing, |_| false, now);
    assert_eq!(
        drain(&mut responder)[0].kind,
        TransmitKind::Gratuitous(VIP.into())
    );
    // Once it is here, it is nothing new.
    let both = set([IpAddr::V4(VIP), IpAddr::V4(STRANGER)]);
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    responder.set_addresses_probing(&here, &nothing, |_| true, now);
    let first_use = |address| {
        assert_eq!(address, IpAddr::V4(STRANGER));
        false
    };
    responder.set_addresses_probing(&both, &nothing, first_use, now + ms(50));
    assert_eq!(responder.announced(), set([STRANGER]));
    // Gone before it was proven: nothing is left of it.
    responder.set_addresses(&nothing, &nothing, now + ms(60));
    assert_eq!(responder.poll_timeout(), None);
    assert!(run(&mut responder, now + ms(60), now + SECOND).is_empty());
}

// L2-51
#[test]
fn a_thousand_new_addresses_are_proven_within_their_budget() {
    let now = base();
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    let here: Vec<_> = (0..1_000_u16)
        .map(|n| std::net::Ipv4Addr::new(198, 18, n.to_be_bytes()[0], n.to_be_bytes()[1]))
        .filter(|address| address.octets()[3] != 255 || address.octets()[2] != 255)
        .collect();
    responder.set_addresses_probing(&set(here), &set::<IpAddr>([]), |_| true, now);
    let sent = run(&mut responder, now, now + ms(700));
    let probes: Vec<Instant> = sent
        .iter()
        .filter(|(_, transmit)| matches!(transmit.kind, TransmitKind::Probe(_)))
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(probes.len(), 3_000);
    for at in &probes {
        let within = probes
            .iter()
            .filter(|other| **other >= *at && **other < *at + ms(100))
            .count();
        assert!(within <= 1_300, "12,000 a second and a burst: {within}");
    }
    assert_eq!(responder.announced().len(), 1_000, "in 0.7 s");
}

// L2-51
#[test]
fn the_first_verdict_among_thousands_does_not_wait_for_the_last_ones_first_probe() {
    let now = base();
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    let here: Vec<_> = (0..10_000_u32)
        .map(|n| std::net::Ipv4Addr::from_bits(0x0a01_0000 + n))
        .collect();
    responder.set_addresses_probing(&set(here), &set::<IpAddr>([]), |_| true, now);
    run(&mut responder, now, now + ms(500));
    let soon = responder.announced().len();
    assert!(soon >= 400, "{soon} announced after 0.5 s");
    run(&mut responder, now + ms(500), now + ms(3_000));
    assert_eq!(responder.announced().len(), 10_000, "in 3 s");
}

// L2-53
#[test]
fn a_claim_is_told_once_and_defended_at_once_and_then_each_ten_seconds() {
    let now = base();
    let mut responder = quiet(now);
    let start = now + 10 * SECOND;
    run(&mut responder, now, start);
    // Two stations in turn, each 10 ms, for 25 s, by request and reply.
    let mut sent = Vec::new();
    for n in 0..2_500_u32 {
        let at = start + n * ms(10);
        let mac = if n % 2 == 0 { OTHER } else { CLIENT };
        let frame = claim(mac, 1 + u16::try_from(n % 2).unwrap());
        responder.handle_frame(&frame, META, at);
        sent.extend(drain(&mut responder).into_iter().map(|sent| (at, sent)));
        responder.handle_timeout(at);
        sent.extend(drain(&mut responder).into_iter().map(|sent| (at, sent)));
    }
    // Both frames of a round; a refresh may fall in between, so the defences are counted, too.
    let said = times(&sent, start, TransmitKind::Gratuitous(VIP.into()));
    assert_eq!(said.first(), Some(&0));
    assert!(said.contains(&10_000) && said.contains(&20_000), "{said:?}");
    assert!(said.len() <= 8, "{said:?}");
    let counters = responder.counters().addresses[&VIP.into()];
    assert_eq!((counters.foreign_claims, counters.defences), (2_500, 3));
    let told: Vec<Event> = [OTHER, CLIENT]
        .map(|mac| Event::ForeignClaim {
            address: VIP.into(),
            mac,
        })
        .into();
    assert_eq!(events(&mut responder), told);
    // Ten minutes later it is news again.
    responder.handle_frame(&claim(OTHER, 2), META, start + 599 * SECOND);
    assert!(events(&mut responder).is_empty());
    responder.handle_frame(&claim(OTHER, 2), META, start + 600 * SECOND);
    assert_eq!(events(&mut responder), told[..1]);
}

// L2-53 L2-76
#[test]
fn a_defence_is_one_round_of_its_family() {
    let now = base();
    let mut responder = quiet(now);
    let later = now + 10 * SECOND;
    run(&mut responder, now, later);
    responder.handle_frame(&claim(OTHER, 2), META, later);
    let sent: Vec<_> = drain(&mut responder).into_iter().map(|s| s.bytes).collect();
    let round = [
        arp::gratuitous_request(US, VIP),
        arp::gratuitous_reply(US, VIP),
    ];
    assert_eq!(sent, round);
    responder.handle_frame(&claim6(OTHER).bytes(), META, later);
    let sent: Vec<_> = drain(&mut responder).into_iter().map(|s| s.bytes).collect();
    assert_eq!(sent, [nd::multicast_advertisement(US, VIP6)]);
    // And what it began is over: no burst follows.
    assert!(run(&mut responder, later, later + 4 * SECOND).is_empty());
}

// L2-76
#[test]
fn an_invalid_advertisement_is_no_claim() {
    let now = base();
    let solicited = NdFrame {
        flags: 0x60,
        ..claim6(OTHER)
    };
    let hops = NdFrame {
        hop_limit: 254,
        ..claim6(OTHER)
    };
    let sum = NdFrame {
        checksum_error: 1,
        ..claim6(OTHER)
    };
    for (frame, reason) in [
        (solicited, DropReason::SolicitedToMulticast),
        (hops, DropReason::HopLimit),
        (sum, DropReason::Checksum),
    ] {
        for mut responder in [virgin(now), quiet(now)] {
            drain(&mut responder);
            responder.handle_frame(&frame.bytes(), META, now);
            assert_eq!(responder.counters().dropped(reason), 1);
            assert!(events(&mut responder).is_empty(), "{reason:?}");
            assert!(drain(&mut responder).is_empty(), "{reason:?}");
            assert_eq!(responder.in_use().count(), 0, "{reason:?}");
        }
    }
}

// L2-54 L2-76
#[test]
fn another_speaker_is_told_each_second_and_never_fought() {
    let now = base();
    let mut responder = quiet(now);
    responder.set_speaker_macs(&[OTHER].into());
    let start = now + 10 * SECOND;
    run(&mut responder, now, start);
    let mut told = 0;
    for n in 0..100_u32 {
        let at = start + n * ms(25);
        responder.handle_frame(&claim(OTHER, 2), META, at);
        responder.handle_frame(&claim6(OTHER).bytes(), META, at);
        assert!(drain(&mut responder).is_empty(), "no defence");
        let events = events(&mut responder);
        let right = |event: &Event| matches!(event, Event::SpeakerClaim { mac: OTHER, .. });
        assert!(events.iter().all(right), "{events:?}");
        told += events.len();
    }
    // At 0, 1 and 2 s, of two addresses.
    assert_eq!(told, 6);
    let counters = responder.counters().addresses[&VIP.into()];
    assert_eq!((counters.speaker_claims, counters.foreign_claims), (100, 0));
}

#[test]
fn the_spacing_of_probes_is_what_the_row_says() {
    assert_eq!((PROBE_SPACING, PROBE_RETRY), (ms(100), 30 * SECOND));
    assert_eq!(MacAddr([0x52, 0x54, 0, 1, 2, 3]).vendor(), Some("QEMU/KVM"));
    assert_eq!(
        MacAddr([0, 0, 0x5e, 0, 1, 9]).vendor(),
        Some("a VRRP router")
    );
    assert_eq!(MacAddr([2, 0, 0, 0, 0, 1]).vendor(), None);
}
