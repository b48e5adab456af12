//! The CustomResourceDefinitions, as values and as YAML.
//!
//! Owns the assembly: derived schema, less what schemars adds, plus the rules and the conversion
//! strategy. It does not apply them to a server.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition,
};
use kube::core::crd::merge_crds;
use kube::{CustomResourceExt, core::crd::MergeError};
use serde_json::{Value, json};

use crate::{rules, schema};

/// The one kind of which MetalLB's schema requires a spec.
const SPEC_REQUIRED: &str = "IPAddressPool";

/// Every definition, in the order of the kinds' names.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let peer: Result<_, MergeError> = merge_crds(
        vec![crate::v1beta1::BGPPeer::crd(), crate::BGPPeer::crd()],
        "v1beta2",
    );
    let mut crds = vec![
        crate::BFDProfile::crd(),
        crate::BGPAdvertisement::crd(),
        peer.expect("both versions of BGPPeer have one group, kind and scope"),
        crate::BGPSessionState::crd(),
        crate::Community::crd(),
        crate::ConfigurationState::crd(),
        crate::FrontProfile::crd(),
        crate::IPAddressPool::crd(),
        crate::L2Advertisement::crd(),
        crate::ServiceBGPStatus::crd(),
        crate::ServiceL2Status::crd(),
    ];
    crds.iter_mut().for_each(finish);
    crds
}

/// Every definition as one YAML stream, as `kubectl apply -f` takes it.
pub fn crds_yaml() -> String {
    let documents: Vec<String> = crds()
        .iter()
        .map(|crd| {
            let mut value = serde_json::to_value(crd).expect("a definition is JSON");
            whole_numbers(&mut value);
            serde_saphyr::to_string(&value).expect("JSON is YAML")
        })
        .collect();
    format!("---\n{}", documents.join("---\n"))
}

/// Makes a derived definition ours: what derive cannot say, and the rules.
fn finish(crd: &mut CustomResourceDefinition) {
    crd.spec.conversion = Some(CustomResourceConversion {
        strategy: "None".to_owned(),
        webhook: None,
    });
    let kind = crd.spec.names.kind.clone();
    for version in &mut crd.spec.versions {
        let Some(validation) = &mut version.schema else {
            continue;
        };
        let mut root =
            serde_json::to_value(&validation.open_api_v3_schema).expect("a schema is JSON");
        schema::strip(&mut root);
        if kind != SPEC_REQUIRED
            && let Value::Object(root) = &mut root
        {
            root.remove("required");
        }
        add_rules(&mut root, &kind, &version.name);
        validation.open_api_v3_schema =
            serde_json::from_value(root).expect("a schema with rules is a schema");
    }
}

fn add_rules(root: &mut Value, kind: &str, version: &str) {
    let own = rules()
        .iter()
        .filter(|rule| rule.kind == kind && rule.version == version);
    for rule in own {
        let place = schema::at_path(root, rule.path).expect("each rule's path is in its schema");
        let list = place
            .entry("x-kubernetes-validations")
            .or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"rule": rule.expression, "message": rule.message}));
        }
    }
}

/// Writes 10 for 10.0: bounds are floats in the Rust type and whole numbers in ours.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) => {
            if let Some(float) = number.as_f64()
                && number.is_f64()
                && float.fract() == 0.0
                && float.abs() < (1_u64 << 53) as f64
            {
                *value = json!(float as i64);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
