//! Who is at the other end of an unnumbered link (BGP-14): router advertisements, heard and sent.
//!
//! Owns the schedule of ours and the choice of the neighbour. The first one that is heard wins; one without a session
//! that has been silent for 30 s is forgotten. Whatever is heard, a link remembers two addresses. Opens no socket.

use crate::write::SplitMix;
use l2::MacAddr;
use l2::packet::router;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

/// Between the first ones, jittered.
const SOON: Duration = Duration::from_secs(1);
/// How many of them there are.
const FIRST: u8 = 4;
/// Between the later ones.
const LATER: Duration = Duration::from_secs(10);
/// After this silence a neighbour without a session is forgotten.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A message to send to all nodes or all routers of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The link.
    pub ifindex: u32,
    /// From the ICMPv6 type on, checksum 0.
    pub octets: Vec<u8>,
    /// To all routers (`ff02::2`) and not to all nodes (`ff02::1`).
    pub to_routers: bool,
}

#[derive(Clone, Debug)]
struct Link {
    mac: Option<MacAddr>,
    due: Instant,
    sent: u8,
    last_sent: Option<Instant>,
    neighbor: Option<(Ipv6Addr, Instant)>,
    /// Another one was heard beside it; told once.
    rival: Option<Ipv6Addr>,
}

/// Every unnumbered link.
pub(super) struct Neighbors {
    links: BTreeMap<u32, Link>,
    random: SplitMix,
    transmits: Vec<Discovery>,
    refused: u64,
}

/// What a message changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// There is a neighbour now and was none.
    pub(super) found: bool,
    /// A second router is on the link: the first and it.
    pub(super) rival: Option<(Ipv6Addr, Ipv6Addr)>,
}

impl Neighbors {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            random: SplitMix::new(seed ^ 0x6e65_6967),
            transmits: Vec::new(),
            refused: 0,
        }
    }

    /// The links that there are to be, with our hardware addresses. Answers those that are
    /// new and those that are gone.
    pub(super) fn set_links(
        &mut self,
        wanted: &BTreeMap<u32, Option<MacAddr>>,
        now: Instant,
    ) -> (Vec<u32>, Vec<u32>) {
        let gone: Vec<u32> = self.links.keys().copied().collect();
        let gone: Vec<u32> = gone
            .into_iter()
            .filter(|index| !wanted.contains_key(index))
            .collect();
        for index in &gone {
            self.links.remove(index);
        }
        let mut new = Vec::new();
        for (index, mac) in wanted {
            match self.links.get_mut(index) {
                Some(link) => link.mac = *mac,
                None => {
                    new.push(*index);
                    let link = Link {
                        mac: *mac,
                        due: now,
                        sent: 0,
                        last_sent: None,
                        neighbor: None,
                        rival: None,
                    };
                    self.links.insert(*index, link);
                }
            }
        }
        (new, gone)
    }

    /// The neighbour of a link.
    pub(super) fn of(&self, ifindex: u32) -> Option<Ipv6Addr> {
        self.links
            .get(&ifindex)?
            .neighbor
            .map(|(address, _)| address)
    }

    /// Messages that were no advertisements of a neighbour.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// A message came in. `established`: there is a session with the neighbour of the link.
    pub(super) fn heard(
        &mut self,
        ifindex: u32,
        from: Ipv6Addr,
        hop_limit: Option<u8>,
        octets: &[u8],
        established: bool,
        now: Instant,
    ) -> Heard {
        let Some(link) = self.links.get_mut(&ifindex) else {
            return Heard::default();
        };
        if router::check_advertisement(octets, from, hop_limit).is_err() {
            self.refused = self.refused.saturating_add(1);
            return Heard::default();
        }
        let mut heard = Heard::default();
        match &mut link.neighbor {
            None => {
                link.neighbor = Some((from, now));
                heard.found = true;
            }
            Some((address, at)) if *address == from => *at = now,
            Some((address, _)) => {
                if link.rival != Some(from) {
                    heard.rival = Some((*address, from));
                    link.rival = Some(from);
                }
                return heard;
            }
        }
        // A router that has just started waits for ours.
        let rested = link.last_sent.is_none_or(|last| now >= last + SOON);
        if !established && rested {
            link.due = link.due.min(now);
        }
        heard
    }

    /// Sends what is due and forgets who is silent; true when somebody was forgotten.
    pub(super) fn handle_timeout(&mut self, established: &BTreeSet<u32>, now: Instant) -> bool {
        let mut forgotten = false;
        for (index, link) in &mut self.links {
            let silent = link.neighbor.is_some_and(|(_, at)| now >= at + SILENCE_MAX);
            if silent && !established.contains(index) {
                link.neighbor = None;
                link.rival = None;
                forgotten = true;
            }
            if link.due > now {
                continue;
            }
            let message = |octets, to_routers| Discovery {
                ifindex: *index,
                octets,
                to_routers,
            };
            if link.neighbor.is_none() {
                self.transmits
                    .push(message(router::solicitation(link.mac), true));
            }
            self.transmits
                .push(message(router::advertisement(link.mac), false));
            link.last_sent = Some(now);
            link.sent = link.sent.saturating_add(1);
            link.due = match link.sent {
                ..FIRST => now + self.random.jittered(SOON),
                _ => now + LATER,
            };
        }
        forgotten
    }

    pub(super) fn poll_timeout(&self, established: &BTreeSet<u32>) -> Option<Instant> {
        let silence = |index: &u32, link: &Link| {
            let watched = !established.contains(index);
            let heard = link.neighbor.filter(|_| watched);
            heard.map(|(_, at)| at + SILENCE_MAX)
        };
        self.links
            .iter()
            .flat_map(|(index, link)| [Some(link.due), silence(index, link)])
            .flatten()
            .min()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Discovery> {
        self.transmits.pop()
    }
}

#[cfg(test)]
mod tests;
