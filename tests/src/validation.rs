//! `data/validation.yaml`: objects, and what becomes of each when it is written.
//!
//! Owns the reading of the table and its abbreviations. Who judges the objects (the check of
//! `api`, the engine, an API server) is each test's.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The verdict that an object must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is taken.
    Ok,
    /// The schema refuses this field.
    Field(String),
    /// The schema takes it and the rule of this id refuses it.
    Rule(String),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is, with kind and version.
    pub is: String,
    /// The object's kind.
    pub kind: String,
    /// The object's version.
    pub version: String,
    /// What it was before, for rules that compare.
    pub before: Option<Value>,
    /// The whole object, with apiVersion, kind and metadata (name `case`, our namespace).
    pub object: Value,
    /// The verdict.
    pub expect: Expect,
}

/// Every case, abbreviations written out.
pub fn cases() -> Vec<Case> {
    let text = include_str!("../data/validation.yaml");
    let lines: Vec<Line> = serde_saphyr::from_str(text).expect("the table is YAML");
    lines.into_iter().map(Case::from).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    is: String,
    kind: String,
    version: String,
    before: Option<Value>,
    object: Value,
    expect: String,
}

impl From<Line> for Case {
    fn from(line: Line) -> Self {
        let expect = match line.expect.split_once(' ') {
            None if line.expect == "ok" => Expect::Ok,
            Some(("field", path)) => Expect::Field(path.to_owned()),
            Some(("rule", id)) => Expect::Rule(id.to_owned()),
            _ => panic!("{}: no verdict is called {:?}", line.is, line.expect),
        };
        Self {
            is: format!("{} {}: {}", line.kind, line.version, line.is),
            before: line.before.map(|it| whole(&line.kind, &line.version, it)),
            object: whole(&line.kind, &line.version, line.object),
            kind: line.kind,
            version: line.version,
            expect,
        }
    }
}

fn whole(kind: &str, version: &str, body: Value) -> Value {
    let group = match kind {
        "FrontProfile" => api::OWN_GROUP,
        _ => api::GROUP,
    };
    let mut object = json!({
        "apiVersion": format!("{group}/{version}"),
        "kind": kind,
        "metadata": {"name": "case", "namespace": "metallb-system"},
    });
    let Value::Object(body) = write_out(body) else {
        panic!("an object is a mapping");
    };
    object.as_object_mut().expect("made above").extend(body);
    object
}

fn write_out(value: Value) -> Value {
    match value {
        Value::Array(items) => match items.as_slice() {
            [Value::Object(one)] if one.contains_key("many") => many(one),
            _ => items.into_iter().map(write_out).collect(),
        },
        Value::Object(fields) if fields.contains_key("long") => long(&fields),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, write_out(field)))
            .collect(),
        other => other,
    }
}

fn many(one: &Map<String, Value>) -> Value {
    let count = one["many"].as_u64().expect("many is a number");
    (0..count)
        .map(|index| write_out(replace(&one["of"], &index.to_string())))
        .collect()
}

fn replace(value: &Value, index: &str) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace("{}", index)),
        Value::Array(items) => items.iter().map(|item| replace(item, index)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), replace(field, index)))
            .collect(),
        other => other.clone(),
    }
}

fn long(fields: &Map<String, Value>) -> Value {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or("");
    let count = fields["long"].as_u64().expect("long is a number");
    let count = usize::try_from(count).expect("long is small");
    Value::from(format!(
        "{}{}{}",
        text("start"),
        text("of").repeat(count),
        text("end")
    ))
}
