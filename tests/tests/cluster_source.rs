//! `cluster::KubeSource` before a real API server: lists, watches, writes, the Lease.
//!
//! Owns nothing in the product. Each story works in namespaces and on names of its own; those that
//! stop the server have one of their own.

use cluster::{Campaign, KubeConfig, KubeSource, Owner, Role, Source, WATCHED};
use engine::lease::{Leadership, LeaseConfig};
use engine::name::{Kind, NamespacedName};
use engine::problem::Problem;
use engine::world::{Change, ConfigMap, Delta, PoolStatus, Service, Stored, World};
use engine::write::{ConfigurationStateValue, Event, Outcome, ServiceStatus, Write};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::{Api, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
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

#[test]
fn lists_of_many_pages_are_whole_for_both_roles_and_changes_follow() {
    const OBJECTS: usize = 1_103;
    shared().block_on(async |client| {
        let api = Api::<core::ConfigMap>::namespaced(client.clone(), OURS);
        let made = futures::stream::iter(0..OBJECTS).map(|at| {
            let api = api.clone();
            let map = config_map(&format!("page-{at}"));
            async move {
                api.create(&PostParams::default(), &map)
                    .await
                    .expect("created")
            }
        });
        made.buffer_unordered(16).collect::<Vec<_>>().await;
        let pages = |world: &World| {
            let named = |map: &&Stored<ConfigMap>| map.object.name.name.starts_with("page-");
            world.config_maps.iter().filter(named).count()
        };
        for role in [Role::Controller, Role::Speaker] {
            let source = KubeSource::new(client.clone(), config(role));
            let mut seen = follow(source, &[Kind::ConfigMap]);
            seen.listed(&[Kind::ConfigMap]).await;
            assert_eq!(pages(&seen.world), OBJECTS, "{role:?}");
            let name = format!("page-{role:?}").to_lowercase();
            let map = config_map(&name);
            api.create(&PostParams::default(), &map)
                .await
                .expect("created");
            seen.until("a new object", |world| pages(world) == OBJECTS + 1)
                .await;
            api.delete(&name, &Default::default())
                .await
                .expect("deleted");
            seen.until("it is gone", |world| pages(world) == OBJECTS)
                .await;
            assert_eq!(seen.resets, [0], "changes come by the watch");
        }
    });
}

#[test]
fn a_status_carries_the_annotation_and_conflicts_where_it_should() {
    shared().block_on(async |client| {
        namespace(&client, "status").await;
        let name = service(&client, "status", "web").await;
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let mut seen = follow(source.clone(), &[Kind::Service]);
        seen.until("the Service", |world| world.services.get(&name).is_some())
            .await;
        let first = seen.service(&name);
        let give = Write::ServiceStatus(status(&first, &["192.0.2.1", "2001:db8::1"], Some("p")));
        let done = source.carry_out(give.clone(), None).await;
        assert!(matches!(done, Outcome::Done(Some(_))), "{done:?}");
        assert_eq!(
            source.carry_out(give, None).await,
            Outcome::Conflict,
            "an old version"
        );
        seen.until("the status", |world| {
            world
                .services
                .get(&name)
                .is_some_and(|web| web.object.addresses().count() == 2)
        })
        .await;
        let given = seen.service(&name);
        assert_eq!(done, Outcome::Done(Some(given.origin.version.clone())));
        assert_eq!(given.object.annotation("ip-allocated-from-pool"), Some("p"));
        assert_eq!(given.object.ingress[0].ip_mode.as_deref(), Some("VIP"));
        let api = Api::<core::Service>::namespaced(client.clone(), "status");
        let raw = api.get("web").await.expect("the Service");
        let annotations = raw.metadata.annotations.expect("annotations");
        assert_eq!(annotations["example.org/theirs"], "kept");

        let mut other = status(&given, &["192.0.2.9"], None);
        other.uid = "b2c1b1d6-0000-0000-0000-000000000000".to_owned();
        let outcome = source.carry_out(Write::ServiceStatus(other), None).await;
        assert_eq!(
            outcome,
            Outcome::Conflict,
            "a Service of the same name is another one"
        );
        let mut wrong = status(&given, &["192.0.2.9"], None);
        wrong.ip_mode = "Nonsense";
        let outcome = source.carry_out(Write::ServiceStatus(wrong), None).await;
        assert!(
            matches!(&outcome, Outcome::Refused(why) if why.contains("ipMode")),
            "{outcome:?}"
        );
        let late = status(&given, &["192.0.2.9"], None);
        let outcome = source
            .carry_out(Write::ServiceStatus(late), Some(Instant::now()))
            .await;
        assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");

        let clear = Write::ServiceStatus(status(&given, &[], None));
        let outcome = source.carry_out(clear.clone(), None).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        seen.until("the cleared status", |world| {
            world.services.get(&name).is_some_and(|web| {
                web.object.ingress.is_empty() && web.object.annotations.is_empty()
            })
        })
        .await;
        api.delete("web", &Default::default())
            .await
            .expect("deleted");
        assert_eq!(
            source.carry_out(clear.clone(), None).await,
            Outcome::NotFound
        );
        service(&client, "status", "web").await;
        let outcome = source.carry_out(clear, None).await;
        assert_eq!(outcome, Outcome::Conflict, "made again, it is another one");
    });
}

fn event(service: &Stored<Service>, message: String) -> Write {
    Write::Event(Event {
        service: service.object.name.clone(),
        uid: service.object.uid.clone(),
        warning: true,
        reason: "AllocationFailed",
        message,
    })
}

#[test]
fn events_are_accepted_with_any_text_and_by_the_old_api_where_the_new_one_is_forbidden() {
    let plane = shared();
    let only_core = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
         "metadata": {"name": "core-events"},
         "rules": [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
         "metadata": {"name": "core-events"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                     "name": "core-events"},
         "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NOBODY}]},
    ]});
    plane
        .kubectl_ok(&["apply", "-f", "-"], &only_core.to_string())
        .expect("a role");
    let plane = &plane;
    plane.block_on(async |client| {
        namespace(&client, "events").await;
        let name = service(&client, "events", "web").await;
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let mut seen = follow(source.clone(), &[Kind::Service]);
        seen.until("the Service", |world| world.services.get(&name).is_some())
            .await;
        let web = seen.service(&name);
        // Cut in the middle of a character of three bytes unless that is seen to.
        let long = "€".repeat(3_000);
        assert_eq!(
            source.carry_out(event(&web, long), None).await,
            Outcome::Done(None)
        );
        let nobody = plane.client(NOBODY).await.expect("a client");
        let limited = KubeSource::new(nobody, config(Role::Speaker));
        for _ in 0..2 {
            let write = event(&web, "short".to_owned());
            assert_eq!(limited.carry_out(write, None).await, Outcome::Done(None));
        }
        let api = Api::<core::Event>::namespaced(client.clone(), "events");
        let events = api
            .list(&ListParams::default())
            .await
            .expect("events")
            .items;
        assert_eq!(events.len(), 3);
        for event in &events {
            assert_eq!(event.reason.as_deref(), Some("AllocationFailed"));
            assert_eq!(event.type_.as_deref(), Some("Warning"));
            assert_eq!(
                event.involved_object.uid.as_deref(),
                Some(web.object.uid.as_str())
            );
        }
        let new = events
            .iter()
            .find(|event| event.event_time.is_some())
            .expect("a new one");
        assert_eq!(
            new.reporting_component.as_deref(),
            Some("metallb-controller")
        );
        assert_eq!(new.message.as_deref().map(str::len), Some(1_023));
        let old = events
            .iter()
            .find(|event| event.event_time.is_none())
            .expect("an old one");
        let component = old
            .source
            .as_ref()
            .and_then(|source| source.component.as_deref());
        assert_eq!(component, Some("metallb-speaker"));
    });
}

#[test]
fn statuses_of_our_kinds_are_two_writes_and_are_seen_whole() {
    shared().block_on(async |client| {
        let pods = Api::<core::Pod>::namespaced(client.clone(), OURS);
        let pod = json!({"metadata": {"name": "speaker-x", "labels": {"app": "metallb",
            "component": "speaker"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let pod: core::Pod = serde_json::from_value(pod).expect("a Pod");
        let pod = pods
            .create(&PostParams::default(), &pod)
            .await
            .expect("created");
        let owned = KubeConfig {
            owner: Some(Owner::Pod("speaker-x".to_owned())),
            ..config(Role::Speaker)
        };
        let source = KubeSource::new(client.clone(), owned);
        let kinds = [
            Kind::ServiceL2Status,
            Kind::ConfigurationState,
            Kind::IpAddressPool,
            Kind::Pod,
        ];
        let mut seen = follow(source.clone(), &kinds);
        seen.listed(&kinds).await;
        assert_eq!(seen.world.pods.len(), 1);
        let of = NamespacedName::new("default", "l2-story");
        let l2 = |existing, interfaces: &[&str]| Write::L2Status {
            existing,
            node: "node-a".to_owned(),
            service: of.clone(),
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        };
        let made = source.carry_out(l2(None, &["eth0"]), None).await;
        assert!(matches!(made, Outcome::Done(_)), "{made:?}");
        seen.until("the status", |world| {
            world.l2_statuses.iter().any(|s| s.object.has_status)
        })
        .await;
        let status = seen
            .world
            .l2_statuses
            .iter()
            .next()
            .expect("one")
            .object
            .clone();
        assert!(status.name.name.starts_with("l2-") && status.service == of);
        assert_eq!(status.interfaces, ["eth0"]);
        let raw = ours(&client, "ServiceL2Status")
            .get(&status.name.name)
            .await
            .expect("it");
        let owner = &raw.metadata.owner_references.expect("an owner")[0];
        assert_eq!(Some(&owner.uid), pod.metadata.uid.as_ref());
        let changed = source
            .carry_out(l2(Some(status.name.clone()), &[]), None)
            .await;
        assert!(matches!(changed, Outcome::Done(_)), "{changed:?}");
        seen.until("no interfaces: all", |world| {
            world
                .l2_statuses
                .iter()
                .all(|s| s.object.interfaces.is_empty())
        })
        .await;
        let gone = Write::DeleteL2Status(status.name.clone());
        assert_eq!(
            source.carry_out(gone.clone(), None).await,
            Outcome::Done(None)
        );
        assert_eq!(source.carry_out(gone, None).await, Outcome::NotFound);

        let state = |result, summary: &str| {
            Write::ConfigurationState(ConfigurationStateValue {
                name: NamespacedName::new(OURS, "speaker-node-a"),
                labels: BTreeMap::from([("metallb.io/node-name".to_owned(), "node-a".to_owned())]),
                result,
                error_summary: summary.to_owned(),
                condition: "configReconcilerValid",
                reason: "ConfigurationError",
            })
        };
        for (result, summary) in [("Invalid", "no pool"), ("Valid", "")] {
            let outcome = source.carry_out(state(result, summary), None).await;
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
            seen.until(result, |world| {
                let mut states = world.configuration_states.iter();
                states.any(|s| s.object.result == result && s.object.error_summary == summary)
            })
            .await;
        }
        let raw = ours(&client, "ConfigurationState")
            .get("speaker-node-a")
            .await
            .expect("it");
        assert_eq!(raw.data["status"]["conditions"][0]["status"], "True");
        pods.delete("speaker-x", &Default::default())
            .await
            .expect("deleted");
    });
}

#[test]
fn pool_counters_and_the_key_are_written_once_and_right() {
    shared().block_on(async |client| {
        let pools = ours(&client, "IPAddressPool");
        let pool = json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "counted"}, "spec": {"addresses": ["192.0.2.0/24"]}});
        let params = PatchParams::apply("test");
        pools
            .patch("counted", &params, &Patch::Apply(pool))
            .await
            .expect("a pool");
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let kinds = [Kind::IpAddressPool, Kind::Secret];
        let mut seen = follow(source.clone(), &kinds);
        seen.listed(&kinds).await;
        let status = PoolStatus {
            available_ipv6: i64::MAX,
            assigned_ipv4: 3,
            ..PoolStatus::default()
        };
        let name = NamespacedName::new(OURS, "counted");
        let write = Write::PoolStatus {
            name: name.clone(),
            status,
        };
        let outcome = source.carry_out(write, None).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        seen.until("the counters", |world| {
            world
                .pools
                .get(&name)
                .is_some_and(|pool| pool.object.status == Some(status))
        })
        .await;

        let key = NamespacedName::new(OURS, "memberlist");
        let first = source
            .carry_out(Write::MembershipSecret(key.clone()), None)
            .await;
        assert!(matches!(first, Outcome::Done(Some(_))), "{first:?}");
        let second = source
            .carry_out(Write::MembershipSecret(key.clone()), None)
            .await;
        assert_eq!(second, Outcome::Done(None), "it was there");
        seen.until("the key", |world| world.secrets.get(&key).is_some())
            .await;
        let secret = &seen.world.secrets.get(&key).expect("the key").object;
        assert_eq!(
            secret.data["secretkey"].len(),
            22,
            "16 bytes in base64 without padding"
        );
        pools
            .delete("counted", &Default::default())
            .await
            .expect("deleted");
    });
}

#[test]
fn a_resync_lists_every_kind_again_under_its_epoch() {
    shared().block_on(async |client| {
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let mut seen = follow(source, WATCHED);
        seen.listed(WATCHED).await;
        assert_eq!(seen.world.epoch(WATCHED), Some(0));
        seen.source.resync(4);
        seen.source.resync(3);
        seen.until("the resync", |world| world.epoch(WATCHED) == Some(4))
            .await;
    });
}

#[test]
fn what_is_forbidden_names_the_rule_and_works_once_it_is_granted() {
    let plane = shared();
    let plane = &plane;
    plane.block_on(async |_| {
        let nobody = plane.client(NOBODY).await.expect("a client");
        let source = KubeSource::new(nobody, config(Role::Speaker));
        let mut seen = follow(source, &[Kind::Node, Kind::L2Advertisement]);
        seen.until("both problems", |world| world.problems().count() == 2)
            .await;
        let told: Vec<String> = seen.world.problems().map(|p| p.message.clone()).collect();
        let told = told.join("\n");
        assert!(
            told.contains("resources: [nodes]") && told.contains("ClusterRole"),
            "{told}"
        );
        assert!(
            told.contains("\"metallb.io\"") && told.contains("namespace metallb-system"),
            "{told}"
        );
        assert_eq!(seen.world.nodes.epoch(), None, "nothing counts as listed");
        let create = ["create", "clusterrole", "lister", "--verb=list,watch"];
        let resources = "--resource=nodes,l2advertisements.metallb.io";
        let rule: Vec<&str> = create.into_iter().chain([resources]).collect();
        plane.kubectl_ok(&rule, "").expect("a role");
        let bind = [
            "create",
            "clusterrolebinding",
            "lister",
            "--clusterrole=lister",
        ];
        let user = format!("--user={NOBODY}");
        let bind: Vec<&str> = bind.into_iter().chain([user.as_str()]).collect();
        plane.kubectl_ok(&bind, "").expect("a binding");
        seen.listed(&[Kind::Node, Kind::L2Advertisement]).await;
        seen.until("no problem", |world| world.problems().count() == 0)
            .await;
    });
}

async fn leader(leadership: &mut watch::Receiver<Leadership>) -> Leadership {
    let wait = leadership.wait_for(|now| matches!(now, Leadership::Leader { .. }));
    let seen = tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("a leader in time");
    seen.expect("the campaign lives").clone()
}

fn campaign(client: &Client, identity: &str) -> Campaign {
    let lease = KubeConfig {
        lease_name: "story".to_owned(),
        ..config(Role::Controller)
    };
    KubeSource::new(client.clone(), lease).campaign(identity)
}

#[test]
fn a_released_lease_is_taken_at_once_and_a_dead_one_when_it_ends() {
    shared().block_on(async |client| {
        let first = campaign(&client, "first");
        let Leadership::Leader { epoch, until } = leader(&mut first.leadership()).await else {
            unreachable!("a leader")
        };
        assert_eq!(epoch, 1);
        assert!(until.expect("a Lease ends") <= Instant::now() + Duration::from_secs(2));
        let second = campaign(&client, "second");
        let mut follower = second.leadership();
        let known = Leadership::Follower {
            holder: Some("first".to_owned()),
        };
        let waited = tokio::time::timeout(PATIENCE, follower.wait_for(|now| *now == known)).await;
        assert!(waited.is_ok(), "the holder is known");
        drop(waited);
        let begun = Instant::now();
        first.release().await;
        leader(&mut follower).await;
        let released = begun.elapsed();

        let third = campaign(&client, "third");
        let mut standby = third.leadership();
        let known = Leadership::Follower {
            holder: Some("second".to_owned()),
        };
        let waited = tokio::time::timeout(PATIENCE, standby.wait_for(|now| *now == known)).await;
        assert!(waited.is_ok(), "the new holder is known");
        drop(waited);
        let begun = Instant::now();
        drop(second);
        leader(&mut standby).await;
        let killed = begun.elapsed();
        println!("lease of 2 s: taken {released:?} after a release, {killed:?} after a kill");
        assert!(
            released < Duration::from_millis(1_500),
            "not at once: {released:?}"
        );
        assert!(
            killed > Duration::from_secs(1),
            "taken from the living: {killed:?}"
        );
        assert!(killed <= Duration::from_secs(3), "{killed:?}");
        third.release().await;
    });
}

/// A way to the server that can be cut, with all connections on it.
struct Way {
    port: u16,
    open: watch::Sender<bool>,
    _task: JoinSet<()>,
}

async fn way(plane: &ControlPlane) -> Way {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let server = plane.server();
    let open = watch::Sender::new(true);
    let gate = open.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let Ok((mut near, _)) = listener.accept().await else {
                return;
            };
            let mut cut = gate.subscribe();
            if !*cut.borrow() {
                continue;
            }
            connections.spawn(async move {
                let Ok(mut far) = TcpStream::connect(server).await else {
                    return;
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.wait_for(|open| !open) => {}
                }
            });
        }
    });
    Way {
        port,
        open,
        _task: task,
    }
}

async fn client_by(plane: &ControlPlane, way: &Way) -> Client {
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig(ADMIN)).expect("a kubeconfig");
    let options = Default::default();
    let mut config = kube::Config::from_custom_kubeconfig(file, &options)
        .await
        .expect("usable");
    config.cluster_url = format!("https://127.0.0.1:{}", way.port)
        .parse()
        .expect("a URL");
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// From a thread of its own: waiting for the server is a runtime's work, and one runs here.
fn start_again(plane: &ControlPlane) {
    std::thread::scope(|scope| {
        let started = scope.spawn(|| plane.start_apiserver()).join();
        started.expect("no panic").expect("started again");
    });
}

async fn value(client: &Client, name: &str, value: &str) {
    let map: Value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"a": value}});
    let api = Api::<core::ConfigMap>::namespaced(client.clone(), OURS);
    let params = PatchParams::apply("test");
    api.patch(name, &params, &Patch::Apply(map))
        .await
        .expect("written");
}

fn has(world: &World, name: &str, value: &str) -> bool {
    let map = world.config_maps.get(&NamespacedName::new(OURS, name));
    map.is_some_and(|map| map.object.data.get("a").is_some_and(|a| a == value))
}

#[test]
fn definitions_that_come_late_cut_ways_restarts_and_forgotten_versions_are_all_survived() {
    let plane = ControlPlane::start(Options::default()).expect("a control plane");
    let plane = &plane;
    plane.block_on(async |client| {
        namespace(&client, OURS).await;
        let way = way(plane).await;
        let by_way = client_by(plane, &way).await;
        let kinds = [Kind::ConfigMap, Kind::IpAddressPool];
        let source = KubeSource::new(by_way, config(Role::Controller));
        let mut seen = follow(source.clone(), &kinds);

        seen.until("a complaint", |world| world.problems().count() == 1)
            .await;
        let problem = seen.problem().expect("a problem");
        assert!(
            problem.message.contains("harbinger crds --apply"),
            "{problem:?}"
        );
        seen.until("the other kind", |world| {
            world.config_maps.epoch().is_some()
        })
        .await;
        assert_eq!(
            seen.world.pools.epoch(),
            None,
            "what is not served is not listed"
        );
        prepare(plane);
        seen.listed(&kinds).await;
        seen.until("no complaint", |world| world.problems().count() == 0)
            .await;

        value(&client, "survivor", "before").await;
        seen.until("before", |world| has(world, "survivor", "before"))
            .await;
        way.open.send_replace(false);
        value(&client, "survivor", "while cut").await;
        let refused = source.carry_out(
            Write::MembershipSecret(NamespacedName::new(OURS, "k")),
            None,
        );
        assert!(matches!(refused.await, Outcome::Unavailable(_)));
        way.open.send_replace(true);
        seen.until("while cut", |world| has(world, "survivor", "while cut"))
            .await;
        assert_eq!(seen.resets, [0], "the watch goes on from where it was");

        plane.stop_apiserver();
        start_again(plane);
        value(&client, "survivor", "restarted").await;
        seen.until("restarted", |world| has(world, "survivor", "restarted"))
            .await;

        let lists = seen.resets.len();
        way.open.send_replace(false);
        value(&client, "survivor", "forgotten").await;
        value(&client, "survivor", "newest").await;
        plane.stop_apiserver();
        plane.compact().expect("compacted");
        start_again(plane);
        way.open.send_replace(true);
        seen.until("newest", |world| has(world, "survivor", "newest"))
            .await;
        assert!(
            seen.resets.len() > lists,
            "a version that is too old is listed anew"
        );
    });
}
