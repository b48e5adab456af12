//! Prefixes as they stand in UPDATEs: a length octet and as many octets as it takes (RFC 4271 §4.3).

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::Family;

/// Octets a prefix takes.
#[must_use]
pub fn encoded_len(prefix: &IpNetwork) -> usize {
    1 + usize::from(prefix.prefix()).div_ceil(8)
}

/// Appends a prefix; bits beyond its length are written as zero.
pub fn encode(prefix: &IpNetwork, out: &mut Vec<u8>) {
    out.push(prefix.prefix());
    let octets = usize::from(prefix.prefix()).div_ceil(8);
    match prefix {
        IpNetwork::V4(network) => out.extend_from_slice(&network.network().octets()[..octets]),
        IpNetwork::V6(network) => out.extend_from_slice(&network.network().octets()[..octets]),
    }
}

/// Counts the prefixes of a field.
///
/// # Errors
/// When one is longer than its family allows, or truncated.
#[inline]
pub fn count(mut field: &[u8], family: Family) -> Result<u32, Malformed> {
    let max = bits_max(family);
    let mut count = 0;
    while let [bits, tail @ ..] = field {
        if *bits > max {
            return Err(Malformed);
        }
        field = tail
            .get(usize::from(*bits).div_ceil(8)..)
            .ok_or(Malformed)?;
        count += 1;
    }
    Ok(count)
}

/// A field of prefixes that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The prefixes of a field, one after the other; ends where the field cannot be read. Bits beyond the length are
/// cleared (BGP-126).
#[derive(Clone, Debug)]
pub struct Prefixes<'a> {
    rest: &'a [u8],
    family: Family,
}

impl<'a> Prefixes<'a> {
    /// The prefixes of `field`.
    #[must_use]
    pub fn new(field: &'a [u8], family: Family) -> Prefixes<'a> {
        Prefixes {
            rest: field,
            family,
        }
    }
}

impl Iterator for Prefixes<'_> {
    type Item = IpNetwork;

    fn next(&mut self) -> Option<IpNetwork> {
        let (bits, tail) = self.rest.split_first()?;
        if *bits > bits_max(self.family) {
            self.rest = &[];
            return None;
        }
        let Some((octets, tail)) = tail.split_at_checked(usize::from(*bits).div_ceil(8)) else {
            self.rest = &[];
            return None;
        };
        self.rest = tail;
        let mut whole = [0; 16];
        for (to, from) in whole.iter_mut().zip(octets) {
            *to = *from;
        }
        match self.family {
            Family::Ipv4 => {
                let [a, b, c, d, ..] = whole;
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                let address = Ipv4Addr::from_bits(u32::from_be_bytes([a, b, c, d]) & mask);
                Ipv4Network::new(address, *bits).ok().map(IpNetwork::V4)
            }
            Family::Ipv6 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                let address = Ipv6Addr::from_bits(u128::from_be_bytes(whole) & mask);
                Ipv6Network::new(address, *bits).ok().map(IpNetwork::V6)
            }
        }
    }
}

fn bits_max(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

#[cfg(test)]
mod tests;
