//! `schema.tsv`, the structure of MetalLB's definitions, and the same table made from any
//! definitions.
//!
//! Owns the reading of the table and the flattening of CustomResourceDefinitions to its rows, so
//! that two sets of definitions can be compared line by line. It does not judge differences.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// The table as it is kept beside the tests.
pub const SCHEMA: &str = include_str!("../schema.tsv");

/// One field of one version of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Kind, version and path, tab-separated: what the row is about.
    pub name: String,
    /// `type/format`.
    pub shape: String,
    /// Whether its object must have it.
    pub required: bool,
    /// Default, enum, min and max, as written in the table.
    pub values: [String; 4],
    /// Everything else: merge rules, lengths, patterns, rules.
    pub facts: BTreeSet<String>,
}

/// A whole set of definitions, flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The lines that start with `@`, without it.
    pub kinds: BTreeSet<String>,
    /// The fields.
    pub rows: BTreeSet<Row>,
}

/// Reads the table's text.
pub fn parse(text: &str) -> Table {
    let mut table = Table::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(kind) = line.strip_prefix('@') {
            table.kinds.insert(kind.to_owned());
            continue;
        }
        let cells: Vec<&str> = line.split('\t').collect();
        let [
            kind,
            version,
            path,
            shape,
            required,
            default,
            choice,
            min,
            max,
            rules,
        ] = cells[..]
        else {
            panic!("a row of the table has ten cells: {line:?}");
        };
        table.rows.insert(Row {
            name: format!("{kind}\t{version}\t{path}"),
            shape: shape.to_owned(),
            required: required == "yes",
            values: [default, choice, min, max].map(str::to_owned),
            facts: rules
                .split("; ")
                .filter(|it| *it != "-")
                .map(str::to_owned)
                .collect(),
        });
    }
    table
}

/// Makes the table of some definitions.
pub fn flatten(crds: &[CustomResourceDefinition]) -> Table {
    let mut table = Table::default();
    for crd in crds {
        let kind = &crd.spec.names.kind;
        let names = &crd.spec.names;
        table.kinds.insert(format!(
            "kind\t{kind}\t{}\t{}\t{}\t{}\t{}",
            crd.spec.group,
            crd.spec.scope,
            names.plural,
            names.singular.as_deref().unwrap_or("-"),
            names
                .short_names
                .as_ref()
                .map_or("-".to_owned(), |it| it.join(",")),
        ));
        let conversion = crd.spec.conversion.as_ref();
        let strategy = conversion.map_or("None", |it| &it.strategy);
        table
            .kinds
            .insert(format!("conversion\t{kind}\t{strategy}"));
        for version in &crd.spec.versions {
            let status = version
                .subresources
                .as_ref()
                .and_then(|it| it.status.as_ref());
            table.kinds.insert(format!(
                "version\t{kind}\t{}\t{}\t{}\t{}\t{}",
                version.name,
                yes(version.served),
                yes(version.storage),
                yes(status.is_some()),
                yes(version.deprecated == Some(true)),
            ));
            for column in version.additional_printer_columns.iter().flatten() {
                table.kinds.insert(format!(
                    "column\t{kind}\t{}\t{}\t{}\t{}\t{}",
                    version.name,
                    column.name,
                    column.type_,
                    column.json_path,
                    column.priority.unwrap_or(0)
                ));
            }
            let schema = version.schema.as_ref().map(|it| &it.open_api_v3_schema);
            let root = serde_json::to_value(schema).expect("a schema is JSON");
            let prefix = format!("{kind}\t{}\t", version.name);
            fields(&root, &prefix, "", &mut table.rows);
        }
    }
    table
}

fn yes(it: bool) -> &'static str {
    if it { "yes" } else { "no" }
}

fn fields(object: &Value, prefix: &str, path: &str, rows: &mut BTreeSet<Row>) {
    let required = texts(object, "required");
    let properties = object.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            continue;
        }
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}");
        field(property, prefix, &path, required.contains(name), rows);
    }
}

fn field(schema: &Value, prefix: &str, path: &str, required: bool, rows: &mut BTreeSet<Row>) {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or("-");
    let number = |key: &str| {
        let number = schema.get(key).and_then(Value::as_f64);
        number.map_or("-".to_owned(), |it| it.to_string())
    };
    let format = match text("format") {
        "-" => String::new(),
        format => format!("/{format}"),
    };
    let choice = texts(schema, "enum").join(",");
    rows.insert(Row {
        name: format!("{prefix}{path}"),
        shape: format!("{}{format}", text("type")),
        required,
        values: [
            schema
                .get("default")
                .map_or("-".to_owned(), Value::to_string),
            if choice.is_empty() {
                "-".to_owned()
            } else {
                choice
            },
            number("minimum"),
            number("maximum"),
        ],
        facts: facts(schema),
    });
    fields(schema, prefix, path, rows);
    if let Some(items) = schema.get("items") {
        field(items, prefix, &format!("{path}[]"), false, rows);
    }
    if let Some(values) = schema.get("additionalProperties") {
        field(values, prefix, &format!("{path}.*"), false, rows);
    }
}

/// What the table's last column says. Rules are written as `rule MESSAGE`.
fn facts(schema: &Value) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for (key, words) in [
        ("minItems", "min items"),
        ("maxItems", "max items"),
        ("minLength", "min length"),
        ("maxLength", "max length"),
    ] {
        if let Some(count) = schema.get(key) {
            facts.insert(format!("{words} {count}"));
        }
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        facts.insert(format!("pattern {pattern}"));
    }
    for key in ["map-type", "list-type"] {
        let value = schema.get(format!("x-kubernetes-{key}"));
        if let Some(value) = value.and_then(Value::as_str) {
            facts.insert(format!("{key}={value}"));
        }
    }
    let keys = texts(schema, "x-kubernetes-list-map-keys").join(",");
    if !keys.is_empty() {
        facts.insert(format!("list-map-keys={keys}"));
    }
    if schema.get("nullable").is_some() {
        facts.insert("nullable".to_owned());
    }
    let rules = schema.get("x-kubernetes-validations");
    for rule in rules.and_then(Value::as_array).into_iter().flatten() {
        let message = rule.get("message").and_then(Value::as_str);
        facts.insert(format!("rule {}", message.unwrap_or("-")));
    }
    facts
}

fn texts(schema: &Value, key: &str) -> Vec<String> {
    let list = schema.get(key).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect()
}
