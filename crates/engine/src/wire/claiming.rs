//! The claims of this node among those of the others: what the wire's turn does about them.
//!
//! Owns the order: what the members tell is taken in first, then it is judged whether this
//! node is cut off, then the claim machine turns. Decides no address by itself.

use super::{Action, Event, Wire, holds};
use crate::facts::Interface;
use crate::record;
use members::{Membership, Standing};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a member whose claims are not whole here keeps this node from new claims: after
/// a partition a member is seen before its claims are, but one that never tells them must
/// not stop a takeover.
const UNSURE_MAX: Duration = Duration::from_secs(1);

/// LIMIT: lost members that are remembered; Kubernetes supports 5,000 nodes.
const PARTED_MAX: usize = 5_000;

impl Wire {
    /// When it does not matter any more that some claims are not known.
    pub(super) fn sure_at(&self) -> Option<Instant> {
        let since = self.unsure_since.filter(|_| !self.sure)?;
        Some(since + UNSURE_MAX)
    }

    /// Takes what the membership tells, the claims first.
    pub(super) fn take_members(&mut self, now: Instant) {
        let mut came_or_went = false;
        while let Some(event) = self.membership.as_mut().and_then(Membership::poll_event) {
            self.members_stale = true;
            match event {
                members::Event::ClaimsChanged { node, addresses } => {
                    if let Some(membership) = &self.membership {
                        self.table.changed(membership, &node, &addresses);
                    }
                    self.look.some.extend(addresses);
                }
                event => {
                    came_or_went = true;
                    self.note_parting(&event, now);
                    Self::tell(&mut self.events, &mut self.counters, Event::Member(event));
                }
            }
        }
        if let Some(membership) = self.membership.as_ref().filter(|_| came_or_went) {
            let differing = self.table.read(membership, &self.config.node);
            self.look.some.extend(differing);
        }
    }

    /// A node that was lost and is back may have answered all the while for what was taken
    /// over from it, and the hosts near it have its hardware address: they are told again
    /// (L2-55). That it gives way by itself is not enough, and this node may never see its
    /// claim.
    fn note_parting(&mut self, event: &members::Event, now: Instant) {
        match event {
            members::Event::Down(node) if self.parted.len() < PARTED_MAX => {
                self.parted.insert(node.clone(), now);
            }
            members::Event::Left(node) => {
                self.parted.remove(node);
            }
            members::Event::Up(node) => {
                if let Some(at) = self.parted.remove(node) {
                    self.announce.extend(self.holds.claimed_since(at));
                }
            }
            _ => {}
        }
    }

    /// What the brain says of this node's links. It may say that there is one again before the wire sees which.
    pub(super) fn note_links(&mut self, now: Instant) {
        let Some(record) = record::decode(&self.desired.member_record) else {
            return;
        };
        let dark = record.interfaces.is_empty() && !record.truncated;
        if std::mem::replace(&mut self.dark, dark) && !dark && self.start.is_settled() {
            self.come_back(now);
        }
    }

    /// The wire sees a link before the brain does: nothing may be claimed in between.
    pub(super) fn note_return(&mut self, interfaces: &BTreeMap<u32, Interface>, now: Instant) {
        let usable = |i: &Interface| i.up && i.carrier && i.ethernet;
        let lit = |(index, link): (&u32, &Interface)| {
            usable(link) && !self.interfaces.get(index).is_some_and(usable)
        };
        if self.dark && interfaces.iter().any(lit) {
            self.come_back(now);
        }
    }

    /// A node that had no link reached nobody: who did not hear from it has taken over what it held. It listens as one
    /// that has just started (L2-87), or it would claim all that it held before it hears of those who hold it now.
    fn come_back(&mut self, now: Instant) {
        let peers = self.desired.member_peers.as_ref();
        if peers.is_none_or(|peers| peers.len() < 2) {
            return;
        }
        if let Some(membership) = &mut self.membership {
            membership.listen_again(now);
        }
        if self.start.is_settled() {
            self.start.listen(now);
            self.stale = true;
            self.members_stale = true;
            self.look.all = true;
        }
    }

    /// Whether this node is cut off (L2-57).
    pub(super) fn judge(&mut self, now: Instant) {
        let (Some(membership), Some(peers)) = (&self.membership, &self.desired.member_peers) else {
            return;
        };
        let reached = membership.members().len() + 1;
        let before = self.isolation.is_isolated();
        let ask = !self.leaving.has_left() && self.isolation.turn(reached, peers.len(), now);
        if ask {
            self.actions.push_back(Action::ProbeGateway);
        }
        let isolated = self.isolation.is_isolated();
        if before != isolated {
            self.look.all = true;
            self.stale = true;
            let event = if isolated {
                Event::Isolated
            } else {
                Event::Reconnected
            };
            Self::tell(&mut self.events, &mut self.counters, event);
        }
    }

    /// The claims of this node, as the plan and the others' claims want them.
    pub(super) fn settle_holds(&mut self, now: Instant) {
        let (Some(membership), Some(tenures)) = (&mut self.membership, &self.desired.plan.tenures)
        else {
            if let Some(membership) = self.membership.as_mut().filter(|_| self.plan_stale) {
                self.holds.release_all(membership, now);
                self.table.set_own(&self.config.node, BTreeMap::new());
            }
            self.plan_stale = false;
            self.look = holds::Stale::default();
            return;
        };
        let whole = membership.claims_whole();
        self.unsure_since = match self.unsure_since {
            _ if whole => None,
            since => Some(since.unwrap_or(now)),
        };
        let sure = self
            .unsure_since
            .is_none_or(|since| now >= since + UNSURE_MAX);
        self.look.all |= std::mem::replace(&mut self.sure, sure) != sure;
        let look = std::mem::take(&mut self.look);
        let due = self.holds.poll_timeout().is_some_and(|at| at <= now);
        let plan = std::mem::take(&mut self.plan_stale).then_some(&**tenures);
        if plan.is_none() && !look.all && look.some.is_empty() && !due {
            return;
        }
        let usable = |index: &u32| {
            let interface = self.interfaces.get(index);
            interface.is_some_and(|i| i.up && i.carrier && i.ethernet)
        };
        let answers = &self.desired.plan.answers;
        let able = |address: IpAddr| {
            let mut there = answers.iter().filter(|(_, set)| set.contains(&address));
            there.any(|(index, _)| usable(index))
        };
        let mut ground = holds::Ground {
            node: &self.config.node,
            may_claim: sure && self.start.is_settled() && membership.standing() == Standing::Active,
            membership,
            leaving: self.leaving.is_leaving(),
            isolated: self.isolation.is_isolated(),
            now,
        };
        let turned = self.holds.turn(plan, look, able, &mut ground);
        if turned.changed {
            self.stale = true;
            self.members_stale = true;
            self.table
                .set_own(&self.config.node, self.holds.claims().collect());
        }
        self.announce.extend(turned.announce);
    }
}
