//! OPEN (RFC 4271 §4.2, §6.2): its bytes, and the checks that need the configuration.

use std::net::Ipv4Addr;

use super::capability::multiprotocol_octets;
use super::{
    Asn, Capabilities, ErrorCode, Families, Notification, OpenError, begin, finish, kind, put_u16,
};

/// The only version there is.
pub const VERSION: u8 = 4;

const PARAMETER_CAPABILITIES: u8 = 2;
/// First parameter type of the extended format (RFC 9072 §2).
const PARAMETER_EXTENDED: u8 = 255;

/// An OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The 2-octet "My Autonomous System": 23456 when the number needs four. [`Open::asn`] is what counts.
    pub as_field: u16,
    /// Proposed hold time in seconds.
    pub hold_time_secs: u16,
    /// BGP identifier.
    pub router_id: Ipv4Addr,
    /// Capabilities.
    pub capabilities: Capabilities,
}

/// What the configuration says about the peer's OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Our AS on this session.
    pub local_asn: Asn,
    /// The AS the peer may have.
    pub peer: ExpectedAsn,
    /// Our identifier.
    pub router_id: Ipv4Addr,
    /// Least hold time we accept, besides 0; 3 by the RFC.
    pub hold_time_secs_min: u16,
    /// Families we want.
    pub families: Families,
}

/// Which AS a peer may have (BGP-25, BGP-26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedAsn {
    /// This one.
    Exactly(Asn),
    /// Ours, whatever it is.
    Internal,
    /// Any but ours.
    External,
}

impl Open {
    /// An OPEN whose 2-octet field suits `asn`. The 4-octet capability is the caller's to set, since a peer that
    /// refuses capabilities is tried without.
    #[must_use]
    pub fn new(
        asn: Asn,
        hold_time_secs: u16,
        router_id: Ipv4Addr,
        capabilities: Capabilities,
    ) -> Open {
        Open {
            as_field: asn.two_octets(),
            hold_time_secs,
            router_id,
            capabilities,
        }
    }

    /// The sender's AS: the capability's value, else the field's (RFC 6793 §4.2.2).
    #[must_use]
    pub fn asn(&self) -> Asn {
        self.capabilities
            .four_octet_as
            .unwrap_or(Asn(u32::from(self.as_field)))
    }

    /// Checks what needs the configuration, in the order AS, hold time, identifier, families (BGP-34).
    ///
    /// # Errors
    /// The NOTIFICATION to close with.
    pub fn check(&self, expected: &Expected) -> Result<(), Notification> {
        let asn = self.asn();
        let internal = asn == expected.local_asn;
        let fits = match expected.peer {
            ExpectedAsn::Exactly(peer) => asn == peer,
            ExpectedAsn::Internal => internal,
            ExpectedAsn::External => !internal,
        };
        if asn == Asn(0) || !fits {
            return Err(refuse(OpenError::BadPeerAs, asn.0.to_be_bytes()));
        }
        let hold = self.hold_time_secs;
        if hold != 0 && hold < expected.hold_time_secs_min.max(3) {
            return Err(refuse(OpenError::UnacceptableHoldTime, hold.to_be_bytes()));
        }
        if self.router_id.is_unspecified() || (internal && self.router_id == expected.router_id) {
            return Err(refuse(OpenError::BadIdentifier, []));
        }
        if self
            .capabilities
            .families()
            .and(expected.families)
            .is_empty()
        {
            return Err(refuse(
                OpenError::UnsupportedCapability,
                multiprotocol_octets(expected.families),
            ));
        }
        Ok(())
    }

    /// Appends the message: all capabilities in one parameter, none without capabilities (BGP-35). The extended
    /// format of RFC 9072 is used only when the plain one cannot hold them (BGP-33).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(kind::OPEN, out);
        out.push(VERSION);
        out.extend_from_slice(&self.as_field.to_be_bytes());
        out.extend_from_slice(&self.hold_time_secs.to_be_bytes());
        out.extend_from_slice(&self.router_id.octets());
        let mut capabilities = Vec::new();
        self.capabilities.encode(&mut capabilities);
        match u8::try_from(capabilities.len()) {
            Ok(0) => out.push(0),
            Ok(length) if length <= 253 => {
                out.extend_from_slice(&[length + 2, PARAMETER_CAPABILITIES, length]);
                out.extend_from_slice(&capabilities);
            }
            _ => encode_extended(&capabilities, out),
        }
        finish(start, out);
    }

    /// Reads the body of a message: version, then syntax. Numbers are judged by [`Open::check`].
    ///
    /// # Errors
    /// The NOTIFICATION to close with.
    pub fn decode(body: &[u8]) -> Result<Open, Notification> {
        let Some((
            &[
                version,
                as_high,
                as_low,
                hold_high,
                hold_low,
                a,
                b,
                c,
                d,
                length,
            ],
            parameters,
        )) = body.split_first_chunk()
        else {
            return Err(refuse(OpenError::Unspecific, []));
        };
        if version != VERSION {
            return Err(refuse(OpenError::UnsupportedVersion, [0, VERSION]));
        }
        Ok(Open {
            as_field: u16::from_be_bytes([as_high, as_low]),
            hold_time_secs: u16::from_be_bytes([hold_high, hold_low]),
            router_id: Ipv4Addr::new(a, b, c, d),
            capabilities: decode_parameters(length, parameters)?,
        })
    }
}

fn encode_extended(capabilities: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[255, PARAMETER_EXTENDED, 0, 0]);
    let at = out.len();
    let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
    out.push(PARAMETER_CAPABILITIES);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(
        capabilities
            .get(..usize::from(length))
            .unwrap_or(capabilities),
    );
    let all = u16::try_from(out.len() - at).unwrap_or(u16::MAX);
    put_u16(out, at - 2, all);
}

fn decode_parameters(length: u8, rest: &[u8]) -> Result<Capabilities, Notification> {
    // RFC 9072 §2: the type octet decides, whatever the legacy length says, as long as it is not zero.
    let (extended, mut rest) = match (length, rest) {
        (1.., [PARAMETER_EXTENDED, high, low, tail @ ..]) => {
            if usize::from(u16::from_be_bytes([*high, *low])) != tail.len() {
                return Err(refuse(OpenError::Unspecific, []));
            }
            (true, tail)
        }
        _ if usize::from(length) != rest.len() => return Err(refuse(OpenError::Unspecific, [])),
        _ => (false, rest),
    };
    let mut capabilities = Capabilities::default();
    while !rest.is_empty() {
        let (kind, length, tail) = match (extended, rest) {
            (false, [kind, length, tail @ ..]) => (*kind, usize::from(*length), tail),
            (true, [kind, high, low, tail @ ..]) => {
                (*kind, usize::from(u16::from_be_bytes([*high, *low])), tail)
            }
            _ => return Err(refuse(OpenError::Unspecific, [])),
        };
        let Some((value, tail)) = tail.split_at_checked(length) else {
            return Err(refuse(OpenError::Unspecific, []));
        };
        if kind != PARAMETER_CAPABILITIES {
            return Err(refuse(OpenError::UnsupportedParameter, []));
        }
        capabilities.decode_into(value)?;
        rest = tail;
    }
    Ok(capabilities)
}

fn refuse(error: OpenError, data: impl Into<Vec<u8>>) -> Notification {
    Notification::with_data(ErrorCode::Open(error), data)
}

#[cfg(test)]
mod tests;
