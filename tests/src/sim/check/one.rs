//! Exactly one: in calm, each address that can be answered for is answered for by one candidate, and by the one who had it.

use super::{CALM, PLANNED_GAP_MAX, Sim};
use crate::sim::fault::Profile;
use engine::config;
use engine::elect::{ElectOptions, Placement, decided};
use engine::facts::MemberRecord;
use engine::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A membership that is left alone is stable after this; most are after a second or two.
const UNREST_MAX: Duration = Duration::from_secs(12);

/// The wait of L2-90, the probing of L2-51 and the way from the watch.
const FIRST_USE: Duration = Duration::from_millis(2_600);

/// What is asked for one address in one group.
pub(in crate::sim) struct Wanted {
    address: IpAddr,
    owner: Option<usize>,
    candidates: BTreeSet<usize>,
}

/// The same members with the same interfaces and states. What each has found out about the nodes' health is not compared:
/// nothing answers probes here.
fn are_alike(
    seen: &BTreeMap<String, MemberRecord>,
    right: &BTreeMap<String, MemberRecord>,
) -> bool {
    let plain = |record: &MemberRecord| MemberRecord {
        word: None,
        ..record.clone()
    };
    let mut pairs = seen.iter().zip(right);
    seen.len() == right.len()
        && pairs.all(|((a, one), (b, other))| a == b && plain(one) == plain(other))
}

impl Sim {
    pub(super) fn check_one(&mut self) {
        let now = self.now;
        if !self.is_stable() {
            self.checks.stable_since = None;
            let unrest = now.saturating_duration_since(self.checks.disturbed_at);
            if unrest > UNREST_MAX && !self.checks.ragged && self.is_fair_weather() {
                let why = self.unrest();
                self.fail(format!("no stable membership for {unrest:?}: {why}"));
            }
            return;
        }
        let since = *self.checks.stable_since.get_or_insert_with(|| {
            let unrest = now.saturating_duration_since(self.checks.disturbed_at);
            self.checks.longest_unrest = self.checks.longest_unrest.max(unrest);
            now
        });
        if self.checks.verified || now < since + CALM {
            return;
        }
        // An address that has come to a Service waits for its last holder (L2-90), and is probed.
        let mut shown = self.checks.books.since.values();
        if shown.any(|at| *at + FIRST_USE > now) {
            return;
        }
        if self.checks.wanted.is_none() {
            let wanted = (0..self.checks.groups.len()).map(|group| self.wanted(group));
            self.checks.wanted = Some(wanted.collect());
        }
        self.checks.stable_checks += 1;
        if let Some(wrong) = self.find_wrong(since) {
            self.fail(wrong);
            return;
        }
        self.checks.verified = true;
        self.note_holders();
    }

    /// Everybody sees the members as they are, and has been shown all there is.
    fn is_stable(&self) -> bool {
        if self.checks.ragged {
            return false;
        }
        for group in &self.checks.groups {
            let reachable = group.nodes.iter().all(|n| self.server.reaches(*n));
            for node in &group.nodes {
                let Some(process) = &self.nodes[*node].process else {
                    return false;
                };
                let facts = process.wire.facts();
                if process.leaving
                    || !are_alike(&facts.members.alive, &group.view.alive)
                    || !facts.members.settled
                    || !self.is_brain_idle(*node)
                {
                    return false;
                }
                if reachable && !self.server.is_current(*node) {
                    return false;
                }
                if !reachable && !self.same_view(group.nodes[0], *node) {
                    return false;
                }
            }
        }
        true
    }

    /// Two that cannot be told anything new know the same.
    fn same_view(&self, one: usize, other: usize) -> bool {
        let progress = |node: usize| {
            let watcher = &self.server.watchers[node];
            let kinds = watcher.kinds.iter();
            kinds.map(|kind| {
                (
                    watcher.progress[*kind].listed,
                    watcher.progress[*kind].position,
                )
            })
        };
        progress(one).all(|(listed, _)| listed) && progress(one).eq(progress(other))
    }

    /// Why it is not stable, for people.
    fn unrest(&self) -> String {
        let mut why = Vec::new();
        for group in &self.checks.groups {
            for node in &group.nodes {
                let it = &self.nodes[*node];
                let Some(process) = &it.process else {
                    continue;
                };
                let facts = process.wire.facts();
                let sees: Vec<&String> = facts.members.alive.keys().collect();
                let should: Vec<&String> = group.view.alive.keys().collect();
                let records = are_alike(&facts.members.alive, &group.view.alive);
                why.push(format!(
                    "{} sees {sees:?} of {should:?}, records {records}, settled {}, current {}, idle {}, leaving {}, standing {:?}, {} writes in all",
                    it.name,
                    facts.members.settled,
                    self.server.is_current(*node),
                    self.is_brain_idle(*node),
                    process.leaving,
                    process.wire.membership().map(members::Membership::standing),
                    self.server.writes,
                ));
            }
        }
        why.join("; ")
    }

    /// The world of a group: the truth, or what those who are cut off have kept.
    fn world_of(&self, group: usize) -> &World {
        let nodes = &self.checks.groups[group].nodes;
        let first = nodes.first().copied().unwrap_or(0);
        match &self.nodes[first].process {
            Some(process) if !self.server.is_current(first) => process.speaker.world(),
            _ => &self.server.truth,
        }
    }

    fn wanted(&self, group: usize) -> Vec<Wanted> {
        let world = self.world_of(group);
        let namespace = crate::sim::server::NAMESPACE;
        let (pools, _) = config::pools(world, namespace);
        let (advertisements, _) = config::l2_advertisements(world, &pools, namespace);
        let options = ElectOptions {
            placement: self.placement,
            interfaces_known: true,
            ..ElectOptions::default()
        };
        let view = &self.checks.groups[group].view;
        let entries = decided(world, &pools, &advertisements, view, &options).entries();
        let index = |name: &String| self.nodes.iter().position(|node| node.name == *name);
        entries
            .into_iter()
            .map(|entry| Wanted {
                address: entry.address,
                owner: entry.owner.as_ref().and_then(index),
                candidates: entry.candidates.iter().filter_map(index).collect(),
            })
            .collect()
    }

    /// Planned: what people do on purpose leaves no address without an answer.
    pub(super) fn check_gaps(&mut self) {
        let now = self.now;
        if self.faults.profile != Profile::Planned {
            return;
        }
        let shown = &self.checks.books.shown;
        self.checks
            .unanswered
            .retain(|address, _| shown.contains_key(address));
        let disturbed = self.checks.disturbed_at;
        let gap = |since: &Instant| now.saturating_duration_since(disturbed.max(*since));
        let late: Vec<(IpAddr, Duration)> = self
            .checks
            .unanswered
            .iter()
            .filter(|(_, since)| gap(since) > PLANNED_GAP_MAX)
            .map(|(address, since)| (*address, gap(since)))
            .collect();
        if late.is_empty() {
            return;
        }
        for (address, gap) in late {
            if let Some(node) = self.ready_candidate(address) {
                let name = self.nodes[node].name.clone();
                self.fail(format!(
                    "nobody has answered for {address} for {gap:?}, though {name} could, and nothing went wrong"
                ));
                return;
            }
        }
    }

    /// Somebody who has been able to answer for an address for a while.
    pub(super) fn ready_candidate(&self, address: IpAddr) -> Option<usize> {
        let ready = |node: &usize| {
            let process = self.nodes[*node].process.as_ref();
            let settled = process.filter(|p| !p.leaving).and_then(|p| p.settled_at);
            settled.is_some_and(|at| at + PLANNED_GAP_MAX < self.now)
        };
        (0..self.checks.groups.len())
            .flat_map(|group| self.wanted(group))
            .filter(|one| one.address == address)
            .find_map(|one| one.candidates.iter().copied().find(ready))
    }

    fn find_wrong(&self, since: Instant) -> Option<String> {
        let calm = self.now - since;
        let wanted = self.checks.wanted.as_ref()?;
        for (group, wanted) in self.checks.groups.iter().zip(wanted) {
            let members: BTreeSet<usize> = group.nodes.iter().copied().collect();
            let mut rest = self.answered_by(&members);
            for one in wanted {
                rest.remove(&one.address);
                let nodes = self.checks.answerers.get(&one.address);
                let here: Vec<usize> = nodes
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|node| members.contains(node))
                    .collect();
                let name = |node: &usize| self.nodes[*node].name.clone();
                let names: Vec<String> = here.iter().map(name).collect();
                let right = match (here.as_slice(), one.candidates.is_empty()) {
                    ([], true) => true,
                    // To those with another key the others are strangers that have the address.
                    ([], false) => {
                        nodes.is_some_and(|nodes| !nodes.is_empty())
                            && one
                                .candidates
                                .iter()
                                .any(|n| self.holds_back(*n, one.address))
                    }
                    ([holder], false) => {
                        one.candidates.contains(holder)
                            && (self.placement == Placement::Fair || one.owner == Some(*holder))
                    }
                    _ => false,
                };
                if !right {
                    let candidates: Vec<String> = one.candidates.iter().map(name).collect();
                    return Some(format!(
                        "{} is answered for by {names:?} after {calm:?} of calm; candidates {candidates:?}, first {:?}",
                        one.address,
                        one.owner.as_ref().map(name),
                    ));
                }
                if let Some(moved) = self.moved(one.address, here.first().copied(), &one.candidates)
                {
                    return Some(moved);
                }
            }
            if let Some(address) = rest.first() {
                return Some(format!("{address} is answered for and is on no Service"));
            }
        }
        None
    }

    /// A node does not announce an address because a stranger has it.
    fn holds_back(&self, node: usize, address: IpAddr) -> bool {
        let process = self.nodes[node].process.as_ref();
        process.is_some_and(|process| {
            let mut all = process.wire.responders().flat_map(|(_, r)| r.in_use());
            all.any(|(other, _)| other == address)
        })
    }

    fn answered_by(&self, members: &BTreeSet<usize>) -> BTreeSet<IpAddr> {
        let by_node = &self.checks.by_node;
        members
            .iter()
            .filter_map(|node| by_node.get(node))
            .flatten()
            .copied()
            .collect()
    }

    /// Whether an address has left a holder that nothing has happened to.
    fn moved(
        &self,
        address: IpAddr,
        holder: Option<usize>,
        candidates: &BTreeSet<usize>,
    ) -> Option<String> {
        let before = self.checks.holders.get(&address)?;
        let holder = holder?;
        if self.placement == Placement::MetalLb
            || holder == *before
            || self.checks.all_excused
            || self.checks.excused.contains(before)
            || !candidates.contains(before)
        {
            return None;
        }
        Some(format!(
            "{address} has moved from {} to {} without a reason",
            self.nodes[*before].name, self.nodes[holder].name
        ))
    }

    /// Where everything is in this calm, to compare with the next.
    fn note_holders(&mut self) {
        // What was done on purpose and is not known everywhere yet will move something later.
        let nodes = 0..self.nodes.len();
        let known = nodes
            .filter(|node| self.nodes[*node].process.is_some())
            .all(|node| self.server.is_current(node));
        let checks = &mut self.checks;
        checks.holders.clear();
        for (address, nodes) in &checks.answerers {
            // Two groups may have one each: then neither is asked to stay.
            if let (Some(node), 1) = (nodes.first(), nodes.len()) {
                checks.holders.insert(*address, *node);
            }
        }
        if known {
            checks.excused.clear();
            checks.all_excused = false;
        }
        checks.all_excused |= checks.groups.len() > 1;
    }
}
