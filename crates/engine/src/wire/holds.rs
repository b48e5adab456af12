//! The claim machine: which of the planned addresses this node holds, and for how long.
//!
//! Owns the state of each planned address from wish to claim to release. A claim is made
//! only in sight of all others on the address, given up in the call in which a better one
//! is seen, and handed over before it is broken. Does not decide where an address belongs
//! (the plan says so), nor carry claims (`members` does).
//!
//! ```text
//!   planned ──► Wanted ──claimed──► Held ──planned elsewhere──► Handing ──┐
//!                 ▲                  │                                     ├─► gone
//!                 └──── beaten ──────┘   no longer planned, beaten, 2 s ──┘
//! ```

use crate::claims::beats;
use crate::plan::Tenure;
use members::{Claim, Membership};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long an old holder answers while its successor has not claimed (L2-85).
pub(super) const HANDING_MAX: Duration = Duration::from_secs(2);

/// How long the old holder of an address that changed its Service is waited for (L2-90).
pub(super) const RELEASE_MAX: Duration = Duration::from_secs(2);

/// After a claim was beaten, how long this node does not claim the address again: two
/// nodes that see different candidates for a moment must not outbid each other in a loop.
const RECLAIM_AFTER: Duration = Duration::from_millis(200);

/// What became of addresses since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Claimed while nobody else did.
    pub taken: u64,
    /// Claimed over a living node's claim: a planned move, or an old holder that lags.
    pub taken_over: u64,
    /// Given to a successor that was planned.
    pub handed: u64,
    /// No successor came in time; given up.
    pub abandoned: u64,
    /// Another node's claim won: this one is silent since.
    pub lost: u64,
    /// No Service holds the address any more, or nobody may announce it.
    pub released: u64,
    /// No usable interface is left for it.
    pub link: u64,
    /// Cut off from most members and the gateway.
    pub isolated: u64,
    /// Another node's claim lost against ours after a partition: announced again.
    pub defended: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Planned here and not claimed: silent.
    Wanted {
        since: Instant,
        not_before: Instant,
    },
    Held {
        term: u64,
        /// When it was claimed.
        since: Instant,
    },
    Handing {
        term: u64,
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    tenure: Tenure,
    state: State,
}

impl Hold {
    fn term(&self) -> Option<u64> {
        match self.state {
            State::Held { term, .. } | State::Handing { term, .. } => Some(term),
            State::Wanted { .. } => None,
        }
    }
}

/// What a turn of the machine is made in.
pub(super) struct Ground<'a> {
    pub(super) node: &'a str,
    pub(super) membership: &'a mut Membership,
    /// New claims may be made: the others' are known.
    pub(super) may_claim: bool,
    /// This node is on its way out: everything is handed over.
    pub(super) leaving: bool,
    /// Nothing may be held.
    pub(super) isolated: bool,
    pub(super) now: Instant,
}

/// What a turn of the machine changed.
#[derive(Debug, Default)]
pub(super) struct Turned {
    /// What is answered, or claimed, is not what it was.
    pub(super) changed: bool,
    /// Held all along, and to be announced again.
    pub(super) announce: Vec<IpAddr>,
}

/// Which addresses are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Stale {
    pub(super) all: bool,
    pub(super) some: BTreeSet<IpAddr>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holds {
    holds: BTreeMap<IpAddr, Hold>,
    /// When an address is to be looked at though nothing happens; entries may be stale.
    due: BTreeSet<(Instant, IpAddr)>,
    moves: Moves,
}

impl Holds {
    /// Whether the address is answered.
    pub(super) fn answers(&self, address: IpAddr) -> bool {
        let hold = self.holds.get(&address);
        hold.is_some_and(|hold| hold.term().is_some())
    }

    /// What this node claims.
    pub(super) fn claims(&self) -> impl Iterator<Item = (IpAddr, u64)> + '_ {
        let claimed = |(address, hold): (&IpAddr, &Hold)| Some((*address, hold.term()?));
        self.holds.iter().filter_map(claimed)
    }

    /// What this node holds and has claimed at that moment or later.
    pub(super) fn claimed_since(&self, at: Instant) -> impl Iterator<Item = IpAddr> + '_ {
        let later = move |(address, hold): (&IpAddr, &Hold)| match hold.state {
            State::Held { since, .. } if since >= at => Some(*address),
            State::Held { .. } | State::Handing { .. } | State::Wanted { .. } => None,
        };
        self.holds.iter().filter_map(later)
    }

    pub(super) fn moves(&self) -> &Moves {
        &self.moves
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Brings the machine in line with the plan and the claims of the others.
    /// `able` tells whether an address can be answered on any interface now.
    pub(super) fn turn(
        &mut self,
        planned: Option<&BTreeMap<IpAddr, Tenure>>,
        mut stale: Stale,
        able: impl Fn(IpAddr) -> bool,
        ground: &mut Ground<'_>,
    ) -> Turned {
        let mut turned = Turned::default();
        if let Some(planned) = planned {
            self.plan(planned, ground, &mut turned);
            stale.all = true;
        }
        while self.due.first().is_some_and(|(at, _)| *at <= ground.now) {
            stale
                .some
                .extend(self.due.pop_first().map(|(_, address)| address));
        }
        let addresses: Vec<IpAddr> = match stale.all {
            true => self.holds.keys().copied().collect(),
            false => stale.some.iter().copied().collect(),
        };
        let mut ready: BTreeMap<IpAddr, Vec<IpAddr>> = BTreeMap::new();
        for address in addresses {
            let Some(hold) = self.holds.get(&address).copied() else {
                continue;
            };
            if hold.term().is_some() {
                self.keep(address, hold, able(address), &stale, ground, &mut turned);
            } else if able(address) && self.may_claim(address, hold, ground) {
                ready.entry(hold.tenure.key).or_default().push(address);
            }
        }
        for addresses in ready.values() {
            turned.changed = true;
            self.claim(addresses, ground);
        }
        turned
    }

    /// Takes a plan in: what is not in it any more is released in this call.
    fn plan(
        &mut self,
        planned: &BTreeMap<IpAddr, Tenure>,
        ground: &mut Ground<'_>,
        turned: &mut Turned,
    ) {
        let now = ground.now;
        let gone: Vec<IpAddr> = self
            .holds
            .keys()
            .filter(|address| !planned.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            if self
                .holds
                .remove(&address)
                .is_some_and(|h| h.term().is_some())
            {
                self.moves.released += 1;
                ground.membership.set_claim(address, None, now);
            }
            turned.changed = true;
        }
        for (address, tenure) in planned {
            let handing = tenure.handing || ground.leaving;
            let old = self.holds.get(address).map(|hold| hold.state);
            let state = match old {
                Some(State::Held { term, .. }) if handing => {
                    let until = now + HANDING_MAX;
                    self.due.insert((until, *address));
                    State::Handing { term, until }
                }
                Some(State::Handing { term, .. }) if !handing => State::Held { term, since: now },
                Some(State::Wanted { .. }) | None if handing => {
                    self.holds.remove(address);
                    continue;
                }
                Some(state) => state,
                None => State::Wanted {
                    since: now,
                    not_before: now,
                },
            };
            let tenure = *tenure;
            self.holds.insert(*address, Hold { tenure, state });
        }
    }

    /// An address that is claimed: is it still to be?
    fn keep(
        &mut self,
        address: IpAddr,
        hold: Hold,
        able: bool,
        stale: &Stale,
        ground: &mut Ground<'_>,
        turned: &mut Turned,
    ) {
        let Some(term) = hold.term() else {
            return;
        };
        let (node, key, now) = (ground.node, hold.tenure.key, ground.now);
        let (mut foreign, mut beaten) = (false, false);
        for (other, claim) in ground.membership.claims_on(address) {
            if other != node {
                foreign = true;
                beaten |= beats((other, claim.term), (node, term), key);
            }
        }
        let handing = matches!(hold.state, State::Handing { .. });
        let timed_out = matches!(hold.state, State::Handing { until, .. } if until <= now);
        let counter = match (beaten, able, ground.isolated, timed_out) {
            (true, ..) if handing => &mut self.moves.handed,
            (true, ..) => &mut self.moves.lost,
            (_, false, ..) => &mut self.moves.link,
            (_, _, true, _) => &mut self.moves.isolated,
            (_, _, _, true) => &mut self.moves.abandoned,
            _ => {
                if foreign && !handing && stale.some.contains(&address) {
                    self.moves.defended += 1;
                    turned.announce.push(address);
                }
                return;
            }
        };
        *counter += 1;
        turned.changed = true;
        ground.membership.set_claim(address, None, now);
        if handing {
            self.holds.remove(&address);
            return;
        }
        let wait = if beaten {
            RECLAIM_AFTER
        } else {
            Duration::ZERO
        };
        let state = State::Wanted {
            since: now,
            not_before: now + wait,
        };
        self.due.insert((now + wait, address));
        self.holds.insert(address, Hold { state, ..hold });
    }

    /// An address that is wanted: may it be claimed now? What has to be waited for is
    /// looked at again then.
    fn may_claim(&mut self, address: IpAddr, hold: Hold, ground: &Ground<'_>) -> bool {
        let State::Wanted { since, not_before } = hold.state else {
            return false;
        };
        if !ground.may_claim || ground.isolated || ground.leaving {
            return false;
        }
        if ground.now < not_before {
            self.due.insert((not_before, address));
            return false;
        }
        let others = ground.membership.claims_on(address);
        let others = others.filter(|(node, _)| *node != ground.node);
        let Some(highest) = others.map(|(_, claim)| claim.term).max() else {
            return true;
        };
        let released = since + RELEASE_MAX;
        if hold.tenure.renewed && ground.now < released {
            self.due.insert((released, address));
            return false;
        }
        // Beyond it the plan was made before this claim was seen; another plan will come.
        highest <= hold.tenure.over
    }

    /// Claims addresses that have one holder, with one term over all that was ever seen.
    fn claim(&mut self, addresses: &[IpAddr], ground: &mut Ground<'_>) {
        let seen = addresses.iter().map(|a| ground.membership.highest_term(*a));
        let term = seen.max().unwrap_or(0).saturating_add(1);
        for address in addresses {
            let foreign = |(node, _): (&str, _)| node != ground.node;
            match ground.membership.claims_on(*address).any(foreign) {
                true => self.moves.taken_over += 1,
                false => self.moves.taken += 1,
            }
            let claim = Some(Claim { term });
            ground.membership.set_claim(*address, claim, ground.now);
            if let Some(hold) = self.holds.get_mut(address) {
                let since = ground.now;
                hold.state = State::Held { term, since };
            }
        }
    }

    /// Gives everything up: nobody is left to hand over to, or the time is over.
    pub(super) fn release_all(&mut self, membership: &mut Membership, now: Instant) {
        for (address, hold) in std::mem::take(&mut self.holds) {
            if hold.term().is_some() {
                self.moves.abandoned += 1;
                membership.set_claim(address, None, now);
            }
        }
        self.due.clear();
    }
}
