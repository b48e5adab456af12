//! The messages that all kinds share, in the API server's binary form: only the fields that are read.
//!
//! The numbers of the fields are those of the `generated.proto` files of Kubernetes; they never change, as what is
//! stored has this form.

use super::meta::{Meta, OurAnnotations, is_ours};
use std::collections::BTreeMap;

/// `ObjectMeta`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(string, tag = "6")]
    resource_version: String,
    #[prost(message, optional, tag = "8")]
    creation_timestamp: Option<Time>,
    #[prost(message, optional, tag = "9")]
    deletion_timestamp: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
}

/// `Time`; the zero value of Go's time is left out by the server.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Time {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
}

/// `ListMeta`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListMeta {
    #[prost(string, tag = "2")]
    pub(crate) resource_version: String,
    #[prost(string, tag = "3")]
    pub(crate) continuation: String,
}

/// `runtime.Unknown`, the envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Envelope {
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) raw: Vec<u8>,
}

/// `Status`, the answer to what went wrong.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Status {
    #[prost(string, tag = "3")]
    pub(crate) message: String,
    #[prost(string, tag = "4")]
    pub(crate) reason: String,
}

impl From<ObjectMeta> for Meta {
    fn from(meta: ObjectMeta) -> Self {
        let mut annotations = meta.annotations;
        annotations.retain(|key, _| is_ours(key));
        Self {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            created: meta.creation_timestamp.and_then(|time| time.seconds),
            deleting: meta.deletion_timestamp.is_some(),
            labels: meta.labels,
            annotations: OurAnnotations(annotations),
        }
    }
}
