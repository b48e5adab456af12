//! Coming to a cluster, empty or held by MetalLB, and leaving it again.
//!
//! Owns what stands for MetalLB here: its definitions made from the table, a webhook configuration that nobody
//! serves, workloads of its names, and Services with the statuses and annotations that it writes.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tests::cluster_stories::{
    Controller, NAMESPACE, addresses_of, all_addresses, clear, create, deploy, patch_at, path,
    pool, read, remove_definitions, send, service, wait, wait_established,
};
use tests::controlplane::{ADMIN, CONTROLLER, ControlPlane};
use tests::fleet;
use tests::metallb_shaped::metallb_crds;

/// Definitions, workloads and whatever hangs on them go.
fn empty(plane: &ControlPlane) {
    clear(plane);
    remove_definitions(plane);
    for kind in ["deployments", "daemonsets"] {
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{kind}");
        plane.block_on(async |client| {
            let background = json!({"propagationPolicy": "Background"});
            send(&client, Method::DELETE, &path, &background)
                .await
                .unwrap();
        });
    }
}

#[test]
fn operator_pool_and_service_may_be_applied_without_a_pause() {
    const ROUNDS: usize = 20;
    let plane = ControlPlane::shared();
    let base = deploy().join("base").display().to_string();
    let pool = pool("first", json!({"addresses": ["192.0.2.0/24"]}));
    let web = service("web");
    let objects = format!("{pool}\n---\n{web}");
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        empty(&plane);
        let name = format!("at-once-{round}");
        let mut controller = Controller::start(&plane, &name, &[]).unwrap();
        let begun = Instant::now();
        for (step, (args, stdin)) in [
            (["apply", "-k", base.as_str()], ""),
            (["apply", "-f", "-"], objects.as_str()),
        ]
        .into_iter()
        .enumerate()
        {
            let cache = plane.folder().join(format!("cache-{round}-{step}"));
            let output = plane.kubectl_with_cache(&cache, &args, stdin).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "round {round}: {said}");
        }
        let applied = Instant::now();
        wait(&plane, &path(&web), "an address", |it| {
            addresses_of(it) == ["192.0.2.0"]
        });
        times.push(applied.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(120));
        controller.stop();
    }
    times.sort();
    println!(
        "{ROUNDS} rounds; applied → address: median {:?}, worst {:?}",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
}

#[test]
fn twenty_services_of_metallb_keep_their_addresses_there_and_back() {
    let plane = ControlPlane::shared();
    empty(&plane);
    metallb(&plane);
    let held = all_addresses(&plane);
    let statuses = statuses(&plane);
    assert_eq!(held.values().filter(|it| !it.is_empty()).count(), 20);
    // Without its controller nobody edits a pool any more: what a takeover has to mend.
    let edit = [
        "annotate",
        "-n",
        NAMESPACE,
        "ipaddresspools",
        "main",
        "story=1",
        "--overwrite",
    ];
    assert!(!plane.kubectl(&edit, "").unwrap().status.success());

    let begun = Instant::now();
    come(&plane);
    let mut controller = Controller::start(&plane, "takeover", &[]).unwrap();
    wait(&plane, &path(&waiting()), "served", |it| {
        addresses_of(it).len() == 1
    });
    println!(
        "takeover: commands, start and a waiting Service served in {:?}",
        begun.elapsed()
    );
    plane.kubectl_ok(&edit, "").unwrap();
    let counted = path(&pool("main", json!({})));
    wait(&plane, &counted, "counted", |it| {
        it["status"]["assignedIPv4"].as_u64() > Some(10)
    });
    controller.stop();
    same(&held, &all_addresses(&plane));
    assert_eq!(
        statuses,
        self::statuses(&plane),
        "a status or an annotation changed"
    );
    let moved: Vec<_> = plane
        .requests()
        .unwrap()
        .into_iter()
        .filter(|it| {
            it.user == CONTROLLER
                && it.resource == "services/status"
                && it.object.contains("/held-")
        })
        .collect();
    assert!(moved.is_empty(), "written without need: {moved:?}");
    let deployment = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/controller");
    let ours = read(&plane, &deployment);
    assert_eq!(ours["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(ours["spec"]["replicas"], 2);
    assert_eq!(
        ours["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // Back: its manifests over ours.
    plane
        .kubectl_ok(&["apply", "-f", "-"], &manifests())
        .unwrap();
    let theirs = read(&plane, &deployment);
    assert_eq!(theirs["spec"]["strategy"]["type"], "RollingUpdate");
    assert_eq!(theirs["spec"]["replicas"], 1);
    let image = &theirs["spec"]["template"]["spec"]["containers"];
    assert!(image.to_string().contains("metallb/controller"));
    assert_eq!(
        theirs["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let conversion = [
        "get",
        "crd",
        "bgppeers.metallb.io",
        "-o",
        "jsonpath={.spec.conversion.strategy}",
    ];
    assert_eq!(plane.kubectl_ok(&conversion, "").unwrap(), "Webhook");
    same(&held, &all_addresses(&plane));
    assert_eq!(statuses, self::statuses(&plane));

    // And once more, without a loss.
    come(&plane);
    let mut controller = Controller::start(&plane, "takeover-again", &[]).unwrap();
    let new = service("new");
    create(&plane, std::slice::from_ref(&new));
    wait(&plane, &path(&new), "served", |it| {
        addresses_of(it).len() == 1
    });
    controller.stop();
    same(&held, &all_addresses(&plane));
    assert_eq!(statuses, self::statuses(&plane));
    println!(
        "back and over again: {} Services with the addresses they had",
        statuses.len()
    );
}

/// The documented command.
fn come(plane: &ControlPlane) {
    let mut crds = Command::new(fleet::binary().unwrap());
    crds.args(["crds", "--apply", "--remove-webhook", "--kubeconfig"])
        .arg(plane.kubeconfig(ADMIN));
    let output = plane.output(crds, "").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    let base = deploy().join("base").display().to_string();
    plane.kubectl_ok(&["apply", "-k", &base], "").unwrap();
}

fn same(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) {
    for (name, addresses) in before.iter().filter(|(_, held)| !held.is_empty()) {
        assert_eq!(Some(addresses), after.get(name), "{name}");
    }
}

/// Status and annotations of the Services that held an address at first.
fn statuses(plane: &ControlPlane) -> BTreeMap<String, Value> {
    let list = read(plane, "/api/v1/namespaces/default/services");
    let items = list["items"].as_array().unwrap().iter();
    let held = items.filter_map(|item| {
        let name = item["metadata"]["name"].as_str().unwrap();
        let kept =
            json!({"status": item["status"], "annotations": item["metadata"]["annotations"]});
        name.starts_with("held-").then(|| (name.to_owned(), kept))
    });
    held.collect()
}

/// Waits for an address since MetalLB's time.
fn waiting() -> Value {
    service("waiting")
}

/// What stands for `metallb-native.yaml`.
fn manifests() -> String {
    let mut items: Vec<Value> = vec![json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    })];
    items.extend(
        metallb_crds()
            .into_iter()
            .map(|crd| serde_json::to_value(crd).unwrap()),
    );
    for (kind, name) in [("Deployment", "controller"), ("DaemonSet", "speaker")] {
        let labels = json!({"app": "metallb", "component": name});
        let mut workload = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [{
                        "name": name, "image": format!("quay.io/metallb/{name}:v0.16.1"),
                        "args": ["--port=9120", "--log-level=info"],
                        "env": [{"name": "METALLB_BGP_TYPE", "value": "native"}],
                        "ports": [{"name": "metricshttps", "containerPort": 9120}],
                    }]},
                },
            },
        });
        if kind == "Deployment" {
            workload["spec"]["replicas"] = json!(1);
        }
        items.push(workload);
    }
    let hook = |plural: &str| {
        json!({
            "name": format!("{plural}.metallb.io"),
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "clientConfig": {"service": {
                "name": "metallb-webhook-service", "namespace": NAMESPACE, "path": format!("/validate-{plural}"),
            }},
            "rules": [{
                "apiGroups": ["metallb.io"], "apiVersions": ["v1beta1", "v1beta2"],
                "operations": ["CREATE", "UPDATE"], "resources": [plural],
            }],
        })
    };
    items.push(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "metallb-webhook-configuration"},
        "webhooks": [hook("ipaddresspools"), hook("l2advertisements"), hook("bgppeers")],
    }));
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// A cluster in which MetalLB ran until now.
fn metallb(plane: &ControlPlane) {
    let mut all: Value = serde_json::from_str(&manifests()).unwrap();
    let webhook = all["items"].as_array_mut().unwrap().pop().unwrap();
    plane
        .kubectl_ok(&["apply", "-f", "-"], &all.to_string())
        .unwrap();
    wait_established(plane);
    create(
        plane,
        &[
            pool(
                "main",
                json!({"addresses": ["192.0.2.0/26", "2001:db8::/120"]}),
            ),
            pool(
                "manual",
                json!({"addresses": ["198.51.100.10-198.51.100.20"], "autoAssign": false}),
            ),
            json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
                "metadata": {"name": "all", "namespace": NAMESPACE}, "spec": {"ipAddressPools": ["main", "manual"]},
            }),
        ],
    );
    plane
        .kubectl_ok(&["apply", "-f", "-"], &webhook.to_string())
        .unwrap();
    let mut services = Vec::new();
    let mut hold = |n: usize, change: &dyn Fn(&mut Value), addresses: &[&str], pool: &str| {
        let mut service = service(&format!("held-{n:02}"));
        service["metadata"]["annotations"] = json!({"metallb.io/ip-allocated-from-pool": pool});
        change(&mut service);
        services.push((
            service,
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        ));
    };
    // Not the lowest ones, in no order, with gaps: whoever allocates anew would give others.
    for n in 0..12 {
        let address = format!("192.0.2.{}", 60 - 3 * n);
        hold(n, &|_| {}, &[&address], "main");
    }
    for n in 12..15 {
        let share = |service: &mut Value| {
            service["metadata"]["annotations"]["metallb.universe.tf/allow-shared-ip"] =
                json!("key");
            service["spec"]["ports"][0]["port"] = json!(8000 + n);
        };
        hold(n, &share, &["192.0.2.61"], "main");
    }
    for n in 15..18 {
        let dual = |service: &mut Value| {
            service["spec"]["ipFamilyPolicy"] = json!("RequireDualStack");
            service["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
        };
        let (four, six) = (format!("192.0.2.{n}"), format!("2001:db8::{n}"));
        hold(n, &dual, &[&four, &six], "main");
    }
    let asks = |service: &mut Value| service["spec"]["loadBalancerIP"] = json!("198.51.100.15");
    hold(18, &asks, &["198.51.100.15"], "manual");
    let asks = |service: &mut Value| {
        service["metadata"]["annotations"]["metallb.universe.tf/address-pool"] = json!("manual");
    };
    hold(19, &asks, &["198.51.100.20"], "manual");
    for (service, addresses) in &services {
        create(plane, std::slice::from_ref(service));
        let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
        patch_at(plane, &format!("{}/status", path(service)), &status);
    }
    create(plane, &[waiting()]);
}
