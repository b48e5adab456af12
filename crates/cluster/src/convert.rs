//! Kubernetes objects as text to the engine's types.
//!
//! Owns the lean shapes of the core kinds (only the fields that are read; `managedFields` and
//! foreign annotations are dropped while parsing, so ten thousand Services stay small) and one
//! conversion per kind, shared by both sources. It judges nothing that needs a second object, and
//! no value that `engine::config` can judge: raw specs pass as written.

mod bfd_profile;
mod bgp_advertisement;
mod bgp_peer;
mod bgp_status;
mod community;
mod config_map;
mod configuration_state;
mod endpoint_slice;
mod front_profile;
mod l2_advertisement;
mod l2_status;
mod meta;
mod namespace;
mod node;
mod pod;
mod pool;
pub(crate) mod protobuf;
mod secret;
mod selector;
mod service;
mod session_state;
#[cfg(test)]
mod tests;

pub(crate) use meta::Meta;

use engine::name::{Kind, NamespacedName};
use engine::problem::{Problem, Severity, reason};
use engine::world::{Change, Delta, Object, Origin, Stored};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A field that cannot be read as its kind wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// Path of the field, as kubectl writes it (`spec.ports[0].port`).
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl FieldError {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() || self.path == "." {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Reads an object in the API server's binary form.
pub(crate) type FromProtobuf<R> = fn(&[u8]) -> Result<R, prost::DecodeError>;

/// The lean shape of a kind, as it is parsed.
pub(crate) trait Raw: DeserializeOwned + Send + 'static {
    /// For the kinds there are thousands of: the server makes a list of them in a third of the time, and it is a
    /// third as long. None: the kind is always asked for as JSON, which is the only form of custom resources.
    const FROM_PROTOBUF: Option<FromProtobuf<Self>> = None;
    /// Its metadata.
    fn meta(&self) -> &Meta;
}

/// A kind of which only the metadata and the spec are read.
#[derive(Debug, Deserialize)]
#[serde(bound = "S: serde::de::DeserializeOwned + Default")]
pub(crate) struct WithSpec<S> {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: S,
}

impl<S: DeserializeOwned + Default + Send + 'static> Raw for WithSpec<S> {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// A kind of the engine that comes from an object of Kubernetes.
pub(crate) trait Convert: Object + PartialEq + Clone + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
    /// Its lean shape.
    type Raw: Raw;
    /// Reads the fields; the error names the field.
    fn convert(raw: Self::Raw) -> Result<Self, FieldError>;
    /// Wraps a delta of this kind.
    fn change(delta: Delta<Self>) -> Change;
}

/// One object after conversion.
#[derive(Clone, Debug)]
pub(crate) enum Converted<T> {
    /// Readable.
    Good(Stored<T>),
    /// Not; the last readable value stays in force.
    Bad(NamespacedName, Problem),
}

/// Converts a parsed object.
pub(crate) fn stored<T: Convert>(raw: T::Raw, source: Option<Arc<str>>) -> Converted<T> {
    let name = raw.meta().named();
    let version = raw.meta().resource_version.clone();
    match T::convert(raw) {
        Ok(object) => Converted::Good(Stored {
            object: Arc::new(object),
            origin: Origin { version, source },
        }),
        Err(error) => Converted::Bad(
            name.clone(),
            unreadable(T::KIND, &name, &error.to_string()).at(source),
        ),
    }
}

/// Parses and converts; a shape that does not fit is told with the path of the field.
pub(crate) fn from_value<T: Convert>(
    name: &NamespacedName,
    value: &serde_json::Value,
    source: Option<Arc<str>>,
) -> Converted<T> {
    match serde_path_to_error::deserialize::<_, T::Raw>(value) {
        Ok(raw) => stored(raw, source),
        Err(error) => {
            let field = FieldError::new(error.path().to_string(), error.inner().to_string());
            Converted::Bad(
                name.clone(),
                unreadable(T::KIND, name, &field.to_string()).at(source),
            )
        }
    }
}

/// The problem of an object that cannot be read.
pub(crate) fn unreadable(kind: Kind, name: &NamespacedName, message: &str) -> Problem {
    Problem::new(Severity::Error, kind, name, reason::UNREADABLE, message)
}

/// Namespace and name of any object, as far as it has them.
pub(crate) fn name_of(value: &serde_json::Value) -> NamespacedName {
    let text = |field: &str| {
        value
            .pointer(&format!("/metadata/{field}"))
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    NamespacedName::new(text("namespace"), text("name"))
}

/// A field whose `null` means its default, as the API server takes it.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list without spare room: what is kept by the ten thousand was parsed in room for four at least.
fn fitted<T>(list: Result<Vec<T>, FieldError>) -> Result<Vec<T>, FieldError> {
    let mut list = list?;
    list.shrink_to_fit();
    Ok(list)
}

fn addresses(path: &str, texts: &[String]) -> Result<Vec<std::net::IpAddr>, FieldError> {
    let addresses = texts
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.is_empty() && *text != "None")
        .map(|(at, text)| {
            text.parse().map_err(|_| {
                FieldError::new(
                    format!("{path}[{at}]"),
                    format!("{text:?} is not an IP address"),
                )
            })
        })
        .collect();
    fitted(addresses)
}
