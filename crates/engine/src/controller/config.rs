//! What the controller is told at its start, and what it reports of pools.

use crate::alloc::Options;
use crate::world::PoolStatus;
use crate::write::QueueConfig;
use std::time::Duration;

/// What the controller is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// Our namespace: only `metallb.io` objects in it count.
    pub namespace: String,
    /// Of the allocation.
    pub options: Options,
    /// Name of the membership Secret to create if it is absent; none: never.
    pub secret_name: Option<String>,
    /// How often a pool's status is written at most.
    pub pool_status_interval: Duration,
    /// Bounds of writing.
    pub queue: QueueConfig,
}

impl ControllerConfig {
    /// The defaults in a namespace.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            options: Options::default(),
            secret_name: None,
            pool_status_interval: Duration::from_secs(1),
            queue: QueueConfig::default(),
        }
    }
}

/// One pool, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// Used and left, by family.
    pub status: PoolStatus,
    /// Usable addresses in all; saturates at `i64::MAX`.
    pub total_ipv4: i64,
    /// Usable addresses in all; saturates at `i64::MAX`.
    pub total_ipv6: i64,
}
