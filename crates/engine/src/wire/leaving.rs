//! The orderly stop: make before break (L2-85).
//!
//! Owns the steps: tell the members, answer until each address is claimed by its next
//! holder (at most two seconds), stay silent for the linger so that what is still sent
//! here is forwarded, say goodbye. Also what the wire alone lays over the member record.

use super::holds::{self, HANDING_MAX};
use super::{Event, Wire, refused};
use crate::record;
use members::Standing;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the stop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody asked.
    #[default]
    No,
    /// Addresses are being handed over, until then at the latest.
    Handing(Instant),
    /// Nothing is held any more; forwarding goes on until then.
    Lingering(Instant),
    /// Goodbye is said.
    Left,
}

impl Leaving {
    pub(super) fn has_left(self) -> bool {
        self == Self::Left
    }

    /// No candidate any more.
    pub(super) fn is_leaving(self) -> bool {
        self != Self::No
    }

    pub(super) fn poll_timeout(self) -> Option<Instant> {
        match self {
            Self::Handing(until) | Self::Lingering(until) => Some(until),
            Self::No | Self::Left => None,
        }
    }
}

impl Wire {
    /// Stops in good order. What this node holds is handed over first: it goes on
    /// answering until the next holders have claimed it, at most two seconds. Without
    /// claims, or alone, the members are told at once and every responder is silent. Go on
    /// polling until [`Self::has_left`] and [`Self::poll_timeout`] is `None`, or the
    /// patience ends. Asked again, it does not linger.
    pub fn leave(&mut self, now: Instant) {
        match self.leaving {
            Leaving::No => {}
            Leaving::Lingering(_) => {
                self.leaving = Leaving::Lingering(now);
                return self.settle(now);
            }
            Leaving::Handing(_) | Leaving::Left => return,
        }
        // Routers are told at the same time: each has its own way of letting go (BGP-74).
        self.routers.stop(now);
        let held = self.holds.claims().count();
        let others = self.membership.as_ref().is_some_and(|membership| {
            membership.standing() == Standing::Active && !membership.members().is_empty()
        });
        if held == 0 || !others || !self.start.is_settled() {
            self.say_goodbye(now);
        } else {
            self.leaving = Leaving::Handing(now + HANDING_MAX);
            self.plan_stale = true;
            let event = Event::Leaving { addresses: held };
            Self::tell(&mut self.events, &mut self.counters, event);
        }
        self.members_stale = true;
        self.settle(now);
    }

    /// How long this node stays, silent, after it has handed over.
    pub fn set_linger(&mut self, linger: Duration) {
        self.config.linger = linger;
    }

    /// Goodbye is being said, or has been: nothing is answered any more.
    pub fn has_left(&self) -> bool {
        self.leaving.has_left()
    }

    /// The next step of the stop, when its time has come.
    pub(super) fn depart(&mut self, now: Instant) {
        match self.leaving {
            Leaving::Handing(until) => {
                if until <= now
                    && let Some(membership) = &mut self.membership
                {
                    self.holds.release_all(membership, now);
                    self.table.set_own(&self.config.node, Default::default());
                    self.stale = true;
                }
                // The holds that were handed over in the last turn are gone from it.
                if self.holds.claims().next().is_none() && !self.plan_stale {
                    self.leaving = Leaving::Lingering(now + self.config.linger);
                    self.depart(now);
                }
            }
            Leaving::Lingering(until) if until <= now => self.say_goodbye(now),
            Leaving::Lingering(_) | Leaving::No | Leaving::Left => {}
        }
    }

    fn say_goodbye(&mut self, now: Instant) {
        if let Some(membership) = &mut self.membership {
            self.holds.release_all(membership, now);
            self.table.set_own(&self.config.node, Default::default());
            membership.leave(now);
        }
        self.leaving = Leaving::Left;
        self.stale = true;
        self.members_stale = true;
        self.look = holds::Stale::default();
    }

    /// Tells the members the record that the brain wants, with what the wire knows.
    pub(super) fn tell_record(&mut self, now: Instant) {
        let Some(membership) = self
            .membership
            .as_mut()
            .filter(|_| !self.leaving.has_left())
        else {
            return;
        };
        let (leaving, isolated) = (self.leaving.is_leaving(), self.isolation.is_isolated());
        let plain = &self.desired.member_record;
        let record: Arc<[u8]> = match leaving || isolated {
            true => record::flagged(plain, leaving, isolated).into(),
            false => Arc::clone(plain),
        };
        if self.record == record {
            return;
        }
        if let Err(error) = membership.set_record(record.to_vec(), now) {
            Self::tell(&mut self.events, &mut self.counters, refused(&error));
        }
        self.record = record;
        self.members_stale = true;
    }
}
