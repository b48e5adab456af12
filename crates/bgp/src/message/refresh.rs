//! ROUTE-REFRESH (RFC 2918) and its enhanced form (RFC 7313).

use super::{AfiSafi, begin, finish, kind};

/// Subtype of a ROUTE-REFRESH (RFC 7313 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshKind {
    /// 0: send the family again.
    Request,
    /// 1: what follows is the whole family again.
    Begin,
    /// 2: that was the whole family.
    End,
    /// Anything else; ignored by a receiver.
    Other(u8),
}

impl RefreshKind {
    /// The subtype's octet.
    #[must_use]
    pub fn value(self) -> u8 {
        match self {
            RefreshKind::Request => 0,
            RefreshKind::Begin => 1,
            RefreshKind::End => 2,
            RefreshKind::Other(value) => value,
        }
    }

    /// The subtype of an octet.
    #[must_use]
    pub fn from_value(value: u8) -> RefreshKind {
        match value {
            0 => RefreshKind::Request,
            1 => RefreshKind::Begin,
            2 => RefreshKind::End,
            other => RefreshKind::Other(other),
        }
    }
}

/// A ROUTE-REFRESH. Outbound route filters behind it are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family, negotiated or not.
    pub family: AfiSafi,
    /// What is asked or told.
    pub kind: RefreshKind,
}

impl RouteRefresh {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(kind::ROUTE_REFRESH, out);
        out.extend_from_slice(&self.family.afi.to_be_bytes());
        out.extend_from_slice(&[self.kind.value(), self.family.safi]);
        finish(start, out);
    }

    /// Reads the body of a message; `None` when it is shorter than four octets.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<RouteRefresh> {
        let (&[a, b, subtype, safi], _filters) = body.split_first_chunk()?;
        Some(RouteRefresh {
            family: AfiSafi {
                afi: u16::from_be_bytes([a, b]),
                safi,
            },
            kind: RefreshKind::from_value(subtype),
        })
    }
}
