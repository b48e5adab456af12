//! Deadlines by name, and the randomness that keeps peers out of step.
//!
//! Owns when something is due, not what is then done. The durations that the configuration does not set are here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A TCP attempt that takes longer is given up (BGP-04).
pub const CONNECT_ATTEMPT: Duration = Duration::from_secs(10);
/// How long a peer may take for its OPEN. `DIFFERS:` RFC 4271 §8.2.2 suggests 240 s; a router that accepts TCP and
/// never talks should not cost four minutes (BGP-66).
pub const OPEN_HOLD: Duration = Duration::from_secs(60);
/// A NOTIFICATION has this long to leave before the connection is closed without it (BGP-73).
pub const LINGER: Duration = Duration::from_secs(1);
/// The least send-hold time (RFC 9687 §4); twice the hold time where that is more.
pub const SEND_HOLD_MIN: Duration = Duration::from_secs(480);
/// Something has waited to be announced for this long: the peer takes octets, but not in earnest (BGP-68).
pub const BACKLOG_MAX: Duration = Duration::from_secs(15 * 60);
/// A session that stood for this long has shown that it can: what failed before is forgotten (BGP-62).
pub const STABLE: Duration = Duration::from_secs(60);
/// Refreshes closer together than this are one (BGP-44).
pub const REFRESH_SPACING: Duration = Duration::from_secs(1);
/// After BFD took a session down, BFD has this long to come up before a dial is tried without it (BGP-132).
pub const BFD_WAIT: Duration = Duration::from_secs(60);
/// After a peer refused what we offered, everything is offered again after this long (BGP-53).
pub const FULL_OFFER_AGAIN: Duration = Duration::from_secs(600);
/// All that a process that stops may take (BGP-73, BGP-74).
pub const STOP_MAX: Duration = Duration::from_secs(2);
/// Of that, how long GRACEFUL_SHUTDOWN stands before the routes go.
pub const STOP_DRAIN: Duration = Duration::from_millis(1500);
/// While held back, a connection of the peer's own is let in this often at the most.
pub const ACCEPT_SPACING: Duration = Duration::from_secs(1);
/// LIMIT: connections of the peer's own that are let in within [`ACCEPT_SPACING`]: more is no router that means well.
pub const ACCEPTS_MAX: u32 = 10;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The next attempt.
    ConnectRetry,
    /// The running attempt has failed.
    ConnectAttempt,
    /// Held back after an error.
    IdleHold,
    /// BFD has not come back.
    BfdWait,
    /// A refresh that came too early is answered.
    Refresh,
    /// End-of-RIB goes although nobody told us what to announce.
    EndOfRib,
    /// The routes have carried GRACEFUL_SHUTDOWN for long enough.
    Drain,
    /// Whatever still waits is not waited for.
    StopBy,
    /// Nothing was heard on the connection.
    Hold,
    /// Something has to be said on the connection.
    Keepalive,
    /// The connection takes nothing.
    SendHold,
    /// A backlog does not end.
    Backlog,
}

/// A set of deadlines, at most one for each name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.at.insert(timer, at);
    }

    /// Sets it only where it does not run.
    pub(crate) fn set_once(&mut self, timer: Timer, at: Instant) {
        self.at.entry(timer).or_insert(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.at.remove(&timer);
    }

    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        self.at.get(&timer).copied()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.at.values().min().copied()
    }

    /// Takes one that is due: the earliest, and among equals the first by name.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let (&timer, _) = self
            .at
            .iter()
            .filter(|(_, at)| **at <= now)
            .min_by_key(|(timer, at)| (**at, **timer))?;
        self.at.remove(&timer);
        Some(timer)
    }
}

/// SplitMix64: the same numbers from the same seed on every platform. Nothing secret comes from it.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Three quarters of it to all of it (RFC 4271 §10).
    pub(crate) fn jittered(&mut self, whole: Duration) -> Duration {
        let per_mille = 750 + (self.next() % 251) as u32;
        whole.saturating_mul(per_mille) / 1000
    }
}
