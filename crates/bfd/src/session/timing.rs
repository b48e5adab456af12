//! Intervals: what is negotiated, when silence is a failure, when the next packet goes.
//!
//! Owns the arithmetic, in 64-bit microseconds so that no peer's values overflow (BFD-32).

use std::time::{Duration, Instant};

use super::{Pace, Session};
use crate::config::Profile;
use crate::packet::State;

/// While not Up nothing is sent faster (RFC 5880 §6.8.3), whatever is configured (BFD-31).
const SLOW_US: u32 = 1_000_000;
/// Due times lie on multiples of this, so that many sessions share a wake of the loop (BFD-55).
const GRID_US: u64 = 2_000;
/// LIMIT: one answer to P per this and session (BFD-36), and one packet outside the rhythm after the first few.
pub(crate) const GUARD: Duration = Duration::from_millis(5);
/// Packets outside the rhythm in a row: a handshake needs three.
const PROMPT_BURST: u32 = 4;

/// The two intervals of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    pub(super) min_tx_us: u32,
    pub(super) min_rx_us: u32,
}

impl Intervals {
    /// What a profile wants in a state.
    pub(super) fn of(profile: &Profile, state: State) -> Self {
        let us = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
        let min_tx_us = us(profile.transmit_interval);
        Intervals {
            min_tx_us: if state == State::Up {
                min_tx_us
            } else {
                min_tx_us.max(SLOW_US)
            },
            min_rx_us: us(profile.receive_interval),
        }
    }
}

impl Session {
    /// Silence that means Down: the peer's multiplier times the slower of what it wants to send and what we can
    /// receive (RFC 5880 §6.8.4). `None` before the first packet and after a silence.
    pub(super) fn detection_time(&self) -> Option<Duration> {
        let interval_us = u64::from(self.active.min_rx_us.max(self.remote.min_tx_us));
        let multiplier = u64::from(self.remote.multiplier);
        (multiplier > 0).then(|| Duration::from_micros(multiplier * interval_us))
    }

    /// Silence of ours that means Down to the peer, as far as we know.
    pub(super) fn remote_detection_time(&self) -> Duration {
        let interval_us = u64::from(self.active.min_tx_us.max(self.remote.min_rx_us));
        Duration::from_micros(u64::from(self.profile.detect_multiplier) * interval_us)
    }

    /// Time between packets before jitter; `None` while none go by themselves.
    pub(super) fn transmit_interval(&self) -> Option<Duration> {
        let remote = &self.remote;
        let both_up = self.state == State::Up && remote.state == State::Up;
        // RFC 5880 §6.6 and §6.8.7: the peer wants none; a poll goes nevertheless.
        let unwanted = remote.min_rx_us == 0 || remote.demand && both_up;
        if unwanted && !self.polling {
            return None;
        }
        let mut interval_us = self.active.min_tx_us.max(remote.min_rx_us);
        if remote.min_rx_us == 0 {
            interval_us = interval_us.max(SLOW_US);
        }
        Some(Duration::from_micros(u64::from(interval_us)))
    }
}

/// A moment 75 to 100 % of the interval after `from`, 75 to 90 % with a multiplier of 1 (RFC 5880 §6.8.7): uniform
/// over the points of the grid in that range, or over the range when there is none.
pub(super) fn jittered(
    from: Instant,
    interval: Duration,
    multiplier: u8,
    pace: &mut Pace<'_>,
) -> Instant {
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4);
    let interval_us = us(interval);
    let most = if multiplier <= 1 { 90 } else { 100 };
    let (low, high) = (interval_us * 3 / 4, interval_us * most / 100);
    let offset = us(from.saturating_duration_since(pace.epoch));
    // The offset is rounded down, so a point less than a microsecond early is left out.
    let first = (offset + 1 + low).div_ceil(GRID_US);
    let last = (offset + high) / GRID_US;
    match last.checked_sub(first) {
        Some(points) => {
            pace.epoch + Duration::from_micros((first + pace.random.up_to(points)) * GRID_US)
        }
        None => from + Duration::from_micros(low + pace.random.up_to(high.saturating_sub(low))),
    }
}

/// A few at once, then one per [`GUARD`] (generic cell rate algorithm).
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    full_at: Instant,
}

impl Guard {
    pub(super) fn new(now: Instant) -> Self {
        Guard { full_at: now }
    }

    /// When the next may go.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let tolerance = GUARD * (PROMPT_BURST - 1);
        let wait = self.full_at.saturating_duration_since(now);
        now + wait.saturating_sub(tolerance)
    }

    /// One went.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + GUARD;
    }
}

#[cfg(test)]
mod tests;
