//! The check of an object against our own schemas, for objects that come from no API server.
//!
//! Owns what a server does before it stores an object: unknown fields and nulls are removed,
//! defaults filled in, then types, formats, bounds, patterns and enums are checked. It knows the
//! keywords that our schemas use and no others (a test holds that), and it does not evaluate the
//! rules (CEL): those have twins in the engine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

mod check;
mod prepare;
#[cfg(test)]
mod tests;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field, as the API server writes it: `spec.addresses[0]`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Checks an object as the API server would, but for the rules (CEL). Empty: nothing is wrong.
///
/// Call [`apply_defaults`] first, as the server does. A kind or version that is not ours is one
/// error without a path.
pub fn validate(kind: &str, version: &str, object: &Value) -> Vec<FieldError> {
    let Some(schema) = schema_of(kind, version) else {
        return vec![FieldError {
            path: String::new(),
            message: format!("no kind {kind} in {}/{version}", crate::GROUP),
        }];
    };
    let mut errors = Vec::new();
    check::check(schema, object, &mut String::new(), &mut errors);
    errors
}

/// Does what the API server does before it validates: removes fields that the schema does not
/// have and nulls, writes numbers like `3.0` as whole ones, and fills in defaults.
///
/// Returns the paths of the unknown fields. An object of a kind that is not ours stays as it is.
pub fn apply_defaults(kind: &str, version: &str, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(schema) = schema_of(kind, version) {
        prepare::prune_root(schema, object, &mut unknown);
        prepare::fill(schema, object);
    }
    unknown
}

/// The part of structural schemas that ours use, ready to be checked against.
#[derive(Debug, Default)]
struct Schema {
    shape: Shape,
    enumeration: Vec<Value>,
    default: Option<Value>,
}

/// The types of JSON, each with its own bounds.
#[derive(Debug, Default)]
enum Shape {
    #[default]
    Boolean,
    Integer {
        min: Option<i64>,
        max: Option<i64>,
    },
    Text {
        chars_min: Option<u64>,
        chars_max: Option<u64>,
        pattern: Option<Regex>,
        date_time: bool,
    },
    List {
        items: Box<Schema>,
        items_min: Option<u64>,
        items_max: Option<u64>,
        /// The fields that name an item (`x-kubernetes-list-type: map`); empty for other lists.
        keys: Vec<String>,
    },
    Object {
        properties: BTreeMap<String, Schema>,
        required: Vec<String>,
    },
    Map {
        values: Box<Schema>,
    },
}

type Schemas = BTreeMap<(String, String), Schema>;

fn schema_of(kind: &str, version: &str) -> Option<&'static Schema> {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS
        .get_or_init(compile_all)
        .get(&(kind.to_owned(), version.to_owned()))
}

fn compile_all() -> Schemas {
    let mut schemas = BTreeMap::new();
    for crd in crate::crds() {
        for version in crd.spec.versions {
            let root = version.schema.and_then(|it| it.open_api_v3_schema);
            let root = serde_json::to_value(root).expect("a schema is JSON");
            let key = (crd.spec.names.kind.clone(), version.name);
            schemas.insert(key, compile(&root));
        }
    }
    schemas
}

fn compile(schema: &Value) -> Schema {
    Schema {
        shape: shape(schema),
        enumeration: schema
            .get("enum")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default(),
        default: schema.get("default").cloned(),
    }
}

fn shape(schema: &Value) -> Shape {
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => integer(schema),
        Some("string") => Shape::Text {
            chars_min: count(schema, "minLength"),
            chars_max: count(schema, "maxLength"),
            pattern: schema.get("pattern").and_then(Value::as_str).map(|text| {
                Regex::new(text).expect("our patterns are in the syntax that Go and regex share")
            }),
            date_time: schema.get("format") == Some(&Value::from("date-time")),
        },
        Some("array") => Shape::List {
            items: Box::new(compile(&schema["items"])),
            items_min: count(schema, "minItems"),
            items_max: count(schema, "maxItems"),
            keys: texts(schema, "x-kubernetes-list-map-keys"),
        },
        Some("object") => match schema.get("additionalProperties") {
            Some(values) => Shape::Map {
                values: Box::new(compile(values)),
            },
            None => Shape::Object {
                properties: schema
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                    .map(|(name, property)| (name.clone(), compile(property)))
                    .collect(),
                required: texts(schema, "required"),
            },
        },
        _ => Shape::Boolean,
    }
}

/// Bounds only: an API server does not hold a number to `format: int32` (tried on 1.33), and
/// neither do we.
fn integer(schema: &Value) -> Shape {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64).map(|it| it as i64);
    Shape::Integer {
        min: bound("minimum"),
        max: bound("maximum"),
    }
}

fn count(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

fn texts(schema: &Value, name: &str) -> Vec<String> {
    let list = schema.get(name).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}
