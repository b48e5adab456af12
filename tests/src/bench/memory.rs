//! Resident memory of speakers with one Service; that with more is measured where they are started.

use std::time::Duration;

use anyhow::Result;

use super::cluster::Cluster;
use super::{Bench, Figure, Samples, process, runs};
use crate::lab;

const SPEAKERS: usize = 3;
const RUNS: usize = 7;
/// What is resident for good is there by then.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn one(bench: &mut Bench) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(1)?;
    cluster.serve(1)?;
    let mut samples = Samples::default();
    for _ in 0..runs(RUNS) {
        cluster.start_speakers(SPEAKERS)?;
        lab::pause(SETTLE);
        of_speakers(cluster, &mut samples)?;
        cluster.stop_speakers();
    }
    Ok(vec![figure(
        "1 Service",
        samples,
        12.0,
        "MetalLB 59 (record)",
    )])
}

/// Adds the resident memory of each speaker that runs.
pub(super) fn of_speakers(cluster: &Cluster, samples: &mut Samples) -> Result<()> {
    for id in cluster.speaker_ids() {
        samples.push(process::resident(id)?);
    }
    Ok(())
}

/// A speaker's memory beside its target: the worst counts.
pub(super) fn figure(size: &str, samples: Samples, target: f64, record: &str) -> Figure {
    let met = samples.worst() <= target;
    Figure::new(format!("speaker resident memory, {size}"), "MiB", samples)
        .target(format!("<= {target}"), met)
        .reference(record)
        .how("real API server, each of three speakers, VmRSS after 3 s")
}
