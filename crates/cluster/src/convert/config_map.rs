//! core/v1 ConfigMap.

use super::{Convert, FieldError, Meta, Raw, nullable};
use engine::name::Kind;
use engine::world::{Change, ConfigMap, Delta};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawConfigMap {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    data: BTreeMap<String, String>,
}

impl Raw for RawConfigMap {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for ConfigMap {
    const KIND: Kind = Kind::ConfigMap;
    type Raw = RawConfigMap;

    fn convert(raw: RawConfigMap) -> Result<Self, FieldError> {
        Ok(Self {
            name: raw.metadata.named(),
            data: raw.data,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::ConfigMap(delta)
    }
}
