//! Conflicts over addresses: what the responders hear of others, judged by who is a speaker.
//!
//! Owns the hardware addresses of all speakers that were ever heard, and the conflicts that were told. Probing and
//! defence are the responders'; which of two speakers keeps an address is decided by their claims.

use super::port::Port;
use super::{Event, Wire};
use crate::facts::{Conflict, ConflictKind, MembersView};
use l2::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

#[cfg(test)]
mod tests;

/// LIMIT: hardware addresses of speakers that are remembered; 200 nodes with 80 interfaces each. Beyond it those of
/// speakers that are gone are forgotten.
const SPEAKER_MACS_MAX: usize = 16_384;

/// LIMIT: conflicts in the facts. Each interface tells of 64 in ten minutes at most; with more of them at a time
/// nobody reads one by one.
const CONFLICTS_MAX: usize = 256;

/// See the module.
#[derive(Default)]
pub(super) struct Guard {
    /// Node by hardware address, of living and of gone speakers.
    speakers: BTreeMap<MacAddr, String>,
    macs: BTreeSet<MacAddr>,
    /// Another speaker was ever alive: it may have announced anything.
    met: bool,
    conflicts: Arc<BTreeMap<Conflict, u64>>,
    /// When a partition was last suspected for an address and a station.
    suspected: BTreeMap<(IpAddr, MacAddr), Instant>,
}

impl Guard {
    pub(super) fn speaker_macs(&self) -> &BTreeSet<MacAddr> {
        &self.macs
    }

    pub(super) fn conflicts(&self) -> &Arc<BTreeMap<Conflict, u64>> {
        &self.conflicts
    }

    /// Whether anything is new about the speakers' interfaces.
    pub(super) fn learn(&mut self, members: &MembersView, own: &str) -> bool {
        let mut changed = false;
        for (node, record) in members.alive.iter().filter(|(node, _)| *node != own) {
            self.met = true;
            for mac in record.interfaces.values() {
                let mac = MacAddr(*mac);
                if self.speakers.get(&mac) != Some(node) {
                    self.speakers.insert(mac, node.clone());
                    changed = true;
                }
            }
        }
        if self.speakers.len() > SPEAKER_MACS_MAX {
            self.speakers
                .retain(|_, node| members.alive.contains_key(node));
        }
        if changed {
            self.macs = self.speakers.keys().copied().collect();
        }
        changed
    }

    fn add(&mut self, conflict: Conflict) {
        let conflicts = Arc::make_mut(&mut self.conflicts);
        if conflicts.len() >= CONFLICTS_MAX && !conflicts.contains_key(&conflict) {
            conflicts.pop_first();
        }
        *conflicts.entry(conflict).or_default() += 1;
    }

    fn is_news(&mut self, address: IpAddr, mac: MacAddr, now: Instant) -> bool {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < l2::CLAIM_REPEAT;
        if self.suspected.get(&(address, mac)).is_some_and(recent) {
            return false;
        }
        if self.suspected.len() >= CONFLICTS_MAX {
            self.suspected.retain(|_, at| recent(at));
        }
        if self.suspected.len() < CONFLICTS_MAX {
            self.suspected.insert((address, mac), now);
        }
        true
    }
}

impl Wire {
    /// Which addresses were never announced by any speaker (L2-51)? Without membership nobody can tell, and then a
    /// takeover must not be delayed.
    /// With claims: those that this node claims with the first term, so that nobody was ever seen to claim them.
    pub(super) fn first_use(&self) -> impl Fn(IpAddr) -> bool + use<> {
        let alone = |membership: &members::Membership| membership.members().is_empty();
        let virgin = !self.guard.met && self.membership.as_ref().is_some_and(alone);
        let claiming = self.membership.is_some() && self.desired.plan.tenures.is_some();
        let firsts: Option<BTreeSet<IpAddr>> = claiming.then(|| {
            let claims = self.holds.claims().filter(|(_, term)| *term == 1);
            claims.map(|(address, _)| address).collect()
        });
        let facts = Arc::clone(&self.facts);
        // What is announced on one interface is nothing new on another.
        let first = move |address: &IpAddr| match &firsts {
            Some(firsts) => firsts.contains(address),
            None => virgin,
        };
        move |address| {
            first(&address) && !facts.announced.values().any(|set| set.contains(&address))
        }
    }

    /// The interfaces of the speakers, for the responders.
    ///
    /// Tells whether a responder says now what it held back because of one of them.
    pub(super) fn learn_speakers(&mut self) -> bool {
        let mut news = false;
        if self.guard.learn(&self.facts.members, &self.config.node) {
            for port in self.ports.values_mut() {
                port.set_speaker_macs(self.guard.speaker_macs());
                news |= port.has_news();
            }
        }
        news
    }

    /// Takes what the responders found out; the caller settles if there was anything.
    pub(super) fn take_news(&mut self, now: Instant) -> bool {
        let mut heard = Vec::new();
        let mut changed = false;
        for (ifindex, port) in self.ports.iter_mut().filter(|(_, port)| port.has_news()) {
            changed = true;
            heard.extend(std::iter::from_fn(|| Port::poll_event(port)).map(|e| (*ifindex, e)));
        }
        self.stale |= changed;
        for (ifindex, event) in heard {
            self.hear(ifindex, event, now);
        }
        changed
    }

    fn hear(&mut self, ifindex: u32, event: l2::Event, now: Instant) {
        let (address, mac, kind, event) = match event {
            l2::Event::ForeignClaim { address, mac } => {
                let event = Event::ForeignClaim {
                    ifindex,
                    address,
                    mac,
                };
                (address, mac, ConflictKind::Claimed, event)
            }
            l2::Event::InUse { address, mac } => {
                let event = Event::AddressInUse {
                    ifindex,
                    address,
                    mac,
                };
                (address, mac, ConflictKind::InUse, event)
            }
            l2::Event::SpeakerClaim { address, mac } => {
                let Some(node) = self.guard.speakers.get(&mac).cloned() else {
                    return;
                };
                // While the members see each other, their claims decide: it is asked at once what it claims (L2-54), and
                // what is new of it is looked at. A speaker that is gone and answers is a partition to be told of
                // (L2-56).
                let alive = self.facts.members.alive.contains_key(&node);
                if let Some(membership) = self.membership.as_mut().filter(|_| alive) {
                    membership.confirm_claims(&node, now);
                }
                if alive || !self.guard.is_news(address, mac, now) {
                    return;
                }
                let kind = ConflictKind::SplitBrain { node: node.clone() };
                let event = Event::SplitBrainSuspected {
                    ifindex,
                    address,
                    mac,
                    node,
                };
                (address, mac, kind, event)
            }
        };
        self.guard.add(Conflict {
            address,
            ifindex,
            mac: mac.octets(),
            kind,
        });
        Self::tell(&mut self.events, &mut self.counters, event);
    }
}
