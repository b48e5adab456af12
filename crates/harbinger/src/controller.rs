//! The controller role: one loop that drives [`engine::controller::Controller`].
//!
//! ```text
//!   source ── Change (mpsc, 1,024, full = wait) ──►┌──────┐── Write ──► source (32 in flight)
//!   campaign ── watch<Leadership> ────────────────►│ loop │◄── Outcome ── source
//!   admin ── Question (mpsc, 4) ──────────────────►└──────┘── watch<bool> ready
//! ```
//! Everything that is queued is taken at once, then one turn is made. The loop may be stopped at any await: the
//! statuses are the facts. Stopped in good order it sends no more, waits for what is on the way, and gives the
//! lease up.

mod report;
mod timing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use cluster::{CHANGES_MAX, Source};
use engine::controller::{Controller, ControllerConfig};
use engine::lease::Leadership;
use engine::write::{Outcome, Ticket, Write};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin::Question;
use crate::metrics::Timings;
use crate::shutdown::Stop;
use crate::writes::{Writes, take_queued};
pub(crate) use report::problems;
use timing::Waiting;

/// How long writes that are on their way are waited for at a stop.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// What the loop is given.
pub struct Setup {
    /// Of the machine.
    pub config: ControllerConfig,
    /// Split from the process's seed.
    pub seed: u64,
    /// Who we are in the election.
    pub identity: String,
    /// The cluster.
    pub source: Arc<dyn Source>,
    /// Histograms.
    pub timings: Timings,
    /// The first complete view is in.
    pub ready: watch::Sender<bool>,
    /// Of the admin server.
    pub questions: mpsc::Receiver<Question>,
    /// The process is to stop.
    pub stop: Stop,
}

/// Runs until asked to stop.
///
/// # Errors
/// A part of the source ended.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    let watching = setup.source.start(Controller::KINDS, sender);
    let campaign = setup.source.campaign(&setup.identity);
    let leadership = campaign.leadership();
    let mut turns = Loop {
        machine: Controller::new(setup.config, setup.seed, Instant::now()),
        writes: Writes::new(Arc::clone(&setup.source), "controller"),
        source: setup.source,
        changes,
        watching,
        leadership,
        epoch: None,
        waiting: Waiting::new(setup.timings),
        ready: setup.ready,
        questions: setup.questions,
        counters: report::Counters::default(),
        stale: false,
    };
    let result = turns.run(&setup.stop).await;
    turns.drain().await;
    campaign.release().await;
    result
}

struct Loop {
    machine: Controller,
    writes: Writes,
    source: Arc<dyn Source>,
    changes: mpsc::Receiver<engine::world::Change>,
    watching: JoinSet<()>,
    leadership: watch::Receiver<Leadership>,
    /// Of the leadership that the source was asked to list anew for.
    epoch: Option<u64>,
    waiting: Waiting,
    ready: watch::Sender<bool>,
    questions: mpsc::Receiver<Question>,
    counters: report::Counters,
    stale: bool,
}

impl Loop {
    async fn run(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let mut stopping = std::pin::pin!(stop.wait());
        let mut batch = Vec::with_capacity(CHANGES_MAX);
        loop {
            let timeout = timeout(self.machine.poll_timeout());
            let mut outcome = None;
            let mut question = None;
            tokio::select! {
                biased;
                () = &mut stopping => return Ok(()),
                Ok(()) = self.leadership.changed() => {}
                Some(ended) = self.writes.ended() => outcome = Some(ended),
                count = self.changes.recv_many(&mut batch, CHANGES_MAX) => {
                    if count == 0 {
                        bail!("the source of changes ended");
                    }
                }
                Some(_) = self.watching.join_next() => return Err(anyhow!("a watch ended")),
                asked = self.questions.recv(), if !self.questions.is_closed() => question = asked,
                () = timeout => {}
            }
            let now = Instant::now();
            self.lead(now);
            while let Some((ticket, ended)) = outcome {
                self.ended(ticket, ended, now);
                outcome = self.writes.ended_already();
            }
            take_queued(&mut batch, &mut self.changes, CHANGES_MAX);
            self.take(&mut batch, now);
            self.machine.handle_timeout(now);
            self.machine.turn(now);
            self.send(now);
            self.tell(now);
            if let Some(question) = question {
                self.answer(question);
            }
        }
    }

    fn take(&mut self, batch: &mut Vec<engine::world::Change>, now: Instant) {
        for change in batch.drain(..) {
            self.counters.changes = self.counters.changes.saturating_add(1);
            if matches!(change, engine::world::Change::Unreadable { .. }) {
                self.counters.unreadable = self.counters.unreadable.saturating_add(1);
            }
            self.waiting.seen(&change, now);
            self.machine.handle_change(change, now);
        }
    }

    /// A new leadership is told to the machine, and every kind listed anew for it.
    fn lead(&mut self, now: Instant) {
        let leadership = self.leadership.borrow_and_update().clone();
        self.machine.handle_leadership(&leadership, now);
        let epoch = match &leadership {
            Leadership::Leader { epoch, .. } => Some(*epoch),
            Leadership::Follower { .. } => None,
        };
        self.writes
            .set_deadline(epoch, self.machine.write_deadline());
        if epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        match (&leadership, epoch) {
            (_, Some(epoch)) => {
                tracing::info!(event = "leader", epoch, "this controller leads");
                self.source.resync(epoch);
            }
            (Leadership::Follower { holder }, None) => {
                tracing::info!(event = "follower", ?holder, "this controller stands by");
            }
            (Leadership::Leader { .. }, None) => {}
        }
    }

    fn send(&mut self, now: Instant) {
        while let Some((ticket, write)) = self.machine.poll_write(now) {
            self.writes.start(ticket, write);
        }
        if self.writes.is_empty() && self.machine.pending_writes() == 0 {
            self.waiting.nothing_to_write();
        }
    }

    fn ended(&mut self, ticket: Ticket, outcome: Outcome, now: Instant) {
        let Some(settled) = self.machine.handle_outcome(ticket, outcome, now) else {
            return;
        };
        if let (Write::ServiceStatus(status), Outcome::Done(_)) = (&settled.write, &settled.outcome)
        {
            self.waiting.written(&status.name, now);
            tracing::info!(
                event = if status.addresses.is_empty() { "ipCleared" } else { "ipAllocated" },
                service = %status.name, ip = ?status.addresses, pool = status.pool.as_deref(),
                "status written"
            );
        }
    }

    fn tell(&mut self, now: Instant) {
        self.counters.turns = self.counters.turns.saturating_add(1);
        let busy = u64::try_from(now.elapsed().as_micros()).unwrap_or(0);
        self.counters.busy_micros = self.counters.busy_micros.saturating_add(busy);
        let complete = self.machine.is_complete();
        self.counters.loaded |= complete;
        self.ready.send_if_modified(|ready| {
            let changed = *ready != complete;
            *ready = complete;
            changed
        });
        let stale = self.machine.is_config_stale();
        if stale != self.stale {
            self.stale = stale;
            report::tell_stale(stale, self.machine.problems());
        }
    }

    fn answer(&self, question: Question) {
        match question {
            Question::Metrics(sender) => {
                let mut families =
                    report::families(&self.machine, &self.counters, self.epoch.is_some());
                families.extend(self.writes.families());
                let _gone = sender.send(families);
            }
            Question::Page(page, sender) => {
                let _gone =
                    sender.send(report::page(&self.machine, page, &self.leadership.borrow()));
            }
            // Asked of the wire thread.
            Question::Sessions(..) | Question::Reset(..) => {}
        }
    }

    /// Nothing more is sent; what is on the way is waited for, so that the lease is given up after it.
    async fn drain(&mut self) {
        let follower = Leadership::Follower { holder: None };
        let now = Instant::now();
        self.machine.handle_leadership(&follower, now);
        let all = async { while self.writes.ended().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, all).await.is_err() {
            tracing::warn!(
                event = "stopping",
                "some writes have not ended and are given up"
            );
        }
    }
}

/// Sleeps until then, or for ever.
pub(crate) async fn timeout(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
