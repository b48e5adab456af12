//! The API server: objects with versions, watches that lag and break, writes with preconditions, a Lease.
//!
//! Owns the truth, the history of each kind, and how far each watcher has been shown it. Time and the network are the
//! simulation's: this file says what is delivered, not when. No rule of allocation or election is known here.

use engine::lease::{LeaseError, LeaseRecord};
use engine::name::{Kind, NamespacedName};
use engine::world::{
    Change, ConfigurationState, Delta, Ingress, IpAddressPool, L2Status, Object, Origin, Secret,
    Service, Store, Stored, World,
};
use engine::write::{Outcome, ServiceStatus, Write};
use std::sync::Arc;
use std::time::Instant;

/// The kinds that are served, by index.
pub(super) const KINDS: [Kind; 18] = [
    Kind::Namespace,
    Kind::Node,
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::ServiceL2Status,
    Kind::ConfigurationState,
    Kind::BgpAdvertisement,
    Kind::BgpPeer,
    Kind::BfdProfile,
    Kind::Community,
    Kind::ServiceBgpStatus,
    Kind::BgpSessionState,
    Kind::FrontProfile,
];

pub(super) const SERVICES: usize = 4;
pub(super) const NAMESPACE: &str = "metallb-system";
pub(super) const POOL_ANNOTATION: &str = "metallb.io/ip-allocated-from-pool";

/// One kind as one watcher is shown it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Entries of the history that were shown.
    pub(super) position: usize,
    pub(super) connected: bool,
    /// A list has been shown since the process started.
    pub(super) listed: bool,
    /// Grows with each connection; what belongs to an older one is void.
    pub(super) session: u32,
    /// A delivery is on its way.
    pub(super) scheduled: bool,
    /// The newest resync that was asked for.
    pub(super) epoch: u64,
}

/// A process with its watches.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    /// Indexes into [`KINDS`].
    pub(super) kinds: Vec<usize>,
    /// By index of the kind.
    pub(super) progress: Vec<Progress>,
    /// The process runs and can reach the server.
    pub(super) reachable: bool,
    pub(super) running: bool,
}

impl Watcher {
    pub(super) fn new(kinds: &[Kind]) -> Self {
        let index = |kind: &Kind| KINDS.iter().position(|k| k == kind).expect("served");
        Self {
            kinds: kinds.iter().map(index).collect(),
            progress: vec![Progress::default(); KINDS.len()],
            reachable: true,
            running: false,
        }
    }
}

/// See the module.
pub(super) struct Server {
    pub(super) truth: World,
    history: Vec<Vec<(Instant, Change)>>,
    pub(super) watchers: Vec<Watcher>,
    version: u64,
    created: u64,
    pub(super) up: bool,
    pub(super) lease: LeaseRecord,
    pub(super) events: u64,
    pub(super) writes: u64,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            truth: World::default(),
            history: (0..KINDS.len()).map(|_| Vec::new()).collect(),
            watchers: Vec::new(),
            version: 1,
            created: 0,
            up: true,
            lease: LeaseRecord::default(),
            events: 0,
            writes: 0,
        }
    }

    pub(super) fn reaches(&self, watcher: usize) -> bool {
        self.up && self.watchers[watcher].reachable
    }

    pub(super) fn length(&self, kind: usize) -> usize {
        self.history[kind].len()
    }

    /// How long the history was at an earlier time: a list from a watch cache that is behind.
    pub(super) fn length_at(&self, kind: usize, at: Instant) -> usize {
        self.history[kind].partition_point(|(when, _)| *when <= at)
    }

    pub(super) fn entry(&self, kind: usize, index: usize) -> Option<Change> {
        self.history[kind]
            .get(index)
            .map(|(_, change)| change.clone())
    }

    /// Shown everything of all its kinds.
    pub(super) fn is_current(&self, watcher: usize) -> bool {
        let watcher = &self.watchers[watcher];
        watcher.kinds.iter().all(|kind| {
            let progress = &watcher.progress[*kind];
            progress.connected && progress.position == self.history[*kind].len()
        })
    }

    /// The state after so many entries, as a list.
    pub(super) fn list(&self, kind: usize, upto: usize, epoch: u64) -> Change {
        if upto >= self.history[kind].len() {
            return reset(&self.truth, KINDS[kind], epoch);
        }
        let mut past = World::default();
        for (_, change) in &self.history[kind][..upto] {
            past.apply(change.clone());
        }
        reset(&past, KINDS[kind], epoch)
    }

    /// Writes an object, whatever it was; returns the index of its kind.
    pub(super) fn commit(&mut self, change: Change, now: Instant) -> usize {
        self.version += 1;
        let version = self.version.to_string();
        let change = versioned(change, &version);
        let kind = kind_of(&change);
        self.truth.apply(change.clone());
        self.history[kind].push((now, change));
        kind
    }

    /// Carries one write out; the kind that changed, if any did.
    pub(super) fn carry_out(&mut self, write: &Write, now: Instant) -> (Outcome, Option<usize>) {
        self.writes += 1;
        let change = match write {
            Write::ServiceStatus(status) => match self.with_status(status) {
                Ok(service) => Change::Service(Delta::Upsert(stored(service))),
                Err(outcome) => return (outcome, None),
            },
            Write::PoolStatus { name, status } => {
                let Some(pool) = self.truth.pools.get(name) else {
                    return (Outcome::NotFound, None);
                };
                let pool = IpAddressPool {
                    status: Some(*status),
                    ..(*pool.object).clone()
                };
                Change::Pool(Delta::Upsert(stored(pool)))
            }
            Write::Event(_) => {
                self.events += 1;
                return (Outcome::Done(None), None);
            }
            Write::L2Status {
                existing,
                node,
                service,
                interfaces,
            } => {
                let name = match existing {
                    Some(name) if self.truth.l2_statuses.get(name).is_none() => {
                        return (Outcome::NotFound, None);
                    }
                    Some(name) => name.clone(),
                    None => {
                        self.created += 1;
                        NamespacedName::new(NAMESPACE, format!("l2-{}", self.created))
                    }
                };
                let status = L2Status {
                    name,
                    node: node.into(),
                    service: service.clone(),
                    interfaces: interfaces.clone(),
                    has_status: true,
                };
                Change::L2Status(Delta::Upsert(stored(status)))
            }
            Write::DeleteL2Status(name) => {
                if self.truth.l2_statuses.get(name).is_none() {
                    return (Outcome::NotFound, None);
                }
                Change::L2Status(Delta::Delete(name.clone()))
            }
            Write::ConfigurationState(value) => {
                let state = ConfigurationState {
                    name: value.name.clone(),
                    result: value.result.to_owned(),
                    error_summary: value.error_summary.clone(),
                };
                Change::ConfigurationState(Delta::Upsert(stored(state)))
            }
            Write::MembershipSecret(name) => {
                if self.truth.secrets.get(name).is_some() {
                    return (Outcome::Done(None), None);
                }
                Change::Secret(Delta::Upsert(stored(secret(
                    name,
                    b"the key of the simulation",
                ))))
            }
            #[allow(unreachable_patterns, reason = "writes to come change nothing here")]
            _ => return (Outcome::Done(None), None),
        };
        let kind = self.commit(change, now);
        (Outcome::Done(Some(self.version.to_string())), Some(kind))
    }

    fn with_status(&self, status: &ServiceStatus) -> Result<Service, Outcome> {
        let Some(old) = self.truth.services.get(&status.name) else {
            return Err(Outcome::NotFound);
        };
        let same = old.origin.version == status.version && old.object.uid == status.uid;
        if !same {
            return Err(Outcome::Conflict);
        }
        let mut service = (*old.object).clone();
        service.ingress = status
            .addresses
            .iter()
            .map(|ip| Ingress {
                ip: Some(*ip),
                hostname: None,
                ip_mode: Some("VIP".into()),
            })
            .collect();
        match &status.pool {
            Some(pool) => service
                .annotations
                .insert(POOL_ANNOTATION.to_owned(), pool.clone()),
            None => service.annotations.remove(POOL_ANNOTATION),
        };
        Ok(service)
    }

    /// Replaces the Lease under its version; `wall` is the writer's clock.
    pub(super) fn write_lease(
        &mut self,
        record: &LeaseRecord,
        wall: String,
    ) -> Result<LeaseRecord, LeaseError> {
        if record.version != self.lease.version {
            return Err(LeaseError::Conflict);
        }
        self.version += 1;
        self.lease = LeaseRecord {
            version: Some(self.version.to_string()),
            renewed: wall,
            ..record.clone()
        };
        Ok(self.lease.clone())
    }
}

pub(super) fn secret(name: &NamespacedName, key: &[u8]) -> Secret {
    Secret {
        name: name.clone(),
        kind: "Opaque".into(),
        data: [("secretkey".to_owned(), key.to_vec())].into(),
    }
}

pub(super) fn stored<T>(object: T) -> Stored<T> {
    Stored {
        object: Arc::new(object),
        origin: Origin::default(),
    }
}

/// Does the same for a change of any kind.
macro_rules! each_kind {
    ($change:expr, $delta:ident => $make:expr) => {
        match $change {
            Change::Namespace($delta) => Change::Namespace($make),
            Change::Node($delta) => Change::Node($make),
            Change::Pool($delta) => Change::Pool($make),
            Change::L2Advertisement($delta) => Change::L2Advertisement($make),
            Change::Service($delta) => Change::Service($make),
            Change::EndpointSlice($delta) => Change::EndpointSlice($make),
            Change::Pod($delta) => Change::Pod($make),
            Change::Secret($delta) => Change::Secret($make),
            Change::ConfigMap($delta) => Change::ConfigMap($make),
            Change::L2Status($delta) => Change::L2Status($make),
            Change::ConfigurationState($delta) => Change::ConfigurationState($make),
            other => other,
        }
    };
}

fn versioned(change: Change, version: &str) -> Change {
    fn with<T>(delta: Delta<T>, version: &str) -> Delta<T> {
        match delta {
            Delta::Upsert(mut stored) => {
                stored.origin.version = version.to_owned();
                Delta::Upsert(stored)
            }
            other => other,
        }
    }
    each_kind!(change, delta => with(delta, version))
}

fn reset(world: &World, kind: Kind, epoch: u64) -> Change {
    fn all<T: Clone + Object + PartialEq>(store: &Store<T>, epoch: u64) -> Delta<T> {
        Delta::Reset {
            objects: store.iter().cloned().collect(),
            epoch,
        }
    }
    match kind {
        Kind::Namespace => Change::Namespace(all(&world.namespaces, epoch)),
        Kind::Node => Change::Node(all(&world.nodes, epoch)),
        Kind::IpAddressPool => Change::Pool(all(&world.pools, epoch)),
        Kind::L2Advertisement => Change::L2Advertisement(all(&world.l2_advertisements, epoch)),
        Kind::Service => Change::Service(all(&world.services, epoch)),
        Kind::EndpointSlice => Change::EndpointSlice(all(&world.endpoint_slices, epoch)),
        Kind::Pod => Change::Pod(all(&world.pods, epoch)),
        Kind::Secret => Change::Secret(all(&world.secrets, epoch)),
        Kind::ConfigMap => Change::ConfigMap(all(&world.config_maps, epoch)),
        Kind::ServiceL2Status => Change::L2Status(all(&world.l2_statuses, epoch)),
        Kind::BgpAdvertisement => Change::BgpAdvertisement(all(&world.bgp_advertisements, epoch)),
        Kind::BgpPeer => Change::BgpPeer(all(&world.bgp_peers, epoch)),
        Kind::BfdProfile => Change::BfdProfile(all(&world.bfd_profiles, epoch)),
        Kind::Community => Change::Community(all(&world.communities, epoch)),
        Kind::ServiceBgpStatus => Change::BgpStatus(all(&world.bgp_statuses, epoch)),
        Kind::BgpSessionState => Change::SessionState(all(&world.session_states, epoch)),
        Kind::FrontProfile => Change::FrontProfile(all(&world.front_profiles, epoch)),
        _ => Change::ConfigurationState(all(&world.configuration_states, epoch)),
    }
}

/// An empty list where there is something, as a source would send that tells too early that it is complete.
pub(super) fn emptied(change: Change) -> Change {
    fn none<T>(delta: Delta<T>) -> Delta<T> {
        match delta {
            Delta::Reset { epoch, .. } => Delta::Reset {
                objects: Vec::new(),
                epoch,
            },
            other => other,
        }
    }
    each_kind!(change, delta => none(delta))
}

pub(super) fn kind_of(change: &Change) -> usize {
    match change {
        Change::Namespace(_) => 0,
        Change::Node(_) => 1,
        Change::Pool(_) => 2,
        Change::L2Advertisement(_) => 3,
        Change::Service(_) => SERVICES,
        Change::EndpointSlice(_) => 5,
        Change::Pod(_) => 6,
        Change::Secret(_) => 7,
        Change::ConfigMap(_) => 8,
        Change::L2Status(_) => 9,
        _ => 10,
    }
}
