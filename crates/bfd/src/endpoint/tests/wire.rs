//! Two endpoints on a virtual wire.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::endpoint::Endpoint;
use crate::random::SplitMix;
use crate::testing::{Wire, ms, profile, us};
use crate::{Cause, Packet, Profile, State};

// BFD-70
#[test]
fn both_sides_come_up_and_agree_on_the_intervals() {
    let mut wire = Wire::new(1, [profile(50, 3), profile(100, 4)]);
    wire.run(ms(2_000));
    assert!(wire.both_up());
    let (a, b) = (wire.status(0), wire.status(1));
    assert_eq!(a.transmit_interval, Some(ms(100)));
    assert_eq!(b.transmit_interval, Some(ms(100)));
    assert_eq!(a.detection_time, Some(ms(400)));
    assert_eq!(b.detection_time, Some(ms(300)));
    assert_eq!(
        (a.remote_detection_time, b.remote_detection_time),
        (ms(300), ms(400))
    );
    assert!(!a.polling && !b.polling);
    // The counts come to 14 to 27 packets a second each, not to a burst.
    assert!(wire.sent.len() < 100, "{}", wire.sent.len());
}

#[test]
fn one_passive_side_comes_up_and_two_never_do() {
    let passive = Profile {
        passive: true,
        ..profile(50, 3)
    };
    let mut wire = Wire::new(1, [passive, profile(50, 3)]);
    wire.run(ms(1_000));
    assert!(wire.both_up());
    let mut wire = Wire::new(1, [passive, passive]);
    wire.run(ms(60_000));
    assert!(wire.sent.is_empty());
}

// BFD-71
#[test]
fn asymmetric_timers_are_stable() {
    for profiles in [
        [profile(50, 3), profile(2_000, 5)],
        [profile(2_000, 5), profile(50, 3)],
    ] {
        let mut wire = Wire::new(5, profiles);
        wire.run(ms(60_000));
        assert!(wire.both_up());
        assert_eq!(wire.downs(), 0);
        let fast = usize::from(profiles[0].detect_multiplier == 5);
        assert_eq!(wire.status(fast).detection_time, Some(ms(10_000)));
        assert_eq!(wire.status(1 - fast).detection_time, Some(ms(6_000)));
    }
}

// BFD-41, BFD-72
#[test]
fn intervals_change_twenty_times_without_a_down() {
    let mut wire = Wire::new(9, [profile(50, 3), profile(50, 3)]);
    wire.run(ms(1_000));
    let intervals = [10, 300, 20, 1_000, 50];
    for n in 0..20usize {
        let interval = intervals[n % intervals.len()];
        wire.set(n % 2, profile(interval, 3));
        wire.run(ms(interval * 2 + 500));
    }
    wire.run(ms(3_000));
    assert_eq!(wire.downs(), 0);
    assert!(wire.both_up() && !wire.status(0).polling && !wire.status(1).polling);
}

// BFD-57
#[test]
fn a_cut_is_found_at_the_detection_time_and_never_before() {
    for (interval, seed) in [20, 50, 100, 300]
        .into_iter()
        .flat_map(|i| (0..50).map(move |s| (i, s)))
    {
        let mut wire = Wire::new(seed, [profile(interval, 3), profile(interval, 3)]);
        wire.run(ms(2_000 + seed * 7));
        assert!(wire.both_up());
        wire.fate = Box::new(|_, _, _| Vec::new());
        wire.run(ms(interval * 4));
        let lost: Vec<_> = wire
            .changes
            .iter()
            .filter(|(_, _, c)| c.from == State::Up)
            .collect();
        assert_eq!(lost.len(), 2, "interval {interval} seed {seed}");
        for (_, end, change) in lost {
            assert_eq!(change.cause, Cause::DetectionTimeExpired);
            let silence = change.silence.unwrap();
            assert_eq!(
                silence,
                ms(interval * 3),
                "end {end} interval {interval} seed {seed}"
            );
        }
    }
}

// BFD-66
#[test]
fn a_restarted_side_is_up_again_within_three_slow_intervals() {
    let mut wire = Wire::new(3, [profile(50, 3), profile(50, 3)]);
    wire.run(ms(2_000));
    let old = wire.status(0).local_discriminator;
    // Killed: it says nothing.
    wire.ends[0] = Endpoint::new(99, wire.now);
    let key = Wire::key(0);
    wire.ends[0].set_sessions(&BTreeMap::from([(key, profile(50, 3))]), wire.now);
    wire.drain();
    wire.run(ms(3_000));
    assert!(wire.both_up());
    assert_ne!(wire.status(0).local_discriminator, old);
    assert_eq!(wire.downs(), 1, "the other side saw it once");
}

// BFD-73
#[test]
fn ten_percent_of_loss_flaps_as_rarely_as_chance_says() {
    // Five in a row lost: 0.1^5 for each packet, about 11 packets a second, 600 s: 0.07 expected in each direction.
    let mut downs = 0;
    for seed in 0..3 {
        let mut random = SplitMix::new(seed);
        let mut wire = Wire::new(seed, [profile(100, 5), profile(100, 5)]);
        wire.fate = Box::new(move |_, _, _| match random.up_to(9) {
            0 => Vec::new(),
            // Duplicated, and by the delay reordered.
            1 => vec![us(100), ms(20)],
            n => vec![us(100 * n)],
        });
        wire.run(ms(600_000));
        assert!(wire.both_up(), "recovered, seed {seed}");
        downs += wire.downs();
    }
    assert!(downs <= 2, "{downs} in 30 minutes");
}

// BFD-34, BFD-35
#[test]
fn a_lossy_wire_never_shows_p_and_f_together_and_polls_end() {
    let mut random = SplitMix::new(4);
    let mut wire = Wire::new(4, [profile(50, 5), profile(50, 5)]);
    wire.fate = Box::new(move |_, _, _| {
        if random.up_to(4) == 0 {
            Vec::new()
        } else {
            vec![ms(3)]
        }
    });
    for n in 0..40u64 {
        let end = (n % 2) as usize;
        wire.set(end, profile(20 + 30 * (n % 4), 5));
        wire.run(ms(700));
    }
    wire.run(ms(5_000));
    assert!(wire.sent.iter().all(|(_, _, p)| !(p.poll && p.finished)));
    assert!(!wire.status(0).polling && !wire.status(1).polling);
}

/// RFC 5880 §6.8.3 from outside: no side may declare the other down on a wire that loses nothing.
fn stable(seed: u64, changes: &[(usize, u64, u8, u64)]) -> Result<(), TestCaseError> {
    let mut wire = Wire::new(seed, [profile(50, 3), profile(50, 3)]);
    let mut random = SplitMix::new(seed);
    // Delays differ, but keep the order of packets.
    let mut last = [None; 2];
    wire.fate = Box::new(move |now, end, _: &Packet| {
        let at = (now + us(50 + random.up_to(900))).max(last[end].unwrap_or(now));
        last[end] = Some(at);
        vec![at - now]
    });
    wire.run(ms(3_000));
    prop_assert!(wire.both_up());
    for (end, interval, multiplier, pause) in changes {
        let changed = Profile {
            transmit_interval: ms(*interval),
            ..profile(10 + interval / 2, *multiplier)
        };
        wire.set(*end, changed);
        wire.run(ms(*pause));
    }
    wire.run(Duration::from_secs(5));
    prop_assert_eq!(wire.downs(), 0, "{:?}", wire.changes);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    // BFD-34, BFD-41
    #[test]
    fn any_changes_of_profiles_keep_a_lossless_session_up(
        seed: u64,
        changes in proptest::collection::vec((0usize..2, 10u64..2_000, 2u8..6, 1u64..3_000), 1..20),
    ) {
        stable(seed, &changes)?;
    }
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    let run = || {
        let mut wire = Wire::new(11, [profile(50, 3), profile(20, 3)]);
        let start = wire.now;
        wire.run(ms(5_000));
        wire.sent
            .iter()
            .map(|(at, end, p)| (*at - start, *end, p.encode()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
