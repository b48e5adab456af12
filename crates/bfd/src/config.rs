//! What goes into an endpoint: profiles, keys of sessions, and what the kernel says of a datagram.
//!
//! Owns the ranges and defaults of MetalLB's `BFDProfile` (the defaults are FRR's). Does not decide which peers have
//! a session, nor which mode fits a peer (the engine does, BFD-17).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Intervals in milliseconds that a profile may ask for (BFD-45, BFD-47).
pub const INTERVAL_MS: RangeInclusive<i64> = 10..=60_000;
/// Detection multipliers that a profile may ask for (BFD-46).
pub const DETECT_MULTIPLIER: RangeInclusive<i64> = 2..=255;
/// Minimum TTLs that a profile may ask for (BFD-48).
pub const MINIMUM_TTL: RangeInclusive<i64> = 1..=254;

/// How far away the peer is, which is also the port it is talked to on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// On the same link: port 3784, received with TTL 255 (RFC 5881).
    SingleHop,
    /// Behind routers: port 4784, received with at least the profile's minimum TTL (RFC 5883).
    MultiHop,
}

impl Mode {
    /// The UDP port both sides listen on.
    pub const fn port(self) -> u16 {
        match self {
            Mode::SingleHop => 3784,
            Mode::MultiHop => 4784,
        }
    }

    /// The name in statuses and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::SingleHop => "single hop",
            Mode::MultiHop => "multihop",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Mode::SingleHop => Mode::MultiHop,
            Mode::MultiHop => Mode::SingleHop,
        }
    }
}

/// Which session: two BGP peers that agree in all of these share one (BFD-49). A change of any makes another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The peer's address.
    pub peer: IpAddr,
    /// Our address; `None`: whichever the kernel sends from, and whichever the peer sends to.
    pub local: Option<IpAddr>,
    /// Index of the interface that the session is bound to; needed for link-local peers (BFD-16).
    pub interface: Option<u32>,
    /// Index of the VRF device that the session lives in (BFD-15).
    pub vrf: Option<u32>,
    /// Single hop or multihop.
    pub mode: Mode,
}

impl SessionKey {
    /// A session with this peer, not bound to any address, interface or VRF of ours.
    pub fn new(peer: IpAddr, mode: Mode) -> Self {
        SessionKey {
            peer,
            local: None,
            interface: None,
            vrf: None,
            mode,
        }
    }
}

/// A valid `BFDProfile`. `Profile::default()` is an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The fastest we want to receive (required min RX). Default 300 ms.
    pub receive_interval: Duration,
    /// The fastest we want to send (desired min TX). Default 300 ms; not obeyed below 1 s while not Up.
    pub transmit_interval: Duration,
    /// Of our packets, how many missing ones mean Down to the peer. Default 3.
    pub detect_multiplier: u8,
    /// Accepted, without effect (BFD-47). Default false.
    pub echo_mode: bool,
    /// Accepted, without effect (BFD-47). Default 50 ms.
    pub echo_interval: Duration,
    /// Say nothing before the peer does (BFD-26). Default false.
    pub passive: bool,
    /// Multihop only: packets with a smaller TTL are dropped. Default 254.
    pub minimum_ttl: u8,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            receive_interval: Duration::from_millis(300),
            transmit_interval: Duration::from_millis(300),
            detect_multiplier: 3,
            echo_mode: false,
            echo_interval: Duration::from_millis(50),
            passive: false,
            minimum_ttl: 254,
        }
    }
}

/// The fields of a `BFDProfile` as they are written; absent ones take the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the fields of the object")]
pub struct ProfileSpec {
    pub receive_interval: Option<i64>,
    pub transmit_interval: Option<i64>,
    pub detect_multiplier: Option<i64>,
    pub echo_interval: Option<i64>,
    pub echo_mode: Option<bool>,
    pub passive_mode: Option<bool>,
    pub minimum_ttl: Option<i64>,
}

/// A field out of its range; the profile's last valid version stays in force (BFD-45).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value} is not in {}..{}", range.start(), range.end())]
pub struct ProfileError {
    /// The field of the object.
    pub field: &'static str,
    /// What it says.
    pub value: i64,
    /// What it may say.
    pub range: RangeInclusive<i64>,
}

/// Something in a valid profile that has no effect, worth telling its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// `echoMode` is on: no echo is sent; a small `transmitInterval` detects as fast (BFD-47).
    EchoHasNoEffect,
    /// `minimumTtl` is set and the session is single hop, where only 255 will do (BFD-48).
    MinimumTtlIsForMultiHop,
}

impl TryFrom<ProfileSpec> for Profile {
    type Error = ProfileError;

    fn try_from(spec: ProfileSpec) -> Result<Self, ProfileError> {
        let default = Profile::default();
        let interval = |field, value: Option<i64>, default: Duration| {
            let Some(value) = value else {
                return Ok(default);
            };
            let millis = u64::try_from(within(field, value, INTERVAL_MS)?).unwrap_or(0);
            Ok(Duration::from_millis(millis))
        };
        let octet = |field, value: Option<i64>, range, default: u8| {
            let Some(value) = value else {
                return Ok(default);
            };
            Ok(u8::try_from(within(field, value, range)?).unwrap_or(default))
        };
        Ok(Profile {
            receive_interval: interval(
                "receiveInterval",
                spec.receive_interval,
                default.receive_interval,
            )?,
            transmit_interval: interval(
                "transmitInterval",
                spec.transmit_interval,
                default.transmit_interval,
            )?,
            detect_multiplier: octet(
                "detectMultiplier",
                spec.detect_multiplier,
                DETECT_MULTIPLIER,
                default.detect_multiplier,
            )?,
            echo_interval: interval("echoInterval", spec.echo_interval, default.echo_interval)?,
            echo_mode: spec.echo_mode.unwrap_or(default.echo_mode),
            passive: spec.passive_mode.unwrap_or(default.passive),
            minimum_ttl: octet(
                "minimumTtl",
                spec.minimum_ttl,
                MINIMUM_TTL,
                default.minimum_ttl,
            )?,
        })
    }
}

fn within(
    field: &'static str,
    value: i64,
    range: RangeInclusive<i64>,
) -> Result<i64, ProfileError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(ProfileError {
        field,
        value,
        range,
    })
}

impl Profile {
    /// One profile for a session that two peers share: of each field the value that detects sooner, speaks first and
    /// lets more through (BFD-49).
    pub fn faster(self, other: Self) -> Self {
        Profile {
            receive_interval: self.receive_interval.min(other.receive_interval),
            transmit_interval: self.transmit_interval.min(other.transmit_interval),
            detect_multiplier: self.detect_multiplier.min(other.detect_multiplier),
            echo_mode: self.echo_mode || other.echo_mode,
            echo_interval: self.echo_interval.min(other.echo_interval),
            passive: self.passive && other.passive,
            // Either peer was promised a session over that many hops.
            minimum_ttl: self.minimum_ttl.min(other.minimum_ttl),
        }
    }

    /// What in it has no effect on a session of this mode.
    pub fn notes(&self, mode: Mode) -> Vec<Note> {
        let echo = self.echo_mode.then_some(Note::EchoHasNoEffect);
        let ttl = (mode == Mode::SingleHop && self.minimum_ttl != Profile::default().minimum_ttl)
            .then_some(Note::MinimumTtlIsForMultiHop);
        echo.into_iter().chain(ttl).collect()
    }
}

/// What the kernel says of a received datagram beside its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Where it came from; the port is of no interest (BFD-12).
    pub remote: IpAddr,
    /// The address it was sent to.
    pub local: Option<IpAddr>,
    /// Index of the interface it came in by.
    pub interface: u32,
    /// Index of the VRF device of the socket it came to.
    pub vrf: Option<u32>,
    /// The port it came to.
    pub mode: Mode,
    /// TTL or hop limit; `None` when the kernel did not say, which is a failure (BFD-02).
    pub ttl: Option<u8>,
    /// When the kernel received it (BFD-50). A time after `now` counts as `now`.
    pub received: Instant,
}

#[cfg(test)]
mod tests;
