//! Rates and their tables, with time passed in.

use proptest::prelude::*;

use super::*;
use crate::testing::{base, ms};

fn station(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([2, 0, a, b, c, d])
}

// L2-23
#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let now = base();
    let rate = Rate::new(20, 40);
    let mut bucket = Bucket::new(now);
    let burst = (0..100).filter(|_| bucket.take(&rate, now)).count();
    assert_eq!(burst, 40);
    let steady = (1..=1_000)
        .filter(|&n| bucket.take(&rate, now + ms(n)))
        .count();
    assert_eq!(steady, 20);
    let rested = (0..100)
        .filter(|_| bucket.take(&rate, now + ms(60_000)))
        .count();
    assert_eq!(rested, 40, "a rest gives no more than the burst");
}

#[test]
fn a_bucket_says_when_it_will_have_enough() {
    let now = base();
    let rate = Rate::new(1_000, 10);
    let mut bucket = Bucket::new(now);
    assert_eq!(bucket.wait_for(&rate, 10, now), ms(0));
    while bucket.take(&rate, now) {}
    assert_eq!(bucket.wait_for(&rate, 1, now), ms(1));
    assert_eq!(bucket.wait_for(&rate, 10, now), ms(10));
    assert_eq!(
        bucket.wait_for(&rate, 99, now),
        ms(10),
        "never more than the burst"
    );
    let later = now + ms(5);
    assert_eq!((0..99).filter(|_| bucket.take(&rate, later)).count(), 5);
}

// L2-23
#[test]
fn a_full_table_forgets_a_random_sender_and_never_grows() {
    let now = base();
    let rate = Rate::new(20, 40);
    let mut senders = Senders::new(42);
    for n in 0..SENDERS_MAX as u32 {
        while senders.take(station(n), &rate, now) {}
    }
    assert_eq!(senders.len(), SENDERS_MAX);
    let forgotten = |senders: &mut Senders| {
        let known: Vec<_> = senders.places.keys().copied().collect();
        (0..SENDERS_MAX as u32)
            .map(station)
            .filter(|mac| !known.contains(mac))
            .collect::<Vec<_>>()
    };
    assert_eq!(forgotten(&mut senders), []);
    for n in 0..8 {
        assert!(
            senders.take(station(1_000_000 + n), &rate, now),
            "a new sender has a budget"
        );
        assert_eq!(senders.len(), SENDERS_MAX);
    }
    let gone = forgotten(&mut senders);
    assert!((6..=8).contains(&gone.len()), "{gone:?}");
    assert!(
        gone.windows(2)
            .any(|pair| pair[1].0[5].wrapping_sub(pair[0].0[5]) != 1),
        "not in order: {gone:?}"
    );

    let mut other_seed = Senders::new(43);
    for n in (0..SENDERS_MAX as u32).chain(1_000_000..1_000_008) {
        other_seed.take(station(n), &rate, now);
    }
    assert_ne!(
        forgotten(&mut other_seed),
        gone,
        "the choice follows the seed"
    );
}

// L2-73
#[test]
fn no_second_holds_more_than_ten() {
    let now = base();
    let mut window = TenPerSecond::default();
    let taken: Vec<u64> = (0..5_000).filter(|&n| window.take(now + ms(n))).collect();
    for &start in &taken {
        let within = taken
            .iter()
            .filter(|&&at| at >= start && at < start + 1_000)
            .count();
        assert!(within <= 10, "{within} from {start} ms on");
    }
    assert_eq!(taken.len(), 50);
}

proptest! {
    #[test]
    fn a_rate_is_never_exceeded(
        per_sec in 1u32..5_000,
        burst in 1u32..100,
        gaps in prop::collection::vec(0u64..20_000, 1..400),
    ) {
        let start = base();
        let rate = Rate::new(per_sec, burst);
        let mut bucket = Bucket::new(start);
        let (mut now, mut taken) = (start, 0u128);
        for gap in gaps {
            now += Duration::from_micros(gap);
            let had = bucket.has(&rate, now);
            let took = bucket.take(&rate, now);
            prop_assert_eq!(had, took);
            taken += u128::from(took);
            let allowed = u128::from(burst) + (now - start).as_nanos() / rate.interval.as_nanos();
            prop_assert!(taken <= allowed);
        }
    }
}
