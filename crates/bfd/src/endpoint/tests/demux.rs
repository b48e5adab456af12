//! Which session a packet is for, and every reason why for none.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::endpoint::DISCRIMINATOR_REST;
use crate::testing::{Hand, INTERFACE, PEER, Raw, THEIRS, US, base, key, ms, profile};
use crate::{Action, DropReason, Endpoint, Event, Meta, Mode, Profile, SessionKey, State, Status};

/// Hands one packet to a session and tells the reason of its drop, with everything else unchanged.
#[track_caller]
fn dropped(hand: &mut Hand, bytes: &[u8], meta: Meta) -> DropReason {
    let still = |s: Status| Status {
        drops: Default::default(),
        ..s
    };
    let (before, drops) = (hand.status(), *hand.endpoint.counters());
    hand.take_with(bytes, meta);
    assert_eq!(
        still(hand.status()),
        still(before),
        "a drop changes nothing"
    );
    assert!(hand.sent.is_empty(), "a drop is not answered");
    let after = hand.endpoint.counters().drops;
    let mut reasons = after.iter().filter(|(r, n)| *n != drops.drops.of(*r));
    let (reason, _) = reasons.next().expect("it was dropped");
    assert!(reasons.next().is_none(), "for one reason");
    reason
}

// BFD-02, BFD-04, BFD-05, BFD-06, BFD-09, BFD-12, BFD-13
#[test]
fn every_check_has_its_own_reason_and_changes_nothing() {
    let mut hand = Hand::up(profile(50, 3), Raw::default());
    let (meta, yours) = (hand.meta(), hand.mine());
    let up = Raw {
        state: 3,
        yours,
        min_tx_us: 50_000,
        ..Raw::default()
    };
    let down = Raw::default();
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
    let authenticated = [
        Raw {
            flags: 4,
            length: 26,
            ..up
        }
        .bytes(),
        vec![1, 2],
    ]
    .concat();
    let multi = Mode::MultiHop;
    use DropReason::*;
    let cases = [
        (
            up.bytes(),
            Meta {
                ttl: Some(254),
                ..meta
            },
            Ttl,
        ),
        (up.bytes(), Meta { ttl: None, ..meta }, Ttl),
        (
            Raw { version: 2, ..up }.bytes(),
            Meta {
                ttl: Some(1),
                ..meta
            },
            Ttl,
        ),
        (Raw { version: 2, ..up }.bytes(), meta, Version),
        (Raw { length: 23, ..up }.bytes(), meta, LengthTooSmall),
        (Raw { length: 25, ..up }.bytes(), meta, LengthTooLarge),
        (
            Raw {
                multiplier: 0,
                ..up
            }
            .bytes(),
            meta,
            Multiplier,
        ),
        (Raw { flags: 1, ..up }.bytes(), meta, Multipoint),
        (Raw { mine: 0, ..up }.bytes(), meta, MyDiscriminator),
        (
            Raw {
                yours: yours ^ 1,
                ..up
            }
            .bytes(),
            meta,
            UnknownDiscriminator,
        ),
        (Raw { yours: 0, ..up }.bytes(), meta, NoDiscriminator),
        (
            Raw {
                yours: 0,
                state: 2,
                ..up
            }
            .bytes(),
            meta,
            NoDiscriminator,
        ),
        (
            up.bytes(),
            Meta {
                remote: other,
                ..meta
            },
            WrongAddress,
        ),
        (
            up.bytes(),
            Meta {
                local: Some(other),
                ..meta
            },
            WrongAddress,
        ),
        (
            up.bytes(),
            Meta {
                vrf: Some(9),
                ..meta
            },
            WrongAddress,
        ),
        (
            up.bytes(),
            Meta {
                mode: multi,
                ..meta
            },
            WrongPort,
        ),
        (
            down.bytes(),
            Meta {
                mode: multi,
                ..meta
            },
            WrongPort,
        ),
        (
            down.bytes(),
            Meta {
                remote: other,
                ..meta
            },
            UnknownPeer,
        ),
        (
            down.bytes(),
            Meta {
                local: None,
                ..meta
            },
            UnknownPeer,
        ),
        (authenticated, meta, AuthUnexpected),
        (Raw { mine: yours, ..up }.bytes(), meta, Reflected),
        (
            Raw {
                mine: THEIRS + 1,
                ..down
            }
            .bytes(),
            meta,
            ForeignDiscriminator,
        ),
    ];
    for (number, (bytes, meta, reason)) in cases.into_iter().enumerate() {
        assert_eq!(dropped(&mut hand, &bytes, meta), reason, "case {number}");
    }
    assert_eq!(
        hand.status().drops.of(WrongPort),
        2,
        "the status knows of the other mode"
    );
    // And the peer that lost us, but is the same, is heard.
    hand.take(down);
    assert_eq!(hand.status().state, State::Down);
}

// BFD-06, BFD-16
#[test]
fn a_session_bound_to_an_interface_hears_no_other() {
    let link_local: IpAddr = "fe80::2".parse().unwrap();
    let bound = SessionKey {
        peer: link_local,
        local: None,
        interface: Some(INTERFACE),
        ..key(Mode::SingleHop)
    };
    let mut hand = Hand::with(bound, profile(50, 3));
    let here = Meta {
        remote: link_local,
        local: "fe80::1".parse().ok(),
        ..hand.meta()
    };
    let there = Meta {
        interface: 8,
        ..here
    };
    let down = Raw::default();
    assert_eq!(
        {
            hand.sent.clear();
            dropped(&mut hand, &down.bytes(), there)
        },
        DropReason::UnknownPeer
    );
    hand.take_with(&down.bytes(), here);
    assert_eq!(hand.status().state, State::Init);
    hand.sent.clear();
    let init = Raw {
        state: 2,
        yours: hand.mine(),
        ..down
    };
    assert_eq!(
        dropped(&mut hand, &init.bytes(), there),
        DropReason::WrongInterface
    );
}

// BFD-02, BFD-48
#[test]
fn multihop_takes_the_minimum_ttl_of_its_profile() {
    let mut hand = Hand::with(
        key(Mode::MultiHop),
        Profile {
            minimum_ttl: 250,
            ..profile(50, 3)
        },
    );
    hand.sent.clear();
    let down = Raw::default().bytes();
    for ttl in [None, Some(0), Some(249)] {
        let meta = Meta { ttl, ..hand.meta() };
        assert_eq!(dropped(&mut hand, &down, meta), DropReason::Ttl);
    }
    let meta = Meta {
        ttl: Some(250),
        ..hand.meta()
    };
    hand.take_with(&down, meta);
    assert_eq!(hand.status().state, State::Init);
}

// BFD-13
#[test]
fn strangers_create_nothing_and_are_told_of_once_a_minute() {
    let mut hand = Hand::new(profile(50, 3));
    let told = |hand: &mut Hand| {
        let stranger = |e: &Event| matches!(e, Event::UnknownPeer { .. });
        let count = hand.events.iter().filter(|e| stranger(e)).count();
        hand.events.clear();
        count
    };
    for n in 0..10_000u32 {
        let remote = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n));
        let meta = Meta {
            remote,
            ..hand.meta()
        };
        hand.take_with(
            &Raw {
                mine: n + 1,
                ..Raw::default()
            }
            .bytes(),
            meta,
        );
    }
    assert_eq!(told(&mut hand), 1);
    assert_eq!(hand.endpoint.sessions().count(), 1);
    assert_eq!(
        hand.endpoint.counters().drops.of(DropReason::UnknownPeer),
        10_000
    );
    hand.wait(ms(60_000));
    let meta = Meta {
        remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ..hand.meta()
    };
    hand.take_with(&Raw::default().bytes(), meta);
    assert_eq!(told(&mut hand), 1);
}

// BFD-14
#[test]
fn discriminators_are_unique_and_rest_before_they_are_used_again() {
    let now = base();
    let mut endpoint = Endpoint::new(3, now);
    let keys =
        |n: u32| (0..n).map(|n| SessionKey::new(IpAddr::V4(Ipv4Addr::from(n)), Mode::SingleHop));
    let set: BTreeMap<_, _> = keys(1_000).map(|k| (k, Profile::default())).collect();
    let mut seen = std::collections::BTreeSet::new();
    let mut at = now;
    // Four times a thousand sessions within five minutes.
    for _ in 0..4 {
        endpoint.set_sessions(&set, at);
        for (_, status) in endpoint.sessions() {
            assert!(
                seen.insert(status.local_discriminator),
                "used again too soon"
            );
        }
        assert_eq!(endpoint.sessions().count(), 1_000);
        while endpoint.poll_transmit().is_some() {}
        endpoint.set_sessions(&BTreeMap::new(), at);
        while endpoint.poll_transmit().is_some() {}
        at += ms(5_000);
        endpoint.handle_timeout(at);
        assert!(endpoint.is_empty());
    }
    assert_eq!(endpoint.resting.len(), 4_000);
    endpoint.handle_timeout(at + DISCRIMINATOR_REST);
    assert!(endpoint.resting.is_empty());
}

// BFD-10
#[test]
fn source_ports_are_distinct_and_a_taken_one_is_replaced() {
    let now = base();
    let mut endpoint = Endpoint::new(3, now);
    let set: BTreeMap<_, _> = (0..300)
        .map(|n| {
            (
                SessionKey::new(IpAddr::V4(Ipv4Addr::from(n)), Mode::SingleHop),
                Profile::default(),
            )
        })
        .collect();
    endpoint.set_sessions(&set, now);
    let mut ports = BTreeMap::new();
    let mut receivers = 0;
    while let Some(action) = endpoint.poll_action() {
        match action {
            Action::Open(id, socket) => drop(ports.insert(id, socket.source_port)),
            Action::OpenReceiver(_) => receivers += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(receivers, 1);
    let distinct: std::collections::BTreeSet<_> = ports.values().collect();
    assert_eq!(distinct.len(), 300);
    assert!(distinct.iter().all(|p| **p >= 49_152));
    let (id, old) = ports.first_key_value().map(|(i, p)| (*i, *p)).unwrap();
    endpoint.port_taken(id, now);
    let Some(Action::Open(again, socket)) = endpoint.poll_action() else {
        panic!("a new socket is asked for");
    };
    assert_eq!(again, id);
    assert!(socket.source_port != old && !ports.values().any(|p| *p == socket.source_port));
}

proptest! {
    /// First packets against a model: of the sessions that agree in everything they name, the one that names most.
    // BFD-12
    #[test]
    fn first_packets_find_the_session_a_model_finds(
        keys in proptest::collection::btree_set((0u8..2, 0u8..3, 0u32..3, any::<bool>()), 1..12),
        packet in (0u8..2, 0u8..2, 1u32..3, any::<bool>()),
    ) {
        let address = |n: u8| IpAddr::V4(Ipv4Addr::new(198, 51, 100, n));
        let mode = |multi: bool| if multi { Mode::MultiHop } else { Mode::SingleHop };
        // Local 2 and interface 0 stand for "not named".
        let key = |(peer, local, interface, multi): (u8, u8, u32, bool)| SessionKey {
            peer: address(peer),
            local: (local < 2).then(|| address(100 + local)),
            interface: (interface > 0).then_some(interface),
            vrf: None,
            mode: mode(multi),
        };
        let now = base();
        let mut endpoint = Endpoint::new(1, now);
        let set: BTreeMap<_, _> = keys.iter().map(|k| (key(*k), Profile::default())).collect();
        endpoint.set_sessions(&set, now);
        let (peer, local, interface, multi) = packet;
        let meta = Meta {
            remote: address(peer),
            local: Some(address(100 + local)),
            interface,
            vrf: None,
            mode: mode(multi),
            ttl: Some(255),
            received: now,
        };
        endpoint.handle_datagram(&Raw::default().bytes(), &meta, now);
        let expected = keys
            .iter()
            .filter(|k| k.0 == peer && k.3 == multi)
            .filter(|k| k.1 == 2 || k.1 == local)
            .filter(|k| k.2 == 0 || k.2 == interface)
            .max_by_key(|k| (k.1 < 2, k.2 > 0))
            .map(|k| key(*k));
        let moved: Vec<_> = endpoint
            .sessions()
            .filter(|(_, s)| s.state == State::Init)
            .map(|(_, s)| s.key)
            .collect();
        prop_assert_eq!(moved, expected.into_iter().collect::<Vec<_>>());
    }

    /// Whatever comes from elsewhere, a session in Up lives exactly as long as its peer lets it.
    // BFD-06, BFD-09
    #[test]
    fn nothing_from_elsewhere_changes_a_session(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        remote in any::<[u8; 4]>(),
        right_yours: bool,
    ) {
        let remote = IpAddr::from(remote);
        prop_assume!(remote != PEER && remote != US);
        let mut hand = Hand::up(profile(50, 3), Raw::default());
        let mut bytes = bytes;
        if right_yours && bytes.len() >= 12 {
            bytes[8..12].copy_from_slice(&hand.mine().to_be_bytes());
        }
        let meta = Meta { remote, ..hand.meta() };
        dropped(&mut hand, &bytes, meta);
    }
}
