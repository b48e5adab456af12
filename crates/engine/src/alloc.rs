//! Which Service has which addresses: a function of a snapshot and the ledger.
//!
//! Owns the order of holders and wishes (design/cli.md), the rules of sharing and the
//! texts of refusals (compat/metallb.md 3.1 to 3.4). Writes nothing: a [`Decision`] says
//! what the status should be, `controller` has it written.
//!
//! Two phases. First every holder keeps the addresses of its status that it may still
//! have; then wishes are served by creation time, then name. [`Allocator`] remembers the
//! books between two turns; that is a cache of [`allocate`] and may be thrown away.

mod books;
mod claim;
mod decision;
mod keeper;
mod serve;
mod step;
mod text;
mod wish;

#[cfg(test)]
pub(crate) mod tests;

pub use decision::{Change, Decision, Note};
pub use keeper::{keepers, keepers_of};
pub use step::Allocator;

use crate::config::PoolSet;
use crate::name::NamespacedName;
use crate::problem::Problem;
use crate::world::{PoolStatus, Service, World};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What allocation is told from outside the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--lb-class`: only Services with exactly this class; none: only those without one.
    pub lb_class: Option<String>,
    /// `ipMode` of what is written; `VIP` is the server's default.
    pub ip_mode: &'static str,
    /// Manifests without clusterIPs get their families from `ipFamilies` and
    /// `ipFamilyPolicy` (design/cli.md); off for a real API server.
    pub derive_families: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lb_class: None,
            ip_mode: "VIP",
            derive_families: false,
        }
    }
}

impl Options {
    /// Whether a Service is of our class (compat/metallb.md 2.8); others are left untouched.
    pub fn handles(&self, service: &Service) -> bool {
        service.class == self.lb_class
    }
}

/// What was decided and not yet seen to come back, by Service uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(pub BTreeMap<String, LedgerEntry>);

/// One decision on its way to the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What the status will say.
    pub addresses: Vec<IpAddr>,
    /// What it said when this was decided. A status that shows something else again was
    /// written by someone else after it and is the fact.
    pub base: Vec<IpAddr>,
}

/// The answer of [`allocate`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// The next ledger.
    pub ledger: Ledger,
    /// One for each Service of the world.
    pub decisions: BTreeMap<NamespacedName, Arc<Decision>>,
    /// Two holders of one address.
    pub problems: Vec<Problem>,
    /// The status each usable pool should have, by name.
    pub pools: BTreeMap<String, PoolStatus>,
}

/// Decides for the whole world. Same input, same answer, on any replica. Never to be
/// called before the first list of each kind it reads is complete.
pub fn allocate(
    world: &World,
    pools: &Arc<PoolSet>,
    ledger: &Ledger,
    options: &Options,
) -> Allocation {
    let mut allocator = Allocator::new(options.clone());
    allocator.restart(world, Arc::clone(pools), ledger);
    allocator.allocation()
}
