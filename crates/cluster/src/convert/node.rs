//! core/v1 Node.

use super::{Convert, FieldError, Meta, Raw, nullable};
use engine::name::{Kind, NamespacedName};
use engine::world::{
    Change, DELETION_TAINT, Delta, MAINTENANCE_ANNOTATION, Node, OUT_OF_SERVICE_TAINT,
};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawNode {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    spec: Spec,
    #[serde(default, deserialize_with = "nullable")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(default, deserialize_with = "nullable")]
    taints: Vec<Taint>,
}

#[derive(Debug, Default, Deserialize)]
struct Taint {
    #[serde(default)]
    key: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "nullable")]
    conditions: Vec<Condition>,
    #[serde(default, deserialize_with = "nullable")]
    addresses: Vec<NodeAddress>,
}

#[derive(Debug, Default, Deserialize)]
struct Condition {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    status: String,
}

#[derive(Debug, Default, Deserialize)]
struct NodeAddress {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    address: String,
}

impl Raw for RawNode {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for Node {
    const KIND: Kind = Kind::Node;
    type Raw = RawNode;

    fn convert(raw: RawNode) -> Result<Self, FieldError> {
        let network_unavailable =
            raw.status.conditions.iter().any(|condition| {
                condition.kind == "NetworkUnavailable" && condition.status == "True"
            });
        let not_ready = raw
            .status
            .conditions
            .iter()
            .any(|condition| condition.kind == "Ready" && condition.status != "True");
        let tainted = |key: &str| raw.spec.taints.iter().any(|taint| taint.key == key);
        // An address that does not parse is left out: a name may stand here, and a Node
        // is needed for more than its addresses.
        let internal_ips = raw
            .status
            .addresses
            .iter()
            .filter(|address| address.kind == "InternalIP")
            .filter_map(|address| address.address.parse().ok())
            .collect();
        Ok(Self {
            name: NamespacedName::new("", raw.metadata.name),
            labels: raw.metadata.labels,
            network_unavailable,
            internal_ips,
            not_ready,
            deleting: raw.metadata.deleting,
            to_be_deleted: tainted(DELETION_TAINT),
            out_of_service: tainted(OUT_OF_SERVICE_TAINT),
            maintenance: raw
                .metadata
                .annotations
                .0
                .get(MAINTENANCE_ANNOTATION)
                .is_some_and(|value| value == "true"),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Node(delta)
    }
}
