//! UPDATE: an owned value, and the tight packing of what we send (RFC 4271 §4.3, RFC 4760, RFC 8950).
//!
//! One message carries one kind only (BGP-84): [`encode_announcement`] and [`encode_withdrawal`] fill one message with
//! as many prefixes as fit and say how many, so that bytes are made one message at a time from the newest state.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::attributes::{code, flag};
use super::{Attributes, Family, HEADER_LEN, WireRules, begin, finish, kind, prefix, put_u16};
use crate::error::EncodeError;

/// Where a router sends packets for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, and the link-local one of the same interface where the peer is on the link (RFC 2545 §3).
    V6 {
        /// The global address; without one, the link-local address again (BGP-89).
        global: Ipv6Addr,
        /// The link-local address.
        link_local: Option<Ipv6Addr>,
    },
}

/// An UPDATE of one kind (BGP-84): for tests, simulated routers and others who keep routes. Announcing uses
/// [`encode_announcement`]; what a peer sends is a [`crate::decode::UpdateView`], which may hold several of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Prefixes of one family that share next hop and attributes; at least one.
    Announced {
        /// The prefixes.
        prefixes: Vec<IpNetwork>,
        /// Their next hop: IPv6 for IPv6 prefixes, either for IPv4 (RFC 8950).
        next_hop: NextHop,
        /// Their attributes.
        attributes: Attributes,
    },
    /// Prefixes of one family that are gone; at least one.
    Withdrawn(Vec<IpNetwork>),
    /// The first full announcement of the family is over (RFC 4724 §2).
    EndOfRib(Family),
}

impl Update {
    /// Appends the message.
    ///
    /// # Errors
    /// When it does not fit, or families do not belong together; `out` is then as before.
    pub fn encode(&self, rules: &WireRules, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let (wanted, written) = match self {
            Update::Announced {
                prefixes,
                next_hop,
                attributes,
            } => {
                let written = encode_announcement(
                    rules,
                    *next_hop,
                    attributes,
                    prefixes.iter().copied(),
                    out,
                )?;
                (prefixes, written)
            }
            Update::Withdrawn(prefixes) => (
                prefixes,
                encode_withdrawal(rules, prefixes.iter().copied(), out),
            ),
            Update::EndOfRib(family) => {
                encode_end_of_rib(*family, out);
                return Ok(());
            }
        };
        let Some(left) = wanted.get(written).filter(|_| written < wanted.len()) else {
            return Ok(());
        };
        out.truncate(before);
        let one_family = wanted
            .first()
            .is_some_and(|first| Family::of(first) == Family::of(left));
        let octets = wanted.iter().map(prefix::encoded_len).sum::<usize>() + HEADER_LEN;
        Err(if one_family {
            EncodeError::TooLong {
                octets,
                limit: rules.send_len_max(),
            }
        } else {
            EncodeError::Family
        })
    }
}

/// Appends one UPDATE that announces as many of `prefixes` as fit, from the first on, and answers how many those
/// were: the caller goes on with the rest in the next message. Stops before a prefix of another family than the
/// first's. Nothing is written for no prefixes.
///
/// IPv4 with an IPv4 next hop uses the classic fields, everything else MP_REACH.
///
/// # Errors
/// When not even one prefix fits beside the attributes, or the next hop cannot be of the family; nothing is written.
pub fn encode_announcement(
    rules: &WireRules,
    next_hop: NextHop,
    attributes: &Attributes,
    prefixes: impl IntoIterator<Item = IpNetwork>,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    let mut prefixes = prefixes.into_iter().peekable();
    let Some(first) = prefixes.peek().copied() else {
        return Ok(0);
    };
    let start = begin(kind::UPDATE, out);
    let end = start + rules.send_len_max();
    out.extend_from_slice(&[0; 4]);
    let attributes_at = out.len();
    let written = match (Family::of(&first), next_hop) {
        (Family::Ipv4, NextHop::V4(address)) => {
            attributes.encode(rules, Some(address), out);
            let length = out.len() - attributes_at;
            let written = fill(Family::Ipv4, &mut prefixes, end, out);
            set_attributes_len(attributes_at, length, out);
            written
        }
        (family, NextHop::V6 { global, link_local }) => {
            // The prefixes stand in the first attribute, so what follows must be known before they are counted.
            let mut others = Vec::new();
            attributes.encode(rules, None, &mut others);
            let end = end.saturating_sub(others.len());
            let written = mp_attribute(code::MP_REACH, family, out, |out| {
                next_hop_octets(global, link_local, out);
                fill(family, &mut prefixes, end, out)
            });
            out.extend_from_slice(&others);
            set_attributes_len(attributes_at, out.len() - attributes_at, out);
            written
        }
        (Family::Ipv6, NextHop::V4(_)) => {
            out.truncate(start);
            return Err(EncodeError::Family);
        }
    };
    if written == 0 {
        let octets = out.len() - start + prefix::encoded_len(&first);
        out.truncate(start);
        return Err(EncodeError::TooLong {
            octets,
            limit: rules.send_len_max(),
        });
    }
    finish(start, out);
    Ok(written)
}

/// Appends one UPDATE that withdraws as many of `prefixes` as fit and answers how many; as
/// [`encode_announcement`] otherwise. IPv4 uses the classic field, also where its routes have IPv6 next hops.
pub fn encode_withdrawal(
    rules: &WireRules,
    prefixes: impl IntoIterator<Item = IpNetwork>,
    out: &mut Vec<u8>,
) -> usize {
    let mut prefixes = prefixes.into_iter().peekable();
    let Some(family) = prefixes.peek().map(Family::of) else {
        return 0;
    };
    let start = begin(kind::UPDATE, out);
    let end = start + rules.send_len_max();
    let at = out.len();
    let written = match family {
        Family::Ipv4 => {
            out.extend_from_slice(&[0; 2]);
            // The length of the attributes follows.
            let written = fill(family, &mut prefixes, end - 2, out);
            let length = out.len() - at - 2;
            out.extend_from_slice(&[0; 2]);
            set_attributes_len(at + 2, length, out);
            written
        }
        Family::Ipv6 => {
            out.extend_from_slice(&[0; 4]);
            let written = mp_attribute(code::MP_UNREACH, family, out, |out| {
                fill(family, &mut prefixes, end, out)
            });
            set_attributes_len(at + 4, out.len() - at - 4, out);
            written
        }
    };
    finish(start, out);
    written
}

/// Appends the End-of-RIB of a family: an empty UPDATE for IPv4, an empty MP_UNREACH for IPv6 (RFC 4724 §2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    let start = begin(kind::UPDATE, out);
    out.extend_from_slice(&[0; 4]);
    if family == Family::Ipv6 {
        let at = out.len();
        mp_attribute(code::MP_UNREACH, family, out, |_| 0);
        set_attributes_len(at, out.len() - at, out);
    }
    finish(start, out);
}

/// Appends prefixes while they are of the family and end before `end`.
fn fill(
    family: Family,
    prefixes: &mut std::iter::Peekable<impl Iterator<Item = IpNetwork>>,
    end: usize,
    out: &mut Vec<u8>,
) -> usize {
    let mut written = 0;
    while let Some(next) = prefixes
        .next_if(|next| Family::of(next) == family && out.len() + prefix::encoded_len(next) <= end)
    {
        prefix::encode(&next, out);
        written += 1;
    }
    written
}

/// Appends MP_REACH or MP_UNREACH with what `value` adds after the family. The header is the long one while the value
/// grows, so the bound of `value` holds in either form.
fn mp_attribute(
    code: u8,
    family: Family,
    out: &mut Vec<u8>,
    value: impl FnOnce(&mut Vec<u8>) -> usize,
) -> usize {
    let start = out.len();
    let [a, b] = family.afi_safi().afi.to_be_bytes();
    out.extend_from_slice(&[
        flag::OPTIONAL | flag::EXTENDED_LENGTH,
        code,
        0,
        0,
        a,
        b,
        family.afi_safi().safi,
    ]);
    let answer = value(out);
    let length = out.len() - start - 4;
    match u8::try_from(length) {
        Ok(short) => {
            out.remove(start + 3);
            out[start] = flag::OPTIONAL;
            out[start + 2] = short;
        }
        Err(_) => put_u16(out, start + 2, u16::try_from(length).unwrap_or(u16::MAX)),
    }
    answer
}

fn next_hop_octets(global: Ipv6Addr, link_local: Option<Ipv6Addr>, out: &mut Vec<u8>) {
    out.push(if link_local.is_some() { 32 } else { 16 });
    out.extend_from_slice(&global.octets());
    if let Some(link_local) = link_local {
        out.extend_from_slice(&link_local.octets());
    }
    // RFC 4760 §3: reserved.
    out.push(0);
}

/// Writes the two octets before `at`. A length that does not fit belongs to a message that is refused for its own
/// length.
fn set_attributes_len(at: usize, length: usize, out: &mut [u8]) {
    put_u16(out, at - 2, u16::try_from(length).unwrap_or(u16::MAX));
}

#[cfg(test)]
mod tests;
