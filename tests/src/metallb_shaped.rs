//! Definitions shaped like MetalLB's, for takeover stories.
//!
//! Owns their making from `schema.tsv`: structure, defaults, columns and rules as the table has
//! them, and BGPPeer with a conversion webhook that nobody serves. They are not MetalLB's text.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::schema_table::{Row, SCHEMA, parse};

/// The namespace in which MetalLB's webhook Service stands.
pub const NAMESPACE: &str = "metallb-system";

/// One definition for each kind of the table, in the order of their names.
pub fn metallb_crds() -> Vec<CustomResourceDefinition> {
    let table = parse(SCHEMA);
    let mut crds: BTreeMap<String, Value> = BTreeMap::new();
    // In the table's own order: a kind comes before what is said of it.
    for line in SCHEMA.lines().filter_map(|line| line.strip_prefix('@')) {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells[..] {
            ["kind", kind, group, scope, plural, singular, _] => {
                let crd = definition(kind, group, scope, plural, singular);
                crds.insert(kind.to_owned(), crd);
            }
            ["version", kind, version, served, storage, _, deprecated] => {
                let mut value = json!({
                    "name": version,
                    "served": served == "yes",
                    "storage": storage == "yes",
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema(kind, version, &table.rows)},
                    "additionalPrinterColumns": [],
                });
                if deprecated == "yes" {
                    value["deprecated"] = json!(true);
                    value["deprecationWarning"] =
                        json!("v1beta1 is deprecated, please use v1beta2");
                }
                push(&mut crds, kind, "/spec/versions", value);
            }
            ["conversion", kind, "Webhook"] => {
                let crd = crds.get_mut(kind).expect("the kind comes first");
                crd["spec"]["conversion"] = webhook();
            }
            ["conversion", ..] => {}
            ["column", kind, version, name, of, path, priority] => {
                let crd = crds.get(kind).expect("the kind comes first");
                let versions = crd["spec"]["versions"].as_array().expect("a list");
                let index = versions
                    .iter()
                    .position(|it| it["name"] == version)
                    .expect("the version comes first");
                let priority: i32 = priority.parse().expect("a priority is a number");
                let column =
                    json!({"name": name, "type": of, "jsonPath": path, "priority": priority});
                let at = format!("/spec/versions/{index}/additionalPrinterColumns");
                push(&mut crds, kind, &at, column);
            }
            _ => panic!("unknown line of the table: {line:?}"),
        }
    }
    crds.into_values()
        .map(|crd| serde_json::from_value(crd).expect("a definition"))
        .collect()
}

fn push(crds: &mut BTreeMap<String, Value>, kind: &str, at: &str, value: Value) {
    let crd = crds.get_mut(kind).expect("the kind comes first");
    let list = crd.pointer_mut(at).and_then(Value::as_array_mut);
    list.expect("a list").push(value);
}

fn definition(kind: &str, group: &str, scope: &str, plural: &str, singular: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"controller-gen.kubebuilder.io/version": "v0.19.0"},
        },
        "spec": {
            "group": group,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": singular,
            },
            "scope": scope,
            "versions": [],
        },
    })
}

fn webhook() -> Value {
    json!({
        "strategy": "Webhook",
        "webhook": {
            "clientConfig": {
                "service": {
                    "name": "metallb-webhook-service",
                    "namespace": NAMESPACE,
                    "path": "/convert",
                },
            },
            "conversionReviewVersions": ["v1beta1", "v1beta2"],
        },
    })
}

/// The schema of one version, grown row by row.
fn schema<'a>(kind: &str, version: &str, rows: impl IntoIterator<Item = &'a Row>) -> Value {
    let mut root = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
        },
    });
    let prefix = format!("{kind}\t{version}\t");
    // Rows are ordered by path, so an object comes before its fields.
    for row in rows {
        if let Some(path) = row.name.strip_prefix(&prefix) {
            grow(&mut root, path, row);
        }
    }
    root
}

fn grow(root: &mut Value, path: &str, row: &Row) {
    let (parent, leaf) = if let Some(parent) = path.strip_suffix("[]") {
        (parent, "[]")
    } else if let Some((parent, leaf)) = path.rsplit_once('.') {
        (parent, leaf)
    } else {
        ("", path)
    };
    let here = descend(root, parent);
    match leaf {
        "[]" => here["items"] = node(row),
        "*" => here["additionalProperties"] = node(row),
        _ => {
            here["properties"][leaf] = node(row);
            if row.required {
                let list = here["required"].take();
                let mut list = list.as_array().cloned().unwrap_or_default();
                list.push(json!(leaf));
                here["required"] = json!(list);
            }
        }
    }
}

fn descend<'a>(root: &'a mut Value, path: &str) -> &'a mut Value {
    let mut here = root;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_end_matches("[]");
        here = match name {
            "*" => &mut here["additionalProperties"],
            _ => &mut here["properties"][name],
        };
        for _ in 0..part.matches("[]").count() {
            here = &mut here["items"];
        }
    }
    here
}

fn node(row: &Row) -> Value {
    let (of, format) = row.shape.split_once('/').unwrap_or((&row.shape, ""));
    let mut node = json!({"type": of});
    if !format.is_empty() {
        node["format"] = json!(format);
    }
    let [default, choice, min, max] = &row.values;
    if default != "-" {
        node["default"] = serde_json::from_str(default).expect("a default is JSON");
    }
    if choice != "-" {
        node["enum"] = choice.split(',').collect();
    }
    for (key, bound) in [("minimum", min), ("maximum", max)] {
        if bound != "-" {
            node[key] = json!(bound.parse::<i64>().expect("a bound is a number"));
        }
    }
    for fact in &row.facts {
        add(&mut node, fact);
    }
    node
}

fn add(node: &mut Value, fact: &str) {
    let count = |rest: &str| json!(rest.parse::<u64>().expect("a length is a number"));
    if let Some(rest) = fact.strip_prefix("min items ") {
        node["minItems"] = count(rest);
    } else if let Some(rest) = fact.strip_prefix("min length ") {
        node["minLength"] = count(rest);
    } else if let Some(rest) = fact.strip_prefix("max length ") {
        node["maxLength"] = count(rest);
    } else if let Some(rest) = fact.strip_prefix("pattern ") {
        node["pattern"] = json!(rest);
    } else if let Some(rest) = fact.strip_prefix("map-type=") {
        node["x-kubernetes-map-type"] = json!(rest);
    } else if let Some(rest) = fact.strip_prefix("list-type=") {
        node["x-kubernetes-list-type"] = json!(rest);
    } else if let Some(rest) = fact.strip_prefix("list-map-keys=") {
        node["x-kubernetes-list-map-keys"] = json!([rest]);
    } else {
        let rule = json!({"rule": rule(fact), "message": fact});
        let list = node["x-kubernetes-validations"].take();
        let mut list = list.as_array().cloned().unwrap_or_default();
        list.push(rule);
        node["x-kubernetes-validations"] = json!(list);
    }
}

/// The table tells rules in words; here is what they come to.
fn rule(words: &str) -> &'static str {
    match words {
        "cannot be changed once set" => "self == oldSelf",
        "duration from 1 s to 65535 s" => {
            "duration(self) >= duration('1s') && duration(self) <= duration('65535s')"
        }
        "whole number of seconds" => "duration(self).getMilliseconds() % 1000 == 0",
        "non-empty serviceSelectors only with aggregationLength 32 or absent and aggregationLengthV6 128 or absent" => {
            "!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || ((!has(self.aggregationLength) || self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))"
        }
        _ => panic!("the table has a rule that nobody has put in CEL: {words}"),
    }
}
