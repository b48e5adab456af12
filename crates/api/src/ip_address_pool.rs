//! `IPAddressPool`: the addresses that Services may be given, and which Services may have them.
//!
//! Owns the shape of the object. Reading the addresses, finding overlaps and choosing a pool is
//! `engine`'s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// What a pool holds and who may draw from it.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "IPAddressPool",
    plural = "ipaddresspools",
    namespaced,
    shortname = "lbpool",
    doc = "Addresses that Services of type LoadBalancer may be given.",
    status = "IPAddressPoolStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Auto Assign",
        type_ = "boolean",
        json_path = ".spec.autoAssign",
        priority = "0"
    ),
    printcolumn(
        name = "Avoid Buggy IPs",
        type_ = "boolean",
        json_path = ".spec.avoidBuggyIPs",
        priority = "0"
    ),
    printcolumn(
        name = "Addresses",
        type_ = "string",
        json_path = ".spec.addresses",
        priority = "0"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolSpec {
    /// CIDRs (`192.0.2.0/24`) and ranges (`192.0.2.10-192.0.2.20`), in the order in which they
    /// are handed out. At least one; no two may overlap, in this pool or another.
    #[schemars(length(max = bounds::ADDRESSES_MAX), inner(length(max = bounds::ADDRESS_CHARS_MAX)))]
    pub addresses: Vec<String>,

    /// Whether a Service that asks for no pool and no address may be given one of these.
    #[serde(default = "yes")]
    pub auto_assign: bool,

    /// Leaves out IPv4 addresses that end in .0 or .255.
    #[serde(rename = "avoidBuggyIPs", default)]
    pub avoid_buggy_ips: bool,

    /// Restricts the pool to some Services, and orders pools among each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,
}

impl Default for IPAddressPoolSpec {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            auto_assign: yes(),
            avoid_buggy_ips: false,
            service_allocation: None,
        }
    }
}

/// Which Services a pool is for. Namespaces and namespace selectors are united; the service
/// selectors narrow the result.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// The lower number is tried first; 0 or nothing is last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::integer")]
    pub priority: Option<i64>,

    /// Names of namespaces whose Services may use the pool. No name twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMESPACES_MAX), inner(length(max = bounds::NAMESPACE_CHARS_MAX)))]
    pub namespaces: Vec<String>,

    /// Namespaces by label; one match is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Services by label; one match is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub service_selectors: Vec<LabelSelector>,
}

/// How full the pool is, written by the controller. Counts stop at 2^63 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct IPAddressPoolStatus {
    /// Distinct IPv4 addresses in use.
    #[serde(rename = "assignedIPv4")]
    pub assigned_ipv4: i64,
    /// Distinct IPv6 addresses in use.
    #[serde(rename = "assignedIPv6")]
    pub assigned_ipv6: i64,
    /// IPv4 addresses that can still be given.
    #[serde(rename = "availableIPv4")]
    pub available_ipv4: i64,
    /// IPv6 addresses that can still be given.
    #[serde(rename = "availableIPv6")]
    pub available_ipv6: i64,
}

fn yes() -> bool {
    true
}
