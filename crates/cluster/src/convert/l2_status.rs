//! metallb.io ServiceL2Status.

use super::{Convert, FieldError, Meta, Raw};
use engine::name::{Kind, NamespacedName};
use engine::world::{Change, Delta, L2Status};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct RawL2Status {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    status: Option<api::ServiceL2StatusStatus>,
}

impl Raw for RawL2Status {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for L2Status {
    const KIND: Kind = Kind::ServiceL2Status;
    type Raw = RawL2Status;

    fn convert(raw: RawL2Status) -> Result<Self, FieldError> {
        let label = |key: &str| raw.metadata.labels.get(key).cloned();
        // A status without any field is what a POST leaves behind.
        let written = raw
            .status
            .as_ref()
            .is_some_and(|status| status.node.is_some());
        let status = raw.status.unwrap_or_default();
        Ok(Self {
            name: raw.metadata.named(),
            node: label("metallb.io/node")
                .or(status.node)
                .unwrap_or_default()
                .into(),
            service: NamespacedName::new(
                label("metallb.io/service-namespace")
                    .or(status.service_namespace)
                    .unwrap_or_default(),
                label("metallb.io/service-name")
                    .or(status.service_name)
                    .unwrap_or_default(),
            ),
            interfaces: status
                .interfaces
                .into_iter()
                .filter_map(|i| i.name)
                .collect(),
            has_status: written,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::L2Status(delta)
    }
}
