//! One holder of very many addresses dies: when the last of them was announced by the next.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::cluster::is_of_pool;
use super::{Bench, Figure, Samples, runs, say};
use crate::fleet::trial::first_frames;
use crate::lab::{self, Capture};

/// Longest for all to be announced.
const SOON: Duration = Duration::from_secs(60);
/// Until the second one has heard every claim, and the rounds of the first are over.
const SETTLE: Duration = Duration::from_secs(7);

pub(super) fn thousand(bench: &mut Bench) -> Result<Vec<Figure>> {
    measure(bench, 1_000, 1.3, 10)
}

pub(super) fn ten_thousand(bench: &mut Bench) -> Result<Vec<Figure>> {
    measure(bench, 10_000, 3.6, 5)
}

fn measure(bench: &mut Bench, services: usize, target: f64, times: usize) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(services + services / 10)?;
    cluster.stop_speakers();
    cluster.serve(services)?;
    let wire = Capture::start(&cluster.lab.client, "eth0")?;
    let (mut first, mut last) = <[Samples; 2]>::default().into();
    for run in 0..runs(times) {
        cluster.set_pods(2)?;
        cluster.wait_for_quiet()?;
        wire.clear();
        let begun = Instant::now();
        // Alone it takes all of them.
        cluster.start_speaker(0)?;
        let all = announced(&wire, cluster.services())?;
        cluster.start_speaker(1)?;
        lab::pause(SETTLE);
        cluster.wait_for_quiet()?;
        let mac = cluster.lab.nodes[0].mac("eth0")?;
        let others = wire.count(|f| {
            f.at >= begun
                && f.source() != mac
                && f.arp().is_some_and(|arp| arp.sender_ip == arp.target_ip)
        });
        ensure!(others == 0, "the second one took something by itself");
        wire.clear();
        let killed = Instant::now();
        cluster.kill_speaker(0)?;
        let times = first_frames(&wire, &all, killed, SOON, |f| f.source() != mac)?;
        let since = times.values().map(|at| (*at - killed).as_secs_f64());
        let (soonest, latest) = (
            since.clone().fold(f64::MAX, f64::min),
            since.fold(0.0, f64::max),
        );
        say(&format!(
            "takeover {run} of {}: {soonest:.2} to {latest:.2} s",
            all.len()
        ));
        first.push(soonest);
        last.push(latest);
        cluster.stop_speakers();
    }
    let met = last.worst() <= target;
    let how = "real API server, two speakers, SIGKILL, the kernel's stamp at the client";
    Ok(vec![
        Figure::new(
            format!("{services} addresses taken over: last first frame"),
            "s",
            last,
        )
        .target(format!("<= {target} s"), met)
        .how(how),
        Figure::new(
            format!("{services} addresses taken over: first frame of all"),
            "s",
            first,
        )
        .target("told", true)
        .how(how),
    ])
}

/// The addresses, once there are so many that were announced.
fn announced(wire: &Capture, count: usize) -> Result<BTreeSet<IpAddr>> {
    let end = Instant::now() + SOON;
    loop {
        let seen = std::cell::RefCell::new(BTreeSet::new());
        wire.count(|frame| {
            let address = frame.arp().map(|arp| IpAddr::V4(arp.sender_ip));
            let of_it = |address: &IpAddr| is_of_pool(*address) && frame.gratuitous(*address);
            seen.borrow_mut().extend(address.filter(of_it));
            false
        });
        let seen = seen.into_inner();
        if seen.len() >= count {
            return Ok(seen);
        }
        ensure!(
            Instant::now() < end,
            "{} of {count} are announced",
            seen.len()
        );
        lab::pause(Duration::from_millis(50));
    }
}
