//! The forward thread: one loop that keeps the kernel's forward table at what the brain wants.
//!
//! ```text
//!   brain ── watch<Arc<ForwardTable>> ──►┌──────┐── netlink, blocking, one batch at a time ──► kernel
//!   kernel ── changes by others ────────►│ loop │
//!   admin ── Question (mpsc, 4) ────────►└──────┘
//!   wire thread's report closes ─────────► at a stop: nothing is announced any more, the table may go
//! ```
//! The newest table wins. Nothing is opened before a table has anything in it: a speaker whose Services are all left to
//! kube-proxy needs no CAP_NET_ADMIN. A table that cannot be applied is tried again, and said once.

mod metrics;
pub(crate) mod settings;
pub mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Applied, Config, Dataplane, Error, Kernel};
use engine::forward::ForwardTable;
use linux::readable::Readable;
use tokio::sync::{mpsc, watch};

use crate::admin::{Page, Question};
use crate::shutdown::Stop;
use crate::speaker::wire::WireReport;

/// Between two attempts to open what the kernel would not give.
const OPEN_EVERY: Duration = Duration::from_secs(10);

/// What the loop is told once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The table stays when the process ends, for an upgrade.
    pub keep_on_exit: bool,
    /// Forwarding is switched on where it is off.
    pub set_sysctls: bool,
}

/// What the loop is given.
pub struct Setup {
    /// Told once.
    pub options: Options,
    /// What is wanted.
    pub table: watch::Receiver<Arc<ForwardTable>>,
    /// Closed when the wire thread has ended: nothing is announced any more.
    pub wire: watch::Receiver<WireReport>,
    /// The first table is applied, or there is none.
    pub ready: watch::Sender<bool>,
    /// Of the admin server.
    pub questions: mpsc::Receiver<Question>,
    /// The process is to stop.
    pub stop: Stop,
}

/// Runs until asked to stop and nothing is announced any more. To be called in a current-thread runtime on a thread of
/// its own, in the network namespace that is meant.
///
/// # Errors
/// The table cannot be removed at the end.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let mut turns = Loop {
        options: setup.options,
        table: setup.table,
        wire: setup.wire,
        ready: setup.ready,
        questions: setup.questions,
        plane: None,
        events: None,
        wanted: Arc::default(),
        tell: Tell::default(),
        open_again: None,
        counters: Counters::default(),
    };
    turns.run(&setup.stop).await
}

/// What the loop itself counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    /// Tables that were taken.
    tables: u64,
    /// Acts that failed.
    failures: u64,
    /// Time of the last one that was applied.
    apply_micros: u64,
}

/// Says what is wrong once, and that it is well again.
#[derive(Debug, Default)]
struct Tell {
    failing: Option<String>,
}

impl Tell {
    fn failed(&mut self, error: &Error) {
        let text = error.to_string();
        if self.failing.as_ref() != Some(&text) {
            tracing::error!(event = "frontFailed", "{text}");
            self.failing = Some(text);
        }
    }

    fn works(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!(event = "frontApplied", "the forward table is applied again");
        }
    }
}

struct Loop {
    options: Options,
    table: watch::Receiver<Arc<ForwardTable>>,
    wire: watch::Receiver<WireReport>,
    ready: watch::Sender<bool>,
    questions: mpsc::Receiver<Question>,
    plane: Option<Dataplane<Kernel>>,
    events: Option<Readable>,
    wanted: Arc<ForwardTable>,
    tell: Tell,
    /// When to try to open again.
    open_again: Option<Instant>,
    counters: Counters,
}

enum Wake {
    Table,
    Events,
    Question(Option<Question>),
    Timeout,
    Stop,
    /// The wire thread has ended.
    Silent,
}

impl Loop {
    async fn run(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let mut stopping = std::pin::pin!(stop.wait());
        let mut asked = false;
        self.take_table(Instant::now());
        loop {
            let wake = self.wait(stopping.as_mut(), asked).await;
            let now = Instant::now();
            match wake {
                Wake::Table => self.take_table(now),
                Wake::Events => self.act(|plane| plane.handle_events(now)),
                Wake::Question(question) => self.answer(question),
                Wake::Timeout if self.plane.is_none() => self.apply(now),
                Wake::Timeout => self.act(|plane| plane.handle_timeout(now)),
                Wake::Stop => asked = true,
                Wake::Silent => break,
            }
        }
        self.leave()
    }

    async fn wait(
        &mut self,
        stopping: std::pin::Pin<&mut impl Future<Output = ()>>,
        asked: bool,
    ) -> Wake {
        let due = self
            .plane
            .as_ref()
            .map_or(self.open_again, Dataplane::poll_timeout);
        let timeout = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let wire = &mut self.wire;
        let silent = async { while wire.changed().await.is_ok() {} };
        let events = async {
            match &self.events {
                Some(events) if events.changed().await.is_ok() => {}
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopping, if !asked => Wake::Stop,
            () = silent, if asked => Wake::Silent,
            Ok(()) = self.table.changed() => Wake::Table,
            () = events => Wake::Events,
            question = self.questions.recv(), if !self.questions.is_closed() => Wake::Question(question),
            () = timeout => Wake::Timeout,
        }
    }

    fn take_table(&mut self, now: Instant) {
        self.wanted = Arc::clone(&self.table.borrow_and_update());
        self.counters.tables += 1;
        if self.plane.is_none() && *self.wanted == ForwardTable::default() {
            self.open_again = None;
            self.ready.send_replace(true);
            return;
        }
        self.apply(now);
    }

    fn apply(&mut self, now: Instant) {
        if self.plane.is_none() {
            match self.open(now) {
                Ok(()) => self.open_again = None,
                Err(error) => {
                    self.counters.failures += 1;
                    self.tell.failed(&error);
                    self.open_again = Some(now + OPEN_EVERY);
                    return;
                }
            }
        }
        let table = Arc::clone(&self.wanted);
        self.act(|plane| plane.apply(table, now));
        let micros = now.elapsed().as_micros();
        self.counters.apply_micros = u64::try_from(micros).unwrap_or(u64::MAX);
    }

    fn open(&mut self, now: Instant) -> Result<(), Error> {
        settings::look(self.options, &self.wanted);
        let plane = Dataplane::new(Kernel::open()?, Config::default(), now)?;
        // Without its events a foreign change is found by the next read-back.
        self.events = plane.events().and_then(|fd| Readable::new(fd).ok());
        self.plane = Some(plane);
        Ok(())
    }

    fn act(&mut self, act: impl FnOnce(&mut Dataplane<Kernel>) -> Result<Applied, Error>) {
        let Some(plane) = &mut self.plane else {
            return;
        };
        match act(plane) {
            Ok(applied) => {
                self.tell.works();
                self.ready.send_replace(true);
                if applied.changes > 0 {
                    tracing::debug!(
                        event = "front",
                        changes = applied.changes,
                        transactions = applied.transactions,
                        "the forward table has changed"
                    );
                }
            }
            Err(error) => {
                self.counters.failures += 1;
                self.tell.failed(&error);
            }
        }
    }

    /// Nothing is announced any more: the table goes, unless it is to outlive the process.
    fn leave(&mut self) -> anyhow::Result<()> {
        let Some(plane) = &mut self.plane else {
            return Ok(());
        };
        if self.options.keep_on_exit {
            tracing::info!(event = "frontKept", "the forward table stays in the kernel");
            return Ok(());
        }
        plane
            .remove(Instant::now())
            .map_err(|error| anyhow::Error::new(error).context("the forward table stays behind"))
    }

    fn answer(&mut self, question: Option<Question>) {
        match question {
            Some(Question::Metrics(sender)) => {
                let counters = self.plane.as_ref().map(Dataplane::counters);
                let failing = self.tell.failing.is_some();
                let _gone = sender.send(metrics::families(
                    &self.wanted,
                    &self.counters,
                    counters.as_ref(),
                    failing,
                ));
            }
            Some(Question::Page(page, sender)) => {
                let text = match page {
                    Page::Front => words::json(&self.shown()),
                    Page::Plan => format!("{:#?}", self.wanted),
                    Page::World | Page::Facts | Page::Health => String::new(),
                };
                let _gone = sender.send(text);
            }
            Some(Question::Sessions(..) | Question::Reset(..)) | None => {}
        }
    }

    fn shown(&mut self) -> words::Shown {
        let open = self.plane.is_some();
        let mut shown = words::shown(&self.wanted, open, self.tell.failing.clone());
        if let Some(plane) = &mut self.plane {
            let line = |address: &IpAddr| words::DrainLine {
                address: address.to_string(),
                connections: plane.flows(*address).ok().flatten(),
            };
            shown.draining = self.wanted.draining.keys().map(line).collect();
        }
        shown
    }
}
