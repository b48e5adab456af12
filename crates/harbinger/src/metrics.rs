//! The text of `/metrics`: families that the roles tell when somebody asks, and two histograms.
//!
//! Owns the names and the text format. MetalLB's dashboards and alerts read MetalLB's names, so those come out
//! letter for letter; the library's OpenMetrics rule that every counter ends in `_total` is undone for the
//! three that never did. What is counted is owned by the loops.

pub mod names;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use names::{Name, Shape};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of one sample.
pub type Labels = Vec<(&'static str, String)>;

/// One family with its samples.
#[derive(Clone, Debug)]
pub struct Family {
    /// Which.
    pub name: Name,
    /// Its samples.
    pub samples: Vec<(Labels, i64)>,
}

impl Family {
    /// A family of several samples.
    pub fn new(name: Name, samples: Vec<(Labels, i64)>) -> Self {
        Self { name, samples }
    }

    /// A family of one sample without labels.
    pub fn one(name: Name, value: i64) -> Self {
        Self::new(name, vec![(Vec::new(), value)])
    }
}

/// A count as a sample: what no counter of ours reaches saturates.
pub fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What the roles told for one scrape. Two roles in one process tell a family in parts; it appears once, and
/// a sample that both have is the sum of counters and the larger of gauges.
#[derive(Debug)]
struct Told(BTreeMap<Name, BTreeMap<Labels, i64>>);

impl Told {
    fn new(families: Vec<Family>) -> Self {
        let mut told: BTreeMap<Name, BTreeMap<Labels, i64>> = BTreeMap::new();
        for family in families {
            let samples = told.entry(family.name).or_default();
            for (labels, value) in family.samples {
                let both = match (family.name.shape(), samples.get(&labels)) {
                    (_, None) => value,
                    (Shape::Counter, Some(other)) => value.saturating_add(*other),
                    (Shape::Gauge, Some(other)) => value.max(*other),
                };
                samples.insert(labels, both);
            }
        }
        Self(told)
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, samples) in &self.0 {
            encode_family(&mut encoder, *name, samples)?;
        }
        Ok(())
    }
}

fn encode_family(
    encoder: &mut DescriptorEncoder<'_>,
    name: Name,
    samples: &BTreeMap<Labels, i64>,
) -> fmt::Result {
    let (kind, stem) = match name.shape() {
        Shape::Gauge => (MetricType::Gauge, name.as_str()),
        Shape::Counter => (
            MetricType::Counter,
            name.as_str().strip_suffix(TOTAL).unwrap_or(name.as_str()),
        ),
    };
    let mut metric = encoder.encode_descriptor(stem, name.help(), None, kind)?;
    for (labels, value) in samples {
        if labels.is_empty() {
            encode_value(&mut metric, name.shape(), *value)?;
        } else {
            let mut one = metric.encode_family(labels)?;
            encode_value(&mut one, name.shape(), *value)?;
        }
    }
    Ok(())
}

fn encode_value(metric: &mut MetricEncoder<'_>, shape: Shape, value: i64) -> fmt::Result {
    match shape {
        Shape::Gauge => metric.encode_gauge(&value),
        Shape::Counter => {
            let value = u64::try_from(value).unwrap_or(0);
            metric.encode_counter::<NoLabelSet, u64, u64>(&value, None)
        }
    }
}

/// How long the things take that users wait for, and probes.
#[derive(Clone, Debug)]
pub struct Timings {
    /// A Service's event was received → its status is written.
    pub status_written: Histogram,
    /// A Service's event was received → its first frame left here.
    pub announced: Histogram,
    /// A probe began → its answer was there.
    pub probed: Histogram,
}

impl Default for Timings {
    fn default() -> Self {
        // 0.25 ms to 16 s, each bound twice the last.
        let buckets = || Histogram::new(exponential_buckets(0.000_25, 2.0, 17));
        Self {
            status_written: buckets(),
            announced: buckets(),
            probed: buckets(),
        }
    }
}

/// Everything `/metrics` shows.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// The histograms; everything else is told at each scrape.
    pub fn new(timings: &Timings) -> Self {
        let mut registry = Registry::default();
        registry.register(
            names::STATUS_WRITTEN,
            "Seconds from the receipt of a Service's change to its written status",
            timings.status_written.clone(),
        );
        registry.register(
            names::ANNOUNCED,
            "Seconds from the receipt of a Service's addresses to their first frame on the network",
            timings.announced.clone(),
        );
        registry.register(
            names::PROBED,
            "Seconds from the beginning of a health probe to its result",
            timings.probed.clone(),
        );
        Self { registry }
    }

    /// The text with what the roles tell now.
    pub fn text(&self, mut families: Vec<Family>) -> String {
        families.extend(process());
        let mut told = Registry::default();
        told.register_collector(Box::new(Told::new(families)));
        let mut open = String::new();
        for registry in [&told, &self.registry] {
            text::encode_registry(&mut open, registry)
                .expect("writing to a String cannot fail and every label is valid");
        }
        classic(&open)
    }
}

/// What the operating system says about this process.
fn process() -> Vec<Family> {
    let pages: Option<i64> = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    pages
        .map(|pages| {
            Family::one(
                Name::ProcessResidentMemoryBytes,
                pages.saturating_mul(PAGE_BYTES),
            )
        })
        .into_iter()
        .collect()
}

/// LIMIT: pages of 4 KiB, as on every amd64 and nearly every arm64 kernel.
const PAGE_BYTES: i64 = 4096;

/// OpenMetrics text as the classic text format that every Prometheus reads: a counter's family is called as
/// its samples are, and names that never ended in `_total` lose it again.
fn classic(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut counter: Option<(&str, bool)> = None;
    let mut help: Option<(&str, &str)> = None;
    for line in open.lines() {
        if let Some((name, text)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            help = Some((name, text));
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            let bare = Name::bare_counter(name);
            counter = (kind == "counter").then_some((name, bare));
            let suffix = if counter.is_some() && !bare {
                TOTAL
            } else {
                ""
            };
            if let Some((_, text)) = help.take() {
                let _infallible = writeln!(out, "# HELP {name}{suffix} {text}");
            }
            let _infallible = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else {
            let stripped = counter.filter(|(_, bare)| *bare).and_then(|(name, _)| {
                line.strip_prefix(name)?
                    .strip_prefix(TOTAL)
                    .map(|rest| (name, rest))
            });
            let _infallible = match stripped {
                Some((name, rest)) => writeln!(out, "{name}{rest}"),
                None => writeln!(out, "{line}"),
            };
        }
    }
    out
}

const TOTAL: &str = "_total";
