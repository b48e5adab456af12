//! core/v1 Namespace.

use super::{Convert, FieldError, Meta, Raw};
use engine::name::{Kind, NamespacedName};
use engine::world::{Change, Delta, Namespace};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawNamespace {
    #[serde(default)]
    metadata: Meta,
}

impl Raw for RawNamespace {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for Namespace {
    const KIND: Kind = Kind::Namespace;
    type Raw = RawNamespace;

    fn convert(raw: RawNamespace) -> Result<Self, FieldError> {
        Ok(Self {
            name: NamespacedName::new("", raw.metadata.name),
            labels: raw.metadata.labels,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Namespace(delta)
    }
}
