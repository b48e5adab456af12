//! How much may be sent to one peer: a bucket of bytes.
//!
//! Owns the figures of the bound of 64 kB in any second. Does not know what is sent.

use std::time::{Duration, Instant};

/// What may still be sent to one peer.
#[derive(Debug)]
pub(super) struct Pace {
    /// Negative after a bucket that had to be sent in one go.
    left: i64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST_BYTES,
            at: now,
        }
    }

    /// When the next datagram may go: now, or later.
    pub(super) fn opens_at(&mut self, now: Instant) -> Instant {
        self.refill(now);
        if self.left >= DATAGRAM_BYTES {
            return now;
        }
        let missing = u64::try_from(DATAGRAM_BYTES - self.left).unwrap_or(0);
        now + Duration::from_micros(missing * 1_000_000 / PACE_BYTES_PER_SECOND)
    }

    pub(super) fn spend(&mut self, bytes: u64, now: Instant) {
        self.refill(now);
        self.left -= i64::try_from(bytes).unwrap_or(DATAGRAM_BYTES);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now
            .saturating_duration_since(self.at)
            .min(Duration::from_secs(60));
        let micros = u64::try_from(passed.as_micros()).unwrap_or(0);
        let earned = micros * PACE_BYTES_PER_SECOND / 1_000_000;
        if earned == 0 {
            return;
        }
        self.at = now;
        self.left = (self.left + i64::try_from(earned).unwrap_or(0)).min(BURST_BYTES);
    }
}

/// Bytes of UDP payload with claims to one peer in the long run. With the burst and a bucket cut in pieces (at most 6 kB) no second
/// has more than 65,536.
pub(super) const PACE_BYTES_PER_SECOND: u64 = 49_152;

/// Bytes that may go at once after a rest.
const BURST_BYTES: i64 = 10_240;

/// Bytes there must be for one more datagram: the largest.
const DATAGRAM_BYTES: i64 = 1_200;
