//! The protocols of one node as one machine: a responder per interface and the membership.
//!
//! Owns which responders exist, their failures and retries, the order in which they get to
//! send, the start rule, the claims of this node, and its orderly stop. Does not decide which address belongs where (the plan says
//! so), opens no socket and does not judge who is alive (`members` does).
//!
//! ```text
//!   Desired ──► Wire ──► frames, datagrams, actions (open, close, filter, join)
//!   interfaces, frames, datagrams ──► Wire ──► WireFacts, events
//! ```

mod claiming;
mod guard;
mod holds;
mod io;
mod isolation;
mod leaving;
mod port;
pub mod routers;
mod start;
mod told;

#[cfg(test)]
mod tests;

use crate::facts::Interface;
use crate::speaker::Desired;
use guard::Guard;
use holds::Holds;
use isolation::Isolation;
use leaving::Leaving;
use members::{Keys, Membership};
use port::Port;
use routers::Routers;
use start::Start;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use told::Table;

pub use holds::Moves;
pub use io::{Action, Counters, Event, Input, Protocol, Revision, Transmit, WireFacts};
pub use l2::FRAMES_PER_TURN;

/// What a wire is told once.
#[derive(Clone, Debug)]
pub struct WireConfig {
    /// This node's name, as in the members' view.
    pub node: String,
    /// How this node takes part in the membership; none: membership is off and every node
    /// of the world counts as alive.
    pub members: Option<members::Config>,
    /// Budgets of the responders.
    pub l2: l2::Config,
    /// How long a node that hears nobody listens before it counts on itself (L2-87).
    pub start_delay: Duration,
    /// How long a node that handed its addresses over stays, silent, so that what is still
    /// sent to it is forwarded (L2-85).
    pub linger: Duration,
}

impl WireConfig {
    /// With the budgets of the checklist and one second of listening.
    pub fn new(node: impl Into<String>, members: Option<members::Config>) -> Self {
        Self {
            node: node.into(),
            members,
            l2: l2::Config::default(),
            start_delay: Duration::from_secs(1),
            linger: Duration::ZERO,
        }
    }
}

/// LIMIT: events that wait to be polled; a turn makes a handful.
const EVENTS_MAX: usize = 1_024;

/// LIMIT: interfaces with responders, each with two sockets; real nodes have tens.
const PORTS_MAX: usize = 1_024;

/// A turn this late may have been replaced meanwhile (design/ownership.md).
pub const LATE: Duration = Duration::from_millis(300);

/// See the module.
pub struct Wire {
    config: WireConfig,
    seed: u64,
    desired: Arc<Desired>,
    interfaces: BTreeMap<u32, Interface>,
    ports: BTreeMap<u32, Port>,
    membership: Option<Membership>,
    routers: Routers,
    start: Start,
    guard: Guard,
    holds: Holds,
    /// What the holds have to look at.
    look: holds::Stale,
    table: Table,
    /// Claims of living members are not whole here since then; whether that matters no more.
    unsure_since: Option<Instant>,
    sure: bool,
    isolation: Isolation,
    /// The brain's last word: this node has no link that addresses are answered on.
    dark: bool,
    leaving: Leaving,
    /// The member record as the others are told it.
    record: Arc<[u8]>,
    /// The port that sends next, so that all get their turn.
    next: u32,
    /// Ports that were ever made.
    born: u64,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    /// Held all along, and to be announced again.
    announce: Vec<IpAddr>,
    /// Members that were lost, and when.
    parted: BTreeMap<String, Instant>,
    facts: Arc<WireFacts>,
    counters: Counters,
    /// The ports may not be as they should: a datagram of the membership alone must not
    /// cost a comparison of all addresses.
    stale: bool,
    /// The holds have not seen the plan.
    plan_stale: bool,
    /// The members' view may differ.
    members_stale: bool,
}

impl Wire {
    /// Nothing desired and no interface known: silent but for the membership.
    ///
    /// # Errors
    ///
    /// A membership that cannot work, with the reason.
    pub fn new(config: WireConfig, seed: u64, now: Instant) -> Result<Self, members::ConfigError> {
        let membership = match config.members.clone() {
            Some(own) => Some(Membership::new(own, Keys::none(), seed, now)?),
            None => None,
        };
        let mut wire = Self {
            seed,
            routers: Routers::new(config.node.as_str(), seed, now),
            desired: Arc::default(),
            interfaces: BTreeMap::new(),
            ports: BTreeMap::new(),
            start: Start::new(config.start_delay, membership.is_some()),
            membership,
            guard: Guard::default(),
            holds: Holds::default(),
            look: holds::Stale::default(),
            table: Table::default(),
            unsure_since: None,
            sure: true,
            isolation: Isolation::default(),
            dark: false,
            leaving: Leaving::default(),
            record: Arc::default(),
            next: 0,
            born: 0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            announce: Vec::new(),
            parted: BTreeMap::new(),
            facts: Arc::default(),
            counters: Counters::default(),
            stale: true,
            plan_stale: true,
            members_stale: true,
            config,
        };
        wire.settle(now);
        Ok(wire)
    }

    /// What the brain wants now; the same again does nothing.
    pub fn set_desired(&mut self, desired: Arc<Desired>, now: Instant) {
        self.wake(now);
        let old = std::mem::replace(&mut self.desired, Arc::clone(&desired));
        if old.plan != desired.plan {
            self.stale = true;
            self.plan_stale = true;
        }
        if old.member_record != desired.member_record {
            self.note_links(now);
        }
        self.routers.set_departure(desired.departure, now);
        self.routers.set_sessions(&desired.sessions, now);
        if let Some(membership) = &mut self.membership {
            if old.member_keys != desired.member_keys {
                let set = Keys::new(&desired.member_keys.0)
                    .and_then(|keys| membership.set_keys(keys, now));
                if let Err(error) = set {
                    Self::tell(&mut self.events, &mut self.counters, refused(&error));
                }
            }
            if old.member_peers != desired.member_peers
                && let Some(peers) = &desired.member_peers
            {
                membership.set_peers(peers.clone(), now);
            }
        }
        self.settle(now);
    }

    /// The interfaces as the kernel shows them, all of them.
    pub fn set_interfaces(&mut self, interfaces: &BTreeMap<u32, Interface>, now: Instant) {
        self.wake(now);
        self.routers.set_interfaces(interfaces, now);
        if self.interfaces != *interfaces {
            self.note_return(interfaces, now);
            self.interfaces.clone_from(interfaces);
            self.stale = true;
            self.look.all = true;
            for (index, port) in &mut self.ports {
                port.link_changed(interfaces.get(index), now);
            }
        }
        self.settle(now);
    }

    /// What came in.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.wake(now);
        match input {
            Input::Frame {
                ifindex,
                bytes,
                meta,
            } => match self.ports.get_mut(&ifindex) {
                // No reply can need more than the responder's own state.
                Some(port) => {
                    port.handle_frame(bytes, meta, now);
                    if port.has_news() && self.take_news(now) {
                        self.settle(now);
                    }
                }
                None => self.counters.frames_without_responder += 1,
            },
            Input::Datagram { from, bytes } => {
                let Some(membership) = &mut self.membership else {
                    self.counters.datagrams_without_membership += 1;
                    return;
                };
                let before = start::judged(membership);
                membership.handle_datagram(from, bytes, now);
                if start::judged(membership) == before {
                    self.start.heard(now);
                }
                self.settle(now);
            }
            Input::Unreachable { address } => {
                if let Some(membership) = &mut self.membership {
                    membership.handle_unreachable(address, now);
                }
                self.settle(now);
            }
        }
    }

    /// What is due is done.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.wake(now);
        if let Some(membership) = &mut self.membership {
            membership.handle_timeout(now);
        }
        if self.routers.poll_timeout().is_some_and(|due| due <= now) {
            self.routers.handle_timeout(now);
        }
        for port in self.ports.values_mut() {
            port.handle_timeout(now);
            self.stale |= port.is_due(now);
        }
        self.take_news(now);
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] is to be called next, after the polls were drained.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ports = self.ports.values().filter_map(Port::poll_timeout);
        ports
            .chain(self.membership.as_ref().and_then(Membership::poll_timeout))
            .chain(self.start.poll_timeout())
            .chain(self.holds.poll_timeout())
            .chain(self.isolation.poll_timeout())
            .chain(self.leaving.poll_timeout())
            .chain(self.sure_at())
            .chain(self.routers.poll_timeout())
            .min()
    }

    /// The next thing to send: the membership first, which is small and must not wait for
    /// a burst; then the interfaces in turn, one frame each (L2-24).
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.membership.as_mut().and_then(Membership::poll_transmit) {
            return Some(Transmit::Datagram {
                to: transmit.to,
                bytes: transmit.bytes,
            });
        }
        let from = self.next;
        let mut sent = None;
        for (ifindex, port) in self.ports.range_mut(from..) {
            if let Some(frame) = port.poll_transmit() {
                sent = Some((*ifindex, frame));
                break;
            }
        }
        if sent.is_none() {
            for (ifindex, port) in self.ports.range_mut(..from) {
                if let Some(frame) = port.poll_transmit() {
                    sent = Some((*ifindex, frame));
                    break;
                }
            }
        }
        let (ifindex, frame) = sent?;
        self.next = ifindex.wrapping_add(1);
        Some(Transmit::Frame {
            ifindex,
            bytes: frame.bytes,
            kind: frame.kind,
        })
    }

    /// The kernel refused a frame.
    pub fn transmit_failed(&mut self, ifindex: u32, kind: l2::TransmitKind, now: Instant) {
        if let Some(port) = self.ports.get_mut(&ifindex) {
            port.transmit_failed(kind, now);
        }
    }

    /// Both sockets of an interface are open.
    pub fn opened(&mut self, ifindex: u32, now: Instant) {
        if let Some(port) = self.ports.get_mut(&ifindex) {
            port.opened(now);
        }
        self.stale = true;
        self.settle(now);
    }

    /// A socket of an interface could not be opened or failed; the shell has closed both.
    /// Tried again after 1, 2, 4 … 30 s and at each link event (L2-47).
    pub fn socket_failed(&mut self, ifindex: u32, why: impl Into<String>, now: Instant) {
        let why = why.into();
        if let Some(port) = self.ports.get_mut(&ifindex) {
            port.failed(why.clone(), now);
            let event = Event::InterfaceFailed { ifindex, why };
            Self::tell(&mut self.events, &mut self.counters, event);
        }
        self.stale = true;
        self.settle(now);
    }

    /// The kernel refused a join; tried again (L2-68).
    pub fn join_failed(&mut self, ifindex: u32, group: Ipv6Addr, now: Instant) {
        if let Some(port) = self.ports.get_mut(&ifindex) {
            port.join_failed(group, now);
        }
    }

    /// The next thing to do beside sending.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        self.ports
            .iter_mut()
            .find_map(|(ifindex, port)| port.poll_action(*ifindex))
    }

    /// The next fact worth telling.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the brain needs to know; the pointer changes only when the value does.
    pub fn facts(&self) -> &Arc<WireFacts> {
        &self.facts
    }

    /// The responder of an interface, for its counters.
    pub fn responders(&self) -> impl Iterator<Item = (u32, &l2::Responder)> + '_ {
        self.ports
            .iter()
            .map(|(index, port)| (*index, port.responder()))
    }

    /// The responders whose sockets are open, for a part of the kernel that answers in their place
    /// ([`l2::Responder::standing`]). To be looked at before anything is sent: what is no longer answered must be
    /// silent before anybody is told.
    pub fn standing(&self) -> impl Iterator<Item = (u32, Revision, &l2::Responder)> + '_ {
        self.ports
            .iter()
            .filter_map(|(index, port)| Some((*index, port.revision()?, port.responder())))
    }

    /// The revision in [`Self::standing`] of one interface; none where it is not there.
    pub fn revision(&self, ifindex: u32) -> Option<Revision> {
        self.ports.get(&ifindex).and_then(Port::revision)
    }

    /// The membership, for its members, standing and counters; none when it is off.
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// The node has a default gateway, or none: then it cannot tell whether it is cut off,
    /// and never gives up (L2-57).
    pub fn set_gateway(&mut self, there: bool, now: Instant) {
        self.wake(now);
        self.isolation.set_gateway(there);
        self.settle(now);
    }

    /// The default gateway answered [`Action::ProbeGateway`].
    pub fn gateway_heard(&mut self, now: Instant) {
        self.wake(now);
        self.isolation.heard(now);
        self.settle(now);
    }

    /// What this node claims, with the terms.
    pub fn claims(&self) -> impl Iterator<Item = (IpAddr, u64)> + '_ {
        self.holds.claims()
    }

    /// What became of the addresses this node claimed.
    pub fn moves(&self) -> &Moves {
        self.holds.moves()
    }

    /// The sessions with routers.
    pub fn routers(&self) -> &Routers {
        &self.routers
    }

    /// The sessions with routers, to be driven: their sockets' inputs and outputs go here.
    pub fn routers_mut(&mut self) -> &mut Routers {
        &mut self.routers
    }

    /// What was counted beside the machines' own counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Called first by every input: was this process stopped? Only a node that has
    /// members can have been replaced.
    fn wake(&mut self, now: Instant) {
        let due = self.membership.as_ref().and_then(Membership::poll_timeout);
        let Some(by) = due.map(|due| now.saturating_duration_since(due)) else {
            return;
        };
        if by > LATE && !self.leaving.has_left() && self.start.is_settled() {
            self.counters.late_turns += 1;
            self.start.again(now);
            self.stale = true;
            self.members_stale = true;
            for port in self.ports.values_mut() {
                port.silence(now);
            }
            Self::tell(&mut self.events, &mut self.counters, Event::Late { by });
        }
    }

    /// Brings everything in line with what is known now.
    fn settle(&mut self, now: Instant) {
        self.take_members(now);
        if self.start.calls(now)
            && let Some(membership) = &mut self.membership
        {
            membership.call_again(now);
        }
        let known = self.desired.member_peers.as_ref();
        let was_settled = self.start.is_settled();
        if self.start.turn(self.membership.as_ref(), known, now) {
            Self::tell(&mut self.events, &mut self.counters, Event::Resumed);
        }
        if was_settled != self.start.is_settled() {
            self.stale = true;
            self.members_stale = true;
            self.look.all = true;
        }
        self.judge(now);
        self.tell_record(now);
        self.settle_holds(now);
        self.depart(now);
        let stale = std::mem::take(&mut self.stale);
        if stale {
            self.settle_ports(now);
        }
        for address in std::mem::take(&mut self.announce) {
            for port in self.ports.values_mut() {
                port.announce(address, now);
            }
        }
        if std::mem::take(&mut self.members_stale) | stale {
            self.publish(stale);
            if self.learn_speakers() {
                self.publish(true);
            }
        }
    }

    /// Ports exist for the interfaces the plan names that are there and up (L2-45, L2-46).
    fn settle_ports(&mut self, now: Instant) {
        let answers = &self.desired.plan.answers;
        let wanted: BTreeMap<u32, &Interface> = answers
            .keys()
            .filter_map(|index| Some((*index, self.interfaces.get(index)?)))
            .filter(|(_, interface)| interface.up && interface.ethernet && !self.leaving.has_left())
            .take(PORTS_MAX)
            .collect();
        let gone: Vec<u32> = self
            .ports
            .iter()
            .filter(|(index, port)| wanted.get(index).is_none_or(|i| port.is_another(i)))
            .map(|(index, _)| *index)
            .collect();
        for ifindex in gone {
            self.ports.remove(&ifindex);
            self.actions.push_back(Action::Close { ifindex });
        }
        let macs: BTreeSet<l2::MacAddr> = self
            .interfaces
            .values()
            .filter_map(|interface| interface.mac.map(l2::MacAddr))
            .collect();
        let all: BTreeSet<IpAddr> = answers.values().flatten().copied().collect();
        let first_use = self.first_use();
        let speaking = self.start.is_settled() && !self.leaving.has_left();
        let claiming = self.membership.is_some() && self.desired.plan.tenures.is_some();
        let nothing = BTreeSet::new();
        let all: BTreeSet<IpAddr> = match claiming {
            true => all.into_iter().filter(|a| self.holds.answers(*a)).collect(),
            false => all,
        };
        for (index, interface) in wanted {
            let port = self.ports.entry(index).or_insert_with(|| {
                // A seed of its own, so that two interfaces do not fall into step.
                let seed = self.seed ^ u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                self.born += 1;
                Port::new(self.config.l2, interface, self.born, seed, now)
            });
            let planned = answers.get(&index).filter(|_| speaking).unwrap_or(&nothing);
            let held: BTreeSet<IpAddr>;
            let here = match claiming {
                true => {
                    held = planned.intersection(&all).copied().collect();
                    &held
                }
                false => planned,
            };
            let ground = port::Ground {
                own: &macs,
                speakers: self.guard.speaker_macs(),
                first_use: &first_use,
            };
            port.settle(interface, ground, here, &all, now);
            if port.wants_open() {
                self.actions.push_back(port.open(index));
            }
        }
    }

    fn tell(events: &mut VecDeque<Event>, counters: &mut Counters, event: Event) {
        if events.len() < EVENTS_MAX {
            events.push_back(event);
        } else {
            counters.events_lost += 1;
        }
    }
}

fn refused(error: &impl std::fmt::Display) -> Event {
    Event::MembershipRefused(error.to_string())
}
