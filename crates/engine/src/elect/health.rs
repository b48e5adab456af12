//! Which nodes are not to announce because of their health: a reading of the members' records and of the Nodes.
//!
//! Every speaker reads the same records, so all decide alike. A node's own word on itself comes first: its speaker stands
//! beside its kube-proxy. Where it does not look at itself, two others that count have to agree (design/health.md,
//! Agreement). That a refusal never takes the last candidate is `nodes`' and `verdict`'s.

use crate::facts::{MembersView, Word};
use crate::world::Node;
use std::collections::BTreeMap;

/// So many that count have to speak against a node that says nothing of itself.
const OBSERVERS: usize = 2;

/// What the members say.
pub(super) struct Health<'a> {
    own: BTreeMap<&'a str, bool>,
    against: BTreeMap<&'a str, usize>,
}

impl<'a> Health<'a> {
    /// Reads all records; without a membership nobody hears the others, and only the Nodes count.
    pub(super) fn of(members: &'a MembersView) -> Self {
        let mut health = Self {
            own: BTreeMap::new(),
            against: BTreeMap::new(),
        };
        let words = members.alive.iter().filter(|_| !members.off);
        for (observer, word) in
            words.filter_map(|(name, record)| Some((name, record.word.as_ref()?)))
        {
            health.hear(observer, word);
        }
        health
    }

    fn hear(&mut self, observer: &'a str, word: &'a Word) {
        if word.knows_itself {
            self.own.insert(observer, word.is_against(observer));
        }
        let all = word.unwell.union(&word.unreachable);
        // Nobody counts twice, nor about itself.
        for node in all.filter(|node| word.counts && *node != observer) {
            *self.against.entry(node).or_default() += 1;
        }
    }

    /// A node is not to get new connections.
    pub(super) fn is_against(&self, node: &Node) -> bool {
        if node.deleting || node.to_be_deleted || node.out_of_service {
            return true;
        }
        let name = node.name.name.as_str();
        let others = || self.against.get(name).is_some_and(|n| *n >= OBSERVERS);
        self.own.get(name).copied().unwrap_or_else(others)
    }
}
