//! The record each member carries: a few bytes from its owner to every live member.
//!
//! Owns our record with its sequence number and what is to be sent to whom. A record's version is (boot, sequence). Three ways bring
//! it to everybody: the owner pushes each change, and its record to each member that comes up, three times within 300 ms; who lacks
//! one asks its owner in the same rounds; and each second everybody compares versions with one random member, which repairs what
//! was lost and goes around a broken path. Claims (`claims`) share nothing with it but the second in which both are compared.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Membership;
use crate::event::{DropReason, Event};
use crate::identity::BootId;
use crate::message::{MAX_RECORD_BYTES, MAX_SYNC_ENTRIES, Message};

/// Our record and what is on its way.
#[derive(Debug)]
pub(super) struct Records {
    own: Arc<[u8]>,
    /// 0 while none was set; grows with each change.
    sequence: u64,
    /// By member: the next push and how many are left. Only live members are in it.
    pushes: BTreeMap<String, (Instant, u8)>,
    /// The earliest of the pushes.
    pub(super) push_at: Option<Instant>,
    pushed_at: Option<Instant>,
    pub(super) sync_at: Instant,
    /// Where in the list of members the next comparison begins.
    cursor: usize,
}

/// Why a record was refused. The one before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordError {
    /// Its length; more than [`MAX_RECORD_BYTES`].
    pub bytes: usize,
}

impl fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "a member record of {} bytes; at most {MAX_RECORD_BYTES} are carried",
            self.bytes
        )
    }
}

impl std::error::Error for RecordError {}

impl Records {
    pub(super) fn new(sync_at: Instant) -> Self {
        Self {
            own: Arc::from([]),
            sequence: 0,
            pushes: BTreeMap::new(),
            push_at: None,
            pushed_at: None,
            sync_at,
            cursor: 0,
        }
    }

    pub(super) fn push_to(&mut self, name: &str, at: Instant) {
        self.pushes.insert(name.to_owned(), (at, PUSH_ROUNDS));
        self.push_at = Some(self.push_at.map_or(at, |earliest| earliest.min(at)));
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.pushes.remove(name);
        self.push_at = self.pushes.values().map(|(at, _)| *at).min();
    }

    pub(super) fn forget_all(&mut self) {
        self.pushes.clear();
        self.push_at = None;
    }

    /// After a pause: what was due is due now.
    pub(super) fn resume(&mut self, now: Instant) {
        self.push_at = self.push_at.map(|at| at.max(now));
        self.sync_at = self.sync_at.max(now);
    }
}

impl Membership {
    /// The record the others see of this node. The same bytes again do nothing; changes within 100 ms go out together.
    ///
    /// # Errors
    ///
    /// More than [`MAX_RECORD_BYTES`]: the record before stays.
    pub fn set_record(&mut self, bytes: Vec<u8>, now: Instant) -> Result<(), RecordError> {
        self.wake(now);
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError { bytes: bytes.len() });
        }
        if *self.records.own == *bytes {
            return Ok(());
        }
        self.records.own = Arc::from(bytes);
        self.records.sequence += 1;
        let at = self
            .records
            .pushed_at
            .map_or(now, |pushed| now.max(pushed + PUSH_SPACING));
        let names: Vec<String> = self.members.keys().cloned().collect();
        names.iter().for_each(|name| self.records.push_to(name, at));
        Ok(())
    }

    /// Sends the pushes that are due, at most [`MAX_PUSHES_PER_TURN`], and asks those whose record we lack.
    pub(super) fn push_records(&mut self, now: Instant) {
        if self.records.push_at.is_none_or(|at| at > now) {
            return;
        }
        let mut due = Vec::new();
        for (name, (at, left)) in &mut self.records.pushes {
            if *at > now || due.len() >= MAX_PUSHES_PER_TURN {
                continue;
            }
            due.push(name.clone());
            *left = left.saturating_sub(1);
            *at = now
                + if *left == PUSH_ROUNDS - 1 {
                    PUSH_SPACING
                } else {
                    2 * PUSH_SPACING
                };
        }
        self.records.pushes.retain(|_, (_, left)| *left > 0);
        self.records.push_at = self
            .records
            .pushes
            .values()
            .map(|(at, _)| (*at).max(now + TURN_SPACING))
            .min();
        for name in due {
            let Some(member) = self.members.get(&name) else {
                continue;
            };
            let (address, boot, lacks) = (member.address, member.boot, member.record_sequence == 0);
            if self.records.sequence > 0 {
                self.records.pushed_at = Some(now);
                self.send_record(address, self.me().boot);
            }
            if lacks {
                self.send(address, &Message::Want(vec![boot]));
            }
        }
    }

    /// Once a second: tells one random member which records we have, and calls a few of the lost.
    pub(super) fn compare_records(&mut self, now: Instant) {
        if self.records.sync_at > now {
            return;
        }
        self.records.sync_at = now
            + self
                .random
                .jittered(self.config.tuning.record_sync_interval);
        self.call_the_lost();
        let Some((name, to)) = self
            .members
            .iter()
            .nth(self.random.below(self.members.len()))
            .map(|(name, member)| (name.clone(), member.address))
        else {
            return;
        };
        self.compare_claims(&name, now);
        let mut versions: Vec<(BootId, u64)> = vec![(self.me().boot, self.records.sequence)];
        versions.extend(
            self.members
                .values()
                .map(|member| (member.boot, member.record_sequence)),
        );
        let entries = versions
            .iter()
            .cycle()
            .skip(self.records.cursor)
            .take(versions.len().min(MAX_SYNC_ENTRIES))
            .copied()
            .collect();
        self.records.cursor = (self.records.cursor + MAX_SYNC_ENTRIES) % versions.len();
        self.send(to, &Message::Sync(entries));
    }

    pub(super) fn handle_record(&mut self, boot: BootId, sequence: u64, bytes: Vec<u8>) {
        let Some((name, member)) = self
            .members
            .iter_mut()
            .find(|(_, member)| member.boot == boot)
        else {
            return;
        };
        if sequence <= member.record_sequence {
            return;
        }
        member.record_sequence = sequence;
        if *member.record != *bytes {
            member.record = Arc::from(bytes);
            let name = name.clone();
            self.tell(Event::RecordChanged(name));
        }
    }

    /// Another member's versions: sends what it lacks, asks for what we lack.
    pub(super) fn handle_sync(&mut self, from: BootId, entries: Vec<(BootId, u64)>) {
        let Some(to) = self.address_of(from) else {
            return self.counters.count_drop(DropReason::UnknownSender);
        };
        let mut wanted = Vec::new();
        let mut offered = Vec::new();
        for (boot, theirs) in entries {
            match self.sequence_of(boot) {
                Some(ours) if ours > theirs => offered.push(boot),
                Some(ours) if ours < theirs && boot != self.me().boot => wanted.push(boot),
                Some(_) | None => {}
            }
        }
        offered.truncate(MAX_RECORDS_PER_ANSWER);
        offered
            .into_iter()
            .for_each(|boot| self.send_record(to, boot));
        wanted.truncate(MAX_RECORDS_PER_ANSWER);
        if !wanted.is_empty() {
            self.send(to, &Message::Want(wanted));
        }
    }

    pub(super) fn handle_want(&mut self, from: BootId, boots: Vec<BootId>) {
        let Some(to) = self.address_of(from) else {
            return self.counters.count_drop(DropReason::UnknownSender);
        };
        boots
            .into_iter()
            .take(MAX_RECORDS_PER_ANSWER)
            .for_each(|boot| self.send_record(to, boot));
    }

    pub(super) fn address_of(&self, boot: BootId) -> Option<SocketAddr> {
        self.members
            .values()
            .find(|member| member.boot == boot)
            .map(|member| member.address)
    }

    fn sequence_of(&self, boot: BootId) -> Option<u64> {
        if boot == self.me().boot {
            return Some(self.records.sequence);
        }
        self.members
            .values()
            .find(|member| member.boot == boot)
            .map(|member| member.record_sequence)
    }

    fn send_record(&mut self, to: SocketAddr, boot: BootId) {
        let found = if boot == self.me().boot {
            Some((self.records.sequence, Arc::clone(&self.records.own)))
        } else {
            let member = self.members.values().find(|member| member.boot == boot);
            member.map(|member| (member.record_sequence, Arc::clone(&member.record)))
        };
        if let Some((sequence, bytes)) = found.filter(|(sequence, _)| *sequence > 0) {
            self.send(
                to,
                &Message::Record {
                    boot,
                    sequence,
                    bytes: bytes.to_vec(),
                },
            );
        }
    }
}

/// Pushes to each member: with 5 % loss one in 8,000 misses all three and waits for a comparison.
const PUSH_ROUNDS: u8 = 3;

/// From the first push to the second; from the second to the third twice that.
const PUSH_SPACING: Duration = Duration::from_millis(100);

/// Pushes in one turn, so that 200 members do not overrun the socket's buffer.
const MAX_PUSHES_PER_TURN: usize = 32;

/// Between two turns of pushes.
const TURN_SPACING: Duration = Duration::from_millis(5);

/// Records sent or asked for in answer to one datagram: a datagram of ours makes at most this many of theirs.
const MAX_RECORDS_PER_ANSWER: usize = 8;
