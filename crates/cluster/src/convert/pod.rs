//! core/v1 Pod (speakers, for discovery).

use super::{Convert, FieldError, Meta, Raw, nullable};
use engine::name::Kind;
use engine::world::{Change, Delta, Pod};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawPod {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    spec: Spec,
    #[serde(default, deserialize_with = "nullable")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(rename = "podIP", default)]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", default, deserialize_with = "nullable")]
    pod_ips: Vec<PodIp>,
}

#[derive(Debug, Default, Deserialize)]
struct PodIp {
    #[serde(default, deserialize_with = "nullable")]
    ip: String,
}

impl Raw for RawPod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for Pod {
    const KIND: Kind = Kind::Pod;
    type Raw = RawPod;

    fn convert(raw: RawPod) -> Result<Self, FieldError> {
        let mut texts: Vec<String> = raw.status.pod_ips.into_iter().map(|p| p.ip).collect();
        if texts.is_empty() {
            texts.extend(raw.status.pod_ip);
        }
        Ok(Self {
            name: raw.metadata.named(),
            uid: raw.metadata.uid,
            node: raw.spec.node_name.filter(|node| !node.is_empty()),
            ips: super::addresses("status.podIPs", &texts)?,
            labels: raw.metadata.labels,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Pod(delta)
    }
}
