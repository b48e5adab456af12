//! The generator behind discriminators, ports and jitter: SplitMix64, the same numbers from the same seed everywhere.
//!
//! Nothing secret comes from it.

/// A small generator that is a function of its seed.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `last`, both included.
    pub(crate) fn up_to(&mut self, last: u64) -> u64 {
        let number = self.next();
        match last.checked_add(1) {
            Some(bound) => number.checked_rem(bound).unwrap_or(0),
            None => number,
        }
    }
}
