//! The machine over a kernel that fails, truncates and repeats: it always arrives.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::chaos::{Chaos, Fault};
use crate::ruleset::SetName;
use crate::tests::{front, nodes, port, random::Walk, table};

fn plane(now: Instant) -> Dataplane<Chaos> {
    Dataplane::new(Chaos::default(), Config::default(), now).expect("a model does not refuse")
}

/// Lets time pass till nothing is to be tried again.
fn arrive(plane: &mut Dataplane<Chaos>, mut now: Instant) -> Instant {
    for _ in 0..64 {
        match plane.retry {
            None => return now,
            Some((at, _)) => now = at,
        }
        let _ = plane.handle_timeout(now);
    }
    panic!("it never arrives");
}

fn faults() -> impl Strategy<Value = Vec<Option<Fault>>> {
    let fault = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fault::Refuse)),
        1 => Just(Some(Fault::LoseAck)),
        1 => Just(Some(Fault::LoseAll)),
        1 => Just(Some(Fault::RepeatAck)),
        1 => Just(Some(Fault::ForeignFlush)),
    ];
    proptest::collection::vec(fault, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn one_step_at_the_cost_of_the_change_is_what_a_whole_compilation_gives(seed in any::<u64>()) {
        let now = Instant::now();
        let (mut plane, mut walk) = (plane(now), Walk::new(seed));
        for step in 0..60 {
            walk.step();
            let table = Arc::new(walk.table.clone());
            let applied = plane.apply(Arc::clone(&table), now).expect("no faults");
            prop_assert!(applied.transactions <= 1, "step {}", step);
            let whole = compile(&table, &plane.names, &plane.policy);
            prop_assert!(plane.actual == whole, "step {}", step);
            prop_assert!(plane.backend.ruleset == whole, "step {}", step);
            prop_assert_eq!(plane.apply(table, now).expect("no faults"), Applied::default());
        }
    }

    #[test]
    fn whatever_fails_on_the_way_it_arrives(seed in any::<u64>(), faults in faults(), unreadable in 0u32..4) {
        let mut now = Instant::now();
        let (mut plane, mut walk) = (plane(now), Walk::new(seed));
        plane.backend.faults = faults.into();
        plane.backend.unreadable = unreadable;
        for _ in 0..40 {
            walk.step();
            let _ = plane.apply(Arc::new(walk.table.clone()), now);
            let _ = plane.handle_events(now);
        }
        plane.backend.faults.clear();
        plane.backend.unreadable = 0;
        now = arrive(&mut plane, now);
        plane.verify(now).expect("no faults are left");
        let whole = compile(&walk.table, &plane.names, &plane.policy);
        prop_assert!(plane.backend.ruleset == whole);
    }
}

#[test]
fn a_new_process_adopts_what_is_there_and_sends_nothing() {
    let now = Instant::now();
    let desired = Arc::new(table(
        (1..5).map(|n| (front(n), port(&nodes(&[true, true])))),
    ));
    let mut first = plane(now);
    first.apply(Arc::clone(&desired), now).expect("applied");
    let kernel = std::mem::take(&mut first.backend);
    let mut second = Dataplane::new(kernel, Config::default(), now).expect("read");
    assert_eq!(
        second.apply(desired, now).expect("equal"),
        Applied::default()
    );
}

#[test]
fn a_failure_is_told_and_tried_again_later_and_later() {
    let now = Instant::now();
    let mut plane = plane(now);
    plane.backend.faults = vec![Some(Fault::Refuse); 6].into();
    let desired = Arc::new(table([(front(1), port(&nodes(&[true])))]));
    let error = plane.apply(desired, now).expect_err("refused twice");
    assert!(error.to_string().contains("be kind"), "{error}");
    assert_eq!(plane.poll_timeout(), Some(now + RETRY_MIN));
    let second = now + RETRY_MIN;
    plane.handle_timeout(second).expect_err("twice more");
    assert_eq!(plane.poll_timeout(), Some(second + 2 * RETRY_MIN));
    assert_eq!(plane.counters().failures, 4);
    arrive(&mut plane, second);
    assert!(!plane.backend.ruleset.tables.is_empty());
    assert_eq!(plane.counters().transactions, 1);
}

#[test]
fn the_slots_are_switched_before_flows_are_forgotten() {
    let now = Instant::now();
    let mut plane = plane(now);
    let up = table([(front(1), port(&nodes(&[true, true])))]);
    plane.apply(Arc::new(up), now).expect("applied");
    let dead = ForwardTable {
        dead: BTreeSet::from([[10, 0, 0, 1].into()]),
        ..table([(front(1), port(&nodes(&[true, false])))])
    };
    plane.backend.faults = vec![Some(Fault::Refuse), Some(Fault::Refuse)].into();
    plane.apply(Arc::new(dead), now).expect_err("refused");
    plane.handle_timeout(now).expect("nothing is due");
    assert!(
        plane.backend.forgotten.is_empty(),
        "not while the slots lead there"
    );
    let now = arrive(&mut plane, now);
    assert_eq!(plane.backend.forgotten, [0x0002_0000]);
    let later = plane.poll_timeout().expect("once more");
    assert_eq!(later, now + Duration::from_millis(100));
    plane.handle_timeout(later).expect("forgotten");
    assert_eq!(plane.backend.forgotten, [0x0002_0000, 0x0002_0000]);
}

#[test]
fn a_dead_target_that_is_no_longer_in_any_set_is_still_forgotten() {
    let now = Instant::now();
    let mut plane = plane(now);
    plane
        .apply(
            Arc::new(table([(front(1), port(&nodes(&[true, true])))])),
            now,
        )
        .expect("applied");
    plane.backend.flows = BTreeMap::from([(0x0002_0000, 7), (0x0001_0000, 3)]);
    assert_eq!(plane.flows([10, 0, 0, 1].into()).expect("counted"), Some(7));
    let gone = ForwardTable {
        dead: BTreeSet::from([[10, 0, 0, 1].into()]),
        ..table([(front(1), port(&nodes(&[true])))])
    };
    plane.apply(Arc::new(gone), now).expect("applied");
    assert_eq!(plane.backend.flows, BTreeMap::from([(0x0001_0000, 3)]));
}

#[test]
fn a_read_back_comes_each_minute_and_mends_what_it_finds() {
    let now = Instant::now();
    let mut plane = plane(now);
    assert_eq!(plane.poll_timeout(), None, "nothing is desired yet");
    let desired = Arc::new(table([(front(1), port(&nodes(&[true])))]));
    plane.apply(desired, now).expect("applied");
    let minute = plane.poll_timeout().expect("a read-back");
    assert_eq!(minute, now + READBACK_EVERY);
    let held = plane.backend.ruleset.clone();
    plane.handle_timeout(minute).expect("as it was");
    assert_eq!(
        (plane.counters().readbacks, plane.counters().repairs),
        (1, 0)
    );
    plane.backend.meddle(|ruleset| {
        let table = ruleset.tables.values_mut().next().expect("a table");
        table
            .sets
            .get_mut(&SetName::Svc)
            .expect("svc")
            .elements
            .clear();
    });
    let applied = plane
        .handle_timeout(minute + READBACK_EVERY)
        .expect("mended");
    assert_eq!(
        applied,
        Applied {
            changes: 1,
            transactions: 1
        }
    );
    assert_eq!(plane.backend.ruleset, held);
    assert_eq!(plane.counters().repairs, 1);
}

#[test]
fn nothing_left_to_hold_leaves_no_table() {
    let now = Instant::now();
    let mut plane = plane(now);
    plane
        .apply(Arc::new(table([(front(1), port(&nodes(&[true])))])), now)
        .expect("applied");
    plane.remove(now).expect("removed");
    assert!(plane.backend.ruleset.tables.is_empty());
}
