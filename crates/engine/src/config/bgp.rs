//! The configuration of BGP: peers, advertisements, names of communities, BFD profiles.
//!
//! Owns the checks that one object or the whole set allows (compat/metallb.md 2.3 to 2.6,
//! 2.10). Who announces what is `routes`'s.

mod advertisement;
mod bfd_profile;
mod community;
mod extension;
mod peer;
#[cfg(test)]
mod tests;

pub use advertisement::BgpAdvertisement;
pub use bfd_profile::BfdProfile;
pub use community::Community;
pub use peer::{BfdMode, BgpPeer, Endpoint, Password, RemoteAsn};

use super::PoolSet;
use crate::problem::Problem;
use crate::world::World;
use std::sync::Arc;

/// Names of all annotations of `harbinger.dev` that are read here, for the reference page.
pub const ANNOTATIONS: [&str; 12] = [
    "as-path-prepend",
    "bfd-mode",
    "bfd-strict",
    "drain-wait",
    "link-bandwidth",
    "med",
    "min-hold-time",
    "multihop-ttl",
    "next-hop",
    "restart-time",
    "source-interface",
    "ttl-security-hops",
];

/// What of BGP may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BgpConfig {
    /// By name.
    pub peers: Vec<Arc<BgpPeer>>,
    /// By name.
    pub advertisements: Vec<Arc<BgpAdvertisement>>,
}

/// Parses every object of BGP in our namespace. A bad peer or advertisement is left out
/// and told; the others are used.
pub fn bgp(world: &World, pools: &PoolSet, namespace: &str) -> (BgpConfig, Vec<Problem>) {
    let mut problems = Vec::new();
    let profiles = bfd_profile::parse(world, namespace, &mut problems);
    let communities = community::names(world, namespace, &mut problems);
    let peers = peer::parse(world, &profiles, namespace, &mut problems);
    let advertisements = advertisement::parse(world, pools, &communities, namespace, &mut problems);
    (
        BgpConfig {
            peers,
            advertisements,
        },
        problems,
    )
}
