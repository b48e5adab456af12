//! foca's timers: tokens in one bounded queue ordered by time, then by arrival.
//!
//! Owns the waiting tokens. Does not know what they mean, but for the three the machine treats specially.

use std::collections::BTreeMap;
use std::time::Instant;

use foca::Timer;

use crate::identity::Identity;

/// The waiting timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer<Identity>>,
    arrivals: u64,
}

impl Timers {
    /// Adds a timer; a full queue refuses it.
    pub(crate) fn push(&mut self, at: Instant, timer: Timer<Identity>) -> bool {
        // foca asks to forget each identity that went down. Only the latest of a name is still in its table.
        if let Timer::RemoveDown(down) = &timer {
            self.queue.retain(|_, waiting| !matches!(waiting, Timer::RemoveDown(other) if other.is_namesake(down)));
        }
        if self.queue.len() >= MAX_TIMERS {
            return false;
        }
        self.arrivals += 1;
        self.queue.insert((at, self.arrivals), timer);
        true
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer<Identity>> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Takes the waiting step from direct to indirect probing of the member at this address, if there is one.
    pub(crate) fn take_direct_probe(
        &mut self,
        address: std::net::SocketAddr,
    ) -> Option<Timer<Identity>> {
        let key = *self
            .queue
            .iter()
            .find(|(_, timer)| matches!(timer, Timer::SendIndirectProbe { probed_id, .. } if probed_id.address == address))?
            .0;
        self.queue.remove(&key)
    }

    /// After a pause of our own: forgets the probe under way and every suspicion, and lets the periodic timers that are overdue come at
    /// `resume`, so that what waits in the socket is heard first. foca takes a probe round that ends without its middle step as void.
    pub(crate) fn forgive(&mut self, now: Instant, resume: Instant) {
        let waiting = std::mem::take(&mut self.queue);
        for ((at, arrival), timer) in waiting {
            match timer {
                Timer::SendIndirectProbe { .. } | Timer::ChangeSuspectToDown { .. } => {}
                periodic if at <= now => {
                    self.queue.insert((resume, arrival), periodic);
                }
                later => {
                    self.queue.insert((at, arrival), later);
                }
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// Timers kept at once: one per name that may be forgotten (at most `MAX_NAMES`), one per suspicion within its 300 ms, a handful that
/// repeat.
pub(crate) const MAX_TIMERS: usize = 4_096;

#[cfg(test)]
mod tests;
