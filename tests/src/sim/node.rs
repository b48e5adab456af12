//! A node with its speaker: the real brain and the real wire, and a shell that carries between them.
//!
//! As in the program the two are apart: each hears of the other through the newest state, a little later. A stopped process
//! keeps what arrives, as its sockets do, and goes on with it.

use super::lan::End;
use super::planted::Planted;
use super::{Event, Request, Sim};
use engine::facts::{Facts, Interface};
use engine::selector::{LabelSelector, Selector};
use engine::speaker::{Desired, Discovery, MemberKeys, Speaker, SpeakerConfig};
use engine::wire::{Action, Event as WireEvent, Input, Transmit, Wire, WireConfig, WireFacts};
use engine::world::Change;
use engine::write::{Outcome, Ticket};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// LIMIT: datagrams and frames that wait in the sockets of a stopped process.
const INBOX_MAX: usize = 512;

/// A machine with a kernel, and perhaps a speaker on it.
pub(super) struct Node {
    pub(super) name: String,
    /// The kernel runs: it forwards, and tells of closed ports.
    pub(super) powered: bool,
    /// As the kernel has them.
    pub(super) interfaces: BTreeMap<u32, Interface>,
    pub(super) process: Option<Process>,
    /// Its key is another one.
    pub(super) wrong_key: bool,
}

/// A running, stopped or leaving speaker.
pub(super) struct Process {
    pub(super) boot: u64,
    pub(super) speaker: Speaker,
    pub(super) wire: Wire,
    pub(super) paused: bool,
    /// When it was stopped last, and when it went on.
    pub(super) stopped: Option<(Instant, Instant)>,
    pub(super) leaving: bool,
    /// Since when it counts on itself.
    pub(super) settled_at: Option<Instant>,
    /// It was told of the world last.
    pub(super) shown_at: Instant,
    pub(super) inbox: VecDeque<Late>,
    open: BTreeSet<u32>,
    wire_due: Option<Instant>,
    brain_due: Option<Instant>,
    /// The wire has told something since the brain looked.
    told: bool,
    reported: Arc<WireFacts>,
    /// Interfaces as the wire was told them; none before the first picture.
    links: Option<BTreeMap<u32, Interface>>,
    sent: Arc<Desired>,
    /// What it answered for before, for a planted bug.
    pub(super) released: BTreeMap<IpAddr, Instant>,
}

/// What waits for a stopped process.
pub(super) enum Late {
    Datagram(SocketAddr, Rc<[u8]>, Instant),
    Frame(u32, Rc<[u8]>, Instant),
    Change(Change),
    Outcome(Ticket, Outcome),
}

pub(super) fn member_address(node: usize) -> SocketAddr {
    let [high, low] = (node as u16 + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(172, 16, high, low), 7946))
}

pub(super) fn member_index(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(ip) => {
            let [_, _, high, low] = ip.octets();
            usize::from(u16::from_be_bytes([high, low])).checked_sub(1)
        }
        IpAddr::V6(_) => None,
    }
}

impl Node {
    pub(super) fn runs(&self) -> bool {
        self.powered && self.process.as_ref().is_some_and(|p| !p.paused)
    }

    /// Its link on an interface carries frames.
    pub(super) fn is_linked(&self, ifindex: u32) -> bool {
        let link = self.interfaces.get(&ifindex);
        self.powered && link.is_some_and(|i| i.up && i.carrier)
    }

    /// What its process answers for, by interface.
    pub(super) fn answers(&self) -> Option<&Arc<WireFacts>> {
        let process = self.process.as_ref().filter(|p| !p.paused)?;
        self.powered.then_some(process.wire.facts())
    }
}

impl Sim {
    /// Starts the speaker of a node.
    pub(super) fn boot(&mut self, node: usize) {
        self.boots += 1;
        let boot = self.boots;
        let seed = self.random.next();
        let it = &mut self.nodes[node];
        let raw = LabelSelector {
            match_labels: BTreeMap::from([("app".to_owned(), "speaker".to_owned())]),
            ..LabelSelector::default()
        };
        let mut config = SpeakerConfig::new(it.name.clone(), super::server::NAMESPACE);
        config.placement = self.placement;
        config.discovery = if it.wrong_key {
            let peers = (0..64).map(member_address).collect();
            let keys = Some(MemberKeys(vec![b"quite another key than theirs".to_vec()]));
            Discovery::Static { peers, keys }
        } else {
            Discovery::Pods {
                selector: Selector::parse(&raw).expect("a plain selector"),
                port: 7946,
                ipv6: false,
            }
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(1_700_000_000_000 + boot).to_be_bytes());
        let members = members::Config::new(
            it.name.clone(),
            member_address(node),
            members::BootId::from_bytes(id),
        );
        let mut wiring = WireConfig::new(it.name.clone(), Some(members));
        wiring.linger = self.linger;
        let mut wire = Wire::new(wiring, seed, self.now).expect("a sound configuration");
        wire.set_gateway(true, self.now);
        let speaker = Speaker::new(config, seed, self.now);
        it.process = Some(Process {
            boot,
            sent: Arc::clone(speaker.desired()),
            reported: Arc::clone(wire.facts()),
            speaker,
            wire,
            paused: false,
            stopped: None,
            leaving: false,
            settled_at: None,
            shown_at: self.now,
            inbox: VecDeque::new(),
            open: BTreeSet::new(),
            wire_due: None,
            brain_due: None,
            told: true,
            links: None,
            released: BTreeMap::new(),
        });
        self.trace
            .line(self.now, format_args!("{} starts", self.nodes[node].name));
        self.after(Duration::from_millis(1), Event::Links { node, boot });
        self.start_watching(node);
        self.settle_wire(node);
        self.wake_brain(node, Duration::ZERO);
        self.disturbed();
    }

    /// The process of a node is gone without a word.
    pub(super) fn end_process(&mut self, node: usize) {
        self.nodes[node].process = None;
        self.stop_watching(node);
        self.answers_changed(node);
        self.disturbed();
    }

    /// The process is asked to stop.
    pub(super) fn stop_process(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        let boot = process.boot;
        process.leaving = true;
        if self.settings.planted == Some(Planted::NoRelease) {
            self.end_process(node);
            return;
        }
        process.wire.leave(now);
        // The shell's patience.
        let patience = Duration::from_secs(4) + self.linger;
        self.after(patience, Event::Gone { node, boot });
        self.settle_wire(node);
        self.disturbed();
    }

    pub(super) fn process_gone(&mut self, node: usize, boot: u64) {
        let process = self.nodes[node].process.as_ref();
        if process.is_some_and(|p| p.boot == boot && p.leaving) {
            self.end_process(node);
        }
    }

    pub(super) fn pause(&mut self, node: usize) {
        if let Some(process) = &mut self.nodes[node].process {
            process.paused = true;
            process.stopped = Some((self.now, self.now));
            self.answers_changed(node);
            self.disturbed();
        }
    }

    pub(super) fn datagram_arrives(&mut self, to: usize, from: SocketAddr, bytes: Rc<[u8]>) {
        let now = self.now;
        let node = &mut self.nodes[to];
        if !node.powered {
            return;
        }
        let Some(process) = &mut node.process else {
            if let Some(sender) = member_index(from).filter(|_| self.random.chance(500)) {
                let address = member_address(to);
                let to = sender;
                self.after(
                    Duration::from_micros(80),
                    Event::Unreachable { to, address },
                );
            }
            return;
        };
        if process.paused {
            if process.inbox.len() < INBOX_MAX {
                process.inbox.push_back(Late::Datagram(from, bytes, now));
            }
            return;
        }
        let input = Input::Datagram {
            from,
            bytes: &bytes,
        };
        self.checks.heard(from, to, now);
        process.wire.handle_input(input, now);
        self.settle_wire(to);
    }

    pub(super) fn unreachable_arrives(&mut self, to: usize, address: SocketAddr) {
        let now = self.now;
        if self.nodes[to].runs()
            && let Some(process) = &mut self.nodes[to].process
        {
            process
                .wire
                .handle_input(Input::Unreachable { address }, now);
            self.settle_wire(to);
        }
    }

    pub(super) fn frame_arrives(&mut self, port: usize, bytes: Rc<[u8]>) {
        let now = self.now;
        match self.lan.ports[port].end {
            End::Host(host) => self.host_hears(host, &bytes),
            End::Node { node, ifindex } => {
                if !self.nodes[node].is_linked(ifindex) {
                    return;
                }
                self.planted_answer(node, ifindex, &bytes);
                let Some(process) = &mut self.nodes[node].process else {
                    return;
                };
                if !process.open.contains(&ifindex) {
                    return;
                }
                if process.paused {
                    if process.inbox.len() < INBOX_MAX {
                        process.inbox.push_back(Late::Frame(ifindex, bytes, now));
                    }
                    return;
                }
                let meta = l2::FrameMeta {
                    ifindex,
                    outgoing: false,
                    vlan: None,
                };
                let input = Input::Frame {
                    ifindex,
                    bytes: &bytes,
                    meta,
                };
                process.wire.handle_input(input, now);
                self.settle_wire(node);
            }
        }
    }

    pub(super) fn wire_due(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if process.paused || process.wire_due.is_none_or(|due| due > now) {
            return;
        }
        process.wire_due = None;
        self.turn_wire(node);
    }

    pub(super) fn turn_wire(&mut self, node: usize) {
        let now = self.now;
        if let Some(process) = &mut self.nodes[node].process {
            process.wire.handle_timeout(now);
        }
        self.settle_wire(node);
    }

    pub(super) fn desired_arrives(&mut self, node: usize, boot: u64) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if process.boot != boot || process.paused {
            return;
        }
        let desired = Arc::clone(process.speaker.desired());
        process.wire.set_desired(desired, now);
        self.settle_wire(node);
    }

    pub(super) fn links_arrive(&mut self, node: usize, boot: u64) {
        let now = self.now;
        let it = &mut self.nodes[node];
        let Some(process) = it.process.as_mut().filter(|p| p.boot == boot) else {
            return;
        };
        if process.paused {
            self.after(Duration::from_millis(5), Event::Links { node, boot });
            return;
        }
        process.wire.set_interfaces(&it.interfaces, now);
        process.links = Some(it.interfaces.clone());
        process.told = true;
        self.settle_wire(node);
        self.wake_brain(node, Duration::from_micros(100));
    }

    /// Carries out what the wire asks for, until it asks for nothing more.
    pub(super) fn settle_wire(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        let mut asks_gateway = None;
        while let Some(action) = process.wire.poll_action() {
            match action {
                Action::Open { ifindex, .. } => {
                    process.open.insert(ifindex);
                    process.wire.opened(ifindex, now);
                }
                Action::Close { ifindex } => {
                    process.open.remove(&ifindex);
                }
                Action::ProbeGateway => asks_gateway = Some(process.boot),
                _ => {}
            }
        }
        if let Some(boot) = asks_gateway
            && self.nodes[node].is_linked(2)
            && self.lan.reaches_gateway(node)
        {
            self.after(Duration::from_micros(400), Event::Gateway { node, boot });
        }
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        let left = process.wire.has_left();
        self.transmit(node);
        self.tell_events(node);
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        let told = !Arc::ptr_eq(&process.reported, process.wire.facts());
        let due = process.wire.poll_timeout();
        if process.leaving && left && due.is_none() {
            self.end_process(node);
            return;
        }
        if told {
            process.reported = Arc::clone(process.wire.facts());
            process.told = true;
            process.settled_at = match process.reported.members.settled {
                true => process.settled_at.or(Some(now)),
                false => None,
            };
            self.answers_changed(node);
            let wait = self.random.micros(30, 400);
            self.wake_brain(node, wait);
        }
        self.schedule_wire(node, due);
    }

    pub(super) fn gateway_answers(&mut self, node: usize, boot: u64) {
        let now = self.now;
        let process = self.nodes[node].process.as_mut();
        if let Some(process) = process.filter(|p| p.boot == boot && !p.paused) {
            process.wire.gateway_heard(now);
            self.settle_wire(node);
        }
    }

    fn schedule_wire(&mut self, node: usize, due: Option<Instant>) {
        let Some(due) = due else {
            return;
        };
        // Timers of a runtime fire up to a millisecond late.
        let at = due.max(self.now) + Duration::from_micros(50 + self.random.below(1_000) as u64);
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if process
            .wire_due
            .is_none_or(|known| known > at || known <= self.now)
        {
            process.wire_due = Some(at);
            self.queue.push(at, Event::Wire { node });
        }
    }

    fn tell_events(&mut self, node: usize) {
        loop {
            let it = &mut self.nodes[node];
            let Some(event) = it.process.as_mut().and_then(|p| p.wire.poll_event()) else {
                return;
            };
            let name = &it.name;
            self.trace.line(self.now, format_args!("{name}: {event:?}"));
            if let WireEvent::Late { .. } = event {
                self.checks.late_turns += 1;
            }
        }
    }

    pub(super) fn transmit(&mut self, node: usize) {
        loop {
            let Some(process) = &mut self.nodes[node].process else {
                return;
            };
            let Some(transmit) = process.wire.poll_transmit() else {
                return;
            };
            match transmit {
                Transmit::Datagram { to, bytes } => self.send_datagram(node, to, bytes),
                Transmit::Frame {
                    ifindex,
                    bytes,
                    kind,
                } => {
                    let now = self.now;
                    let up = self.nodes[node]
                        .interfaces
                        .get(&ifindex)
                        .is_some_and(|i| i.up);
                    if !up {
                        let process = self.nodes[node].process.as_mut().expect("it sends");
                        process.wire.transmit_failed(ifindex, kind, now);
                        continue;
                    }
                    self.check_frame(node, ifindex, &bytes, kind);
                    self.send_frame(node, ifindex, bytes);
                }
            }
        }
    }

    pub(super) fn wake_brain(&mut self, node: usize, wait: Duration) {
        let at = self.now + wait;
        let now = self.now;
        if let Some(process) = &mut self.nodes[node].process
            && process
                .brain_due
                .is_none_or(|known| known > at || known < now)
        {
            process.brain_due = Some(at);
            self.queue.push(at, Event::Brain { node });
        }
    }

    pub(super) fn brain_due(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if process.paused || process.brain_due.is_none_or(|due| due > now) {
            return;
        }
        process.brain_due = None;
        if std::mem::take(&mut process.told) {
            let facts = process.wire.facts();
            let mut members = facts.members.clone();
            if self.settings.planted == Some(Planted::EqualTerms) {
                members.claims = super::planted::equalled(&members.claims);
            }
            process.speaker.handle_facts(Facts {
                interfaces: process.links.clone(),
                members,
                announced: facts.announced.clone(),
                conflicts: Arc::clone(&facts.conflicts),
                ..Facts::default()
            });
        }
        process.speaker.handle_timeout(now);
        process.speaker.turn(now);
        let boot = process.boot;
        let changed = !Arc::ptr_eq(&process.sent, process.speaker.desired());
        process.sent = Arc::clone(process.speaker.desired());
        let mut writes = Vec::new();
        while let Some(write) = process.speaker.poll_write(now) {
            writes.push(write);
        }
        let due = process.speaker.poll_timeout();
        if changed {
            let wait = self.random.micros(20, 300);
            self.after(wait, Event::Desired { node, boot });
        }
        for (ticket, write) in writes {
            self.send_write(Request {
                watcher: node,
                boot,
                ticket,
                write,
                deadline: now + Duration::from_secs(10),
                lost: false,
            });
        }
        if let Some(due) = due {
            let wait = due.saturating_duration_since(now) + Duration::from_micros(200);
            self.wake_brain(node, wait);
        }
    }

    /// Whether the brain has something before it that it has not looked at.
    pub(super) fn is_brain_idle(&self, node: usize) -> bool {
        let process = self.nodes[node].process.as_ref();
        process.is_some_and(|p| !p.told && Arc::ptr_eq(&p.reported, p.wire.facts()))
    }

    pub(super) fn speaker_change(&mut self, node: usize, change: Change) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if process.paused {
            process.inbox.push_back(Late::Change(change));
            return;
        }
        process.speaker.handle_change(change);
        process.shown_at = self.now;
        let wait = self.random.micros(20, 300);
        self.wake_brain(node, wait);
    }

    pub(super) fn speaker_outcome(
        &mut self,
        node: usize,
        boot: u64,
        ticket: Ticket,
        outcome: Outcome,
    ) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if process.boot != boot {
            return;
        }
        if process.paused {
            process.inbox.push_back(Late::Outcome(ticket, outcome));
            return;
        }
        process.speaker.handle_outcome(ticket, outcome, now);
        self.wake_brain(node, Duration::from_micros(50));
    }
}
