//! `Community`: names for BGP communities, to be used in BGPAdvertisements.
//!
//! Owns the shape of the object. That a name is unique over all objects is `engine`'s check.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, schema};

/// The names.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema,
)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "Community",
    plural = "communities",
    namespaced,
    shortname = "lbcomm",
    doc = "Names for BGP communities.",
    status = "CommunityStatus",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase", remote = "Self")]
#[schemars(!remote)]
pub struct CommunitySpec {
    /// Names and values. No name twice, here or in another object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::ALIASES_MAX))]
    pub communities: Vec<CommunityAlias>,
}

schema::absent_is_default!(CommunitySpec);

/// A name for a community.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CommunityAlias {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::COMMUNITY_CHARS_MAX))]
    pub name: Option<String>,
    /// `A:B` with 16 bits each, or `large:A:B:C` with 32 bits each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::COMMUNITY_VALUE_CHARS_MAX))]
    pub value: Option<String>,
}

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CommunityStatus {}
