//! What happens to an object before it is checked: pruning, and defaults.
//!
//! Owns the order, which is the server's: unknown fields and nulls without a default go, then
//! defaults come. Recursion follows the schema, so its depth is ours and not the object's.

use serde_json::Value;

use super::{Schema, Shape};

/// Fields of every object that no schema of ours lists.
const OBJECT_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

pub(super) fn prune_root(schema: &Schema, object: &mut Value, unknown: &mut Vec<String>) {
    let Value::Object(fields) = object else {
        return;
    };
    let kept: Vec<_> = OBJECT_FIELDS
        .iter()
        .filter_map(|name| fields.remove_entry(*name))
        .collect();
    prune(schema, object, "", unknown);
    if let Value::Object(fields) = object {
        fields.extend(kept);
    }
}

fn prune(schema: &Schema, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match (&schema.shape, value) {
        (Shape::Object { properties, .. }, Value::Object(fields)) => {
            fields.retain(|name, field| {
                let child = join(path, name);
                let Some(property) = properties.get(name) else {
                    unknown.push(child);
                    return false;
                };
                if field.is_null() {
                    return property.default.is_some();
                }
                prune(property, field, &child, unknown);
                true
            });
        }
        (Shape::Map { values }, Value::Object(fields)) => {
            for (name, field) in fields.iter_mut() {
                prune(values, field, &join(path, name), unknown);
            }
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            for (index, item) in list.iter_mut().enumerate() {
                prune(items, item, &format!("{path}[{index}]"), unknown);
            }
        }
        (Shape::Integer { .. }, value) => whole(value),
        _ => {}
    }
}

/// `3.0` is an integer to the server, which stores it as `3`.
fn whole(value: &mut Value) {
    if let Some(float) = value.as_f64()
        && !value.is_i64()
        && !value.is_u64()
        && float.fract() == 0.0
        && float.abs() < (1_u64 << 53) as f64
    {
        *value = Value::from(float as i64);
    }
}

/// Fills in defaults, in objects that are there: a missing object stays missing.
pub(super) fn fill(schema: &Schema, value: &mut Value) {
    match (&schema.shape, value) {
        (Shape::Object { properties, .. }, Value::Object(fields)) => {
            for (name, property) in properties {
                if let Some(default) = &property.default
                    && fields.get(name).is_none_or(Value::is_null)
                {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(property, field);
                }
            }
        }
        (Shape::Map { values }, Value::Object(fields)) => {
            fields.values_mut().for_each(|field| fill(values, field));
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            list.iter_mut().for_each(|item| fill(items, item));
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}
