//! Nodes by number, and how each stands for a set of advertisements.
//!
//! Owns the part of a verdict that all Services with the same advertisements share, so
//! that 10,000 Services cost a handful of tables.

use super::ElectOptions;
use super::health::Health;
use super::placing::ClassKey;
use crate::config::Advertisement;
use crate::facts::{MemberRecord, MembersView};
use crate::name::NamespacedName;
use crate::plan::{InterfaceSet, Refusal};
use crate::world::{Node, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// LIMIT: nodes that take part, by name; Kubernetes supports 5,000.
pub(super) const NODES_MAX: usize = 10_000;

/// Presence alone excludes a node (compat/metallb.md 2.9).
pub(crate) const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may, with this preference.
    Candidate(u64),
    /// It may not.
    Refused(Refusal),
}

/// How every node stands for one set of advertisements, endpoints aside.
#[derive(Clone, Debug)]
pub(super) struct Base {
    standing: Vec<Standing>,
    best: Option<u64>,
    class: Option<Arc<ClassKey>>,
    /// Nodes that would be candidates if they were well, with their scores.
    unwell: BTreeMap<u16, u64>,
}

impl Base {
    pub(super) fn standing(&self, node: u16) -> Standing {
        let unknown = Standing::Refused(Refusal::NotAlive);
        self.standing
            .get(usize::from(node))
            .copied()
            .unwrap_or(unknown)
    }

    /// The same if health were no question.
    pub(super) fn regardless(&self, node: u16) -> Standing {
        match self.unwell.get(&node) {
            Some(score) => Standing::Candidate(*score),
            None => self.standing(node),
        }
    }

    /// A node that would be a candidate if it were well.
    pub(super) fn is_unwell(&self, node: u16) -> bool {
        self.unwell.contains_key(&node)
    }

    /// The best score any node has; none when no node may.
    pub(super) fn best(&self) -> Option<u64> {
        self.best
    }

    /// The class of the addresses that any of its candidates may announce.
    pub(super) fn class(&self) -> Option<&Arc<ClassKey>> {
        self.class.as_ref()
    }
}

/// A machine before the cluster as a node: selectors find it by its name, as they find a node.
pub(crate) fn front(name: &str) -> Node {
    let hostname = ("kubernetes.io/hostname".to_owned(), name.to_owned());
    Node {
        name: NamespacedName::new("", name),
        labels: BTreeMap::from([hostname]),
        ..Node::default()
    }
}

/// The nodes of the world, in the order of their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    names: Vec<String>,
    index: BTreeMap<String, u16>,
    objects: Vec<Arc<Node>>,
    /// Those that are not to get new connections, ascending.
    unwell: BTreeSet<u16>,
}

impl Nodes {
    pub(super) fn of(world: &World, members: &MembersView) -> Self {
        let mut nodes = Self::default();
        let health = Health::of(members);
        for (stored, index) in world.nodes.iter().take(NODES_MAX).zip(0u16..) {
            let name = &stored.object.name.name;
            if health.is_against(&stored.object) {
                nodes.unwell.insert(index);
            }
            nodes.names.push(name.to_string());
            nodes.index.insert(name.to_string(), index);
            nodes.objects.push(Arc::clone(&stored.object));
        }
        nodes
    }

    /// The machines before the cluster: this one, and every member that is no node.
    pub(super) fn outside(own: &str, members: &MembersView, world: &World) -> Self {
        let is_node = |name: &str| world.nodes.get(&NamespacedName::new("", name)).is_some();
        let others = members.alive.keys().map(String::as_str);
        let mut names: Vec<&str> = others.filter(|name| !is_node(name)).collect();
        names.push(own);
        names.sort_unstable();
        names.dedup();
        let mut nodes = Self::default();
        for (name, index) in names.into_iter().take(NODES_MAX).zip(0u16..) {
            nodes.names.push(name.to_owned());
            nodes.index.insert(name.to_owned(), index);
            nodes.objects.push(Arc::new(front(name)));
        }
        nodes
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn name(&self, node: u16) -> &str {
        self.names.get(usize::from(node)).map_or("", String::as_str)
    }

    pub(super) fn index(&self, name: &str) -> Option<u16> {
        self.index.get(name).copied()
    }

    /// A node is not to get new connections, as all see it.
    pub(super) fn is_unwell(&self, name: &str) -> bool {
        !self.unwell.is_empty() && self.index(name).is_some_and(|n| self.unwell.contains(&n))
    }

    /// The nodes as the cluster has them, in the order of their names.
    pub(super) fn objects(&self) -> &[Arc<Node>] {
        &self.objects
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u16> + use<> {
        (0u16..).take(self.names.len())
    }

    /// How every node stands for these advertisements.
    pub(super) fn base(
        &self,
        advertisements: &[&Advertisement],
        members: &MembersView,
        options: &ElectOptions,
    ) -> Base {
        let stand = |node: &Arc<Node>| stand(node, advertisements, members, options);
        let mut standing: Vec<Standing> = self.objects.iter().map(stand).collect();
        let unwell = self.set_apart(&mut standing);
        let score = |standing: &Standing| match standing {
            Standing::Candidate(score) => Some(*score),
            Standing::Refused(_) => None,
        };
        let best = standing.iter().filter_map(score).max();
        let scored = (0u16..).zip(&standing);
        let class = ClassKey::of(scored.filter_map(|(node, s)| Some((node, score(s)?))));
        Base {
            standing,
            best,
            class: class.map(Arc::new),
            unwell,
        }
    }

    /// Refuses the candidates that are unwell, unless nobody else is left: whatever is held against the last one, an
    /// address that nobody answers for is worse.
    fn set_apart(&self, standing: &mut [Standing]) -> BTreeMap<u16, u64> {
        let mut unwell = BTreeMap::new();
        let mut well = false;
        for (node, standing) in (0u16..).zip(standing.iter()) {
            if let Standing::Candidate(score) = standing {
                if self.unwell.contains(&node) {
                    unwell.insert(node, *score);
                } else {
                    well = true;
                }
            }
        }
        for node in unwell.keys().filter(|_| well) {
            if let Some(standing) = standing.get_mut(usize::from(*node)) {
                *standing = Standing::Refused(Refusal::Unhealthy);
            }
        }
        unwell
    }

    /// Where a node announces by these advertisements; none when no one selects it.
    pub(super) fn interfaces(
        &self,
        node: u16,
        advertisements: &[&Advertisement],
    ) -> Option<InterfaceSet> {
        let node = self.objects.get(usize::from(node))?;
        selecting(node, advertisements)
            .map(|advertisement| advertisement.interfaces.clone())
            .reduce(|all, more| all.union(&more))
    }
}

fn selecting<'a>(
    node: &'a Node,
    advertisements: &'a [&'a Advertisement],
) -> impl Iterator<Item = &'a Advertisement> + 'a {
    let all = advertisements.iter().copied();
    all.filter(|advertisement| advertisement.selects_node(&node.labels))
}

/// The first reason that holds, the more general first.
fn stand(
    node: &Node,
    advertisements: &[&Advertisement],
    members: &MembersView,
    options: &ElectOptions,
) -> Standing {
    let interfaces = selecting(node, advertisements)
        .map(|advertisement| advertisement.interfaces.clone())
        .reduce(|all, more| all.union(&more));
    let Some(interfaces) = interfaces else {
        return Standing::Refused(Refusal::NoMatchingAdvertisement);
    };
    let record = members.alive.get(node.name.name.as_str());
    if !members.off && record.is_none() {
        return Standing::Refused(Refusal::NotAlive);
    }
    if record.is_some_and(|record| record.isolated) {
        return Standing::Refused(Refusal::Isolated);
    }
    if record.is_some_and(|record| record.leaving) {
        return Standing::Refused(Refusal::Leaving);
    }
    if node.network_unavailable {
        return Standing::Refused(Refusal::NodeNetworkUnavailable);
    }
    if !options.ignore_exclude && node.labels.contains_key(EXCLUDE_LABEL) {
        return Standing::Refused(Refusal::NodeLabeledExcludeBalancers);
    }
    if node.maintenance {
        return Standing::Refused(Refusal::Maintenance);
    }
    if options.interfaces_known && record.is_some_and(|record| !reaches(record, &interfaces)) {
        return Standing::Refused(Refusal::NoUsableInterface);
    }
    let score = selecting(node, advertisements)
        .map(|advertisement| advertisement.preference(&node.labels))
        .fold(0u64, u64::saturating_add);
    Standing::Candidate(score)
}

/// Whether a member can answer on one of these interfaces, as far as its record tells.
fn reaches(record: &MemberRecord, interfaces: &InterfaceSet) -> bool {
    record.truncated
        || record
            .interfaces
            .keys()
            .any(|name| interfaces.selects(name))
}
