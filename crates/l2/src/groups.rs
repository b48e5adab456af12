//! Memberships in solicited-node groups (L2-66 to L2-69).
//!
//! Owns which groups the interface should be in, which it was told to join, and the retries. Does not join: the shell
//! does, through ordinary IPv6 sockets, so that the kernel programs the NIC and speaks MLD.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::packet::nd::solicited_node;

/// First wait after a failed join; doubled up to [`RETRY_MAX`] (L2-47, L2-68).
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts to join.
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// What is to be done about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Join(Ipv6Addr),
    Leave(Ipv6Addr),
}

/// All tables are bounded by the number of addresses.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Addresses per group: those that share their low 24 bits share a membership.
    wanted: BTreeMap<Ipv6Addr, usize>,
    /// Groups that were handed out for joining, and not since for leaving.
    told: BTreeSet<Ipv6Addr>,
    /// Groups to look at in the next poll.
    changed: BTreeSet<Ipv6Addr>,
    /// Failed joins: the wait that is running, and its end.
    failed: BTreeMap<Ipv6Addr, (Duration, Instant)>,
    retries: BTreeSet<(Instant, Ipv6Addr)>,
    open: bool,
}

impl Groups {
    pub(crate) fn insert(&mut self, address: Ipv6Addr) {
        let group = solicited_node(address);
        *self.wanted.entry(group).or_default() += 1;
        self.changed.insert(group);
    }

    pub(crate) fn remove(&mut self, address: Ipv6Addr) {
        let group = solicited_node(address);
        if let Some(count) = self.wanted.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.wanted.remove(&group);
                self.settle(group);
                self.changed.insert(group);
            }
        }
    }

    /// Says whether the interface can hold memberships. After `fresh`, the kernel is taken to have forgotten them all,
    /// and each group is joined again; failed joins are tried at once, too (L2-68).
    pub(crate) fn set_open(&mut self, open: bool, fresh: bool) {
        if fresh || open && !self.open {
            self.told.clear();
        }
        if fresh || open != self.open {
            self.changed.extend(self.wanted.keys());
            self.changed.extend(&self.told);
        }
        self.open = open;
        self.retry_now();
    }

    /// A link event: whatever failed is tried again at once (L2-47).
    pub(crate) fn retry_now(&mut self) {
        self.retries.clear();
        self.changed.extend(self.failed.keys());
        self.failed.clear();
    }

    /// The kernel refused to join; the group is tried again after a growing wait.
    pub(crate) fn join_failed(&mut self, group: Ipv6Addr, now: Instant) {
        if !self.told.remove(&group) {
            return;
        }
        let wait = self
            .failed
            .get(&group)
            .map_or(RETRY_MIN, |(wait, _)| (*wait * 2).min(RETRY_MAX));
        self.settle(group);
        self.failed.insert(group, (wait, now + wait));
        self.retries.insert((now + wait, group));
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(&(due, group)) = self.retries.first() {
            if due > now {
                break;
            }
            self.retries.remove(&(due, group));
            self.changed.insert(group);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.retries.first().map(|&(due, _)| due)
    }

    pub(crate) fn poll(&mut self) -> Option<Change> {
        while let Some(group) = self.changed.pop_first() {
            let want = self.open && self.wanted.contains_key(&group);
            if want && self.told.insert(group) {
                return Some(Change::Join(group));
            }
            if !want && self.told.remove(&group) {
                return Some(Change::Leave(group));
            }
        }
        None
    }

    fn settle(&mut self, group: Ipv6Addr) {
        if let Some((_, due)) = self.failed.remove(&group) {
            self.retries.remove(&(due, group));
        }
    }
}

#[cfg(test)]
mod tests;
