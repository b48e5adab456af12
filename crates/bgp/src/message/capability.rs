//! Capabilities of an OPEN (RFC 5492), as one set.
//!
//! A repeated capability means its last value, except that families accumulate; so a set says all there is. Those
//! that we never offer (long-lived graceful restart, add-path, roles, ...) are kept as codes for display. What is in
//! force between two OPENs is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::notification::escaped;
use super::{AfiSafi, Asn, ErrorCode, Families, Family, Notification, OpenError};

/// LIMIT: codes kept of capabilities that we do not use, for display (BGP-30).
pub const OTHER_CODES_MAX: usize = 32;
/// LIMIT: octets kept of each string of the FQDN capability (BGP-51).
pub const FQDN_OCTETS_MAX: usize = 64;
/// LIMIT: seconds of the graceful-restart time, 12 bits (RFC 4724 §3).
pub const RESTART_TIME_SECS_MAX: u16 = 4_095;

/// Capability codes.
pub mod code {
    /// Multiprotocol extensions (RFC 4760).
    pub const MULTIPROTOCOL: u8 = 1;
    /// Route refresh (RFC 2918).
    pub const ROUTE_REFRESH: u8 = 2;
    /// Extended next hop encoding (RFC 8950).
    pub const EXTENDED_NEXT_HOP: u8 = 5;
    /// Extended messages (RFC 8654).
    pub const EXTENDED_MESSAGES: u8 = 6;
    /// Role (RFC 9234).
    pub const ROLE: u8 = 9;
    /// Graceful restart (RFC 4724, RFC 8538).
    pub const GRACEFUL_RESTART: u8 = 64;
    /// 4-octet AS numbers (RFC 6793).
    pub const FOUR_OCTET_AS: u8 = 65;
    /// Add-path (RFC 7911).
    pub const ADD_PATH: u8 = 69;
    /// Enhanced route refresh (RFC 7313).
    pub const ENHANCED_REFRESH: u8 = 70;
    /// Long-lived graceful restart (RFC 9494).
    pub const LONG_LIVED_RESTART: u8 = 71;
    /// Host and domain name (draft-walton-bgp-hostname-capability).
    pub const FQDN: u8 = 73;
    /// Route refresh before it was a standard.
    pub const LEGACY_REFRESH: u8 = 128;
}

/// The name of a capability code.
#[must_use]
pub fn name(code: u8) -> Option<&'static str> {
    Some(match code {
        code::MULTIPROTOCOL => "multiprotocol",
        code::ROUTE_REFRESH => "route-refresh",
        code::EXTENDED_NEXT_HOP => "extended-next-hop",
        code::EXTENDED_MESSAGES => "extended-messages",
        code::ROLE => "role",
        code::GRACEFUL_RESTART => "graceful-restart",
        code::FOUR_OCTET_AS => "4-octet-as",
        code::ADD_PATH => "add-path",
        code::ENHANCED_REFRESH => "enhanced-route-refresh",
        code::LONG_LIVED_RESTART => "long-lived-graceful-restart",
        code::FQDN => "fqdn",
        code::LEGACY_REFRESH => "legacy-route-refresh",
        _ => return None,
    })
}

/// Prefixes of one family with next hops of another (RFC 8950 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExtendedNextHop {
    /// Family of the prefixes; the SAFI takes two octets here, and values above 255 are dropped.
    pub prefixes: AfiSafi,
    /// Address family of the next hop: 2 is IPv6.
    pub next_hop_afi: u16,
}

impl ExtendedNextHop {
    /// IPv4 unicast with IPv6 next hops.
    pub const IPV4_OVER_IPV6: ExtendedNextHop = ExtendedNextHop {
        prefixes: AfiSafi::IPV4_UNICAST,
        next_hop_afi: 2,
    };
}

/// Graceful restart (RFC 4724 §3, RFC 8538 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// R bit: the sender has just restarted.
    pub restarting: bool,
    /// N bit: NOTIFICATIONs other than a hard reset are graceful too.
    pub notification: bool,
    /// Seconds, at most [`RESTART_TIME_SECS_MAX`].
    pub restart_time_secs: u16,
    /// Families and whether forwarding went on meanwhile (F bit).
    pub families: BTreeMap<AfiSafi, bool>,
}

/// Host and domain name of the sender, cut to [`FQDN_OCTETS_MAX`] octets each. Display escapes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fqdn {
    /// Host name.
    pub host: String,
    /// Domain name, often empty.
    pub domain: String,
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.host))?;
        if self.domain.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", escaped(&self.domain))
        }
    }
}

/// All capabilities of one OPEN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Code 1. Empty means IPv4 unicast alone, see [`Capabilities::families`].
    pub multiprotocol: BTreeSet<AfiSafi>,
    /// Code 2.
    pub route_refresh: bool,
    /// Code 5.
    pub extended_next_hop: BTreeSet<ExtendedNextHop>,
    /// Code 6.
    pub extended_messages: bool,
    /// Code 64.
    pub graceful_restart: Option<GracefulRestart>,
    /// Code 65.
    pub four_octet_as: Option<Asn>,
    /// Code 70.
    pub enhanced_refresh: bool,
    /// Code 73.
    pub fqdn: Option<Fqdn>,
    /// Received only: codes of all others, without repetition, at most [`OTHER_CODES_MAX`]. Never encoded.
    pub others: Vec<u8>,
    /// Received only: how many were ignored for a length that cannot be.
    pub ignored: u16,
}

impl Capabilities {
    /// The families we could speak with the sender: no multiprotocol capability means IPv4 unicast (RFC 4760 §8).
    #[must_use]
    pub fn families(&self) -> Families {
        if self.multiprotocol.is_empty() {
            return Families::IPV4;
        }
        self.multiprotocol
            .iter()
            .filter_map(|pair| pair.family())
            .collect()
    }

    /// The capability as it was offered, by code; for lists in a status.
    #[must_use]
    pub fn codes(&self) -> BTreeSet<u8> {
        let offered = [
            (code::MULTIPROTOCOL, !self.multiprotocol.is_empty()),
            (code::ROUTE_REFRESH, self.route_refresh),
            (code::EXTENDED_NEXT_HOP, !self.extended_next_hop.is_empty()),
            (code::EXTENDED_MESSAGES, self.extended_messages),
            (code::GRACEFUL_RESTART, self.graceful_restart.is_some()),
            (code::FOUR_OCTET_AS, self.four_octet_as.is_some()),
            (code::ENHANCED_REFRESH, self.enhanced_refresh),
            (code::FQDN, self.fqdn.is_some()),
        ];
        offered
            .into_iter()
            .filter_map(|(code, is)| is.then_some(code))
            .chain(self.others.iter().copied())
            .collect()
    }

    /// Appends all of them in ascending order of their codes (BGP-35).
    pub fn encode(&self, out: &mut Vec<u8>) {
        for pair in &self.multiprotocol {
            encode_multiprotocol(*pair, out);
        }
        if self.route_refresh {
            out.extend_from_slice(&[code::ROUTE_REFRESH, 0]);
        }
        if !self.extended_next_hop.is_empty() {
            capability(code::EXTENDED_NEXT_HOP, out, |out| {
                // LIMIT: 42 tuples fill the 255 octets of a capability.
                for tuple in self.extended_next_hop.iter().take(42) {
                    out.extend_from_slice(&tuple.prefixes.afi.to_be_bytes());
                    out.extend_from_slice(&[0, tuple.prefixes.safi]);
                    out.extend_from_slice(&tuple.next_hop_afi.to_be_bytes());
                }
            });
        }
        if self.extended_messages {
            out.extend_from_slice(&[code::EXTENDED_MESSAGES, 0]);
        }
        if let Some(restart) = &self.graceful_restart {
            capability(code::GRACEFUL_RESTART, out, |out| restart.encode(out));
        }
        if let Some(Asn(asn)) = self.four_octet_as {
            capability(code::FOUR_OCTET_AS, out, |out| {
                out.extend_from_slice(&asn.to_be_bytes())
            });
        }
        if self.enhanced_refresh {
            out.extend_from_slice(&[code::ENHANCED_REFRESH, 0]);
        }
        if let Some(fqdn) = &self.fqdn {
            capability(code::FQDN, out, |out| {
                for text in [&fqdn.host, &fqdn.domain] {
                    let text = cut(text);
                    // At most FQDN_OCTETS_MAX.
                    out.push(text.len() as u8);
                    out.extend_from_slice(text.as_bytes());
                }
            });
        }
    }

    /// Reads the value of one capability parameter and adds what it says.
    ///
    /// # Errors
    /// 2/0 when a capability runs over the end, or one that everything depends on has an impossible length.
    pub(crate) fn decode_into(&mut self, mut rest: &[u8]) -> Result<(), Notification> {
        while !rest.is_empty() {
            let [code, length, tail @ ..] = rest else {
                return Err(malformed());
            };
            let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else {
                return Err(malformed());
            };
            self.take(*code, value)?;
            rest = tail;
        }
        Ok(())
    }

    fn take(&mut self, code: u8, value: &[u8]) -> Result<(), Notification> {
        match (code, value) {
            (code::MULTIPROTOCOL, &[a, b, _reserved, safi]) => {
                self.multiprotocol.insert(AfiSafi {
                    afi: u16::from_be_bytes([a, b]),
                    safi,
                });
            }
            (code::FOUR_OCTET_AS, &[a, b, c, d]) => {
                self.four_octet_as = Some(Asn(u32::from_be_bytes([a, b, c, d])));
            }
            (code::MULTIPROTOCOL | code::FOUR_OCTET_AS, _) => return Err(malformed()),
            (code::ROUTE_REFRESH, []) => self.route_refresh = true,
            (code::EXTENDED_MESSAGES, []) => self.extended_messages = true,
            (code::ENHANCED_REFRESH, []) => self.enhanced_refresh = true,
            (code::EXTENDED_NEXT_HOP, value) if value.len().is_multiple_of(6) => {
                self.extended_next_hop = value.chunks_exact(6).filter_map(tuple).collect();
            }
            (code::GRACEFUL_RESTART, value) => match GracefulRestart::decode(value) {
                Some(restart) => self.graceful_restart = Some(restart),
                None => self.ignore(),
            },
            (code::FQDN, value) => match fqdn(value) {
                Some(fqdn) => self.fqdn = Some(fqdn),
                None => self.ignore(),
            },
            (
                code::ROUTE_REFRESH
                | code::EXTENDED_MESSAGES
                | code::ENHANCED_REFRESH
                | code::EXTENDED_NEXT_HOP,
                _,
            ) => {
                self.ignore();
            }
            (other, value) => {
                if !plausible(other, value.len()) {
                    self.ignore();
                }
                if self.others.len() < OTHER_CODES_MAX && !self.others.contains(&other) {
                    self.others.push(other);
                }
            }
        }
        Ok(())
    }

    fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }
}

/// Multiprotocol capabilities for these families, as the data of a 2/7 (RFC 5492 §5).
#[must_use]
pub fn multiprotocol_octets(families: Families) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    for family in families.iter() {
        encode_multiprotocol(Family::afi_safi(family), &mut out);
    }
    out
}

/// The codes a 2/7 of a peer names in its data; what cannot be read ends the list.
#[must_use]
pub fn codes_named(mut data: &[u8]) -> BTreeSet<u8> {
    let mut codes = BTreeSet::new();
    while let [code, length, tail @ ..] = data {
        codes.insert(*code);
        data = tail.get(usize::from(*length)..).unwrap_or_default();
    }
    codes
}

impl GracefulRestart {
    fn encode(&self, out: &mut Vec<u8>) {
        let time = self.restart_time_secs.min(RESTART_TIME_SECS_MAX);
        let flags =
            if self.restarting { 0x8000 } else { 0 } | if self.notification { 0x4000 } else { 0 };
        out.extend_from_slice(&(flags | time).to_be_bytes());
        // LIMIT: 63 families fill the 255 octets of a capability.
        for (family, forwarding) in self.families.iter().take(63) {
            out.extend_from_slice(&family.afi.to_be_bytes());
            out.extend_from_slice(&[family.safi, if *forwarding { 0x80 } else { 0 }]);
        }
    }

    fn decode(value: &[u8]) -> Option<GracefulRestart> {
        let (&[high, low], families) = value.split_first_chunk()?;
        if !families.len().is_multiple_of(4) {
            return None;
        }
        let families = families.chunks_exact(4).filter_map(|tuple| match *tuple {
            [a, b, safi, flags] => Some((
                AfiSafi {
                    afi: u16::from_be_bytes([a, b]),
                    safi,
                },
                flags & 0x80 != 0,
            )),
            _ => None,
        });
        Some(GracefulRestart {
            restarting: high & 0x80 != 0,
            notification: high & 0x40 != 0,
            restart_time_secs: u16::from_be_bytes([high & 0x0f, low]),
            families: families.collect(),
        })
    }
}

fn capability(code: u8, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[code, 0]);
    let start = out.len();
    value(out);
    let length = u8::try_from(out.len() - start).expect("each value is cut to fit");
    if let Some(at) = out.get_mut(start - 1) {
        *at = length;
    }
}

fn encode_multiprotocol(pair: AfiSafi, out: &mut Vec<u8>) {
    let [a, b] = pair.afi.to_be_bytes();
    out.extend_from_slice(&[code::MULTIPROTOCOL, 4, a, b, 0, pair.safi]);
}

fn tuple(octets: &[u8]) -> Option<ExtendedNextHop> {
    match *octets {
        [a, b, 0, safi, c, d] => Some(ExtendedNextHop {
            prefixes: AfiSafi {
                afi: u16::from_be_bytes([a, b]),
                safi,
            },
            next_hop_afi: u16::from_be_bytes([c, d]),
        }),
        _ => None,
    }
}

fn fqdn(value: &[u8]) -> Option<Fqdn> {
    let (length, rest) = value.split_first()?;
    let (host, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first()?;
    let (domain, rest) = rest.split_at_checked(usize::from(*length))?;
    let text = |octets: &[u8]| cut(&String::from_utf8_lossy(octets)).to_owned();
    rest.is_empty().then(|| Fqdn {
        host: text(host),
        domain: text(domain),
    })
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(FQDN_OCTETS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether the length fits a capability that is only recognised. Unknown ones fit always.
fn plausible(code: u8, length: usize) -> bool {
    match code {
        code::ROLE => length == 1,
        code::ADD_PATH => length.is_multiple_of(4),
        code::LONG_LIVED_RESTART => length.is_multiple_of(7),
        code::LEGACY_REFRESH => length == 0,
        _ => true,
    }
}

fn malformed() -> Notification {
    Notification::new(ErrorCode::Open(OpenError::Unspecific))
}

#[cfg(test)]
mod tests;
