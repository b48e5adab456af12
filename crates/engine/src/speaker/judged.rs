//! What health says about announcing: this node's word for the others, and the addresses that it withdraws by itself.
//!
//! Owns both as last judged. Who is refused because of the words of all is the election's; the machine that finds out is
//! `probing`'s.

use super::Speaker;
use crate::facts::Word;
use crate::forward::withdrawn;
use crate::health::{Cause, HealthView, NodeHealth, State};
use crate::name::NamespacedName;
use crate::world::{Family, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// As last judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    /// From this health.
    health: Arc<HealthView>,
    /// Addresses that are not announced from here: panic policy `withdraw`.
    pub(super) withdrawn: Arc<BTreeSet<IpAddr>>,
    /// Where it differs from what the last plan was made with.
    pub(super) differing: BTreeSet<IpAddr>,
}

impl Speaker {
    /// Judges again when the health of the nodes, or what else it is made from, `changed`; plans and publishes when
    /// something follows from it.
    pub(super) fn judge(&mut self, changed: bool) {
        let health = Arc::clone(self.health_view());
        if !self.planned || !changed && Arc::ptr_eq(&self.judged.health, &health) {
            return;
        }
        let word = self.probing.health().map(|_| {
            let own = (!self.config.forward.outside).then_some(self.config.node.as_str());
            word(&health, &self.world, own)
        });
        let mut publish = self.probing.set_word(word);
        let withdrawn = match self.fronts() {
            true => self.asked_forward(|asked| withdrawn(&asked)),
            false => BTreeSet::new(),
        };
        self.judged.health = health;
        if *self.judged.withdrawn != withdrawn {
            let differing = withdrawn.symmetric_difference(&self.judged.withdrawn);
            self.judged.differing = differing.copied().collect();
            self.judged.withdrawn = Arc::new(withdrawn);
            self.routes.set_withdrawn(&self.judged.withdrawn);
            // Otherwise the plan that comes with the rest of the view takes them up.
            if self.is_complete() {
                self.plan(false);
                publish = true;
            }
        }
        if publish {
            self.publish();
        }
    }
}

/// What the view says against nodes, for the others.
fn word(view: &HealthView, world: &World, own: Option<&str>) -> Word {
    let known = |families: &BTreeMap<Family, NodeHealth>| {
        families.values().any(|node| node.state != State::Unknown)
    };
    let mut word = Word {
        counts: view.observer.counts && view.observer.of > 0,
        knows_itself: own.is_some_and(|own| view.nodes.get(own).is_some_and(|all| known(all))),
        ..Word::default()
    };
    for (name, families) in &view.nodes {
        let node = world.nodes.get(&NamespacedName::new("", name.as_str()));
        // What the Node itself says, all read there.
        let leaves = |n: &crate::world::Node| n.maintenance || n.deleting || n.to_be_deleted;
        if node.is_none_or(|stored| leaves(&stored.object)) {
            continue;
        }
        if families.values().any(says_no) {
            word.unwell.insert(name.clone());
        } else if !families.is_empty() && families.values().all(is_silent) {
            word.unreachable.insert(name.clone());
        }
    }
    word
}

/// Its kube-proxy says so, is gone, or has changed its mind too often.
fn says_no(node: &NodeHealth) -> bool {
    match node.state {
        State::Unhealthy => matches!(
            node.cause,
            Cause::StaleRules | Cause::ProxyGone | Cause::Held
        ),
        State::Draining { .. } => true,
        _ => false,
    }
}

/// It has answered once and does not any more. What has never answered may stand behind a firewall.
fn is_silent(node: &NodeHealth) -> bool {
    node.state == State::Unhealthy && node.cause == Cause::Path && node.last_healthy.is_some()
}
