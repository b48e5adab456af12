//! How soon a death is known, what that costs, and how often a living node is called dead: the figures of
//! docs/failure-detection.md. The long forms (`make soak`) print its tables.

use std::time::Duration;

use super::net::{Net, ms};
use crate::Event;
use crate::random::SplitMix;

fn formed(count: usize, seed: u64, loss_per_mille: usize) -> Net {
    let mut net = Net::new(count, seed);
    net.plain = true;
    net.loss_per_mille = loss_per_mille;
    (0..count).for_each(|index| net.boot(index));
    assert!(
        net.run_until(Duration::from_secs(30), Net::everybody_knows),
        "seed {seed}: no full view"
    );
    net.run(Duration::from_secs(2));
    net.clear_logs();
    net
}

/// Times from a kill to each node's knowledge of it, sorted; 4 s stands for never.
fn deaths(count: usize, loss_per_mille: usize, kills: u64, seed: u64) -> Vec<Duration> {
    let mut net = formed(count, seed, loss_per_mille);
    let mut random = SplitMix::new(seed);
    let mut times = Vec::new();
    for _ in 0..kills {
        net.run(Duration::from_micros(random.below(500_000) as u64));
        let victim = random.below(count);
        let down = Event::Down(net.nodes[victim].name.clone());
        let since = net.now;
        net.kill(victim);
        net.run(Duration::from_secs(4));
        for other in net.running() {
            let told = net.told(other, since, &down);
            times.push(told.unwrap_or(Duration::from_secs(4)));
        }
        net.clear_logs();
        net.boot(victim);
        assert!(net.run_until(Duration::from_secs(10), Net::everybody_knows));
        net.run(ms(500));
    }
    times.sort();
    times
}

fn quantile(times: &[Duration], per_mille: usize) -> Duration {
    let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

fn told_dead(net: &Net) -> usize {
    let logs = net.nodes.iter().flat_map(|node| &node.log);
    logs.filter(|(_, event)| matches!(event, Event::Down(_)))
        .count()
}

fn check_deaths(count: usize, loss_per_mille: usize, kills: u64) {
    let times = deaths(count, loss_per_mille, kills, 7_000 + count as u64);
    let (half, most) = (quantile(&times, 500), quantile(&times, 990));
    println!(
        "{count} nodes, {loss_per_mille} of 1000 lost: p50 {half:?}, p99 {most:?}, max {:?}, n {}",
        quantile(&times, 1000),
        times.len()
    );
    assert!(most <= ms(1_000), "{count} nodes: p99 {most:?}");
}

/// How many of so many pauses of one node make somebody call it dead.
fn pauses_taken_for_deaths(count: usize, pause: u64, runs: usize) -> usize {
    let mut net = formed(count, 7_200, 20);
    let mut random = SplitMix::new(pause);
    let mut dead = 0;
    for _ in 0..runs {
        net.clear_logs();
        net.run(Duration::from_micros(random.below(500_000) as u64));
        net.stop_for(random.below(count), ms(pause));
        net.run(ms(pause) + Duration::from_secs(2));
        dead += usize::from(told_dead(&net) > 0);
        assert!(net.run_until(Duration::from_secs(10), Net::everybody_knows));
    }
    println!("{count} nodes, paused for {pause} ms: {dead} of {runs} called dead");
    dead
}

#[test]
fn a_pause_of_a_third_of_a_second_is_no_death() {
    assert_eq!(pauses_taken_for_deaths(5, 330, 10), 0);
}

#[test]
fn deaths_are_known_within_a_second_at_five_per_cent_loss() {
    check_deaths(5, 50, 12);
}

#[test]
#[ignore = "minutes: prints the table of detection times"]
fn deaths_are_known_within_a_second_at_every_size() {
    for loss_per_mille in [20, 50] {
        for (count, kills) in [(3, 60), (5, 60), (20, 40), (50, 20), (200, 3)] {
            check_deaths(count, loss_per_mille, kills);
        }
    }
}

#[test]
#[ignore = "minutes: prints the table of pauses"]
fn pauses_below_350_ms_are_no_deaths() {
    for count in [3, 20] {
        for pause in [150, 250, 350, 400, 450] {
            let dead = pauses_taken_for_deaths(count, pause, 40);
            assert!(pause > 350 || dead == 0);
        }
    }
}

/// Nodes that are overloaded: one after another is held up for up to 300 ms.
#[test]
#[ignore = "minutes"]
fn the_overloaded_are_not_called_dead() {
    for loss_per_mille in [20, 50] {
        let mut net = formed(10, 7_300, loss_per_mille);
        let mut random = SplitMix::new(7_300);
        let end = net.now + Duration::from_secs(600);
        while net.now < end {
            let pause = random.below(300) as u64;
            net.stop_for(random.below(10), ms(pause));
            net.run(ms(pause.max(20)));
        }
        let told = told_dead(&net);
        println!("held up to 300 ms, {loss_per_mille} of 1000 lost: {told} deaths told in 10 min");
        assert_eq!(told, 0);
    }
}

#[test]
#[ignore = "ten simulated hours of 50 nodes: most of an hour of CPU"]
fn nobody_alive_is_called_dead_in_ten_hours_of_two_per_cent_loss() {
    let mut total = 0;
    for hour in 0..10 {
        let mut net = formed(50, 7_500 + hour, 20);
        for minute in 0..60 {
            net.run(Duration::from_secs(60));
            total += told_dead(&net);
            net.clear_logs();
            println!("hour {hour}, minute {minute}: {total} false deaths so far");
        }
    }
    assert_eq!(total, 0);
}
