//! `FrontProfile`: how Services are fronted, and when a node counts as healthy for them.
//!
//! Owns the shape of the object. What a Service's own annotations say goes before it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// The settings. What is absent keeps its default.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "harbinger.dev",
    version = "v1alpha1",
    kind = "FrontProfile",
    plural = "frontprofiles",
    namespaced,
    shortname = "lbfront",
    doc = "How Services are fronted.",
    status = "FrontProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        priority = "0"
    ),
    printcolumn(
        name = "Panic",
        type_ = "string",
        json_path = ".spec.panic.policy",
        priority = "0"
    ),
    printcolumn(
        name = "Interval",
        type_ = "string",
        json_path = ".spec.health.interval",
        priority = "0"
    ),
    printcolumn(
        name = "Pools",
        type_ = "string",
        json_path = ".spec.ipAddressPools",
        priority = "10"
    )
)]
#[serde(rename_all = "camelCase", remote = "Self")]
#[schemars(!remote)]
pub struct FrontProfileSpec {
    /// Services by label; one match is enough. Empty: all of the pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selectors")]
    pub service_selectors: Vec<LabelSelector>,

    /// Names of the pools whose Services it is for. No name twice. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMES_MAX), inner(length(max = bounds::NAME_CHARS_MAX)))]
    pub ip_address_pools: Vec<String>,

    /// Who takes the packets: the announcing `node`, or a healthy node that the `front` sends them to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "mode")]
    pub mode: Option<String>,

    /// When a node counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<FrontHealth>,

    /// What is done when too few nodes are healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<FrontPanic>,

    /// How long the established connections of a node that drains are kept: 0s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub drain_timeout: Option<String>,

    /// How long the share of a node that returns grows: 0s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub slow_start: Option<String>,

    /// Shares by endpoints where they are known (`auto`), or `equal` ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "weights")]
    pub weights: Option<String>,
}

schema::absent_is_default!(FrontProfileSpec);

/// Times and thresholds of the probes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontHealth {
    /// From the start of one probe to the start of the next: 100ms to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub interval: Option<String>,

    /// How long an answer may take: 10ms to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub timeout: Option<String>,

    /// Failures in a row after which no new connection goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100), with = "Option<i32>")]
    pub fall: Option<i64>,

    /// Passes in a row after which connections go there again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100), with = "Option<i32>")]
    pub rise: Option<i64>,

    /// Between two probes while a result is changing: 100ms to 24h, at most the interval counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub fast_interval: Option<String>,

    /// Between two probes of what has been down for a minute: 100ms to 24h, at least the interval counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DURATION_CHARS_MAX), regex(pattern = schema::DURATION))]
    pub slow_interval: Option<String>,
}

/// What is done when too few nodes are healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontPanic {
    /// `open`, `closed`, `withdraw`, or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "panic_policy")]
    pub policy: Option<String>,

    /// Percent of the nodes that have to be healthy; 0: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100), with = "Option<i32>")]
    pub threshold: Option<i64>,
}

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct FrontProfileStatus {}

fn mode(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": ["node", "front"]})
}

fn weights(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": ["auto", "equal"]})
}

fn panic_policy(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": ["auto", "open", "closed", "withdraw"]})
}
