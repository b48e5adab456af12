//! Kubernetes label selectors: the raw form and matching.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// metav1.LabelSelector as written; all parts are ANDed, an empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    /// Pairs that must be there exactly.
    pub match_labels: BTreeMap<String, String>,
    /// Requirements by operator.
    pub match_expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`, operator unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`; anything else is refused by [`Selector::parse`].
    pub operator: String,
    /// Values of `In` and `NotIn`.
    pub values: Vec<String>,
}

/// A checked selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// Checks a raw selector as apimachinery's `LabelSelectorAsSelector` does;
    /// the error says which key or operator is wrong.
    pub fn parse(raw: &LabelSelector) -> Result<Self, String> {
        let mut terms = Vec::new();
        for (key, value) in &raw.match_labels {
            check_key(key)?;
            check_value(value)?;
            terms.push(Term::In(key.clone(), BTreeSet::from([value.clone()])));
        }
        for requirement in &raw.match_expressions {
            terms.push(Term::parse(requirement)?);
        }
        Ok(Self(terms))
    }

    /// Whether all terms hold. `NotIn` holds when the key is absent (as in apimachinery).
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|term| match term {
            Term::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Term::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Term::Exists(key) => labels.contains_key(key),
            Term::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

/// A list of selectors is an OR (MetalLB's rule for every selector list).
pub fn any_matches(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.iter().any(|selector| selector.matches(labels))
}

impl Term {
    fn parse(raw: &Requirement) -> Result<Self, String> {
        check_key(&raw.key)?;
        for value in &raw.values {
            check_value(value)?;
        }
        let values: BTreeSet<String> = raw.values.iter().cloned().collect();
        let key = raw.key.clone();
        match raw.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => Err(format!(
                "key {key:?}: operator {} needs at least one value",
                raw.operator
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => Err(format!(
                "key {key:?}: operator {} takes no values",
                raw.operator
            )),
            "In" => Ok(Self::In(key, values)),
            "NotIn" => Ok(Self::NotIn(key, values)),
            "Exists" => Ok(Self::Exists(key)),
            "DoesNotExist" => Ok(Self::DoesNotExist(key)),
            other => Err(format!(
                "key {key:?}: {other:?} is not a label selector operator"
            )),
        }
    }
}

/// LIMIT: apimachinery's bounds for label keys: 253 for the prefix, 63 for the name.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(|p| {
        !p.is_empty()
            && p.len() <= 253
            && p.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    });
    if prefix_fits && !name.is_empty() && qualified(name) {
        Ok(())
    } else {
        Err(format!("{key:?} is not a label key"))
    }
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || qualified(value) {
        Ok(())
    } else {
        Err(format!("{value:?} is not a label value"))
    }
}

fn qualified(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
