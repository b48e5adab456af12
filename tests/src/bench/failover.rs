//! What happens to the holder → the next one's first gratuitous frame; one trial after the other on real processes.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::{Bench, Figure, Samples, runs, say};
use crate::fleet::partition::Partition;
use crate::fleet::trial::{Fault, Taken, Trial};
use crate::lab::{self, Held, Load};

/// Nodes, and how often.
const KILLS: [(usize, usize); 3] = [(3, 25), (5, 25), (20, 15)];
const FREEZES: usize = 25;
const LINKS: usize = 25;
const STOPS: usize = 25;
const ROUNDS: usize = 10;
const PARTITIONS: usize = 20;
const NODES: usize = 3;
const RATE: u32 = 200;
const HELD: usize = 100;
const TARGET_MS: f64 = 1_000.0;
const RELEASE_TARGET_MS: f64 = 50.0;
const HOW: &str = "harbinger run on a folder, the kernel's stamp at the client";

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The same fault so many times; what was seen of each.
fn faults(nodes: usize, fault: Fault, times: usize) -> Result<Vec<Taken>> {
    let mut trial = Trial::new(nodes)?;
    let mut all = Vec::new();
    for n in 0..runs(times) {
        // It falls anywhere between two probes of the membership.
        lab::pause(Duration::from_millis(37 * (n as u64 % 14)));
        let taken = trial.once(fault)?;
        say(&format!(
            "{fault:?} {n}, {nodes} nodes: node-{} -> node-{}, {:.0} ms",
            taken.holder,
            taken.next,
            millis(taken.first_frame)
        ));
        all.push(taken);
    }
    Ok(all)
}

fn first_frames(all: &[Taken]) -> Samples {
    Samples::new(all.iter().map(|taken| millis(taken.first_frame)))
}

fn within_a_second(what: String, samples: Samples) -> Figure {
    let met = samples.p99() <= TARGET_MS;
    Figure::new(what, "ms", samples)
        .target("p99 <= 1.0 s", met)
        .reference("MetalLB 5,780 median, 7,160 worst (record)")
        .how(HOW)
}

/// A count of what must not happen.
fn none(what: impl Into<String>, samples: Samples) -> Figure {
    let met = samples.worst() == 0.0;
    Figure::new(what, "", samples).target("0", met)
}

pub(super) fn killed(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (nodes, times) in KILLS {
        let all = faults(nodes, Fault::Kill, times)?;
        let what = format!("holder killed -> first gratuitous frame of the next, {nodes} nodes");
        figures.push(within_a_second(what, first_frames(&all)));
    }
    Ok(figures)
}

pub(super) fn frozen(_: &mut Bench) -> Result<Vec<Figure>> {
    let all = faults(NODES, Fault::Freeze, FREEZES)?;
    let what = "holder stopped (SIGSTOP) -> first gratuitous frame of the next, 3 nodes";
    let answers = Samples::new(all.iter().map(|taken| taken.answers_after as f64));
    Ok(vec![
        within_a_second(what.to_owned(), first_frames(&all)),
        none("frames of it for the address after SIGCONT", answers).how(
            "110 questions each time: ten that waited in its socket, 200 a second after it went on",
        ),
    ])
}

pub(super) fn link(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let kinds = [
        (Fault::OwnLinkDown, "its interface put down"),
        (Fault::CableOut, "the switch's port down"),
    ];
    for (fault, how) in kinds {
        let all = faults(NODES, fault, LINKS)?;
        let what = format!("holder's link down ({how}) -> first gratuitous frame of the next");
        figures.push(within_a_second(what, first_frames(&all)));
        let released = all.iter().filter_map(|taken| taken.released);
        let samples = Samples::new(released.map(millis));
        let met = samples.p99() <= RELEASE_TARGET_MS;
        figures.push(
            Figure::new(
                format!("of that, released by itself ({how})"),
                "ms",
                samples,
            )
            .target("<= 50 ms", met)
            .how("its own gauge, the scrape included"),
        );
    }
    Ok(figures)
}

pub(super) fn planned(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut trial = Trial::new(NODES)?;
    let client = trial.fleet.lab.client.clone();
    let (mut first, mut lost, mut cut, mut ended) = <[Samples; 4]>::default().into();
    let load = Load::start(&client, trial.web(), RATE);
    for n in 0..runs(STOPS) {
        let mut taken = trial.strike(Fault::Term)?;
        let tally = load.since(taken.at);
        say(&format!(
            "stop {n}: {:.0} ms; {tally}",
            millis(taken.first_frame)
        ));
        first.push(millis(taken.first_frame));
        lost.push(tally.lost as f64);
        cut.push(tally.cut as f64);
        trial.mend(Fault::Term, &mut taken)?;
    }
    drop(load);
    let (mut all_lost, mut all_cut) = <[Samples; 2]>::default().into();
    for n in 0..runs(ROUNDS) {
        let load = Load::start(&client, trial.web(), RATE);
        let held = Held::start(&client, trial.lines(), HELD)?;
        for node in 0..NODES {
            trial.fleet.stop(node)?;
            trial.fleet.start(node)?;
            trial.calm()?;
        }
        let (gone, _) = held.finish();
        let tally = load.finish();
        say(&format!(
            "rolling restart {n}: {tally}; {gone} of {HELD} held ones ended"
        ));
        all_lost.push(tally.lost as f64);
        all_cut.push(tally.cut as f64);
        ended.push(gone as f64);
    }
    let reference = "MetalLB: nobody for 25-175 ms at each stop (record)";
    let how = "200 new connections a second, each answered within 900 ms; three nodes, pods beside";
    let counted = |what: &str, samples| {
        let figure = Figure::new(what, "", samples);
        figure
            .target("counted (0 with the hand-over)", true)
            .how(how)
    };
    Ok(vec![
        Figure::new(
            "planned stop -> first gratuitous frame of the next",
            "ms",
            first,
        )
        .target("told", true)
        .how(HOW),
        none("planned stop: new connections lost", lost)
            .reference(reference)
            .how(how),
        counted("planned stop: connections reset on their way", cut),
        none("rolling restart of 3: new connections lost", all_lost)
            .reference(reference)
            .how(how),
        counted(
            "rolling restart of 3: connections reset on their way",
            all_cut,
        ),
        counted(
            "rolling restart of 3: of 100 held connections, reset",
            ended,
        ),
    ])
}

pub(super) fn healed(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (near, far) in [(2, 2), (2, 3)] {
        let mut lan = Partition::new(near, far)?;
        let mut both = Samples::default();
        for n in 0..runs(PARTITIONS / 2) {
            let healed = lan.once()?;
            say(&format!(
                "partition {n}, {near} and {far}: {:?} served, node-{} is left, the other's last frame after {:.0} ms",
                healed.two,
                healed.left,
                millis(healed.both)
            ));
            both.push(millis(healed.both));
        }
        let met = both.worst() <= TARGET_MS;
        figures.push(
            Figure::new(format!("two holders after a partition of {near} and {far} heals"), "ms", both)
                .target("<= 1 s", met)
                .how("two switches, frames between them dropped; to the loser's last frame, asked 100 times a second on both sides"),
        );
    }
    Ok(figures)
}

const SPREAD: usize = 20;
const RETURNS: usize = 10;

/// What starts takes nothing from who is there; who starts with all others says nothing that is not his.
pub(super) fn returning(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut trial = Trial::new(NODES)?;
    let more = crate::fleet::services("more", SPREAD - 1, false, NODES);
    trial.fleet.write("more.yaml", &more)?;
    let addresses: Vec<IpAddr> = (0..SPREAD as u8)
        .map(|n| IpAddr::from([192, 0, 2, 200 + n]))
        .collect();
    for address in &addresses {
        trial.fleet.announced(&trial.wire, *address, None)?;
    }
    let (mut returned, mut cold) = <[Samples; 2]>::default().into();
    for n in 0..runs(RETURNS) {
        let taken = trial.strike(Fault::Kill)?;
        // All that it held have been taken over.
        lab::pause(Duration::from_secs(2));
        trial.wire.clear();
        trial.fleet.start(taken.holder)?;
        trial.calm()?;
        lab::pause(Duration::from_secs(2));
        let mac = trial.fleet.lab.nodes[taken.holder].mac("eth0")?;
        let frames = |address: &&IpAddr| {
            trial
                .wire
                .count(|f| f.source() == mac && f.announces(**address))
                > 0
        };
        let moved = addresses.iter().filter(frames).count();
        say(&format!(
            "return {n}: node-{}, {moved} of {SPREAD} addresses moved",
            taken.holder
        ));
        returned.push(moved as f64);
    }
    for n in 0..runs(RETURNS) {
        for node in 0..NODES {
            trial.fleet.kill(node)?;
        }
        trial.wire.clear();
        trial.fleet.start_all()?;
        trial.calm()?;
        for address in &addresses {
            trial.fleet.announced(&trial.wire, *address, None)?;
        }
        lab::pause(Duration::from_secs(2));
        let mut foreign = 0;
        for address in &addresses {
            let nodes = trial.announcers(*address)?;
            foreign += usize::from(nodes.len() != 1);
        }
        say(&format!(
            "cold start {n}: {foreign} of {SPREAD} addresses announced by two"
        ));
        cold.push(foreign as f64);
    }
    let new = new_node(&addresses)?;
    Ok(vec![
        none("returning node: addresses moved", returned)
            .how("20 addresses, three nodes, killed and started again"),
        none("new node: addresses moved", new).how("20 addresses on three nodes, a fourth starts"),
        none(
            "cold start of all speakers: addresses announced by one that is not the holder",
            cold,
        )
        .reference("MetalLB: in 3 of 5 starts (record)")
        .how("20 addresses, three nodes, all killed and started at once"),
    ])
}

fn new_node(addresses: &[IpAddr]) -> Result<Samples> {
    let mut samples = Samples::default();
    for n in 0..runs(RETURNS / 2) {
        let fleet = crate::fleet::Fleet::new(NODES + 1)?;
        let more = crate::fleet::services("more", SPREAD - 1, false, NODES + 1);
        fleet.write("more.yaml", &more)?;
        // The fourth is known as a Node and has not run.
        let mut trial = Trial::among(fleet, &[0, 1, 2])?;
        for address in addresses {
            trial.fleet.announced(&trial.wire, *address, None)?;
        }
        lab::pause(Duration::from_secs(1));
        trial.wire.clear();
        trial.fleet.start(NODES)?;
        trial.calm()?;
        lab::pause(Duration::from_secs(2));
        let mac = trial.fleet.lab.nodes[NODES].mac("eth0")?;
        let frames = |address: &&IpAddr| {
            trial
                .wire
                .count(|f| f.source() == mac && f.announces(**address))
                > 0
        };
        let moved = addresses.iter().filter(frames).count();
        say(&format!(
            "new node {n}: {moved} of {SPREAD} addresses moved"
        ));
        samples.push(moved as f64);
    }
    Ok(samples)
}
