//! Communities (RFC 1997), extended ones (RFC 4360) and large ones (RFC 8092): values, words and octets.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Asn;

/// A text that is no community.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no community: expected A:B, a well-known name, or large:A:B:C")]
pub struct ParseCommunityError(pub String);

/// A community of four octets. Shown as `A:B`; `{:#}` shows the well-known name where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// Graceful shutdown (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Community = Community(0xffff_0000);
    /// Accept own (RFC 7611).
    pub const ACCEPT_OWN: Community = Community(0xffff_0001);
    /// Keep over a long restart (RFC 9494).
    pub const LLGR_STALE: Community = Community(0xffff_0006);
    /// Do not keep over a long restart (RFC 9494).
    pub const NO_LLGR: Community = Community(0xffff_0007);
    /// Blackhole (RFC 7999).
    pub const BLACKHOLE: Community = Community(0xffff_029a);
    /// Not outside the confederation or AS (RFC 1997).
    pub const NO_EXPORT: Community = Community(0xffff_ff01);
    /// To nobody (RFC 1997).
    pub const NO_ADVERTISE: Community = Community(0xffff_ff02);
    /// Not outside the member AS (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Community = Community(0xffff_ff03);
    /// Not to bilateral peers (RFC 3765).
    pub const NO_PEER: Community = Community(0xffff_ff04);

    /// Well-known values and their names, lower case with hyphens.
    pub const WELL_KNOWN: [(Community, &'static str); 9] = [
        (Community::GRACEFUL_SHUTDOWN, "graceful-shutdown"),
        (Community::ACCEPT_OWN, "accept-own"),
        (Community::LLGR_STALE, "llgr-stale"),
        (Community::NO_LLGR, "no-llgr"),
        (Community::BLACKHOLE, "blackhole"),
        (Community::NO_EXPORT, "no-export"),
        (Community::NO_ADVERTISE, "no-advertise"),
        (Community::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
        (Community::NO_PEER, "no-peer"),
    ];

    /// `high:low`.
    #[must_use]
    pub const fn new(high: u16, low: u16) -> Community {
        Community((high as u32) << 16 | low as u32)
    }

    /// The well-known name.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Community::WELL_KNOWN
            .iter()
            .find(|(value, _)| *value == self)
            .map(|(_, name)| *name)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) if f.alternate() => f.write_str(name),
            _ => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Community, ParseCommunityError> {
        if let Some((value, _)) = Community::WELL_KNOWN.iter().find(|(_, name)| *name == text) {
            return Ok(*value);
        }
        let bad = || ParseCommunityError(text.to_owned());
        let (high, low) = text.split_once(':').ok_or_else(bad)?;
        let [high, low] = [high, low].map(decimal::<u16>);
        Ok(Community::new(high.ok_or_else(bad)?, low.ok_or_else(bad)?))
    }
}

/// A large community. Shown and read as `A:B:C`; reading accepts the prefix `large:` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// The AS that gives the others their meaning.
    pub global: u32,
    /// First value.
    pub local_1: u32,
    /// Second value.
    pub local_2: u32,
}

impl LargeCommunity {
    /// On the wire.
    #[must_use]
    pub fn octets(self) -> [u8; 12] {
        let mut octets = [0; 12];
        for (at, value) in octets
            .chunks_exact_mut(4)
            .zip([self.global, self.local_1, self.local_2])
        {
            at.copy_from_slice(&value.to_be_bytes());
        }
        octets
    }

    /// From the wire.
    #[must_use]
    pub fn from_octets(octets: [u8; 12]) -> LargeCommunity {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = octets;
        LargeCommunity {
            global: u32::from_be_bytes([a, b, c, d]),
            local_1: u32::from_be_bytes([e, f, g, h]),
            local_2: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local_1, self.local_2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<LargeCommunity, ParseCommunityError> {
        let bad = || ParseCommunityError(text.to_owned());
        let mut parts = text
            .strip_prefix("large:")
            .unwrap_or(text)
            .split(':')
            .map(decimal::<u32>);
        match [parts.next(), parts.next(), parts.next(), parts.next()] {
            [
                Some(Some(global)),
                Some(Some(local_1)),
                Some(Some(local_2)),
                None,
            ] => Ok(LargeCommunity {
                global,
                local_1,
                local_2,
            }),
            _ => Err(bad()),
        }
    }
}

/// An extended community, as its eight octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// Link bandwidth, non-transitive (draft-ietf-idr-link-bandwidth): octets per second as an IEEE float. The AS
    /// field has two octets: larger numbers become 23456 (BGP-94).
    #[must_use]
    pub fn link_bandwidth(asn: Asn, octets_per_second: f32) -> ExtendedCommunity {
        let [a, b] = asn.two_octets().to_be_bytes();
        let [c, d, e, f] = octets_per_second.to_be_bytes();
        ExtendedCommunity([0x40, 0x04, a, b, c, d, e, f])
    }

    /// AS field and octets per second, if this is a link bandwidth of either transitivity.
    #[must_use]
    pub fn as_link_bandwidth(self) -> Option<(u16, f32)> {
        match self.0 {
            [0x00 | 0x40, 0x04, a, b, c, d, e, f] => {
                Some((u16::from_be_bytes([a, b]), f32::from_be_bytes([c, d, e, f])))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_link_bandwidth() {
            Some((asn, octets)) => write!(f, "lb:{asn}:{octets}"),
            None => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

/// Digits only: neither sign nor space, as the standard's parser would allow.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
