//! `BGPSessionState`: how a session of a node with a router stands.
//!
//! Owns the shape of the object, written by that node's speaker and by nobody else: the fields and columns of the kind of
//! that name that frr-k8s has, and ours after them. It has no spec.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The object has nothing but a status.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema,
)]
#[kube(
    group = "harbinger.dev",
    version = "v1alpha1",
    kind = "BGPSessionState",
    plural = "bgpsessionstates",
    namespaced,
    no_spec,
    shortname = "lbsession",
    doc = "A session of a node with a router.",
    status = "BGPSessionStateStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".status.node",
        priority = "0"
    ),
    printcolumn(
        name = "Peer",
        type_ = "string",
        json_path = ".status.peer",
        priority = "0"
    ),
    printcolumn(
        name = "VRF",
        type_ = "string",
        json_path = ".status.vrf",
        priority = "0"
    ),
    printcolumn(
        name = "BGP",
        type_ = "string",
        json_path = ".status.bgpStatus",
        priority = "0"
    ),
    printcolumn(
        name = "BFD",
        type_ = "string",
        json_path = ".status.bfdStatus",
        priority = "0"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.since",
        priority = "0"
    ),
    printcolumn(
        name = "Error",
        type_ = "string",
        json_path = ".status.lastError",
        priority = "0"
    )
)]
pub struct BGPSessionStateSpec {}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPSessionStateStatus {
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The BGPPeer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The router's address, or the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbor: Option<String>,
    /// The VRF, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// Established, Active while it is tried, or Idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_status: Option<String>,
    /// Up, Down, Init, AdminDown or N/A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd_status: Option<String>,
    /// What keeps it from being established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "moment")]
    pub since: Option<String>,
}

fn moment(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "date-time"})
}
