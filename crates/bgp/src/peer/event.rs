//! What a peer asks for and tells, and what BFD tells it.

use std::time::Duration;

use ipnetwork::IpNetwork;

use super::connection::ConnId;
use super::negotiate::Negotiated;
use super::reason::Reason;
use crate::message::Family;

/// Something to do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection to the peer; told by [`super::Peer::handle_connected`] or [`super::Peer::handle_connect_failed`].
    Connect(ConnId),
    /// Close this one; nothing is told of it any more.
    Close(ConnId, Close),
}

/// How to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Everything was handed out: send it, half-close, and close when the peer has, after a second at the latest.
    Finish,
    /// At once; what is unsent is lost.
    Abort,
}

/// A fact worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// The session is up.
    Established(Box<Negotiated>),
    /// It is not any more.
    Down {
        /// Why.
        reason: Reason,
        /// For how long it was.
        uptime: Duration,
    },
    /// An attempt at a session failed.
    Failed {
        /// Why.
        reason: Reason,
        /// How often in a row it was this very reason, from 1 on: worth a line the first time (BGP-136).
        times: u32,
    },
    /// Something the user should hear of.
    Note(Note),
    /// A drain or a stop is over: nothing is left to do.
    Stopped,
}

/// Something the user should hear of, while the session goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The peer announces a prefix that covers one of ours (BGP-129). Told once per session.
    PeerAnnouncesOurPrefix {
        /// What it announced.
        received: IpNetwork,
        /// What we announce.
        ours: IpNetwork,
    },
    /// Prefixes of a negotiated family are withheld: no next hop for them is known (BGP-87).
    NoNextHopForFamily(Family),
    /// The third session in ten minutes was closed by BFD (BGP-132).
    BfdFlapping,
    /// The peer refused our OPEN; the next one offers less (BGP-53).
    OfferReduced,
    /// The peer sent confederation segments, which are not supported (BGP-115). Told once per session.
    Confederation,
}

/// What BFD says of the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bfd {
    /// Not watched, or never came up yet.
    #[default]
    Unknown,
    /// The path is good.
    Up,
    /// It was up and is not any more.
    Down,
    /// The peer has turned BFD off.
    AdminDown,
}
