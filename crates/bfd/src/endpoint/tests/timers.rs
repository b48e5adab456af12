//! When packets go, and when silence counts.

use std::time::Duration;

use proptest::prelude::*;

use crate::testing::{Hand, Raw, ms, profile, us};
use crate::{Cause, Meta, State};
use State::{Down, Init, Up};

fn gaps(hand: &Hand) -> Vec<Duration> {
    let times: Vec<_> = hand.sent.iter().map(|(at, _)| *at).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Keeps a session up by the peer's packets while time passes.
fn keep_up(hand: &mut Hand, time: Duration, peer: Raw) {
    let step = Duration::from_micros(u64::from(peer.min_tx_us) * 9 / 10);
    let until = hand.now + time;
    while hand.now < until {
        hand.take_state(Up, peer);
        hand.wait(step.min(until - hand.now));
    }
    assert_eq!(hand.status().state, Up);
}

// BFD-30
#[test]
fn packets_go_at_three_quarters_to_the_whole_of_the_slower_interval() {
    for (ours, theirs_us, multiplier, low, high) in [
        (50, 10_000, 3, 37_500, 50_000),
        (50, 100_000, 3, 75_000, 100_000),
        (50, 50_000, 1, 37_500, 45_000),
    ] {
        let peer = Raw {
            min_rx_us: theirs_us,
            min_tx_us: 50_000,
            ..Raw::default()
        };
        let mut hand = Hand::up(profile(ours, multiplier), peer);
        keep_up(&mut hand, ms(20_000), peer);
        let gaps = gaps(&hand);
        assert!(gaps.len() > 180, "{} packets", gaps.len());
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(
            *least >= us(low) && *most <= us(high),
            "{least:?} to {most:?}"
        );
        assert!(
            *most - *least > us((high - low) / 2),
            "jittered: {least:?} to {most:?}"
        );
    }
}

// BFD-31
#[test]
fn while_not_up_a_second_is_the_fastest() {
    let mut hand = Hand::new(profile(10, 3));
    hand.wait(ms(60_000));
    assert!(
        gaps(&hand)
            .iter()
            .all(|gap| *gap >= ms(750) && *gap <= ms(1_000))
    );
    assert!(
        hand.sent()
            .iter()
            .all(|p| (p.desired_min_tx_us, p.required_min_rx_us) == (1_000_000, 10_000))
    );
    let mut slow = Hand::new(profile(5_000, 3));
    assert_eq!(slow.sent()[0].desired_min_tx_us, 5_000_000);
}

// BFD-32
#[test]
fn detection_time_is_the_peers_multiplier_times_the_slower_interval() {
    for (ours, theirs_us, multiplier, expected) in [
        (50, 50_000, 3, ms(150)),
        (50, 2_000_000, 5, ms(10_000)),
        (300, 10_000, 4, ms(1_200)),
        (
            50,
            u32::MAX,
            255,
            Duration::from_micros(255 * 4_294_967_295),
        ),
    ] {
        let peer = Raw {
            min_tx_us: theirs_us,
            multiplier,
            ..Raw::default()
        };
        let hand = Hand::up(profile(ours, 7), peer);
        assert_eq!(hand.status().detection_time, Some(expected));
    }
}

// BFD-37
#[test]
fn only_a_change_of_contents_goes_outside_the_rhythm() {
    let peer = Raw {
        min_tx_us: 50_000,
        ..Raw::default()
    };
    let mut hand = Hand::new(profile(50, 3));
    assert_eq!(hand.sent().len(), 1);
    hand.take(peer);
    assert_eq!(
        hand.sent().iter().map(|p| p.state).collect::<Vec<_>>(),
        [Init]
    );
    hand.take_state(Init, peer);
    assert_eq!(
        hand.sent()
            .iter()
            .map(|p| (p.state, p.poll))
            .collect::<Vec<_>>(),
        [(Up, true)]
    );
    for _ in 0..5 {
        hand.take_state(
            Up,
            Raw {
                flags: 0x10,
                ..peer
            },
        );
        hand.wait(ms(1));
    }
    assert!(hand.sent().is_empty(), "neither F nor more of the same");
}

// BFD-38
#[test]
fn a_peer_that_wants_no_packets_gets_polls_and_answers_only() {
    let peer = Raw {
        min_rx_us: 0,
        min_tx_us: 50_000,
        ..Raw::default()
    };
    let mut hand = Hand::up(profile(50, 3), peer);
    keep_up(&mut hand, ms(5_000), peer);
    assert!(hand.sent().is_empty());
    hand.take_state(
        Up,
        Raw {
            flags: 0x20,
            ..peer
        },
    );
    assert!(hand.sent()[0].finished);
    hand.set(profile(60, 3));
    keep_up(&mut hand, ms(5_000), peer);
    let polls = hand.sent();
    assert!(
        (5..=8).contains(&polls.len()) && polls.iter().all(|p| p.poll),
        "{}",
        polls.len()
    );
}

// BFD-39
#[test]
fn a_peer_in_demand_mode_silences_us_while_both_are_up() {
    let peer = Raw {
        min_tx_us: 50_000,
        ..Raw::default()
    };
    let demand = Raw {
        flags: 0x02,
        ..peer
    };
    let mut hand = Hand::up(profile(50, 3), peer);
    keep_up(&mut hand, ms(2_000), demand);
    assert!(hand.sent().len() <= 1);
    assert!(hand.status().detection_time.is_some());
    keep_up(&mut hand, ms(1_000), peer);
    assert!(hand.sent().len() >= 15, "resumed");
    keep_up(&mut hand, ms(100), demand);
    hand.sent();
    hand.set(profile(60, 3));
    assert!(hand.sent()[0].poll, "a poll goes");
    hand.wait(ms(180));
    let change = hand.changes()[0];
    assert_eq!(
        (change.to, change.cause),
        (Down, Cause::DetectionTimeExpired),
        "our detection goes on"
    );
}

// BFD-40
#[test]
fn neither_echo_nor_demand_nor_the_c_bit_is_ever_said() {
    let peer = Raw {
        min_tx_us: 50_000,
        echo_us: 10_000,
        flags: 0x08,
        ..Raw::default()
    };
    let mut hand = Hand::up(profile(50, 3), peer);
    keep_up(&mut hand, ms(1_000), peer);
    assert!(hand.status().remote_control_plane_independent, "shown only");
    for packet in hand.sent() {
        assert_eq!(packet.required_min_echo_rx_us, 0);
        assert!(!packet.demand && !packet.control_plane_independent && !packet.authenticated);
    }
}

// BFD-07, BFD-50, BFD-51
#[test]
fn a_loop_held_up_declares_nothing_that_the_kernel_heard_in_time() {
    let peer = Raw {
        min_tx_us: 50_000,
        ..Raw::default()
    };
    let mut hand = Hand::up(profile(50, 3), peer);
    let heard = hand.now;
    // Held up for 200 ms; the kernel got packets at 45, 90, 135 and 180 ms.
    hand.now += ms(200);
    let yours = hand.mine();
    for at in [45, 90, 135, 180] {
        let meta = Meta {
            received: heard + ms(at),
            ..hand.meta()
        };
        hand.take_with(
            &Raw {
                state: 3,
                yours,
                ..peer
            }
            .bytes(),
            meta,
        );
    }
    hand.endpoint.handle_timeout(hand.now);
    hand.drain();
    assert!(hand.changes().is_empty());
    // The detection timer counts from the kernel's time of the last one, not from when it was read.
    hand.wait(ms(129));
    assert!(hand.changes().is_empty());
    hand.wait(ms(1));
    assert_eq!(hand.changes()[0].silence, Some(ms(150)));
}

// BFD-53
#[test]
fn after_a_stall_one_packet_goes_and_no_burst() {
    let peer = Raw {
        min_tx_us: 1_000_000,
        ..Raw::default()
    };
    let mut hand = Hand::up(profile(50, 3), peer);
    hand.now += ms(1_000);
    hand.endpoint.handle_timeout(hand.now);
    hand.drain();
    assert_eq!(hand.sent().len(), 1);
    hand.wait(ms(37));
    assert!(hand.sent().is_empty());
}

proptest! {
    /// However late the reader is, what is told is what a punctual reader would have told.
    // BFD-07, BFD-51
    #[test]
    fn a_late_reader_comes_to_the_same_end_as_a_quick_one(
        steps in proptest::collection::vec((1u64..200, 0u8..10), 1..40),
    ) {
        let peer = Raw { min_tx_us: 50_000, ..Raw::default() };
        let (mut quick, mut late) = (Hand::up(profile(50, 3), peer), Hand::up(profile(50, 3), peer));
        let offset = late.now;
        let start = quick.now;
        let mut queued = Vec::new();
        let (mut told_quick, mut told_late) = (Vec::new(), Vec::new());
        let mut at = Duration::ZERO;
        for (gap, lazy) in steps {
            at += ms(gap);
            let wait = start + at - quick.now;
            quick.wait(wait);
            quick.take_state(Up, peer);
            told_quick.extend(quick.changes());
            queued.push(at);
            if lazy == 0 {
                // The late one wakes: first it reads, then its timers run.
                late.now = offset + at;
                let yours = late.mine();
                for received in queued.drain(..) {
                    let meta = Meta { received: offset + received, ..late.meta() };
                    late.take_with(&Raw { state: 3, yours, ..peer }.bytes(), meta);
                }
                late.endpoint.handle_timeout(late.now);
                late.drain();
                told_late.extend(late.changes());
                prop_assert_eq!(
                    crate::testing::causes(&told_quick),
                    crate::testing::causes(&told_late)
                );
            }
        }
    }

    /// Absurd peers overflow nothing, and never make us faster than we want to be.
    // BFD-32, BFD-30
    #[test]
    fn no_peer_makes_us_send_faster_than_our_own_minimum(min_tx_us: u32, min_rx_us: u32, multiplier in 1u8..) {
        let peer = Raw { min_tx_us, min_rx_us, multiplier, ..Raw::default() };
        let mut hand = Hand::up(profile(50, 3), peer);
        for _ in 0..50 {
            hand.take_state(Up, peer);
            hand.wait(ms(5));
        }
        prop_assert!(gaps(&hand).iter().all(|gap| *gap >= us(37_500)));
    }
}
