//! The controller against a real API server, under its shipped permissions: every feature of allocation once.
//!
//! Owns nothing in the product; each story begins with an empty cluster.

use serde_json::{Value, json};
use tests::cluster_stories::{
    Controller, NAMESPACE, addresses_of, clear, create, delete, install, patch, path, pool, read,
    service, wait, wait_addresses, wait_event,
};
use tests::controlplane::ControlPlane;

/// An empty cluster with the product installed and one controller.
fn stage(name: &str) -> (std::sync::Arc<ControlPlane>, Controller) {
    let plane = ControlPlane::shared();
    if !plane.folder().join("installed").exists() {
        install(&plane).unwrap();
        std::fs::write(plane.folder().join("installed"), "").unwrap();
    }
    clear(&plane);
    let controller = Controller::start(&plane, name, &[]).unwrap();
    (plane, controller)
}

/// A Service with changes merged in.
fn with(mut object: Value, change: Value) -> Value {
    merge(&mut object, &change);
    object
}

fn merge(into: &mut Value, change: &Value) {
    let Value::Object(fields) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, field) in fields {
        merge(&mut into[name.as_str()], field);
    }
}

fn annotated(name: &str, annotations: Value) -> Value {
    with(
        service(name),
        json!({"metadata": {"annotations": annotations}}),
    )
}

fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

#[test]
fn an_address_a_pool_an_ip_mode_and_an_event_come_with_one_write() {
    let (plane, mut controller) = stage("controller-first");
    let web = service("web");
    create(
        &plane,
        &[
            pool("first", json!({"addresses": ["192.0.2.0/30"]})),
            web.clone(),
        ],
    );
    let there = wait_addresses(&plane, &web, &["192.0.2.0"]);
    assert_eq!(
        there["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"],
        "first"
    );
    assert_eq!(
        there["status"]["loadBalancer"]["ingress"][0]["ipMode"],
        "VIP"
    );
    let note = wait_event(&plane, &web, "IPAllocated", "");
    assert_eq!(note, r#"Assigned IP ["192.0.2.0"]"#);
    let status = wait(
        &plane,
        &path(&pool("first", json!({}))),
        "counted",
        |pool| pool["status"]["assignedIPv4"] == 1,
    );
    assert_eq!(status["status"]["availableIPv4"], 3);
    controller.stop();
    println!("{}", controller.daemon.log_end());
    for request in plane.requests().unwrap() {
        println!("{request:?}");
    }
}
