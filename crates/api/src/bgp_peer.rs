//! `BGPPeer` in its stored version, v1beta2: a router that is told routes.
//!
//! Owns the shape of the object. v1beta1 is in [`crate::v1beta1`]; the server changes nothing but
//! `apiVersion` between the two (conversion strategy None).

use k8s_openapi::api::core::v1::SecretReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// The session and its parameters. Durations are Go's (`90s`, `1m30s`).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta2",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
    shortname = "lbpeer",
    doc = "A BGP router that is told the routes to the addresses.",
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

    /// The peer's autonomous system number. Either this or `dynamicASN`.
    #[serde(rename = "peerASN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4294967295u64))]
    pub peer_asn: Option<i64>,

    /// Accepts any peer of our own system (`internal`) or of any other (`external`).
    #[serde(
        rename = "dynamicASN",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "dynamic_asn")]
    pub dynamic_asn: Option<String>,

    /// The system number shown to this peer instead of `myASN`.
    #[serde(rename = "localASN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4294967295u64))]
    pub local_asn: Option<i64>,

    /// The peer's address. Either this or `interface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::IP_CHARS_MAX))]
    pub peer_address: Option<String>,

    /// The interface on which the peer is found by its router advertisements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::INTERFACE_CHARS_MAX))]
    pub interface: Option<String>,

    /// Our address of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::IP_CHARS_MAX))]
    pub source_address: Option<String>,

    /// The peer's TCP port.
    #[serde(default = "bgp_port")]
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

    /// Time between two attempts to connect: 1 s to 65535 s, whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub connect_time: Option<String>,

    /// Our BGP identifier, written as an address.
    #[serde(rename = "routerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::IP_CHARS_MAX))]
    pub router_id: Option<String>,

    /// Nodes that run the session; one match is enough; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub node_selectors: Vec<LabelSelector>,

    /// Key for TCP MD5. Not together with `passwordSecret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::PASSWORD_CHARS_MAX))]
    pub password: Option<String>,

    /// A Secret of type `kubernetes.io/basic-auth` with the key for TCP MD5 under `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "secret_reference")]
    pub password_secret: Option<SecretReference>,

    /// Name of a BFDProfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME_CHARS_MAX))]
    pub bfd_profile: Option<String>,

    /// Whether the peer keeps our routes while we restart. Cannot be changed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_graceful_restart: Option<bool>,

    /// Whether an external peer may be more than one hop away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,

    /// The VRF of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::INTERFACE_CHARS_MAX))]
    pub vrf: Option<String>,

    /// Deprecated, without effect.
    #[serde(rename = "disableMP", default)]
    pub disable_mp: bool,

    /// Carries both address families over the one session.
    #[serde(default)]
    pub dual_stack_address_family: bool,
}

schema::absent_is_default!(BGPPeerSpec);

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct BGPPeerStatus {}

fn bgp_port() -> Option<i64> {
    Some(179)
}

fn dynamic_asn(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": ["internal", "external"]})
}

fn peer_port(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "integer", "minimum": 1, "maximum": 16384})
}

fn secret_reference(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "name": {"type": "string", "maxLength": bounds::NAME_CHARS_MAX},
            "namespace": {"type": "string", "maxLength": bounds::NAMESPACE_CHARS_MAX},
        },
    })
}
