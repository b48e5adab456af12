//! Which routes this node tells which BGP peer.
//!
//! Owns the decision of compat/metallb.md 3.8 and 3.9 for one node: for each Service,
//! remembered, whether it is announced and by which advertisements; for each prefix the
//! union of what they say; for each session the routes it carries. The membership plays
//! no role: every node that may serve an address tells its routers.
//!
//! Does not know sessions' states, and makes no message.

mod memory;
#[cfg(test)]
mod tests;
mod verdict;

pub use memory::Routes;

use crate::config::bgp::{BgpPeer, Community};
use crate::name::NamespacedName;
use ipnetwork::IpNetwork;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a route says beside its prefix; the next hop and the path are the session's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteAttributes {
    /// LOCAL_PREF; none when not set, and on external sessions.
    pub local_pref: Option<u32>,
    /// Sorted, none twice.
    pub communities: BTreeSet<Community>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// How often our own system number is put before the path once more.
    pub prepend: u8,
    /// Endpoints here that the link bandwidth is made from; none: it is not sent.
    pub weight: Option<u32>,
}

/// Whether this node is to go on carrying traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Departure {
    /// It is.
    #[default]
    Stays,
    /// It is labelled as excluded: its routes are first told as such that are about to go,
    /// then withdrawn; the sessions stay (BGP-134).
    Excluded,
    /// It is in maintenance: the same, and the sessions end with a word (BGP-99).
    Maintenance,
}

/// One route of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is sent.
    pub attributes: RouteAttributes,
    /// The Services behind it, by name.
    pub services: BTreeSet<NamespacedName>,
}

/// The routes of a session.
pub type RouteTable = BTreeMap<IpNetwork, Arc<Route>>;

/// One session of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// With whom.
    pub peer: Arc<BgpPeer>,
    /// What is told.
    pub routes: Arc<RouteTable>,
}
