//! What an API server, or its controllers, would have filled in (design: cli.md, `plan`).

use super::Objects;
use engine::name::Kind;
use engine::world::Family;
use serde_json::{Value, json};

/// The family of a Service that does not say: IPv4, or IPv6 where only such pools exist.
pub(super) fn default_families(objects: &Objects) -> Family {
    let mut entries = objects
        .iter()
        .filter(|((kind, _), object)| *kind == Kind::IpAddressPool && object.refused.is_none())
        .filter_map(|(_, object)| object.value.pointer("/spec/addresses")?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .peekable();
    if entries.peek().is_some() && entries.all(|entry| entry.contains(':')) {
        Family::V6
    } else {
        Family::V4
    }
}

/// Fills in `ipFamilies`, `ipFamilyPolicy` and `clusterIPs` of a Service without cluster address.
/// The addresses are the unspecified ones: only their family is ever read.
pub(super) fn families(service: &mut Value, default: Family) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let has = |field: &str| match spec.get(field) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    if has("clusterIP") || has("clusterIPs") || has("externalName") {
        return;
    }
    let mut families: Vec<Family> = match spec.get("ipFamilies").and_then(Value::as_array) {
        Some(list) => {
            let known = list.iter().filter_map(|family| match family.as_str()? {
                "IPv4" => Some(Family::V4),
                "IPv6" => Some(Family::V6),
                _ => None,
            });
            let known: Vec<Family> = known.collect();
            if known.len() != list.len() {
                // Left for the conversion to refuse.
                return;
            }
            known
        }
        None => Vec::new(),
    };
    if families.is_empty() {
        families.push(default);
    }
    let policy = match spec.get("ipFamilyPolicy").and_then(Value::as_str) {
        Some(policy) => policy.to_owned(),
        // As the server infers it.
        None if families.len() > 1 => "RequireDualStack".to_owned(),
        None => "SingleStack".to_owned(),
    };
    match policy.as_str() {
        "SingleStack" => families.truncate(1),
        _ if families == [Family::V4] => families.push(Family::V6),
        _ if families == [Family::V6] => families.push(Family::V4),
        _ => {}
    }
    let addresses: Vec<&str> = families
        .iter()
        .map(|family| match family {
            Family::V4 => "0.0.0.0",
            Family::V6 => "::",
        })
        .collect();
    let names: Vec<&str> = families.iter().map(|family| family.as_str()).collect();
    let derived = [
        ("clusterIPs", json!(addresses)),
        ("ipFamilies", json!(names)),
        ("ipFamilyPolicy", json!(policy)),
    ];
    for (field, value) in derived {
        spec.insert(field.to_owned(), value);
    }
}
