//! How long to hold back after a failed session (BGP-62).
//!
//! Owns the count of failures. Attempts that fail before TCP is up are not its business: they are paced by
//! ConnectRetryTime and never grow.

use std::time::{Duration, Instant};

use super::timers::{Random, STABLE};

/// The longest hold: with no listener nobody can wake us after a router's maintenance.
pub const IDLE_HOLD_MAX: Duration = Duration::from_secs(30);
const IDLE_HOLD_MIN: Duration = Duration::from_secs(1);
/// After the router's prefix limit cut us.
pub const LIMIT_HOLD_MIN: Duration = Duration::from_secs(60);
/// After it did so again and again.
pub const LIMIT_HOLD_MAX: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    limit_hits: u32,
    established: Option<Instant>,
}

impl Backoff {
    pub(crate) fn handle_established(&mut self, now: Instant) {
        self.established = Some(now);
    }

    pub(crate) fn forget(&mut self) {
        *self = Backoff::default();
    }

    /// The session failed: how long until the next attempt. Nothing for the first failure of one that was stable.
    pub(crate) fn fail(&mut self, now: Instant, random: &mut Random) -> Duration {
        let stable = self
            .established
            .take()
            .is_some_and(|since| now.saturating_duration_since(since) >= STABLE);
        if stable {
            self.failures = 0;
            self.limit_hits = 0;
            return Duration::ZERO;
        }
        self.failures = self.failures.saturating_add(1);
        random.jittered(doubled(IDLE_HOLD_MIN, self.failures, IDLE_HOLD_MAX))
    }

    /// The router's prefix limit cut the session.
    pub(crate) fn hit_limit(&mut self, now: Instant) -> Duration {
        if self
            .established
            .take()
            .is_some_and(|since| now.saturating_duration_since(since) >= STABLE)
        {
            self.limit_hits = 0;
        }
        self.limit_hits = self.limit_hits.saturating_add(1);
        doubled(LIMIT_HOLD_MIN, self.limit_hits, LIMIT_HOLD_MAX)
    }
}

/// `first` doubled with each time after the first, at most `max`.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first
        .saturating_mul(
            1_u32
                .checked_shl(times.saturating_sub(1).min(16))
                .unwrap_or(u32::MAX),
        )
        .min(max)
}
