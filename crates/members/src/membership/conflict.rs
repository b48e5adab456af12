//! Two nodes with one name: who keeps it, who stands back.
//!
//! A restarted node has a new boot and usually the same address: it replaces its former self at once, by its rank, or by raising it
//! when its clock was behind. A node whose name is held by a *living* node elsewhere is let in by nobody: it is told so, stands back,
//! and asks again until the holder is down. Should two get in by different doors at once, the higher rank keeps the name. The others
//! never see the name flap: foca alone would let both declare one another down without end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Known, Membership, Standing, swim};
use crate::event::{DropReason, Event};
use crate::identity::{BootId, Identity};
use crate::message::Message;

impl Membership {
    /// Whether a caller may come in; if not, it has been told.
    pub(super) fn admits_call(
        &mut self,
        from: SocketAddr,
        caller: &Identity,
        now: Instant,
    ) -> bool {
        let known = if caller.is_namesake(self.me()) {
            Some(Known {
                identity: self.me().clone(),
                alive: true,
                goodbye: false,
            })
        } else {
            self.known(caller)
        };
        let Some(known) = known.filter(|known| known.identity.boot != caller.boot) else {
            return true;
        };
        let same_place = known.identity.address == caller.address;
        let held = known.alive && !same_place;
        if !held && caller.outranks(&known.identity) {
            return true;
        }
        if held {
            self.tell_conflict(&caller.name, known.identity.address, caller.address, now);
        }
        self.refuse(from, caller.boot, &known, held);
        false
    }

    /// Whether a member speaks under its present identity. One that got in elsewhere is taken by rank alone.
    pub(super) fn admits_member(
        &mut self,
        from: SocketAddr,
        speaker: &Identity,
        now: Instant,
    ) -> bool {
        let Some(known) = self
            .known(speaker)
            .filter(|known| known.identity.outranks(speaker))
        else {
            return true;
        };
        if known.identity.boot == speaker.boot {
            self.counters.count_drop(DropReason::StaleBoot);
            return false;
        }
        let held = known.alive && known.identity.address != speaker.address;
        if held {
            self.tell_conflict(&speaker.name, known.identity.address, speaker.address, now);
        }
        self.refuse(from, speaker.boot, &known, held);
        false
    }

    fn refuse(&mut self, from: SocketAddr, to: BootId, known: &Known, held: bool) {
        self.counters.count_drop(if held {
            DropReason::NameTaken
        } else {
            DropReason::StaleBoot
        });
        self.send(
            from,
            &Message::Taken {
                to,
                holder: known.identity.clone(),
                alive: held,
            },
        );
    }

    /// We were told that another boot has our name.
    pub(super) fn handle_taken(
        &mut self,
        from: SocketAddr,
        holder: &Identity,
        alive: bool,
        now: Instant,
    ) {
        if !holder.is_namesake(self.me()) || holder.boot == self.me().boot {
            return self.counters.count_drop(DropReason::NotForUs);
        }
        let elsewhere = alive && holder.address != self.config.address;
        if elsewhere {
            // Who is in already and ranks higher stays: the teller will hear of us.
            if self.members.is_empty() || holder.outranks(self.me()) {
                self.stand_back(holder, now);
            }
            return;
        }
        self.resume_standing(now);
        if !holder.outranks(self.me()) {
            return;
        }
        self.rise_over(holder.rank, now);
        // At the end of all ranks we cannot rise: asking again at once would go on for ever.
        if !holder.outranks(self.me()) {
            self.call(from);
        }
    }

    /// Members talk of another boot under our name that ranks higher.
    pub(super) fn handle_rival(&mut self, rival: &Identity, alive: bool, now: Instant) {
        if alive && rival.address != self.config.address {
            self.stand_back(rival, now);
        } else {
            self.rise_over(rival.rank, now);
        }
    }

    /// Takes no part until the holder of our name is gone. The member list is emptied without an event for each.
    fn stand_back(&mut self, holder: &Identity, now: Instant) {
        self.conflict_until = Some(now + CONFLICT_SETTLES);
        if self.standing != Standing::Active {
            return;
        }
        self.standing = Standing::Conflict;
        let rank = self.me().rank;
        self.foca = swim(&self.config, rank, &mut self.random);
        self.timers.clear();
        self.members.clear();
        self.records.forget_all();
        self.exchange.forget_all();
        self.peers.call_again(now + CONFLICT_SETTLES);
        self.tell(Event::NameConflict {
            name: self.config.name.clone(),
            keeper: holder.address,
            ignored: self.config.address,
        });
    }

    /// Somebody would let us in.
    pub(super) fn resume_standing(&mut self, now: Instant) {
        if self.standing == Standing::Conflict
            && self.conflict_until.is_none_or(|until| until <= now)
        {
            self.standing = Standing::Active;
            self.conflict_until = None;
            self.records.sync_at = now
                + self
                    .random
                    .jittered(self.config.tuning.record_sync_interval);
            self.peers.call_again(now);
        }
    }

    pub(super) fn tell_conflict(
        &mut self,
        name: &str,
        keeper: SocketAddr,
        ignored: SocketAddr,
        now: Instant,
    ) {
        self.conflicts_told
            .retain(|_, told| now.saturating_duration_since(*told) < CONFLICT_TOLD_EVERY);
        if self.conflicts_told.contains_key(name) || self.conflicts_told.len() >= MAX_CONFLICTS_TOLD
        {
            return;
        }
        self.conflicts_told.insert(name.to_owned(), now);
        self.tell(Event::NameConflict {
            name: name.to_owned(),
            keeper,
            ignored,
        });
    }
}

/// A node that stands back stays so for this long after it was last told that its name is held: longer than a fresh member needs to
/// learn of the holder, so that it does not let us in by ignorance.
const CONFLICT_SETTLES: Duration = Duration::from_millis(400);

/// A conflict that lasts is told again after this.
const CONFLICT_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Names in conflict of which we tell at once; more is a fault of another kind.
const MAX_CONFLICTS_TOLD: usize = 64;
