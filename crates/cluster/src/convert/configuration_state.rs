//! metallb.io ConfigurationState.

use super::{Convert, FieldError, Meta, Raw, nullable};
use engine::name::Kind;
use engine::world::{Change, ConfigurationState, Delta};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct RawConfigurationState {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default, deserialize_with = "nullable")]
    result: String,
    #[serde(default, deserialize_with = "nullable")]
    error_summary: String,
}

impl Raw for RawConfigurationState {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for ConfigurationState {
    const KIND: Kind = Kind::ConfigurationState;
    type Raw = RawConfigurationState;

    fn convert(raw: RawConfigurationState) -> Result<Self, FieldError> {
        Ok(Self {
            name: raw.metadata.named(),
            result: raw.status.result,
            error_summary: raw.status.error_summary,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::ConfigurationState(delta)
    }
}
