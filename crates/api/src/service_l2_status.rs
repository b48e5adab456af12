//! `ServiceL2Status`: which node answers for a Service on the local network.
//!
//! Owns the shape of the object, written by the speaker that answers and by nobody else.

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
    kind = "ServiceL2Status",
    plural = "servicel2statuses",
    namespaced,
    shortname = "lbl2s",
    doc = "Tells which node answers for a Service on the local network. Written by the speakers.",
    status = "ServiceL2StatusStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Allocated Node",
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
pub struct ServiceL2StatusSpec {}

schema::absent_is_default!(ServiceL2StatusSpec);

/// Who answers, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceL2StatusStatus {
    /// The node that answers. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The Service's name. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The Service's namespace. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_namespace: Option<String>,
    /// The interfaces on which it answers; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceInfo>,
}

/// An interface of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct InterfaceInfo {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
