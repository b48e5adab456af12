//! What one Service says by itself on this node. Remembered until the Service, its slices,
//! the node or the configuration change.

use crate::config::PoolSet;
use crate::config::bgp::{BgpAdvertisement, BgpConfig};
use crate::elect::nodes::EXCLUDE_LABEL;
use crate::elect::verdict::{Endpoints, addresses_of, pool_of};
use crate::elect::{ElectOptions, Elector};
use crate::plan::Refusal;
use crate::routes::Departure;
use crate::selector::Labels;
use crate::world::{EndpointSlice, Family, Node, Service, TrafficPolicy};
use std::net::IpAddr;
use std::sync::Arc;

/// What of this node decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) name: String,
    pub(super) labels: Labels,
    /// Nothing is announced from here, for this reason.
    pub(super) refusal: Option<Refusal>,
    pub(super) departure: Departure,
    /// Its health says that it is to get no new connections.
    pub(super) unwell: bool,
    /// Then: the nodes that could take them.
    pub(super) others: Vec<Arc<Node>>,
}

impl Here {
    /// `elector`: whose health is known, just updated.
    pub(super) fn of(node: &Node, options: &ElectOptions, elector: &Elector) -> Self {
        let refusal = if node.network_unavailable {
            Some(Refusal::NodeNetworkUnavailable)
        } else if !options.ignore_exclude && node.labels.contains_key(EXCLUDE_LABEL) {
            Some(Refusal::NodeLabeledExcludeBalancers)
        } else if node.maintenance {
            Some(Refusal::Maintenance)
        } else {
            None
        };
        let name = node.name.name.as_str();
        let unwell = options.outside.is_none() && elector.is_unwell(name);
        let able = |other: &&Arc<Node>| {
            let excluded = !options.ignore_exclude && other.labels.contains_key(EXCLUDE_LABEL);
            !excluded && !other.network_unavailable && !other.maintenance
        };
        let others: Vec<Arc<Node>> = match unwell {
            true => elector.well().filter(able).cloned().collect(),
            false => Vec::new(),
        };
        // Told in advance, so that its routers turn away before the routes are gone.
        let told = (node.deleting || node.to_be_deleted) && !others.is_empty();
        let departure = match refusal {
            _ if node.maintenance => Departure::Maintenance,
            Some(Refusal::NodeLabeledExcludeBalancers) => Departure::Excluded,
            None if told => Departure::Excluded,
            _ => Departure::Stays,
        };
        Self {
            name: node.name.name.to_string(),
            labels: node.labels.clone(),
            refusal,
            departure,
            unwell,
            others,
        }
    }

    /// A node that is unwell lets go of a Service where another one, which is well, tells a router of it: suspicion alone
    /// never takes the last one. Where the Service would rather have nobody, it lets go at once.
    fn lets_go(
        &self,
        service: &Service,
        withdraws: bool,
        applying: &[u16],
        endpoints: &Endpoints<'_>,
        config: &BgpConfig,
    ) -> bool {
        let local = service.external_policy == TrafficPolicy::Local;
        let tells = |other: &Node, at: &u16| {
            let Some(ad) = config.advertisements.get(usize::from(*at)) else {
                return false;
            };
            let mut peers = config.peers.iter();
            ad.selects_node(&other.labels)
                && peers.any(|peer| {
                    ad.selects_peer(&peer.object.name) && peer.selects_node(&other.labels)
                })
        };
        let takes_over = |other: &Arc<Node>| {
            let name = other.name.name.as_str();
            (!local || endpoints.nodes.contains(&name))
                && applying.iter().any(|at| tells(other, at))
        };
        self.unwell && (withdraws || self.others.iter().any(takes_over))
    }
}

/// What is remembered of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) addresses: Box<[IpAddr]>,
    /// Positions of the advertisements that apply here, ascending.
    pub(super) advertisements: Box<[u16]>,
    /// It is not announced, for this reason.
    pub(super) refusal: Option<Refusal>,
    /// The two that conflict, by position.
    pub(super) conflict: Option<(u16, u16)>,
    /// Endpoints on this node that can serve.
    pub(super) endpoints_here: u32,
}

impl Verdict {
    /// None when the Service is not ours or holds nothing.
    pub(super) fn of(
        service: &Service,
        slices: &[Arc<EndpointSlice>],
        withdraws: bool,
        here: &Here,
        pools: &PoolSet,
        config: &BgpConfig,
        options: &ElectOptions,
    ) -> Option<Self> {
        if !options.handles(service) {
            return None;
        }
        let addresses = addresses_of(service);
        if addresses.is_empty() {
            return None;
        }
        let pool = pool_of(service, &addresses, pools);
        let of_node: Vec<u16> = positions(config)
            .filter(|(_, ad)| pool.is_some_and(|pool| ad.covers(pool)))
            .filter(|(_, ad)| ad.selects_node(&here.labels))
            .map(|(at, _)| at)
            .collect();
        let selected = |at: &u16| {
            let ad = config.advertisements.get(usize::from(*at));
            ad.is_some_and(|ad| ad.selects_service(&service.labels))
        };
        let applying: Vec<u16> = of_node.iter().copied().filter(|at| selected(at)).collect();
        let endpoints = Endpoints::of(service, slices);
        let local = endpoints.nodes.iter().filter(|node| **node == here.name);
        let endpoints_here = u32::try_from(local.count()).unwrap_or(u32::MAX);
        let families = families(pool, pools, &addresses);
        let conflict = conflict(&applying, config, families);
        let refusal = if of_node.is_empty() {
            Some(Refusal::NotOwner)
        } else if applying.is_empty() {
            Some(Refusal::NoMatchingAdvertisement)
        } else if conflict.is_some() {
            Some(Refusal::ConflictingAdvertisements)
        } else if here.refusal.is_some() {
            here.refusal
        } else if service.external_policy == TrafficPolicy::Local
            && endpoints_here == 0
            && options.outside.is_none()
        {
            Some(Refusal::NoLocalEndpoints)
        } else if !endpoints.any {
            Some(Refusal::NoEndpoints)
        } else if here.lets_go(service, withdraws, &applying, &endpoints, config) {
            Some(Refusal::Unhealthy)
        } else {
            None
        };
        Some(Self {
            addresses: addresses.into_boxed_slice(),
            advertisements: applying.into_boxed_slice(),
            refusal,
            conflict,
            endpoints_here,
        })
    }
}

fn positions(config: &BgpConfig) -> impl Iterator<Item = (u16, &BgpAdvertisement)> + '_ {
    (0u16..).zip(config.advertisements.iter().map(Arc::as_ref))
}

/// The families of the pool; those of the addresses where the pool is refused.
fn families(pool: Option<&str>, pools: &PoolSet, addresses: &[IpAddr]) -> Vec<Family> {
    let pool = pool.and_then(|name| pools.get(name));
    let has = |family: &Family| match pool {
        Some(pool) => pool.has_family(*family),
        None => addresses.iter().any(|a| Family::of(*a) == *family),
    };
    [Family::V4, Family::V6].into_iter().filter(has).collect()
}

/// The first two that give one route different LOCAL_PREFs (compat/metallb.md 3.9). That
/// both select this node is given.
fn conflict(applying: &[u16], config: &BgpConfig, families: Vec<Family>) -> Option<(u16, u16)> {
    let at = |position: u16| config.advertisements.get(usize::from(position));
    applying.iter().enumerate().find_map(|(index, a)| {
        let rest = applying.iter().skip(index + 1);
        rest.copied()
            .find(|b| match (at(*a), at(*b)) {
                (Some(a), Some(b)) => conflicts(a, b, &families),
                _ => false,
            })
            .map(|b| (*a, b))
    })
}

fn conflicts(a: &BgpAdvertisement, b: &BgpAdvertisement, families: &[Family]) -> bool {
    if a.local_pref == b.local_pref {
        return false;
    }
    let differ = families.iter().all(|f| a.length(*f) != b.length(*f));
    let named = !a.peers.is_empty() && !b.peers.is_empty();
    let disjoint = named && a.peers.is_disjoint(&b.peers);
    !differ && !disjoint
}
