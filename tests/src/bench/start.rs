//! Speakers start → everything is announced: three at once, and one alone; CPU time and memory with it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::cluster::{Cluster, is_of_pool};
use super::{Bench, Figure, Samples, memory, process, runs, say};
use crate::lab::{self, Capture, Frame};

const SPEAKERS: usize = 3;
/// Longest for one start.
const SOON: Duration = Duration::from_secs(60);
/// Between looks; the times are the kernel's stamps.
const LOOK: Duration = Duration::from_millis(50);
/// Until memory is what it stays, and the rounds of gratuitous frames are under way.
const SETTLE: Duration = Duration::from_secs(3);
/// One alone listens before it counts itself.
const LISTENING_S: f64 = 1.0;
const CPU_TARGET_S: f64 = 1.5;

/// One size of the table.
struct Size {
    services: usize,
    text: &'static str,
    /// To the last first frame, of three, s.
    target: f64,
    runs: usize,
    runs_alone: usize,
    memory: f64,
    record: &'static str,
    memory_record: &'static str,
}

pub(super) fn thousand(bench: &mut Bench) -> Result<Vec<Figure>> {
    let size = Size {
        services: 1_000,
        text: "1,000",
        target: 0.6,
        runs: 20,
        runs_alone: 20,
        memory: 20.0,
        record: "MetalLB 1.26 s (record)",
        memory_record: "MetalLB 83 (record)",
    };
    measure(bench, &size)
}

pub(super) fn ten_thousand(bench: &mut Bench) -> Result<Vec<Figure>> {
    let size = Size {
        services: 10_000,
        text: "10,000",
        target: 2.7,
        runs: 20,
        runs_alone: 10,
        memory: 40.0,
        record: "MetalLB 8.5 s (record)",
        memory_record: "MetalLB 247 (record)",
    };
    measure(bench, &size)
}

fn measure(bench: &mut Bench, size: &Size) -> Result<Vec<Figure>> {
    // The rows before may have left a few more.
    let cluster = bench.cluster(size.services + size.services / 10)?;
    cluster.serve(size.services)?;
    let wire = Capture::start(&cluster.lab.client, "eth0")?;
    let (mut three, mut cpu, mut resident) = Default::default();
    for run in 0..runs(size.runs) {
        let started = start(cluster, &wire, SPEAKERS)?;
        started.add(run, &mut three, &mut cpu);
        lab::pause(SETTLE);
        memory::of_speakers(cluster, &mut resident)?;
        cluster.stop_speakers();
    }
    let (mut alone, mut cpu_alone) = Default::default();
    for run in 0..runs(size.runs_alone) {
        let started = start(cluster, &wire, 1)?;
        started.add(run, &mut alone, &mut cpu_alone);
        cluster.stop_speakers();
    }
    let how = "real API server, spawn to the last address's first frame, the kernel's stamp at the client";
    let figure = |what: &str, samples: Samples, target: f64| {
        let met = samples.worst() <= target;
        Figure::new(
            format!("{what} start -> {} Services announced", size.text),
            "s",
            samples,
        )
        .target(format!("<= {target} s"), met)
        .reference(size.record)
        .how(how)
    };
    let figure_cpu = |what: &str, samples: Samples| {
        let met = samples.worst() <= CPU_TARGET_S;
        Figure::new(format!("CPU of that, {what}, {}", size.text), "s", samples)
            .target(format!("<= {CPU_TARGET_S} s"), met)
            .reference("MetalLB 25 s (record)")
            .how("of each process, when the last first frame was seen")
    };
    let what = format!("{} Services", size.text);
    Ok(vec![
        figure("three speakers", three, size.target),
        figure_cpu("each of three", cpu),
        figure("one speaker alone", alone, size.target + LISTENING_S),
        figure_cpu("one alone", cpu_alone),
        memory::figure(&what, resident, size.memory, size.memory_record),
    ])
}

/// One start.
struct Started {
    time: Duration,
    cpu: Vec<Duration>,
}

impl Started {
    fn add(&self, run: usize, time: &mut Samples, cpu: &mut Samples) {
        let used: Vec<f64> = self.cpu.iter().map(Duration::as_secs_f64).collect();
        say(&format!(
            "start {run}: {:.2} s, CPU {used:.2?} s",
            self.time.as_secs_f64()
        ));
        time.push(self.time.as_secs_f64());
        used.into_iter().for_each(|used| cpu.push(used));
    }
}

fn start(cluster: &mut Cluster, wire: &Capture, speakers: usize) -> Result<Started> {
    cluster.set_pods(speakers)?;
    cluster.wait_for_quiet()?;
    wire.clear();
    let begun = Instant::now();
    cluster.start_speakers(speakers)?;
    let mut first: BTreeMap<IpAddr, Instant> = BTreeMap::new();
    let mut looked = 0;
    while first.len() < cluster.services() {
        if begun.elapsed() > SOON {
            let logs = cluster.speaker_logs();
            bail!(
                "{} of {} announced:\n{logs}",
                first.len(),
                cluster.services()
            );
        }
        lab::pause(LOOK);
        for frame in unseen(wire, looked) {
            looked += 1;
            if let Some(address) = announced(&frame) {
                first.entry(address).or_insert(frame.at);
            }
        }
    }
    let cpu = cluster
        .speaker_ids()
        .into_iter()
        .map(process::cpu)
        .collect::<Result<_>>()?;
    let last = first.values().max().copied().unwrap_or(begun);
    Ok(Started {
        time: last - begun,
        cpu,
    })
}

/// The frames after the first `seen`.
fn unseen(wire: &Capture, seen: usize) -> Vec<Frame> {
    let looked = Cell::new(0);
    let new = RefCell::new(Vec::new());
    wire.count(|frame| {
        looked.set(looked.get() + 1);
        if looked.get() > seen {
            new.borrow_mut().push(frame.clone());
        }
        false
    });
    new.into_inner()
}

/// The address of the pool that a gratuitous frame is for.
fn announced(frame: &Frame) -> Option<IpAddr> {
    let address = IpAddr::V4(frame.arp()?.sender_ip);
    (is_of_pool(address) && frame.gratuitous(address)).then_some(address)
}
