//! What must be true after each step.
//!
//! | checker | says |
//! |---|---|
//! | frames | every frame that is sent parses, is about an address that is answered for, and carries the interface's address |
//! | doubles | of two that hear each other, both answer for an address no longer than [`TWO_HOLDERS_MAX`] after the first message crossed |
//! | one | after [`CALM`] of stable membership exactly one candidate answers for each address that can be answered for |
//! | none | nobody answers for an address that is on no Service, as far as he could know |
//! | foreign | of two that hear each other, no two answer for one address for different Services (L2-90) |
//! | planned | what people do on purpose leaves no address without an answer, and loses no request |
//! | books | no address on two Services that may not share it for longer than a lease; no valid address is taken away |
//! | end | in the calm at the end everything that can have an address has one, nothing is written, nobody is busy |
//!
//! Owns who answers for what, as it changes, and since when. Knows the rules of election only by the engine's pure function,
//! asked with the truth instead of a node's view.

mod books;
mod clients;
mod end;
mod one;

use super::Sim;
use super::lan::End;
use super::node::member_index;
use engine::elect::Placement;
use engine::facts::{MemberRecord, MembersView};
use engine::interfaces::{Exclusion, usable};
use engine::name::NamespacedName;
use l2::TransmitKind;
use l2::packet::{Ethernet, arp, nd};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The membership must be stable so long before exactly one is asked for (L2-88).
pub(super) const CALM: Duration = Duration::from_secs(1);
/// Two that hear each other may both answer so long (L2-55).
pub(super) const TWO_HOLDERS_MAX: Duration = Duration::from_secs(1);
/// How often what needs time is looked at.
const TICK: Duration = Duration::from_millis(20);
/// A process stopped for this long may have been replaced (design/ownership.md, with the timers' own lateness).
const STOPPED_LONG: Duration = Duration::from_millis(450);
/// A frame that was sent before may still be under way.
const ON_THE_WAY: Duration = Duration::from_millis(1);
/// Two may answer for different Services for as long as a message and a turn take.
const FOREIGN_MAX: Duration = Duration::from_millis(100);
/// On purpose nobody is without an answer for longer than the members need to hear of it, and the probing of a first use (300 ms).
const PLANNED_GAP_MAX: Duration = Duration::from_millis(600);

/// See the module.
pub(super) struct Checks {
    pub(super) late_turns: u64,
    /// Something outside the machines changed last.
    pub(super) disturbed_at: Instant,
    /// A leadership, or the server's reach, changed last.
    led_at: Instant,
    /// What each node answers for.
    by_node: BTreeMap<usize, BTreeSet<IpAddr>>,
    /// The same by address.
    pub(super) answerers: BTreeMap<IpAddr, BTreeSet<usize>>,
    /// Since when a node answers for an address.
    since: BTreeMap<(IpAddr, usize), Instant>,
    /// When a node ceased to answer for an address.
    released: BTreeMap<(IpAddr, usize), Instant>,
    /// Addresses that nobody answers for any more, since when.
    unanswered: BTreeMap<IpAddr, Instant>,
    /// Addresses with more than one.
    doubled: BTreeSet<IpAddr>,
    /// Since when two nodes hear each other.
    linked: BTreeMap<(usize, usize), Instant>,
    /// For each such moment, when the first message crossed.
    crossed: BTreeMap<Instant, Option<Instant>>,
    uncrossed: usize,
    /// Nodes that all hear each other, and what they should see.
    pub(super) groups: Vec<Group>,
    /// Some hear each other only by way of others.
    ragged: bool,
    stable_since: Option<Instant>,
    verified: bool,
    wanted: Option<Vec<Vec<one::Wanted>>>,
    holders: BTreeMap<IpAddr, usize>,
    excused: BTreeSet<usize>,
    all_excused: bool,
    books: books::Books,
    pub(super) clients: clients::Clients,
    /// The longest time two answered for an address though they heard each other.
    pub(super) longest_double: Duration,
    /// The longest time from the last disturbance to a stable membership.
    pub(super) longest_unrest: Duration,
    pub(super) stable_checks: u64,
}

/// Nodes that hear each other.
pub(super) struct Group {
    pub(super) nodes: Vec<usize>,
    pub(super) view: MembersView,
}

impl Checks {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            late_turns: 0,
            disturbed_at: start,
            led_at: start,
            by_node: BTreeMap::new(),
            answerers: BTreeMap::new(),
            since: BTreeMap::new(),
            released: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            doubled: BTreeSet::new(),
            linked: BTreeMap::new(),
            crossed: BTreeMap::new(),
            uncrossed: 0,
            groups: Vec::new(),
            ragged: false,
            stable_since: None,
            verified: false,
            wanted: None,
            holders: BTreeMap::new(),
            excused: BTreeSet::new(),
            all_excused: false,
            books: books::Books::default(),
            clients: clients::Clients::default(),
            longest_double: Duration::ZERO,
            longest_unrest: Duration::ZERO,
            stable_checks: 0,
        }
    }

    /// A node was disturbed: what it holds may move.
    pub(super) fn excuse(&mut self, node: usize) {
        self.excused.insert(node);
    }

    /// What is disturbed concerns everybody.
    pub(super) fn excuse_all(&mut self) {
        self.all_excused = true;
    }

    /// A node answers for an address, or has since a moment.
    fn held_since(&self, address: IpAddr, node: usize, moment: Instant) -> bool {
        let released = self.released.get(&(address, node));
        self.since.contains_key(&(address, node)) || released.is_some_and(|at| *at >= moment)
    }

    /// A leadership changed, or who can reach the server.
    pub(super) fn led(&mut self, now: Instant) {
        self.led_at = now;
    }

    /// A datagram has arrived: the first between two that had not heard each other?
    pub(super) fn heard(&mut self, from: SocketAddr, to: usize, now: Instant) {
        if self.uncrossed == 0 {
            return;
        }
        let Some(from) = member_index(from) else {
            return;
        };
        if let Some(since) = self.linked.get(&(from.min(to), from.max(to)))
            && let Some(crossed @ None) = self.crossed.get_mut(since)
        {
            *crossed = Some(now);
            self.uncrossed -= 1;
        }
    }
}

impl Sim {
    /// Something outside the machines has changed: who hears whom is looked at again.
    pub(super) fn disturbed(&mut self) {
        let now = self.now;
        let taking_part: Vec<usize> = (0..self.nodes.len())
            .filter(|at| self.nodes[*at].runs())
            .collect();
        let mut linked = BTreeMap::new();
        let members = self.lan.members as u32 + 2;
        for (place, one) in taking_part.iter().enumerate() {
            for other in &taking_part[place + 1..] {
                let hear = self.lan.carries(*one, *other)
                    && self.lan.carries(*other, *one)
                    && self.nodes[*one].wrong_key == self.nodes[*other].wrong_key
                    && self.nodes[*one].is_linked(members)
                    && self.nodes[*other].is_linked(members);
                if hear {
                    let pair = (*one, *other);
                    let since = self.checks.linked.get(&pair).copied().unwrap_or(now);
                    linked.insert(pair, since);
                }
            }
        }
        let checks = &mut self.checks;
        if linked.values().any(|since| *since == now) {
            checks.crossed.insert(now, None);
        }
        let present: BTreeSet<Instant> = linked.values().copied().collect();
        checks.crossed.retain(|since, _| present.contains(since));
        checks.uncrossed = checks.crossed.values().filter(|c| c.is_none()).count();
        checks.linked = linked;
        checks.disturbed_at = now;
        checks.stable_since = None;
        checks.verified = false;
        checks.wanted = None;
        self.regroup(&taking_part);
    }

    fn regroup(&mut self, taking_part: &[usize]) {
        let linked = &self.checks.linked;
        let hear = |a: usize, b: usize| linked.contains_key(&(a.min(b), a.max(b)));
        let mut left: BTreeSet<usize> = taking_part.iter().copied().collect();
        let mut groups = Vec::new();
        let mut ragged = !self.lan.cut.is_empty();
        while let Some(first) = left.pop_first() {
            let mut nodes = vec![first];
            let mut at = 0;
            while at < nodes.len() {
                let near: Vec<usize> = left
                    .iter()
                    .copied()
                    .filter(|other| hear(nodes[at], *other))
                    .collect();
                for other in near {
                    left.remove(&other);
                    nodes.push(other);
                }
                at += 1;
            }
            nodes.sort_unstable();
            let pairs = nodes
                .iter()
                .enumerate()
                .flat_map(|(at, a)| nodes[at + 1..].iter().map(move |b| (*a, *b)));
            ragged |= !pairs.into_iter().all(|(a, b)| hear(a, b));
            let view = self.group_view(&nodes);
            groups.push(Group { nodes, view });
        }
        self.checks.ragged = ragged;
        self.checks.groups = groups;
    }

    /// What each of a group should see.
    fn group_view(&self, nodes: &[usize]) -> MembersView {
        let exclusion = Exclusion::default();
        let minority = nodes.len() * 2 < self.server.truth.pods.len();
        let record = |node: &usize| {
            let it = &self.nodes[*node];
            let gateway = it.is_linked(2) && self.lan.reaches_gateway(*node);
            let record = MemberRecord {
                interfaces: usable(&it.interfaces, &exclusion),
                // Cut off from most and from the gateway: it is to give up (L2-57).
                isolated: minority && !gateway,
                ..MemberRecord::default()
            };
            (it.name.clone(), record)
        };
        MembersView {
            alive: nodes.iter().map(record).collect(),
            settled: true,
            ..MembersView::default()
        }
    }

    /// What a node answers for may have changed.
    pub(super) fn answers_changed(&mut self, node: usize) {
        let now = self.now;
        let it = &self.nodes[node];
        let mut set = BTreeSet::new();
        if let Some(facts) = it.answers() {
            for (ifindex, addresses) in &facts.announced {
                if it.is_linked(*ifindex) {
                    set.extend(addresses.iter().copied());
                }
            }
        }
        let old = self.checks.by_node.remove(&node).unwrap_or_default();
        if old != set {
            self.checks.verified = false;
            for address in set.difference(&old) {
                self.checks
                    .answerers
                    .entry(*address)
                    .or_default()
                    .insert(node);
                self.checks.since.insert((*address, node), now);
                self.checks.unanswered.remove(address);
                let name = &self.nodes[node].name;
                self.trace
                    .line(now, format_args!("{name} answers for {address}"));
            }
            for address in old.difference(&set) {
                self.checks.since.remove(&(*address, node));
                self.checks.released.insert((*address, node), now);
                if let Some(nodes) = self.checks.answerers.get_mut(address) {
                    nodes.remove(&node);
                    if nodes.is_empty() {
                        self.checks.unanswered.insert(*address, now);
                    }
                }
                let name = &self.nodes[node].name;
                self.trace
                    .line(now, format_args!("{name} no longer answers for {address}"));
                self.planted_release(node, *address);
            }
            for address in set.union(&old) {
                let many = self
                    .checks
                    .answerers
                    .get(address)
                    .is_some_and(|n| n.len() > 1);
                match many {
                    true => self.checks.doubled.insert(*address),
                    false => self.checks.doubled.remove(address),
                };
            }
        }
        self.checks.by_node.insert(node, set);
    }

    /// Frames: what is sent is well formed, true, and about an address that is answered for.
    pub(super) fn check_frame(
        &mut self,
        node: usize,
        ifindex: u32,
        bytes: &[u8],
        kind: TransmitKind,
    ) {
        let it = &self.nodes[node];
        let mac = it.interfaces.get(&ifindex).and_then(|i| i.mac);
        let parsed = Ethernet::parse(bytes).ok();
        let said = parsed.and_then(|ethernet| match ethernet.ethertype {
            arp::ETHERTYPE => {
                let packet = arp::Arp::parse(ethernet.payload).ok()?;
                let sender = (!packet.sender.is_unspecified()).then_some(IpAddr::V4(packet.sender));
                Some((sender, packet.sender_mac.0, ethernet.source.0))
            }
            nd::ETHERTYPE => match nd::Message::parse(ethernet.payload).ok()? {
                nd::Message::Advertisement {
                    target, options, ..
                } => Some((
                    Some(IpAddr::V6(target)),
                    options.target_ll?.0,
                    ethernet.source.0,
                )),
                nd::Message::Solicitation { .. } => {
                    Some((None, ethernet.source.0, ethernet.source.0))
                }
            },
            _ => None,
        });
        let Some((address, own, source)) = said else {
            self.fail(format!(
                "{} sends a frame that does not parse: {bytes:?}",
                it.name
            ));
            return;
        };
        if Some(own) != mac || Some(source) != mac {
            self.fail(format!(
                "{} sends with the address of another: {bytes:?}",
                it.name
            ));
            return;
        }
        let (TransmitKind::Reply(meant) | TransmitKind::Gratuitous(meant)) = kind else {
            // A question before the first use of an address says nothing of who has it.
            return;
        };
        let facts = it.process.as_ref().map(|p| p.wire.facts());
        let answered = facts
            .and_then(|f| f.announced.get(&ifindex))
            .is_some_and(|set| set.contains(&meant));
        if address != Some(meant) || !answered {
            let name = it.name.clone();
            self.fail(format!(
                "{name} speaks for {meant} ({address:?}) and does not answer for it"
            ));
            return;
        }
        if self.is_old_life(node, kind) {
            let name = self.nodes[node].name.clone();
            self.fail(format!(
                "{name} goes on after a stop and answers for {meant} before it has heard anybody"
            ));
            return;
        }
        self.trace.line(
            self.now,
            format_args!("{} sends {kind:?} on {ifindex}", self.nodes[node].name),
        );
        self.figure_frame(node, kind);
    }

    /// A process that was stopped for long enough to be replaced answers in the very turn in which it goes on.
    fn is_old_life(&self, node: usize, kind: TransmitKind) -> bool {
        let process = self.nodes[node].process.as_ref();
        let stopped = process.and_then(|p| p.stopped);
        matches!(kind, TransmitKind::Reply(_))
            && stopped.is_some_and(|(from, until)| until == self.now && until - from > STOPPED_LONG)
    }

    /// A host was answered: by one who answers, or did until just now.
    fn check_answer(&mut self, address: IpAddr, mac: super::lan::Mac) {
        let End::Node { node, .. } = (match self.lan.port_with(&mac) {
            Some(port) => self.lan.ports[port].end,
            None => return,
        }) else {
            return;
        };
        let answers = self.checks.since.contains_key(&(address, node));
        let way = ON_THE_WAY + self.lan.spread;
        let released = self.checks.released.get(&(address, node));
        if !answers && released.is_none_or(|at| *at + way < self.now) {
            let name = &self.nodes[node].name;
            self.fail(format!(
                "{name} has answered a host for {address}, which it does not hold"
            ));
        }
    }

    /// What needs time to be wrong.
    pub(super) fn tick(&mut self) {
        self.after(TICK, super::Event::Tick);
        self.check_doubles();
        self.check_gaps();
        self.check_one();
        self.check_books();
    }

    /// Doubles: two that hear each other.
    fn check_doubles(&mut self) {
        let now = self.now;
        let mut worst: Option<(IpAddr, usize, usize, Duration)> = None;
        for address in &self.checks.doubled {
            let Some(nodes) = self.checks.answerers.get(address) else {
                continue;
            };
            for one in nodes {
                for other in nodes.range(one + 1..) {
                    let Some(linked) = self.checks.linked.get(&(*one, *other)) else {
                        continue;
                    };
                    let Some(Some(crossed)) = self.checks.crossed.get(linked) else {
                        continue;
                    };
                    let answer = |node: usize| self.checks.since.get(&(*address, node)).copied();
                    let (Some(a), Some(b)) = (answer(*one), answer(*other)) else {
                        continue;
                    };
                    let since = a.max(b).max(*crossed);
                    let time = now.saturating_duration_since(since);
                    if worst.is_none_or(|(_, _, _, known)| known < time) {
                        worst = Some((*address, *one, *other, time));
                    }
                }
            }
        }
        let Some((address, one, other, time)) = worst else {
            return;
        };
        if self.is_fair_weather() {
            self.checks.longest_double = self.checks.longest_double.max(time);
        }
        if let Some((address, one, other)) = self.find_foreign() {
            let (one, other) = (&self.nodes[one].name, &self.nodes[other].name);
            self.fail(format!(
                "{one} and {other} answer for {address} on behalf of Services that may not share it"
            ));
            return;
        }
        let bound = match self.is_fair_weather() {
            true => TWO_HOLDERS_MAX,
            false => 4 * TWO_HOLDERS_MAX,
        };
        if time > bound && !self.checks.ragged {
            let (one, other) = (&self.nodes[one].name, &self.nodes[other].name);
            self.fail(format!(
                "{one} and {other} hear each other and both answer for {address} for {time:?}"
            ));
        }
    }

    /// Two that hear each other and answer for one address for different Services (L2-90).
    fn find_foreign(&self) -> Option<(IpAddr, usize, usize)> {
        if self.placement != Placement::Fair || self.checks.ragged || !self.is_fair_weather() {
            return None;
        }
        let now = self.now;
        for address in &self.checks.doubled {
            let nodes = self.checks.answerers.get(address)?;
            for one in nodes {
                for other in nodes.range(one + 1..) {
                    let linked = self.checks.linked.get(&(*one, *other));
                    let crossed =
                        linked.and_then(|at| self.checks.crossed.get(at).copied().flatten());
                    let answer = |node: usize| self.checks.since.get(&(*address, node)).copied();
                    let since = [crossed, answer(*one), answer(*other)];
                    let Some(since) = since.into_iter().collect::<Option<Vec<Instant>>>() else {
                        continue;
                    };
                    let long = since
                        .into_iter()
                        .max()
                        .is_some_and(|at| at + FOREIGN_MAX < now);
                    let meant = |node: usize| {
                        let process = self.nodes[node].process.as_ref()?;
                        let plan = &process.speaker.desired().plan;
                        Some(&plan.announcements.get(address)?.services)
                    };
                    if let (true, Some(a), Some(b)) = (long, meant(*one), meant(*other))
                        && !a.iter().any(|service| b.contains(service))
                    {
                        return Some((*address, *one, *other));
                    }
                }
            }
        }
        None
    }

    /// Losses are those that the bounds are stated for.
    pub(super) fn is_fair_weather(&self) -> bool {
        self.lan.loss <= 20 && self.lan.spread < Duration::from_millis(2)
    }

    /// The Services on each address changed.
    pub(super) fn services_changed(&mut self) {
        let mut shown: BTreeMap<IpAddr, Vec<NamespacedName>> = BTreeMap::new();
        for stored in self.server.truth.services.iter() {
            for address in stored.object.addresses() {
                shown
                    .entry(address)
                    .or_default()
                    .push(stored.object.name.clone());
            }
        }
        self.book(shown);
    }
}
