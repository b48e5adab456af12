//! The responder for the addresses of one interface: the machine and its contract.
//!
//! Owns the address set, the reply queue, the budgets, the schedule, the guard, the group memberships and the counters.
//! Does not own a socket, choose addresses, or decide between speakers. Reading of frames is in the module `receive`.
//!
//! ```text
//!   set_interface ─┐                         ┌─► poll_transmit   replies, probes, gratuitous frames within their budgets
//!   set_addresses ─┤                         ├─► poll_action     filters to attach, groups to join and leave
//!   handle_frame  ─┼──────► Responder ───────┼─► poll_event      claims by others
//!   handle_timeout ┤                         └─► poll_timeout    one deadline
//!   transmit_failed, join_failed, reopen
//! ```
//!
//! The caller drains the polls after each call that takes `now`, and only then asks for the deadline.

mod receive;
mod standing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::claims::{self, Claims};
use crate::config::{Config, Interface};
use crate::counters::Counters;
use crate::filter::Filter;
use crate::groups::{Change, Groups};
use crate::guard::Guard;
use crate::limit::{Bucket, Rate, Senders, TenPerSecond};
use crate::mac::MacAddr;
use crate::packet::{arp, nd};
use crate::schedule::{Schedule, Step};

/// Frames that the shell reads from one socket in one turn of its loop (L2-24), so also the most replies that wait.
pub const FRAMES_PER_TURN: usize = 256;
/// Events that wait to be polled; more are counted as lost. Claims alone can make no more than 64 in ten minutes.
pub const EVENTS_MAX: usize = 256;
/// Gratuitous frames sent per wake-up under load: 10 ms of the default budget, so that a takeover of thousands of
/// addresses wakes the loop a hundred times a second and not four thousand times.
const GRATUITOUS_BATCH: u32 = 40;
/// Gratuitous frames in a row before the rate counts: two batches, so that a late wake-up loses no budget.
const GRATUITOUS_BURST: u32 = 2 * GRATUITOUS_BATCH;
/// Replies in a row, to all senders, before the interface's rate counts: 50 ms of the default rate.
pub(crate) const INTERFACE_BURST: u32 = 1_000;

/// A whole Ethernet frame to send on the responder's interface, padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The frame from its destination address on, without check sequence.
    pub bytes: Vec<u8>,
    /// Why it is sent; to be given back to [`Responder::transmit_failed`].
    pub kind: TransmitKind,
}

/// Why a frame is sent, and for which of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransmitKind {
    /// The answer to a request.
    Reply(IpAddr),
    /// Unasked: a burst, refresh or defence frame.
    Gratuitous(IpAddr),
    /// A question whether anybody has the address, before its first use.
    Probe(IpAddr),
}

/// Something to do that is not sending a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Join this group on the interface by an ordinary IPv6 socket. Being a member already is success. A failure is
    /// told by [`Responder::join_failed`].
    JoinGroup(Ipv6Addr),
    /// Leave this group; that the kernel has forgotten it is success (L2-69).
    LeaveGroup(Ipv6Addr),
    /// Put this filter on the ARP socket in place of the old one (L2-12).
    SetArpFilter(Filter),
    /// Put this filter on the IPv6 socket in place of the old one (L2-61).
    SetNdFilter(Filter),
}

/// A fact worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A station that is no speaker says that it has one of our addresses, which is defended (L2-53). Told once per
    /// address and station in ten minutes, and for at most 64 of them; each frame is counted.
    ForeignClaim {
        /// Our address.
        address: IpAddr,
        /// The station that claims it.
        mac: MacAddr,
    },
    /// A probe found that a station has the address: it is not announced on this interface, and probed again every 30 s
    /// (L2-52). Told as a foreign claim is.
    InUse {
        /// The address.
        address: IpAddr,
        /// The station that has it, or wants it too.
        mac: MacAddr,
    },
    /// Another speaker says that it has one of our addresses (L2-54). Nothing is done here; told once a second per
    /// address and station, for at most 64 of them.
    SpeakerClaim {
        /// Our address.
        address: IpAddr,
        /// An interface of the other speaker.
        mac: MacAddr,
    },
}

impl Event {
    /// The address it is about.
    pub fn address(&self) -> IpAddr {
        match self {
            Event::ForeignClaim { address, .. }
            | Event::InUse { address, .. }
            | Event::SpeakerClaim { address, .. } => *address,
        }
    }
}

/// Answers for a set of addresses on one interface.
#[derive(Debug)]
pub struct Responder {
    config: Config,
    interface: Interface,
    /// The latest time we were told.
    now: Instant,
    /// Answered on this interface. Invariant: the keys of `counters.addresses` are exactly these.
    here: BTreeSet<IpAddr>,
    /// Ours, but answered on other interfaces only.
    elsewhere: BTreeSet<IpAddr>,
    /// Hardware addresses of this node's other interfaces: what they say is no foreign claim.
    own_macs: BTreeSet<MacAddr>,
    /// Hardware addresses of other speakers, living or gone.
    speaker_macs: BTreeSet<MacAddr>,
    counters: Counters,
    replies: VecDeque<Transmit>,
    events: VecDeque<Event>,
    senders: Senders,
    sender_rate: Rate,
    interface_bucket: Bucket,
    interface_rate: Rate,
    /// Answers to duplicate address detection, per address (L2-73); made at the first such answer.
    dad: BTreeMap<Ipv6Addr, TenPerSecond>,
    schedule: Schedule,
    gratuitous_bucket: Bucket,
    gratuitous_rate: Rate,
    groups: Groups,
    guard: Guard,
    probe_bucket: Bucket,
    probe_rate: Rate,
    /// What is announced has changed by a verdict of the guard.
    announced_changed: bool,
    /// See [`Responder::revision`].
    revision: u64,
    foreign_told: Claims,
    in_use_told: Claims,
    speakers_told: Claims,
    arp_filter: PendingFilter,
    nd_filter: PendingFilter,
}

#[derive(Debug)]
struct PendingFilter {
    filter: Filter,
    /// To be handed out by the next poll.
    changed: bool,
}

impl Responder {
    /// A responder that answers for nothing yet. Its first actions are filters that let nothing through.
    pub fn new(config: Config, interface: Interface, seed: u64, now: Instant) -> Self {
        let mut responder = Responder {
            config,
            interface,
            now,
            here: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            own_macs: BTreeSet::new(),
            speaker_macs: BTreeSet::new(),
            counters: Counters::default(),
            replies: VecDeque::with_capacity(FRAMES_PER_TURN),
            events: VecDeque::new(),
            senders: Senders::new(seed),
            sender_rate: Rate::new(config.sender_replies_per_sec, config.sender_burst),
            interface_bucket: Bucket::new(now),
            interface_rate: Rate::new(config.interface_replies_per_sec, INTERFACE_BURST),
            dad: BTreeMap::new(),
            schedule: Schedule::new(config.refresh_period(), now),
            gratuitous_bucket: Bucket::new(now),
            gratuitous_rate: Rate::new(config.gratuitous_per_sec, GRATUITOUS_BURST),
            groups: Groups::default(),
            guard: Guard::new(seed, now),
            probe_bucket: Bucket::new(now),
            probe_rate: Rate::new(config.probes_per_sec, GRATUITOUS_BURST),
            announced_changed: false,
            revision: 0,
            foreign_told: Claims::new(claims::REPEAT),
            in_use_told: Claims::new(claims::REPEAT),
            speakers_told: Claims::new(claims::SPEAKER_REPEAT),
            arp_filter: PendingFilter {
                filter: Filter::arp([]),
                changed: true,
            },
            nd_filter: PendingFilter {
                filter: Filter::nd([]),
                changed: true,
            },
        };
        responder.open(true, now);
        responder
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The interface as last told.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The addresses planned for this interface, those included that the guard holds back.
    pub fn addresses(&self) -> &BTreeSet<IpAddr> {
        &self.here
    }

    /// The addresses answered for on this interface: proven, or used before.
    pub fn announced(&self) -> BTreeSet<IpAddr> {
        if self.guard.is_idle() {
            return self.here.clone();
        }
        let proven = |address: &&IpAddr| !self.guard.holds_back(**address);
        self.here.iter().filter(proven).copied().collect()
    }

    /// The addresses that are not announced because a station has them, with that station (L2-52).
    pub fn in_use(&self) -> impl Iterator<Item = (IpAddr, MacAddr)> + '_ {
        self.guard.in_use()
    }

    /// Whether events wait, or a verdict of the guard changed what is announced: cheap enough to be asked after each
    /// frame.
    pub fn has_news(&self) -> bool {
        self.announced_changed || !self.events.is_empty()
    }

    /// Whether a verdict of the guard changed [`Responder::announced`] or [`Responder::in_use`] since the last call.
    pub fn take_announced_changed(&mut self) -> bool {
        std::mem::take(&mut self.announced_changed)
    }

    /// What was received, sent and dropped.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The present ARP filter, for a socket that is about to be opened.
    pub fn arp_filter(&self) -> &Filter {
        &self.arp_filter.filter
    }

    /// The present Neighbor Discovery filter, for a socket that is about to be opened.
    pub fn nd_filter(&self) -> &Filter {
        &self.nd_filter.filter
    }

    /// Takes new budgets and a new refresh period; nothing that was announced is announced again for it.
    pub fn set_config(&mut self, config: Config, now: Instant) {
        self.turn(now);
        self.config = config;
        self.sender_rate = Rate::new(config.sender_replies_per_sec, config.sender_burst);
        self.interface_rate = Rate::new(config.interface_replies_per_sec, INTERFACE_BURST);
        self.gratuitous_rate = Rate::new(config.gratuitous_per_sec, GRATUITOUS_BURST);
        self.probe_rate = Rate::new(config.probes_per_sec, GRATUITOUS_BURST);
        self.schedule.set_refresh(config.refresh_period(), self.now);
    }

    /// Takes the facts of a link event. Becoming usable, a new index and a new hardware address start all bursts
    /// again (L2-22, L2-32); becoming usable and a new index also hand out all groups and filters again (L2-68).
    /// While the interface is unusable nothing is sent or answered, and what was due waits (L2-36).
    pub fn set_interface(&mut self, interface: Interface, now: Instant) {
        self.turn(now);
        let old = std::mem::replace(&mut self.interface, interface);
        self.revision += 1;
        let fresh = interface.index != old.index || interface.can_send() && !old.can_send();
        if interface.mac != old.mac || !interface.can_send() {
            // Built with facts that are no longer true.
            self.replies.clear();
        }
        self.open(fresh, self.now);
        if interface.can_send() && interface.mac != old.mac {
            self.schedule.restart_all_renamed(self.now);
        } else if interface.can_send() && interface.index != old.index {
            self.schedule.restart_all(self.now);
        }
    }

    /// The sockets of the interface were closed and opened again, by whatever trouble: filters and groups are handed
    /// out again (L2-68). What was due has waited; nothing is announced again for it.
    pub fn reopen(&mut self, now: Instant) {
        self.turn(now);
        self.open(true, self.now);
    }

    /// Takes the hardware addresses of this node's other interfaces: two interfaces on one segment hear each other,
    /// and that is no conflict.
    pub fn set_own_macs(&mut self, macs: &BTreeSet<MacAddr>) {
        if self.own_macs != *macs {
            self.own_macs.clone_from(macs);
        }
    }

    /// Takes the hardware addresses of all other speakers, of those that are gone too: what they say of an address is
    /// for the engine to judge (L2-54). An address that was held back because of one of them is so no more.
    pub fn set_speaker_macs(&mut self, macs: &BTreeSet<MacAddr>) {
        if self.speaker_macs == *macs {
            return;
        }
        self.speaker_macs.clone_from(macs);
        for address in self.guard.pardon(macs) {
            self.announced_changed = true;
            self.revision += 1;
            self.schedule.insert(address, self.now);
        }
    }

    /// As [`Responder::set_addresses_probing`], with every address taken for one that was used before.
    pub fn set_addresses(
        &mut self,
        here: &BTreeSet<IpAddr>,
        elsewhere: &BTreeSet<IpAddr>,
        now: Instant,
    ) {
        self.set_addresses_probing(here, elsewhere, |_| false, now);
    }

    /// Takes the whole desired state: `here` is answered on this interface, `elsewhere` is ours on other interfaces
    /// only (for `NotMatchInterface`; an address in both is answered). What is new is announced; what is gone is
    /// silent when this returns, with all that was due for it (L2-35); what stays is left alone (L2-32). Addresses
    /// that no host can have (unspecified, multicast, broadcast) are left out. `first_use` is asked once for each new
    /// one: was it never announced by anybody? Then it is probed before it is announced (L2-51).
    pub fn set_addresses_probing(
        &mut self,
        here: &BTreeSet<IpAddr>,
        elsewhere: &BTreeSet<IpAddr>,
        first_use: impl Fn(IpAddr) -> bool,
        now: Instant,
    ) {
        self.turn(now);
        if *here == self.here && *elsewhere == self.elsewhere {
            return;
        }
        let here: BTreeSet<IpAddr> = here
            .iter()
            .filter(|address| is_host(address))
            .copied()
            .collect();
        let old = std::mem::replace(&mut self.here, here);
        self.revision += 1;
        let mut removed = false;
        for &address in old.difference(&self.here) {
            removed = true;
            self.counters.addresses.remove(&address);
            self.schedule.remove(address);
            self.guard.remove(address);
            for told in [
                &mut self.foreign_told,
                &mut self.in_use_told,
                &mut self.speakers_told,
            ] {
                told.forget(address);
            }
            if let IpAddr::V6(address) = address {
                self.dad.remove(&address);
                self.groups.remove(address);
            }
        }
        if removed {
            let here = &self.here;
            self.replies
                .retain(|transmit| here.contains(&transmit.kind.address()));
            self.events.retain(|event| here.contains(&event.address()));
        }
        for &address in self.here.difference(&old) {
            self.counters.addresses.entry(address).or_default();
            if first_use(address) {
                self.guard.insert(address, self.now);
            } else {
                self.schedule.insert(address, self.now);
            }
            if let IpAddr::V6(address) = address {
                self.groups.insert(address);
            }
        }
        self.elsewhere.clone_from(elsewhere);
        self.update_filters();
    }

    /// Starts the burst of an address again: a resolved conflict, or a planned move (L2-32).
    pub fn announce(&mut self, address: IpAddr, now: Instant) {
        self.turn(now);
        self.schedule.restart(address, self.now);
    }

    /// Takes a received frame; at most one reply comes of it. Never panics, whatever the bytes.
    pub fn handle_frame(&mut self, frame: &[u8], meta: crate::config::FrameMeta, now: Instant) {
        self.now = self.now.max(now);
        self.counters.frames_received += 1;
        if let Err(reason) = self.receive(frame, meta) {
            self.counters.count_drop(reason);
        }
    }

    /// Moves what is due by now to where the polls find it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.turn(now);
    }

    /// The kernel refused a frame (`ENOBUFS`, `ENETDOWN`). A reply is given up, the requester asks again; a gratuitous
    /// frame is due again at the next tick (L2-25).
    pub fn transmit_failed(&mut self, kind: TransmitKind, now: Instant) {
        self.turn(now);
        if let Some(counters) = self.counters.addresses.get_mut(&kind.address()) {
            counters.send_failures += 1;
        }
        match kind {
            TransmitKind::Gratuitous(address) => self.schedule.failed(address, self.now),
            TransmitKind::Probe(address) => self.guard.failed(address, self.now),
            TransmitKind::Reply(_) => {}
        }
    }

    /// The kernel refused to join a group: tried again after 1, 2, 4 … 30 s and at each link event (L2-68).
    pub fn join_failed(&mut self, group: Ipv6Addr, now: Instant) {
        self.turn(now);
        self.groups.join_failed(group, self.now);
    }

    /// When to call [`Responder::handle_timeout`], after the polls were drained; `None` if nothing will be due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gratuitous = wait(
            self.schedule.ready(),
            &self.gratuitous_bucket,
            &self.gratuitous_rate,
            self.now,
        );
        let probe = wait(
            self.guard.ready(),
            &self.probe_bucket,
            &self.probe_rate,
            self.now,
        );
        [
            gratuitous,
            probe,
            self.schedule.next_due(),
            self.guard.next_due(),
            self.groups.next_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next frame to send: replies first, then probes and gratuitous frames while their budgets last.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self
            .replies
            .pop_front()
            .or_else(|| self.probe())
            .or_else(|| self.gratuitous())?;
        if let Some(counters) = self.counters.addresses.get_mut(&transmit.kind.address()) {
            match transmit.kind {
                TransmitKind::Reply(_) => counters.responses_sent += 1,
                TransmitKind::Gratuitous(_) => counters.gratuitous_sent += 1,
                TransmitKind::Probe(_) => counters.probes_sent += 1,
            }
        }
        Some(transmit)
    }

    /// The next thing to do beside sending: filters before groups, so that nothing unfiltered is queued.
    pub fn poll_action(&mut self) -> Option<Action> {
        if std::mem::take(&mut self.arp_filter.changed) {
            return Some(Action::SetArpFilter(self.arp_filter.filter.clone()));
        }
        if std::mem::take(&mut self.nd_filter.changed) {
            return Some(Action::SetNdFilter(self.nd_filter.filter.clone()));
        }
        self.groups.poll().map(|change| match change {
            Change::Join(group) => Action::JoinGroup(group),
            Change::Leave(group) => Action::LeaveGroup(group),
        })
    }

    /// The next fact worth telling.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn turn(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for address in self.guard.advance(self.now) {
            self.announced_changed = true;
            self.revision += 1;
            self.schedule.insert(address, self.now);
        }
        self.schedule.advance(self.now);
        self.groups.advance(self.now);
    }

    /// Opens and closes what the interface's facts allow; `fresh` if its sockets are new.
    fn open(&mut self, fresh: bool, now: Instant) {
        let up = self.interface.can_send();
        self.groups.set_open(up && self.interface.ipv6, fresh);
        self.schedule.set_open(up, up && self.interface.ipv6, now);
        self.guard.set_open(up, up && self.interface.ipv6, now);
        self.arp_filter.changed |= fresh;
        self.nd_filter.changed |= fresh;
    }

    fn probe(&mut self) -> Option<Transmit> {
        if self.guard.ready() == 0 || !self.probe_bucket.has(&self.probe_rate, self.now) {
            return None;
        }
        let address = self.guard.take(self.now)?;
        self.probe_bucket.take(&self.probe_rate, self.now);
        let mac = self.interface.mac;
        let bytes = match address {
            IpAddr::V4(address) => arp::probe(mac, address),
            IpAddr::V6(address) => nd::probe(mac, address, self.guard.nonce()),
        };
        Some(Transmit {
            bytes,
            kind: TransmitKind::Probe(address),
        })
    }

    fn gratuitous(&mut self) -> Option<Transmit> {
        if self.schedule.ready() == 0
            || !self.gratuitous_bucket.has(&self.gratuitous_rate, self.now)
        {
            return None;
        }
        let (address, Step { second, .. }) = self.schedule.take(self.now)?;
        self.gratuitous_bucket.take(&self.gratuitous_rate, self.now);
        let mac = self.interface.mac;
        let bytes = match address {
            IpAddr::V4(address) if second => arp::gratuitous_reply(mac, address),
            IpAddr::V4(address) => arp::gratuitous_request(mac, address),
            IpAddr::V6(address) => nd::multicast_advertisement(mac, address),
        };
        Some(Transmit {
            bytes,
            kind: TransmitKind::Gratuitous(address),
        })
    }

    fn update_filters(&mut self) {
        for (pending, ipv6) in [(&mut self.arp_filter, false), (&mut self.nd_filter, true)] {
            let filter = Filter::of_family(self.here.union(&self.elsewhere), ipv6);
            if filter != pending.filter {
                *pending = PendingFilter {
                    filter,
                    changed: true,
                };
            }
        }
    }
}

impl TransmitKind {
    /// Which of our addresses the frame is about.
    pub fn address(self) -> IpAddr {
        match self {
            TransmitKind::Reply(address)
            | TransmitKind::Gratuitous(address)
            | TransmitKind::Probe(address) => address,
        }
    }
}

/// When the next batch of what waits for budget may go.
fn wait(ready: usize, bucket: &Bucket, rate: &Rate, now: Instant) -> Option<Instant> {
    let batch = u32::try_from(ready)
        .unwrap_or(u32::MAX)
        .min(GRATUITOUS_BATCH);
    (batch > 0).then(|| now + bucket.wait_for(rate, batch, now))
}

fn is_host(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(broadcast || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests;
