//! BGP messages as values, and their bytes (RFC 4271 §4).
//!
//! Owns the header, the limits and [`WireRules`]; each message has a module of its own. Reading what a peer sent is
//! [`crate::decode`]'s; deciding what to send is the machine's.

pub mod as_path;
pub mod attributes;
pub mod capability;
pub mod community;
pub mod family;
pub mod notification;
pub mod open;
pub mod prefix;
pub mod refresh;
pub mod update;

pub use as_path::{AsPath, Asn, Segment, SegmentKind};
pub use attributes::{Aggregator, Attributes, Origin};
pub use capability::{Capabilities, ExtendedNextHop, Fqdn, GracefulRestart};
pub use community::{Community, ExtendedCommunity, LargeCommunity};
pub use family::{AfiSafi, Families, Family};
pub use notification::{
    Cease, ErrorCode, FsmError, HeaderError, Notification, OpenError, RefreshError, UpdateError,
};
pub use open::{Expected, ExpectedAsn, Open};
pub use refresh::{RefreshKind, RouteRefresh};
pub use update::{NextHop, Update, encode_announcement, encode_end_of_rib, encode_withdrawal};

use crate::error::EncodeError;

/// Octets of marker, length and type (RFC 4271 §4.1).
pub const HEADER_LEN: usize = 19;
/// LIMIT: octets of any message without extended messages (RFC 4271 §4.1).
pub const MESSAGE_LEN_MAX: usize = 4_096;
/// LIMIT: octets of UPDATE, NOTIFICATION and ROUTE-REFRESH with extended messages (RFC 8654 §4).
pub const EXTENDED_LEN_MAX: usize = 65_535;

/// Type octets of the messages.
pub mod kind {
    /// OPEN.
    pub const OPEN: u8 = 1;
    /// UPDATE.
    pub const UPDATE: u8 = 2;
    /// NOTIFICATION.
    pub const NOTIFICATION: u8 = 3;
    /// KEEPALIVE.
    pub const KEEPALIVE: u8 = 4;
    /// ROUTE-REFRESH (RFC 2918).
    pub const ROUTE_REFRESH: u8 = 5;
}

/// What of a session's negotiation decides about bytes. The default is what holds before both OPENs are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireRules {
    /// We offered extended messages, so the peer may send them (RFC 8654 §4).
    pub extended_in: bool,
    /// The peer offered extended messages, so we may send them.
    pub extended_out: bool,
    /// Both sides offered 4-octet AS numbers (RFC 6793).
    pub four_octet_as: bool,
    /// The peer's AS is ours (iBGP).
    pub internal: bool,
    /// Families both sides offered.
    pub families: Families,
    /// IPv4 unicast with an IPv6 next hop is in force (RFC 8950).
    pub extended_next_hop: bool,
    /// Both sides offered enhanced route refresh (RFC 7313).
    pub enhanced_refresh: bool,
}

impl WireRules {
    /// Octets of the longest UPDATE, NOTIFICATION or ROUTE-REFRESH that may be sent.
    #[must_use]
    pub fn send_len_max(&self) -> usize {
        if self.extended_out {
            EXTENDED_LEN_MAX
        } else {
            MESSAGE_LEN_MAX
        }
    }

    /// Octets of the longest UPDATE, NOTIFICATION or ROUTE-REFRESH that is accepted.
    #[must_use]
    pub fn receive_len_max(&self) -> usize {
        if self.extended_in {
            EXTENDED_LEN_MAX
        } else {
            MESSAGE_LEN_MAX
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// First message of each side.
    Open(Open),
    /// Routes.
    Update(Update),
    /// The last message of a connection.
    Notification(Notification),
    /// Nothing new.
    Keepalive,
    /// A wish to hear a family again, or the bracket around the answer (RFC 7313).
    RouteRefresh(RouteRefresh),
}

impl Message {
    /// Appends the message's bytes.
    ///
    /// # Errors
    /// [`EncodeError`] for an UPDATE that does not fit; `out` is then as before. The other messages always fit: the
    /// data of a NOTIFICATION is cut.
    pub fn encode(&self, rules: &WireRules, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Message::Open(open) => open.encode(out),
            Message::Update(update) => return update.encode(rules, out),
            Message::Notification(notification) => notification.encode(rules, out),
            Message::Keepalive => encode_keepalive(out),
            Message::RouteRefresh(refresh) => refresh.encode(out),
        }
        Ok(())
    }
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let start = begin(kind::KEEPALIVE, out);
    finish(start, out);
}

/// Appends a header whose length is not known yet; answers where the message starts.
pub(crate) fn begin(kind: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0, 0, kind]);
    start
}

/// Writes the length of the message that began at `start`.
pub(crate) fn finish(start: usize, out: &mut [u8]) {
    let length = u16::try_from(out.len() - start).expect("callers keep to the limit of a message");
    put_u16(out, start + 16, length);
}

/// Overwrites two octets that were written before.
pub(crate) fn put_u16(out: &mut [u8], at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
