//! `BGPPeer` in version v1beta1: deprecated, still served.
//!
//! Owns the shape that old clients write and read. What was left out of it came with v1beta2.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// The session and its parameters, as they were in v1beta1.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
    storage = false,
    deprecated = "metallb.io/v1beta1 BGPPeer is deprecated, use metallb.io/v1beta2: a write through v1beta1 drops every newer field",
    shortname = "lbpeer",
    doc = "A BGP router that is told the routes to the addresses (deprecated version).",
    status = "BGPPeerStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.peerAddress",
        priority = "0"
    ),
    printcolumn(
        name = "ASN",
        type_ = "string",
        json_path = ".spec.peerASN",
        priority = "0"
    ),
    printcolumn(
        name = "BFD Profile",
        type_ = "string",
        json_path = ".spec.bfdProfile",
        priority = "0"
    ),
    printcolumn(
        name = "Multi Hops",
        type_ = "string",
        json_path = ".spec.ebgpMultiHop",
        priority = "0"
    )
)]
#[serde(rename_all = "camelCase", remote = "Self")]
#[schemars(!remote)]
pub struct BGPPeerSpec {
    /// Our autonomous system number, not 0.
    #[serde(rename = "myASN")]
    #[schemars(range(min = 0, max = 4294967295u64))]
    pub my_asn: i64,

    /// The peer's autonomous system number, not 0.
    #[serde(rename = "peerASN")]
    #[schemars(range(min = 0, max = 4294967295u64))]
    pub peer_asn: i64,

    /// The peer's address.
    #[schemars(length(max = bounds::IP_CHARS_MAX))]
    pub peer_address: String,

    /// Our address of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::IP_CHARS_MAX))]
    pub source_address: Option<String>,

    /// The peer's TCP port; 0 or nothing is 179.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "peer_port")]
    pub peer_port: Option<i64>,

    /// 0, or at least 3 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub hold_time: Option<String>,

    /// At most the hold time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub keepalive_time: Option<String>,

    /// Our BGP identifier, written as an address.
    #[serde(rename = "routerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::IP_CHARS_MAX))]
    pub router_id: Option<String>,

    /// Nodes that run the session; one match is enough; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::legacy_node_selectors")]
    pub node_selectors: Vec<LabelSelector>,

    /// Key for TCP MD5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::PASSWORD_CHARS_MAX))]
    pub password: Option<String>,

    /// Name of a BFDProfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME_CHARS_MAX))]
    pub bfd_profile: Option<String>,

    /// Whether an external peer may be more than one hop away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,
}

schema::absent_is_default!(BGPPeerSpec);

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct BGPPeerStatus {}

fn peer_port(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "integer", "minimum": 0, "maximum": 16384})
}
