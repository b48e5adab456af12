//! What one assigned Service costs the API server in writes: controller and three speakers.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::audit::Counts;
use super::cluster::name;
use super::{Bench, Figure, Samples, bare, runs, say};
use crate::lab;

const SPEAKERS: usize = 3;
const SERVICES: usize = 20;
/// Everything that follows a Service is written within this, pool status included.
const WINDOW: Duration = Duration::from_millis(2_500);

/// Kind of write, what it may cost per Service, MetalLB's figure where there is one.
const KINDS: [(&str, f64); 3] = [
    ("services/status", 1.0),
    ("events", 2.0),
    ("servicel2statuses", 2.0),
];

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(1)?;
    cluster.serve(1)?;
    cluster.start_speakers(SPEAKERS)?;
    cluster.wait_for_quiet()?;
    let mut each: Vec<(Counts, Duration)> = Vec::new();
    for _ in 0..runs(SERVICES) {
        let n = cluster.services();
        cluster.writes()?;
        let begun = Instant::now();
        cluster.create_until(n + 1)?;
        lab::pause(WINDOW);
        each.push((cluster.writes()?, begun.elapsed()));
    }
    cluster.stop_speakers();
    let (last, _) = each.last().cloned().unwrap_or_default();
    say(&format!(
        "of {}: {last:?}, pool {}",
        name(cluster.services() - 1),
        bare::NAMESPACE
    ));
    let of = |counts: &Counts, resource: &str| -> f64 {
        let mine = |what: &str| {
            let of = what.split(' ').nth(1).unwrap_or_default();
            of == resource || of.strip_suffix("/status") == Some(resource)
        };
        counts
            .iter()
            .filter(|(what, _)| mine(what))
            .map(|(_, n)| *n as f64)
            .fold(0.0, |sum, n| sum + n)
    };
    let mut figures = Vec::new();
    for (resource, allowed) in KINDS {
        let samples = Samples::new(each.iter().map(|(counts, _)| of(counts, resource)));
        let met = samples.values().iter().all(|n| *n == allowed);
        figures.push(
            Figure::new(format!("writes for one Service: {resource}"), "", samples)
                .target(format!("{allowed}"), met)
                .reference(if resource == "services/status" {
                    "MetalLB 4.0 + 3 in all (record)"
                } else {
                    ""
                })
                .how("audit log, controller and three speakers, one Service at a time"),
        );
    }
    let rate = each
        .iter()
        .map(|(counts, time)| of(counts, "ipaddresspools") / time.as_secs_f64());
    let rate = Samples::new(rate);
    let met = rate.worst() <= 1.0;
    figures.push(
        Figure::new("writes of the pool's status", "per s", rate)
            .target("<= 1 per s and pool", met),
    );
    let known = |what: &str| {
        let of = what
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .trim_end_matches("/status");
        of == "ipaddresspools"
            || KINDS
                .iter()
                .any(|(kind, _)| kind.trim_end_matches("/status") == of)
    };
    let other = each.iter().map(|(counts, _)| {
        counts
            .iter()
            .filter(|(what, _)| !known(what))
            .map(|(_, n)| *n as f64)
            .fold(0.0, |sum, n| sum + n)
    });
    let other = Samples::new(other);
    let met = other.worst() == 0.0;
    figures.push(
        Figure::new(
            "writes for one Service: anything else but the Lease",
            "",
            other,
        )
        .target("0", met),
    );
    Ok(figures)
}
