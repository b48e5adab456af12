//! `BFDProfile`: timers of the BFD sessions that stand beside BGP sessions.
//!
//! Owns the shape of the object; its values are all checked by the schema.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// The timers, in milliseconds. What is absent keeps the default of the protocol machine.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema,
)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BFDProfile",
    plural = "bfdprofiles",
    namespaced,
    shortname = "lbbfd",
    doc = "Timers of BFD sessions, named by BGPPeers.",
    status = "BFDProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(
        name = "Passive Mode",
        type_ = "boolean",
        json_path = ".spec.passiveMode",
        priority = "0"
    ),
    printcolumn(
        name = "Transmit Interval",
        type_ = "integer",
        json_path = ".spec.transmitInterval",
        priority = "0"
    ),
    printcolumn(
        name = "Receive Interval",
        type_ = "integer",
        json_path = ".spec.receiveInterval",
        priority = "0"
    ),
    printcolumn(
        name = "Multiplier",
        type_ = "integer",
        json_path = ".spec.detectMultiplier",
        priority = "0"
    )
)]
#[serde(rename_all = "camelCase", remote = "Self")]
#[schemars(!remote)]
pub struct BFDProfileSpec {
    /// The shortest interval at which we can receive, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000), with = "Option<i32>")]
    pub receive_interval: Option<i64>,

    /// The shortest interval at which we send, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000), with = "Option<i32>")]
    pub transmit_interval: Option<i64>,

    /// How many packets may be missed before the session is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 255), with = "Option<i32>")]
    pub detect_multiplier: Option<i64>,

    /// The interval of echo packets, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000), with = "Option<i32>")]
    pub echo_interval: Option<i64>,

    /// Whether echo packets are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_mode: Option<bool>,

    /// Whether we wait for the peer's first packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive_mode: Option<bool>,

    /// The lowest time to live that is accepted over several hops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 254), with = "Option<i32>")]
    pub minimum_ttl: Option<i64>,
}

schema::absent_is_default!(BFDProfileSpec);

/// Nothing is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct BFDProfileStatus {}
