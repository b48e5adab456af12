//! What the wire tells: who is alive, who claims what, what is really answered.
//!
//! Owns the table of claims that the brain sees, which follows the membership's, and the
//! value of the facts. Decides nothing.

use super::Wire;
use super::io::WireFacts;
use crate::claims::Claims;
use crate::facts::{MemberRecord, MembersView};
use crate::record;
use members::{Membership, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The claims of the others, as last heard, beside our own.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    claims: Arc<Claims>,
    /// Ours, as they are in the table.
    own: BTreeMap<IpAddr, u64>,
}

impl Table {
    pub(super) fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }

    /// A member's claims on these addresses may differ.
    pub(super) fn changed(&mut self, membership: &Membership, node: &str, addresses: &[IpAddr]) {
        let claims = Arc::make_mut(&mut self.claims);
        let name: Arc<str> = Arc::from(node);
        for address in addresses {
            let mut all = membership.claims_on(*address);
            let term = all.find(|(other, _)| *other == node).map(|(_, c)| c.term);
            claims.set(*address, &name, term);
        }
    }

    /// Members came or went: everything is read again. Tells where it differs.
    pub(super) fn read(&mut self, membership: &Membership, node: &str) -> BTreeSet<IpAddr> {
        let mut claims = Claims::default();
        for name in membership.members().keys() {
            let name: Arc<str> = Arc::from(name.as_str());
            for (address, claim) in membership.claims_of(&name) {
                claims.set(address, &name, Some(claim.term));
            }
        }
        let me: Arc<str> = Arc::from(node);
        for (address, term) in &self.own {
            claims.set(*address, &me, Some(*term));
        }
        let differing = claims.differing(&self.claims);
        if !differing.is_empty() {
            self.claims = Arc::new(claims);
        }
        differing
    }

    /// Our own claims are these.
    pub(super) fn set_own(&mut self, node: &str, own: BTreeMap<IpAddr, u64>) {
        if self.own == own {
            return;
        }
        let old = std::mem::replace(&mut self.own, own);
        let claims = Arc::make_mut(&mut self.claims);
        let me: Arc<str> = Arc::from(node);
        for address in old.keys().filter(|address| !self.own.contains_key(address)) {
            claims.set(*address, &me, None);
        }
        for (address, term) in &self.own {
            if old.get(address) != Some(term) {
                claims.set(*address, &me, Some(*term));
            }
        }
    }
}

impl Wire {
    pub(super) fn publish(&mut self, ports: bool) {
        let mut facts = WireFacts {
            members: self.view(),
            conflicts: Arc::clone(self.guard.conflicts()),
            ..WireFacts::default()
        };
        if ports {
            for (index, port) in &mut self.ports {
                let announced = port.announced();
                if !announced.is_empty() {
                    facts.announced.insert(*index, announced);
                }
                if let Some(why) = port.failure() {
                    facts.failures.insert(*index, why.to_owned());
                }
            }
        } else {
            facts.announced.clone_from(&self.facts.announced);
            facts.failures.clone_from(&self.facts.failures);
        }
        if *self.facts != facts {
            self.facts = Arc::new(facts);
        }
    }

    fn view(&self) -> MembersView {
        let settled = self.start.is_settled();
        let Some(membership) = &self.membership else {
            return MembersView {
                off: true,
                settled,
                ..MembersView::default()
            };
        };
        let mut alive = BTreeMap::new();
        let read = |bytes: &[u8]| record::decode(bytes).unwrap_or_else(record::unknown);
        // Standing back for a living node of the same name: nobody may be counted here.
        if matches!(
            membership.standing(),
            Standing::Active | Standing::Left | Standing::NoKey
        ) {
            for (name, member) in membership.members() {
                alive.insert(name.clone(), read(&member.record));
            }
            if settled && membership.standing() != Standing::Left {
                // That it leaves is for the others: its own plan stands until they have taken over.
                let own = MemberRecord {
                    leaving: false,
                    ..read(&self.record)
                };
                alive.insert(self.config.node.clone(), own);
            }
        }
        MembersView {
            off: false,
            alive,
            settled,
            claims: Arc::clone(self.table.claims()),
        }
    }
}
