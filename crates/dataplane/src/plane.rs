//! The data plane of one machine: keeps what the kernel holds equal to the newest forward table.
//!
//! Owns what is desired, a copy of what the kernel holds, and when it is tried again, read back or forgotten. It runs
//! on a thread of its own; every call may block as long as the kernel works. Deliberately reads no clock.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::forward::{ForwardTable, TargetSet};

use crate::backend::Backend;
use crate::change::{self, Change};
use crate::compile::{Numbers, compile};
use crate::diff::diff;
use crate::error::Error;
use crate::flows::Flows;
use crate::names::{Names, leads_to, slots_in};
use crate::rules::Policy;
use crate::ruleset::{ChainName, Family, Ruleset};
use crate::update::update;

/// Full read-backs come this far apart.
const READBACK_EVERY: Duration = Duration::from_secs(60);

/// Waits between tries after a failure: the first, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What is not in the forward table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bits of the connection mark that are ours; 0: none, then dead targets' flows are not forgotten.
    pub mark_mask: u32,
    /// Echo requests answered in a second.
    pub echo_per_second: u32,
    /// Refusals answered in a second, each for TCP, UDP and SCTP; more are dropped.
    pub refusals_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mark_mask: 0x00ff_0000,
            echo_per_second: 100,
            refusals_per_second: 100,
        }
    }
}

/// What a call changed in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Elements, rules, chains and sets.
    pub changes: usize,
    /// 0: nothing was sent; 2: what the kernel held was not what was thought, and was read again.
    pub transactions: u32,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions applied.
    pub transactions: u64,
    /// Elements, rules, chains and sets changed by them.
    pub changes: u64,
    /// Transactions refused or lost.
    pub failures: u64,
    /// Full read-backs.
    pub readbacks: u64,
    /// Read-backs that found something else than was left there.
    pub repairs: u64,
    /// Times that somebody else touched our table.
    pub foreign_changes: u64,
    /// Deletes of the flows of a target.
    pub forgotten: u64,
    /// Deletes that failed.
    pub forget_failures: u64,
    /// Elements in the kernel now.
    pub elements: u64,
    /// The tables are owned by this process and persist.
    pub owned: bool,
}

/// New connections by target set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// New connections that were sent to one of the set's targets, of a family.
    pub sets: Vec<(Family, Arc<TargetSet>, u64)>,
    /// Packets to closed ports.
    pub refused: u64,
}

/// The machine around a kernel.
#[derive(Debug)]
pub struct Dataplane<B> {
    backend: B,
    policy: Policy,
    actual: Ruleset,
    /// The table that `actual` is the ruleset of; none when nobody knows.
    settled: Option<Arc<ForwardTable>>,
    desired: Option<Arc<ForwardTable>>,
    names: Names,
    flows: Flows,
    retry: Option<(Instant, Duration)>,
    readback_at: Instant,
    counters: Counters,
}

impl<B: Backend> Dataplane<B> {
    /// Reads what a former run left in the kernel; the first [`apply`](Self::apply) changes it to what is wanted.
    ///
    /// # Errors
    /// It cannot be read, or a living process owns it.
    pub fn new(mut backend: B, config: Config, now: Instant) -> Result<Self, Error> {
        let actual = backend.read()?;
        let policy = Policy {
            mark_mask: config.mark_mask,
            echo_per_second: config.echo_per_second.max(1),
            refusals_per_second: config.refusals_per_second.max(1),
            owned: backend.owns(),
        };
        Ok(Self {
            names: Names::read(&actual),
            backend,
            policy,
            actual,
            settled: None,
            desired: None,
            flows: Flows::default(),
            retry: None,
            readback_at: now + READBACK_EVERY,
            counters: Counters::default(),
        })
    }

    /// Makes the kernel hold this table, by one transaction; nothing is sent where it does already.
    ///
    /// # Errors
    /// The table is kept and tried again when [`poll_timeout`](Self::poll_timeout) says.
    pub fn apply(&mut self, table: Arc<ForwardTable>, now: Instant) -> Result<Applied, Error> {
        self.desired = Some(table);
        self.settle(now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retry.map(|(at, _)| at);
        let readback = self.desired.is_some().then_some(self.readback_at);
        [retry, readback, self.flows.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Tries again what failed, reads back what is due, forgets flows.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Applied, Error> {
        if self.desired.is_some() && self.readback_at <= now {
            return self.verify(now);
        }
        if self.retry.is_some_and(|(at, _)| at <= now) {
            return self.settle(now);
        }
        self.forget(now);
        Ok(Applied::default())
    }

    /// What to wait on for reading, for changes by others; none where the kernel keeps others out.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.backend.events()
    }

    /// Reads what waits there, and repairs our table where somebody changed it.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn handle_events(&mut self, now: Instant) -> Result<Applied, Error> {
        if !self.backend.foreign().unwrap_or(true) {
            return Ok(Applied::default());
        }
        self.counters.foreign_changes += 1;
        self.verify(now)
    }

    /// Reads everything back and repairs what differs.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn verify(&mut self, now: Instant) -> Result<Applied, Error> {
        self.readback_at = now + READBACK_EVERY;
        self.reread().inspect_err(|_| self.retry_later(now))?;
        match self.settled {
            Some(_) => {
                self.forget(now);
                Ok(Applied::default())
            }
            None => self.settle(now),
        }
    }

    /// Removes both tables.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn remove(&mut self, now: Instant) -> Result<(), Error> {
        self.apply(Arc::default(), now).map(|_| ())
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters {
            elements: self.actual.elements() as u64,
            owned: self.policy.owned,
            ..self.counters
        }
    }

    /// What the kernel holds, as far as is known.
    pub fn ruleset(&self) -> &Ruleset {
        &self.actual
    }

    /// The kernel.
    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Tracked connections to a target; none where it has no mark of its own. It walks the kernel's table.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn flows(&mut self, target: IpAddr) -> Result<Option<u64>, Error> {
        match self.mark(target) {
            Some(mark) => self.backend.count(mark, self.policy.mark_mask).map(Some),
            None => Ok(None),
        }
    }

    /// New connections by target set, since its chain was made.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn traffic(&mut self) -> Result<Connections, Error> {
        let mut traffic = Connections::default();
        for counted in self.backend.packets()? {
            match counted.chain {
                ChainName::Closed => traffic.refused += counted.packets,
                ChainName::Set(number) => {
                    let mut sets = self.names.sets.iter();
                    let set = sets.find(|((f, _), n)| *f == counted.family && **n == number);
                    if let Some(((_, set), _)) = set {
                        let set = Arc::clone(set);
                        traffic.sets.push((counted.family, set, counted.packets));
                    }
                }
                _ => {}
            }
        }
        Ok(traffic)
    }

    fn mark(&self, target: IpAddr) -> Option<u32> {
        let number = self.names.marks.get(&target).filter(|n| **n > 0)?;
        Some(self.policy.mark(*number))
    }

    /// Reads what the kernel holds. `settled` is forgotten where it is something else than was thought.
    fn reread(&mut self) -> Result<(), Error> {
        let read = self.backend.read().inspect_err(|_| self.settled = None)?;
        self.counters.readbacks += 1;
        if read != self.actual {
            self.counters.repairs += 1;
            self.actual = read;
            self.settled = None;
        }
        Ok(())
    }

    fn retry_later(&mut self, now: Instant) {
        let wait = self
            .retry
            .map_or(RETRY_MIN, |(_, wait)| (wait * 2).min(RETRY_MAX));
        self.retry = Some((now + wait, wait));
    }

    /// Brings the kernel to what is desired. A failure is met by reading back and one more try; then time must pass.
    fn settle(&mut self, now: Instant) -> Result<Applied, Error> {
        let Some(desired) = self.desired.clone() else {
            return Ok(Applied::default());
        };
        // After a failure nobody knows what is there.
        if self.retry.is_some() {
            self.reread().inspect_err(|_| self.retry_later(now))?;
        }
        let first = match self.step(&desired) {
            Ok(applied) => return Ok(self.done(desired, applied, now)),
            Err(error) => error,
        };
        let again = self.reread().and_then(|()| {
            self.settled = None;
            self.step(&desired)
        });
        match again {
            Ok(mut applied) => {
                applied.transactions += 1;
                Ok(self.done(desired, applied, now))
            }
            Err(_) => {
                self.retry_later(now);
                Err(first)
            }
        }
    }

    fn done(&mut self, desired: Arc<ForwardTable>, applied: Applied, now: Instant) -> Applied {
        self.retry = None;
        self.flows.set(&desired.dead, &desired.draining, now);
        self.settled = Some(desired);
        self.forget(now);
        applied
    }

    /// One transaction from what is there to what is desired.
    fn step(&mut self, desired: &ForwardTable) -> Result<Applied, Error> {
        let (names, changes) = self.changes(desired);
        let applied = Applied {
            changes: changes.iter().map(Change::weight).sum(),
            transactions: u32::from(!changes.is_empty()),
        };
        if !changes.is_empty() {
            let committed = self.backend.commit(&changes);
            committed.inspect_err(|_| self.counters.failures += 1)?;
            self.counters.transactions += 1;
            self.counters.changes += applied.changes as u64;
            // The kernel took it, so it fits; if our copy differs all the same, the next read-back mends it.
            if change::apply(&mut self.actual, &changes).is_err() {
                self.actual = self.backend.read()?;
            }
        }
        self.names = names;
        Ok(applied)
    }

    fn changes(&self, desired: &ForwardTable) -> (Names, Vec<Change>) {
        let slots = |family, number| slots_in(&self.actual, family, number);
        let marks_max = self.policy.marks_max();
        let Some(settled) = &self.settled else {
            let previous = |front: &_, _: &_| leads_to(&self.actual, front);
            let names = self.names.next(desired, previous, slots, marks_max);
            let changes = diff(&self.actual, &compile(desired, &names, &self.policy));
            return (names, changes);
        };
        // Both tables are in the same order: one walk through the old beside the new.
        let mut old = settled.ports.iter().peekable();
        let mut numbers = Numbers::new(&self.names);
        let previous = |front: &_, _: &_| {
            while old.next_if(|(had, _)| *had < front).is_some() {}
            let (_, port) = old.next_if(|(had, _)| *had == front)?;
            numbers.of(Family::of(front.address), port)
        };
        let names = self.names.next(desired, previous, slots, marks_max);
        let (was, is) = ((settled.as_ref(), &self.names), (desired, &names));
        let changes = update(&self.actual, was, is, &self.policy)
            .unwrap_or_else(|| diff(&self.actual, &compile(desired, &names, &self.policy)));
        (names, changes)
    }

    fn forget(&mut self, now: Instant) {
        // Not before the slots are switched.
        if self.retry.is_some() {
            return;
        }
        self.flows.handle_timeout(now);
        while let Some(target) = self.flows.poll_forget(now) {
            let Some(mark) = self.mark(target) else {
                continue;
            };
            match self.backend.forget(mark, self.policy.mark_mask) {
                Ok(()) => self.counters.forgotten += 1,
                Err(_) => {
                    self.counters.forget_failures += 1;
                    self.flows.failed(target, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
