//! The walk over object and schema that finds what is wrong.
//!
//! Owns the messages. It goes on after an error, so that one look shows all of them, and stops
//! at [`ERRORS_MAX`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use regex::Regex;
use serde_json::Value;

use super::{FieldError, Schema, Shape};

/// Errors of one object. LIMIT: nobody reads more, and an object of a million bad items must not
/// cost a million messages.
const ERRORS_MAX: usize = 64;

/// Characters of a value that are repeated in a message.
const QUOTED_CHARS_MAX: usize = 80;

pub(super) fn check(
    schema: &Schema,
    value: &Value,
    path: &mut String,
    errors: &mut Vec<FieldError>,
) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match (&schema.shape, value) {
        (Shape::Boolean, Value::Bool(_)) => {}
        (Shape::Integer { min, max }, Value::Number(number)) => match number.as_i64() {
            Some(number) => check_range(number, *min, *max, path, errors),
            None => push(errors, path, "must be a whole number of 64 bits".to_owned()),
        },
        (Shape::Text { .. }, Value::String(text)) => {
            check_text(&schema.shape, text, path, errors);
        }
        (Shape::List { .. }, Value::Array(list)) => check_list(&schema.shape, list, path, errors),
        (Shape::Map { values }, Value::Object(fields)) => {
            for (name, field) in fields {
                under(path, &format!(".{name}"), |path| {
                    check(values, field, path, errors);
                });
            }
        }
        (
            Shape::Object {
                properties,
                required,
            },
            Value::Object(fields),
        ) => {
            for name in required.iter().filter(|name| !fields.contains_key(*name)) {
                under(path, &format!(".{name}"), |path| {
                    push(errors, path, "is required".to_owned());
                });
            }
            for (name, property) in properties {
                if let Some(field) = fields.get(name) {
                    under(path, &format!(".{name}"), |path| {
                        check(property, field, path, errors);
                    });
                }
            }
        }
        (shape, _) => push(
            errors,
            path,
            format!("must be of type {}, not {}", name_of(shape), kind_of(value)),
        ),
    }
    if !schema.enumeration.is_empty() && !schema.enumeration.contains(value) {
        push(errors, path, one_of(&schema.enumeration));
    }
}

fn check_range(
    number: i64,
    min: Option<i64>,
    max: Option<i64>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if let Some(min) = min.filter(|min| number < *min) {
        push(errors, path, format!("must be at least {min}"));
    }
    if let Some(max) = max.filter(|max| number > *max) {
        push(errors, path, format!("must be at most {max}"));
    }
}

fn check_text(shape: &Shape, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let Shape::Text {
        chars_min,
        chars_max,
        pattern,
        date_time,
    } = shape
    else {
        return;
    };
    let chars = text.chars().count() as u64;
    if let Some(min) = chars_min.filter(|min| chars < *min) {
        push(errors, path, format!("must have at least {min} characters"));
    }
    if let Some(max) = chars_max.filter(|max| chars > *max) {
        push(errors, path, format!("must have at most {max} characters"));
        return;
    }
    if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        push(
            errors,
            path,
            format!("{quoted:?} does not match {}", Regex::as_str(pattern)),
        );
    }
    if *date_time && !is_date_time(text) {
        push(
            errors,
            path,
            "must be a date and time (RFC 3339)".to_owned(),
        );
    }
}

fn check_list(shape: &Shape, list: &[Value], path: &mut String, errors: &mut Vec<FieldError>) {
    let Shape::List {
        items,
        items_min,
        items_max,
        keys,
    } = shape
    else {
        return;
    };
    let count = list.len() as u64;
    if let Some(min) = items_min.filter(|min| count < *min) {
        push(errors, path, format!("must have at least {min} items"));
    }
    if let Some(max) = items_max.filter(|max| count > *max) {
        push(errors, path, format!("must have at most {max} items"));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        under(path, &format!("[{index}]"), |path| {
            check(items, item, path, errors);
            let name: Vec<String> = keys
                .iter()
                .filter_map(|key| item.get(key).map(Value::to_string))
                .collect();
            if !keys.is_empty() && !seen.insert(name) {
                push(errors, path, format!("the same {} twice", keys.join(", ")));
            }
        });
    }
}

/// The shape of RFC 3339 §5.6; that the day exists is left to who reads it.
fn is_date_time(text: &str) -> bool {
    let (digits, rest) = match (text.get(..19), text.get(19..)) {
        (Some(digits), Some(rest)) => (digits, rest),
        _ => return false,
    };
    let shape: String = digits
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let zone = rest.strip_prefix('.').map_or(rest, |it| {
        it.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    let offset = |zone: &str| {
        zone.starts_with(['+', '-'])
            && zone.len() == 6
            && zone.chars().skip(1).enumerate().all(|(index, c)| {
                if index == 2 {
                    c == ':'
                } else {
                    c.is_ascii_digit()
                }
            })
    };
    shape.eq_ignore_ascii_case("0000-00-00T00:00:00")
        && (zone.eq_ignore_ascii_case("z") || offset(zone))
}

/// Does something one step further down, and takes the step back.
fn under(path: &mut String, step: &str, act: impl FnOnce(&mut String)) {
    let length = path.len();
    let step = if length == 0 {
        step.trim_start_matches('.')
    } else {
        step
    };
    path.push_str(step);
    act(path);
    path.truncate(length);
}

fn push(errors: &mut Vec<FieldError>, path: &str, message: String) {
    if errors.len() < ERRORS_MAX {
        errors.push(FieldError {
            path: path.to_owned(),
            message,
        });
    }
}

fn one_of(values: &[Value]) -> String {
    let mut text = "must be one of".to_owned();
    for (index, value) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma} {value}");
    }
    text
}

fn name_of(shape: &Shape) -> &'static str {
    match shape {
        Shape::Boolean => "boolean",
        Shape::Integer { .. } => "integer",
        Shape::Text { .. } => "string",
        Shape::List { .. } => "array",
        Shape::Object { .. } | Shape::Map { .. } => "object",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
