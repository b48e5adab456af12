//! Why a session ended or did not begin, as a value and in words.
//!
//! Owns the words. Texts of a peer are escaped before they get here.

use std::fmt;
use std::time::Duration;

use crate::message::capability;
use crate::message::{AfiSafi, Asn, ErrorCode, Notification, OpenError};

/// How an attempt to connect failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// Nobody answered.
    TimedOut {
        /// The peer is on none of this node's links.
        off_link: bool,
    },
    /// Somebody answered that nobody listens there.
    Refused,
    /// The kernel knows no way there.
    Unreachable,
    /// Anything else, as the kernel says it.
    Other(String),
}

/// How a connection ended that we did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it.
    ByPeer,
    /// The peer reset it.
    Reset,
    /// Anything else, as the kernel says it.
    Other(String),
}

/// What this node lacks for a session. The session is Idle meanwhile and begins as soon as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// The configured source address is on no interface (BGP-12).
    SourceAddressMissing,
    /// The configured interface is not there or is down (BGP-13).
    InterfaceMissing,
    /// The configured VRF's device is not there (BGP-16).
    VrfMissing,
    /// No neighbour was heard on the interface (BGP-14).
    NeighborUnknown,
    /// Two neighbours were heard on the interface (BGP-14).
    AmbiguousNeighbor,
    /// The password's Secret is missing or no good: never an unsigned session in its place (BGP-07).
    PasswordMissing,
}

impl Obstacle {
    /// The name in statuses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Obstacle::SourceAddressMissing => "SourceAddressMissing",
            Obstacle::InterfaceMissing => "InterfaceMissing",
            Obstacle::VrfMissing => "VrfMissing",
            Obstacle::NeighborUnknown => "NeighborUnknown",
            Obstacle::AmbiguousNeighbor => "AmbiguousNeighbor",
            Obstacle::PasswordMissing => "PasswordMissing",
        }
    }
}

/// Why a session ended or did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// TCP did not come up.
    NoConnection {
        /// How it failed.
        failure: ConnectFailure,
        /// A password is configured: a wrong one looks like silence (BGP-08).
        password: bool,
        /// `ebgpMultiHop` is worth a thought (BGP-10).
        multihop_hint: bool,
    },
    /// TCP went away.
    Lost(Closed),
    /// The peer sent a NOTIFICATION.
    PeerSays {
        /// It.
        notification: Notification,
        /// Our AS, for the words about a bad one.
        our_asn: Asn,
    },
    /// The peer's prefix limit cut us (Cease/1).
    PrefixLimit {
        /// Family and limit, where it names them.
        limit: Option<(AfiSafi, u32)>,
        /// What we had announced.
        announced: usize,
    },
    /// The peer's last word was a NOTIFICATION too short to be read.
    ShortNotification,
    /// The peer's AS is not what is configured; told as 2/2.
    WrongAsn {
        /// What its OPEN says.
        theirs: Asn,
        /// What is expected, in words.
        expected: String,
    },
    /// We refused a message, or had another cause to send this.
    WeSay(Notification),
    /// Nothing was heard for the hold time.
    HoldExpired(Duration),
    /// No OPEN came.
    NoOpen,
    /// The peer read nothing for too long (RFC 9687).
    SendHoldExpired,
    /// BFD says that the peer is gone.
    BfdDown {
        /// The diagnostic in words.
        diagnostic: String,
    },
    /// The other connection stays (§6.8).
    Collision,
    /// The peer restarted and opened a new connection (RFC 4724 §4.2).
    Reopened,
    /// Something is missing on this node.
    Obstacle(Obstacle),
    /// Closed without a word: the local address is gone, or a password was replaced in vain. In words.
    Aborted(&'static str),
    /// The configuration changed.
    Reconfigured,
    /// An operator asked for it.
    Reset,
    /// The node was drained.
    Drained,
    /// The process stops.
    Stopped,
    /// The peer was taken out of the configuration.
    Removed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoConnection {
                failure,
                password,
                multihop_hint,
            } => {
                write!(f, "{failure}")?;
                if *password && matches!(failure, ConnectFailure::TimedOut { .. }) {
                    f.write_str("; check password")?;
                }
                if *multihop_hint {
                    f.write_str("; the peer is on no link of this node: is ebgpMultiHop missing?")?;
                }
                Ok(())
            }
            Reason::Lost(Closed::ByPeer) => f.write_str("peer closed the connection"),
            Reason::Lost(Closed::Reset) => f.write_str("peer reset the connection"),
            Reason::Lost(Closed::Other(text)) => write!(f, "connection lost: {text}"),
            Reason::PeerSays {
                notification,
                our_asn,
            } => {
                f.write_str("peer says: ")?;
                peer_says(notification, *our_asn, f)
            }
            Reason::PrefixLimit {
                limit: Some((family, limit)),
                announced,
            } => {
                write!(
                    f,
                    "peer's prefix limit: it allows {limit} of {family}, we announced {announced}"
                )
            }
            Reason::PrefixLimit {
                limit: None,
                announced,
            } => {
                write!(
                    f,
                    "peer's prefix limit: it does not say how many it allows, we announced {announced}"
                )
            }
            Reason::ShortNotification => {
                f.write_str("peer sent a NOTIFICATION that is too short to be read")
            }
            Reason::WrongAsn { theirs, expected } => {
                write!(f, "peer has AS {theirs}, expected is {expected}")
            }
            Reason::WeSay(notification) => write!(f, "closed by us: {notification}"),
            Reason::HoldExpired(hold) => write!(
                f,
                "hold timer expired: nothing heard for {} s",
                hold.as_secs()
            ),
            Reason::NoOpen => f.write_str("peer accepted the connection and sent no OPEN"),
            Reason::SendHoldExpired => f.write_str("send hold timer expired: peer reads nothing"),
            Reason::BfdDown { diagnostic } if diagnostic.is_empty() => f.write_str("BFD down"),
            Reason::BfdDown { diagnostic } => write!(f, "BFD down: {diagnostic}"),
            Reason::Collision => f.write_str("the other connection of a collision stays"),
            Reason::Reopened => f.write_str("peer restarted and opened a new connection"),
            Reason::Obstacle(obstacle) => f.write_str(obstacle.as_str()),
            Reason::Aborted(text) => f.write_str(text),
            Reason::Reconfigured => f.write_str("configuration changed"),
            Reason::Reset => f.write_str("reset by an operator"),
            Reason::Drained => f.write_str("node drained"),
            Reason::Stopped => f.write_str("process stops"),
            Reason::Removed => f.write_str("peer removed from the configuration"),
        }
    }
}

fn peer_says(notification: &Notification, our_asn: Asn, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (notification.error, notification.data.as_slice()) {
        (ErrorCode::Open(OpenError::BadPeerAs), data) => {
            let named = match *data {
                [a, b] => Some(u32::from(u16::from_be_bytes([a, b]))),
                [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
                _ => None,
            };
            // Routers put the AS they refuse into the data; one that is not ours can only be the one they want.
            match named {
                Some(asn) if asn != 0 && asn != our_asn.0 => {
                    write!(f, "bad peer AS, it expects {asn}")
                }
                _ => write!(f, "bad peer AS, it does not expect {our_asn}"),
            }
        }
        (ErrorCode::Open(OpenError::UnsupportedCapability), data @ [_, ..]) => {
            let names: Vec<String> = capability::codes_named(data)
                .into_iter()
                .map(|code| {
                    capability::name(code)
                        .map_or_else(|| format!("capability {code}"), str::to_owned)
                })
                .collect();
            write!(f, "{} ({})", notification.error, names.join(", "))
        }
        _ => write!(f, "{notification}"),
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFailure::TimedOut { .. } => f.write_str("no answer"),
            ConnectFailure::Refused => f.write_str("connection refused"),
            ConnectFailure::Unreachable => f.write_str("no route to the peer"),
            ConnectFailure::Other(text) => write!(f, "cannot connect: {text}"),
        }
    }
}
