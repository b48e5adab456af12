//! Which of two connections to one peer stays. RFC 4271 §6.8, RFC 6286 §2.3.
//!
//! A pure comparison; who calls it, and when, is the peer's business. A connection that is Established is never
//! compared (BGP-06), nor is one on which no OPEN was received.

/// Who opened a connection, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// We dialled.
    Outgoing,
    /// The peer dialled.
    Incoming,
}

impl Direction {
    /// The other one.
    pub const fn other(self) -> Direction {
        match self {
            Direction::Outgoing => Direction::Incoming,
            Direction::Incoming => Direction::Outgoing,
        }
    }
}

/// What a side is known by in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The BGP identifier as an unsigned number in host order.
    pub identifier: u32,
    /// The AS number of its OPEN.
    pub asn: u32,
}

/// The connection that stays: the one opened by the side with the higher identifier, by the higher AS number where
/// the identifiers are equal. Both sides come to the same answer. With both equal (which an OPEN on iBGP is refused
/// for, BGP-27) the peer's connection stays.
pub fn survivor(ours: Side, theirs: Side) -> Direction {
    if (ours.identifier, ours.asn) > (theirs.identifier, theirs.asn) {
        Direction::Outgoing
    } else {
        Direction::Incoming
    }
}
