//! Jitter and guard.

use proptest::prelude::*;

use super::*;
use crate::random::SplitMix;
use crate::testing::{base, ms};

proptest! {
    // BFD-30
    #[test]
    fn jitter_stays_in_its_range(seed: u64, offset in 0u64..10_000_000_000, interval in 10_000u64..5_000_000, multiplier in 1u8..5) {
        let epoch = base();
        let mut random = SplitMix::new(seed);
        let mut pace = Pace { epoch, random: &mut random };
        let from = epoch + Duration::from_nanos(offset);
        let at = jittered(from, Duration::from_micros(interval), multiplier, &mut pace);
        let gap = (at - from).as_nanos() as u64;
        let most = if multiplier == 1 { 90 } else { 100 };
        prop_assert!(gap >= interval * 750, "{gap} ns of {interval} µs");
        prop_assert!(gap <= interval * most * 10, "{gap} ns of {interval} µs");
    }
}

// BFD-30, BFD-55
#[test]
fn due_times_lie_on_the_grid_and_are_spread_evenly() {
    let epoch = base();
    let mut random = SplitMix::new(1);
    let mut pace = Pace {
        epoch,
        random: &mut random,
    };
    let (mut from, mut total) = (epoch, Duration::ZERO);
    for _ in 0..10_000 {
        let at = jittered(from, ms(50), 3, &mut pace);
        assert_eq!((at - epoch).as_micros() % u128::from(GRID_US), 0);
        total += at - from;
        from = at;
    }
    let mean_us = total.as_micros() / 10_000;
    assert!(
        (43_000..=45_000).contains(&mean_us),
        "{mean_us} µs of 37.5..50 ms"
    );
}

#[test]
fn a_multiplier_of_one_without_a_grid_point_keeps_its_range() {
    let epoch = base();
    let mut random = SplitMix::new(1);
    let mut pace = Pace {
        epoch,
        random: &mut random,
    };
    // 75 to 90 % of 10 ms from here is 8.1 to 9.6 ms: no multiple of 2 ms in it.
    let from = epoch + Duration::from_micros(600);
    for _ in 0..100 {
        let gap = jittered(from, ms(10), 1, &mut pace) - from;
        assert!((7_500..=9_000).contains(&gap.as_micros()), "{gap:?}");
    }
}

#[test]
fn a_burst_is_free_and_then_the_guard_holds() {
    let now = base();
    let mut guard = Guard::new(now);
    for _ in 0..PROMPT_BURST {
        assert_eq!(guard.next(now), now);
        guard.take(now);
    }
    assert_eq!(guard.next(now), now + GUARD);
    assert_eq!(guard.next(now + ms(20)), now + ms(20));
}
