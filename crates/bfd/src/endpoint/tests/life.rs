//! Coming up, going down, on purpose and not, and what is told of it.

use std::collections::BTreeMap;

use crate::testing::{Hand, Raw, causes, key, ms, profile};
use crate::{Action, Cause, Diagnostic, DropReason, Mode, Profile, State};
use State::{AdminDown, Down, Init, Up};

// BFD-24, BFD-27
#[test]
fn the_handshake_tells_each_change_with_its_particulars() {
    let mut hand = Hand::new(profile(50, 3));
    let first = hand.sent();
    assert_eq!(first.len(), 1, "one packet at once");
    assert_eq!((first[0].state, first[0].your_discriminator), (Down, None));
    hand.take(Raw {
        diagnostic: 1,
        ..Raw::default()
    });
    hand.take_state(Init, Raw::default());
    let changes = hand.changes();
    assert_eq!(
        causes(&changes),
        [(Down, Init, Cause::Peer), (Init, Up, Cause::Peer)]
    );
    assert_eq!(
        changes[0].remote_diagnostic.number(),
        1,
        "the peer's is kept"
    );
    assert_eq!(
        changes[1].detection_time,
        Some(ms(3_000)),
        "the peer still says 1 s"
    );
    let status = hand.status();
    assert_eq!((status.ups, status.downs, status.state), (1, 0, Up));
    assert_eq!(status.remote_state, Init);
    assert_eq!(status.local_diagnostic, Diagnostic::NONE);
    assert_eq!(status.drops.total(), 0);
}

// BFD-21, BFD-22, BFD-24, BFD-27
#[test]
fn silence_for_the_detection_time_is_down_and_forgets_the_peer() {
    let peer = Raw {
        min_tx_us: 50_000,
        min_rx_us: 777_000,
        ..Raw::default()
    };
    let mut hand = Hand::up(profile(50, 3), peer);
    hand.wait(ms(150) - crate::testing::us(1));
    assert_eq!(hand.status().state, Up);
    hand.wait(crate::testing::us(1));
    let change = hand.changes()[0];
    assert_eq!(
        (change.from, change.to, change.cause),
        (Up, Down, Cause::DetectionTimeExpired)
    );
    assert_eq!(
        (change.detection_time, change.silence),
        (Some(ms(150)), Some(ms(150)))
    );
    assert!(change.is_failure());
    let status = hand.status();
    assert_eq!(status.local_diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
    assert_eq!(status.remote_discriminator, None);
    assert_eq!(status.remote_required_min_rx.as_micros(), 1);
    assert_eq!(status.downs, 1);
    let told = hand.sent();
    assert_eq!(
        told.last().map(|p| (p.state, p.your_discriminator)),
        Some((Down, None))
    );
}

// BFD-22
#[test]
fn a_peer_heard_once_is_forgotten_after_its_detection_time() {
    let mut hand = Hand::new(profile(50, 3));
    hand.take(Raw {
        state: 0,
        ..Raw::default()
    });
    assert!(hand.status().remote_discriminator.is_some());
    hand.wait(ms(2_999));
    assert!(hand.status().remote_discriminator.is_some());
    hand.wait(ms(1));
    assert_eq!(hand.status().remote_discriminator, None);
    assert!(hand.changes().is_empty(), "Down all along");
}

// BFD-62
#[test]
fn down_by_the_peer_is_a_failure_and_admin_down_is_not() {
    for (state, cause, failure) in [
        (Down, Cause::PeerDown, true),
        (AdminDown, Cause::PeerAdminDown, false),
    ] {
        let mut hand = Hand::up(profile(50, 3), Raw::default());
        hand.take_state(
            state,
            Raw {
                diagnostic: 7,
                ..Raw::default()
            },
        );
        let changes = hand.changes();
        assert_eq!(causes(&changes)[0], (Up, Down, cause));
        assert_eq!(changes[0].is_failure(), failure);
        assert_eq!(
            hand.status().local_diagnostic,
            Diagnostic::NEIGHBOR_SIGNALED_DOWN
        );
        assert_eq!(hand.status().remote_diagnostic.number(), 7);
    }
}

// BFD-25
#[test]
fn a_late_packet_after_down_brings_no_old_interval_back() {
    let fast = Raw {
        min_tx_us: 50_000,
        ..Raw::default()
    };
    let mut hand = Hand::up(profile(50, 3), fast);
    hand.take_state(Down, fast);
    hand.changes();
    hand.take_state(Up, fast);
    assert!(hand.changes().is_empty());
    let status = hand.status();
    assert_eq!(
        (status.state, status.transmit_interval),
        (Down, Some(ms(1_000)))
    );
    assert_eq!(
        status.detection_time,
        Some(ms(150)),
        "kept for a detection time"
    );
    assert!(status.remote_discriminator.is_some());
    hand.wait(ms(150));
    assert_eq!(hand.status().remote_discriminator, None);
}

// BFD-23
#[test]
fn a_session_taken_away_says_admin_down_and_ends() {
    let mut hand = Hand::up(
        profile(50, 3),
        Raw {
            min_tx_us: 50_000,
            ..Raw::default()
        },
    );
    hand.endpoint.set_sessions(&BTreeMap::new(), hand.now);
    hand.drain();
    assert_eq!(causes(&hand.changes()), [(Up, AdminDown, Cause::Local)]);
    let first = hand.sent();
    assert_eq!(
        (first.len(), first[0].state, first[0].diagnostic.number()),
        (1, AdminDown, 7)
    );
    hand.take_state(
        Up,
        Raw {
            flags: 0x20,
            ..Raw::default()
        },
    );
    assert_eq!(hand.status().state, AdminDown);
    assert_eq!(hand.status().drops.of(DropReason::AdminDown), 1);
    assert!(hand.sent().is_empty(), "not even an answer to P");
    hand.wait(ms(999));
    assert!(!hand.endpoint.is_empty());
    assert!(hand.sent().iter().all(|p| p.state == AdminDown));
    hand.endpoint.handle_timeout(hand.now + ms(1));
    assert!(hand.endpoint.is_empty());
    let actions: Vec<_> = std::iter::from_fn(|| hand.endpoint.poll_action()).collect();
    assert!(
        matches!(actions[..], [Action::Close(_), Action::CloseReceiver(_)]),
        "{actions:?}"
    );
    assert_eq!(hand.endpoint.poll_timeout(), None, "idle");
}

// BFD-23
#[test]
fn a_slow_session_says_admin_down_for_a_detection_time() {
    let mut hand = Hand::up(profile(2_000, 5), Raw::default());
    hand.endpoint.set_sessions(&BTreeMap::new(), hand.now);
    hand.wait(ms(9_999));
    assert!(!hand.endpoint.is_empty());
    hand.wait(ms(1));
    assert!(hand.endpoint.is_empty());
}

// BFD-23
#[test]
fn a_session_wanted_again_leaves_admin_down_for_down() {
    let mut hand = Hand::up(profile(50, 3), Raw::default());
    let mine = hand.mine();
    hand.endpoint.set_sessions(&BTreeMap::new(), hand.now);
    hand.wait(ms(100));
    hand.set(profile(50, 3));
    assert_eq!((hand.status().state, hand.mine()), (Down, mine));
    assert!(!hand.status().closing);
    hand.wait(ms(5_000));
    assert!(!hand.endpoint.is_empty());
}

// BFD-23
#[test]
fn a_process_that_stops_says_admin_down_three_times() {
    let mut hand = Hand::up(profile(50, 3), Raw::default());
    hand.endpoint.stop(hand.now);
    hand.drain();
    let start = hand.now;
    hand.wait(ms(29));
    assert!(!hand.endpoint.is_empty());
    let times: Vec<_> = hand
        .sent
        .iter()
        .map(|(at, p)| ((*at - start).as_millis(), p.state))
        .collect();
    assert_eq!(times, [(0, AdminDown), (10, AdminDown), (20, AdminDown)]);
    hand.wait(ms(1));
    assert!(hand.endpoint.is_empty());
}

// BFD-26
#[test]
fn a_passive_session_speaks_only_when_spoken_to() {
    let mut hand = Hand::new(Profile {
        passive: true,
        ..profile(50, 3)
    });
    hand.wait(ms(10_000));
    assert!(hand.sent().is_empty());
    hand.take(Raw::default());
    assert_eq!(hand.sent().len(), 1);
    assert_eq!(hand.status().state, Init);
    hand.take_state(
        Init,
        Raw {
            min_tx_us: 50_000,
            ..Raw::default()
        },
    );
    assert_eq!(hand.status().state, Up);
    hand.wait(ms(149));
    hand.sent();
    hand.wait(ms(10_000));
    assert_eq!(hand.sent(), [], "forgotten: silent again");
    hand.take(Raw::default());
    assert_eq!(hand.sent().len(), 1);
}

// BFD-64
#[test]
fn a_lost_path_is_down_at_once_with_its_diagnostic() {
    let mut hand = Hand::up(profile(50, 3), Raw::default());
    let key = key(Mode::SingleHop);
    hand.endpoint.handle_path_down(&key, hand.now);
    hand.drain();
    let changes = hand.changes();
    assert_eq!(causes(&changes), [(Up, Down, Cause::PathDown)]);
    assert!(changes[0].is_failure());
    assert_eq!(hand.status().local_diagnostic, Diagnostic::PATH_DOWN);
    assert_eq!(hand.sent().last().map(|p| p.diagnostic.number()), Some(5));
    // The peer in Up goes Down by that, and both rise again.
    hand.take_state(Down, Raw::default());
    assert_eq!(hand.status().state, Init);
}

// BFD-41
#[test]
fn a_new_profile_applies_without_going_down() {
    let mut hand = Hand::up(profile(50, 3), Raw::default());
    hand.set(profile(20, 5));
    let sent = hand.sent();
    assert_eq!(sent.len(), 1, "told at once");
    assert_eq!(
        (sent[0].multiplier, sent[0].desired_min_tx_us, sent[0].poll),
        (5, 20_000, true)
    );
    assert!(hand.changes().is_empty());
    hand.set(profile(20, 5));
    assert!(hand.sent().is_empty(), "the same again is nothing new");
}
