//! Router solicitations and advertisements over an ICMPv6 socket: what two routers on a link find each other by
//! (RFC 4861 §4.1, §4.2, §6.1).
//!
//! Owns the octets from the ICMPv6 type on; the kernel writes and checks the checksum. Deliberately makes no default
//! router of us: the lifetime is 0, and there is no prefix.

use std::net::Ipv6Addr;

use crate::MacAddr;

/// ICMPv6 types.
pub const SOLICITATION: u8 = 133;
/// ICMPv6 types.
pub const ADVERTISEMENT: u8 = 134;

/// Octets of an advertisement before its options.
const ADVERTISEMENT_BYTES: usize = 16;
/// Options are counted in eights.
const OPTION_UNIT: usize = 8;
/// Source link-layer address, one unit long.
const SOURCE_LINK_LAYER: [u8; 2] = [1, 1];

/// Why a message is no advertisement of a router on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Another type or code.
    OtherType,
    /// It came through a router: the hop limit is not 255.
    HopLimit,
    /// The source is no link-local address.
    Source,
    /// It is too short, or an option is cut or has no length.
    Cut,
}

/// An advertisement that says: here is a router, and no default one.
pub fn advertisement(mac: Option<MacAddr>) -> Vec<u8> {
    let mut out = vec![0; ADVERTISEMENT_BYTES];
    if let Some(kind) = out.first_mut() {
        *kind = ADVERTISEMENT;
    }
    append_source(&mut out, mac);
    out
}

/// A question for advertisements.
pub fn solicitation(mac: Option<MacAddr>) -> Vec<u8> {
    let mut out = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    append_source(&mut out, mac);
    out
}

fn append_source(out: &mut Vec<u8>, mac: Option<MacAddr>) {
    if let Some(mac) = mac {
        out.extend(SOURCE_LINK_LAYER);
        out.extend(mac.octets());
    }
}

/// Whether a message is an advertisement to be believed (RFC 4861 §6.1.2). Its lifetime is not looked at: a router
/// that wants no hosts is a router.
///
/// # Errors
/// It is not, for this reason.
pub fn check_advertisement(
    octets: &[u8],
    source: Ipv6Addr,
    hop_limit: Option<u8>,
) -> Result<(), Refused> {
    match octets {
        [ADVERTISEMENT, 0, ..] => {}
        _ => return Err(Refused::OtherType),
    }
    if hop_limit != Some(255) {
        return Err(Refused::HopLimit);
    }
    if !source.is_unicast_link_local() {
        return Err(Refused::Source);
    }
    let mut options = octets.get(ADVERTISEMENT_BYTES..).ok_or(Refused::Cut)?;
    while let [_, units, ..] = options {
        let length = usize::from(*units) * OPTION_UNIT;
        if length == 0 {
            return Err(Refused::Cut);
        }
        options = options.get(length..).ok_or(Refused::Cut)?;
    }
    match options {
        [] => Ok(()),
        _ => Err(Refused::Cut),
    }
}

#[cfg(test)]
mod tests;
