//! Path attributes as one value, and their bytes (RFC 4271 §5 and those that add attributes).
//!
//! Next hops are not here: they belong to the message ([`super::NextHop`]). Judging received attributes is
//! [`crate::decode`]'s.

use std::net::Ipv4Addr;

use super::{AsPath, Asn, Community, ExtendedCommunity, LargeCommunity, WireRules};

/// Type codes.
pub mod code {
    /// ORIGIN.
    pub const ORIGIN: u8 = 1;
    /// AS_PATH.
    pub const AS_PATH: u8 = 2;
    /// NEXT_HOP.
    pub const NEXT_HOP: u8 = 3;
    /// MULTI_EXIT_DISC.
    pub const MED: u8 = 4;
    /// LOCAL_PREF.
    pub const LOCAL_PREF: u8 = 5;
    /// ATOMIC_AGGREGATE.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// AGGREGATOR.
    pub const AGGREGATOR: u8 = 7;
    /// COMMUNITIES (RFC 1997).
    pub const COMMUNITIES: u8 = 8;
    /// ORIGINATOR_ID (RFC 4456).
    pub const ORIGINATOR_ID: u8 = 9;
    /// CLUSTER_LIST (RFC 4456).
    pub const CLUSTER_LIST: u8 = 10;
    /// MP_REACH_NLRI (RFC 4760).
    pub const MP_REACH: u8 = 14;
    /// MP_UNREACH_NLRI (RFC 4760).
    pub const MP_UNREACH: u8 = 15;
    /// EXTENDED COMMUNITIES (RFC 4360).
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// AS4_PATH (RFC 6793).
    pub const AS4_PATH: u8 = 17;
    /// AS4_AGGREGATOR (RFC 6793).
    pub const AS4_AGGREGATOR: u8 = 18;
    /// IPv6 address specific extended communities (RFC 5701).
    pub const IPV6_COMMUNITIES: u8 = 25;
    /// LARGE_COMMUNITY (RFC 8092).
    pub const LARGE_COMMUNITIES: u8 = 32;
}

/// Flag bits.
pub mod flag {
    /// Not every speaker must know the attribute.
    pub const OPTIONAL: u8 = 0x80;
    /// To be passed on unread.
    pub const TRANSITIVE: u8 = 0x40;
    /// Was passed on unread by somebody.
    pub const PARTIAL: u8 = 0x20;
    /// The length takes two octets.
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// The RFC's name of a type code.
#[must_use]
pub fn name(code: u8) -> Option<&'static str> {
    Some(match code {
        code::ORIGIN => "ORIGIN",
        code::AS_PATH => "AS_PATH",
        code::NEXT_HOP => "NEXT_HOP",
        code::MED => "MULTI_EXIT_DISC",
        code::LOCAL_PREF => "LOCAL_PREF",
        code::ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        code::AGGREGATOR => "AGGREGATOR",
        code::COMMUNITIES => "COMMUNITIES",
        code::ORIGINATOR_ID => "ORIGINATOR_ID",
        code::CLUSTER_LIST => "CLUSTER_LIST",
        code::MP_REACH => "MP_REACH_NLRI",
        code::MP_UNREACH => "MP_UNREACH_NLRI",
        code::EXTENDED_COMMUNITIES => "EXTENDED_COMMUNITIES",
        code::AS4_PATH => "AS4_PATH",
        code::AS4_AGGREGATOR => "AS4_AGGREGATOR",
        code::IPV6_COMMUNITIES => "IPV6_EXTENDED_COMMUNITIES",
        code::LARGE_COMMUNITIES => "LARGE_COMMUNITY",
        _ => return None,
    })
}

/// Where a route came from, as its originator says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Inside the AS: what we always send.
    #[default]
    Igp,
    /// The exterior protocol before BGP.
    Egp,
    /// Some other means.
    Incomplete,
}

impl Origin {
    fn octet(self) -> u8 {
        match self {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        }
    }
}

/// Who aggregated a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    /// Its AS.
    pub asn: Asn,
    /// Its identifier.
    pub router_id: Ipv4Addr,
}

/// The attributes of a route besides its next hop. Equal values share messages; the order is arbitrary but fixed.
///
/// The lists are written as they stand: sorting and removing repetitions is the caller's (see [`Attributes::sorted`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH.
    pub as_path: AsPath,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; for iBGP only, which the caller sees to (BGP-90).
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES.
    pub communities: Vec<Community>,
    /// ORIGINATOR_ID.
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST.
    pub cluster_list: Vec<Ipv4Addr>,
    /// EXTENDED COMMUNITIES.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// LARGE_COMMUNITY.
    pub large_communities: Vec<LargeCommunity>,
}

impl Attributes {
    /// The same with each list of communities sorted and without repetitions (BGP-92, BGP-93).
    #[must_use]
    pub fn sorted(mut self) -> Attributes {
        self.communities.sort_unstable();
        self.communities.dedup();
        self.extended_communities.sort_unstable();
        self.extended_communities.dedup();
        self.large_communities.sort_unstable();
        self.large_communities.dedup();
        self
    }

    /// Appends the attributes in ascending order of type code; `next_hop` is that of classic NLRI.
    pub fn encode(&self, rules: &WireRules, next_hop: Option<Ipv4Addr>, out: &mut Vec<u8>) {
        const WELL_KNOWN: u8 = flag::TRANSITIVE;
        const OPTIONAL: u8 = flag::OPTIONAL;
        const BOTH: u8 = flag::OPTIONAL | flag::TRANSITIVE;
        let four = rules.four_octet_as;
        attribute(WELL_KNOWN, code::ORIGIN, out, |out| {
            out.push(self.origin.octet())
        });
        attribute(WELL_KNOWN, code::AS_PATH, out, |out| {
            self.as_path.encode(four, out)
        });
        if let Some(address) = next_hop {
            attribute(WELL_KNOWN, code::NEXT_HOP, out, |out| {
                out.extend_from_slice(&address.octets())
            });
        }
        if let Some(med) = self.med {
            attribute(OPTIONAL, code::MED, out, |out| {
                out.extend_from_slice(&med.to_be_bytes())
            });
        }
        if let Some(pref) = self.local_pref {
            attribute(WELL_KNOWN, code::LOCAL_PREF, out, |out| {
                out.extend_from_slice(&pref.to_be_bytes())
            });
        }
        if self.atomic_aggregate {
            attribute(WELL_KNOWN, code::ATOMIC_AGGREGATE, out, |_| {});
        }
        if let Some(aggregator) = self.aggregator {
            attribute(BOTH, code::AGGREGATOR, out, |out| {
                aggregator.encode(four, out)
            });
        }
        list(BOTH, code::COMMUNITIES, &self.communities, out, |c| {
            c.0.to_be_bytes()
        });
        if let Some(id) = self.originator_id {
            attribute(OPTIONAL, code::ORIGINATOR_ID, out, |out| {
                out.extend_from_slice(&id.octets())
            });
        }
        list(
            OPTIONAL,
            code::CLUSTER_LIST,
            &self.cluster_list,
            out,
            |id| id.octets(),
        );
        list(
            BOTH,
            code::EXTENDED_COMMUNITIES,
            &self.extended_communities,
            out,
            |c| c.0,
        );
        if !four && self.as_path.needs_four_octets() {
            attribute(BOTH, code::AS4_PATH, out, |out| {
                self.as_path.encode(true, out)
            });
        }
        if let Some(aggregator) = self
            .aggregator
            .filter(|a| !four && a.asn.0 > u32::from(u16::MAX))
        {
            attribute(BOTH, code::AS4_AGGREGATOR, out, |out| {
                aggregator.encode(true, out)
            });
        }
        list(
            BOTH,
            code::LARGE_COMMUNITIES,
            &self.large_communities,
            out,
            |c| c.octets(),
        );
    }
}

impl Aggregator {
    fn encode(self, four_octets: bool, out: &mut Vec<u8>) {
        if four_octets {
            out.extend_from_slice(&self.asn.0.to_be_bytes());
        } else {
            out.extend_from_slice(&self.asn.two_octets().to_be_bytes());
        }
        out.extend_from_slice(&self.router_id.octets());
    }
}

fn list<T: Copy, const N: usize>(
    flags: u8,
    code: u8,
    items: &[T],
    out: &mut Vec<u8>,
    octets: impl Fn(T) -> [u8; N],
) {
    if items.is_empty() {
        return;
    }
    attribute(flags, code, out, |out| {
        for item in items {
            out.extend_from_slice(&octets(*item));
        }
    });
}

/// Appends one attribute; the extended length is used only when the value needs it (BGP-85). A value that exceeds
/// 65,535 octets makes a message that cannot be sent, which the caller sees by its length.
fn attribute(flags: u8, code: u8, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[flags, code, 0]);
    value(out);
    let length = out.len() - start - 3;
    let head = match u8::try_from(length) {
        Ok(length) => [flags, code, length],
        Err(_) => {
            let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            out.insert(start + 3, low);
            [flags | flag::EXTENDED_LENGTH, code, high]
        }
    };
    out[start..start + 3].copy_from_slice(&head);
}

#[cfg(test)]
mod tests;
