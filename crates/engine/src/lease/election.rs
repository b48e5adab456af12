//! The machine. Reads and writes of the Lease are actions for the shell, one at a time;
//! each is owed exactly one answer (an error when it timed out).

use super::{Leadership, LeaseRecord};
use crate::write::SplitMix;
use std::time::{Duration, Instant};

/// Times of the election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// How long a lease is good without renewal; whole seconds, as the API keeps them.
    pub duration: Duration,
    /// How often the leader renews.
    pub renew: Duration,
    /// How often a follower looks: this is how late it sees a lease that was given away.
    pub look: Duration,
    /// How soon after a failure it is tried again.
    pub retry: Duration,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(2),
            renew: Duration::from_millis(500),
            look: Duration::from_millis(100),
            retry: Duration::from_millis(200),
        }
    }
}

/// What the shell is to do with the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// Read it; answer by [`Election::handle_read`].
    Read,
    /// Create it (no version) or replace it under this version, with the current time as
    /// `renewTime`; answer by [`Election::handle_write`].
    Write(LeaseRecord),
}

/// Why a read or write of the Lease failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another version was there (or one, for a create): read again.
    #[error("the Lease was changed by another replica")]
    Conflict,
    /// Nobody knows whether it was done.
    #[error("the Lease cannot be reached: {0}")]
    Unavailable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outstanding {
    Read,
    /// Sent at this time.
    Write(Instant),
    Release,
}

/// The election as one replica sees it.
#[derive(Debug)]
pub struct Election {
    identity: String,
    config: LeaseConfig,
    random: SplitMix,
    /// The newest record and when it was first seen.
    observed: Option<(LeaseRecord, Instant)>,
    /// When this replica's lease ends as others see it; none when it does not lead.
    until: Option<Instant>,
    epoch: u64,
    outstanding: Option<Outstanding>,
    /// When to act next.
    next: Instant,
    releasing: bool,
}

impl Election {
    /// A follower that has seen nothing. The identity must be another one in each process.
    pub fn new(identity: String, config: LeaseConfig, seed: u64, now: Instant) -> Self {
        Self {
            identity,
            config,
            random: SplitMix::new(seed),
            observed: None,
            until: None,
            epoch: 0,
            outstanding: None,
            next: now,
            releasing: false,
        }
    }

    /// What may be acted upon. The caller stops writing [`super::WRITE_MARGIN`] before
    /// `until`.
    pub fn leadership(&self) -> Leadership {
        match self.until {
            Some(until) if !self.releasing => Leadership::Leader {
                epoch: self.epoch,
                until: Some(until),
            },
            _ => Leadership::Follower {
                holder: self.holder().map(str::to_owned),
            },
        }
    }

    /// The next act, if one is due.
    pub fn poll_action(&mut self, now: Instant) -> Option<LeaseAction> {
        self.handle_timeout(now);
        if self.outstanding.is_some() {
            return None;
        }
        if self.releasing {
            return self.release_action();
        }
        if now < self.next {
            return None;
        }
        let action = match self.candidacy(now) {
            Some(record) => {
                self.outstanding = Some(Outstanding::Write(now));
                LeaseAction::Write(record)
            }
            None => {
                self.outstanding = Some(Outstanding::Read);
                LeaseAction::Read
            }
        };
        Some(action)
    }

    /// The answer to a read.
    pub fn handle_read(&mut self, answer: Result<LeaseRecord, LeaseError>, now: Instant) {
        if self.outstanding != Some(Outstanding::Read) {
            return;
        }
        self.outstanding = None;
        match answer {
            Ok(record) => {
                if record.holder != self.identity {
                    self.until = None;
                }
                self.observe(record, now);
                self.next = self.when_to_look(now);
            }
            Err(_) => self.next = now + self.random.jittered(self.config.retry),
        }
    }

    /// The answer to a write: the record as it is stored now.
    pub fn handle_write(&mut self, answer: Result<LeaseRecord, LeaseError>, now: Instant) {
        let sent = match self.outstanding.take() {
            Some(Outstanding::Write(sent)) => sent,
            Some(Outstanding::Release) => {
                // Whether it was done or not: the lease runs out by itself.
                self.releasing = false;
                self.until = None;
                self.next = now + self.config.duration;
                if let Ok(record) = answer {
                    self.observe(record, now);
                }
                return;
            }
            other => {
                self.outstanding = other;
                return;
            }
        };
        match answer {
            Ok(record) if record.holder == self.identity => {
                let until = sent + self.config.duration;
                self.observe(record, now);
                if until <= now {
                    // The answer came too late to be of use.
                    self.until = None;
                    self.next = now;
                    return;
                }
                if self.until.is_none() {
                    self.epoch += 1;
                }
                self.until = Some(until);
                self.next = (sent + self.config.renew).max(now);
            }
            Ok(record) => {
                self.until = None;
                self.observe(record, now);
                self.next = now;
            }
            Err(LeaseError::Conflict) => {
                // What we know is old: another replica wrote, or an earlier write of ours
                // whose answer was lost. The next read tells; the lease we have runs on.
                self.observed = None;
                self.next = now;
            }
            Err(LeaseError::Unavailable(_)) => {
                self.next = now + self.random.jittered(self.config.retry);
            }
        }
    }

    /// Ends a lease that ran out.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            // The record is ours and old: look before candidating again.
            self.observed = None;
            self.next = self.next.min(now);
        }
    }

    /// When something is due though nothing happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.outstanding.is_none().then_some(self.next);
        [due, self.until].into_iter().flatten().min()
    }

    /// Gives the lease away, on a stop in good order: the others need not wait. To be
    /// called when none of our writes is in flight any more.
    pub fn release(&mut self, now: Instant) {
        self.handle_timeout(now);
        if self.until.is_some() {
            self.releasing = true;
        } else {
            self.next = now + self.config.duration;
        }
    }

    /// A release is on its way.
    pub fn is_releasing(&self) -> bool {
        self.releasing
    }

    fn holder(&self) -> Option<&str> {
        let (record, _) = self.observed.as_ref()?;
        (!record.holder.is_empty()).then_some(record.holder.as_str())
    }

    /// A record that differs in anything is a sign of life.
    fn observe(&mut self, record: LeaseRecord, now: Instant) {
        match &self.observed {
            Some((known, _)) if *known == record => {}
            _ => self.observed = Some((record, now)),
        }
    }

    /// The record to write when it is our turn: to renew, or to take over.
    fn candidacy(&self, now: Instant) -> Option<LeaseRecord> {
        let (record, seen) = self.observed.as_ref()?;
        let free = record.holder.is_empty()
            || record.holder == self.identity
            || *seen + record.duration.max(self.config.duration) <= now;
        free.then(|| LeaseRecord {
            version: record.version.clone(),
            holder: self.identity.clone(),
            duration: self.config.duration,
            transitions: record.transitions + u64::from(record.holder != self.identity),
            renewed: String::new(),
        })
    }

    fn release_action(&mut self) -> Option<LeaseAction> {
        let Some((record, _)) = &self.observed else {
            self.releasing = false;
            self.until = None;
            return None;
        };
        let record = LeaseRecord {
            holder: String::new(),
            renewed: String::new(),
            ..record.clone()
        };
        self.outstanding = Some(Outstanding::Release);
        Some(LeaseAction::Write(record))
    }

    /// At once when the lease is free, else at the usual pace or when it runs out.
    fn when_to_look(&mut self, now: Instant) -> Instant {
        if self.candidacy(now).is_some() {
            return now;
        }
        let usual = now + self.random.jittered(self.config.look);
        let expiry = self
            .observed
            .as_ref()
            .map(|(record, seen)| *seen + record.duration.max(self.config.duration));
        expiry.map_or(usual, |expiry| usual.min(expiry))
    }
}
