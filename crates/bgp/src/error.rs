//! What can go wrong while messages are encoded and decoded.
//!
//! A decode error carries the NOTIFICATION it implies; the milder treatments of RFC 7606 are no errors but
//! [`Malformed`] remarks on an accepted UPDATE. Errors of the state machine are not here.

use std::fmt;

use thiserror::Error;

use crate::message::Notification;

/// LIMIT: octets of an offending message kept for display; enough to see what was wrong, too few to matter in memory.
pub const BAD_MESSAGE_OCTETS_MAX: usize = 512;

/// A message that ends the connection. The decoder yields nothing after it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text())]
pub struct DecodeError {
    /// What the peer is told before the connection is closed. `None`: close without a word, because a NOTIFICATION is
    /// never answered with one (RFC 4271 §6.4).
    pub notification: Option<Notification>,
    /// The first [`BAD_MESSAGE_OCTETS_MAX`] octets of the message as far as it was received.
    pub message: Vec<u8>,
}

impl DecodeError {
    fn text(&self) -> String {
        match &self.notification {
            Some(notification) => format!("bad message, answered with {notification}"),
            None => "NOTIFICATION too short to be read".to_owned(),
        }
    }
}

/// A value that does not fit a message. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The message would exceed the limit of the session even with one prefix: too many attributes.
    #[error("message of {octets} octets exceeds the limit of {limit}")]
    TooLong {
        /// What it would take.
        octets: usize,
        /// What the session allows.
        limit: usize,
    },
    /// An IPv6 prefix with an IPv4 next hop, or prefixes of the other family.
    #[error("prefix and next hop do not belong together")]
    Family,
}

/// Why an attribute or a whole UPDATE was not taken as it stands (RFC 7606).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Optional or transitive bit is not what the attribute demands.
    Flags,
    /// Length is impossible for the attribute.
    Length,
    /// Value is outside the attribute's range.
    Value,
    /// A mandatory attribute is absent.
    Missing,
    /// The attribute is there a second time.
    Duplicate,
    /// The attribute, or its header, runs over the end of the attributes.
    Overrun,
    /// The attribute does not belong on this kind of session.
    Unexpected,
    /// Confederation segments, which are not supported.
    Confederation,
    /// An address family that was not negotiated.
    Family,
}

/// What was wrong with one attribute, for counters and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Malformed {
    /// Type code of the attribute, 0 where there was none.
    pub attribute: u8,
    /// What was wrong.
    pub fault: Fault,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Flags => "wrong flags",
            Fault::Length => "impossible length",
            Fault::Value => "impossible value",
            Fault::Missing => "missing",
            Fault::Duplicate => "present twice",
            Fault::Overrun => "runs over the end",
            Fault::Unexpected => "does not belong on this session",
            Fault::Confederation => "confederations are not supported",
            Fault::Family => "address family not negotiated",
        };
        match crate::message::attributes::name(self.attribute) {
            Some(name) => write!(f, "{name}: {what}"),
            None => write!(f, "attribute {}: {what}", self.attribute),
        }
    }
}
