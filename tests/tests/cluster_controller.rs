//! The controller against a real API server, under its shipped permissions: every feature of allocation once.
//!
//! Owns nothing in the product; each story begins with an empty cluster.

use serde_json::{Value, json};
use tests::cluster_stories::{
    Controller, NAMESPACE, addresses_of, apply, clear, create, delete, install, patch, path, pool,
    read, service, wait, wait_addresses, wait_event,
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
fn an_address_a_pool_an_ip_mode_and_an_event_come_together() {
    let (plane, mut controller) = stage("controller-first");
    let web = service("web");
    let first = pool("first", json!({"addresses": ["192.0.2.0/30"]}));
    create(&plane, &[first.clone(), web.clone()]);
    let there = wait_addresses(&plane, &web, &["192.0.2.0"]);
    assert_eq!(pool_of(&there), "first");
    assert_eq!(
        there["status"]["loadBalancer"]["ingress"][0]["ipMode"],
        "VIP"
    );
    let note = wait_event(&plane, &web, "IPAllocated", "");
    assert_eq!(note, r#"Assigned IP ["192.0.2.0"]"#);
    let counted = wait(&plane, &path(&first), "counted", |pool| {
        pool["status"]["assignedIPv4"] == 1
    });
    assert_eq!(counted["status"]["availableIPv4"], 3);
    assert_eq!(counted["status"]["assignedIPv6"], 0);
    let state =
        format!("/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/configurationstates/controller");
    wait(&plane, &state, "valid", |state| {
        state["status"]["result"] == "Valid"
    });
    // The membership key, for the speakers.
    let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/memberlist");
    wait(&plane, &secret, "a key", |secret| {
        secret["data"]["secretkey"].is_string()
    });
    controller.stop();
}

#[test]
fn pools_are_taken_by_priority_namespace_labels_and_name() {
    let (plane, _controller) = stage("controller-pools");
    let tenants = [
        namespace("blue", json!({"team": "blue"})),
        namespace("green", json!({"team": "green"})),
    ];
    for tenant in &tenants {
        apply(&plane, &tenant.to_string()).unwrap();
    }
    let allocation = |allocation: Value, addresses: &str| json!({"addresses": [addresses], "serviceAllocation": allocation});
    create(
        &plane,
        &[
            pool("a-general", json!({"addresses": ["192.0.2.0/28"]})),
            pool(
                "manual",
                json!({"addresses": ["192.0.2.16-192.0.2.31"], "autoAssign": false}),
            ),
            pool(
                "by-namespace",
                allocation(
                    json!({"namespaces": ["blue"], "priority": 20}),
                    "192.0.2.32/28",
                ),
            ),
            pool(
                "by-selector",
                allocation(
                    json!({"namespaceSelectors": [{"matchLabels": {"team": "green"}}]}),
                    "192.0.2.48/28",
                ),
            ),
            pool(
                "by-label",
                allocation(
                    json!({"priority": 10, "serviceSelectors": [{"matchLabels": {"tier": "gold"}}]}),
                    "192.0.2.64/28",
                ),
            ),
            pool(
                "buggy",
                json!({"addresses": ["198.51.100.0/30"], "autoAssign": false, "avoidBuggyIPs": true}),
            ),
        ],
    );
    let in_namespace = |name: &str, namespace: &str, labels: Value| {
        with(
            service(name),
            json!({"metadata": {"namespace": namespace, "labels": labels}}),
        )
    };
    let asked = |name: &str, pool: &str| annotated(name, json!({"metallb.io/address-pool": pool}));
    let table = [
        (service("plain"), "192.0.2.0", "a-general"),
        (
            in_namespace("plain", "blue", json!({})),
            "192.0.2.32",
            "by-namespace",
        ),
        (
            in_namespace("gold", "blue", json!({"tier": "gold"})),
            "192.0.2.64",
            "by-label",
        ),
        (
            in_namespace("plain", "green", json!({})),
            "192.0.2.48",
            "by-selector",
        ),
        (asked("by-hand", "manual"), "192.0.2.16", "manual"),
        (asked("not-dot-zero", "buggy"), "198.51.100.1", "buggy"),
        (
            annotated(
                "old-prefix",
                json!({"metallb.universe.tf/address-pool": "manual"}),
            ),
            "192.0.2.17",
            "manual",
        ),
    ];
    for (service, address, pool) in table {
        create(&plane, std::slice::from_ref(&service));
        let there = wait_addresses(&plane, &service, &[address]);
        assert_eq!(pool_of(&there), pool, "{service}");
    }
    // Who may not have a pool is told why, and gets nothing.
    let wrong = asked("wrong", "by-namespace");
    create(&plane, std::slice::from_ref(&wrong));
    let why = wait_event(&plane, &wrong, "AllocationFailed", "by-namespace");
    println!("{why}");
    assert!(addresses_of(&read(&plane, &path(&wrong))).is_empty());
    // Another pool asked for: given back, taken anew.
    let by_hand = asked("by-hand", "manual");
    patch(
        &plane,
        &by_hand,
        &json!({"metadata": {"annotations": {"metallb.io/address-pool": "a-general"}}}),
    );
    wait_addresses(&plane, &by_hand, &["192.0.2.1"]);
}

#[test]
fn a_requested_address_is_given_or_refused_with_its_reason() {
    let (plane, _controller) = stage("controller-wishes");
    create(
        &plane,
        &[
            pool(
                "wide",
                json!({"addresses": ["192.0.2.0/28", "2001:db8::/124"]}),
            ),
            pool("other", json!({"addresses": ["198.51.100.0/28"]})),
        ],
    );
    let by_field = with(
        service("by-field"),
        json!({"spec": {"loadBalancerIP": "192.0.2.5"}}),
    );
    let by_new = annotated("by-new", json!({"metallb.io/loadBalancerIPs": "192.0.2.6"}));
    let by_old = annotated(
        "by-old",
        json!({"metallb.universe.tf/loadBalancerIPs": "192.0.2.7"}),
    );
    create(&plane, &[by_field.clone(), by_new.clone(), by_old.clone()]);
    wait_addresses(&plane, &by_field, &["192.0.2.5"]);
    wait_addresses(&plane, &by_new, &["192.0.2.6"]);
    wait_addresses(&plane, &by_old, &["192.0.2.7"]);

    let refused = [
        (
            annotated("taken", json!({"metallb.io/loadBalancerIPs": "192.0.2.5"})),
            "192.0.2.5",
        ),
        (
            annotated(
                "foreign",
                json!({"metallb.io/loadBalancerIPs": "203.0.113.1"}),
            ),
            "203.0.113.1",
        ),
        (
            annotated(
                "family",
                json!({"metallb.io/loadBalancerIPs": "2001:db8::1"}),
            ),
            "2001:db8::1",
        ),
        (
            annotated("nonsense", json!({"metallb.io/loadBalancerIPs": "one"})),
            "one",
        ),
        (
            annotated(
                "contrary",
                json!({"metallb.io/loadBalancerIPs": "192.0.2.9", "metallb.io/address-pool": "other"}),
            ),
            "other",
        ),
    ];
    for (service, words) in &refused {
        create(&plane, std::slice::from_ref(service));
        let why = wait_event(&plane, service, "AllocationFailed", words);
        println!("{}: {why}", service["metadata"]["name"]);
        assert!(addresses_of(&read(&plane, &path(service))).is_empty());
    }
    // The holder goes, who waits for its address gets it.
    delete(&plane, &by_field);
    wait_addresses(&plane, &refused[0].0, &["192.0.2.5"]);
    // The wish changes.
    patch(
        &plane,
        &by_new,
        &json!({"metadata": {"annotations": {"metallb.io/loadBalancerIPs": "192.0.2.10"}}}),
    );
    wait_addresses(&plane, &by_new, &["192.0.2.10"]);
}

#[test]
fn services_share_an_address_by_key_with_different_ports() {
    let (plane, _controller) = stage("controller-sharing");
    create(
        &plane,
        &[pool("small", json!({"addresses": ["192.0.2.1/32"]}))],
    );
    let sharing = |name: &str, key: &str, port: u16, protocol: &str| {
        let mut service = annotated(name, json!({"metallb.io/allow-shared-ip": key}));
        service["spec"]["ports"][0]["port"] = json!(port);
        service["spec"]["ports"][0]["protocol"] = json!(protocol);
        service
    };
    let tcp = sharing("dns-tcp", "dns", 53, "TCP");
    let udp = sharing("dns-udp", "dns", 53, "UDP");
    create(&plane, std::slice::from_ref(&tcp));
    wait_addresses(&plane, &tcp, &["192.0.2.1"]);
    create(&plane, std::slice::from_ref(&udp));
    wait_addresses(&plane, &udp, &["192.0.2.1"]);
    for (service, words) in [
        (sharing("same-port", "dns", 53, "TCP"), "small"),
        (sharing("other-key", "web", 80, "TCP"), "small"),
        (service("no-key"), "small"),
    ] {
        create(&plane, std::slice::from_ref(&service));
        let why = wait_event(&plane, &service, "AllocationFailed", words);
        println!("{}: {why}", service["metadata"]["name"]);
        assert!(addresses_of(&read(&plane, &path(&service))).is_empty());
    }
    let status = read(&plane, &path(&pool("small", json!({}))));
    assert_eq!(
        status["status"]["assignedIPv4"], 1,
        "an address counts once"
    );
}

#[test]
fn single_and_dual_stack_get_what_their_policy_says() {
    let (plane, _controller) = stage("controller-families");
    create(
        &plane,
        &[
            pool(
                "dual",
                json!({"addresses": ["192.0.2.0/28", "2001:db8::/124"]}),
            ),
            pool(
                "only-four",
                json!({"addresses": ["198.51.100.0/28"], "autoAssign": false}),
            ),
        ],
    );
    let policy = |name: &str, policy: &str, families: Value| {
        with(
            service(name),
            json!({"spec": {"ipFamilyPolicy": policy, "ipFamilies": families}}),
        )
    };
    let both = ["IPv4", "IPv6"];
    let table: [(Value, &[&str]); 4] = [
        (
            policy("four", "SingleStack", json!(["IPv4"])),
            &["192.0.2.0"],
        ),
        (
            policy("six", "SingleStack", json!(["IPv6"])),
            &["2001:db8::"],
        ),
        (
            policy("prefer", "PreferDualStack", json!(both)),
            &["192.0.2.1", "2001:db8::1"],
        ),
        (
            policy("require", "RequireDualStack", json!(both)),
            &["192.0.2.2", "2001:db8::2"],
        ),
    ];
    for (service, addresses) in &table {
        create(&plane, std::slice::from_ref(service));
        wait_addresses(&plane, service, addresses);
    }
    let from_four = |mut object: Value| {
        object["metadata"]["annotations"] = json!({"metallb.io/address-pool": "only-four"});
        object
    };
    let prefer = from_four(policy("prefer-four", "PreferDualStack", json!(both)));
    let require = from_four(policy("require-four", "RequireDualStack", json!(both)));
    create(&plane, &[prefer.clone(), require.clone()]);
    wait_addresses(&plane, &prefer, &["198.51.100.0"]);
    wait_event(&plane, &require, "AllocationFailed", "only-four");
    // A pool that becomes dual completes who prefers that, and serves who requires it.
    patch(
        &plane,
        &pool("only-four", json!({})),
        &json!({"spec": {"addresses": ["198.51.100.0/28", "2001:db8:1::/124"]}}),
    );
    let completed = wait(&plane, &path(&prefer), "two addresses", |it| {
        addresses_of(it).len() == 2
    });
    assert_eq!(
        addresses_of(&completed)[0],
        "198.51.100.0",
        "the first one stays"
    );
    wait(&plane, &path(&require), "two addresses", |it| {
        addresses_of(it).len() == 2
    });
}

#[test]
fn type_and_class_decide_whether_a_service_is_ours() {
    let (plane, mut controller) = stage("controller-types");
    create(
        &plane,
        &[pool("one", json!({"addresses": ["192.0.2.1/32"]}))],
    );
    let foreign = with(
        service("foreign"),
        json!({"spec": {"loadBalancerClass": "example.com/other"}}),
    );
    let web = service("web");
    create(&plane, &[foreign.clone(), web.clone()]);
    wait_addresses(&plane, &web, &["192.0.2.1"]);
    // Off: the status and the annotation go, the address is free for the next.
    patch(
        &plane,
        &web,
        &json!({"spec": {"type": "ClusterIP", "allocateLoadBalancerNodePorts": null}}),
    );
    wait(&plane, &path(&web), "cleared", |it| {
        addresses_of(it).is_empty()
            && it["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"].is_null()
    });
    let next = service("next");
    create(&plane, std::slice::from_ref(&next));
    wait_addresses(&plane, &next, &["192.0.2.1"]);
    // And on again, when there is room.
    patch(&plane, &web, &json!({"spec": {"type": "LoadBalancer"}}));
    wait_event(&plane, &web, "AllocationFailed", "one");
    delete(&plane, &next);
    wait_addresses(&plane, &web, &["192.0.2.1"]);
    let theirs = read(&plane, &path(&foreign));
    assert!(addresses_of(&theirs).is_empty());
    assert!(theirs["metadata"]["annotations"].is_null(), "left alone");
    // A controller of that class serves it, and only it.
    controller.stop();
    delete(&plane, &web);
    create(&plane, std::slice::from_ref(&next));
    let class = ["--lb-class", "example.com/other"];
    let _classed = Controller::start(&plane, "controller-class", &class).unwrap();
    wait_addresses(&plane, &foreign, &["192.0.2.1"]);
    assert!(addresses_of(&read(&plane, &path(&next))).is_empty());
}

#[test]
fn pool_edits_move_only_who_must_move() {
    let (plane, _controller) = stage("controller-edits");
    let main = pool("main", json!({"addresses": ["192.0.2.0-192.0.2.1"]}));
    create(&plane, std::slice::from_ref(&main));
    let services: Vec<Value> = (0..3).map(|n| service(&format!("web-{n}"))).collect();
    for (n, service) in services.iter().enumerate() {
        create(&plane, std::slice::from_ref(service));
        if n < 2 {
            wait_addresses(&plane, service, &[&format!("192.0.2.{n}")]);
        }
    }
    // Full; it grows, and who waits is served.
    wait_event(&plane, &services[2], "AllocationFailed", "main");
    let spec = |spec: Value| patch(&plane, &main, &json!({"spec": spec}));
    spec(json!({"addresses": ["192.0.2.0-192.0.2.5"]}));
    wait_addresses(&plane, &services[2], &["192.0.2.2"]);
    // It shrinks: the first two lose theirs, the third stays.
    spec(json!({"addresses": ["192.0.2.2-192.0.2.5"]}));
    wait_addresses(&plane, &services[0], &["192.0.2.3"]);
    wait_addresses(&plane, &services[1], &["192.0.2.4"]);
    wait_event(&plane, &services[0], "ClearAssignment", "192.0.2.0");
    // Split: one part under another name. The annotation follows, the addresses stay.
    spec(json!({"addresses": ["192.0.2.2/32"]}));
    create(
        &plane,
        &[pool("split", json!({"addresses": ["192.0.2.3-192.0.2.5"]}))],
    );
    for (n, name) in ["split", "split", "main"].iter().enumerate() {
        let now = wait(&plane, &path(&services[n]), name, |it| {
            pool_of(it) == *name && addresses_of(it).len() == 1
        });
        println!("web-{n}: {:?} of {name}", addresses_of(&now));
    }
    // A bad pool harms nobody: a problem of its own, the rest works.
    create(
        &plane,
        &[pool("z-overlap", json!({"addresses": ["192.0.2.0/29"]}))],
    );
    let state =
        format!("/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/configurationstates/controller");
    let said = wait(&plane, &state, "invalid", |state| {
        state["status"]["result"] == "Invalid"
    });
    println!("{}", said["status"]["errorSummary"]);
    assert!(
        said["status"]["errorSummary"]
            .as_str()
            .unwrap()
            .contains("z-overlap")
    );
    delete(&plane, &pool("z-overlap", json!({})));
    wait(&plane, &state, "valid", |state| {
        state["status"]["result"] == "Valid"
    });
    // The pool goes, and with it the address and the annotation.
    delete(&plane, &main);
    delete(&plane, &pool("split", json!({})));
    for service in &services {
        wait(&plane, &path(service), "cleared", |it| {
            addresses_of(it).is_empty() && pool_of(it).is_empty()
        });
    }
}

/// The pool that the annotation names.
fn pool_of(service: &Value) -> &str {
    service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"]
        .as_str()
        .unwrap_or("")
}
