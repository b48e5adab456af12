//! metallb.io ServiceBGPStatus.

use super::{Convert, FieldError, Meta, Raw};
use engine::name::{Kind, NamespacedName};
use engine::world::{BgpStatus, Change, Delta};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct RawBgpStatus {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    status: Option<api::ServiceBGPStatusStatus>,
}

impl Raw for RawBgpStatus {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for BgpStatus {
    const KIND: Kind = Kind::ServiceBgpStatus;
    type Raw = RawBgpStatus;

    fn convert(raw: RawBgpStatus) -> Result<Self, FieldError> {
        let label = |key: &str| raw.metadata.labels.get(key).cloned();
        // A status without any field is what a POST leaves behind.
        let has_status = raw
            .status
            .as_ref()
            .is_some_and(|status| status.node.is_some());
        let status = raw.status.unwrap_or_default();
        let namespace = label("metallb.io/service-namespace").or(status.service_namespace);
        let service = label("metallb.io/service-name").or(status.service_name);
        Ok(Self {
            name: raw.metadata.named(),
            node: label("metallb.io/node").or(status.node).unwrap_or_default(),
            service: NamespacedName::new(
                namespace.unwrap_or_default(),
                service.unwrap_or_default(),
            ),
            peers: status.peers,
            has_status,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::BgpStatus(delta)
    }
}
