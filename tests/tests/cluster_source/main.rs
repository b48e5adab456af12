//! `cluster::KubeSource` before a real API server: lists, watches, writes, the Lease.
//!
//! Owns nothing in the product. Each story works in namespaces and on names of its own; those that
//! stop the server have one of their own.

mod lease;
mod watching;
mod writing;

use cluster::{Campaign, Deadline, KubeConfig, KubeSource, Owner, Role, Source, WATCHED};
use engine::lease::{Leadership, LeaseConfig};
use engine::name::{Kind, NamespacedName};
use engine::problem::Problem;
use engine::world::{Change, ConfigMap, Delta, PoolStatus, Service, Stored, World};
use engine::write::{ConfigurationStateValue, Event, Outcome, ServiceStatus, Write};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::controlplane::{ADMIN, ControlPlane, NOBODY, Options};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Longest a change may take to be seen; nothing waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Our namespace.
const OURS: &str = "metallb-system";

/// A source and the world as it shows it.
struct Seen {
    source: KubeSource,
    world: World,
    changes: mpsc::Receiver<Change>,
    /// Epochs of the Resets of ConfigMaps, in order.
    resets: Vec<u64>,
    _tasks: JoinSet<()>,
}

fn config(role: Role) -> KubeConfig {
    KubeConfig {
        namespace: OURS.to_owned(),
        role,
        instance: "controller-0".to_owned(),
        pod_selector: "app=metallb,component=speaker".to_owned(),
        secret_name: None,
        config_map_name: None,
        lease_name: "lease".to_owned(),
        lease: LeaseConfig::default(),
        owner: None,
        seed: 7,
    }
}

fn follow(source: KubeSource, kinds: &[Kind]) -> Seen {
    let (sender, changes) = mpsc::channel(cluster::CHANGES_MAX);
    let tasks = source.start(kinds, sender);
    Seen {
        source,
        world: World::default(),
        changes,
        resets: Vec::new(),
        _tasks: tasks,
    }
}

impl Seen {
    async fn until(&mut self, what: &str, holds: impl Fn(&World) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds(&self.world) {
                let change = self.changes.recv().await.expect("the source lives");
                if let Change::ConfigMap(Delta::Reset { epoch, .. }) = &change {
                    self.resets.push(*epoch);
                }
                self.world.apply(change);
            }
        });
        assert!(waited.await.is_ok(), "not seen in time: {what}");
    }

    async fn listed(&mut self, kinds: &[Kind]) {
        self.until("the lists", |world| world.epoch(kinds).is_some())
            .await;
    }

    fn service(&self, name: &NamespacedName) -> Stored<Service> {
        self.world.services.get(name).expect("the Service").clone()
    }

    fn problem(&self) -> Option<Problem> {
        self.world.problems().next().cloned()
    }
}

/// The namespace and the definitions, whoever comes first.
fn prepare(plane: &ControlPlane) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OURS}});
    let apply = ["apply", "-f", "-"];
    plane
        .kubectl_ok(&apply, &namespace.to_string())
        .expect("our namespace");
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    plane
        .kubectl_ok(&server_side, &api::crds_yaml())
        .expect("our definitions");
}

fn shared() -> Arc<ControlPlane> {
    let plane = ControlPlane::shared();
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| prepare(&plane));
    plane
}

async fn namespace(client: &Client, name: &str) {
    let value = json!({"metadata": {"name": name}});
    let namespace = serde_json::from_value(value).expect("a Namespace");
    let api = Api::<core::Namespace>::all(client.clone());
    api.create(&PostParams::default(), &namespace)
        .await
        .expect("created");
}

async fn service(client: &Client, namespace: &str, name: &str) -> NamespacedName {
    let value = json!({
        "metadata": {"name": name, "annotations": {"example.org/theirs": "kept"}},
        "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                 "ports": [{"port": 80}]},
    });
    let service = serde_json::from_value(value).expect("a Service");
    let api = Api::<core::Service>::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &service)
        .await
        .expect("created");
    NamespacedName::new(namespace, name)
}

fn config_map(name: &str) -> core::ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "b"}}))
        .expect("a ConfigMap")
}

fn ours(client: &Client, kind: &str) -> Api<DynamicObject> {
    let of = GroupVersionKind::gvk("metallb.io", "v1beta1", kind);
    let resource = kube::core::ApiResource::from_gvk(&of);
    let plural = match kind {
        "ServiceL2Status" => "servicel2statuses",
        "ConfigurationState" => "configurationstates",
        _ => "ipaddresspools",
    };
    let resource = kube::core::ApiResource {
        plural: plural.to_owned(),
        ..resource
    };
    Api::namespaced_with(client.clone(), OURS, &resource)
}

fn status(stored: &Stored<Service>, addresses: &[&str], pool: Option<&str>) -> ServiceStatus {
    ServiceStatus {
        name: stored.object.name.clone(),
        uid: stored.object.uid.clone(),
        version: stored.origin.version.clone(),
        addresses: addresses
            .iter()
            .map(|ip| ip.parse().expect("an address"))
            .collect(),
        ip_mode: "VIP",
        pool: pool.map(str::to_owned),
    }
}
