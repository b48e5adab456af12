//! A process that was stopped and goes on, and the hint of an unreachable port.

use std::time::Duration;

use super::net::{Net, address, ms};
use crate::Event;

#[test]
fn a_paused_process_says_so_and_kills_nobody() {
    for (seed, pause) in [(80, 400), (81, 1_000), (82, 5_000), (83, 30_000)] {
        let mut net = Net::formed(6, seed, 20);
        net.run(Duration::from_secs(1));
        let since = net.now;
        net.stop_for(2, ms(pause));
        net.run(ms(pause) + Duration::from_secs(5));
        let own = net.events_since(2, since);
        let late = own.iter().find_map(|event| {
            if let Event::Late { by } = event {
                Some(*by)
            } else {
                None
            }
        });
        assert!(
            late.is_some_and(|by| by <= ms(pause) && by + ms(200) > ms(pause)),
            "{pause} ms: {own:?}"
        );
        assert!(
            !own.iter().any(|event| matches!(event, Event::Down(_))),
            "{pause} ms: {own:?}"
        );
        for other in [0, 1, 3, 4, 5] {
            let events = net.events_since(other, since);
            let deaths = events
                .iter()
                .filter(|event| matches!(event, Event::Down(name) if name != "node-2"))
                .count();
            assert_eq!(deaths, 0, "{pause} ms: node-{other} {events:?}");
        }
        assert!(
            net.everybody_has_records(),
            "{pause} ms: the paused one is back"
        );
    }
}

#[test]
fn all_paused_at_once_come_back_without_deaths() {
    let mut net = Net::formed(5, 84, 0);
    let since = net.now;
    (0..5).for_each(|index| net.stop_for(index, ms(2_000)));
    net.run(Duration::from_secs(6));
    let deaths: Vec<Event> = (0..5)
        .flat_map(|index| net.events_since(index, since))
        .filter(|event| matches!(event, Event::Down(_)))
        .collect();
    assert_eq!(deaths, []);
    assert!(net.everybody_knows());
}

#[test]
fn a_turn_that_is_a_little_late_is_nothing_to_tell() {
    for seed in 400..420 {
        let mut net = Net::formed(4, seed, 0);
        let since = net.now;
        net.stop_for(1, ms(250));
        net.run(Duration::from_secs(2));
        for index in 0..4 {
            let events = net.events_since(index, since);
            assert_eq!(events, [], "seed {seed}: node-{index}");
        }
    }
}

#[test]
fn an_unreachable_port_is_a_failed_probe_and_never_a_death() {
    let mut net = Net::formed(4, 86, 0);
    let since = net.now;
    for _ in 0..3_000 {
        net.with(0, |machine, now| {
            machine.handle_unreachable(address(1), now)
        });
        net.with(0, |machine, now| {
            machine.handle_unreachable(address(77), now)
        });
        net.run(ms(1));
    }
    assert_eq!(net.machine(0).counters().unreachable, 6_000);
    let events: Vec<Event> = (0..4)
        .flat_map(|index| net.events_since(index, since))
        .collect();
    assert_eq!(events, []);
}
