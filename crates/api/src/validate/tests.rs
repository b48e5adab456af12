//! The check by itself. The long table is in the tests package (`data/validation.yaml`), where a
//! real API server judges the same objects.

use serde_json::json;

use super::*;

const KEYWORDS: [&str; 17] = [
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-validations",
];

/// Merge rules. Of these the check reads the keys alone.
const MERGE_KEYWORDS: [&str; 3] = [
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
];

fn check_keywords(schema: &Value, path: &str) {
    let object = schema.as_object().unwrap();
    for (name, value) in object {
        let known = KEYWORDS.contains(&name.as_str()) || MERGE_KEYWORDS.contains(&name.as_str());
        assert!(known, "{path}: the check does not know {name}");
        match name.as_str() {
            "items" | "additionalProperties" => check_keywords(value, &format!("{path}[]")),
            "properties" => {
                for (field, property) in value.as_object().unwrap() {
                    check_keywords(property, &format!("{path}.{field}"));
                }
            }
            "format" => assert!(
                ["int32", "int64", "date-time"].contains(&value.as_str().unwrap()),
                "{path}: the check does not know the format {value}"
            ),
            "type" => assert_ne!(value, "number", "{path}: fractions are not checked"),
            _ => {}
        }
    }
}

#[test]
fn no_schema_uses_a_keyword_that_the_check_does_not_know() {
    for crd in crate::crds() {
        for version in crd.spec.versions {
            let schema = version.schema.unwrap().open_api_v3_schema.unwrap();
            check_keywords(&serde_json::to_value(schema).unwrap(), &crd.spec.names.kind);
        }
    }
}

#[test]
fn a_kind_that_is_not_ours_is_an_error() {
    let errors = validate("Pool", "v1beta1", &json!({}));
    assert_eq!(errors[0].to_string(), "no kind Pool in metallb.io/v1beta1");
    assert_eq!(validate("IPAddressPool", "v1", &json!({})).len(), 1);
    let mut untouched = json!({"spec": null});
    assert!(apply_defaults("Pool", "v1beta1", &mut untouched).is_empty());
    assert_eq!(untouched, json!({"spec": null}));
}

#[test]
fn unknown_fields_and_nulls_go_and_defaults_come() {
    let mut pool = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "a", "labels": null},
        "data": 1,
        "spec": {
            "addresses": ["192.0.2.0/24"],
            "protocol": "layer2",
            "autoAssign": null,
            "serviceAllocation": {
                "priority": 3.0,
                "namespaces": null,
                "serviceSelectors": [{"matchLabels": {"a": "b"}, "match": 1}],
            },
        },
    });
    let unknown = apply_defaults("IPAddressPool", "v1beta1", &mut pool);
    assert_eq!(
        unknown,
        [
            "data",
            "spec.protocol",
            "spec.serviceAllocation.serviceSelectors[0].match"
        ]
    );
    assert_eq!(
        pool,
        json!({
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "metadata": {"name": "a", "labels": null},
            "spec": {
                "addresses": ["192.0.2.0/24"],
                "autoAssign": true,
                "avoidBuggyIPs": false,
                "serviceAllocation": {
                    "priority": 3,
                    "serviceSelectors": [{"matchLabels": {"a": "b"}}],
                },
            },
        })
    );
}

#[test]
fn defaults_do_not_make_an_object_that_is_missing() {
    let mut advertisement = json!({"kind": "BGPAdvertisement"});
    apply_defaults("BGPAdvertisement", "v1beta1", &mut advertisement);
    assert_eq!(advertisement, json!({"kind": "BGPAdvertisement"}));
}

#[test]
fn errors_name_the_field_as_the_server_does() {
    let errors = validate(
        "BGPPeer",
        "v1beta2",
        &json!({"spec": {
            "peerPort": 16385,
            "holdTime": "90",
            "dynamicASN": "any",
            "nodeSelectors": [{}, {"matchExpressions": [{"key": "a", "operator": "in"}]}],
        }}),
    );
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    assert_eq!(texts[0], "spec.myASN: is required");
    assert_eq!(
        texts[1],
        r#"spec.dynamicASN: must be one of "internal", "external""#
    );
    assert!(texts[2].starts_with(r#"spec.holdTime: "90" does not match "#));
    assert!(texts[3].starts_with("spec.nodeSelectors[1].matchExpressions[0].operator: "));
    assert_eq!(texts[4], "spec.peerPort: must be at most 16384");
}

#[test]
fn an_object_of_many_errors_costs_a_bounded_number_of_messages() {
    let addresses: Vec<Value> = (0..256).map(Value::from).collect();
    let pool = json!({"spec": {"addresses": addresses}});
    assert_eq!(validate("IPAddressPool", "v1beta1", &pool).len(), 64);
    let addresses: Vec<Value> = (0..100_000).map(Value::from).collect();
    let pool = json!({"spec": {"addresses": addresses}});
    assert_eq!(validate("IPAddressPool", "v1beta1", &pool).len(), 1);
}

#[test]
fn a_time_is_one_of_rfc_3339() {
    let with = |time: &str| {
        json!({"status": {"conditions": [{
            "type": "a", "status": "True", "reason": "a", "message": "",
            "lastTransitionTime": time,
        }]}})
    };
    for time in [
        "2026-01-02T03:04:05Z",
        "2026-01-02t03:04:05.25z",
        "2026-01-02T03:04:05+02:00",
    ] {
        let errors = validate("ConfigurationState", "v1beta1", &with(time));
        assert_eq!(errors, [], "{time}");
    }
    for time in [
        "",
        "2026-01-02",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05+0200",
        "ßßßßßßßßßßßßßßßßßßßß",
    ] {
        let errors = validate("ConfigurationState", "v1beta1", &with(time));
        assert_eq!(errors.len(), 1, "{time}");
    }
}
