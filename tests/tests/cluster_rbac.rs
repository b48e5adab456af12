//! Under the shipped permissions: enough for controller and speaker, nothing too much, and `/metrics` behind the
//! cluster's authentication.
//!
//! Owns nothing in the product. What the processes ask is read from the API server's audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::cluster_stories::{
    Controller, NAMESPACE, SOON, addresses_of, apply, clear, create, delete, deploy, install, path,
    pool, read, refusals, service, wait, wait_event,
};
use tests::controlplane::{ControlPlane, Daemon, NOBODY, Options, PROMETHEUS, SPEAKER};
use tests::lab::Host;
use tests::{fleet, lab};

tests::enter_lab_at_start!();

/// An empty cluster with the product installed.
fn stage() -> Arc<ControlPlane> {
    // In a network of its own: what the speaker announces must not leave it.
    let plane = ControlPlane::shared_with(|| {
        let host = Host::new("plane").unwrap();
        host.add_veth("eth0", "far").unwrap();
        for link in ["eth0", "far"] {
            host.link_up(link).unwrap();
        }
        host.add_address("eth0", "192.0.2.11/24").unwrap();
        Options {
            host: Some(host),
            ..Options::default()
        }
    });
    if !plane.folder().join("installed").exists() {
        install(&plane).unwrap();
        std::fs::write(plane.folder().join("installed"), "").unwrap();
    }
    clear(&plane);
    plane
}

/// Every verb and resource that a role of ours names: (role, verb, resource).
fn granted() -> BTreeSet<(String, String, String)> {
    let text = std::fs::read_to_string(deploy().join("base/rbac.yaml")).unwrap();
    let mut all = BTreeSet::new();
    for document in text.split("\n---\n") {
        let value: Value = serde_saphyr::from_str(document).unwrap();
        let name = value["metadata"]["name"].as_str().unwrap();
        let role = name.rsplit(':').next().unwrap();
        for rule in value["rules"].as_array().into_iter().flatten() {
            for (verb, resource) in pairs(rule) {
                all.insert((role.to_owned(), verb, resource));
            }
        }
    }
    all
}

fn pairs(rule: &Value) -> Vec<(String, String)> {
    let list = |field: &str| -> Vec<String> {
        let items = rule[field].as_array().into_iter().flatten();
        items
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    let resources = list("resources");
    let verbs = list("verbs").into_iter();
    verbs
        .flat_map(|verb| {
            resources
                .iter()
                .map(move |resource| (verb.clone(), resource.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A life with a bit of everything: start, key, allocation, announcement, problems, statuses that go, a takeover.
fn a_day(plane: &ControlPlane) {
    let mut first = Controller::start(plane, "rbac-a", &[]).unwrap();
    let mut speaker = speaker(plane);
    create(
        plane,
        &[
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}),
            pool("first", json!({"addresses": ["192.0.2.200/29"]})),
            json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
                "metadata": {"name": "all", "namespace": NAMESPACE}, "spec": {},
            }),
            // A router that is not there: what is meant for it is told all the same.
            json!({
                "apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer",
                "metadata": {"name": "tor", "namespace": NAMESPACE},
                "spec": {"myASN": 64_512, "peerASN": 64_513, "peerAddress": "192.0.2.12"},
            }),
            json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "BGPAdvertisement",
                "metadata": {"name": "all", "namespace": NAMESPACE}, "spec": {},
            }),
        ],
    );
    let web = service("web");
    create(plane, &[web.clone(), slice("web")]);
    wait(plane, &path(&web), "an address", |it| {
        addresses_of(it).len() == 1
    });
    wait_event(plane, &web, "IPAllocated", "Assigned IP");
    wait_event(plane, &web, "nodeAssigned", "node-a");
    let statuses = format!("/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/servicel2statuses");
    wait(plane, &statuses, "one status of layer 2", |list| {
        list["items"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["status"]["node"] == "node-a"))
    });
    let told = format!("/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/servicebgpstatuses");
    wait(plane, &told, "one status of BGP", |list| {
        list["items"][0]["status"]["peers"] == json!(["tor"])
    });
    let sessions = format!("/apis/harbinger.dev/v1alpha1/namespaces/{NAMESPACE}/bgpsessionstates");
    wait(plane, &sessions, "one session", |list| {
        list["items"][0]["status"]["bgpStatus"].is_string()
    });
    for name in ["controller", "speaker-node-a"] {
        let state =
            format!("/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/configurationstates/{name}");
        wait(plane, &state, "valid", |state| {
            state["status"]["result"] == "Valid"
        });
    }
    let counted = path(&pool("first", json!({})));
    wait(plane, &counted, "counted", |it| {
        it["status"]["assignedIPv4"] == 1
    });
    // The Lease is renewed, and another takes it.
    let lease =
        format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/harbinger-controller");
    let renewed = read(plane, &lease)["spec"]["renewTime"].clone();
    wait(plane, &lease, "renewed", |it| {
        it["spec"]["renewTime"] != renewed
    });
    let mut second = Controller::start(plane, "rbac-b", &[]).unwrap();
    first.stop();
    wait(plane, &lease, "rbac-b leads", |it| {
        it["spec"]["holderIdentity"]
            .as_str()
            .is_some_and(|it| it.starts_with("rbac-b"))
    });
    delete(plane, &web);
    wait(plane, &statuses, "no status of layer 2", |list| {
        list["items"].as_array().is_some_and(Vec::is_empty)
    });
    let none = |list: &Value| list["items"].as_array().is_some_and(Vec::is_empty);
    wait(plane, &told, "no status of BGP", none);
    delete(
        plane,
        &json!({
            "apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer",
            "metadata": {"name": "tor", "namespace": NAMESPACE},
        }),
    );
    wait(plane, &sessions, "no session", none);
    second.stop();
    speaker.signal(Signal::SIGTERM);
    assert!(speaker.stop_within(SOON).success(), "{}", speaker.log_end());
}

/// A ready endpoint of a Service on node-a.
fn slice(name: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{name}-1"), "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": ["10.88.0.2"], "nodeName": "node-a", "conditions": {"ready": true}}],
        "ports": [{"port": 8080}],
    })
}

/// The speaker of node-a under its service account, in the calling thread's network namespace.
fn speaker(plane: &ControlPlane) -> Daemon {
    let mut command = Command::new(fleet::binary().unwrap());
    command
        .args(["speaker", "--kubeconfig"])
        .arg(plane.kubeconfig(SPEAKER))
        .args([
            "--namespace",
            NAMESPACE,
            "--node-name",
            "node-a",
            "--pod-name",
            "speaker-a",
        ])
        .args(["--ml-bindaddr", "127.0.0.1", "--ml-bindport", "17946"])
        .args([
            "--ml-labels",
            "app=metallb,component=speaker",
            "--ml-secret-name",
            "memberlist",
        ])
        .args([
            "--port",
            "0",
            "--health-probe-port",
            "0",
            "--log-format",
            "text",
        ]);
    plane.daemon("speaker-a", command).unwrap()
}

#[test]
fn the_shipped_roles_are_enough_and_nothing_in_them_is_idle() {
    let plane = stage();
    a_day(&plane);
    let refused = refusals(&plane);
    assert_eq!(refused, BTreeSet::new(), "the shipped roles are not enough");
    // Leaving out what was never asked for would break nothing that the day shows.
    let used: BTreeSet<(String, String, String)> = plane
        .requests()
        .unwrap()
        .into_iter()
        .map(|it| {
            (
                it.user.rsplit(':').next().unwrap().to_owned(),
                it.verb,
                it.resource,
            )
        })
        .collect();
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut idle = Vec::new();
    for (role, verb, resource) in granted() {
        let asked = used.contains(&(role.clone(), verb.clone(), resource.clone()));
        let line = format!("{role} {resource}");
        table.entry(line).or_default().push(if asked {
            verb.clone()
        } else {
            format!("({verb})")
        });
        if !asked {
            idle.push(format!("{role} {verb} {resource}"));
        }
    }
    println!("granted and asked for; in brackets what nobody asked for:");
    for (line, verbs) in table {
        println!("  {line}: {}", verbs.join(" "));
    }
    assert_eq!(idle, Vec::<String>::new(), "granted, and never asked for");
}

#[test]
fn metrics_are_shown_to_who_may_read_them() {
    let plane = stage();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = port.local_addr().unwrap().port();
    let mut controller =
        Controller::start(&plane, "metrics", &["--port", &port.to_string()]).unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "story-prometheus"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "metallb-system:metrics-reader",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}],
    });
    apply(&plane, &binding.to_string()).unwrap();
    create(
        &plane,
        &[
            pool("first", json!({"addresses": ["192.0.2.0/24"]})),
            service("web"),
        ],
    );
    wait(&plane, &path(&service("web")), "an address", |it| {
        addresses_of(it).len() == 1
    });
    let ask = |token: Option<String>| {
        plane.block_on(async |_client| {
            let server = format!("https://127.0.0.1:{port}").parse().unwrap();
            let mut config = kube::Config::new(server);
            config.accept_invalid_certs = true;
            config.auth_info.token = token.map(Into::into);
            let client = kube::Client::try_from(config).unwrap();
            let request = http::Request::get("/metrics").body(kube::client::Body::empty());
            let answer = client
                .send(request.unwrap())
                .await
                .map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect_bytes().await.unwrap_or_default();
            Ok::<_, String>((status, String::from_utf8_lossy(&body).into_owned()))
        })
    };
    let open = lab::eventually(SOON, "the port is served", || ask(None).ok());
    let strange = ask(Some("a token that nobody has".to_owned())).unwrap();
    let nobody = ask(Some(plane.token(NOBODY))).unwrap();
    let prometheus = ask(Some(plane.token(PROMETHEUS))).unwrap();
    println!(
        "/metrics: without a token {}, a wrong one {}, one without the right {}, Prometheus's {} and {} bytes",
        open.0,
        strange.0,
        nobody.0,
        prometheus.0,
        prometheus.1.len()
    );
    assert_eq!(
        (open.0, strange.0, nobody.0, prometheus.0),
        (401, 401, 403, 200)
    );
    let line = r#"metallb_allocator_addresses_in_use_total{pool="first"} 1"#;
    assert!(prometheus.1.contains(line), "{}", prometheus.1);
    controller.stop();
}
