//! Pieces of schema that several kinds share, and what a derive cannot say.
//!
//! Owns label selectors, the patterns, the removal of what schemars adds and MetalLB's schemas do
//! not have, and the trick by which an object without `spec` can be read. It does not know any
//! kind: that is [`crate::crds`].

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::bounds::{EXPRESSIONS_MAX, LABEL_KEY_CHARS_MAX, LABEL_VALUE_CHARS_MAX, SELECTORS_MAX};

/// What Go's `time.ParseDuration` reads, but for numbers that overflow it.
pub(crate) const DURATION: &str =
    "^[-+]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";

/// A label key: an optional DNS prefix and a name.
pub(crate) const QUALIFIED_NAME: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

/// A label value; may be empty.
pub(crate) const LABEL_VALUE: &str = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// The operators of a label selector. A pattern, because MetalLB's schema has no enum here.
pub(crate) const SELECTOR_OPERATOR: &str = "^(In|NotIn|Exists|DoesNotExist)$";

/// An integer of no stated width.
pub(crate) fn integer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer"})
}

/// A list of label selectors.
pub(crate) fn selectors(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": SELECTORS_MAX,
        "items": selector(generator),
    })
}

/// A label selector.
pub(crate) fn selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": match_labels(),
            "matchExpressions": {
                "type": "array",
                "x-kubernetes-list-type": "atomic",
                "maxItems": EXPRESSIONS_MAX,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": label_key(),
                        "operator": {"type": "string", "pattern": SELECTOR_OPERATOR},
                        "values": {
                            "type": "array",
                            "x-kubernetes-list-type": "atomic",
                            "items": label_value(),
                        },
                    },
                },
            },
        },
    })
}

/// The node selectors of BGPPeer v1beta1: a structure of its own, which wants at least one value.
pub(crate) fn legacy_node_selectors(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": SELECTORS_MAX,
        "items": {
            "type": "object",
            "properties": {
                "matchLabels": match_labels(),
                "matchExpressions": {
                    "type": "array",
                    "maxItems": EXPRESSIONS_MAX,
                    "items": {
                        "type": "object",
                        "required": ["key", "operator", "values"],
                        "properties": {
                            "key": label_key(),
                            "operator": {"type": "string", "pattern": SELECTOR_OPERATOR},
                            "values": {"type": "array", "minItems": 1, "items": label_value()},
                        },
                    },
                },
            },
        },
    })
}

fn match_labels() -> Value {
    serde_json::json!({"type": "object", "additionalProperties": label_value()})
}

fn label_key() -> Value {
    serde_json::json!({
        "type": "string",
        "maxLength": LABEL_KEY_CHARS_MAX,
        "pattern": QUALIFIED_NAME,
    })
}

fn label_value() -> Value {
    serde_json::json!({
        "type": "string",
        "maxLength": LABEL_VALUE_CHARS_MAX,
        "pattern": LABEL_VALUE,
    })
}

/// Removes what schemars adds to every schema and MetalLB's do not have: `nullable` and titles.
pub(crate) fn strip(schema: &mut Value) {
    let Value::Object(object) = schema else {
        return;
    };
    object.remove("nullable");
    object.remove("title");
    for key in ["items", "additionalProperties"] {
        if let Some(child) = object.get_mut(key) {
            strip(child);
        }
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(strip);
        if properties.is_empty() {
            object.remove("properties");
        }
    }
}

/// The subschema at a path of schema.tsv's spelling (`spec.addresses[]`, `.` for the whole).
pub(crate) fn at_path<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Map<String, Value>> {
    let mut here = schema;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_end_matches("[]");
        here = match name {
            "*" => here.get_mut("additionalProperties")?,
            _ => here.get_mut("properties")?.get_mut(name)?,
        };
        for _ in 0..part.matches("[]").count() {
            here = here.get_mut("items")?;
        }
    }
    here.as_object_mut()
}

/// Reads an absent or null `spec` as the default one, which MetalLB's schemas allow for all kinds
/// but IPAddressPool, and kube's derive does not: the derives write to the type itself
/// (`remote = "Self"`), and the traits go through an option.
macro_rules! absent_is_default {
    ($spec:ty) => {
        impl serde::Serialize for $spec {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$spec>::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $spec {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct OrDefault;

                impl<'de> serde::de::Visitor<'de> for OrDefault {
                    type Value = $spec;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a spec, or none")
                    }

                    fn visit_none<E>(self) -> Result<Self::Value, E> {
                        Ok(Default::default())
                    }

                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok(Default::default())
                    }

                    fn visit_some<D: serde::Deserializer<'de>>(
                        self,
                        deserializer: D,
                    ) -> Result<Self::Value, D::Error> {
                        <$spec>::deserialize(deserializer)
                    }
                }

                deserializer.deserialize_option(OrDefault)
            }
        }
    };
}

pub(crate) use absent_is_default;
