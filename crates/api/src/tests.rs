//! The types read what the schemas allow, and write what MetalLB reads.

use kube::ResourceExt;
use serde_json::json;

use super::*;

#[test]
fn an_absent_or_null_spec_is_the_default_one() {
    for object in [
        json!({"metadata": {"name": "a"}}),
        json!({"metadata": {"name": "a"}, "spec": null}),
        json!({"metadata": {"name": "a"}, "spec": {}}),
    ] {
        let l2: L2Advertisement = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(l2.spec, L2AdvertisementSpec::default());
        let bgp: BGPAdvertisement = serde_json::from_value(object).unwrap();
        assert_eq!(bgp.spec.aggregation_length, 32);
        assert_eq!(bgp.spec.aggregation_length_v6, 128);
    }
    let without = json!({"metadata": {"name": "a"}});
    assert!(serde_json::from_value::<IPAddressPool>(without).is_err());
}

#[test]
fn a_pool_is_written_as_it_was_read() {
    let object = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "a"},
        "spec": {
            "addresses": ["192.0.2.0/24"],
            "autoAssign": true,
            "avoidBuggyIPs": false,
            "serviceAllocation": {
                "priority": 50,
                "namespaces": ["a"],
                "namespaceSelectors": [{"matchLabels": {"a": "b"}}],
                "serviceSelectors": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}],
            },
        },
        "status": {
            "assignedIPv4": 1, "assignedIPv6": 2, "availableIPv4": 3, "availableIPv6": i64::MAX,
        },
    });
    let pool: IPAddressPool = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(pool.name_any(), "a");
    assert_eq!(serde_json::to_value(&pool).unwrap(), object);
}

#[test]
fn a_peer_is_written_as_it_was_read() {
    let object = json!({
        "apiVersion": "metallb.io/v1beta2",
        "kind": "BGPPeer",
        "metadata": {"name": "a"},
        "spec": {
            "myASN": 4294967295_u32, "peerASN": 1, "localASN": 2, "dynamicASN": "internal",
            "peerAddress": "192.0.2.1", "interface": "eth0", "sourceAddress": "192.0.2.2",
            "peerPort": 179, "holdTime": "1m30s", "keepaliveTime": "30s", "connectTime": "5s",
            "routerID": "10.0.0.1", "nodeSelectors": [{}], "password": "x",
            "passwordSecret": {"name": "a", "namespace": "b"}, "bfdProfile": "fast",
            "enableGracefulRestart": true, "ebgpMultiHop": true, "vrf": "red",
            "disableMP": true, "dualStackAddressFamily": true,
        },
    });
    let peer: BGPPeer = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(&peer).unwrap(), object);
}

#[test]
fn a_local_pref_above_the_format_is_read() {
    let object = json!({"metadata": {}, "spec": {"localPref": 4294967295_u32}});
    let advertisement: BGPAdvertisement = serde_json::from_value(object).unwrap();
    assert_eq!(advertisement.spec.local_pref, Some(4_294_967_295));
}

#[test]
fn a_configuration_state_has_no_spec() {
    let mut state = ConfigurationState::new("controller", ConfigurationStateSpec {});
    state.status = Some(ConfigurationStateStatus {
        result: Some("Valid".to_owned()),
        ..Default::default()
    });
    let object = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ConfigurationState",
        "metadata": {"name": "controller"},
        "status": {"result": "Valid"},
    });
    assert_eq!(serde_json::to_value(&state).unwrap(), object);
    let read: ConfigurationState = serde_json::from_value(object).unwrap();
    assert_eq!(read, state);
}

#[test]
fn every_rule_has_a_name_of_its_own_and_a_message_that_names_the_field() {
    let mut names = std::collections::BTreeSet::new();
    for rule in rules() {
        assert!(
            names.insert((rule.kind, rule.version, rule.id)),
            "{} {} {} twice",
            rule.kind,
            rule.version,
            rule.id
        );
        let (field, _) = rule.message.split_once(": ").unwrap();
        let named = rule.path.contains(field) || rule.expression.contains(field);
        assert!(named, "{} {}: {field} is not its field", rule.kind, rule.id);
    }
}
