//! discovery.k8s.io/v1 EndpointSlice.

mod protobuf;

use super::{Convert, FieldError, FromProtobuf, Meta, Raw, nullable};
use engine::name::Kind;
use engine::world::{Change, Delta, Endpoint, EndpointSlice};
use serde::Deserialize;

/// Label that names the Service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawEndpointSlice {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    endpoints: Vec<RawEndpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEndpoint {
    #[serde(default, deserialize_with = "nullable")]
    conditions: Conditions,
    #[serde(default)]
    node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Conditions {
    #[serde(default)]
    ready: Option<bool>,
    #[serde(default)]
    serving: Option<bool>,
}

impl Raw for RawEndpointSlice {
    const FROM_PROTOBUF: Option<FromProtobuf<Self>> = Some(protobuf::read);

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;
    type Raw = RawEndpointSlice;

    fn convert(raw: RawEndpointSlice) -> Result<Self, FieldError> {
        let service = raw.metadata.labels.get(SERVICE_NAME).cloned();
        let endpoints = raw.endpoints.into_iter().map(|endpoint| {
            Ok(Endpoint {
                ready: endpoint.conditions.ready,
                serving: endpoint.conditions.serving,
                node: endpoint
                    .node_name
                    .filter(|node| !node.is_empty())
                    .map(Into::into),
            })
        });
        Ok(Self {
            name: raw.metadata.named(),
            service: service.unwrap_or_default().into(),
            endpoints: super::fitted(endpoints.collect())?.into(),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::EndpointSlice(delta)
    }
}
