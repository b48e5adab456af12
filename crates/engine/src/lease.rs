//! The election of one controller by a `coordination.k8s.io/v1` Lease, as a machine.
//!
//! Expiry is judged by the local monotonic clock from the last change that was
//! *observed*, never by comparing wall clocks.

use std::time::Duration;

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
