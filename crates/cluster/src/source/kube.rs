//! The Kubernetes API as a cluster.
//!
//! ```text
//!  API server ─► one task per kind: list, then watch, again ─► changes (1,024; full = wait)
//!             ◄─ carry_out: one future per write, driven by its caller
//!             ◄► campaign: one task that drives engine::lease::Election
//! ```
//!
//! Owns the requests. It keeps no object: a task remembers only the resourceVersion it has
//! reached, and may be stopped at any await. Fixed paths, no discovery: a cache of what the
//! server has would be one more thing to be stale after `kubectl apply` of the definitions.

mod backoff;
mod binary;
mod connect;
mod lease;
mod line;
mod list;
mod owner;
mod path;
#[cfg(test)]
mod tests;
mod watch;
mod write;

pub use connect::{ConnectError, connect};
pub use owner::Owner;

use super::{Campaign, Deadline, Source};
use crate::convert::{self, Convert};
use ::kube::Client;
use engine::lease::LeaseConfig;
use engine::name::{Kind, NamespacedName};
use engine::problem::{Problem, Severity, reason};
use engine::world::{self, Change};
use engine::write::{Outcome, Write};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;

/// Which role asks: it decides how lists are made, and how events are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Lists consistently, in pages.
    Controller,
    /// Lists from the server's watch cache: a thousand speakers cost the store nothing.
    Speaker,
}

impl Role {
    /// Source of events, as MetalLB's components call themselves.
    fn component(self) -> &'static str {
        match self {
            Self::Controller => "metallb-controller",
            Self::Speaker => "metallb-speaker",
        }
    }
}

/// What is asked for, and by whom.
#[derive(Clone, Debug)]
pub struct KubeConfig {
    /// The namespace whose `metallb.io` objects, Pods, Secrets and ConfigMaps count.
    pub namespace: String,
    /// The role.
    pub role: Role,
    /// `reportingInstance` of events: the Pod's name.
    pub instance: String,
    /// Label selector of the speakers' Pods, as in a query (`app=metallb,component=speaker`).
    pub pod_selector: String,
    /// The Secrets to watch: one name, or none for all of the namespace.
    pub secret_name: Option<String>,
    /// The ConfigMaps to watch: one name, or none for all of the namespace.
    pub config_map_name: Option<String>,
    /// Name of the Lease, in the namespace.
    pub lease_name: String,
    /// Times of the election.
    pub lease: LeaseConfig,
    /// What owns the objects that are created.
    pub owner: Option<Owner>,
    /// Seed of jitter.
    pub seed: u64,
}

/// A Kubernetes cluster; clones share the connection.
#[derive(Clone)]
pub struct KubeSource {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    config: KubeConfig,
    epoch: tokio::sync::watch::Sender<u64>,
    /// What keeps each kind from being listed, for the user to mend.
    complaints: Mutex<BTreeMap<Kind, Problem>>,
    /// The server refused `events.k8s.io`: write core/v1 events.
    core_events: AtomicBool,
    /// The owner with its uid, asked for once.
    owner: OnceCell<serde_json::Value>,
    /// That it cannot be read is told once.
    ownerless: AtomicBool,
}

impl KubeSource {
    /// A source on a client; make the client by [`connect`], which turns hidden retries off.
    pub fn new(client: Client, config: KubeConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                client,
                config,
                epoch: tokio::sync::watch::Sender::new(0),
                complaints: Mutex::default(),
                core_events: AtomicBool::new(false),
                owner: OnceCell::new(),
                ownerless: AtomicBool::new(false),
            }),
        }
    }
}

impl std::fmt::Debug for KubeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeSource")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Source for KubeSource {
    fn start(&self, kinds: &[Kind], changes: mpsc::Sender<Change>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for kind in kinds {
            self.follow(*kind, &changes, &mut tasks);
        }
        tasks
    }

    fn resync(&self, epoch: u64) {
        self.shared.epoch.send_if_modified(|now| {
            let grows = *now < epoch;
            *now = epoch.max(*now);
            grows
        });
    }

    fn carry_out(&self, write: Write, deadline: Deadline) -> BoxFuture<'static, Outcome> {
        let shared = self.shared.clone();
        Box::pin(async move { write::carry_out(&shared, &write, deadline).await })
    }

    fn campaign(&self, identity: &str) -> Campaign {
        lease::campaign(self.shared.clone(), identity.to_owned())
    }
}

impl KubeSource {
    fn follow(&self, kind: Kind, changes: &mpsc::Sender<Change>, tasks: &mut JoinSet<()>) {
        match kind {
            Kind::Namespace => self.spawn::<world::Namespace>(changes, tasks),
            Kind::Node => self.spawn::<world::Node>(changes, tasks),
            Kind::IpAddressPool => self.spawn::<world::IpAddressPool>(changes, tasks),
            Kind::L2Advertisement => self.spawn::<world::L2Advertisement>(changes, tasks),
            Kind::Service => self.spawn::<world::Service>(changes, tasks),
            Kind::EndpointSlice => self.spawn::<world::EndpointSlice>(changes, tasks),
            Kind::Pod => self.spawn::<world::Pod>(changes, tasks),
            Kind::Secret => self.spawn::<world::Secret>(changes, tasks),
            Kind::ConfigMap => self.spawn::<world::ConfigMap>(changes, tasks),
            Kind::ServiceL2Status => self.spawn::<world::L2Status>(changes, tasks),
            Kind::ConfigurationState => self.spawn::<world::ConfigurationState>(changes, tasks),
            Kind::BgpAdvertisement => self.spawn::<world::BgpAdvertisement>(changes, tasks),
            Kind::BgpPeer => self.spawn::<world::BgpPeer>(changes, tasks),
            Kind::BfdProfile => self.spawn::<world::BfdProfile>(changes, tasks),
            Kind::Community => self.spawn::<world::Community>(changes, tasks),
            Kind::ServiceBgpStatus => self.spawn::<world::BgpStatus>(changes, tasks),
            Kind::BgpSessionState => self.spawn::<world::SessionState>(changes, tasks),
            Kind::FrontProfile => self.spawn::<world::FrontProfile>(changes, tasks),
        }
    }

    fn spawn<T: Convert>(&self, changes: &mpsc::Sender<Change>, tasks: &mut JoinSet<()>) {
        let (shared, changes) = (self.shared.clone(), changes.clone());
        tasks.spawn(async move { watch::follow::<T>(&shared, &changes).await });
    }
}

impl Shared {
    /// Sets or clears what is wrong with a kind, and tells the whole list when it changed.
    /// False when nobody listens any more.
    async fn complain(
        &self,
        kind: Kind,
        message: Option<String>,
        changes: &mpsc::Sender<Change>,
    ) -> bool {
        let problem = message.map(|message| {
            let of = NamespacedName::default();
            Problem::new(Severity::Error, kind, &of, reason::UNREADABLE, message)
        });
        let all: Vec<Problem> = {
            let mut complaints = self
                .complaints
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if complaints.get(&kind) == problem.as_ref() {
                return true;
            }
            match problem {
                Some(problem) => complaints.insert(kind, problem),
                None => complaints.remove(&kind),
            };
            complaints.values().cloned().collect()
        };
        changes.send(Change::SourceProblems(all)).await.is_ok()
    }
}

/// What a list or a write answers with, as far as it is read.
#[derive(Debug, Default, serde::Deserialize)]
struct Reply {
    #[serde(default)]
    metadata: convert::Meta,
}
