//! Ten thousand pending Services → all have an address, beside a bare client's ten thousand status writes.
//!
//! Each cycle: the bare client writes all statuses (the reference) and clears them again; then the controller is
//! started and the same writes are its own to make. Its start, its list and its Lease are in its time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::bare::{self, Known};
use super::cluster::Cluster;
use super::{Bench, Figure, Samples, process, runs, say};
use crate::controlplane::CONTROLLER;
use crate::lab;

const SERVICES: usize = 10_000;
const CYCLES: usize = 3;
const RATIO: f64 = 1.2;
const MEMORY_TARGET_MIB: f64 = 40.0;
const SOON: Duration = Duration::from_secs(240);
/// Longer than any write waits for its answer.
const SILENCE: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(SERVICES)?;
    cluster.stop_speakers();
    cluster.create_until(SERVICES)?;
    cluster.start_controller()?;
    cluster.wait_for_quiet()?;
    cluster.stop_controller(false);
    let [mut ours, mut theirs, mut ratios, mut resident] = [(); 4].map(|()| Samples::default());
    let mut early = 0;
    for cycle in 0..runs(CYCLES) {
        clear(cluster)?;
        let bare = bare_writes(cluster)?;
        clear(cluster)?;
        let (time, events) = controller_writes(cluster)?;
        early += events;
        cluster.wait_for_quiet()?;
        resident.push(process::resident(cluster.controller_id()?)?);
        let (_, served) = cluster.plane.block_on(async |c| bare::list(&c).await)?;
        ensure!(served == SERVICES, "{served} of {SERVICES} have an address");
        cluster.stop_controller(false);
        let ratio = time.as_secs_f64() / bare.as_secs_f64();
        say(&format!(
            "cycle {cycle}: bare {bare:.1?}, ours {time:.1?}: {ratio:.2} x; {events} events before the last status"
        ));
        ours.push(time.as_secs_f64());
        theirs.push(bare.as_secs_f64());
        ratios.push(ratio);
    }
    let met = ratios.p50() <= RATIO;
    let reference = format!(
        "bare client {:.1} s: {:.2} x (MetalLB 205 s, record)",
        theirs.p50(),
        ratios.p50()
    );
    let pending = Figure::new("10,000 pending Services -> all have an address", "s", ours)
        .target(format!("<= {RATIO} x the bare client (median)"), met)
        .reference(reference)
        .how(format!(
            "from the controller's start to the last status; {early} events before it in all cycles; no speakers"
        ));
    let met = resident.worst() <= MEMORY_TARGET_MIB;
    let memory = Figure::new(
        "controller resident memory, 10,000 Services",
        "MiB",
        resident,
    )
    .target(format!("<= {MEMORY_TARGET_MIB}"), met)
    .reference("MetalLB 228 (record)")
    .how("VmRSS after all statuses and events are written");
    Ok(vec![pending, memory])
}

/// All statuses by the bare client, under the controller's own account.
fn bare_writes(cluster: &Cluster) -> Result<Duration> {
    let known = listed(cluster)?;
    let count = known.len();
    ensure!(count == SERVICES, "{count} Services");
    cluster.plane.block_on(async |_| {
        let client = cluster.plane.client(CONTROLLER).await?;
        let client = &client;
        let begun = Instant::now();
        let write = async move |(n, known): (usize, Known)| {
            bare::write_status(client, &known, Some(&bare::address(n))).await
        };
        bare::all(known.into_iter().enumerate(), write).await?;
        Ok(begun.elapsed())
    })
}

/// All statuses away.
fn clear(cluster: &Cluster) -> Result<()> {
    let known = listed(cluster)?;
    cluster.plane.block_on(async |client| {
        let client = &client;
        let write = async move |known: Known| bare::write_status(client, &known, None).await;
        bare::all(known, write).await.map(drop)
    })
}

fn listed(cluster: &Cluster) -> Result<Vec<Known>> {
    Ok(cluster.plane.block_on(async |c| bare::list(&c).await)?.0)
}

/// From the controller's start to the last of its status writes, and how many events were written before that.
fn controller_writes(cluster: &mut Cluster) -> Result<(Duration, usize)> {
    cluster.writes()?;
    let begun = Instant::now();
    cluster.start_controller()?;
    let (mut statuses, mut events, mut early) = (0, 0, 0);
    let mut last = begun;
    loop {
        for write in cluster.audit().writes()? {
            match write.what.as_str() {
                "patch services/status" => {
                    statuses += usize::from(write.good);
                    last = Instant::now();
                    early = events;
                }
                "create events" => events += 1,
                _ => {}
            }
        }
        // A server that is pressed may carry out what it then answers with a time-out: the silence tells as well.
        if statuses >= SERVICES || (statuses > 0 && last.elapsed() > SILENCE) {
            return Ok((last - begun, early));
        }
        if begun.elapsed() > SOON {
            bail!("{statuses} statuses written");
        }
        lab::pause(LOOK);
    }
}
