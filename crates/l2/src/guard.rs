//! Is an address ours alone? Probing before its first use, and our defence of it (RFC 5227 §2.1, §2.4; RFC 7527).
//!
//! Owns one probe per address that is not yet proven, the queue of probes that wait for budget, the addresses that
//! others were found to have, and when each was last defended. Does not build frames or read them: the responder says
//! what was heard, and takes probes to send. What two speakers on one address mean is decided by the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limit::SplitMix;
use crate::mac::MacAddr;
use crate::schedule::SEND_RETRY;

/// Probes of an address before its first use (L2-51).
pub const PROBES: u8 = 3;
/// From one probe to the next, and from the last to the verdict. `DIFFERS:` RFC 5227 §2.1.1 spaces them by 1 to 2 s,
/// for hosts that boot all at once; a Service waits for this one.
pub const PROBE_SPACING: Duration = Duration::from_millis(100);
/// An address that somebody has is probed again after this (L2-52).
pub const PROBE_RETRY: Duration = Duration::from_secs(30);
/// Least time between two defences of one address (L2-53; RFC 5227 §2.4, DEFEND_INTERVAL).
pub const DEFENCE_SPACING: Duration = Duration::from_secs(10);
/// Above this many probes at a time, verdicts fall together on a grid of [`VERDICT_TICK`]: whoever follows what is
/// announced would look at thousands of addresses for each of thousands of verdicts.
const MANY: usize = 64;
const VERDICT_TICK: Duration = Duration::from_millis(50);

/// What a probe waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many probes are out; the next one, or the verdict, is due.
    Asked(u8),
    /// Somebody has the address: asked again when due.
    InUse,
}

/// Invariant: in the queue that `place` names, under exactly that key, and in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The interface cannot send.
    Idle,
    Waiting(Instant),
    /// With the probes that are left: fewer go first, so that the first verdict among thousands does not wait for
    /// the last one's first probe.
    Ready(u8, Instant),
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    step: Step,
    place: Place,
    /// Who was found to have the address by the last verdict.
    by: Option<MacAddr>,
}

/// The addresses of one interface that are not proven to be ours alone, and what was defended.
#[derive(Debug)]
pub(crate) struct Guard {
    probes: BTreeMap<IpAddr, Probe>,
    waiting: BTreeSet<(Instant, IpAddr)>,
    ready: BTreeSet<(u8, Instant, IpAddr)>,
    defended: BTreeMap<IpAddr, Instant>,
    /// Of our solicitations: what comes back with it is our own echo (RFC 7527 §4.2).
    nonce: [u8; 6],
    epoch: Instant,
    ipv4: bool,
    ipv6: bool,
}

impl Guard {
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        let mut random = SplitMix(seed ^ 0x6e6f_6e63_6521_7f3a);
        let [a, b, c, d, e, f, ..] = random.next().to_be_bytes();
        Guard {
            probes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ready: BTreeSet::new(),
            defended: BTreeMap::new(),
            nonce: [a, b, c, d, e, f],
            epoch: now,
            ipv4: false,
            ipv6: false,
        }
    }

    /// Begins to probe an address: it is not to be used until [`Guard::advance`] gives it back.
    pub(crate) fn insert(&mut self, address: IpAddr, now: Instant) {
        self.probes.entry(address).or_insert(Probe {
            step: Step::Asked(0),
            place: Place::Idle,
            by: None,
        });
        if self.open(address) {
            self.queue(address, now);
        }
    }

    /// Forgets an address.
    pub(crate) fn remove(&mut self, address: IpAddr) {
        self.place(address, Place::Idle);
        self.probes.remove(&address);
        self.defended.remove(&address);
    }

    /// Says which families may be sent. A link that comes back may be another segment: everything is asked anew.
    pub(crate) fn set_open(&mut self, ipv4: bool, ipv6: bool, now: Instant) {
        let before = (self.ipv4, self.ipv6);
        (self.ipv4, self.ipv6) = (ipv4, ipv6);
        let addresses: Vec<IpAddr> = self.probes.keys().copied().collect();
        for address in addresses {
            let open = self.open(address);
            let was = if address.is_ipv4() {
                before.0
            } else {
                before.1
            };
            if open == was {
                continue;
            }
            if let Some(probe) = self.probes.get_mut(&address) {
                probe.step = Step::Asked(0);
            }
            if open {
                self.queue(address, now);
            } else {
                self.place(address, Place::Idle);
            }
        }
    }

    /// Moves what is due; returns the addresses that nobody else has.
    pub(crate) fn advance(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut free = Vec::new();
        while let Some(&(due, address)) = self.waiting.first() {
            if due > now {
                break;
            }
            match self.probes.get_mut(&address) {
                Some(Probe {
                    step: Step::Asked(PROBES..),
                    ..
                }) => {
                    self.remove(address);
                    free.push(address);
                }
                Some(probe) => {
                    if probe.step == Step::InUse {
                        probe.step = Step::Asked(0);
                    }
                    self.queue(address, due);
                }
                None => {
                    self.waiting.pop_first();
                }
            }
        }
        free
    }

    /// The next deadline of [`Guard::advance`].
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|&(due, _)| due)
    }

    /// Probes that wait for budget.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Hands out the next probe to send.
    pub(crate) fn take(&mut self, now: Instant) -> Option<IpAddr> {
        let &(_, _, address) = self.ready.first()?;
        let many = self.probes.len() > MANY;
        let probe = self.probes.get_mut(&address)?;
        let sent = match probe.step {
            Step::Asked(sent) => sent + 1,
            Step::InUse => 1,
        };
        probe.step = Step::Asked(sent);
        let mut due = now + PROBE_SPACING;
        if many && sent == PROBES {
            due = self.tick_after(due);
        }
        self.place(address, Place::Waiting(due));
        Some(address)
    }

    /// The probe last handed out for this address was not sent: it does not count (L2-25).
    pub(crate) fn failed(&mut self, address: IpAddr, now: Instant) {
        let open = self.open(address);
        let Some(probe) = self.probes.get_mut(&address) else {
            return;
        };
        if let Step::Asked(sent @ 1..) = probe.step {
            probe.step = Step::Asked(sent - 1);
            if open {
                self.place(address, Place::Waiting(now + SEND_RETRY));
            }
        }
    }

    /// Somebody has an address that is being probed: it is not asked for again for [`PROBE_RETRY`].
    pub(crate) fn in_use_by(&mut self, address: IpAddr, mac: MacAddr, now: Instant) {
        let Some(probe) = self.probes.get_mut(&address) else {
            return;
        };
        probe.by = Some(mac);
        if probe.step != Step::InUse {
            probe.step = Step::InUse;
            self.place(address, Place::Waiting(now + PROBE_RETRY));
        }
    }

    /// Addresses held back because of stations that turn out to be speakers: which of two speakers has an address is
    /// not a matter of probing (L2-54).
    pub(crate) fn pardon(&mut self, speakers: &BTreeSet<MacAddr>) -> Vec<IpAddr> {
        let theirs = self
            .in_use()
            .filter(|(_, mac)| speakers.contains(mac))
            .map(|(address, _)| address)
            .collect::<Vec<_>>();
        theirs.iter().for_each(|address| self.remove(*address));
        theirs
    }

    /// Not proven to be ours alone: not to be used.
    pub(crate) fn holds_back(&self, address: IpAddr) -> bool {
        self.probes.contains_key(&address)
    }

    /// Whether nothing is held back at all, which is nearly always.
    pub(crate) fn is_idle(&self) -> bool {
        self.probes.is_empty()
    }

    /// Probes of the address are out: another station's probe for it now means that both want it.
    pub(crate) fn is_asking(&self, address: IpAddr) -> bool {
        self.probes
            .get(&address)
            .is_some_and(|probe| probe.step != Step::InUse)
    }

    /// Who was found to have the address.
    pub(crate) fn user(&self, address: IpAddr) -> Option<MacAddr> {
        self.probes.get(&address)?.by
    }

    /// Addresses that others were found to have.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = (IpAddr, MacAddr)> + '_ {
        self.probes
            .iter()
            .filter_map(|(address, probe)| Some((*address, probe.by?)))
    }

    pub(crate) fn nonce(&self) -> [u8; 6] {
        self.nonce
    }

    /// Whether an address is to be defended now.
    pub(crate) fn defend(&mut self, address: IpAddr, now: Instant) -> bool {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < DEFENCE_SPACING;
        if self.defended.get(&address).is_some_and(recent) {
            return false;
        }
        self.defended.insert(address, now);
        true
    }

    fn open(&self, address: IpAddr) -> bool {
        if address.is_ipv4() {
            self.ipv4
        } else {
            self.ipv6
        }
    }

    fn tick_after(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.epoch).as_nanos();
        let ticks = since.div_ceil(VERDICT_TICK.as_nanos());
        let nanos = u64::try_from(ticks * VERDICT_TICK.as_nanos()).unwrap_or(u64::MAX);
        self.epoch + Duration::from_nanos(nanos)
    }

    /// To be asked for when the budget allows.
    fn queue(&mut self, address: IpAddr, since: Instant) {
        let left = match self.probes.get(&address).map(|probe| probe.step) {
            Some(Step::Asked(sent)) => PROBES.saturating_sub(sent),
            Some(Step::InUse) | None => PROBES,
        };
        self.place(address, Place::Ready(left, since));
    }

    fn place(&mut self, address: IpAddr, place: Place) {
        let Some(probe) = self.probes.get_mut(&address) else {
            return;
        };
        match std::mem::replace(&mut probe.place, place) {
            Place::Idle => {}
            Place::Waiting(due) => drop(self.waiting.remove(&(due, address))),
            Place::Ready(left, since) => drop(self.ready.remove(&(left, since, address))),
        }
        match place {
            Place::Idle => {}
            Place::Waiting(due) => drop(self.waiting.insert((due, address))),
            Place::Ready(left, since) => drop(self.ready.insert((left, since, address))),
        }
    }
}
