//! BGPAdvertisements: checked selectors, pools resolved, attributes parsed.

use super::super::{AddressRange, Judge, Pool, PoolSet, counts};
use super::community::Community;
use super::extension::{self, Extensions};
use crate::config::addresses::bits;
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity, reason};
use crate::selector::{Labels, Selector, any_matches};
use crate::world::{self, Family, World};
use ipnetwork::IpNetwork;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// LIMIT: communities of one kind on a route (BGP-92); a plain message holds them with room for prefixes.
const COMMUNITIES_MAX: usize = 256;
/// LIMIT: large communities on a route (BGP-93).
const LARGE_COMMUNITIES_MAX: usize = 85;

/// Names of the annotations that mean something on a BGPAdvertisement.
const ANNOTATIONS: [&str; 3] = ["as-path-prepend", "link-bandwidth", "med"];

/// A BGPAdvertisement that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpAdvertisement {
    /// The object.
    pub object: NamespacedName,
    /// Names of the pools it is for, by name and by selector, without those it would
    /// aggregate beyond.
    pub pools: BTreeSet<String>,
    /// Nodes; empty: all.
    pub node_selectors: Vec<Selector>,
    /// Services; empty: all.
    pub service_selectors: Vec<Selector>,
    /// BGPPeers by name; empty: all.
    pub peers: BTreeSet<String>,
    /// Prefix length of IPv4 routes, 1..=32.
    pub length_v4: u8,
    /// Prefix length of IPv6 routes, 1..=128.
    pub length_v6: u8,
    /// LOCAL_PREF; none is not set.
    pub local_pref: Option<u32>,
    /// Of every route.
    pub communities: BTreeSet<Community>,
    /// MULTI_EXIT_DISC (annotation `harbinger.dev/med`).
    pub med: Option<u32>,
    /// How often our own system number is put before the path once more.
    pub prepend: u8,
    /// Routes carry a link bandwidth that grows with the endpoints here.
    pub link_bandwidth: bool,
}

impl BgpAdvertisement {
    /// Whether it is for a pool.
    pub fn covers(&self, pool: &str) -> bool {
        self.pools.contains(pool)
    }

    /// Whether a node with these labels may announce by it.
    pub fn selects_node(&self, labels: &Labels) -> bool {
        self.node_selectors.is_empty() || any_matches(&self.node_selectors, labels)
    }

    /// Whether it is for a Service with these labels.
    pub fn selects_service(&self, labels: &Labels) -> bool {
        self.service_selectors.is_empty() || any_matches(&self.service_selectors, labels)
    }

    /// Whether a peer is told.
    pub fn selects_peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.contains(name)
    }

    /// The prefix length of a family.
    pub fn length(&self, family: Family) -> u8 {
        match family {
            Family::V4 => self.length_v4,
            Family::V6 => self.length_v6,
        }
    }

    /// The route that covers an address (BGP-96).
    pub fn prefix(&self, address: IpAddr) -> IpNetwork {
        let length = self.length(Family::of(address));
        // The length is within the family's bounds, so this cannot fail.
        let host = IpNetwork::from(address);
        IpNetwork::new(address, length)
            .and_then(|network| IpNetwork::new(network.network(), length))
            .unwrap_or(host)
    }
}

pub(super) fn parse(
    world: &World,
    pools: &PoolSet,
    communities: &BTreeMap<String, Community>,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<BgpAdvertisement>> {
    let mut all = Vec::new();
    for stored in world.bgp_advertisements.iter() {
        let raw = &stored.object;
        let source = stored.origin.source.clone();
        let mut judge = Judge::new(Kind::BgpAdvertisement, &raw.name, source);
        if counts(&mut judge, namespace)
            && let Some(advertisement) = one(raw, world, pools, communities, &mut judge)
        {
            all.push(Arc::new(advertisement));
        }
        problems.append(&mut judge.problems);
    }
    all
}

fn one(
    raw: &world::BgpAdvertisement,
    world: &World,
    pools: &PoolSet,
    names: &BTreeMap<String, Community>,
    judge: &mut Judge<'_>,
) -> Option<BgpAdvertisement> {
    let pool_selectors = judge.selectors("spec.ipAddressPoolSelectors", &raw.pool_selectors);
    let node_selectors = judge.selectors("spec.nodeSelectors", &raw.node_selectors);
    let service_selectors = judge.selectors("spec.serviceSelectors", &raw.service_selectors);
    let lengths = lengths(raw, judge);
    let local_pref = local_pref(raw, judge);
    let communities = communities(raw, names, judge);
    let peers = peers(raw, world, judge);
    extension::refuse_unknown(&raw.annotations, &ANNOTATIONS, judge);
    let mut extensions = Extensions {
        annotations: &raw.annotations,
        judge,
    };
    let med = extensions.number("med", 0..=u32::MAX);
    let prepend = extensions.number("as-path-prepend", 0..=10).unwrap_or(0);
    let link_bandwidth = extensions.flag("link-bandwidth");
    let (length_v4, length_v6) = lengths?;
    let pools = resolve(raw, pools, &pool_selectors?, (length_v4, length_v6), judge);
    Some(BgpAdvertisement {
        object: raw.name.clone(),
        pools,
        node_selectors: node_selectors?,
        service_selectors: service_selectors?,
        peers,
        length_v4,
        length_v6,
        local_pref: local_pref?,
        communities: communities?,
        med,
        prepend: u8::try_from(prepend).unwrap_or(0),
        link_bandwidth,
    })
}

fn lengths(raw: &world::BgpAdvertisement, judge: &mut Judge<'_>) -> Option<(u8, u8)> {
    let mut length = |field: &str, value: i64, most: u8| {
        let fits = u8::try_from(value).ok();
        let fits = fits.filter(|length| (1..=most).contains(length));
        if fits.is_none() {
            let text = format!("spec.{field}: {value} is not within 1 and {most}");
            judge.error(reason::INVALID_FIELD, text);
        }
        fits
    };
    let v4 = length("aggregationLength", raw.aggregation_length, 32);
    let v6 = length("aggregationLengthV6", raw.aggregation_length_v6, 128);
    let (v4, v6) = (v4?, v6?);
    if !raw.service_selectors.is_empty() && (v4, v6) != (32, 128) {
        let text = "spec.serviceSelectors: only with aggregationLength 32 and aggregationLengthV6 128, as one route would cover Services that are not selected";
        judge.error(reason::INVALID_FIELD, text);
        return None;
    }
    Some((v4, v6))
}

/// The outer option is none when the value cannot be.
fn local_pref(raw: &world::BgpAdvertisement, judge: &mut Judge<'_>) -> Option<Option<u32>> {
    let Some(value) = raw.local_pref else {
        return Some(None);
    };
    match u32::try_from(value) {
        Ok(0) => Some(None),
        Ok(value) => Some(Some(value)),
        Err(_) => {
            let text = format!("spec.localPref: {value} is not within 0 and 4294967295");
            judge.error(reason::INVALID_FIELD, text);
            None
        }
    }
}

/// None when one is bad: routes without the community somebody asked for may go too far.
fn communities(
    raw: &world::BgpAdvertisement,
    names: &BTreeMap<String, Community>,
    judge: &mut Judge<'_>,
) -> Option<BTreeSet<Community>> {
    let mut all = Some(BTreeSet::new());
    for (index, text) in judge
        .distinct("spec.communities", &raw.communities)
        .into_iter()
        .enumerate()
    {
        match names.get(text).copied().or_else(|| Community::parse(text)) {
            Some(community) => {
                all = all.map(|mut all| {
                    all.insert(community);
                    all
                })
            }
            None => {
                let text = format!(
                    "spec.communities[{index}]: {text:?} is neither A:B nor large:A:B:C nor the name of a community"
                );
                judge.error(reason::INVALID_COMMUNITY, text);
                all = None;
            }
        }
    }
    let large = |community: &&Community| matches!(community, Community::Large(..));
    let larges = all.iter().flatten().filter(large).count();
    let standards = all.as_ref().map_or(0, BTreeSet::len) - larges;
    if standards > COMMUNITIES_MAX || larges > LARGE_COMMUNITIES_MAX {
        let text = format!(
            "spec.communities: {standards} communities and {larges} large ones; at most {COMMUNITIES_MAX} and {LARGE_COMMUNITIES_MAX} go with a route"
        );
        judge.error(reason::INVALID_COMMUNITY, text);
        return None;
    }
    all
}

fn peers(raw: &world::BgpAdvertisement, world: &World, judge: &mut Judge<'_>) -> BTreeSet<String> {
    let names = judge.distinct("spec.peers", &raw.peers);
    for name in &names {
        if !world
            .bgp_peers
            .iter()
            .any(|peer| peer.object.name.name == **name)
        {
            let text = format!("spec.peers: there is no BGPPeer {name:?}");
            judge.tell(Severity::Warning, reason::UNKNOWN_PEER, text);
        }
    }
    names.into_iter().cloned().collect()
}

fn resolve(
    raw: &world::BgpAdvertisement,
    pools: &PoolSet,
    selectors: &[Selector],
    lengths: (u8, u8),
    judge: &mut Judge<'_>,
) -> BTreeSet<String> {
    let names = judge.distinct("spec.ipAddressPools", &raw.pools);
    let every = raw.pools.is_empty() && raw.pool_selectors.is_empty();
    let mut resolved = BTreeSet::new();
    for (name, labels) in pools.labelled() {
        let named = names.iter().any(|wanted| *wanted == name);
        if !(every || named || any_matches(selectors, labels)) {
            continue;
        }
        match pools.get(name).and_then(|pool| beyond(pool, lengths)) {
            Some(text) => {
                let text = format!("pool {name:?} is not announced by it: {text}");
                judge.error(reason::AGGREGATION_BEYOND_POOL, text);
            }
            None => {
                resolved.insert(name.to_owned());
            }
        }
    }
    for name in names {
        if !pools.labelled().any(|(known, _)| known == name) {
            let text = format!("spec.ipAddressPools: there is no pool {name:?}");
            judge.tell(Severity::Warning, reason::UNKNOWN_POOL, text);
        }
    }
    resolved
}

/// Why a route of this length would attract more than the pool holds (BGP-96): as MetalLB,
/// the shortest prefix of each entry's decomposition is compared.
fn beyond(pool: &Pool, (v4, v6): (u8, u8)) -> Option<String> {
    pool.ranges.iter().find_map(|range| {
        let (field, length) = match range.family() {
            Family::V4 => ("aggregationLength", v4),
            Family::V6 => ("aggregationLengthV6", v6),
        };
        let shortest = shortest_prefix(range);
        (length < shortest).then(|| {
            format!("spec.{field}: {length} is shorter than /{shortest}, the largest prefix within {range}")
        })
    })
}

/// The length of the largest aligned block within a range.
fn shortest_prefix(range: &AddressRange) -> u8 {
    let width: u32 = match range.family() {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    let (first, last) = (bits(range.first()), bits(range.last()));
    let mut best = width;
    let mut at = first;
    loop {
        // The largest block that begins here and ends in the range.
        let aligned = if at == 0 {
            width
        } else {
            at.trailing_zeros().min(width)
        };
        let left = (last - at).checked_add(1).map_or(width, u128::ilog2);
        let size = aligned.min(left);
        best = best.min(width - size);
        let next = 1u128
            .checked_shl(size)
            .and_then(|block| at.checked_add(block));
        match next {
            Some(next) if next <= last => at = next,
            _ => return u8::try_from(best).unwrap_or(u8::MAX),
        }
    }
}
