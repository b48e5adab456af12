//! Forgetting tracked connections: those to a target that is dead, and those of a node whose drain is over.
//!
//! A machine: owns when which target's flows are to be deleted. Deliberately deletes nothing itself, and asks only
//! after the slots were switched, or new flows would take the old way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The second delete catches what was on its way through the chains while the slots were switched.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How often a target's flows are deleted when it is confirmed dead.
const TIMES: u32 = 2;

/// Wait before a delete that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When whose flows are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flows {
    dead: BTreeSet<IpAddr>,
    draining: BTreeMap<IpAddr, Drain>,
    due: BTreeMap<IpAddr, Due>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Drain {
    since: Instant,
    until: Instant,
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    at: Instant,
    left: u32,
}

impl Flows {
    /// The desired state whose slots are now in the kernel.
    pub(crate) fn set(
        &mut self,
        dead: &BTreeSet<IpAddr>,
        draining: &BTreeMap<IpAddr, Duration>,
        now: Instant,
    ) {
        for address in dead.difference(&self.dead) {
            self.due.insert(
                *address,
                Due {
                    at: now,
                    left: TIMES,
                },
            );
        }
        self.dead.clone_from(dead);
        self.draining
            .retain(|address, _| draining.contains_key(address));
        for (address, time) in draining {
            let drain = self.draining.entry(*address).or_insert(Drain {
                since: now,
                until: now,
                over: false,
            });
            drain.until = drain.since + *time;
        }
    }

    /// When to ask again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.values().map(|due| due.at);
        let drains = self.draining.values().filter(|drain| !drain.over);
        due.chain(drains.map(|drain| drain.until)).min()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for (address, drain) in &mut self.draining {
            if !drain.over && drain.until <= now {
                drain.over = true;
                self.due.insert(*address, Due { at: now, left: 1 });
            }
        }
    }

    /// The next target whose flows are to be forgotten now.
    pub(crate) fn poll_forget(&mut self, now: Instant) -> Option<IpAddr> {
        let (address, due) = self.due.iter_mut().find(|(_, due)| due.at <= now)?;
        let address = *address;
        due.left = due.left.saturating_sub(1);
        due.at = now + AGAIN_AFTER;
        if due.left == 0 {
            self.due.remove(&address);
        }
        Some(address)
    }

    /// Forgetting them failed: once more, later.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Instant) {
        let due = self.due.entry(address).or_insert(Due { at: now, left: 0 });
        due.left += 1;
        due.at = now + RETRY_AFTER;
    }
}

#[cfg(test)]
mod tests;
