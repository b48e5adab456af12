//! Moves on purpose, under 200 new connections a second and with a hundred that are held: nothing new is lost.
//! Held connections are counted and told: nothing hands them over yet.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tests::fleet::trial::Trial;
use tests::fleet::{self, Fleet};
use tests::lab::{self, Held, Load};

const NODES: usize = 3;
const RATE: u32 = 200;
const HELD: usize = 100;

/// Beside the first one, so that each node has some.
const ADDRESSES: u8 = 6;

fn addresses() -> Vec<IpAddr> {
    let all = (0..ADDRESSES).map(|n| IpAddr::from([192, 0, 2, 200 + n]));
    all.collect()
}

/// Three nodes with an address or two each, that have calmed down.
fn spread() -> Trial {
    let mut fleet = Fleet::new(NODES).unwrap();
    fleet.extra = ["--linger", "1s"].map(str::to_owned).to_vec();
    let trial = Trial::of(fleet).unwrap();
    let more = fleet::services("more", usize::from(ADDRESSES) - 1, false, NODES);
    let seen = Instant::now();
    trial.fleet.write("more.yaml", &more).unwrap();
    for address in addresses() {
        // The first one was announced before.
        let after = (address != trial.address).then_some(seen);
        trial.fleet.announced(&trial.wire, address, after).unwrap();
    }
    let all: Vec<(IpAddr, u16)> = addresses().into_iter().map(|it| (it, 80)).collect();
    trial.fleet.proxy(&all).unwrap();
    trial
}

/// Who answers for each address now.
fn owners(trial: &Trial) -> Vec<usize> {
    let owner = |address: IpAddr| {
        let label = format!("ip=\"{address}\"");
        let of_it = |n: &usize| {
            let count = trial
                .fleet
                .metric(*n, "harbinger_speaker_answering", &label);
            count.unwrap_or_default() > 0.0
        };
        let owners: Vec<usize> = (0..NODES).filter(of_it).collect();
        assert_eq!(owners.len(), 1, "{address} is answered by {owners:?}");
        owners[0]
    };
    addresses().into_iter().map(owner).collect()
}

fn rolling_restart(rounds: usize) {
    if !lab::ready() {
        return;
    }
    let mut trial = spread();
    for _ in 0..rounds {
        let load = Load::start(&trial.fleet.lab.client, trial.web(), RATE);
        let held = Held::start(&trial.fleet.lab.client, trial.lines(), HELD).unwrap();
        for node in 0..NODES {
            let before = owners(&trial);
            trial.wire.clear();
            let status = trial.fleet.stop(node).unwrap();
            assert!(status.success(), "{status}\n{}", trial.fleet.logs());
            trial.fleet.start(node).unwrap();
            trial.calm().unwrap();
            let after = owners(&trial);
            for (n, address) in addresses().into_iter().enumerate() {
                let seen = trial.announcers(address).unwrap();
                let moved = if before[n] == node { "moves" } else { "stays" };
                let others = seen.iter().filter(|it| **it != before[n]).count();
                assert_eq!(
                    others,
                    usize::from(before[n] == node),
                    "{address} {moved}: {seen:?}"
                );
                assert_eq!(
                    before[n] == after[n],
                    before[n] != node,
                    "{address} {moved}"
                );
            }
        }
        let (gone, all) = held.finish();
        let tally = load.finish();
        println!("rolling restart of {NODES}: {tally}; of {all} held connections {gone} ended");
        assert_eq!(tally.lost, 0, "{}", trial.fleet.logs());
    }
}

// L2-85
#[test]
fn a_rolling_restart_of_all_speakers_loses_no_connection_and_moves_each_address_once_per_node() {
    rolling_restart(1);
}

#[test]
#[ignore = "minutes: make soak"]
fn twenty_rolling_restarts_lose_no_connection() {
    rolling_restart(20);
}

#[test]
fn a_move_that_a_person_asks_for_loses_no_connection() {
    if !lab::ready() {
        return;
    }
    let mut trial = Trial::new(NODES).unwrap();
    let load = Load::start(&trial.fleet.lab.client, trial.web(), RATE);
    for _ in 0..3 {
        let holder = trial.calm().unwrap();
        let to = (holder + 1) % NODES;
        trial.wire.clear();
        let asked = Instant::now();
        trial.fleet.move_to("web", to).unwrap();
        let told = asked.elapsed();
        // What is told is done: the new node answered before that, and the old one lets go when it hears of it.
        assert_eq!(trial.calm().unwrap(), to, "{}", trial.fleet.logs());
        assert_eq!(trial.announcers(trial.address).unwrap().last(), Some(&to));
        println!("moved from node-{holder} to node-{to}: said so after {told:?}");
    }
    let to: SocketAddr = trial.web();
    let tally = load.finish();
    println!("three moves of {to}: {tally}");
    assert_eq!(tally.lost, 0, "{}", trial.fleet.logs());
}
