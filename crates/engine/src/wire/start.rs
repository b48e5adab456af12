//! The start rule: listen first (L2-87).
//!
//! A node counts on itself once it has heard the members it could join and knows what they
//! claim, or after the start delay when there is nobody. The same rule runs again after a
//! turn that came too late: the claims of this node may have been beaten meanwhile.

use members::{DropReason, Membership, Standing};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// After the first member was heard, how long the others may take: they are called at the
/// same time and answer within a round trip.
const OTHERS: Duration = Duration::from_millis(200);

/// After a late turn, how long datagrams prove nothing: they waited in the socket, as the
/// frames did that are discarded meanwhile.
const DRAIN: Duration = Duration::from_millis(100);

/// How long the claims of members that were heard are waited for: one that speaks but does
/// not tell its claims must not keep the others silent for good.
const CLAIMS: Duration = Duration::from_secs(3);

/// After its link has returned, a node calls those who are no members (any more) this often: what it heard last may
/// be that they count it as dead, and it them.
const CALLS: Duration = Duration::from_millis(150);

/// Where the node stands.
#[derive(Clone, Debug)]
pub(super) struct Start {
    delay: Duration,
    state: State,
    /// Listening because a turn came late.
    again: bool,
    /// Listening because the only link is there again: when the absent are called next.
    call_at: Option<Instant>,
    /// When the rule is to be looked at though nothing is heard.
    look_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It is not known where members may be, or there is no key to speak with.
    Waiting,
    /// Listening since then; the first member was heard at.
    Listening {
        since: Instant,
        heard: Option<Instant>,
    },
    Settled,
}

impl Start {
    pub(super) fn new(delay: Duration, membership: bool) -> Self {
        let state = if membership {
            State::Waiting
        } else {
            State::Settled
        };
        Self {
            delay,
            state,
            again: false,
            call_at: None,
            look_at: None,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.state == State::Settled
    }

    /// A member was heard: a datagram that opened and was of use.
    pub(super) fn heard(&mut self, now: Instant) {
        if let State::Listening {
            since,
            heard: heard @ None,
        } = &mut self.state
            && (!self.again || now >= *since + DRAIN)
        {
            *heard = Some(now);
        }
    }

    /// The turn came late: listen again.
    pub(super) fn again(&mut self, now: Instant) {
        self.again = true;
        self.call_at = None;
        self.look_at = Some(now);
        self.state = State::Listening {
            since: now,
            heard: None,
        };
    }

    /// The only link is there again: the others may have taken over meanwhile, and are called at this moment.
    pub(super) fn listen(&mut self, now: Instant) {
        self.again = false;
        self.call_at = Some(now + CALLS);
        self.look_at = Some(now);
        self.state = State::Listening {
            since: now,
            heard: None,
        };
    }

    /// Whether those who are absent are to be called now.
    pub(super) fn calls(&mut self, now: Instant) -> bool {
        let due = self.call_at.is_some_and(|at| at <= now);
        if due {
            self.call_at = (!self.is_settled()).then_some(now + CALLS);
        }
        due && !self.is_settled()
    }

    /// Looks at the time and the members; true when a late turn is made good by it.
    pub(super) fn turn(
        &mut self,
        membership: Option<&Membership>,
        peers: Option<&BTreeSet<SocketAddr>>,
        now: Instant,
    ) -> bool {
        let (Some(membership), Some(peers)) = (membership, peers) else {
            return false;
        };
        if self.state == State::Waiting && membership.standing() != Standing::NoKey {
            self.state = State::Listening {
                since: now,
                heard: None,
            };
        }
        let State::Listening { since, heard } = self.state else {
            return false;
        };
        // One of the peers is this node itself, where discovery lists it.
        let all_heard =
            membership.members().len() + 1 >= peers.len() && !membership.members().is_empty();
        let at = match heard {
            Some(_) if !membership.claims_known() => since + CLAIMS,
            // What was heard may be no more than that they count this node as dead.
            Some(_) if self.call_at.is_some() && membership.members().is_empty() => {
                since + self.delay
            }
            Some(_) if self.again || all_heard => now,
            Some(heard) => (heard + OTHERS).min(since + self.delay),
            // Members that were there may have taken over what this node held.
            None if self.again && !membership.members().is_empty() => since + CLAIMS,
            None => since + self.delay,
        };
        if now < at {
            self.look_at = Some(at);
            return false;
        }
        self.state = State::Settled;
        self.look_at = None;
        std::mem::take(&mut self.again)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.look_at, self.call_at].into_iter().flatten().min()
    }
}

/// Datagrams that were dropped: a datagram that leaves this as it was came from a member.
pub(super) fn judged(membership: &Membership) -> u64 {
    let counters = membership.counters();
    DropReason::ALL
        .iter()
        .map(|reason| counters.dropped(*reason))
        .sum()
}
