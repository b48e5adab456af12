//! Rates: a bucket that needs one instant, a table of senders, and a ten-in-a-second window.
//!
//! Owns the arithmetic and the bound of the sender table. Does not know what is being limited.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::mac::MacAddr;

/// Senders whose budget is remembered (L2-23): a segment with more active ones at a time is under attack, and then the
/// interface's budget is what holds.
pub(crate) const SENDERS_MAX: usize = 1_024;

/// A rate with a burst (generic cell rate algorithm): `burst` at once, then one per `interval`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    interval: Duration,
    tolerance: Duration,
}

impl Rate {
    /// At least one per second and a burst of one, so that no configuration makes us silent.
    pub(crate) fn new(per_sec: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_sec.max(1);
        Rate {
            interval,
            tolerance: interval * (burst.max(1) - 1),
        }
    }
}

/// What has been taken from a rate: the instant at which the bucket is full again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Bucket { full_at: now }
    }

    /// Takes one if there is one.
    pub(crate) fn take(&mut self, rate: &Rate, now: Instant) -> bool {
        let full_at = self.full_at.max(now);
        let free = full_at.saturating_duration_since(now) <= rate.tolerance;
        if free {
            self.full_at = full_at + rate.interval;
        }
        free
    }

    /// Whether one could be taken.
    pub(crate) fn has(&self, rate: &Rate, now: Instant) -> bool {
        self.full_at.saturating_duration_since(now) <= rate.tolerance
    }

    /// How long from `now` until `count` can be taken in a row; a count above the burst waits for the burst.
    pub(crate) fn wait_for(&self, rate: &Rate, count: u32, now: Instant) -> Duration {
        let full_in = self.full_at.saturating_duration_since(now);
        let spare = rate
            .tolerance
            .saturating_sub(rate.interval * count.saturating_sub(1));
        full_in.saturating_sub(spare)
    }
}

/// The budgets of up to [`SENDERS_MAX`] senders; a new one takes the place of a random one when the table is full, so
/// that an attacker cannot choose whose budget is forgotten.
#[derive(Debug)]
pub(crate) struct Senders {
    places: BTreeMap<MacAddr, usize>,
    buckets: Vec<(MacAddr, Bucket)>,
    random: SplitMix,
}

impl Senders {
    pub(crate) fn new(seed: u64) -> Self {
        Senders {
            places: BTreeMap::new(),
            buckets: Vec::new(),
            random: SplitMix(seed),
        }
    }

    /// Takes one from the sender's budget.
    pub(crate) fn take(&mut self, sender: MacAddr, rate: &Rate, now: Instant) -> bool {
        if let Some((_, bucket)) = self
            .places
            .get(&sender)
            .and_then(|&place| self.buckets.get_mut(place))
        {
            return bucket.take(rate, now);
        }
        let mut bucket = Bucket::new(now);
        let taken = bucket.take(rate, now);
        let place = if self.buckets.len() < SENDERS_MAX {
            self.buckets.push((sender, bucket));
            self.buckets.len() - 1
        } else {
            let place = self.random.below(SENDERS_MAX);
            if let Some(old) = self.buckets.get_mut(place) {
                self.places.remove(&old.0);
                *old = (sender, bucket);
            }
            place
        };
        self.places.insert(sender, place);
        taken
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(
            self.places.len(),
            self.buckets.len(),
            "index and table must agree"
        );
        self.places.len()
    }
}

/// At most ten in any second, exactly: the last ten are remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TenPerSecond {
    last: [Option<Instant>; 10],
    next: usize,
}

impl TenPerSecond {
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.last.get_mut(self.next) else {
            return false;
        };
        if oldest.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1)) {
            return false;
        }
        *oldest = Some(now);
        self.next = (self.next + 1) % self.last.len();
        true
    }
}

/// The generator of Steele, Lea and Flood (2014): small, seedable, good enough to choose a place. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).expect("below a usize")
    }
}

/// The finalizer of SplitMix64; specified, so that a spread by it is the same in every build.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
