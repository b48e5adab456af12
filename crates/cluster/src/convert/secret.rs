//! core/v1 Secret. The values are decoded and never printed.

use super::{Convert, FieldError, Meta, Raw, nullable};
use engine::name::Kind;
use engine::world::{Change, Delta, Secret};
use k8s_openapi::ByteString;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawSecret {
    #[serde(default)]
    metadata: Meta,
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    data: BTreeMap<String, ByteString>,
    /// Only manifests have it; the server turns it into `data`.
    #[serde(default, deserialize_with = "nullable")]
    string_data: BTreeMap<String, String>,
}

impl Raw for RawSecret {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for Secret {
    const KIND: Kind = Kind::Secret;
    type Raw = RawSecret;

    fn convert(raw: RawSecret) -> Result<Self, FieldError> {
        let mut data: BTreeMap<String, Vec<u8>> = raw
            .data
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect();
        for (key, value) in raw.string_data {
            data.insert(key, value.into_bytes());
        }
        Ok(Self {
            name: raw.metadata.named(),
            kind: raw.kind,
            data,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Secret(delta)
    }
}
