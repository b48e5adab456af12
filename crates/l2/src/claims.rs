//! Stations that claimed one of our addresses.
//!
//! Owns the memory that turns a stream of claims into few events. What follows from a claim (defence, split brain,
//! probe verdicts) is decided elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::mac::MacAddr;

/// Claims remembered per interface. Two stations that claim in turn each 10 ms make two events, and ten thousand
/// made-up ones make no more than this many in [`REPEAT`].
pub const CLAIMS_MAX: usize = 64;
/// One claim is told again after this (L2-53).
pub const REPEAT: Duration = Duration::from_secs(600);
/// A claim by another speaker is told again after this: each asks for a new look at who owns the address (L2-54).
pub const SPEAKER_REPEAT: Duration = Duration::from_secs(1);

/// Claims that were told, with the time.
#[derive(Debug)]
pub(crate) struct Claims {
    told: BTreeMap<(IpAddr, MacAddr), Instant>,
    repeat: Duration,
}

impl Claims {
    pub(crate) fn new(repeat: Duration) -> Self {
        Claims {
            told: BTreeMap::new(),
            repeat,
        }
    }

    /// Whether this claim is to be told now. A new one finds no room while all remembered ones are recent: then it is
    /// only counted.
    pub(crate) fn note(&mut self, address: IpAddr, mac: MacAddr, now: Instant) -> bool {
        let repeat = self.repeat;
        let recent = |at: &Instant| now.saturating_duration_since(*at) < repeat;
        if self.told.get(&(address, mac)).is_some_and(recent) {
            return false;
        }
        if self.told.len() >= CLAIMS_MAX && !self.told.contains_key(&(address, mac)) {
            self.told.retain(|_, at| recent(at));
            if self.told.len() >= CLAIMS_MAX {
                return false;
            }
        }
        self.told.insert((address, mac), now);
        true
    }

    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.told.retain(|(claimed, _), _| *claimed != address);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }
}
