//! What has been decided, told: entries of the plan, what one node announces, problems.
//!
//! Owns no state; everything is read from the elector.

use super::Placement;
use super::elector::{Elector, Slot};
use super::group::Group;
use super::keeper;
use super::nodes::Standing;
use crate::name::{Kind, NamespacedName};
use crate::plan::{Announcement, InterfaceSet, L2Entry, Refusal, Tenure};
use crate::problem::{Problem, Severity, reason};
use crate::world::{MOVE_ANNOTATION, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// One planned move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The Service to annotate; others on its addresses go with it.
    pub service: NamespacedName,
    /// What moves.
    pub addresses: Vec<IpAddr>,
    /// Who has it.
    pub from: String,
    /// Who is to have it.
    pub to: String,
}

impl Elector {
    /// Every entry, by address; none when there is no advertisement at all.
    pub fn entries(&self) -> Vec<L2Entry> {
        if self.advertisements.is_empty() {
            return Vec::new();
        }
        self.slots
            .keys()
            .filter_map(|address| self.entry(*address))
            .collect()
    }

    /// The entry of one address.
    pub fn entry(&self, address: IpAddr) -> Option<L2Entry> {
        let group = self.group(address)?;
        let candidates = group.candidates(self, self.order(group.key));
        let mut refusals = BTreeMap::new();
        for node in self.nodes().all() {
            if let Standing::Refused(why) = group.standing(self, node) {
                refusals.insert(self.nodes().name(node).to_owned(), why);
            }
        }
        let keepers = self.keepers(address);
        let interfaces = group
            .owner
            .and_then(|owner| self.interfaces_at(group, address, owner));
        Some(L2Entry {
            address,
            services: keepers.iter().map(|service| service.name.clone()).collect(),
            owner: group.owner.map(|owner| self.nodes().name(owner).to_owned()),
            interfaces: interfaces.unwrap_or(InterfaceSet::Named(BTreeSet::new())),
            candidates: candidates
                .iter()
                .map(|(node, _)| self.nodes().name(*node).to_owned())
                .collect(),
            refusals,
            claims: self.members.claims.on(address).to_vec(),
        })
    }

    /// Every address that a Service of ours holds.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.slots.keys().copied()
    }

    /// Who answers for an address.
    pub fn owner(&self, address: IpAddr) -> Option<&str> {
        Some(self.nodes().name(self.group(address)?.owner?))
    }

    /// What a node announces for an address; none when it is not the owner.
    pub fn announcement(&self, address: IpAddr, node: &str) -> Option<Announcement> {
        let group = self.group(address)?;
        let me = self.nodes().index(node)?;
        if group.owner != Some(me) {
            return None;
        }
        Some(Announcement {
            services: self.served(group, address, me),
            interfaces: self.interfaces_at(group, address, me)?,
        })
    }

    /// The fewest moves after which no node carries more than its share; none without
    /// claims, where nobody can be moved.
    pub fn rebalance(&self) -> Vec<Move> {
        let moves = self.placing().excess(self.orders()).into_iter();
        let told = moves.filter_map(|(address, to)| {
            let group = self.group(address)?;
            Some(Move {
                service: group.services.first()?.name.clone(),
                addresses: group.addresses.as_slice().to_vec(),
                from: self.nodes().name(group.owner?).to_owned(),
                to: self.nodes().name(to).to_owned(),
            })
        });
        told.collect()
    }

    /// Claims are part of the decision: not under MetalLB's placement, nor without a
    /// membership that carries them.
    pub fn has_claims(&self) -> bool {
        self.options.placement == Placement::Fair && !self.members.off
    }

    /// Whether a node claims an address.
    pub fn claims(&self, address: IpAddr, node: &str) -> bool {
        self.members.claims.term(address, node).is_some()
    }

    /// How a node that announces an address is to hold it.
    pub fn tenure(&self, address: IpAddr, node: &str) -> Option<Tenure> {
        let slot = self.slots.get(&address)?;
        let claims = self.members.claims.on(address).iter();
        let foreign = claims.filter(|claim| &*claim.node != node);
        let over = foreign.map(|claim| claim.term).max();
        Some(Tenure {
            key: slot.group.as_ref()?.key,
            over: over.unwrap_or(0),
            renewed: slot.renewed && over.is_some(),
            handing: false,
        })
    }

    /// The Services on an address that nobody announces only because no node has a usable
    /// interface for it, when it falls to `node` to say so, and the interfaces wanted.
    pub fn unannounced(&self, address: IpAddr, node: &str) -> Option<Announcement> {
        let group = self.group(address)?;
        let me = self.nodes().index(node)?;
        if group.owner.is_some() || group.silent != Some(me) {
            return None;
        }
        let reference = self.verdict(group.reference()?)?;
        let named = self.named(&reference.advertisements);
        let keepers = self.keepers(address);
        Some(Announcement {
            services: keepers.iter().map(|service| service.name.clone()).collect(),
            interfaces: self.nodes().interfaces(me, &named)?,
        })
    }

    /// Why a node may not announce a Service, taken alone; none when it may, or when the
    /// Service or the node is not known here.
    pub fn refusal(&self, service: &NamespacedName, node: &str) -> Option<Refusal> {
        let verdict = self.verdict(service)?;
        match self.standing(verdict, self.nodes().index(node)?) {
            Standing::Refused(why) => Some(why),
            Standing::Candidate(_) => None,
        }
    }

    /// What is wrong with Services on one address, and with interface names.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut told = BTreeSet::new();
        for (address, slot) in &self.slots {
            problems.extend(duplicate_holders(*address, slot));
            let apart = slot.group.iter().flat_map(|group| group.apart());
            for service in apart.filter(|service| told.insert((*service).clone())) {
                problems.push(self.no_common(*address, service));
            }
            let group = slot
                .group
                .iter()
                .filter(|g| g.addresses.first() == Some(address));
            problems.extend(group.flat_map(|group| self.refused_moves(group)));
        }
        problems.extend(self.unknown_interfaces());
        problems
    }

    fn group(&self, address: IpAddr) -> Option<&Group> {
        self.slots.get(&address)?.group.as_deref()
    }

    /// The Services on an address that a node may announce.
    fn served(&self, group: &Group, address: IpAddr, node: u16) -> Vec<NamespacedName> {
        let may = |name: &NamespacedName| {
            let standing = self.verdict(name).map(|v| self.standing(v, node));
            match standing {
                Some(Standing::Candidate(_)) => true,
                // The owner that all have in common in spite of its health serves all.
                Some(Standing::Refused(Refusal::Unhealthy)) => group.common().is_some(),
                Some(Standing::Refused(_)) | None => false,
            }
        };
        let keepers = self.keepers(address);
        debug_assert!(
            keepers
                .iter()
                .all(|k| group.services.iter().any(|s| s.name == k.name))
        );
        let names = keepers.iter().map(|service| service.name.clone());
        names.filter(may).collect()
    }

    /// The union over the Services that the node announces there; over all of the group
    /// when the address' own have no candidate.
    fn interfaces_at(&self, group: &Group, address: IpAddr, node: u16) -> Option<InterfaceSet> {
        let mut served = self.served(group, address, node);
        if served.is_empty() {
            served.extend(group.reference().cloned());
        }
        served
            .iter()
            .filter_map(|name| self.verdict(name))
            .filter_map(|v| {
                self.nodes()
                    .interfaces(node, &self.named(&v.advertisements))
            })
            .reduce(|all, more| all.union(&more))
    }

    /// Moves that cannot be: the node named may not announce the Service.
    fn refused_moves(&self, group: &Group) -> Vec<Problem> {
        if self.options.placement != Placement::Fair {
            return Vec::new();
        }
        let refused = group.targets().filter_map(|(service, name)| {
            let why = match self.nodes().index(name) {
                None => "there is no such Node".to_owned(),
                Some(node) => match group.standing(self, node) {
                    Standing::Candidate(_) => return None,
                    Standing::Refused(why) => format!("it is no candidate: {}", why.as_str()),
                },
            };
            Some(Problem::new(
                Severity::Warning,
                Kind::Service,
                &service.name,
                reason::MOVE_TARGET,
                format!("metadata.annotations[{MOVE_ANNOTATION:?}] names {name:?}: {why}; its addresses stay where they are"),
            ))
        });
        refused.collect()
    }

    fn no_common(&self, address: IpAddr, service: &NamespacedName) -> Problem {
        let first = self.group(address).and_then(Group::reference);
        let first = first.map(ToString::to_string);
        Problem::new(
            Severity::Error,
            Kind::Service,
            service,
            reason::NO_COMMON_CANDIDATE,
            format!(
                "shares {address} with {}, but no node may announce both: {address} follows {0}",
                first.unwrap_or_default()
            ),
        )
    }

    /// Names in advertisements that no live member has as a usable interface; told only
    /// when every record is there and whole.
    fn unknown_interfaces(&self) -> Vec<Problem> {
        let records = || self.members.alive.values();
        let known = self.options.interfaces_known
            && records().next().is_some()
            && records().all(|record| !record.truncated);
        if !known || self.members.off {
            return Vec::new();
        }
        let mut problems = Vec::new();
        for advertisement in &self.advertisements {
            let InterfaceSet::Named(names) = &advertisement.interfaces else {
                continue;
            };
            let has = |name: &String| records().any(|record| record.interfaces.contains_key(name));
            for name in names.iter().filter(|name| !has(name)) {
                problems.push(Problem::new(
                    Severity::Warning,
                    Kind::L2Advertisement,
                    &advertisement.object,
                    reason::UNKNOWN_INTERFACE,
                    format!("spec.interfaces: no live node has {name:?} as a usable interface (missing, excluded, down or without carrier)"),
                ));
            }
        }
        problems
    }
}

fn duplicate_holders(address: IpAddr, slot: &Slot) -> Vec<Problem> {
    if slot.holders.len() < 2 {
        return Vec::new();
    }
    let keeper = slot
        .keepers
        .first()
        .map(|keeper| keeper.name.to_string())
        .unwrap_or_default();
    let kept = |holder: &&Arc<Service>| slot.keepers.iter().any(|k| k.name == holder.name);
    let mut losers: Vec<&Arc<Service>> = slot.holders.iter().filter(|h| !kept(h)).collect();
    losers.sort_by(|a, b| keeper::by_creation(a, b));
    let told = losers.into_iter().map(|loser| {
        Problem::new(
            Severity::Error,
            Kind::Service,
            &loser.name,
            reason::DUPLICATE_HOLDER,
            format!("holds {address}, which {keeper} holds too and keeps; not announced until it has another"),
        )
    });
    told.collect()
}
