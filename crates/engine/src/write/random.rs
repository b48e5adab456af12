//! Jitter for retries: SplitMix64, the same numbers from the same seed. Nothing secret
//! comes from it.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `around` give or take a quarter, so that replicas do not fall into step.
    pub(crate) fn jittered(&mut self, around: Duration) -> Duration {
        let per_mille = 750 + u32::try_from(self.next() % 501).unwrap_or(0);
        around * per_mille / 1000
    }

    /// `around` give or take so many thousandths of it, 1,000 at most.
    pub(crate) fn around(&mut self, around: Duration, per_mille: u32) -> Duration {
        let spread = u64::from(per_mille.min(1000));
        let drawn = self.next() % (2 * spread + 1);
        let per_mille = u32::try_from(1000 - spread + drawn).unwrap_or(1000);
        around * per_mille / 1000
    }

    /// Somewhere from a tenth of the whole to all of it.
    pub(crate) fn within(&mut self, whole: Duration) -> Duration {
        let per_mille = u32::try_from(100 + self.next() % 901).unwrap_or(1000);
        whole * per_mille / 1000
    }
}
