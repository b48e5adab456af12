//! Who answers for which address on the local network.
//!
//! Owns the decision in three steps, of which the first two are remembered by
//! [`Elector`]: (1) for each Service, which advertisements apply and which nodes could
//! serve; (2) for each address, the candidates common to its Services and the first of
//! them. What a node does with it (3) is `speaker`'s. All nodes decide alike from the same
//! snapshot: "me" does not occur here. Under [`Placement::Fair`] the claims are part of the
//! snapshot: a living holder that stays a candidate keeps what it has.

pub mod big;
mod elector;
mod entry;
mod group;
mod health;
mod keeper;
pub(crate) mod nodes;
pub mod order;
mod placing;
pub mod share;
mod slices;
pub(crate) mod verdict;

#[cfg(test)]
pub(crate) mod tests;

pub use elector::Elector;
pub use entry::Move;

use crate::config::{Advertisement, PoolSet};
use crate::facts::MembersView;
use crate::world::{Service, World};
use std::sync::Arc;

/// How the owner is picked from the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Who holds it; else the first below its share (design/ownership.md, 4 and 5).
    #[default]
    Fair,
    /// The first, whoever holds it: MetalLB's rule.
    MetalLb,
}

/// What the election is told once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectOptions {
    /// How the owner is picked.
    pub placement: Placement,
    /// The exclusion label counts for nothing (`--ignore-exclude-lb`).
    pub ignore_exclude: bool,
    /// The interfaces in the members' records count (L2-44). Without, every node is taken
    /// to have every interface: `harbinger plan`, or MetalLB's behaviour.
    pub interfaces_known: bool,
    /// Only Services of this class; none: only those without a class.
    pub lb_class: Option<String>,
    /// This machine is no node of the cluster, and has this name: candidates are it and the other members that are no
    /// nodes, whatever runs on the nodes (design/front.md).
    pub outside: Option<String>,
}

impl ElectOptions {
    /// Whether a Service is ours to announce, addresses aside.
    pub fn handles(&self, service: &Service) -> bool {
        service.load_balancer && service.class == self.lb_class
    }
}

/// An elector that has decided everything once.
pub fn decided(
    world: &World,
    pools: &PoolSet,
    advertisements: &[Arc<Advertisement>],
    members: &MembersView,
    options: &ElectOptions,
) -> Elector {
    let mut elector = Elector::new(options.clone());
    elector.set_config(Arc::new(pools.clone()), advertisements.to_vec());
    elector.set_members(members);
    elector.update(world);
    elector
}
