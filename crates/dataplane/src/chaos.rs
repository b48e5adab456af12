//! A kernel that is a value, and that fails on purpose: for tests.
//!
//! Owns a ruleset which changes as the real one's does (the same code as the cache's, checked against the real kernel in
//! the labs), and a list of faults to come. Deliberately does nothing by chance: the caller plans the faults.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;

use crate::backend::{Backend, Packets};
use crate::change::{self, Change, Misfit};
use crate::error::Error;
use crate::ruleset::Ruleset;

/// What goes wrong with one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused; nothing happened.
    Refuse,
    /// Applied, and the acknowledgement is lost.
    LoseAck,
    /// Not taken, and the acknowledgement is lost.
    LoseAll,
    /// An acknowledgement of an earlier transaction is taken for this one's: said to be applied, and is not.
    RepeatAck,
    /// Applied, and somebody else empties everything right after.
    ForeignFlush,
}

/// A model kernel.
#[derive(Debug, Default)]
pub struct Chaos {
    /// What it holds.
    pub ruleset: Ruleset,
    /// What goes wrong with the next transactions, in order; none: nothing.
    pub faults: VecDeque<Option<Fault>>,
    /// The next reads that fail.
    pub unreadable: u32,
    /// Marks forgotten, in order.
    pub forgotten: Vec<u32>,
    /// Flows by mark.
    pub flows: BTreeMap<u32, u64>,
    /// Transactions that were applied.
    pub applied: u32,
    foreign: bool,
}

impl Chaos {
    /// Somebody else changes the ruleset.
    pub fn meddle(&mut self, how: impl FnOnce(&mut Ruleset)) {
        how(&mut self.ruleset);
        self.foreign = true;
    }
}

impl Backend for Chaos {
    fn owns(&self) -> bool {
        false
    }

    fn read(&mut self) -> Result<Ruleset, Error> {
        if self.unreadable > 0 {
            self.unreadable -= 1;
            let source = io::ErrorKind::TimedOut.into();
            return Err(Error::Unreadable { source });
        }
        Ok(self.ruleset.clone())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let lost = || Error::Uncertain {
            source: io::ErrorKind::TimedOut.into(),
        };
        let fault = self.faults.pop_front().flatten();
        match fault {
            Some(Fault::Refuse) => {
                return Err(Error::Refused {
                    what: "be kind".to_owned(),
                    source: io::Error::from_raw_os_error(12),
                });
            }
            Some(Fault::LoseAll) => return Err(lost()),
            Some(Fault::RepeatAck) => return Ok(()),
            Some(Fault::LoseAck | Fault::ForeignFlush) | None => {}
        }
        let mut next = self.ruleset.clone();
        change::apply(&mut next, changes).map_err(|(n, misfit)| Error::Refused {
            what: changes.get(n).map(Change::describe).unwrap_or_default(),
            source: io::Error::from_raw_os_error(match misfit {
                Misfit::Missing => 2,
                Misfit::Exists => 17,
                Misfit::Busy => 16,
            }),
        })?;
        self.ruleset = next;
        self.applied += 1;
        match fault {
            Some(Fault::LoseAck) => Err(lost()),
            Some(Fault::ForeignFlush) => {
                self.meddle(|ruleset| ruleset.tables.clear());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn forget(&mut self, mark: u32, mask: u32) -> Result<(), Error> {
        self.forgotten.push(mark);
        self.flows.retain(|flow, _| flow & mask != mark);
        Ok(())
    }

    fn count(&mut self, mark: u32, mask: u32) -> Result<u64, Error> {
        let flows = self.flows.iter().filter(|(flow, _)| *flow & mask == mark);
        Ok(flows.map(|(_, count)| count).sum())
    }

    fn packets(&mut self) -> Result<Vec<Packets>, Error> {
        Ok(Vec::new())
    }

    fn events(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn foreign(&mut self) -> Result<bool, Error> {
        Ok(std::mem::take(&mut self.foreign))
    }
}
