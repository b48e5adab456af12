//! Poll sequences, with a hand-fed peer.

use crate::State;
use crate::testing::{Hand, Raw, ms, profile};
use State::{Init, Up};

const FINAL: u8 = 0x10;
const POLL: u8 = 0x20;

fn peer() -> Raw {
    Raw {
        min_tx_us: 50_000,
        ..Raw::default()
    }
}

// BFD-33
#[test]
fn reaching_up_polls_until_f_comes() {
    let mut hand = Hand::new(profile(50, 3));
    hand.take(peer());
    hand.take_state(Init, peer());
    hand.sent();
    hand.wait(ms(100));
    hand.take_state(Up, peer());
    hand.wait(ms(40));
    let polls = hand.sent();
    assert!(polls.len() >= 2 && polls.iter().all(|p| p.poll && !p.finished));
    hand.take_state(
        Up,
        Raw {
            flags: FINAL,
            ..peer()
        },
    );
    assert!(!hand.status().polling);
    hand.wait(ms(100));
    assert!(hand.sent().iter().all(|p| !p.poll));
    hand.take_state(Up, peer());
    for changed in [profile(60, 3), profile(60, 4)] {
        hand.set(changed);
    }
    let sent = hand.sent();
    assert_eq!(
        sent.iter().map(|p| p.poll).collect::<Vec<_>>(),
        [true, true]
    );
}

// BFD-34
#[test]
fn slower_sending_and_quicker_detection_wait_for_f() {
    let mut hand = Hand::up(profile(100, 3), peer());
    let mut both = profile(100, 3);
    both.transmit_interval = ms(400);
    both.receive_interval = ms(50);
    hand.set(both);
    let sent = hand.sent();
    assert_eq!(
        (sent[0].desired_min_tx_us, sent[0].required_min_rx_us),
        (400_000, 50_000)
    );
    let status = hand.status();
    assert_eq!(
        (status.transmit_interval, status.detection_time),
        (Some(ms(100)), Some(ms(300)))
    );
    hand.take_state(Up, peer());
    assert_eq!(
        hand.status().transmit_interval,
        Some(ms(100)),
        "without F nothing changes"
    );
    hand.take_state(
        Up,
        Raw {
            flags: FINAL,
            ..peer()
        },
    );
    let status = hand.status();
    assert_eq!(
        (status.transmit_interval, status.detection_time),
        (Some(ms(400)), Some(ms(150)))
    );
}

// BFD-34
#[test]
fn faster_sending_and_slower_detection_take_effect_at_once() {
    let mut hand = Hand::up(profile(100, 3), peer());
    let mut both = profile(100, 3);
    both.transmit_interval = ms(50);
    both.receive_interval = ms(400);
    hand.set(both);
    let status = hand.status();
    assert_eq!(
        (status.transmit_interval, status.detection_time),
        (Some(ms(50)), Some(ms(1_200)))
    );
}

// BFD-35
#[test]
fn a_change_during_a_poll_waits_for_f_and_polls_again() {
    let mut hand = Hand::up(profile(100, 3), peer());
    hand.set(profile(200, 3));
    hand.set(profile(300, 3));
    let sent = hand.sent();
    assert_eq!(sent.len(), 1, "the second change is not yet told");
    assert_eq!((sent[0].desired_min_tx_us, sent[0].poll), (200_000, true));
    hand.take_state(
        Up,
        Raw {
            flags: FINAL,
            ..peer()
        },
    );
    assert_eq!(hand.status().transmit_interval, Some(ms(200)));
    let sent = hand.sent();
    assert_eq!((sent[0].desired_min_tx_us, sent[0].poll), (300_000, true));
    hand.take_state(
        Up,
        Raw {
            flags: FINAL,
            ..peer()
        },
    );
    assert_eq!(hand.status().transmit_interval, Some(ms(300)));
    assert!(!hand.status().polling);
}

// BFD-36
#[test]
fn p_is_answered_at_once_and_at_most_every_5_ms() {
    let mut hand = Hand::up(profile(50, 3), peer());
    hand.take_state(
        Up,
        Raw {
            flags: POLL,
            ..peer()
        },
    );
    let sent = hand.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].finished && !sent[0].poll);
    hand.take_state(
        Up,
        Raw {
            flags: POLL,
            ..peer()
        },
    );
    assert!(hand.sent().is_empty());
    assert_eq!(hand.endpoint.counters().finals_withheld, 1);
    hand.now += ms(5);
    hand.take_state(
        Up,
        Raw {
            flags: POLL,
            ..peer()
        },
    );
    assert!(hand.sent().iter().any(|p| p.finished));
}

// BFD-35, BFD-36
#[test]
fn an_answer_during_our_own_poll_carries_f_alone() {
    let mut hand = Hand::up(profile(50, 3), peer());
    hand.now += ms(10);
    let mut changed = profile(60, 3);
    changed.detect_multiplier = 4;
    let key = hand.key;
    hand.endpoint.set_sessions(
        &std::collections::BTreeMap::from([(key, changed)]),
        hand.now,
    );
    // Not drained: the poll and the answer are due together.
    hand.take_state(
        Up,
        Raw {
            flags: POLL,
            ..peer()
        },
    );
    let sent = hand.sent();
    let bits: Vec<_> = sent.iter().map(|p| (p.poll, p.finished)).collect();
    assert_eq!(bits, [(false, true), (true, false)]);
    assert!(
        sent.iter().all(|p| p.desired_min_tx_us == 60_000),
        "contents are current"
    );
}

// BFD-33
#[test]
fn a_stray_f_ends_nothing() {
    let mut hand = Hand::up(profile(50, 3), peer());
    let before = hand.status().transmit_interval;
    hand.take_state(
        Up,
        Raw {
            flags: FINAL,
            ..peer()
        },
    );
    hand.take_state(
        Up,
        Raw {
            flags: FINAL | POLL,
            ..peer()
        },
    );
    assert_eq!(hand.status().transmit_interval, before);
}
