//! The binary form of an EndpointSlice: only the fields that are read.

use super::{Conditions, RawEndpoint, RawEndpointSlice};
use crate::convert::protobuf::ObjectMeta;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct BinarySlice {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    endpoints: Vec<BinaryEndpoint>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryEndpoint {
    #[prost(message, optional, tag = "2")]
    conditions: Option<BinaryConditions>,
    #[prost(string, optional, tag = "6")]
    node_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryConditions {
    #[prost(bool, optional, tag = "1")]
    ready: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    serving: Option<bool>,
}

pub(super) fn read(bytes: &[u8]) -> Result<RawEndpointSlice, prost::DecodeError> {
    let slice = BinarySlice::decode(bytes)?;
    let endpoints = slice.endpoints.into_iter().map(|endpoint| {
        let conditions = endpoint.conditions.unwrap_or_default();
        RawEndpoint {
            conditions: Conditions {
                ready: conditions.ready,
                serving: conditions.serving,
            },
            node_name: endpoint.node_name,
        }
    });
    Ok(RawEndpointSlice {
        metadata: slice.metadata.unwrap_or_default().into(),
        endpoints: endpoints.collect(),
    })
}
