//! The promises of the queue, by tables and under random use.

use super::{Queue, QueueConfig, STREAK_MAX, Ticket, WriteKey};
use crate::name::NamespacedName;
use crate::world::PoolStatus;
use crate::write::{Event, Outcome, ServiceStatus, Write};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn base() -> Instant {
    // The one reading of the clock that a test needs to have an Instant at all.
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

fn name(n: usize) -> NamespacedName {
    NamespacedName::new("default", format!("s{n}"))
}

fn key(n: usize) -> WriteKey {
    WriteKey::Service(name(n))
}

/// Status `value` of Service `n`.
fn status(n: usize, value: u8) -> Write {
    Write::ServiceStatus(Box::new(ServiceStatus {
        name: name(n),
        uid: String::new(),
        version: String::new(),
        addresses: vec![std::net::IpAddr::from([192, 0, 2, value])],
        ip_mode: "VIP",
        pool: None,
    }))
}

fn pool(n: usize) -> Write {
    Write::PoolStatus {
        name: name(n),
        status: PoolStatus::default(),
    }
}

fn event(n: usize) -> Event {
    Event {
        service: name(n),
        uid: String::new(),
        warning: false,
        reason: "IPAllocated",
        message: String::new(),
    }
}

fn queue(now: Instant) -> Queue {
    Queue::new(QueueConfig::default(), 1, now)
}

fn done() -> Outcome {
    Outcome::Done(None)
}

fn send(queue: &mut Queue, now: Instant) -> (Ticket, Write) {
    queue.poll_write(now).expect("something is due")
}

#[test]
fn the_newest_wins_and_nothing_is_queued_twice() {
    let now = base();
    let mut queue = queue(now);
    queue.set_desired(status(1, 1), now);
    queue.set_desired(status(1, 2), now);
    queue.set_desired(status(1, 2), now);
    let (_, write) = send(&mut queue, now);
    assert_eq!(write, status(1, 2));
    assert_eq!(queue.poll_write(now), None);
}

#[test]
fn what_is_written_is_not_written_again_before_it_is_seen() {
    let now = base();
    let mut queue = queue(now);
    queue.set_desired(status(1, 1), now);
    let (ticket, _) = send(&mut queue, now);
    queue.set_desired(status(1, 1), now);
    queue.handle_outcome(ticket, done(), now);
    queue.set_desired(status(1, 1), now);
    assert_eq!(queue.poll_write(now), None);
    // Seen, and it is still wanted: someone wrote against us.
    queue.seen(&key(1));
    queue.set_desired(status(1, 1), now);
    assert!(queue.poll_write(now).is_some());
}

#[test]
fn what_is_wanted_while_another_is_in_flight_follows() {
    let now = base();
    let mut queue = queue(now);
    queue.set_desired(status(1, 1), now);
    let (ticket, _) = send(&mut queue, now);
    queue.set_desired(status(1, 2), now);
    assert_eq!(queue.poll_write(now), None, "one at a time for an object");
    queue.handle_outcome(ticket, done(), now);
    assert_eq!(queue.poll_write(now), None, "its version is the old one");
    queue.seen(&key(1));
    assert_eq!(send(&mut queue, now).1, status(1, 2));
}

#[test]
fn a_withdrawn_write_is_not_sent() {
    let now = base();
    let mut queue = queue(now);
    queue.set_desired(status(1, 1), now);
    queue.withdraw(&key(1));
    assert_eq!(queue.poll_write(now), None);
    queue.set_desired(status(1, 1), now);
    let (ticket, _) = send(&mut queue, now);
    queue.withdraw(&key(1));
    queue.handle_outcome(ticket, Outcome::Unavailable(String::new()), now);
    assert_eq!((queue.pending(), queue.poll_timeout()), (0, None));
}

#[test]
fn a_conflict_waits_for_the_watch_or_a_second() {
    for seen in [true, false] {
        let now = base();
        let mut queue = queue(now);
        queue.set_desired(status(1, 1), now);
        let (ticket, _) = send(&mut queue, now);
        queue.handle_outcome(ticket, Outcome::Conflict, now);
        assert_eq!(queue.poll_write(now), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(queue.poll_timeout(), Some(later));
        if seen {
            queue.seen(&key(1));
            assert!(queue.poll_write(now).is_some());
        } else {
            assert!(queue.poll_write(later).is_some());
        }
    }
}

#[test]
fn failures_back_off_each_object_alone() {
    let mut now = base();
    let mut queue = queue(now);
    queue.set_desired(status(1, 1), now);
    let mut pauses = Vec::new();
    for n in 2..16 {
        let (ticket, _) = send(&mut queue, now);
        queue.handle_outcome(ticket, Outcome::Refused("no".to_owned()), now);
        let due = queue.poll_timeout().expect("it is tried again");
        assert_eq!(queue.poll_write(due - Duration::from_millis(1)), None);
        pauses.push(due - now);
        queue.set_desired(status(n, 1), now);
        let (other, _) = send(&mut queue, now);
        queue.handle_outcome(other, done(), now);
        queue.withdraw(&key(n));
        now = due;
    }
    assert!(
        pauses[0] >= Duration::from_millis(75) && pauses[0] <= Duration::from_millis(125),
        "{pauses:?}"
    );
    assert!(
        pauses.iter().all(|pause| *pause <= Duration::from_secs(30)),
        "{pauses:?}"
    );
    assert!(pauses[13] >= Duration::from_millis(22_500), "{pauses:?}");
    let (ticket, _) = send(&mut queue, now);
    queue.handle_outcome(ticket, done(), now);
    queue.seen(&key(1));
    queue.set_desired(status(1, 2), now);
    let (ticket, _) = send(&mut queue, now);
    queue.handle_outcome(ticket, Outcome::Refused(String::new()), now);
    let due = queue.poll_timeout().expect("tried again");
    assert!(
        due - now < Duration::from_millis(130),
        "success forgets the failures"
    );
}

#[test]
fn a_write_war_is_slowed_down() {
    let mut now = base();
    let start = now;
    let mut queue = queue(now);
    let mut writes = 0;
    while now < start + Duration::from_secs(5) {
        queue.set_desired(status(1, 1), now);
        match queue.poll_write(now) {
            Some((ticket, _)) => {
                writes += 1;
                queue.handle_outcome(ticket, done(), now);
                queue.seen(&key(1));
            }
            None => now = queue.poll_timeout().expect("a pause ends"),
        }
    }
    assert!(writes > STREAK_MAX && writes < 20, "{writes} writes in 5 s");
}

#[test]
fn a_write_each_second_is_no_war() {
    let mut now = base();
    let mut queue = queue(now);
    for _ in 0..60 {
        queue.set_desired(pool(1), now);
        let (ticket, _) = send(&mut queue, now);
        queue.handle_outcome(ticket, done(), now);
        queue.seen(&WriteKey::Pool(name(1)));
        now += Duration::from_secs(1);
    }
}

#[test]
fn events_follow_what_announces() {
    let now = base();
    let mut queue = queue(now);
    queue.push_event(event(1));
    queue.set_desired(pool(1), now);
    queue.set_desired(status(1, 1), now);
    queue.set_desired(status(2, 1), now);
    let order: Vec<Write> = std::iter::from_fn(|| Some(queue.poll_write(now)?.1)).collect();
    assert_eq!(
        order,
        [status(1, 1), status(2, 1), pool(1), Write::Event(event(1))]
    );
}

#[test]
fn events_are_bounded_and_given_up() {
    let mut now = base();
    let config = QueueConfig {
        events_max: 3,
        ..QueueConfig::default()
    };
    let mut queue = Queue::new(config, 1, now);
    (0..5).for_each(|n| queue.push_event(event(n)));
    assert_eq!((queue.events(), queue.counters().events_dropped), (3, 2));
    let mut tries = 0;
    loop {
        match queue.poll_write(now) {
            Some((ticket, _)) => {
                tries += 1;
                queue.handle_outcome(ticket, Outcome::Unavailable(String::new()), now);
            }
            None => match queue.poll_timeout() {
                Some(due) => now = due,
                None => break,
            },
        }
    }
    assert_eq!((tries, queue.counters().events_dropped), (12, 5));
}

#[test]
fn ten_thousand_statuses_are_not_slowed() {
    let mut now = base();
    let start = now;
    let mut queue = queue(now);
    (0..10_000).for_each(|n| queue.set_desired(status(n, 1), now));
    let mut flying = Vec::new();
    let mut sent = 0;
    while sent < 10_000 {
        while let Some((ticket, _)) = queue.poll_write(now) {
            flying.push(ticket);
            sent += 1;
        }
        assert!(flying.len() <= 32);
        // A server that answers 800 a second.
        now += Duration::from_millis(40);
        flying.drain(..).for_each(|ticket| {
            queue.handle_outcome(ticket, done(), now);
        });
    }
    assert!(
        now - start < Duration::from_millis(12_700),
        "{:?}",
        now - start
    );
}

#[test]
fn clear_leaves_only_what_is_in_flight() {
    let now = base();
    let mut queue = queue(now);
    (0..3).for_each(|n| queue.set_desired(status(n, 1), now));
    queue.push_event(event(1));
    let (ticket, _) = send(&mut queue, now);
    queue.clear();
    assert_eq!((queue.poll_write(now), queue.in_flight()), (None, 1));
    queue.handle_outcome(ticket, Outcome::Unavailable(String::new()), now);
    assert_eq!(
        (
            queue.poll_write(now),
            queue.poll_timeout(),
            queue.in_flight()
        ),
        (None, None, 0)
    );
    assert_eq!(queue.handle_outcome(ticket, done(), now), None);
    assert_eq!(queue.counters().unknown_tickets, 1);
}

#[derive(Clone, Debug)]
enum Op {
    Want(usize, u8),
    Withdraw(usize),
    Seen(usize),
    Event(usize),
    Poll,
    Outcome(usize, u8),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..6usize, 0..3u8).prop_map(|(n, v)| Op::Want(n, v)),
        1 => (0..6usize).prop_map(Op::Withdraw),
        2 => (0..6usize).prop_map(Op::Seen),
        1 => (0..6usize).prop_map(Op::Event),
        6 => Just(Op::Poll),
        4 => (0..8usize, 0..5u8).prop_map(|(n, o)| Op::Outcome(n, o)),
        2 => (0..3000u64).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sends_the_newest_within_its_bounds(ops in proptest::collection::vec(op(), 1..120)) {
        let mut now = base();
        let start = now;
        let config = QueueConfig { in_flight_max: 3, per_second: 10, burst: 4, ..QueueConfig::default() };
        let mut queue = Queue::new(config, 7, now);
        let mut wanted: BTreeMap<WriteKey, Write> = BTreeMap::new();
        let mut flying: Vec<(Ticket, Option<WriteKey>)> = Vec::new();
        let mut sent = 0u64;
        for op in ops {
            match op {
                Op::Want(n, v) => { wanted.insert(key(n), status(n, v)); queue.set_desired(status(n, v), now); }
                Op::Withdraw(n) => { wanted.remove(&key(n)); queue.withdraw(&key(n)); }
                Op::Seen(n) => queue.seen(&key(n)),
                Op::Event(n) => queue.push_event(event(n)),
                Op::Poll => if let Some((ticket, write)) = queue.poll_write(now) {
                    sent += 1;
                    let of = WriteKey::of(&write);
                    if let Some(of) = &of {
                        prop_assert_eq!(wanted.get(of), Some(&write), "only what is wanted is sent");
                        prop_assert!(flying.iter().all(|(_, other)| other.as_ref() != Some(of)), "twice in flight");
                    }
                    flying.push((ticket, of));
                },
                Op::Outcome(n, o) => if !flying.is_empty() {
                    let (ticket, _) = flying.remove(n % flying.len());
                    let outcome = [done(), Outcome::Conflict, Outcome::NotFound, Outcome::Refused(String::new()), Outcome::Unavailable(String::new())][usize::from(o)].clone();
                    prop_assert!(queue.handle_outcome(ticket, outcome, now).is_some());
                },
                Op::Wait(ms) => now += Duration::from_millis(ms),
            }
            prop_assert!(queue.in_flight() <= 3 && queue.in_flight() == flying.len());
            let allowed = 4 + u64::try_from((now - start).as_millis()).unwrap_or(0) / 100 + 1;
            prop_assert!(sent <= allowed, "{} sent, {} allowed", sent, allowed);
        }
        // In the end, with a server that answers, everything wanted is written.
        for (ticket, _) in flying { queue.handle_outcome(ticket, done(), now); }
        let mut last: BTreeMap<WriteKey, Write> = BTreeMap::new();
        for (of, write) in &wanted { queue.seen(of); queue.set_desired(write.clone(), now); }
        for _ in 0..1000 {
            match queue.poll_write(now) {
                Some((ticket, write)) => {
                    if let Some(of) = WriteKey::of(&write) { last.insert(of, write); }
                    queue.handle_outcome(ticket, done(), now);
                }
                None => match queue.poll_timeout() { Some(due) => now = due.max(now), None => break },
            }
        }
        prop_assert_eq!((queue.pending(), queue.events(), queue.in_flight()), (0, 0, 0));
        for (of, write) in &last { prop_assert_eq!(wanted.get(of), Some(write)); }
    }
}
