//! What a peer looks like from outside: one value for statuses, metrics and "show bgp summary" (BGP-78).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::collision::Direction;
use super::fsm::State;
use super::negotiate::{Negotiated, Offer};
use super::reason::{Obstacle, Reason};
use super::timers::Timer;
use super::{Bfd, Peer};
use crate::config::ConfigNote;
use crate::message::Asn;
use crate::message::notification::hex;

/// What last went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: Instant,
    /// Why; its words are its `Display`.
    pub reason: Reason,
    /// How often in a row.
    pub times: u32,
    /// The first octets of the last message that was wrong, of this error or of one before it.
    pub bad_message: Vec<u8>,
}

impl LastError {
    /// The last bad message in hex; empty when there was none.
    #[must_use]
    pub fn bad_message_hex(&self) -> String {
        hex(&self.bad_message)
    }
}

/// A peer at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The state of the connection that is furthest.
    pub state: State,
    /// Since when it is in that state.
    pub since: Instant,
    /// Since when it is Established.
    pub established: Option<Instant>,
    /// Our end of the furthest connection.
    pub local: Option<SocketAddr>,
    /// The peer's end.
    pub remote: Option<SocketAddr>,
    /// Who opened it.
    pub direction: Option<Direction>,
    /// Our AS on the session.
    pub local_asn: Asn,
    /// What holds, from OpenConfirm on.
    pub negotiated: Option<Negotiated>,
    /// Capability codes we offered on that connection.
    pub offered: BTreeSet<u8>,
    /// What is left out of our OPEN, because the peer refused it.
    pub offer: Offer,
    /// Prefixes that are wanted.
    pub routes_wanted: usize,
    /// Prefixes that the peer was told of.
    pub routes_sent: usize,
    /// Prefixes that wait to be announced or withdrawn.
    pub routes_pending: usize,
    /// Prefixes withheld: their family is not agreed on or has no next hop.
    pub routes_withheld: usize,
    /// Prefixes that did not fit a message with their attributes: none, as long as the limits of routes hold.
    pub routes_unsendable: u64,
    /// End-of-RIB of every family is out.
    pub announced_all: bool,
    /// What is missing on this node.
    pub obstacle: Option<Obstacle>,
    /// What BFD says.
    pub bfd: Bfd,
    /// What last went wrong.
    pub last_error: Option<LastError>,
    /// When the next attempt is made, while none is.
    pub next_attempt: Option<Instant>,
    /// The node is being drained, or the process stops.
    pub leaving: bool,
    /// Remarks on the configuration.
    pub notes: BTreeSet<ConfigNote>,
}

impl Peer {
    /// The peer as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        let slot = if self.incoming.state > self.outgoing.state {
            &self.incoming
        } else {
            &self.outgoing
        };
        let connection = slot.connection.as_ref();
        let outbound = connection.and_then(|connection| connection.outbound.as_ref());
        let ends = connection.and_then(|connection| connection.ends);
        let waits = [Timer::IdleHold, Timer::BfdWait, Timer::ConnectRetry];
        let next_attempt = waits
            .into_iter()
            .filter_map(|timer| self.timers.get(timer))
            .max();
        View {
            state: slot.state,
            since: self.since,
            established: connection.and_then(|connection| connection.established),
            local: ends.map(|ends| ends.local),
            remote: ends.map(|ends| ends.remote),
            direction: ends.and(connection.map(|connection| connection.direction)),
            local_asn: self.config.local_asn(),
            negotiated: connection.and_then(|connection| connection.negotiated.clone()),
            offered: connection
                .and_then(|connection| connection.ours.as_ref())
                .map(|open| open.capabilities.codes())
                .unwrap_or_default(),
            offer: self.offer.clone(),
            routes_wanted: self.wanted.as_ref().map_or(0, |wanted| wanted.len()),
            routes_sent: outbound.map_or(0, |outbound| outbound.sent_len()),
            routes_pending: outbound.map_or(0, |outbound| outbound.pending()),
            routes_withheld: outbound.map_or(0, |outbound| outbound.withheld()),
            routes_unsendable: outbound.map_or(0, |outbound| outbound.unsendable()),
            announced_all: outbound.is_some_and(|outbound| outbound.is_complete()),
            obstacle: self.obstacle,
            bfd: self.bfd,
            last_error: self.last_error.clone(),
            next_attempt: next_attempt
                .filter(|_| matches!(slot.state, State::Idle | State::Active)),
            leaving: self.phase != super::closing::Phase::Running,
            notes: self.config.notes().clone(),
        }
    }
}
