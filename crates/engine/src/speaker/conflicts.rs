//! Conflicts over addresses as events on the Services that hold them.
//!
//! Owns what was told. That something is told once in ten minutes is the wire's doing.

use super::Speaker;
use super::statuses::event;
use crate::facts::{Conflict, ConflictKind};
use l2::MacAddr;

impl Speaker {
    /// Tells what was not told yet.
    pub(super) fn tell_conflicts(&mut self) {
        let conflicts = self.facts.conflicts.clone();
        if conflicts == self.told_conflicts {
            return;
        }
        for (conflict, count) in conflicts.iter() {
            if self.told_conflicts.get(conflict) != Some(count) {
                self.tell_conflict(conflict);
            }
        }
        self.told_conflicts = conflicts;
    }

    fn tell_conflict(&mut self, conflict: &Conflict) {
        let node = &self.config.node;
        let Some(held) = self.elector.announcement(conflict.address, node) else {
            return;
        };
        let interfaces = self.facts.interfaces.as_ref();
        let interface = interfaces
            .and_then(|all| all.get(&conflict.ifindex))
            .map_or_else(|| conflict.ifindex.to_string(), |i| i.name.clone());
        let address = conflict.address.to_string();
        let mac = MacAddr(conflict.mac);
        let station = match mac.vendor() {
            Some(vendor) => format!("{mac} ({vendor})"),
            None => mac.to_string(),
        };
        let place = format!("on interface {interface:?} of node {node:?}");
        let (reason, text) = match &conflict.kind {
            ConflictKind::InUse => (
                "AddressInUse",
                format!(
                    "{address:?} is in use by {station} {place}: not announced there, tried again every 30 s"
                ),
            ),
            ConflictKind::Claimed => (
                "ForeignClaim",
                format!(
                    "{station} {place} claims {address:?}, which this node announces: defended"
                ),
            ),
            ConflictKind::SplitBrain { node: other } => (
                "SplitBrainSuspected",
                format!(
                    "node {other:?} ({station}) answers for {address:?} {place}, though the speakers have lost it: the network between them may be split"
                ),
            ),
        };
        for service in &held.services {
            let event = event(&self.world, service, true, reason, text.clone());
            event
                .into_iter()
                .for_each(|event| self.queue.push_event(event));
        }
    }
}
