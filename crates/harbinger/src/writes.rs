//! Writes on their way to the cluster: bounded by the machine that asked for them, carried out side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use cluster::{Deadline, Source};
use engine::write::{Outcome, Ticket, Write};
use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::metrics::{Family, Labels, Name, count};

/// The writes of one role. Their number is bounded by the machine's queue (32 in flight).
pub(crate) struct Writes {
    source: Arc<dyn Source>,
    role: &'static str,
    running: JoinSet<(Ticket, &'static str, Outcome)>,
    /// Of the leadership under which writes are sent now: its epoch and what tells them of its renewals.
    lease: Option<(u64, watch::Sender<Instant>)>,
    done: BTreeMap<(&'static str, &'static str), u64>,
}

impl Writes {
    /// None on the way.
    pub(crate) fn new(source: Arc<dyn Source>, role: &'static str) -> Self {
        Self {
            source,
            role,
            running: JoinSet::new(),
            lease: None,
            done: BTreeMap::new(),
        }
    }

    /// By when writes must have ended, under which leadership; none of either: whenever. What is on its way
    /// under the same leadership has until then too; under another one, it keeps the last of its own.
    pub(crate) fn set_deadline(&mut self, epoch: Option<u64>, by: Option<Instant>) {
        let (Some(epoch), Some(by)) = (epoch, by) else {
            self.lease = None;
            return;
        };
        match &self.lease {
            Some((same, lease)) if *same == epoch => {
                lease.send_replace(by);
            }
            _ => self.lease = Some((epoch, watch::Sender::new(by))),
        }
    }

    /// Sends one.
    pub(crate) fn start(&mut self, ticket: Ticket, write: Write) {
        let kind = kind(&write);
        let deadline = match &self.lease {
            Some((_, lease)) => Deadline::moving(lease.subscribe()),
            None => Deadline::NONE,
        };
        let request = self.source.carry_out(write, deadline);
        self.running
            .spawn(async move { (ticket, kind, request.await) });
    }

    /// The next that ended; none while none is on the way. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Option<(Ticket, Outcome)> {
        let joined = self.running.join_next().await?;
        // A request that panicked is a defect of ours: the process must not go on without its outcome.
        let (ticket, kind, outcome) = joined.expect("a write does not panic and is not aborted");
        let word = word(&outcome);
        match &outcome {
            Outcome::Refused(why) => {
                tracing::warn!(event = "writeRefused", role = self.role, kind, %why, "the cluster refuses a write");
            }
            Outcome::Unavailable(why) => {
                tracing::debug!(event = "writeUnavailable", role = self.role, kind, %why, "a write is tried again");
            }
            Outcome::Done(_) | Outcome::Conflict | Outcome::NotFound => {}
        }
        let counter = self.done.entry((kind, word)).or_default();
        *counter = counter.saturating_add(1);
        Some((ticket, outcome))
    }

    /// The next that has ended already. Those that end at once are taken in one turn, so that a turn's cost is
    /// not paid for each.
    pub(crate) fn ended_already(&mut self) -> Option<(Ticket, Outcome)> {
        self.ended().now_or_never().flatten()
    }

    /// None is on the way.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Counters.
    pub(crate) fn families(&self) -> Vec<Family> {
        let samples = self.done.iter().map(|((kind, outcome), number)| {
            let labels: Labels = vec![
                ("role", self.role.to_owned()),
                ("kind", (*kind).to_owned()),
                ("outcome", (*outcome).to_owned()),
            ];
            (labels, count(*number))
        });
        vec![Family::new(Name::Writes, samples.collect())]
    }
}

/// Adds what is queued already to a batch, up to a bound: a turn decides on all of it.
pub(crate) fn take_queued<T>(batch: &mut Vec<T>, queue: &mut mpsc::Receiver<T>, max: usize) {
    while batch.len() < max {
        match queue.try_recv() {
            Ok(change) => batch.push(change),
            // An end is seen where the queue is waited for.
            Err(_) => return,
        }
    }
}

fn kind(write: &Write) -> &'static str {
    match write {
        Write::ServiceStatus(_) => "serviceStatus",
        Write::PoolStatus { .. } => "poolStatus",
        Write::Event(_) => "event",
        Write::L2Status { .. } => "l2Status",
        Write::DeleteL2Status(_) => "deleteL2Status",
        Write::BgpStatus { .. } => "bgpStatus",
        Write::DeleteBgpStatus(_) => "deleteBgpStatus",
        Write::SessionState(_) => "sessionState",
        Write::DeleteSessionState(_) => "deleteSessionState",
        Write::ConfigurationState(_) => "configurationState",
        Write::MembershipSecret(_) => "membershipSecret",
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "done",
        Outcome::Conflict => "conflict",
        Outcome::NotFound => "notFound",
        Outcome::Refused(_) => "refused",
        Outcome::Unavailable(_) => "unavailable",
    }
}
