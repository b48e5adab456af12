//! Joining: how quickly everybody knows everybody, what an idle machine costs, the same seed twice.

use std::collections::BTreeSet;
use std::time::Duration;

use super::net::{Net, SECRET, address, keys, ms};
use crate::{Claim, Config, Event, Membership, Sealing, Standing};

fn knows_within(count: usize, loss_per_mille: usize, limit: Duration) {
    let seed = 100 + count as u64;
    let mut net = Net::new(count, seed);
    net.loss_per_mille = loss_per_mille;
    (0..count).for_each(|index| net.boot(index));
    assert!(
        net.run_until(limit, Net::everybody_knows),
        "{count} nodes, seed {seed}: no full view in {limit:?}"
    );
    let view = net.now - net.start;
    assert!(
        net.run_until(limit, Net::everybody_has_records),
        "{count} nodes, seed {seed}: records missing after {limit:?}"
    );
    println!(
        "{count} nodes, {loss_per_mille} of 1000 lost: full view in {view:?}, all records in {:?}",
        net.now - net.start
    );
    assert!(
        net.running()
            .into_iter()
            .all(|index| net.machine(index).heard())
    );
}

#[test]
fn everybody_knows_everybody_soon() {
    knows_within(3, 20, ms(1_500));
    knows_within(20, 20, ms(1_500));
    knows_within(50, 20, ms(2_000));
}

#[test]
fn joins_a_new_address_at_once() {
    let mut net = Net::new(2, 1);
    net.boot(0);
    let config = net.config(1);
    net.boot_with(1, config, keys(&[SECRET]));
    net.with(1, |machine, now| machine.set_peers(BTreeSet::new(), now));
    net.with(0, |machine, now| machine.set_peers(BTreeSet::new(), now));
    net.run(ms(1));
    net.with(0, |machine, now| {
        machine.set_peers(BTreeSet::from([address(1)]), now)
    });
    assert!(net.run_until(ms(50), Net::everybody_knows));
}

#[test]
fn one_address_is_enough_to_find_all() {
    let mut net = Net::new(12, 2);
    for index in 0..12 {
        net.boot(index);
        net.with(index, |machine, now| {
            machine.set_peers(BTreeSet::from([address(0)]), now)
        });
    }
    assert!(net.run_until(ms(3_000), Net::everybody_has_records));
}

// L2-87: what the start rule asks of the membership.
#[test]
fn a_node_alone_has_heard_nobody() {
    let mut net = Net::new(3, 3);
    net.boot(0);
    net.run(Duration::from_secs(5));
    assert!(!net.machine(0).heard());
    assert!(net.machine(0).members().is_empty());
    assert!(
        net.sent[0] <= 2 * 8,
        "two absent addresses are called once a second each, not {} times in 5 s",
        net.sent[0]
    );
    net.boot(1);
    assert!(net.run_until(ms(1_500), |net| net.machine(0).heard()
        && net.machine(1).heard()));
}

#[test]
fn ignores_its_own_address_among_the_peers() {
    let mut net = Net::new(1, 4);
    net.boot(0);
    net.run(Duration::from_secs(3));
    assert_eq!(net.sent, [0]);
}

/// Datagrams and bytes of UDP payload a second and node, in the mean, while nothing happens; every node has claims.
fn idle_traffic(count: usize, seconds: u64) -> (f64, f64) {
    let mut net = Net::formed(count, 5, 20);
    for index in 0..count {
        net.with(index, |machine, now| {
            for number in 0..20 {
                let address = [10, 128, index as u8, number].into();
                machine.set_claim(address, Some(Claim { term: 1 }), now);
            }
        });
    }
    net.run(Duration::from_secs(5));
    net.sent.fill(0);
    net.sent_bytes.fill(0);
    net.run(Duration::from_secs(seconds));
    let all = seconds as f64 * count as f64;
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / all;
    let (sent, bytes) = (mean(&net.sent), mean(&net.sent_bytes));
    println!("{count} idle nodes: {sent:.2} datagrams and {bytes:.0} bytes a second");
    (sent, bytes)
}

#[test]
fn an_idle_node_sends_at_most_thirty_datagrams_and_six_kilobytes_a_second() {
    for count in [3, 20, 50] {
        let (sent, bytes) = idle_traffic(count, 10);
        assert!(sent <= 30.0, "{count} nodes: {sent} a second");
        assert!(bytes <= 6_000.0, "{count} nodes: {bytes} a second");
    }
}

#[test]
#[ignore = "200 machines without optimisation take longer than the whole suite may"]
fn an_idle_node_among_two_hundred_sends_as_little() {
    let (sent, bytes) = idle_traffic(200, 20);
    assert!(sent <= 30.0 && bytes <= 6_000.0, "{sent}, {bytes}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut net = Net::formed(8, seed, 50);
        net.duplicate_per_mille = 20;
        net.kill(3);
        net.run(Duration::from_secs(3));
        net.boot(3);
        net.run(Duration::from_secs(2));
        net.trace
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn refuses_a_configuration_that_cannot_work() {
    let mut net = Net::new(1, 9);
    let sound = net.config(0);
    let zero_port = std::net::SocketAddr::from(([10, 0, 0, 1], 0));
    let anywhere = std::net::SocketAddr::from(([0, 0, 0, 0], 7946));
    let mut slow_probe = sound.clone();
    slow_probe.tuning.probe_timeout = slow_probe.tuning.probe_interval;
    let mut no_gossip = sound.clone();
    no_gossip.tuning.gossip_members = 0;
    let cases = [
        (
            Config {
                name: String::new(),
                ..sound.clone()
            },
            "a node name has 1 to 253 bytes, this one has 0",
        ),
        (
            Config {
                name: "n".repeat(254),
                ..sound.clone()
            },
            "a node name has 1 to 253 bytes, this one has 254",
        ),
        (
            Config {
                address: zero_port,
                ..sound.clone()
            },
            "10.0.0.1:0 cannot be reached by other nodes: give an address of this node and a port",
        ),
        (
            Config {
                address: anywhere,
                ..sound.clone()
            },
            "0.0.0.0:7946 cannot be reached by other nodes: give an address of this node and a port",
        ),
        (
            slow_probe,
            "the probe timeout must be shorter than the probe interval",
        ),
        (no_gossip, "no interval and no count may be zero"),
    ];
    for (config, expected) in cases {
        let error = Membership::new(config, keys(&[SECRET]), 0, net.now).err();
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            Some(expected)
        );
    }
}

#[test]
fn goes_plain_only_when_told_so() {
    let mut net = Net::new(2, 10);
    net.capture = Some(Vec::new());
    for index in 0..2 {
        let config = Config {
            sealing: Sealing::None,
            ..net.config(index)
        };
        net.boot_with(index, config, keys(&[]));
    }
    assert!(net.run_until(ms(500), Net::everybody_has_records));
    assert_eq!(net.machine(0).standing(), Standing::Active);
    assert_eq!(
        net.events_since(0, net.start).first(),
        Some(&Event::Up("node-1".into()))
    );
}

#[test]
fn may_be_moved_to_the_thread_that_drives_it() {
    fn is_send<T: Send>() {}
    is_send::<Membership>();
}
