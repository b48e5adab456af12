//! The search for peers: addresses to join, called until a member answers from there.
//!
//! Owns the list of addresses and when each is called next. Who answers is judged in `inbound`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Membership, Standing};
use crate::message::Message;

/// The addresses to join.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// By address: when it is to be called next.
    calls: BTreeMap<SocketAddr, Instant>,
    /// The earliest of the calls, or later when the last turn had more to do than one turn may.
    pub(super) due_at: Option<Instant>,
}

impl Peers {
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        self.calls.contains_key(&address)
    }

    /// All are called as soon as there is a turn.
    pub(super) fn call_again(&mut self, now: Instant) {
        self.calls.values_mut().for_each(|at| *at = now);
        self.due_at = (!self.calls.is_empty()).then_some(now);
    }

    /// After a pause: what was due is due now.
    pub(super) fn resume(&mut self, now: Instant) {
        self.due_at = self.due_at.map(|at| at.max(now));
    }
}

impl Membership {
    /// The addresses where members may be: all speaker pods, or the static list. New ones are called at once, and again at about
    /// `join_interval` while no member is there. The own address is ignored; of more than 2,048 the last are.
    pub fn set_peers(&mut self, peers: BTreeSet<SocketAddr>, now: Instant) {
        self.wake(now);
        let own = self.config.address;
        let before = std::mem::take(&mut self.peers.calls);
        let wanted = peers
            .into_iter()
            .filter(|address| *address != own)
            .take(MAX_PEERS);
        self.peers.calls = wanted
            .map(|address| (address, before.get(&address).copied().unwrap_or(now)))
            .collect();
        let kept = &self.peers;
        self.wrong_keys.retain(|address| kept.contains(*address));
        self.peers.due_at = self.peers.calls.values().min().copied();
        if matches!(self.standing, Standing::Active | Standing::Conflict) {
            self.call_peers(now);
        }
    }

    /// The way to the others was gone and may be there again: every address where no member is is called at once, and those who are
    /// still counted alive have to say again what they claim ([`Self::claims_known`], [`Self::claims_whole`]).
    pub fn listen_again(&mut self, now: Instant) {
        self.wake(now);
        if self.standing == Standing::Active {
            self.exchange.resume(now);
        }
        self.call_again(now);
    }

    /// Every address where no member is is called at once, not when its turn comes.
    pub fn call_again(&mut self, now: Instant) {
        self.wake(now);
        if self.standing == Standing::Active {
            self.peers.call_again(now);
            self.call_peers(now);
        }
    }

    /// Calls those who are due, at most [`MAX_CALLS_PER_TURN`]. Where a member is nobody is called, and nothing wakes us for it.
    pub(super) fn call_peers(&mut self, now: Instant) {
        if self.peers.due_at.is_none_or(|at| at > now) {
            return;
        }
        let members: BTreeSet<SocketAddr> =
            self.members.values().map(|member| member.address).collect();
        let interval = match self.standing {
            Standing::Conflict => CONFLICT_INTERVAL,
            Standing::Active | Standing::NoKey | Standing::Left => self.config.tuning.join_interval,
        };
        let mut called = Vec::new();
        let mut next: Option<Instant> = None;
        for (address, at) in &mut self.peers.calls {
            if members.contains(address) {
                continue;
            }
            if *at <= now && called.len() < MAX_CALLS_PER_TURN {
                *at = now + self.random.jittered(interval);
                called.push(*address);
            }
            next = Some(next.map_or(*at, |next| next.min(*at)));
        }
        self.peers.due_at = next.map(|at| at.max(now + CALL_SPACING));
        called.into_iter().for_each(|address| self.call(address));
    }

    /// A member is gone from this address: it is called again, unless it is called soon anyway.
    pub(super) fn call_later(&mut self, address: SocketAddr, now: Instant) {
        let at = now + self.random.jittered(self.config.tuning.join_interval);
        if let Some(call) = self.peers.calls.get_mut(&address) {
            *call = at;
            self.peers.due_at = Some(self.peers.due_at.map_or(at, |due| due.min(at)));
        }
    }

    /// Calls a few of those that went down without a goodbye: after a partition the list of addresses may not name them.
    pub(super) fn call_the_lost(&mut self) {
        let lost: Vec<SocketAddr> = self
            .foca
            .iter_membership_state()
            .filter(|member| {
                member.state() == foca::State::Down && member.incarnation() != super::GOODBYE
            })
            .map(|member| member.id().address)
            .filter(|address| *address != self.config.address && !self.peers.contains(*address))
            .collect();
        if lost.is_empty() {
            return;
        }
        let start = self.random.below(lost.len());
        for address in lost
            .iter()
            .cycle()
            .skip(start)
            .take(LOST_CALLED.min(lost.len()))
        {
            self.call(*address);
        }
    }

    pub(super) fn call(&mut self, address: SocketAddr) {
        let hello = Message::Hello {
            sender: self.me().clone(),
        };
        self.send(address, &hello);
    }
}

/// Addresses kept: as many as names.
const MAX_PEERS: usize = super::MAX_NAMES;

/// Calls in one turn, so that a list of many addresses does not overrun the socket's buffer.
const MAX_CALLS_PER_TURN: usize = 32;

/// Between two turns of calls.
const CALL_SPACING: Duration = Duration::from_millis(10);

/// How often a node that stands back asks whether its name is free: a restart under another address waits for little more than the
/// death of its former self.
const CONFLICT_INTERVAL: Duration = Duration::from_millis(250);

/// Lost members called each second.
const LOST_CALLED: usize = 2;
