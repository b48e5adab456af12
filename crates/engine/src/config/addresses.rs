//! Ranges of addresses as pools write them: CIDRs and `start-end`.
//!
//! Owns the syntax (compat/metallb.md 2.1) and the arithmetic over addresses.

use crate::world::Family;
use ipnetwork::IpNetwork;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// Why an entry of `spec.addresses` is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRangeError {
    /// Neither a CIDR nor a range.
    #[error("{0:?} is neither a CIDR nor a range start-end")]
    Syntax(String),
    /// An address without a mask.
    #[error("{0:?} is a bare address: write a mask (/32 or /128) or a range")]
    Bare(String),
    /// One end is IPv4, the other IPv6.
    #[error("{0:?} mixes IPv4 and IPv6")]
    MixedFamilies(String),
    /// The start is after the end.
    #[error("{0:?} starts after its end")]
    StartAfterEnd(String),
}

impl AddressRange {
    /// Parses an entry. Host bits of a CIDR are masked off; spaces around the dash are
    /// allowed.
    pub fn parse(text: &str) -> Result<Self, ParseRangeError> {
        let syntax = || ParseRangeError::Syntax(text.to_owned());
        if text.contains('/') {
            let (address, length) = text.split_once('/').ok_or_else(syntax)?;
            // As the server's isCIDR: digits without leading zeros, no dotted mask.
            let digits = length.bytes().all(|b| b.is_ascii_digit());
            if !digits || (length.len() > 1 && length.starts_with('0')) {
                return Err(syntax());
            }
            let address = parse_address(address).ok_or_else(syntax)?;
            let length: u8 = length.parse().map_err(|_| syntax())?;
            let network = IpNetwork::new(address, length).map_err(|_| syntax())?;
            return Ok(Self {
                first: network.network(),
                last: network.broadcast(),
            });
        }
        let Some((first, last)) = text.split_once('-') else {
            return Err(match text.trim().parse::<IpAddr>() {
                Ok(_) => ParseRangeError::Bare(text.to_owned()),
                Err(_) => syntax(),
            });
        };
        let first = parse_address(first.trim()).ok_or_else(syntax)?;
        let last = parse_address(last.trim()).ok_or_else(syntax)?;
        if Family::of(first) != Family::of(last) {
            return Err(ParseRangeError::MixedFamilies(text.to_owned()));
        }
        if first > last {
            return Err(ParseRangeError::StartAfterEnd(text.to_owned()));
        }
        Ok(Self { first, last })
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// The family of both ends.
    pub fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// Whether an address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        // IpAddr orders IPv4 before IPv6, so a range never spans families.
        self.first <= address && address <= self.last
    }

    /// Whether two ranges share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// How many addresses; saturates (`::/0` holds 2^128).
    pub fn size(&self) -> u128 {
        (bits(self.last) - bits(self.first)).saturating_add(1)
    }

    /// How many of them end in .0 or .255; none in IPv6.
    pub(crate) fn buggy(&self) -> u128 {
        if self.family() == Family::V6 {
            return 0;
        }
        let (first, last) = (bits(self.first), bits(self.last));
        // Addresses below n that end in `rest`: (n + 255 - rest) / 256.
        let below = |n: u128, rest: u128| (n + 255 - rest) / 256;
        let ending = |rest| below(last + 1, rest) - below(first, rest);
        ending(0) + ending(255)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// DIFFERS: IPv4 in IPv6 (`::ffff:192.0.2.1`), which Go reads as IPv4, is refused, as our
/// CEL rule does: nobody can tell what was meant.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    (!mapped).then_some(address)
}

/// An address as a number; the family is lost.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The way back; IPv4 takes the low 32 bits.
pub(crate) fn address_of(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => {
            let low = u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(u32::MAX);
            IpAddr::V4(Ipv4Addr::from_bits(low))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// IPv4 addresses that some old routers take for network or broadcast addresses
/// (`avoidBuggyIPs`).
pub(crate) fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets()[3], 0 | 255),
        IpAddr::V6(_) => false,
    }
}
