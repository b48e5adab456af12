//! The brain of a speaker: one loop that drives [`engine::speaker::Speaker`].
//!
//! ```text
//!   source ── Change (mpsc, 1,024, full = wait) ──►┌──────┐── watch<Arc<Desired>> ──► wire thread
//!   wire thread ── watch<WireReport> ─────────────►│ loop │── watch<Arc<ForwardTable>> ──► forward thread
//!   probe thread ── Done (mpsc, 1,024) ───────────►│      │── Probe (mpsc, 512) ──► probe thread
//!                                                  │      │── Write ──► source (bounded)
//!   admin ── Question (mpsc, 4) ──────────────────►└──────┘── watch<bool> ready
//! ```
//! With the API gone the loop simply hears nothing, and what is announced goes on. It may be stopped at any
//! await: the wire thread says goodbye by itself.

mod exclusion;
mod report;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use cluster::{CHANGES_MAX, Source};
use engine::facts::Facts;
use engine::forward::ForwardTable;
use engine::speaker::{Desired, KINDS, Speaker, SpeakerConfig};
use engine::world::{Change, Delta};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin::Question;
use crate::controller::timeout;
use crate::metrics::Timings;
use crate::shutdown::Stop;
use crate::speaker::health;
use crate::speaker::probe::{Done, Prober};
use crate::speaker::wire::WireReport;
use crate::writes::{Writes, take_queued};

/// LIMIT: addresses whose time to the first frame is taken at once; the others are announced all the same.
const WAITING_MAX: usize = 20_000;

/// How often a speaker that cannot begin says so.
const WAITING_TOLD_EVERY: Duration = Duration::from_secs(10);

/// What the loop is given.
pub struct Setup {
    /// Of the machine.
    pub config: SpeakerConfig,
    /// Split from the process's seed.
    pub seed: u64,
    /// The cluster.
    pub source: Arc<dyn Source>,
    /// To the wire thread.
    pub desired: watch::Sender<Arc<Desired>>,
    /// To the forward thread.
    pub table: watch::Sender<Arc<ForwardTable>>,
    /// From the wire thread.
    pub report: watch::Receiver<WireReport>,
    /// Carries probes out.
    pub prober: Prober,
    /// Histograms.
    pub timings: Timings,
    /// The first plan is made.
    pub ready: watch::Sender<bool>,
    /// Of the admin server.
    pub questions: mpsc::Receiver<Question>,
    /// The process is to stop.
    pub stop: Stop,
}

/// Runs until asked to stop.
///
/// # Errors
/// A part of the source ended, or the wire thread did.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    let watching = setup.source.start(KINDS, sender);
    let node = setup.config.node.clone();
    let mut turns = Loop {
        machine: Speaker::new(setup.config, setup.seed, Instant::now()),
        node,
        writes: Writes::new(Arc::clone(&setup.source), "speaker"),
        changes,
        watching,
        desired: setup.desired,
        table: setup.table,
        report: setup.report,
        prober: setup.prober,
        timings: setup.timings,
        received: BTreeMap::new(),
        ready: setup.ready,
        questions: setup.questions,
        exclusion: None,
        counters: report::Counters::default(),
    };
    turns.run(&setup.stop).await
}

struct Loop {
    machine: Speaker,
    node: String,
    writes: Writes,
    changes: mpsc::Receiver<Change>,
    watching: JoinSet<()>,
    desired: watch::Sender<Arc<Desired>>,
    table: watch::Sender<Arc<ForwardTable>>,
    report: watch::Receiver<WireReport>,
    prober: Prober,
    timings: Timings,
    /// When the Service of an address that is not announced yet was received.
    received: BTreeMap<IpAddr, Instant>,
    ready: watch::Sender<bool>,
    questions: mpsc::Receiver<Question>,
    exclusion: Option<String>,
    counters: report::Counters,
}

impl Loop {
    async fn run(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let mut stopping = std::pin::pin!(stop.wait());
        let mut batch = Vec::with_capacity(CHANGES_MAX);
        let mut waiting = tokio::time::interval(WAITING_TOLD_EVERY);
        // The first tick is at once.
        waiting.tick().await;
        loop {
            let timeout = timeout(self.machine.poll_timeout());
            let mut outcome = None;
            let mut question = None;
            let mut reported = false;
            let mut probed = None;
            tokio::select! {
                biased;
                () = &mut stopping => return Ok(()),
                told = self.report.changed() => {
                    if told.is_err() {
                        bail!("the wire thread ended");
                    }
                    reported = true;
                }
                count = self.changes.recv_many(&mut batch, CHANGES_MAX) => {
                    if count == 0 {
                        bail!("the source of changes ended");
                    }
                }
                done = self.prober.done() => match done {
                    Some(done) => probed = Some(done),
                    None => bail!("the probe thread ended"),
                },
                Some(ended) = self.writes.ended() => outcome = Some(ended),
                Some(_) = self.watching.join_next() => return Err(anyhow!("a watch ended")),
                asked = self.questions.recv(), if !self.questions.is_closed() => question = asked,
                _ = waiting.tick(), if !self.machine.is_planned() => self.tell_waiting(),
                () = timeout => {}
            }
            let now = Instant::now();
            while let Some((ticket, ended)) = outcome {
                self.machine.handle_outcome(ticket, ended, now);
                outcome = self.writes.ended_already();
            }
            self.take_probes(probed, now);
            take_queued(&mut batch, &mut self.changes, CHANGES_MAX);
            self.take(&mut batch, now);
            if reported {
                self.take_report(now);
            }
            self.machine.handle_timeout(now);
            self.machine.turn(now);
            self.publish();
            while let Some(probe) = self.machine.poll_probe(now) {
                self.prober.ask(probe);
            }
            while let Some((ticket, write)) = self.machine.poll_write(now) {
                self.writes.start(ticket, write);
            }
            self.tell(now);
            if let Some(question) = question {
                self.answer(question);
            }
        }
    }

    fn take(&mut self, batch: &mut Vec<Change>, now: Instant) {
        if batch.is_empty() {
            return;
        }
        for change in batch.drain(..) {
            self.counters.changes = self.counters.changes.saturating_add(1);
            if matches!(change, Change::Unreadable { .. }) {
                self.counters.unreadable = self.counters.unreadable.saturating_add(1);
            }
            if let Change::Service(Delta::Upsert(stored)) = &change {
                let room = WAITING_MAX.saturating_sub(self.received.len());
                for address in stored.object.addresses().take(room) {
                    self.received.entry(address).or_insert(now);
                }
            }
            self.machine.handle_change(change);
        }
        let text = self.machine.exclusion_text();
        if text != self.exclusion.as_deref() {
            self.exclusion = text.map(str::to_owned);
            let list = self.exclusion.as_deref().map(exclusion::parse);
            self.machine.set_exclusion(list);
        }
    }

    fn take_probes(&mut self, first: Option<Done>, now: Instant) {
        let mut next = first;
        while let Some(done) = next {
            self.timings.probed.observe(done.took.as_secs_f64());
            self.machine.handle_probe(done.id, &done.result, now);
            next = self.prober.done_already();
        }
        while let Some(event) = self.machine.poll_health_event() {
            health::tell(&self.node, &event);
        }
    }

    fn take_report(&mut self, now: Instant) {
        let report = self.report.borrow_and_update().clone();
        let announced = &report.facts.announced;
        let timings = &self.timings;
        self.received.retain(|address, since| {
            let answered = announced.values().any(|set| set.contains(address));
            if answered {
                let took = now.saturating_duration_since(*since);
                timings.announced.observe(took.as_secs_f64());
            }
            !answered
        });
        self.machine.handle_facts(Facts {
            interfaces: report.interfaces.as_deref().cloned(),
            members: report.facts.members.clone(),
            announced: announced.clone(),
            conflicts: Arc::clone(&report.facts.conflicts),
            sessions: Arc::clone(&report.sessions),
        });
    }

    /// Nothing is announced yet, and why.
    fn tell_waiting(&self) {
        let missing = self.machine.waits_for().join(", ");
        tracing::warn!(
            event = "waiting",
            missing,
            "this speaker announces nothing before it has read the cluster once and heard the other speakers; is the API server there?"
        );
    }

    fn publish(&mut self) {
        // Before the wire hears of an address: what arrives for it is then known.
        let table = self.machine.forward();
        if !Arc::ptr_eq(&self.table.borrow(), table) {
            self.table.send_replace(Arc::clone(table));
        }
        let desired = self.machine.desired();
        let announced = &self.report.borrow().facts.announced;
        // Only what this node means to announce and does not yet is waited for; before the first plan, all.
        let planned = self.machine.is_planned();
        self.received.retain(|address, _| {
            let meant = !planned || desired.plan.announcements.contains_key(address);
            meant && !announced.values().any(|set| set.contains(address))
        });
        let old = Arc::clone(&self.desired.borrow());
        if Arc::ptr_eq(&old, desired) {
            return;
        }
        report::tell_moves(&self.node, &old.plan, &desired.plan);
        self.desired.send_replace(Arc::clone(desired));
    }

    fn tell(&mut self, now: Instant) {
        self.counters.turns = self.counters.turns.saturating_add(1);
        let busy = u64::try_from(now.elapsed().as_micros()).unwrap_or(0);
        self.counters.busy_micros = self.counters.busy_micros.saturating_add(busy);
        let planned = self.machine.is_planned();
        self.ready.send_if_modified(|ready| {
            let changed = *ready != planned;
            *ready = planned;
            changed
        });
    }

    fn answer(&self, question: Question) {
        match question {
            Question::Metrics(sender) => {
                let report = self.report.borrow();
                let mut families =
                    report::families(&self.machine, &self.counters, &self.node, &report);
                families.extend(self.writes.families());
                let _gone = sender.send(families);
            }
            Question::Page(page, sender) => {
                let _gone = sender.send(report::page(&self.machine, &self.node, page));
            }
            // Asked of the wire thread.
            Question::Sessions(..) | Question::Reset(..) => {}
        }
    }
}
