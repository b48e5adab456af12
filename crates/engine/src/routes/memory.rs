//! The routes of one node, with what is remembered so that one change costs one change.

use super::verdict::{Here, Verdict};
use super::{Departure, Route, RouteAttributes, RouteTable, Session};
use crate::config::PoolSet;
use crate::config::bgp::{BgpAdvertisement, BgpConfig, BgpPeer};
use crate::elect::nodes::front;
use crate::elect::{ElectOptions, Elector};
use crate::name::{Kind, NamespacedName};
use crate::plan::Refusal;
use crate::problem::{Problem, Severity, reason};
use crate::world::{Family, Touched, World};
use ipnetwork::IpNetwork;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// LIMIT: sessions of one node; racks have two routers, laboratories tens.
const SESSIONS_MAX: usize = 256;

/// See the module. Throwing it away and making it anew gives the same routes.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    node: String,
    options: ElectOptions,
    pools: Arc<PoolSet>,
    config: Arc<BgpConfig>,
    here: Option<Here>,
    sessions: BTreeMap<String, Session>,
    verdicts: BTreeMap<NamespacedName, Verdict>,
    /// Who stands behind each prefix: the Services, with their advertisements.
    prefixes: BTreeMap<IpNetwork, BTreeMap<NamespacedName, BTreeSet<u16>>>,
    /// Addresses that are not to be told from here, because too few nodes behind them are healthy.
    withdrawn: Arc<BTreeSet<IpAddr>>,
    dirty: Dirty,
}

/// What has to be looked at again.
#[derive(Clone, Debug, Default)]
struct Dirty {
    /// What is remembered is of use.
    seen: bool,
    node: bool,
}

impl Routes {
    /// Nothing known.
    pub fn new(node: impl Into<String>, options: ElectOptions) -> Self {
        Self {
            node: node.into(),
            options,
            ..Self::default()
        }
    }

    /// Peers, advertisements and pools as they are now.
    pub fn set_config(&mut self, pools: Arc<PoolSet>, config: Arc<BgpConfig>) {
        if self.pools != pools || self.config != config {
            self.pools = pools;
            self.config = config;
            self.dirty = Dirty::default();
        }
    }

    /// What a change of the world touched; every one must be told before [`Self::update`].
    pub fn touch(&mut self, touched: &Touched) {
        if touched.kind == Some(Kind::Node) {
            self.dirty.node |= touched.names.iter().any(|name| name.name == self.node);
        }
    }

    /// Addresses that are not to be told from here; those that differ must be among the next update's `decided`.
    pub fn set_withdrawn(&mut self, withdrawn: &Arc<BTreeSet<IpAddr>>) {
        self.withdrawn = Arc::clone(withdrawn);
    }

    /// Whether this node stays, as last decided.
    pub fn departure(&self) -> Departure {
        let here = self.here.as_ref();
        here.map(|here| here.departure).unwrap_or_default()
    }

    /// Throws all that is remembered away.
    pub fn forget(&mut self) {
        self.dirty = Dirty::default();
    }

    /// Decides again what has to be. `elector` has just been updated for the same world: it
    /// knows the slices, who keeps an address, and which Services it looked at. `decided`
    /// are the addresses whose keepers may be others now. Tells whether any session or
    /// route differs.
    pub fn update(&mut self, world: &World, elector: &Elector, decided: &BTreeSet<IpAddr>) -> bool {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.dirty.seen = true;
        let unwell = self.options.outside.is_none() && elector.is_unwell(&self.node);
        let was = self.here.as_ref().is_some_and(|here| here.unwell);
        if !dirty.seen || dirty.node || unwell || was {
            let name = NamespacedName::new("", self.node.as_str());
            let stored = world.nodes.get(&name);
            let here = match &self.options.outside {
                Some(own) => Some(Here::of(&front(own), &self.options, elector)),
                None => stored.map(|stored| Here::of(&stored.object, &self.options, elector)),
            };
            dirty.seen &= here == self.here;
            self.here = here;
        }
        let mut services = elector.examined().clone();
        let mut changed = false;
        let mut affected = BTreeSet::new();
        if !dirty.seen {
            changed = self.start_over();
            affected.extend(std::mem::take(&mut self.prefixes).into_keys());
            self.verdicts.clear();
            let all = world.services.iter();
            services = all.map(|stored| stored.object.name.clone()).collect();
        }
        for address in decided {
            let holders = elector.holders(*address).iter();
            services.extend(holders.map(|service| service.name.clone()));
        }
        for service in &services {
            self.examine(world, elector, service, &mut affected);
        }
        changed | self.settle(&affected)
    }

    /// The sessions of this node as the configuration has them; true if they differ. Their
    /// tables stay: every prefix is looked at after this.
    fn start_over(&mut self) -> bool {
        let config = Arc::clone(&self.config);
        let labels = self.here.as_ref().map(|here| &here.labels);
        let wanted: BTreeMap<&str, &Arc<BgpPeer>> = config
            .peers
            .iter()
            .filter(|peer| labels.is_some_and(|labels| peer.selects_node(labels)))
            .map(|peer| (peer.object.name.as_str(), peer))
            .take(SESSIONS_MAX)
            .collect();
        let before = self.sessions.len();
        self.sessions
            .retain(|name, _| wanted.contains_key(name.as_str()));
        let mut changed = self.sessions.len() != before;
        for (name, peer) in wanted {
            match self.sessions.get_mut(name) {
                Some(session) if session.peer == *peer => {}
                Some(session) => {
                    session.peer = Arc::clone(peer);
                    changed = true;
                }
                None => {
                    let session = Session {
                        peer: Arc::clone(peer),
                        routes: Arc::default(),
                    };
                    self.sessions.insert(name.to_owned(), session);
                    changed = true;
                }
            }
        }
        changed
    }

    /// One Service again; the prefixes it stands or stood behind are affected.
    fn examine(
        &mut self,
        world: &World,
        elector: &Elector,
        name: &NamespacedName,
        affected: &mut BTreeSet<IpNetwork>,
    ) {
        if let Some(old) = self.verdicts.remove(name) {
            for (prefix, _) in self.routes_of(&old) {
                affected.insert(prefix);
                if let Some(behind) = self.prefixes.get_mut(&prefix) {
                    behind.remove(name);
                    if behind.is_empty() {
                        self.prefixes.remove(&prefix);
                    }
                }
            }
        }
        // Without routers nobody asks, and ten thousand refusals need not be remembered.
        if self.config.peers.is_empty() && self.config.advertisements.is_empty() {
            return;
        }
        let (Some(stored), Some(here)) = (world.services.get(name), &self.here) else {
            return;
        };
        let slices = elector.slices(name);
        let service = &stored.object;
        let withdraws = crate::forward::withdraws(service, elector.profile(service));
        let verdict = Verdict::of(
            service,
            slices,
            withdraws,
            here,
            &self.pools,
            &self.config,
            &self.options,
        );
        let Some(mut verdict) = verdict else {
            return;
        };
        // Of two Services on one address without a valid key only the keeper is announced.
        let keeps = |address: &&IpAddr| elector.keepers(**address).iter().any(|s| s.name == *name);
        verdict.addresses = verdict.addresses.iter().filter(keeps).copied().collect();
        let away = |address: &&IpAddr| self.withdrawn.contains(*address);
        if verdict.refusal.is_none() && verdict.addresses.iter().any(|a| away(&a)) {
            let rest = verdict.addresses.iter().filter(|address| !away(address));
            verdict.addresses = rest.copied().collect();
            if verdict.addresses.is_empty() {
                verdict.refusal = Some(Refusal::Unhealthy);
            }
        }
        for (prefix, advertisement) in self.routes_of(&verdict) {
            affected.insert(prefix);
            let behind = self.prefixes.entry(prefix).or_default();
            behind
                .entry(name.clone())
                .or_default()
                .insert(advertisement);
        }
        self.verdicts.insert(name.clone(), verdict);
    }

    /// The prefixes a Service stands behind, each with the advertisement.
    fn routes_of(&self, verdict: &Verdict) -> Vec<(IpNetwork, u16)> {
        if verdict.refusal.is_some() {
            return Vec::new();
        }
        let mut all = Vec::new();
        for address in &verdict.addresses {
            for at in &verdict.advertisements {
                if let Some(advertisement) = self.advertisement(*at) {
                    all.push((advertisement.prefix(*address), *at));
                }
            }
        }
        all
    }

    fn advertisement(&self, at: u16) -> Option<&BgpAdvertisement> {
        let advertisement = self.config.advertisements.get(usize::from(at));
        advertisement.map(Arc::as_ref)
    }

    /// Brings the tables of the sessions in line for these prefixes; true if any differs.
    fn settle(&mut self, affected: &BTreeSet<IpNetwork>) -> bool {
        let mut sessions = std::mem::take(&mut self.sessions);
        let mut changed = false;
        for (name, session) in &mut sessions {
            for prefix in affected {
                let route = self.route(name, &session.peer, *prefix);
                if session.routes.get(prefix).map(Arc::as_ref) == route.as_ref() {
                    continue;
                }
                changed = true;
                let table: &mut RouteTable = Arc::make_mut(&mut session.routes);
                match route {
                    Some(route) => table.insert(*prefix, Arc::new(route)),
                    None => table.remove(prefix),
                };
            }
        }
        self.sessions = sessions;
        changed
    }

    /// The union of what the advertisements for this peer say of a prefix (BGP-95).
    fn route(&self, name: &str, peer: &BgpPeer, prefix: IpNetwork) -> Option<Route> {
        if !peer.carries(Family::of(prefix.ip())) {
            return None;
        }
        let mut route: Option<Route> = None;
        for (service, positions) in self.prefixes.get(&prefix)? {
            let told = positions.iter().filter_map(|at| self.advertisement(*at));
            for advertisement in told.filter(|ad| ad.selects_peer(name)) {
                let here = self.verdicts.get(service).map_or(0, |v| v.endpoints_here);
                let said = said(advertisement, peer, here);
                let route = match &mut route {
                    Some(route) => {
                        unite(
                            &mut route.attributes,
                            said,
                            route.services.contains(service),
                        );
                        route
                    }
                    empty => empty.insert(Route {
                        attributes: said,
                        services: BTreeSet::new(),
                    }),
                };
                route.services.insert(service.clone());
            }
        }
        route
    }

    /// The sessions, by name of the peer.
    pub fn sessions(&self) -> &BTreeMap<String, Session> {
        &self.sessions
    }

    /// Why a Service that holds an address is not announced to a peer, by Service.
    pub fn refusals<'a>(
        &'a self,
        peer: &'a str,
    ) -> impl Iterator<Item = (&'a NamespacedName, Refusal)> + 'a {
        self.verdicts.iter().filter_map(move |(name, verdict)| {
            let applying = verdict.advertisements.iter();
            let told = applying
                .filter_map(|at| self.advertisement(*at))
                .any(|advertisement| advertisement.selects_peer(peer));
            let unheard = (!told).then_some(Refusal::NoMatchingAdvertisement);
            Some((name, verdict.refusal.or(unheard)?))
        })
    }

    /// The peers a Service is told to, by name; what is configured, not what is up.
    pub fn peers_of(&self, service: &NamespacedName) -> BTreeSet<String> {
        let Some(verdict) = self.verdicts.get(service) else {
            return BTreeSet::new();
        };
        let routes = self.routes_of(verdict);
        let tells = |(name, session): &(&String, &Session)| {
            routes.iter().any(|(prefix, at)| {
                let family = Family::of(prefix.ip());
                let selects = |ad: &BgpAdvertisement| ad.selects_peer(name);
                session.peer.carries(family) && self.advertisement(*at).is_some_and(selects)
            })
        };
        let telling = self.sessions.iter().filter(tells);
        telling.map(|(name, _)| name.clone()).collect()
    }

    /// Services that are announced here, by name.
    pub fn announced(&self) -> impl Iterator<Item = &NamespacedName> + '_ {
        let announced = self.verdicts.iter().filter(|(_, v)| v.refusal.is_none());
        announced.map(|(name, _)| name)
    }

    /// What is wrong with advertisements as they meet on this node.
    pub fn problems(&self) -> Vec<Problem> {
        let mut conflicts: BTreeMap<(u16, u16), Vec<&NamespacedName>> = BTreeMap::new();
        for (name, verdict) in &self.verdicts {
            if let Some(pair) = verdict.conflict {
                conflicts.entry(pair).or_default().push(name);
            }
        }
        let mut problems = Vec::new();
        for ((a, b), services) in conflicts {
            let (Some(a), Some(b)) = (self.advertisement(a), self.advertisement(b)) else {
                continue;
            };
            problems.push(conflict_problem(a, b, &services));
        }
        problems.extend(self.attracting());
        problems
    }

    /// Services whose address lies in an aggregate that this node announces for others.
    fn attracting(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let refused = |v: &Verdict| match v.refusal {
            Some(Refusal::NoLocalEndpoints | Refusal::NoEndpoints) => true,
            Some(_) | None => false,
        };
        for (name, verdict) in self.verdicts.iter().filter(|(_, v)| refused(v)) {
            for address in &verdict.addresses {
                let applying = verdict.advertisements.iter();
                let prefixes = applying
                    .filter_map(|at| self.advertisement(*at))
                    .map(|advertisement| advertisement.prefix(*address))
                    .find(|prefix| self.prefixes.contains_key(prefix));
                if let Some(prefix) = prefixes {
                    let text = format!(
                        "node {:?} announces {prefix} for other Services and attracts the traffic of {address}, for which it has no endpoint",
                        self.node
                    );
                    problems.push(Problem::new(
                        Severity::Warning,
                        Kind::Service,
                        name,
                        reason::AGGREGATE_ATTRACTS_MORE,
                        text,
                    ));
                }
            }
        }
        problems
    }
}

/// What one advertisement says for one Service.
fn said(advertisement: &BgpAdvertisement, peer: &BgpPeer, endpoints: u32) -> RouteAttributes {
    RouteAttributes {
        local_pref: advertisement.local_pref.filter(|_| peer.is_internal()),
        communities: advertisement.communities.clone(),
        med: advertisement.med,
        prepend: advertisement.prepend,
        weight: advertisement.link_bandwidth.then_some(endpoints),
    }
}

/// Communities are united; of the rest the more attractive wins, the endpoints of several
/// Services add up.
fn unite(route: &mut RouteAttributes, said: RouteAttributes, same_service: bool) {
    route.communities.extend(said.communities);
    route.local_pref = route.local_pref.max(said.local_pref);
    route.med = match (route.med, said.med) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    route.prepend = route.prepend.min(said.prepend);
    route.weight = match (route.weight, said.weight) {
        (Some(a), Some(b)) if same_service => Some(a.max(b)),
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
}

fn conflict_problem(
    a: &BgpAdvertisement,
    b: &BgpAdvertisement,
    services: &[&NamespacedName],
) -> Problem {
    let preference = |ad: &BgpAdvertisement| ad.local_pref.unwrap_or(0);
    let first = services.first().map(ToString::to_string);
    let text = format!(
        "spec.localPref: {} here and {} in BGPAdvertisement {:?} for the same routes to the same peers; not announced: {} Services, the first is {}",
        preference(b),
        preference(a),
        a.object.name,
        services.len(),
        first.unwrap_or_default(),
    );
    Problem::new(
        Severity::Error,
        Kind::BgpAdvertisement,
        &b.object,
        reason::CONFLICTING_ADVERTISEMENTS,
        text,
    )
}
