//! Windows against replay: which counters of a boot were seen.
//!
//! Owns one window. Which boots have one is `seal`'s.

/// The highest counter seen and, for those just below it, whether each was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Window {
    highest: u64,
    seen: u128,
}

impl Window {
    /// Whether this counter was not seen yet and is not too old to tell. Counter 0 is never used.
    pub(crate) fn is_fresh(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        let age = self.highest - counter;
        counter != 0 && age < WINDOW && self.seen & (1 << age) == 0
    }

    /// Marks a counter as seen. Only for one that is fresh and was authenticated.
    pub(crate) fn mark(&mut self, counter: u64) {
        if counter > self.highest {
            let shift = counter - self.highest;
            self.seen = if shift < WINDOW {
                self.seen << shift
            } else {
                0
            };
            self.highest = counter;
        }
        let age = self.highest - counter;
        if age < WINDOW {
            self.seen |= 1 << age;
        }
    }
}

/// Datagrams that may overtake one another: more than a node sends in four seconds.
const WINDOW: u64 = 128;

#[cfg(test)]
mod tests;
