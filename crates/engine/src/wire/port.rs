//! One interface: its responder, its sockets' state, its retries.

use super::{Action, Protocol, Revision};
use crate::facts::Interface;
use l2::{FrameMeta, MacAddr, Responder};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// First wait after a failure, doubled up to [`RETRY_MAX`] (L2-47).
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Port {
    /// Which of the ports that were ever made.
    born: u64,
    name: String,
    mac: Option<[u8; 6]>,
    responder: Responder,
    sockets: Sockets,
    wait: Duration,
    failure: Option<String>,
    /// Announced before this port was silenced: what comes back of it is not probed.
    used: BTreeSet<IpAddr>,
}

/// What a port is settled in, beside its addresses.
pub(super) struct Ground<'a> {
    /// Hardware addresses of this node.
    pub(super) own: &'a BTreeSet<MacAddr>,
    /// Those of all other speakers.
    pub(super) speakers: &'a BTreeSet<MacAddr>,
    /// Whether nobody has ever announced an address (L2-51).
    pub(super) first_use: &'a dyn Fn(IpAddr) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sockets {
    /// To be opened at once.
    Wanted,
    /// The shell has been asked.
    Opening,
    Open,
    /// Failed; wanted again then.
    Failed(Instant),
}

impl Port {
    pub(super) fn new(
        config: l2::Config,
        interface: &Interface,
        born: u64,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            born,
            name: interface.name.clone(),
            mac: interface.mac,
            responder: Responder::new(config, facts(interface), seed, now),
            sockets: Sockets::Wanted,
            wait: RETRY_MIN,
            failure: None,
            used: BTreeSet::new(),
        }
    }

    /// The index belongs to another device than when this port was made (L2-45); a rename
    /// alone, or a new address alone, is the same one.
    pub(super) fn is_another(&self, interface: &Interface) -> bool {
        self.name != interface.name && self.mac != interface.mac
    }

    /// Any link event is a reason to try again at once.
    pub(super) fn link_changed(&mut self, interface: Option<&Interface>, now: Instant) {
        if let (Sockets::Failed(_), Some(_)) = (self.sockets, interface) {
            self.sockets = Sockets::Failed(now);
        }
    }

    pub(super) fn settle(
        &mut self,
        interface: &Interface,
        ground: Ground<'_>,
        here: &BTreeSet<IpAddr>,
        all: &BTreeSet<IpAddr>,
        now: Instant,
    ) {
        self.name.clone_from(&interface.name);
        self.mac = interface.mac;
        let facts = facts(interface);
        if *self.responder.interface() != facts {
            self.responder.set_interface(facts, now);
        }
        self.responder.set_own_macs(ground.own);
        self.responder.set_speaker_macs(ground.speakers);
        let elsewhere: BTreeSet<IpAddr> = all.difference(here).copied().collect();
        let used = &self.used;
        let first_use = |address| !used.contains(&address) && (ground.first_use)(address);
        self.responder
            .set_addresses_probing(here, &elsewhere, first_use, now);
        if let Sockets::Failed(at) = self.sockets
            && at <= now
        {
            self.sockets = Sockets::Wanted;
        }
    }

    /// Starts the burst of an address again.
    pub(super) fn announce(&mut self, address: IpAddr, now: Instant) {
        if self.responder.addresses().contains(&address) {
            self.responder.announce(address, now);
        }
    }

    /// Answers nothing until it is settled again.
    pub(super) fn silence(&mut self, now: Instant) {
        let nothing = BTreeSet::new();
        self.used = self.responder.announced();
        self.responder.set_addresses(&nothing, &nothing, now);
    }

    pub(super) fn wants_open(&self) -> bool {
        self.sockets == Sockets::Wanted
    }

    pub(super) fn open(&mut self, ifindex: u32) -> Action {
        self.sockets = Sockets::Opening;
        Action::Open {
            ifindex,
            arp: self.responder.arp_filter().clone(),
            ipv6: self.responder.nd_filter().clone(),
        }
    }

    /// New sockets have no filter but the first and no group (L2-68).
    pub(super) fn opened(&mut self, now: Instant) {
        if self.sockets == Sockets::Opening {
            self.responder.reopen(now);
            self.sockets = Sockets::Open;
            self.failure = None;
        }
    }

    pub(super) fn failed(&mut self, why: String, now: Instant) {
        // What failed while open is a new trouble: it starts with the short wait.
        if self.sockets == Sockets::Open {
            self.wait = RETRY_MIN;
        }
        self.sockets = Sockets::Failed(now + self.wait);
        self.wait = (self.wait * 2).min(RETRY_MAX);
        self.failure = Some(why);
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn handle_frame(&mut self, bytes: &[u8], meta: FrameMeta, now: Instant) {
        self.responder.handle_frame(bytes, meta, now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.responder.handle_timeout(now);
    }

    /// The wait after a failure is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.sockets, Sockets::Failed(at) if at <= now)
    }

    pub(super) fn transmit_failed(&mut self, kind: l2::TransmitKind, now: Instant) {
        self.responder.transmit_failed(kind, now);
    }

    pub(super) fn join_failed(&mut self, group: Ipv6Addr, now: Instant) {
        self.responder.join_failed(group, now);
    }

    /// What is due waits while the sockets are not open.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.sockets {
            Sockets::Open => self.responder.poll_timeout(),
            Sockets::Failed(at) => Some(at),
            Sockets::Wanted | Sockets::Opening => None,
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<l2::Transmit> {
        if self.sockets == Sockets::Open {
            self.responder.poll_transmit()
        } else {
            None
        }
    }

    pub(super) fn poll_action(&mut self, ifindex: u32) -> Option<Action> {
        if self.sockets != Sockets::Open {
            return None;
        }
        self.responder.poll_action().map(|action| match action {
            l2::Action::SetArpFilter(filter) => Action::SetFilter {
                ifindex,
                protocol: Protocol::Arp,
                filter,
            },
            l2::Action::SetNdFilter(filter) => Action::SetFilter {
                ifindex,
                protocol: Protocol::Ipv6,
                filter,
            },
            l2::Action::JoinGroup(group) => Action::JoinGroup { ifindex, group },
            l2::Action::LeaveGroup(group) => Action::LeaveGroup { ifindex, group },
        })
    }

    /// None while the sockets are not open: nothing is answered then.
    pub(super) fn revision(&self) -> Option<Revision> {
        (self.sockets == Sockets::Open).then(|| Revision {
            port: self.born,
            responder: self.responder.revision(),
        })
    }

    /// There are events, or what is announced has changed by a verdict.
    pub(super) fn has_news(&self) -> bool {
        self.responder.has_news()
    }

    pub(super) fn set_speaker_macs(&mut self, macs: &BTreeSet<MacAddr>) {
        self.responder.set_speaker_macs(macs);
    }

    pub(super) fn poll_event(&mut self) -> Option<l2::Event> {
        self.responder.poll_event()
    }

    pub(super) fn responder(&self) -> &Responder {
        &self.responder
    }

    /// What is really answered for; the news of it is taken with this.
    pub(super) fn announced(&mut self) -> BTreeSet<IpAddr> {
        self.responder.take_announced_changed();
        if self.sockets == Sockets::Open && self.responder.interface().usable {
            self.responder.announced()
        } else {
            BTreeSet::new()
        }
    }
}

fn facts(interface: &Interface) -> l2::Interface {
    l2::Interface {
        index: interface.index,
        mac: MacAddr(interface.mac.unwrap_or_default()),
        usable: interface.up && interface.carrier,
        ipv6: interface.ipv6,
    }
}
