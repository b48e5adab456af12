//! The smallest cover of an address set by a bounded number of prefixes.
//!
//! Owns the arithmetic for both families, on 128-bit values. Does not know what the cover is for.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

/// A prefix of a family whose addresses are `width` bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// First address, in the low `width` bits.
    pub(super) first: u128,
    /// Length in bits, at most `width`.
    pub(super) length: u8,
    width: u8,
}

impl Prefix {
    fn host_bits(self) -> u32 {
        u32::from(self.width - self.length)
    }

    fn last(self) -> u128 {
        self.first | u128::MAX.checked_shr(128 - self.host_bits()).unwrap_or(0)
    }

    /// One of the four 32-bit words of the first address, most significant first.
    pub(super) fn word(&self, index: usize) -> u32 {
        word(self.first, index)
    }

    /// One of the four 32-bit words of the last address.
    pub(super) fn last_word(&self, index: usize) -> u32 {
        word(self.last(), index)
    }

    pub(super) fn ipv4(&self) -> IpNetwork {
        let address = Ipv4Addr::from(self.word(3));
        IpNetwork::V4(Ipv4Network::new(address, self.length).expect("at most 32 bits"))
    }

    pub(super) fn ipv6(&self) -> IpNetwork {
        IpNetwork::V6(
            Ipv6Network::new(Ipv6Addr::from(self.first), self.length).expect("at most 128 bits"),
        )
    }
}

fn word(value: u128, index: usize) -> u32 {
    (value >> (96 - 32 * index)) as u32
}

/// Covers ascending, distinct addresses of `width` bits by at most `max` sorted, disjoint prefixes: exactly if that is
/// possible, else with the closest neighbours merged.
pub(super) fn cover(addresses: impl Iterator<Item = u128>, width: u8, max: usize) -> Vec<Prefix> {
    let exact = aggregate(addresses, width);
    if exact.len() <= max {
        exact
    } else {
        merge(&exact, width, max)
    }
}

/// Joins halves into wholes; no address is added.
fn aggregate(addresses: impl Iterator<Item = u128>, width: u8) -> Vec<Prefix> {
    let mut stack: Vec<Prefix> = Vec::new();
    for first in addresses {
        let mut top = Prefix {
            first,
            length: width,
            width,
        };
        while let Some(below) = stack.last().copied() {
            let siblings = below.length == top.length
                && top.length > 0
                && below.first ^ top.first == 1u128.checked_shl(top.host_bits()).unwrap_or(0);
            if !siblings {
                break;
            }
            stack.pop();
            top = Prefix {
                first: below.first,
                length: top.length - 1,
                width,
            };
        }
        stack.push(top);
    }
    stack
}

/// Cuts where neighbours have the least in common, `max - 1` times, and covers each piece by its common prefix.
/// The pieces are disjoint: a cut at some depth comes only after all cuts above it.
fn merge(exact: &[Prefix], width: u8, max: usize) -> Vec<Prefix> {
    let mut gaps: Vec<(u8, usize)> = exact
        .windows(2)
        .enumerate()
        .filter_map(|(index, pair)| match pair {
            [a, b] => Some((common(a.first, b.first, width), index)),
            _ => None,
        })
        .collect();
    gaps.sort_unstable();
    let mut cuts: Vec<usize> = gaps
        .iter()
        .take(max.saturating_sub(1))
        .map(|&(_, index)| index + 1)
        .collect();
    cuts.sort_unstable();
    cuts.push(exact.len());
    let mut start = 0;
    let mut pieces = Vec::with_capacity(cuts.len());
    for end in cuts {
        let piece = exact.get(start..end).unwrap_or_default();
        start = end;
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else {
            continue;
        };
        let length = common(first.first, last.last(), width).min(first.length);
        let host_bits = u32::from(width - length);
        let network = first.first & u128::MAX.checked_shl(host_bits).unwrap_or(0);
        pieces.push(Prefix {
            first: network,
            length,
            width,
        });
    }
    pieces
}

/// Leading bits that two values of `width` bits have in common.
fn common(a: u128, b: u128, width: u8) -> u8 {
    let differ = (a ^ b).leading_zeros() as u8;
    differ - (128 - width)
}
