//! Order, bound, and what a pause forgives.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::identity::BootId;
use crate::membership::origin;

fn id(number: u64) -> Identity {
    Identity::new(
        format!("node-{number}").into(),
        SocketAddr::from(([10, 0, 0, 1], number as u16)),
        BootId::new(number, [0; 10]),
        1,
    )
}

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn comes_in_order_of_time_and_then_of_arrival() {
    let start = origin();
    let mut timers = Timers::default();
    for (at, token) in [(30, 1), (10, 2), (20, 3), (10, 4)] {
        assert!(timers.push(after(start, at), Timer::ProbeRandomMember(token)));
    }
    assert_eq!(timers.deadline(), Some(after(start, 10)));
    let mut tokens = Vec::new();
    while let Some(Timer::ProbeRandomMember(token)) = timers.pop_due(after(start, 20)) {
        tokens.push(token);
    }
    assert_eq!(tokens, [2, 4, 3]);
    assert_eq!(timers.deadline(), Some(after(start, 30)));
}

#[test]
fn a_full_queue_refuses() {
    let start = origin();
    let mut timers = Timers::default();
    for number in 0..MAX_TIMERS as u64 {
        assert!(timers.push(after(start, number), Timer::PeriodicGossip(0)));
    }
    assert!(!timers.push(start, Timer::PeriodicGossip(0)));
    assert_eq!(timers.len(), MAX_TIMERS);
}

#[test]
fn a_name_is_forgotten_once_however_often_it_died() {
    let start = origin();
    let mut timers = Timers::default();
    for rank in 0..100 {
        timers.push(
            after(start, rank),
            Timer::RemoveDown(id(1).raised_over(rank)),
        );
    }
    assert_eq!(timers.len(), 1);
}

#[test]
fn a_pause_forgives_probes_and_suspicions_and_puts_off_what_is_overdue() {
    let start = origin();
    let mut timers = Timers::default();
    timers.push(
        after(start, 1),
        Timer::SendIndirectProbe {
            probed_id: id(1),
            token: 0,
        },
    );
    timers.push(
        after(start, 2),
        Timer::ChangeSuspectToDown {
            member_id: id(2),
            incarnation: 0,
            token: 0,
        },
    );
    timers.push(after(start, 3), Timer::ProbeRandomMember(0));
    timers.push(after(start, 9_000), Timer::RemoveDown(id(3)));
    timers.forgive(after(start, 1_000), after(start, 1_100));
    assert_eq!(timers.len(), 2);
    assert_eq!(timers.pop_due(after(start, 1_099)), None);
    assert_eq!(
        timers.pop_due(after(start, 1_100)),
        Some(Timer::ProbeRandomMember(0))
    );
    assert_eq!(timers.deadline(), Some(after(start, 9_000)));
}

#[test]
fn finds_the_direct_probe_of_an_address() {
    let start = origin();
    let mut timers = Timers::default();
    let probe = Timer::SendIndirectProbe {
        probed_id: id(1),
        token: 0,
    };
    timers.push(after(start, 1), probe.clone());
    assert_eq!(timers.take_direct_probe(id(2).address), None);
    assert_eq!(timers.take_direct_probe(id(1).address), Some(probe));
    assert_eq!(timers.take_direct_probe(id(1).address), None);
}
