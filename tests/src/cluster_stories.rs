//! What the stories on a real control plane have in common: the product installed as `deploy/` has it, its
//! processes under their service accounts, and short ways to write and read objects.
//!
//! Owns the processes it starts. Deliberately absent: any expectation; that is the story's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use futures::stream::{self, StreamExt as _};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use crate::controlplane::{CONTROLLER, ControlPlane, Daemon};
use crate::{fleet, lab};

/// Why the API server refused requests of our service accounts, as far as permissions go.
///
/// # Panics
/// The audit log cannot be read.
pub fn refusals(plane: &ControlPlane) -> BTreeSet<String> {
    let requests = plane.requests().expect("the audit log");
    let refused = requests.into_iter().filter(|request| request.code == 403);
    refused
        .map(|it| format!("{} {} {} {}", it.user, it.verb, it.resource, it.object))
        .collect()
}

/// Where the product lives.
pub const NAMESPACE: &str = "metallb-system";
/// Long enough for a loaded machine; every wait ends at its event.
pub const SOON: Duration = Duration::from_secs(20);
/// Requests of a story that are under way at once.
const AT_ONCE: usize = 16;

/// The folder `deploy` of the repository.
pub fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// All of `deploy/base` and the permissions of `deploy/monitoring`. The workloads are only objects here, as
/// nothing runs them.
///
/// # Errors
/// The server refuses a manifest.
pub fn install(plane: &ControlPlane) -> Result<()> {
    let base = deploy().join("base").display().to_string();
    let monitoring = deploy().join("monitoring/rbac.yaml").display().to_string();
    for source in [["-k", &base], ["-f", &monitoring]] {
        let args = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=false",
        ];
        plane.kubectl_ok(&[&args[..], &source[..]].concat(), "")?;
    }
    wait_established(plane);
    Ok(())
}

/// `kubectl apply --server-side`, without asking for schemas.
///
/// # Errors
/// The server refuses a manifest.
pub fn apply(plane: &ControlPlane, manifest: &str) -> Result<String> {
    let args = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=false",
        "-f",
        "-",
    ];
    plane.kubectl_ok(&args, manifest)
}

/// Nothing is left of an earlier story: Services, objects of `metallb.io`, the Lease, the key, Events.
///
/// # Panics
/// The server refuses.
pub fn clear(plane: &ControlPlane) {
    plane.block_on(async |client| {
        let namespaces = get(&client, "/api/v1/namespaces")
            .await
            .expect("namespaces");
        let mut paths = Vec::new();
        for name in names(&namespaces) {
            if !name.starts_with("kube-") {
                paths.push(format!("/api/v1/namespaces/{name}/services"));
                paths.push(format!(
                    "/apis/discovery.k8s.io/v1/namespaces/{name}/endpointslices"
                ));
            }
            paths.push(format!("/apis/events.k8s.io/v1/namespaces/{name}/events"));
        }
        for crd in api::crds() {
            let plural = crd.spec.names.plural;
            paths.push(format!(
                "/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/{plural}"
            ));
        }
        paths.push(format!(
            "/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        ));
        paths.push(format!("/api/v1/namespaces/{NAMESPACE}/secrets"));
        paths.push(format!(
            "/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0"
        ));
        paths.push("/api/v1/nodes".to_owned());
        for path in paths {
            let gone = send(&client, Method::DELETE, &path, &Value::Null).await;
            assert!(gone.is_ok() || is_absent(&gone), "{path}: {gone:?}");
        }
    });
}

/// The definitions of `metallb.io` with every object, and every webhook configuration, are gone.
///
/// # Panics
/// The server refuses, or they do not go.
pub fn remove_definitions(plane: &ControlPlane) {
    let root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    plane.block_on(async |client| {
        // Objects whose webhook nobody serves could not be removed.
        let direct = json!({"spec": {"conversion": {"strategy": "None", "webhook": null}}});
        let peers = format!("{root}/bgppeers.metallb.io");
        let patched = send(&client, Method::PATCH, &peers, &direct).await;
        assert!(patched.is_ok() || is_absent(&patched), "{patched:?}");
        // By name: the server forgets to remove the objects when it is asked for all definitions at once.
        for list in [hooks, root] {
            let all = get(&client, list).await.expect("a list");
            for name in names(&all) {
                let path = format!("{list}/{name}");
                let gone = send(&client, Method::DELETE, &path, &Value::Null).await;
                assert!(gone.is_ok() || is_absent(&gone), "{path}: {gone:?}");
            }
        }
    });
    // Now and then the server overlooks one that is deleted soon after it came (once in forty rounds of ten): a change
    // of it makes the server look again.
    let begun = std::time::Instant::now();
    plane.block_on(async |client| {
        for touch in 1.. {
            let again = begun + SOON / 4 * touch;
            while std::time::Instant::now() < again {
                if names(&get(&client, root).await.expect("a list")).is_empty() {
                    return;
                }
                lab::pause(Duration::from_millis(5));
            }
            let left = names(&get(&client, root).await.expect("a list"));
            assert!(begun.elapsed() < SOON * 2, "definitions are left: {left:?}");
            let body = json!({"metadata": {"annotations": {"looked-at": touch.to_string()}}});
            for name in left {
                let path = format!("{root}/{name}");
                let touched = send(&client, Method::PATCH, &path, &body).await;
                assert!(
                    touched.is_ok() || is_absent(&touched),
                    "{path}: {touched:?}"
                );
            }
        }
    });
}

/// Every definition is served.
///
/// # Panics
/// One is not, in time.
pub fn wait_established(plane: &ControlPlane) {
    let root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    wait(plane, root, "all are established", |list| {
        let established = |crd: &Value| {
            let conditions = crd["status"]["conditions"].as_array().into_iter().flatten();
            let mut conditions = conditions.filter(|it| it["type"] == "Established");
            conditions.any(|it| it["status"] == "True")
        };
        list["items"]
            .as_array()
            .is_some_and(|all| all.iter().all(established))
    });
}

fn is_absent(answer: &Result<Value, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 404)
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    let name = |item: &Value| {
        item["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    items.map(name).collect()
}

/// A controller process under its service account.
#[derive(Debug)]
pub struct Controller {
    /// The process.
    pub daemon: Daemon,
    /// Where it tells about itself, in plain HTTP.
    pub admin: SocketAddr,
}

impl Controller {
    /// Starts it.
    ///
    /// # Errors
    /// There is no binary.
    pub fn start(plane: &ControlPlane, name: &str, more: &[&str]) -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let admin = free.local_addr()?;
        drop(free);
        let mut command = Command::new(fleet::binary()?);
        command
            .arg("controller")
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(CONTROLLER))
            .args(["--namespace", NAMESPACE, "--pod-name", name])
            .args([
                "--ml-secret-name",
                "memberlist",
                "--deployment",
                "controller",
            ])
            .args([
                "--health-probe-port",
                "0",
                "--metrics-plain",
                &admin.to_string(),
            ])
            .args(["--log-format", "text"]);
        if !more.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        command.args(more);
        let daemon = plane.daemon(name, command)?;
        Ok(Self { daemon, admin })
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Panics
    /// It does not end, or not well.
    pub fn stop(&mut self) {
        let status = self.daemon.stop_within(SOON);
        assert!(status.success(), "{status}: {}", self.daemon.log_end());
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.daemon.name(), self.daemon.log_end());
        }
    }
}

/// A manifest of a pool.
pub fn pool(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    })
}

/// A manifest of a Service of type LoadBalancer in the namespace `default`, one TCP port, no node port.
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    })
}

/// The path of an object's collection.
///
/// # Panics
/// A kind that the stories do not know.
pub fn collection(object: &Value) -> String {
    let kind = object["kind"].as_str().expect("a kind");
    let version = object["apiVersion"].as_str().expect("a version");
    let plural = match kind {
        "Community" => "communities".to_owned(),
        "Ingress" => "ingresses".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let root = if version == "v1" { "/api" } else { "/apis" };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{version}/{plural}"),
    }
}

/// The path of an object.
pub fn path(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().expect("a name");
    format!("{}/{name}", collection(object))
}

/// One request with a JSON body.
///
/// # Errors
/// The server's.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let kind = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(bytes)
        .expect("a request");
    client.request(request).await
}

/// Reads an object or a list.
///
/// # Errors
/// The server's.
pub async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    send(client, Method::GET, path, &Value::Null).await
}

/// Creates objects.
///
/// # Panics
/// The server refuses one.
pub fn create(plane: &ControlPlane, objects: &[Value]) {
    plane.block_on(async |client| {
        let created = stream::iter(objects)
            .map(|object| {
                let client = client.clone();
                async move {
                    let answer = send(&client, Method::POST, &collection(object), object).await;
                    if let Err(error) = answer {
                        panic!("{}: {error}", object["metadata"]["name"]);
                    }
                }
            })
            .buffer_unordered(AT_ONCE);
        created.collect::<Vec<()>>().await;
    });
}

/// Merges a change into an object.
///
/// # Panics
/// The server refuses.
pub fn patch(plane: &ControlPlane, object: &Value, change: &Value) -> Value {
    patch_at(plane, &path(object), change)
}

/// Merges a change into what stands at a path.
///
/// # Panics
/// The server refuses.
pub fn patch_at(plane: &ControlPlane, path: &str, change: &Value) -> Value {
    plane.block_on(async |client| {
        let answer = send(&client, Method::PATCH, path, change).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// Deletes an object.
///
/// # Panics
/// The server refuses.
pub fn delete(plane: &ControlPlane, object: &Value) {
    let path = path(object);
    plane.block_on(async |client| {
        let answer = send(&client, Method::DELETE, &path, &Value::Null).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    });
}

/// Reads what stands at a path.
///
/// # Panics
/// The server refuses.
pub fn read(plane: &ControlPlane, path: &str) -> Value {
    plane.block_on(async |client| {
        let answer = get(&client, path).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// The addresses in the status of a Service.
pub fn addresses_of(service: &Value) -> Vec<String> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
    let address = |entry: &Value| entry["ip"].as_str().map(str::to_owned);
    ingress.into_iter().flatten().filter_map(address).collect()
}

/// The addresses of every Service of the cluster that is of type LoadBalancer, by namespace/name.
pub fn all_addresses(plane: &ControlPlane) -> BTreeMap<String, Vec<String>> {
    let list = read(plane, "/api/v1/services");
    let items = list["items"].as_array().expect("a list").iter();
    let balanced = items.filter(|item| item["spec"]["type"] == "LoadBalancer");
    let entry = |item: &Value| {
        let part = |part: &str| {
            item["metadata"][part]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        (
            format!("{}/{}", part("namespace"), part("name")),
            addresses_of(item),
        )
    };
    balanced.map(entry).collect()
}

/// Waits until an object is as the story wants it, and gives it back.
///
/// # Panics
/// It does not get so in time.
#[track_caller]
pub fn wait(
    plane: &ControlPlane,
    path: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool + Sync,
) -> Value {
    let what = format!("{path}: {what}");
    let mut last = Value::Null;
    let found = plane.block_on(async |client| {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            if let Ok(object) = get(&client, path).await {
                if wanted(&object) {
                    return Some(object);
                }
                last = object;
            }
            if std::time::Instant::now() > deadline {
                return None;
            }
            lab::pause(Duration::from_millis(5));
        }
    });
    found.unwrap_or_else(|| panic!("not within {SOON:?}: {what}; last seen: {last:#}"))
}

/// Waits until a Service has exactly these addresses.
///
/// # Panics
/// It does not get them in time.
#[track_caller]
pub fn wait_addresses(plane: &ControlPlane, service: &Value, wanted: &[&str]) -> Value {
    wait(plane, &path(service), &format!("{wanted:?}"), |object| {
        addresses_of(object) == wanted
    })
}

/// The Events about a Service: reason and text, in no order.
pub fn events(plane: &ControlPlane, service: &Value) -> Vec<(String, String)> {
    let namespace = service["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default();
    let list = read(
        plane,
        &format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"),
    );
    let items = list["items"].as_array().expect("a list").iter();
    let about = items.filter(|item| item["regarding"]["name"] == service["metadata"]["name"]);
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    about
        .map(|item| (text(item, "reason"), text(item, "note")))
        .collect()
}

/// Waits for an Event about a Service whose text contains these words.
///
/// # Panics
/// It does not come in time.
#[track_caller]
pub fn wait_event(plane: &ControlPlane, service: &Value, reason: &str, words: &str) -> String {
    let what = format!(
        "{}: event {reason} with {words:?}",
        service["metadata"]["name"]
    );
    lab::eventually(SOON, &what, || {
        let all = events(plane, service);
        let found = all
            .into_iter()
            .find(|(is, text)| is == reason && text.contains(words));
        found.map(|(_, text)| text)
    })
}
