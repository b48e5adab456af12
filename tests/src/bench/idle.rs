//! CPU time of processes that have nothing to do: a thousand Services, five nodes.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cluster::{Cluster, NODES};
use super::{Bench, Figure, Samples, process, say};
use crate::lab;

const SERVICES: usize = 1_000;
const TARGET_PERCENT: f64 = 0.5;
/// Until the rounds of gratuitous frames after the start are over.
const SETTLE: Duration = Duration::from_secs(15);
/// A whole period of the refresh.
const WINDOW: Duration = Duration::from_secs(60);

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(SERVICES + SERVICES / 10)?;
    cluster.serve(SERVICES)?;
    cluster.start_speakers(NODES)?;
    lab::pause(SETTLE);
    let wrote = cluster.wait_for_quiet()?;
    say(&format!("before: {wrote:?}"));
    let begun = Instant::now();
    let before = spent(cluster)?;
    lab::pause(WINDOW);
    let after = spent(cluster)?;
    let time = begun.elapsed().as_secs_f64();
    let wrote = cluster.writes()?;
    say(&format!("meanwhile: {wrote:?}"));
    cluster.stop_speakers();
    let percent =
        |(before, after): (&Duration, &Duration)| (*after - *before).as_secs_f64() / time * 100.0;
    let all: Vec<f64> = before.iter().zip(&after).map(percent).collect();
    let (controller, speakers) = all.split_last().map_or((0.0, &[][..]), |(c, s)| (*c, s));
    let figure = |what: &str, samples: Samples| {
        let met = samples.worst() <= TARGET_PERCENT;
        Figure::new(what, "% of a core", samples)
            .target(format!("<= {TARGET_PERCENT} %"), met)
            .how("real API server, each process over 60 s: one whole refresh")
    };
    Ok(vec![
        figure(
            "idle CPU of a speaker, 1,000 Services, 5 nodes",
            Samples::new(speakers.to_vec()),
        ),
        figure(
            "idle CPU of the controller, 1,000 Services",
            Samples::new([controller]),
        ),
    ])
}

/// Of each speaker, and of the controller last.
fn spent(cluster: &Cluster) -> Result<Vec<Duration>> {
    let mut ids = cluster.speaker_ids();
    ids.push(cluster.controller_id()?);
    ids.into_iter().map(process::cpu).collect()
}
