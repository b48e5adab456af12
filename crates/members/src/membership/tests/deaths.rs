//! Deaths, goodbyes and restarts; and that the living are not called dead.

use std::time::Duration;

use super::net::{Net, ms};
use crate::{BootId, Config, Event, Standing};

/// Kills one node in each of many runs and gives the times until each of the others told so, sorted.
fn times_to_down(count: usize, loss_per_mille: usize, kills: u64) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut net = Net::formed(count, 1_000 + count as u64, loss_per_mille);
    net.run(Duration::from_secs(2));
    for kill in 0..kills {
        net.run(ms(37 * (kill % 7)));
        let victim = usize::try_from(kill).expect("few") % count;
        let name = net.nodes[victim].name.clone();
        let since = net.now;
        net.kill(victim);
        net.run(Duration::from_secs(2));
        for other in net.running() {
            let told = net.told(other, since, &Event::Down(name.clone()));
            times.push(
                told.unwrap_or_else(|| {
                    panic!("{count} nodes, kill {kill}: node-{other} never told")
                }),
            );
        }
        net.boot(victim);
        assert!(
            net.run_until(Duration::from_secs(5), Net::everybody_knows),
            "{count} nodes: node-{victim} did not come back"
        );
    }
    times.sort();
    times
}

fn print_times(count: usize, times: &[Duration]) -> Duration {
    let max = times.last().copied().unwrap_or_default();
    println!(
        "{count} nodes: down known after p50 {:?}, max {max:?} ({} observations)",
        times[times.len() / 2],
        times.len()
    );
    max
}

// L2-86: the part of the membership, death to knowledge.
#[test]
fn everybody_knows_of_a_death_within_a_second() {
    for (count, kills) in [(2, 20), (3, 40), (5, 20), (20, 8), (50, 3)] {
        let max = print_times(count, &times_to_down(count, 20, kills));
        assert!(max <= ms(1_000), "{count} nodes: {max:?}");
    }
}

// L2-86: the part of the membership, death to knowledge.
#[test]
#[ignore = "200 machines without optimisation take longer than the whole suite may"]
fn two_hundred_nodes_know_one_another_and_of_a_death_soon() {
    let mut net = Net::formed(200, 1_200, 20);
    println!("200 nodes: full view in {:?}", net.now - net.start);
    assert!(net.now - net.start <= ms(3_000));
    assert!(net.run_until(ms(3_000), Net::everybody_has_records));
    let since = net.now;
    net.kill(0);
    net.run(ms(1_200));
    let down = Event::Down("node-0".into());
    let mut times: Vec<Duration> = net
        .running()
        .into_iter()
        .filter_map(|other| net.told(other, since, &down))
        .collect();
    times.sort();
    assert_eq!(times.len(), 199);
    assert!(print_times(200, &times) <= ms(1_000));
}

#[test]
fn nobody_alive_is_called_dead_in_a_minute_of_loss() {
    let mut net = Net::formed(20, 42, 20);
    net.duplicate_per_mille = 10;
    let since = net.now;
    net.run(Duration::from_secs(60));
    for index in net.running() {
        let events = net.events_since(index, since);
        let wrong = events
            .iter()
            .find(|event| !matches!(event, Event::RecordChanged(_)));
        assert_eq!(wrong, None, "seed 42: node-{index}");
    }
    assert!(net.everybody_knows());
}

#[test]
fn a_goodbye_is_known_at_once_and_is_no_death() {
    for loss in [0, 50] {
        let mut net = Net::formed(20, 6, loss);
        net.run(Duration::from_secs(1));
        let since = net.now;
        net.with(4, |machine, now| machine.leave(now));
        assert_eq!(net.machine(4).standing(), Standing::Left);
        net.run(Duration::from_secs(2));
        assert_eq!(
            net.machine(4).poll_timeout(),
            None,
            "a machine that has left wants nothing more"
        );
        for other in net.running().into_iter().filter(|index| *index != 4) {
            let told = net
                .told(other, since, &Event::Left("node-4".into()))
                .expect("told");
            assert!(
                told <= ms(if loss == 0 { 2 } else { 200 }),
                "loss {loss}: node-{other} after {told:?}"
            );
            assert_eq!(net.told(other, since, &Event::Down("node-4".into())), None);
            assert!(!net.machine(other).members().contains_key("node-4"));
        }
    }
}

#[test]
fn who_left_comes_back_as_another_boot() {
    let mut net = Net::formed(3, 7, 0);
    net.with(1, |machine, now| machine.leave(now));
    net.run(ms(200));
    net.kill(1);
    net.boot(1);
    assert!(net.run_until(ms(200), Net::everybody_has_records));
}

#[test]
fn a_restarted_node_replaces_its_former_self_at_once() {
    let mut net = Net::formed(5, 8, 0);
    net.run(Duration::from_secs(1));
    let since = net.now;
    let before = net.machine(0).members()["node-2"].boot;
    net.kill(2);
    net.boot(2);
    assert!(net.run_until(ms(300), |net| net.everybody_has_records()
        && net.machine(0).members()["node-2"].boot != before));
    net.run(Duration::from_secs(3));
    for other in [0, 1, 3, 4] {
        let events = net.events_since(other, since);
        assert!(
            events.contains(&Event::Restarted("node-2".into())),
            "{events:?}"
        );
        assert!(
            !events.contains(&Event::Down("node-2".into())),
            "{events:?}"
        );
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, Event::NameConflict { .. })),
            "{events:?}"
        );
    }
}

#[test]
fn a_restart_with_a_clock_set_back_still_wins() {
    let mut net = Net::formed(4, 9, 0);
    let since = net.now;
    net.kill(1);
    let config = Config {
        boot: BootId::new(5, [9; 10]),
        ..net.config(1)
    };
    net.boot_with(1, config, super::net::keys(&[super::net::SECRET]));
    assert!(net.run_until(ms(300), |net| net.everybody_has_records()
        && net.machine(0).members()["node-1"].boot == BootId::new(5, [9; 10])));
    assert!(
        !net.events_since(0, since)
            .contains(&Event::Down("node-1".into()))
    );
}

#[test]
fn a_restart_after_a_clock_that_was_years_ahead_still_wins() {
    let mut net = Net::formed(4, 14, 0);
    let keys = || super::net::keys(&[super::net::SECRET]);
    for millis in [(1 << 48) - 1, 1_700_000_000_000, 0] {
        let since = net.now;
        net.kill(1);
        let boot = BootId::new(millis, [8; 10]);
        let config = Config {
            boot,
            ..net.config(1)
        };
        net.boot_with(1, config, keys());
        let there = |net: &Net| net.machine(0).members()["node-1"].boot == boot;
        assert!(
            net.run_until(ms(300), |net| net.everybody_has_records() && there(net)),
            "a boot at {millis}"
        );
        let events = net.events_since(0, since);
        assert!(
            events.contains(&Event::Restarted("node-1".into())),
            "{events:?}"
        );
        assert!(
            !events.contains(&Event::Down("node-1".into())),
            "{events:?}"
        );
    }
}

#[test]
fn both_halves_of_a_partition_find_one_another_again() {
    let mut net = Net::formed(10, 11, 0);
    for (left, right) in (0..5).flat_map(|left| (5..10).map(move |right| (left, right))) {
        net.cut.extend([(left, right), (right, left)]);
    }
    net.run(Duration::from_secs(3));
    assert!(
        net.running()
            .into_iter()
            .all(|index| net.machine(index).members().len() == 4)
    );
    net.cut.clear();
    let healed = net.now;
    assert!(
        net.run_until(Duration::from_secs(4), Net::everybody_has_records),
        "no full view 4 s after healing"
    );
    println!("a full view {:?} after healing", net.now - healed);
    let since = net.now;
    net.run(Duration::from_secs(5));
    let noise: Vec<Event> = (0..10)
        .flat_map(|index| net.events_since(index, since))
        .collect();
    assert_eq!(noise, [], "quiet after healing");
}

#[test]
fn the_last_one_is_told_that_it_is_alone() {
    let mut net = Net::formed(2, 12, 0);
    let since = net.now;
    net.kill(1);
    net.run(Duration::from_secs(2));
    assert_eq!(
        net.events_since(0, since),
        [Event::Down("node-1".into()), Event::Isolated]
    );
}

#[test]
fn a_path_that_works_through_others_is_no_death() {
    let mut net = Net::formed(5, 13, 0);
    net.cut.extend([(0, 1), (1, 0)]);
    let since = net.now;
    net.run(Duration::from_secs(20));
    let events: Vec<Event> = (0..5)
        .flat_map(|index| net.events_since(index, since))
        .collect();
    assert!(
        !events.iter().any(|event| matches!(event, Event::Down(_))),
        "{events:?}"
    );
}
