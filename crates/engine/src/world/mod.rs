//! The snapshot of the cluster that every decision is made from.
//!
//! `objects` are the kinds in our own types; this file keeps them by name and
//! tells what really changed. It decides nothing.

mod annotations;
mod bgp;
mod front;
mod objects;
mod texts;

#[cfg(test)]
mod tests;

pub use annotations::Annotations;
pub use bgp::*;
pub use front::FrontProfile;
pub use objects::*;
pub use texts::Texts;

use crate::name::{Kind, NamespacedName};
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All objects of one kind.
#[derive(Clone, Debug)]
pub struct Store<T> {
    objects: BTreeMap<NamespacedName, Stored<T>>,
    /// Epoch of the newest complete list, none before the first.
    epoch: Option<u64>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            epoch: None,
        }
    }
}

impl<T: Object + PartialEq> Store<T> {
    /// Takes a change in and returns the names whose *value* differs now; a mere
    /// new version (a Node heartbeat) is stored and not told.
    pub fn apply(&mut self, delta: Delta<T>, texts: &mut Texts) -> BTreeSet<NamespacedName> {
        let mut share = |stored: &mut Stored<T>| {
            // What has just been made of an answer is nobody else's yet.
            if let Some(object) = Arc::get_mut(&mut stored.object) {
                object.share(texts);
            }
        };
        match delta {
            Delta::Upsert(mut stored) => {
                share(&mut stored);
                self.upsert(stored).into_iter().collect()
            }
            Delta::Delete(name) => match self.objects.remove(&name) {
                Some(_) => BTreeSet::from([name]),
                None => BTreeSet::new(),
            },
            Delta::Reset { objects, epoch } => {
                let mut gone = std::mem::take(&mut self.objects);
                let mut changed = BTreeSet::new();
                let next = objects.into_iter().map(|mut stored| {
                    share(&mut stored);
                    let name = stored.object.name().clone();
                    match gone.remove(&name) {
                        // The old Arc stays, so that comparing two plans costs a pointer.
                        Some(old) if old.object == stored.object => {
                            let origin = stored.origin;
                            (name, Stored { origin, ..old })
                        }
                        _ => {
                            changed.insert(name.clone());
                            (name, stored)
                        }
                    }
                });
                // Made at once its nodes are full; one by one, in order, they are half empty.
                self.objects = next.collect();
                changed.extend(gone.into_keys());
                self.epoch = Some(epoch);
                changed
            }
        }
    }

    fn upsert(&mut self, stored: Stored<T>) -> Option<NamespacedName> {
        let name = stored.object.name().clone();
        if let Some(old) = self.objects.get_mut(&name)
            && old.object == stored.object
        {
            old.origin = stored.origin;
            return None;
        }
        self.objects.insert(name.clone(), stored);
        Some(name)
    }

    /// One object.
    pub fn get(&self, name: &NamespacedName) -> Option<&Stored<T>> {
        self.objects.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Stored<T>> + '_ {
        self.objects.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Epoch of the newest complete list, none before the first.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }
}

/// What a [`Change`] really changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The kind; none for the source's own problems.
    pub kind: Option<Kind>,
    /// Objects whose value differs.
    pub names: BTreeSet<NamespacedName>,
    /// A list ended.
    pub listed: bool,
}

/// Everything the watches show.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is a kind")]
pub struct World {
    pub namespaces: Store<Namespace>,
    pub nodes: Store<Node>,
    pub pools: Store<IpAddressPool>,
    pub l2_advertisements: Store<L2Advertisement>,
    pub bgp_advertisements: Store<BgpAdvertisement>,
    pub bgp_peers: Store<BgpPeer>,
    pub bfd_profiles: Store<BfdProfile>,
    pub communities: Store<Community>,
    pub services: Store<Service>,
    pub endpoint_slices: Store<EndpointSlice>,
    pub pods: Store<Pod>,
    pub secrets: Store<Secret>,
    pub config_maps: Store<ConfigMap>,
    pub l2_statuses: Store<L2Status>,
    pub bgp_statuses: Store<BgpStatus>,
    pub session_states: Store<SessionState>,
    pub front_profiles: Store<FrontProfile>,
    pub configuration_states: Store<ConfigurationState>,
    texts: Texts,
    unreadable: BTreeMap<(Kind, NamespacedName), Problem>,
    source_problems: Vec<Problem>,
}

impl World {
    /// Takes one change in.
    pub fn apply(&mut self, change: Change) -> Touched {
        macro_rules! into {
            ($kind:expr, $store:ident, $delta:expr) => {{
                let delta = $delta;
                let listed = matches!(delta, Delta::Reset { .. });
                self.readable($kind, &delta);
                Touched {
                    kind: Some($kind),
                    names: self.$store.apply(delta, &mut self.texts),
                    listed,
                }
            }};
        }
        match change {
            Change::Namespace(delta) => into!(Kind::Namespace, namespaces, delta),
            Change::Node(delta) => into!(Kind::Node, nodes, delta),
            Change::Pool(delta) => into!(Kind::IpAddressPool, pools, delta),
            Change::L2Advertisement(delta) => {
                into!(Kind::L2Advertisement, l2_advertisements, delta)
            }
            Change::BgpAdvertisement(delta) => {
                into!(Kind::BgpAdvertisement, bgp_advertisements, delta)
            }
            Change::BgpPeer(delta) => into!(Kind::BgpPeer, bgp_peers, delta),
            Change::BfdProfile(delta) => into!(Kind::BfdProfile, bfd_profiles, delta),
            Change::Community(delta) => into!(Kind::Community, communities, delta),
            Change::Service(delta) => into!(Kind::Service, services, delta),
            Change::EndpointSlice(delta) => into!(Kind::EndpointSlice, endpoint_slices, delta),
            Change::Pod(delta) => into!(Kind::Pod, pods, delta),
            Change::Secret(delta) => into!(Kind::Secret, secrets, delta),
            Change::ConfigMap(delta) => into!(Kind::ConfigMap, config_maps, delta),
            Change::L2Status(delta) => into!(Kind::ServiceL2Status, l2_statuses, delta),
            Change::BgpStatus(delta) => into!(Kind::ServiceBgpStatus, bgp_statuses, delta),
            Change::SessionState(delta) => into!(Kind::BgpSessionState, session_states, delta),
            Change::FrontProfile(delta) => into!(Kind::FrontProfile, front_profiles, delta),
            Change::ConfigurationState(delta) => {
                into!(Kind::ConfigurationState, configuration_states, delta)
            }
            Change::Unreadable {
                kind,
                name,
                problem,
            } => self.unreadable(kind, name, problem),
            Change::SourceProblems(problems) => {
                self.source_problems = problems;
                Touched {
                    kind: None,
                    names: BTreeSet::new(),
                    listed: false,
                }
            }
        }
    }

    /// A readable object ends the complaint about it; a list ends all of its kind's
    /// (the source sends [`Change::Unreadable`] after the list it found them in).
    fn readable<T: Object>(&mut self, kind: Kind, delta: &Delta<T>) {
        match delta {
            Delta::Upsert(stored) => {
                self.unreadable
                    .remove(&(kind, stored.object.name().clone()));
            }
            Delta::Delete(name) => {
                self.unreadable.remove(&(kind, name.clone()));
            }
            Delta::Reset { .. } => self.unreadable.retain(|(of, _), _| *of != kind),
        }
    }

    /// An unreadable version of an object must not be taken for a deletion of the
    /// good one: the last readable value stays and the complaint stands beside it.
    fn unreadable(&mut self, kind: Kind, name: NamespacedName, problem: Problem) -> Touched {
        self.unreadable.insert((kind, name.clone()), problem);
        Touched {
            kind: Some(kind),
            names: BTreeSet::from([name]),
            listed: false,
        }
    }

    /// Problems found on the way in: unreadable objects, then the source's own.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> + '_ {
        self.unreadable.values().chain(&self.source_problems)
    }

    /// The lowest epoch among the kinds; none while one of them has never been listed.
    pub fn epoch(&self, kinds: &[Kind]) -> Option<u64> {
        kinds
            .iter()
            .map(|kind| match kind {
                Kind::Namespace => self.namespaces.epoch(),
                Kind::Node => self.nodes.epoch(),
                Kind::IpAddressPool => self.pools.epoch(),
                Kind::L2Advertisement => self.l2_advertisements.epoch(),
                Kind::Service => self.services.epoch(),
                Kind::EndpointSlice => self.endpoint_slices.epoch(),
                Kind::Pod => self.pods.epoch(),
                Kind::Secret => self.secrets.epoch(),
                Kind::ConfigMap => self.config_maps.epoch(),
                Kind::ServiceL2Status => self.l2_statuses.epoch(),
                Kind::BgpSessionState => self.session_states.epoch(),
                Kind::FrontProfile => self.front_profiles.epoch(),
                Kind::ConfigurationState => self.configuration_states.epoch(),
                Kind::BgpAdvertisement => self.bgp_advertisements.epoch(),
                Kind::BgpPeer => self.bgp_peers.epoch(),
                Kind::BfdProfile => self.bfd_profiles.epoch(),
                Kind::Community => self.communities.epoch(),
                Kind::ServiceBgpStatus => self.bgp_statuses.epoch(),
            })
            .min()
            .unwrap_or(Some(u64::MAX))
    }
}
