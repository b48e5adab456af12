//! `BGPAdvertisement`: which pools are announced by BGP, to which peers and with which attributes.
//!
//! Owns the shape of the object, nothing else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// What is announced, to whom and how. Every empty list means all.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPAdvertisement",
    plural = "bgpadvertisements",
    namespaced,
    shortname = "lbbgp",
    doc = "Announces the addresses of pools to BGP peers.",
    status = "BGPAdvertisementStatus",
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
        name = "Peers",
        type_ = "string",
        json_path = ".spec.peers",
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
pub struct BGPAdvertisementSpec {
    /// Prefix length of the announced IPv4 routes, at most 32.
    #[serde(default = "host_length_v4")]
    #[schemars(range(min = 1), with = "i32")]
    pub aggregation_length: i64,

    /// Prefix length of the announced IPv6 routes, at most 128.
    #[serde(rename = "aggregationLengthV6", default = "host_length_v6")]
    #[schemars(with = "i32")]
    pub aggregation_length_v6: i64,

    /// LOCAL_PREF for internal peers; 0 is not set. 32 bits without a sign: the API server does not
    /// hold numbers to their format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub local_pref: Option<i64>,

    /// `A:B`, `large:A:B:C`, or a name from a Community object. None twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::COMMUNITIES_MAX), inner(length(max = bounds::COMMUNITY_CHARS_MAX)))]
    pub communities: Vec<String>,

    /// Names of the pools. No name twice. Empty, as the selectors: all pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMES_MAX), inner(length(max = bounds::NAME_CHARS_MAX)))]
    pub ip_address_pools: Vec<String>,

    /// Pools by label, united with the names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// Nodes that announce; one match is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub node_selectors: Vec<LabelSelector>,

    /// Names of the BGPPeers that are told. No name twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMES_MAX), inner(length(max = bounds::NAME_CHARS_MAX)))]
    pub peers: Vec<String>,

    /// Services by label; one match is enough. Only with host routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub service_selectors: Vec<LabelSelector>,
}

schema::absent_is_default!(BGPAdvertisementSpec);

impl Default for BGPAdvertisementSpec {
    fn default() -> Self {
        Self {
            aggregation_length: host_length_v4(),
            aggregation_length_v6: host_length_v6(),
            local_pref: None,
            communities: Vec::new(),
            ip_address_pools: Vec::new(),
            ip_address_pool_selectors: Vec::new(),
            node_selectors: Vec::new(),
            peers: Vec::new(),
            service_selectors: Vec::new(),
        }
    }
}

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct BGPAdvertisementStatus {}

fn host_length_v4() -> i64 {
    32
}

fn host_length_v6() -> i64 {
    128
}
