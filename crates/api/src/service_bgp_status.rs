//! `ServiceBGPStatus`: to which peers a node is configured to announce a Service.
//!
//! Owns the shape of the object, written by that node's speaker and by nobody else.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Nothing is asked for here.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema,
)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "ServiceBGPStatus",
    plural = "servicebgpstatuses",
    namespaced,
    shortname = "lbbgps",
    doc = "Tells to which peers a node announces a Service. Written by the speakers.",
    status = "ServiceBGPStatusStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".status.node",
        priority = "0"
    ),
    printcolumn(
        name = "Service Name",
        type_ = "string",
        json_path = ".status.serviceName",
        priority = "0"
    ),
    printcolumn(
        name = "Service Namespace",
        type_ = "string",
        json_path = ".status.serviceNamespace",
        priority = "0"
    )
)]
#[serde(remote = "Self")]
#[schemars(!remote)]
pub struct ServiceBGPStatusSpec {}

schema::absent_is_default!(ServiceBGPStatusSpec);

/// Who announces what to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBGPStatusStatus {
    /// The node that announces. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The Service's name. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The Service's namespace. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_namespace: Option<String>,
    /// Sorted names of the peers; what is configured, not what is established.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}
