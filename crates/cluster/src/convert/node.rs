//! core/v1 Node.

use super::{Convert, FieldError, Meta, Raw, nullable};
use engine::name::{Kind, NamespacedName};
use engine::world::{Change, Delta, MAINTENANCE_ANNOTATION, Node};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawNode {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    status: Status,
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
