//! Peers that lie, flood and repeat.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::endpoint::{EVENTS_MAX, SESSIONS_MAX};
use crate::testing::{Hand, PEER, Raw, US, base, ms, profile};
use crate::{DropReason, Endpoint, Meta, Mode, Profile, SessionKey, State};
use State::{AdminDown, Down, Up};

fn peer() -> Raw {
    Raw {
        min_tx_us: 50_000,
        ..Raw::default()
    }
}

// BFD-36
#[test]
fn a_flood_of_polls_gets_200_answers_a_second() {
    let mut hand = Hand::up(profile(50, 3), peer());
    for _ in 0..100_000 {
        hand.now += std::time::Duration::from_micros(10);
        hand.take_state(
            Up,
            Raw {
                flags: 0x20,
                ..peer()
            },
        );
    }
    let answers = hand.sent().iter().filter(|p| p.finished).count();
    assert!((190..=201).contains(&answers), "{answers}");
}

// BFD-37
#[test]
fn a_state_that_flaps_each_millisecond_makes_no_storm() {
    let mut hand = Hand::up(profile(50, 3), peer());
    for n in 0..5_000u32 {
        let state = [AdminDown, Down, State::Init, Up][n as usize % 4];
        hand.take_state(state, peer());
        hand.wait(ms(1));
    }
    let sent = hand.sent().len();
    assert!(sent <= 1_100, "{sent} in 5 s");
    assert!(hand.events.len() <= EVENTS_MAX);
}

// BFD-06
#[test]
fn own_packets_that_come_back_never_raise_us_and_change_our_name() {
    let mut hand = Hand::new(profile(50, 3));
    let first = hand.mine();
    for _ in 0..3 {
        hand.take(Raw {
            mine: hand.mine(),
            ..Raw::default()
        });
        assert_eq!(hand.status().state, Down);
    }
    assert_ne!(hand.mine(), first, "after three another name is tried");
    assert_eq!(hand.status().drops.of(DropReason::Reflected), 3);
    for _ in 0..1_000 {
        let mine = hand.mine();
        hand.take(Raw {
            mine,
            ..Raw::default()
        });
        hand.take(Raw {
            mine,
            yours: mine,
            state: 2,
            ..Raw::default()
        });
        assert_eq!(hand.status().state, Down);
    }
}

// BFD-06
#[test]
fn a_second_peer_behind_the_same_address_is_not_heard_while_up() {
    let mut hand = Hand::up(profile(50, 3), peer());
    for n in 1..100 {
        hand.take(Raw {
            mine: n,
            ..Raw::default()
        });
    }
    assert_eq!(hand.status().state, Up);
    assert_eq!(hand.status().drops.of(DropReason::ForeignDiscriminator), 99);
}

// BFD-04
#[test]
fn guessing_our_discriminator_refreshes_nothing() {
    let mut hand = Hand::up(profile(50, 3), peer());
    for n in 1..10_000u32 {
        hand.take(Raw {
            yours: n,
            state: 3,
            ..peer()
        });
    }
    hand.wait(ms(150));
    assert_eq!(hand.status().state, Down);
}

// BFD-32
#[test]
fn intervals_from_zero_to_the_largest_are_survived() {
    let mut hand = Hand::up(profile(50, 3), peer());
    for n in 0..2_000u32 {
        let value = [0, 1, u32::MAX, 50_000][n as usize % 4];
        let multiplier = [1, 255][n as usize % 2];
        let flags = (n as u8 & 0x1f) << 1 & 0x3a;
        hand.take_state(
            Up,
            Raw {
                min_rx_us: value,
                min_tx_us: value,
                multiplier,
                flags,
                ..peer()
            },
        );
        hand.wait(ms(1));
    }
    let rate = hand.sent().len();
    assert!(rate <= 500, "{rate} in 2 s");
}

// BFD-13
#[test]
fn more_sessions_than_the_limit_are_refused_and_counted() {
    let now = base();
    let mut endpoint = Endpoint::new(1, now);
    let count = SESSIONS_MAX as u32 + 10;
    let set: BTreeMap<_, _> = (0..count)
        .map(|n| {
            (
                SessionKey::new(IpAddr::V4(Ipv4Addr::from(n)), Mode::SingleHop),
                Profile::default(),
            )
        })
        .collect();
    endpoint.set_sessions(&set, now);
    assert_eq!(endpoint.sessions().count(), SESSIONS_MAX);
    assert_eq!(endpoint.counters().sessions_refused, 10);
}

#[test]
fn a_thousand_sessions_made_and_taken_away_leave_nothing() {
    let now = base();
    let mut endpoint = Endpoint::new(1, now);
    let set: BTreeMap<_, _> = (0..1_000)
        .map(|n| {
            (
                SessionKey::new(IpAddr::V4(Ipv4Addr::from(n)), Mode::SingleHop),
                Profile::default(),
            )
        })
        .collect();
    endpoint.set_sessions(&set, now);
    endpoint.set_sessions(&BTreeMap::new(), now);
    while endpoint.poll_transmit().is_some() {}
    while endpoint.poll_action().is_some() {}
    let mut at = now;
    while let Some(due) = endpoint.poll_timeout() {
        at = due.max(at);
        endpoint.handle_timeout(at);
        while endpoint.poll_transmit().is_some() {}
    }
    // A detection time of the peers, who would miss packets of 1 s.
    assert!(at <= now + ms(3_000));
    assert!(endpoint.is_empty() && endpoint.deadlines.is_empty() && endpoint.senders.is_empty());
}

// BFD-55
#[test]
fn a_session_is_at_most_2_kib() {
    let size = std::mem::size_of::<crate::session::Session>();
    assert!(size + 4 * 64 <= 2_048, "{size} octets");
}

proptest! {
    /// Any datagrams at any times: no panic, sends and events bounded by the sessions' own rates, deadlines move on.
    // BFD-03, BFD-09
    #[test]
    fn any_datagrams_keep_the_endpoint_in_its_bounds(
        packets in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..30), any::<(bool, bool, bool)>(), 0u64..50),
            1..60,
        ),
    ) {
        let mut hand = Hand::up(Profile::default(), peer());
        let start = hand.now;
        for (mut bytes, (known, whole, right), pause) in packets {
            if whole {
                bytes.resize(24, 0);
                bytes[0] = 0x20;
                bytes[3] = 24;
                bytes[2] |= 1;
            }
            if known && bytes.len() >= 12 {
                bytes[8..12].copy_from_slice(&hand.mine().to_be_bytes());
            }
            let remote = if right { PEER } else { US };
            let meta = Meta { remote, ..hand.meta() };
            hand.take_with(&bytes, meta);
            hand.wait(ms(pause));
        }
        let passed = (hand.now - start).as_millis() as usize;
        prop_assert!(hand.sent.len() <= 20 + passed * 2 / 5 + passed / 200);
    }
}
