//! What is to be announced to a peer: prefixes and what goes along with them, as one value with equality.
//!
//! Owns the rules for what cannot be announced. It does not know sessions: AS_PATH, next hop and what iBGP and eBGP
//! make of these attributes are decided when a message is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::message::{Community, LargeCommunity};

/// LIMIT: communities of one prefix (BGP-92): 1 KiB, a quarter of a plain message.
pub const COMMUNITIES_MAX: usize = 256;
/// LIMIT: large communities of one prefix (BGP-93): 1 KiB, a quarter of a plain message.
pub const LARGE_COMMUNITIES_MAX: usize = 85;
/// LIMIT: how often our AS is prepended (BGP-86): further than the diameter of the Internet serves nobody.
pub const PREPEND_MAX: u8 = 10;
/// LOCAL_PREF on iBGP where none is set (BGP-90).
pub const LOCAL_PREF: u32 = 100;

/// What goes along with a prefix. The default is a plain route.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteAttributes {
    /// Sent on iBGP only; [`LOCAL_PREF`] where unset.
    pub local_pref: Option<u32>,
    /// Sent when set.
    pub med: Option<u32>,
    /// Classic communities.
    pub communities: BTreeSet<Community>,
    /// Large communities.
    pub large_communities: BTreeSet<LargeCommunity>,
    /// Link bandwidth in octets a second, for a router that weighs (BGP-94).
    pub link_bandwidth: Option<u64>,
    /// On eBGP our AS is in AS_PATH once, and this often again.
    pub prepend: u8,
    /// Next hop in place of this node's address on the session. An IPv6 one for an IPv4 prefix goes to peers with
    /// RFC 8950 only.
    pub next_hop: Option<IpAddr>,
}

/// Why a prefix cannot be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// The prefix has bits set beyond its length.
    #[error("{0} has host bits set")]
    HostBits(IpNetwork),
    /// Multicast, loopback or unspecified.
    #[error("{0} cannot be announced")]
    NotUnicast(IpNetwork),
    /// More than fit.
    #[error("{0} communities, at most {COMMUNITIES_MAX} go with a prefix")]
    Communities(usize),
    /// More than fit.
    #[error("{0} large communities, at most {LARGE_COMMUNITIES_MAX} go with a prefix")]
    LargeCommunities(usize),
    /// More than is sensible.
    #[error("{0} prepends, at most {PREPEND_MAX} are made")]
    Prepend(u8),
    /// A next hop nobody can send to, or an IPv4 one for an IPv6 prefix.
    #[error("{0} cannot be the next hop")]
    NextHop(IpAddr),
}

/// A set of prefixes with their attributes. Cheap to clone; a clone of the same set is equal at the cost of a pointer.
#[derive(Clone, Debug, Default)]
pub struct RouteSet {
    routes: Arc<BTreeMap<IpNetwork, Arc<RouteAttributes>>>,
}

impl PartialEq for RouteSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.routes, &other.routes) || self.routes == other.routes
    }
}

impl Eq for RouteSet {}

impl RouteSet {
    /// Nothing.
    #[must_use]
    pub fn new() -> RouteSet {
        RouteSet::default()
    }

    /// Adds a prefix or replaces what goes along with it. Share the `Arc` among prefixes with equal attributes.
    ///
    /// # Errors
    /// [`RouteError`]; the set is then as before.
    pub fn insert(
        &mut self,
        prefix: IpNetwork,
        attributes: Arc<RouteAttributes>,
    ) -> Result<(), RouteError> {
        check(prefix, &attributes)?;
        Arc::make_mut(&mut self.routes).insert(prefix, attributes);
        Ok(())
    }

    /// Takes a prefix out.
    pub fn remove(&mut self, prefix: &IpNetwork) -> bool {
        self.routes.contains_key(prefix) && Arc::make_mut(&mut self.routes).remove(prefix).is_some()
    }

    /// What goes along with a prefix of the set.
    #[must_use]
    pub fn attributes(&self, prefix: &IpNetwork) -> Option<&Arc<RouteAttributes>> {
        self.routes.get(prefix)
    }

    /// All prefixes in order: IPv4 first, then by address and length.
    pub fn iter(&self) -> impl Iterator<Item = (&IpNetwork, &Arc<RouteAttributes>)> {
        self.routes.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// None.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The very same set, not only an equal one.
    pub(crate) fn is(&self, other: &RouteSet) -> bool {
        Arc::ptr_eq(&self.routes, &other.routes)
    }

    /// A prefix of the set that lies within `prefix`.
    ///
    /// The first at or behind it in order: one that begins behind its start and within it is longer than it.
    pub(crate) fn within(&self, prefix: &IpNetwork) -> Option<IpNetwork> {
        let (&found, _) = self
            .routes
            .range(IpNetwork::new(prefix.network(), prefix.prefix()).ok()?..)
            .next()?;
        (found.is_ipv4() == prefix.is_ipv4()
            && prefix.contains(found.network())
            && found.prefix() >= prefix.prefix())
        .then_some(found)
    }
}

fn check(prefix: IpNetwork, attributes: &RouteAttributes) -> Result<(), RouteError> {
    if prefix.network() != prefix.ip() {
        return Err(RouteError::HostBits(prefix));
    }
    if prefix.prefix() > 0 && not_unicast(prefix.network()) {
        return Err(RouteError::NotUnicast(prefix));
    }
    if attributes.communities.len() > COMMUNITIES_MAX {
        return Err(RouteError::Communities(attributes.communities.len()));
    }
    if attributes.large_communities.len() > LARGE_COMMUNITIES_MAX {
        return Err(RouteError::LargeCommunities(
            attributes.large_communities.len(),
        ));
    }
    if attributes.prepend > PREPEND_MAX {
        return Err(RouteError::Prepend(attributes.prepend));
    }
    match attributes.next_hop {
        Some(hop) if not_unicast(hop) || (prefix.is_ipv6() && hop.is_ipv4()) => {
            Err(RouteError::NextHop(hop))
        }
        _ => Ok(()),
    }
}

/// Unspecified, loopback, multicast, IPv4 class E, or IPv4 in IPv6's clothes.
pub(crate) fn not_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_loopback() || v4.octets()[0] >= 224,
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.to_ipv4_mapped().is_some()
        }
    }
}
