//! Conversion of each kind: what is read, what is dropped, what is refused and how it is told.

use super::*;
use engine::world::{
    ConfigMap, EndpointSlice, Family, FamilyPolicy, IpAddressPool, L2Advertisement, L2Status, Node,
    Pod, PoolStatus, Protocol, Secret, Service, TrafficPolicy,
};
use serde_json::{Value, json};

fn good<T: Convert>(value: &Value) -> T {
    match from_value::<T>(&name_of(value), value, None) {
        Converted::Good(stored) => T::clone(&stored.object),
        Converted::Bad(_, problem) => panic!("{problem:?}"),
    }
}

fn refusal<T: Convert>(value: &Value) -> String {
    match from_value::<T>(&name_of(value), value, Some("f:1".into())) {
        Converted::Good(stored) => panic!("{:?} is read", stored.origin),
        Converted::Bad(name, problem) => {
            assert_eq!(name, name_of(value));
            assert_eq!(problem.source.as_deref(), Some("f:1"));
            problem.message
        }
    }
}

#[test]
fn a_service_is_read_with_all_that_decides() {
    let service: Service = good(&json!({
        "metadata": {
            "name": "web", "namespace": "default", "uid": "u", "resourceVersion": "5",
            "creationTimestamp": "1970-01-02T00:00:00Z", "deletionTimestamp": "1970-01-03T00:00:00Z",
            "labels": {"a": "b"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "metallb.universe.tf/address-pool": "old", "harbinger.dev/endpoints": "a",
            },
            "managedFields": [{"manager": "kubectl", "fieldsV1": {}}],
        },
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "x/y", "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "PreferDualStack", "loadBalancerIP": "192.0.2.1",
            "externalTrafficPolicy": "Local", "selector": {"app": "web"},
            "healthCheckNodePort": 31000, "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "allocateLoadBalancerNodePorts": false,
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "targetPort": "dns", "nodePort": 30053},
                      {"port": 80}],
        },
        "status": {"loadBalancer": {"ingress": [
            {"ip": "192.0.2.1", "ipMode": "VIP", "ports": []}, {"hostname": "h.example"},
        ]}},
    }));
    assert_eq!(service.created, Some(86_400));
    assert!(service.deleting && service.load_balancer);
    assert_eq!(service.class.as_deref(), Some("x/y"));
    assert_eq!(service.annotations.len(), 2);
    assert_eq!(service.annotation("address-pool"), Some("old"));
    assert_eq!(service.cluster_ips.len(), 2);
    assert_eq!(service.families, [Family::V4, Family::V6]);
    assert_eq!(service.family_policy, FamilyPolicy::PreferDualStack);
    assert_eq!(service.external_policy, TrafficPolicy::Local);
    assert_eq!(service.health_check_node_port, Some(31000));
    assert_eq!(service.affinity_secs, Some(60));
    assert_eq!(*service.source_ranges, ["10.0.0.0/8".to_owned()]);
    assert!(service.no_node_ports);
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|p| (p.protocol, p.port, p.node_port))
        .collect();
    assert_eq!(
        ports,
        [(Protocol::Udp, 53, Some(30053)), (Protocol::Tcp, 80, None)]
    );
    assert_eq!(service.addresses().count(), 1);
    assert_eq!(service.ingress[1].hostname.as_deref(), Some("h.example"));
}

#[test]
fn nulls_and_absent_fields_are_defaults() {
    let empty: Service = good(
        &json!({"metadata": {"name": "a", "labels": null, "annotations": null},
        "spec": {"ports": null, "selector": null, "clusterIP": "None"}, "status": null}),
    );
    assert!(empty.cluster_ips.is_empty() && !empty.load_balancer && empty.created.is_none());
    assert!(!empty.no_node_ports && empty.affinity_secs.is_none());
    assert!(empty.source_ranges.is_empty() && empty.health_check_node_port.is_none());
    let slice: EndpointSlice = good(&json!({"metadata": {"name": "a"}, "endpoints": null}));
    assert!(slice.endpoints.is_empty());
    let pool: IpAddressPool = good(
        &json!({"metadata": {"name": "a"}, "spec": {"addresses": []},
        "status": {}}),
    );
    assert!(pool.auto_assign && pool.status.is_none());
}

#[test]
fn a_service_that_does_not_fit_names_the_field() {
    let service = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let table = [
        (
            service(json!({"ports": [{"port": 80}, {"port": 70000}]})),
            "spec.ports[1].port: ",
        ),
        (
            service(json!({"ports": [{"port": 1, "protocol": "ICMP"}]})),
            "spec.ports[0].protocol: ",
        ),
        (
            service(json!({"ipFamilies": ["IPv5"]})),
            "spec.ipFamilies[0]: ",
        ),
        (
            service(json!({"ipFamilyPolicy": "Both"})),
            "spec.ipFamilyPolicy: ",
        ),
        (
            service(json!({"externalTrafficPolicy": "local"})),
            "spec.externalTrafficPolicy: ",
        ),
        (
            service(json!({"clusterIPs": ["10.0.0.1", "x"]})),
            "spec.clusterIPs[1]: ",
        ),
        (service(json!({"type": 7})), "spec.type: "),
        (
            json!({"metadata": {"name": "a"}, "status": {"loadBalancer": {"ingress": [{"ip": "x"}]}}}),
            "status.loadBalancer.ingress[0].ip: ",
        ),
        (
            json!({"metadata": {"name": "a", "labels": {"b": 1}}}),
            "metadata.labels.b: ",
        ),
    ];
    for (value, start) in table {
        let message = refusal::<Service>(&value);
        assert!(
            message.starts_with(start),
            "{message:?} does not begin with {start:?}"
        );
    }
}

#[test]
fn a_node_is_its_labels_condition_and_addresses() {
    let node: Node = good(&json!({"metadata": {"name": "a", "labels": {"l": "1"}},
        "status": {"conditions": [{"type": "Ready", "status": "False"},
                                  {"type": "NetworkUnavailable", "status": "True"}],
                   "addresses": [{"type": "InternalIP", "address": "10.0.0.1"},
                                 {"type": "Hostname", "address": "a"},
                                 {"type": "InternalIP", "address": "no address"}]}}));
    assert!(node.network_unavailable);
    assert_eq!(node.internal_ips.len(), 1);
    assert_eq!(node.name.namespace, "");
    assert!(node.not_ready && !node.deleting && !node.to_be_deleted && !node.out_of_service);
}

#[test]
fn a_node_that_goes_says_how() {
    let node: Node = good(&json!({
        "metadata": {"name": "a", "deletionTimestamp": "1970-01-03T00:00:00Z"},
        "spec": {"taints": [
            {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}}));
    assert!(node.deleting && node.to_be_deleted && node.out_of_service && !node.not_ready);
}

#[test]
fn an_endpoint_keeps_nil_apart_from_false() {
    let slice: EndpointSlice = good(&json!({
        "metadata": {"name": "a", "namespace": "n", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"conditions": {}, "nodeName": "a"}, {"conditions": {"ready": false, "serving": true}},
                      {"addresses": ["10.0.0.1"], "conditions": {"ready": false}}]}));
    assert_eq!(slice.service, "web");
    let serve: Vec<bool> = slice.endpoints.iter().map(|e| e.can_serve()).collect();
    assert_eq!(serve, [true, true, false]);
    assert_eq!(slice.endpoints[0].node.as_deref(), Some("a"));
}

#[test]
fn a_pool_passes_as_written() {
    let pool: IpAddressPool = good(
        &json!({"metadata": {"name": "p", "namespace": "n", "labels": {"l": "1"}},
        "spec": {"addresses": ["nonsense", "192.0.2.0/24"], "autoAssign": false, "avoidBuggyIPs": true,
            "serviceAllocation": {"priority": 3, "namespaces": ["a"],
                "namespaceSelectors": [{"matchLabels": {"x": "y"}}],
                "serviceSelectors": [{"matchExpressions": [{"key": "k", "operator": "Wrong", "values": ["v"]}]}]}},
        "status": {"assignedIPv4": 1, "assignedIPv6": 2, "availableIPv4": 3, "availableIPv6": 4}}),
    );
    assert_eq!(pool.addresses, ["nonsense", "192.0.2.0/24"]);
    assert!(!pool.auto_assign && pool.avoid_buggy_ips);
    let allocation = pool.service_allocation.expect("an allocation");
    assert_eq!(
        allocation.service_selectors[0].match_expressions[0].operator,
        "Wrong"
    );
    let status = PoolStatus {
        assigned_ipv4: 1,
        assigned_ipv6: 2,
        available_ipv4: 3,
        available_ipv6: 4,
    };
    assert_eq!(pool.status, Some(status));
    let message =
        refusal::<IpAddressPool>(&json!({"metadata": {"name": "p"}, "spec": {"addresses": "x"}}));
    assert!(message.starts_with("spec.addresses: "), "{message}");
}

#[test]
fn an_advertisement_without_a_spec_is_one_for_everything() {
    let all: L2Advertisement = good(&json!({"metadata": {"name": "a", "namespace": "n"}}));
    assert!(all.pools.is_empty() && all.interfaces.is_empty());
    let some: L2Advertisement = good(&json!({"metadata": {"name": "a"}, "spec": {
        "ipAddressPools": ["p"], "interfaces": ["eth0"],
        "preferredNodeSelectors": [{"weight": 5, "preference": {"matchLabels": {"a": "b"}}}]}}));
    assert_eq!(some.preferred_nodes[0].0, 5);
}

#[test]
fn a_pod_is_found_by_all_its_addresses() {
    let pod: Pod = good(
        &json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"},
        "spec": {"nodeName": "x"}, "status": {"podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}}),
    );
    assert_eq!((pod.node.as_deref(), pod.ips.len()), (Some("x"), 2));
    let pending: Pod = good(&json!({"metadata": {"name": "a"}, "status": {}}));
    assert!(pending.ips.is_empty() && pending.node.is_none());
}

#[test]
fn a_secret_is_decoded_and_never_printed() {
    let secret: Secret = good(&json!({"metadata": {"name": "s"}, "type": "Opaque",
        "data": {"secretkey": "aHVudGVyMg=="}, "stringData": {"plain": "hunter3"}}));
    assert_eq!(secret.data["secretkey"], b"hunter2");
    assert_eq!(secret.data["plain"], b"hunter3");
    let printed = format!("{secret:?}");
    assert!(
        !printed.contains("hunter") && !printed.contains("104"),
        "{printed}"
    );
    let message =
        refusal::<Secret>(&json!({"metadata": {"name": "s"}, "data": {"k": "not base64!"}}));
    assert!(!message.contains("not base64!"), "{message}");
}

#[test]
fn a_config_map_is_its_texts() {
    let map: ConfigMap = good(&json!({"metadata": {"name": "m"}, "data": {"a": "b"}}));
    assert_eq!(map.data["a"], "b");
}

#[test]
fn an_l2_status_without_status_is_told_apart() {
    let labels = json!({"metallb.io/node": "a", "metallb.io/service-name": "web",
        "metallb.io/service-namespace": "default"});
    let half: L2Status = good(&json!({"metadata": {"name": "l2-x", "labels": labels}}));
    assert_eq!((half.node.as_str(), half.has_status), ("a", false));
    let whole: L2Status = good(&json!({"metadata": {"name": "l2-x"},
        "status": {"node": "a", "serviceName": "web", "serviceNamespace": "default",
                   "interfaces": [{"name": "eth0"}]}}));
    assert!(whole.has_status && whole.interfaces == ["eth0"]);
    assert_eq!(whole.service, NamespacedName::new("default", "web"));
}
