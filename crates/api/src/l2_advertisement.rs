//! `L2Advertisement`: which pools are announced by ARP and NDP, on which nodes and interfaces.
//!
//! Owns the shape of the object. Who answers is `engine`'s decision.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// What is announced, where. Every empty list means all.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "L2Advertisement",
    plural = "l2advertisements",
    namespaced,
    shortname = "lbl2",
    doc = "Announces the addresses of pools on the local network by ARP and NDP.",
    status = "L2AdvertisementStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "IPAddressPools",
        type_ = "string",
        json_path = ".spec.ipAddressPools",
        priority = "0"
    ),
    printcolumn(
        name = "IPAddressPool Selectors",
        type_ = "string",
        json_path = ".spec.ipAddressPoolSelectors",
        priority = "0"
    ),
    printcolumn(
        name = "Interfaces",
        type_ = "string",
        json_path = ".spec.interfaces",
        priority = "0"
    ),
    printcolumn(
        name = "Node Selectors",
        type_ = "string",
        json_path = ".spec.nodeSelectors",
        priority = "10"
    )
)]
#[serde(rename_all = "camelCase", remote = "Self")]
#[schemars(!remote)]
pub struct L2AdvertisementSpec {
    /// Names of the pools. No name twice. Empty, as the selectors: all pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMES_MAX), inner(length(max = bounds::NAME_CHARS_MAX)))]
    pub ip_address_pools: Vec<String>,

    /// Pools by label, united with the names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// Nodes that may announce; one match is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub node_selectors: Vec<LabelSelector>,

    /// Interfaces by exact name. They have no part in the choice of the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::INTERFACES_MAX), inner(length(max = bounds::INTERFACE_CHARS_MAX)))]
    pub interfaces: Vec<String>,

    /// Services by label; one match is enough. Not for Services that share their address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub service_selectors: Vec<LabelSelector>,

    /// Nodes that are preferred among those that may announce: the weights of all that match are
    /// added up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::PREFERENCES_MAX))]
    pub preferred_node_selectors: Vec<PreferredNodeSelector>,
}

schema::absent_is_default!(L2AdvertisementSpec);

/// A wish for some nodes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNodeSelector {
    /// 1 to 100; the largest sum wins.
    #[schemars(range(min = 1, max = 100), with = "i32")]
    pub weight: i64,
    /// The nodes that get the weight.
    #[schemars(schema_with = "schema::selector")]
    pub preference: LabelSelector,
}

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct L2AdvertisementStatus {}
