//! core/v1 Service.

mod protobuf;

use super::{Convert, FieldError, FromProtobuf, Meta, Raw, nullable};
use engine::name::Kind;
use engine::world::{
    Change, Delta, Family, FamilyPolicy, Ingress, Protocol, Service, ServicePort, TrafficPolicy,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawService {
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
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default)]
    load_balancer_class: Option<String>,
    #[serde(rename = "clusterIP", default)]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", default, deserialize_with = "nullable")]
    cluster_ips: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    ip_families: Vec<String>,
    #[serde(default)]
    ip_family_policy: Option<String>,
    #[serde(rename = "loadBalancerIP", default)]
    load_balancer_ip: Option<String>,
    #[serde(default)]
    external_traffic_policy: Option<String>,
    #[serde(default)]
    health_check_node_port: Option<u16>,
    #[serde(default)]
    session_affinity: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    session_affinity_config: AffinityConfig,
    #[serde(default, deserialize_with = "nullable")]
    load_balancer_source_ranges: Vec<String>,
    #[serde(default)]
    allocate_load_balancer_node_ports: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "nullable")]
    selector: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AffinityConfig {
    #[serde(rename = "clientIP", default, deserialize_with = "nullable")]
    client_ip: ClientIp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientIp {
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default)]
    protocol: Option<String>,
    port: u16,
    #[serde(default)]
    node_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default, deserialize_with = "nullable")]
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
struct LoadBalancer {
    #[serde(default, deserialize_with = "nullable")]
    ingress: Vec<RawIngress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawIngress {
    #[serde(default)]
    ip: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    ip_mode: Option<String>,
}

impl Raw for RawService {
    const FROM_PROTOBUF: Option<FromProtobuf<Self>> = Some(protobuf::read);

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for Service {
    const KIND: Kind = Kind::Service;
    type Raw = RawService;

    fn convert(raw: RawService) -> Result<Self, FieldError> {
        let spec = raw.spec;
        let mut cluster_ips = spec.cluster_ips;
        if cluster_ips.is_empty() {
            cluster_ips.extend(spec.cluster_ip);
        }
        Ok(Self {
            name: raw.metadata.named(),
            uid: raw.metadata.uid,
            created: raw.metadata.created,
            deleting: raw.metadata.deleting,
            load_balancer: spec.kind == "LoadBalancer",
            class: spec.load_balancer_class.filter(|class| !class.is_empty()),
            labels: raw.metadata.labels,
            annotations: raw.metadata.annotations.0.into(),
            cluster_ips: super::addresses("spec.clusterIPs", &cluster_ips)?,
            families: families(&spec.ip_families)?,
            family_policy: family_policy(spec.ip_family_policy.as_deref())?,
            load_balancer_ip: spec.load_balancer_ip.filter(|ip| !ip.is_empty()),
            external_policy: external_policy(spec.external_traffic_policy.as_deref())?,
            health_check_node_port: spec.health_check_node_port.filter(|port| *port != 0),
            affinity_secs: affinity(
                spec.session_affinity.as_deref(),
                &spec.session_affinity_config,
            )?,
            source_ranges: spec.load_balancer_source_ranges.into_boxed_slice(),
            no_node_ports: spec.allocate_load_balancer_node_ports == Some(false),
            ports: ports(spec.ports)?,
            selector: spec.selector,
            ingress: ingress(raw.status.load_balancer.ingress)?,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Service(delta)
    }
}

fn families(texts: &[String]) -> Result<Vec<Family>, FieldError> {
    let families = texts
        .iter()
        .enumerate()
        .map(|(at, text)| match text.as_str() {
            "IPv4" => Ok(Family::V4),
            "IPv6" => Ok(Family::V6),
            other => Err(FieldError::new(
                format!("spec.ipFamilies[{at}]"),
                format!("{other:?} is neither IPv4 nor IPv6"),
            )),
        })
        .collect();
    super::fitted(families)
}

fn family_policy(text: Option<&str>) -> Result<FamilyPolicy, FieldError> {
    match text {
        None | Some("" | "SingleStack") => Ok(FamilyPolicy::SingleStack),
        Some("PreferDualStack") => Ok(FamilyPolicy::PreferDualStack),
        Some("RequireDualStack") => Ok(FamilyPolicy::RequireDualStack),
        Some(other) => Err(FieldError::new(
            "spec.ipFamilyPolicy",
            format!("{other:?} is none of SingleStack, PreferDualStack, RequireDualStack"),
        )),
    }
}

fn external_policy(text: Option<&str>) -> Result<TrafficPolicy, FieldError> {
    match text {
        None | Some("" | "Cluster") => Ok(TrafficPolicy::Cluster),
        Some("Local") => Ok(TrafficPolicy::Local),
        Some(other) => Err(FieldError::new(
            "spec.externalTrafficPolicy",
            format!("{other:?} is neither Cluster nor Local"),
        )),
    }
}

/// Seconds of `ClientIP` affinity when nothing says, as in Kubernetes.
const AFFINITY_SECS: u32 = 10_800;

fn affinity(text: Option<&str>, config: &AffinityConfig) -> Result<Option<u32>, FieldError> {
    match text {
        None | Some("" | "None") => Ok(None),
        Some("ClientIP") => Ok(Some(
            config.client_ip.timeout_seconds.unwrap_or(AFFINITY_SECS),
        )),
        Some(other) => Err(FieldError::new(
            "spec.sessionAffinity",
            format!("{other:?} is neither None nor ClientIP"),
        )),
    }
}

fn ports(raw: Vec<Port>) -> Result<Vec<ServicePort>, FieldError> {
    let ports = raw
        .into_iter()
        .enumerate()
        .map(|(at, port)| {
            let protocol = match port.protocol.as_deref() {
                None | Some("" | "TCP") => Protocol::Tcp,
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                Some(other) => {
                    return Err(FieldError::new(
                        format!("spec.ports[{at}].protocol"),
                        format!("{other:?} is none of TCP, UDP, SCTP"),
                    ));
                }
            };
            Ok(ServicePort {
                name: port.name.into(),
                protocol,
                port: port.port,
                node_port: port.node_port.filter(|port| *port != 0),
            })
        })
        .collect();
    super::fitted(ports)
}

fn ingress(raw: Vec<RawIngress>) -> Result<Vec<Ingress>, FieldError> {
    let ingress = raw
        .into_iter()
        .enumerate()
        .map(|(at, entry)| {
            let ip = match entry.ip.as_deref() {
                None | Some("") => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    FieldError::new(
                        format!("status.loadBalancer.ingress[{at}].ip"),
                        format!("{text:?} is not an IP address"),
                    )
                })?),
            };
            Ok(Ingress {
                ip,
                hostname: entry
                    .hostname
                    .filter(|name| !name.is_empty())
                    .map(Into::into),
                ip_mode: entry
                    .ip_mode
                    .filter(|mode| !mode.is_empty())
                    .map(Into::into),
            })
        })
        .collect();
    super::fitted(ingress)
}
