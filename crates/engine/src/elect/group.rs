//! Step 2: one owner for each group of addresses that hang together.
//!
//! Addresses hang together when a Service holds both (dual stack), Services when they
//! share an address; a group has one owner (L2-84). Owns the value; how its parts are
//! found and when it is made again is `elector`'s.

use super::elector::Elector;
use super::nodes::Standing;
use super::placing::{ClassKey, Seat};
use super::verdict::Verdict;
use crate::claims;
use crate::compact::Few;
use crate::name::NamespacedName;
use crate::plan::Refusal;
use crate::world::{MOVE_ANNOTATION, Service};
use std::net::IpAddr;
use std::sync::Arc;

/// The decision for a group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// By creation, then name; those that lost an address are not among them there.
    pub(super) services: Few<Arc<Service>>,
    /// All addresses, ascending.
    pub(super) addresses: Few<IpAddr>,
    /// The address that decides the order: the first of the first Service's status.
    pub(super) key: IpAddr,
    /// Who answers.
    pub(super) owner: Option<u16>,
    /// Nobody answers for want of interfaces alone: the node that says so.
    pub(super) silent: Option<u16>,
    /// What only several Services have to say.
    shared: Option<Box<Shared>>,
}

/// What several Services on the same addresses come to.
#[derive(Clone, Debug)]
struct Shared {
    /// The Service whose candidates and scores count: the first that has any candidate.
    reference: NamespacedName,
    /// Candidates common to several Services; none: the reference's own.
    common: Option<Box<[u16]>>,
    /// Services that have candidates, but none in common with the reference.
    apart: Vec<NamespacedName>,
}

impl Group {
    /// Everything but the owner and who complains, which need the order.
    pub(super) fn of(
        elector: &Elector,
        mut services: Vec<Arc<Service>>,
        addresses: Vec<IpAddr>,
    ) -> Option<Self> {
        services.sort_by(|a, b| super::keeper::by_creation(a, b));
        let verdicts: Vec<&Verdict> = services
            .iter()
            .filter_map(|service| elector.verdict(&service.name))
            .collect();
        let first = verdicts.first()?;
        let able: Vec<&Verdict> = verdicts
            .iter()
            .copied()
            .filter(|verdict| elector.has_candidate(verdict))
            .collect();
        let reference = able.first().unwrap_or(first);
        let shared = (services.len() > 1).then(|| {
            let (common, apart) = common(elector, &able);
            Box::new(Shared {
                reference: reference.service.name.clone(),
                common,
                apart,
            })
        });
        Some(Self {
            key: *first.addresses.first()?,
            services: services.into(),
            addresses: addresses.into(),
            owner: None,
            silent: None,
            shared,
        })
    }

    /// The Service whose candidates and scores count.
    pub(super) fn reference(&self) -> Option<&NamespacedName> {
        match &self.shared {
            Some(shared) => Some(&shared.reference),
            None => self.services.first().map(|service| &service.name),
        }
    }

    /// Services that have candidates, but none in common with the reference.
    pub(super) fn apart(&self) -> &[NamespacedName] {
        self.shared.as_ref().map_or(&[], |shared| &shared.apart)
    }

    /// Candidates common to several Services; none: the reference's own.
    pub(super) fn common(&self) -> Option<&[u16]> {
        self.shared.as_ref()?.common.as_deref()
    }

    /// How a node stands for the group.
    pub(super) fn standing(&self, elector: &Elector, node: u16) -> Standing {
        self.stand(elector)(node)
    }

    /// The same for many nodes, with what is common to them looked up once.
    fn stand<'a>(&'a self, elector: &'a Elector) -> impl Fn(u16) -> Standing + 'a {
        let reference = self.reference().and_then(|name| elector.verdict(name));
        let common = self.common();
        let base = reference.and_then(|verdict| elector.base(&verdict.advertisements));
        move |node| {
            let (Some(reference), Some(base)) = (reference, base) else {
                return Standing::Refused(Refusal::NoMatchingAdvertisement);
            };
            match (reference.standing(base, node), common) {
                (Standing::Candidate(_), Some(common)) if common.binary_search(&node).is_err() => {
                    Standing::Refused(Refusal::SharedServiceElsewhere)
                }
                // Who is common to all in spite of its health is so for each.
                (Standing::Refused(Refusal::Unhealthy), Some(common))
                    if common.binary_search(&node).is_ok() =>
                {
                    reference.regardless(base, node)
                }
                (standing, _) => standing,
            }
        }
    }

    /// The candidates in order of preference, each with its score; `order` is the order
    /// of all nodes by digest.
    pub(super) fn candidates(&self, elector: &Elector, order: &[u16]) -> Vec<(u16, u64)> {
        let stand = self.stand(elector);
        let standing = |node: &u16| match stand(*node) {
            Standing::Candidate(score) => Some((*node, score)),
            Standing::Refused(_) => None,
        };
        let mut candidates: Vec<(u16, u64)> = order.iter().filter_map(standing).collect();
        // Stable: within a score the order by digest stays.
        candidates.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
        candidates
    }

    /// The first candidate, without listing the others.
    pub(super) fn first(&self, elector: &Elector, order: &[u16]) -> Option<u16> {
        let stand = self.stand(elector);
        let reference = self.reference().and_then(|name| elector.verdict(name));
        let best = match (reference, self.common()) {
            (Some(verdict), None) if verdict.local.is_none() && verdict.blocked.is_none() => {
                elector.base(&verdict.advertisements)?.best()?
            }
            _ => {
                let best = order.iter().map(|node| match stand(*node) {
                    Standing::Candidate(score) => Some(score),
                    Standing::Refused(_) => None,
                });
                best.max().flatten()?
            }
        };
        let first = |node: &&u16| stand(**node) == Standing::Candidate(best);
        order.iter().find(first).copied()
    }

    /// The node that would be first if it had a usable interface (L2-44).
    pub(super) fn first_silent(&self, elector: &Elector, order: &[u16]) -> Option<u16> {
        let stand = self.stand(elector);
        let refused = Standing::Refused(Refusal::NoUsableInterface);
        order.iter().find(|node| stand(**node) == refused).copied()
    }
}

impl Group {
    /// Its seat in the fold; none when nobody may announce it.
    pub(super) fn seat(&self, elector: &Elector) -> Option<Seat> {
        let verdict = elector.verdict(self.reference()?)?;
        let base = elector.base(&verdict.advertisements)?;
        let plain = self.common().is_none() && verdict.local.is_none() && !verdict.withdraws;
        let class = if plain && verdict.blocked.is_none() {
            Arc::clone(base.class()?)
        } else {
            let stand = self.stand(elector);
            let scored = elector.nodes().all().filter_map(|node| match stand(node) {
                Standing::Candidate(score) => Some((node, score)),
                Standing::Refused(_) => None,
            });
            let scored: Vec<(u16, u64)> = scored.collect();
            Arc::new(ClassKey::of(scored.into_iter())?)
        };
        let first = self.services.first()?;
        Some(Seat {
            holder: self.holder(elector, &class),
            class,
            first: Arc::clone(first),
            key: self.key,
        })
    }

    /// The node a person has named, else the one whose claim wins among the candidates.
    /// The address that decides the order speaks first, so that a group has one holder.
    fn holder(&self, elector: &Elector, class: &ClassKey) -> Option<u16> {
        let candidate = |name: &str| {
            let node = elector.nodes().index(name)?;
            class.candidates.binary_search(&node).ok().map(|_| node)
        };
        if let Some(node) = self.targets().find_map(|(_, name)| candidate(name)) {
            return Some(node);
        }
        let claims = elector.members.claims.as_ref();
        let rest = self.addresses.iter().filter(|a| **a != self.key);
        std::iter::once(&self.key).chain(rest).find_map(|address| {
            let able = claims.on(*address).iter();
            let able = able.filter(|claim| candidate(&claim.node).is_some());
            let (node, _) = claims::best(able.map(|c| (&*c.node, c.term)), self.key)?;
            candidate(node)
        })
    }

    /// The nodes that Services ask for, by creation of the Service.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&Arc<Service>, &str)> + '_ {
        self.services.iter().filter_map(|service| {
            let node = service.annotations.get(MOVE_ANNOTATION)?;
            Some((service, node.trim()))
        })
    }
}

/// The candidates that several Services have in common, and who has none of those.
fn common(elector: &Elector, able: &[&Verdict]) -> (Option<Box<[u16]>>, Vec<NamespacedName>) {
    let Some((reference, others)) = able.split_first() else {
        return (None, Vec::new());
    };
    let same_candidates = others.iter().all(|other| {
        other.local == reference.local
            && other.advertisements == reference.advertisements
            && other.withdraws == reference.withdraws
    });
    if same_candidates {
        return (None, Vec::new());
    }
    let may = |verdict: &Verdict, node: u16| {
        matches!(elector.standing(verdict, node), Standing::Candidate(_))
    };
    let nodes = elector.nodes().all();
    let mut all: Box<[u16]> = nodes
        .filter(|node| able.iter().all(|v| may(v, *node)))
        .collect();
    if all.is_empty() && !able.iter().any(|verdict| verdict.withdraws) {
        // Health keeps them apart, or something else does; the first is no reason to.
        let may = |verdict: &Verdict, node: u16| {
            let base = elector.base(&verdict.advertisements);
            base.is_some_and(|base| {
                matches!(verdict.regardless(base, node), Standing::Candidate(_))
            })
        };
        let nodes = elector.nodes().all();
        all = nodes
            .filter(|node| able.iter().all(|v| may(v, *node)))
            .collect();
    }
    if all.is_empty() {
        let names = others.iter().map(|other| other.service.name.clone());
        return (None, names.collect());
    }
    (Some(all), Vec::new())
}
