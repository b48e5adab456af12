//! The election of one controller by a `coordination.k8s.io/v1` Lease, as a machine.
//!
//! Expiry is judged by the local monotonic clock from the last change that was
//! *observed*, never by comparing wall clocks: a follower counts from the moment it saw a
//! change, which is later than the leader sent it; the leader counts from the moment it
//! sent. So the leader's own end is never later than anybody else's.

mod election;

#[cfg(test)]
mod tests;

pub use election::{Election, LeaseAction, LeaseConfig, LeaseError};

use std::time::{Duration, Instant};

/// A leader sends no write, and lets none time out, later than this before its lease ends
/// as the others see it.
pub const WRITE_MARGIN: Duration = Duration::from_millis(500);

/// What the Lease object says, as far as the election reads or writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// `metadata.resourceVersion`, none when the object does not exist.
    pub version: Option<String>,
    /// `spec.holderIdentity`; empty: nobody.
    pub holder: String,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// `spec.leaseTransitions`.
    pub transitions: u64,
    /// `spec.renewTime` as an opaque text: only its change matters.
    pub renewed: String,
}

/// Who leads, as this replica may act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another replica leads, or nobody does yet.
    Follower {
        /// The holder's identity, where it is known.
        holder: Option<String>,
    },
    /// This replica leads.
    Leader {
        /// Grows with each leadership of this process, from 1: the resync to ask the
        /// source for before anything is allocated.
        epoch: u64,
        /// When the lease ends as the others see it; none: never (an operating-system lock).
        until: Option<Instant>,
    },
}
