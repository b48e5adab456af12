//! The simulation: how fast virtual time passes, and how long nobody answers after a death, by the size of the cluster.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, Figure, Samples};
use crate::sim;

const SPEED_TARGET: f64 = 500.0;
const FAILOVER_TARGET_MS: f64 = 1_000.0;
/// Sizes of clusters, with how often the holder is killed.
const SIZES: [(usize, u64); 5] = [(3, 100), (5, 100), (20, 40), (50, 20), (200, 5)];

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut figures = vec![speed()];
    for (nodes, times) in SIZES {
        figures.push(failover(nodes, times)?);
    }
    Ok(figures)
}

fn speed() -> Figure {
    let samples = Samples::new((0..5).map(|_| sim::speed(5, Duration::from_secs(120))));
    let met = samples.p50() >= SPEED_TARGET;
    Figure::new("simulated seconds per real second, 5 nodes", "", samples)
        .target(format!(">= {SPEED_TARGET}"), met)
        .how("whole cluster with controllers, API server and hosts, one core")
}

fn failover(nodes: usize, times: u64) -> Result<Figure> {
    let mut samples = Samples::default();
    for seed in 0..times {
        let failover = sim::failover(seed, nodes, 20)
            .with_context(|| format!("seed {seed}, {nodes} nodes: nobody in five seconds"))?;
        samples.push(failover.worst.as_secs_f64() * 1e3);
    }
    let met = samples.p99() <= FAILOVER_TARGET_MS;
    Ok(Figure::new(
        format!("holder dies -> first frames of the next, simulated, {nodes} nodes, 2 % loss"),
        "ms",
        samples,
    )
    .target(format!("p99 <= {FAILOVER_TARGET_MS} ms"), met)
    .how("the last of its addresses"))
}
