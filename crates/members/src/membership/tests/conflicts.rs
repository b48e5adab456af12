//! Two nodes with one name.

use std::time::Duration;

use super::net::{Net, SECRET, address, keys, ms};
use crate::{Config, DropReason, Event, Standing};

/// A formed cluster and, at place 5, a second node under the name of node 1, just started.
fn with_an_impostor(seed: u64) -> Net {
    let mut net = Net::new(6, seed);
    (0..5).for_each(|index| net.boot(index));
    assert!(net.run_until(Duration::from_secs(5), Net::everybody_has_records));
    net.run(Duration::from_secs(1));
    let config = Config {
        name: "node-1".into(),
        ..net.config(5)
    };
    net.boot_with(5, config, keys(&[SECRET]));
    net
}

fn is_conflict(event: &Event) -> bool {
    matches!(event, Event::NameConflict { name, keeper, ignored } if name == "node-1" && *keeper == address(1) && *ignored == address(5))
}

#[test]
fn the_living_holder_keeps_the_name_and_nobody_flaps() {
    let mut net = with_an_impostor(70);
    let since = net.now;
    net.run(Duration::from_secs(30));
    assert_eq!(net.machine(5).standing(), Standing::Conflict);
    assert!(net.machine(5).members().is_empty());
    assert!(net.nodes[5].log.iter().any(|(_, event)| is_conflict(event)));
    assert_eq!(net.machine(1).standing(), Standing::Active);
    for index in 0..5 {
        assert_eq!(net.machine(index).members().len(), 4);
        let events = net.events_since(index, since);
        assert!(events.iter().all(is_conflict), "node-{index}: {events:?}");
        assert!(
            !events.is_empty() && events.len() <= 4,
            "told at most every 10 s: {events:?}"
        );
    }
    assert!(net.machine(0).counters().dropped(DropReason::NameTaken) > 0);
}

#[test]
fn takes_the_name_when_the_holder_is_gone() {
    let mut net = with_an_impostor(71);
    net.run(Duration::from_secs(3));
    net.kill(1);
    let taken = |net: &Net| {
        net.machine(5).standing() == Standing::Active
            && [0, 2, 3, 4].iter().all(|index| {
                net.machine(*index)
                    .members()
                    .get("node-1")
                    .is_some_and(|member| member.address == address(5))
            })
    };
    assert!(net.run_until(ms(2_000), taken));
    net.run(Duration::from_secs(5));
    assert!(taken(&net));
}

#[test]
fn a_restart_under_another_address_waits_only_for_the_death_of_its_former_self() {
    let mut net = Net::formed(4, 72, 20);
    net.kill(2);
    net.move_to(2, address(200));
    let since = net.now;
    net.boot(2);
    // The others were not told the new address: the newcomer calls them.
    assert!(net.run_until(ms(2_500), |net| net.machine(2).standing()
        == Standing::Active
        && net.everybody_knows()));
    println!(
        "a restart under another address is in after {:?}",
        net.now - since
    );
}

#[test]
fn two_that_start_at_once_under_one_name_end_with_one() {
    for seed in 73..83 {
        let mut net = Net::new(6, seed);
        (0..5).for_each(|index| net.boot(index));
        let config = Config {
            name: "node-1".into(),
            ..net.config(5)
        };
        net.boot_with(5, config, keys(&[SECRET]));
        net.run(Duration::from_secs(10));
        let since = net.now;
        net.run(Duration::from_secs(10));
        let active = [1, 5]
            .iter()
            .filter(|index| net.machine(**index).standing() == Standing::Active)
            .count();
        assert_eq!(active, 1, "seed {seed}");
        for index in [0, 2, 3, 4] {
            let events = net.events_since(index, since);
            assert!(
                events
                    .iter()
                    .all(|event| matches!(event, Event::NameConflict { .. })),
                "seed {seed}: node-{index} {events:?}"
            );
            assert_eq!(net.machine(index).members().len(), 4, "seed {seed}");
        }
    }
}
