//! When each address is announced unasked: the burst, the refresh, and the order under a budget (L2-30 to L2-36, L2-74).
//!
//! Owns one entry per address and two queues: what waits for its time, and what waits for budget. Does not build
//! frames, count them, or know the budget; the responder takes as many as it may.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limit::mix;

/// Rounds of a new IPv4 address: MetalLB's five plus an early one. `DIFFERS:` RFC 5227 §2.3 asks for two, 2 s apart (L2-31).
pub const BURST_IPV4: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(1_100),
    Duration::from_millis(2_200),
    Duration::from_millis(3_300),
    Duration::from_millis(4_400),
];
/// Rounds of a new IPv6 address. `DIFFERS:` RFC 4861 §7.2.6 allows three; switches that still converge need more (L2-74).
pub const BURST_IPV6: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(1_100),
    Duration::from_millis(2_200),
    Duration::from_millis(3_300),
    Duration::from_millis(4_400),
];
/// Least time between two unsolicited advertisements of one address (RFC 4861 §7.2.6, RetransTimer).
pub const IPV6_SPACING: Duration = Duration::from_secs(1);
/// Refresh points fall on this grid, so that thousands of addresses wake the loop four times a second and not once
/// each.
const REFRESH_TICK: Duration = Duration::from_millis(250);
/// A frame the kernel refused is due again after this (L2-25): long enough for a full queue to drain.
pub const SEND_RETRY: Duration = Duration::from_millis(100);

/// Which frame of which round comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Index into the burst, or `None` in the refresh.
    round: Option<u8>,
    /// IPv4 only: the request frame of the round is out, the reply frame is due.
    pub(crate) second: bool,
}

impl Step {
    const FIRST: Step = Step {
        round: Some(0),
        second: false,
    };
    const REFRESH: Step = Step {
        round: None,
        second: false,
    };

    /// Smaller goes first: request frames of all new addresses, their reply frames, later rounds, refresh (L2-34).
    fn class(self) -> u8 {
        match self {
            Step {
                round: Some(0),
                second: false,
            } => 0,
            Step {
                round: Some(0),
                second: true,
            } => 1,
            Step { round: Some(_), .. } => 2,
            Step { round: None, .. } => 3,
        }
    }
}

/// Where an entry stands. Invariant: an entry is in the queue its place names, under exactly that key, and in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In neither queue: the interface is down, or nothing more is due.
    Idle,
    /// In `waiting`.
    Waiting(Instant),
    /// In `ready`, due since.
    Ready(u8, Instant),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    step: Step,
    place: Place,
    /// When the first frame of the present round was handed out.
    round_start: Option<Instant>,
    /// The step and round start before the last frame was handed out, to go back to if it could not be sent.
    undo: Option<(Step, Option<Instant>)>,
}

/// The announcements of all addresses of one interface.
#[derive(Debug)]
pub(crate) struct Schedule {
    entries: BTreeMap<IpAddr, Entry>,
    waiting: BTreeSet<(Instant, IpAddr)>,
    ready: BTreeSet<(u8, Instant, IpAddr)>,
    refresh: Option<Duration>,
    /// Zero of the refresh grid.
    epoch: Instant,
    ipv4: bool,
    ipv6: bool,
}

impl Schedule {
    pub(crate) fn new(refresh: Option<Duration>, now: Instant) -> Self {
        Schedule {
            entries: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ready: BTreeSet::new(),
            refresh,
            epoch: now,
            ipv4: false,
            ipv6: false,
        }
    }

    /// Adds an address and starts its burst.
    pub(crate) fn insert(&mut self, address: IpAddr, now: Instant) {
        self.entries.entry(address).or_insert(Entry {
            step: Step::FIRST,
            place: Place::Idle,
            round_start: None,
            undo: None,
        });
        self.restart(address, now);
    }

    /// Forgets an address with everything that was due for it (L2-35).
    ///
    /// `LIMIT:` nothing is remembered of it, so an address that leaves and returns within a second is announced
    /// without [`IPV6_SPACING`]; the interface's budget still holds.
    pub(crate) fn remove(&mut self, address: IpAddr) {
        self.place(address, Place::Idle);
        self.entries.remove(&address);
    }

    /// Starts the burst of an address again, or marks it to start when its family may be sent.
    pub(crate) fn restart(&mut self, address: IpAddr, now: Instant) {
        let open = self.open(address);
        let Some(entry) = self.entries.get_mut(&address) else {
            return;
        };
        let spaced = entry.round_start.map_or(now, |start| start + IPV6_SPACING);
        let due = if address.is_ipv6() {
            spaced.max(now)
        } else {
            now
        };
        entry.step = Step::FIRST;
        entry.undo = None;
        self.place(
            address,
            if open {
                Place::Waiting(due)
            } else {
                Place::Idle
            },
        );
        self.advance(now);
    }

    /// Makes the next round of an address due now (L2-53): the one of its burst that would come next, or else one of
    /// the kind of the refresh. IPv6 keeps its spacing.
    pub(crate) fn defend(&mut self, address: IpAddr, now: Instant) {
        if !self.open(address) {
            return;
        }
        let Some(entry) = self.entries.get(&address) else {
            return;
        };
        let spaced = entry.round_start.map_or(now, |start| start + IPV6_SPACING);
        let due = if address.is_ipv6() {
            spaced.max(now)
        } else {
            now
        };
        // What waits for budget goes out as soon as anything can.
        if !matches!(entry.place, Place::Ready(..)) {
            self.place(address, Place::Waiting(due));
            self.advance(now);
        }
    }

    /// Starts the bursts of all addresses again because the hardware address changed: what was said before is wrong,
    /// so the IPv6 spacing does not hold it back. `DIFFERS:` from the letter of RFC 4861 §7.2.6 (L2-22).
    pub(crate) fn restart_all_renamed(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.round_start = None;
        }
        self.restart_where(now, |_| true);
    }

    /// Starts the bursts of all addresses again.
    pub(crate) fn restart_all(&mut self, now: Instant) {
        self.restart_where(now, |_| true);
    }

    /// Says which families may be sent. Rounds of a closed family are dropped; opening one starts its bursts (L2-36).
    pub(crate) fn set_open(&mut self, ipv4: bool, ipv6: bool, now: Instant) {
        let before = (self.ipv4, self.ipv6);
        (self.ipv4, self.ipv6) = (ipv4, ipv6);
        if before != (ipv4, ipv6) {
            self.restart_where(now, |address| match address {
                IpAddr::V4(_) => before.0 != ipv4,
                IpAddr::V6(_) => before.1 != ipv6,
            });
        }
    }

    /// Changes the refresh period; bursts go on as they are.
    pub(crate) fn set_refresh(&mut self, refresh: Option<Duration>, now: Instant) {
        if self.refresh == refresh {
            return;
        }
        self.refresh = refresh;
        let resting: Vec<IpAddr> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.step == Step::REFRESH)
            .map(|(address, _)| *address)
            .collect();
        for address in resting {
            if self.open(address) {
                let place = self
                    .refresh_at(address, now)
                    .map_or(Place::Idle, Place::Waiting);
                self.place(address, place);
            }
        }
    }

    /// Moves what has become due to the queue for budget.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(&(due, address)) = self.waiting.first() {
            if due > now {
                break;
            }
            let class = self
                .entries
                .get(&address)
                .map_or(u8::MAX, |entry| entry.step.class());
            self.place(address, Place::Ready(class, due));
        }
    }

    /// The next instant at which something becomes due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|&(due, _)| due)
    }

    /// Addresses with a frame that waits for budget.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Hands out the most urgent frame and moves its address on.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(IpAddr, Step)> {
        let &(_, _, address) = self.ready.first()?;
        let entry = self.entries.get_mut(&address)?;
        let step = entry.step;
        entry.undo = Some((step, entry.round_start));
        if !step.second {
            entry.round_start = Some(now);
        }
        let start = entry.round_start.unwrap_or(now);
        let place = if address.is_ipv4() && !step.second {
            entry.step.second = true;
            Place::Ready(entry.step.class(), now)
        } else {
            self.next_round(address, step, start)
        };
        self.place(address, place);
        self.advance(now);
        Some((address, step))
    }

    /// The frame last handed out for this address was not sent: it is due again at the next tick (L2-25).
    pub(crate) fn failed(&mut self, address: IpAddr, now: Instant) {
        let open = self.open(address);
        let Some(entry) = self.entries.get_mut(&address) else {
            return;
        };
        let Some((step, round_start)) = entry.undo.take() else {
            return;
        };
        entry.step = step;
        entry.round_start = round_start;
        if open {
            self.place(address, Place::Waiting(now + SEND_RETRY));
        }
    }

    fn open(&self, address: IpAddr) -> bool {
        if address.is_ipv4() {
            self.ipv4
        } else {
            self.ipv6
        }
    }

    fn restart_where(&mut self, now: Instant, which: impl Fn(&IpAddr) -> bool) {
        let addresses: Vec<IpAddr> = self
            .entries
            .keys()
            .filter(|address| which(address))
            .copied()
            .collect();
        for address in addresses {
            self.restart(address, now);
        }
    }

    /// Sets the step behind a completed round and says when it is due. Times count from when the round was really
    /// sent, so that an address that waited for budget keeps the spacing of its rounds.
    fn next_round(&mut self, address: IpAddr, step: Step, start: Instant) -> Place {
        let burst: &[Duration] = if address.is_ipv4() {
            &BURST_IPV4
        } else {
            &BURST_IPV6
        };
        let next = step.round.map(|round| round + 1);
        let offset = |round: u8| burst.get(usize::from(round)).copied();
        let in_burst = match (step.round.and_then(offset), next.and_then(offset)) {
            (Some(this), Some(then)) => Some(start + (then - this)),
            _ => None,
        };
        let step = if in_burst.is_some() {
            Step {
                round: next,
                second: false,
            }
        } else {
            Step::REFRESH
        };
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.step = step;
        }
        in_burst
            .or_else(|| self.refresh_at(address, start))
            .map_or(Place::Idle, Place::Waiting)
    }

    /// The next point of this address on the refresh grid: one per period, spread over it by a hash of the address.
    /// A point closer than a tenth of the period is left out, so that two rounds are at most a tenth too far apart.
    fn refresh_at(&self, address: IpAddr, after: Instant) -> Option<Instant> {
        let period = self.refresh?.as_nanos();
        let ticks = period / REFRESH_TICK.as_nanos();
        let phase = ((u128::from(spread(address)) * ticks) >> 64) * REFRESH_TICK.as_nanos();
        let earliest = after + (self.refresh? / 10).max(IPV6_SPACING);
        let elapsed = earliest.saturating_duration_since(self.epoch).as_nanos();
        let periods = elapsed.saturating_sub(phase).div_ceil(period);
        let offset = u64::try_from(periods * period + phase).ok()?;
        Some(self.epoch + Duration::from_nanos(offset))
    }

    fn place(&mut self, address: IpAddr, place: Place) {
        let Some(entry) = self.entries.get_mut(&address) else {
            return;
        };
        match std::mem::replace(&mut entry.place, place) {
            Place::Idle => {}
            Place::Waiting(due) => drop(self.waiting.remove(&(due, address))),
            Place::Ready(class, due) => drop(self.ready.remove(&(class, due, address))),
        }
        match place {
            Place::Idle => {}
            Place::Waiting(due) => drop(self.waiting.insert((due, address))),
            Place::Ready(class, due) => drop(self.ready.insert((class, due, address))),
        }
    }

    #[cfg(test)]
    pub(crate) fn assert_consistent(&self) {
        let mut queued = 0;
        for (address, entry) in &self.entries {
            match entry.place {
                Place::Idle => {}
                Place::Waiting(due) => {
                    assert!(self.waiting.contains(&(due, *address)));
                    queued += 1;
                }
                Place::Ready(class, due) => {
                    assert!(self.ready.contains(&(class, due, *address)));
                    queued += 1;
                }
            }
        }
        assert_eq!(
            queued,
            self.waiting.len() + self.ready.len(),
            "no entry is queued twice or without its address"
        );
    }
}

/// Where in the refresh period an address stands, as a fraction of 2^64.
fn spread(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => mix(u64::from(u32::from(address)) ^ 0x5851_f42d_4c95_7f2d),
        IpAddr::V6(address) => {
            let value = u128::from(address);
            mix(mix((value >> 64) as u64) ^ value as u64)
        }
    }
}

#[cfg(test)]
mod tests;
