//! The binary form of a Service: only the fields that are read.

use super::{AffinityConfig, ClientIp, LoadBalancer, Port, RawIngress, RawService, Spec, Status};
use crate::convert::protobuf::ObjectMeta;
use prost::Message;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Message)]
struct BinaryService {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    spec: Option<BinarySpec>,
    #[prost(message, optional, tag = "3")]
    status: Option<BinaryStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct BinarySpec {
    #[prost(message, repeated, tag = "1")]
    ports: Vec<BinaryPort>,
    #[prost(btree_map = "string, string", tag = "2")]
    selector: BTreeMap<String, String>,
    #[prost(string, optional, tag = "3")]
    cluster_ip: Option<String>,
    #[prost(string, tag = "4")]
    kind: String,
    #[prost(string, optional, tag = "7")]
    session_affinity: Option<String>,
    #[prost(string, optional, tag = "8")]
    load_balancer_ip: Option<String>,
    #[prost(string, repeated, tag = "9")]
    load_balancer_source_ranges: Vec<String>,
    #[prost(string, optional, tag = "11")]
    external_traffic_policy: Option<String>,
    #[prost(int32, optional, tag = "12")]
    health_check_node_port: Option<i32>,
    #[prost(message, optional, tag = "14")]
    session_affinity_config: Option<BinaryAffinityConfig>,
    #[prost(string, optional, tag = "17")]
    ip_family_policy: Option<String>,
    #[prost(string, repeated, tag = "18")]
    cluster_ips: Vec<String>,
    #[prost(string, repeated, tag = "19")]
    ip_families: Vec<String>,
    #[prost(bool, optional, tag = "20")]
    allocate_load_balancer_node_ports: Option<bool>,
    #[prost(string, optional, tag = "21")]
    load_balancer_class: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryAffinityConfig {
    #[prost(message, optional, tag = "1")]
    client_ip: Option<BinaryClientIp>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryClientIp {
    #[prost(int32, optional, tag = "1")]
    timeout_seconds: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryPort {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, optional, tag = "2")]
    protocol: Option<String>,
    #[prost(int32, tag = "3")]
    port: i32,
    #[prost(int32, tag = "5")]
    node_port: i32,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryStatus {
    #[prost(message, optional, tag = "1")]
    load_balancer: Option<BinaryLoadBalancer>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryLoadBalancer {
    #[prost(message, repeated, tag = "1")]
    ingress: Vec<BinaryIngress>,
}

#[derive(Clone, PartialEq, Message)]
struct BinaryIngress {
    #[prost(string, optional, tag = "1")]
    ip: Option<String>,
    #[prost(string, optional, tag = "2")]
    hostname: Option<String>,
    #[prost(string, optional, tag = "3")]
    ip_mode: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<RawService, prost::DecodeError> {
    let service = BinaryService::decode(bytes)?;
    let load_balancer = service.status.unwrap_or_default().load_balancer;
    let ingress = load_balancer.unwrap_or_default().ingress.into_iter();
    Ok(RawService {
        metadata: service.metadata.unwrap_or_default().into(),
        spec: spec(service.spec.unwrap_or_default()),
        status: Status {
            load_balancer: LoadBalancer {
                ingress: ingress
                    .map(|entry| RawIngress {
                        ip: entry.ip,
                        hostname: entry.hostname,
                        ip_mode: entry.ip_mode,
                    })
                    .collect(),
            },
        },
    })
}

fn spec(spec: BinarySpec) -> Spec {
    let affinity = spec.session_affinity_config.unwrap_or_default();
    let timeout = affinity.client_ip.unwrap_or_default().timeout_seconds;
    Spec {
        kind: spec.kind,
        load_balancer_class: spec.load_balancer_class,
        cluster_ip: spec.cluster_ip,
        cluster_ips: spec.cluster_ips,
        ip_families: spec.ip_families,
        ip_family_policy: spec.ip_family_policy,
        load_balancer_ip: spec.load_balancer_ip,
        external_traffic_policy: spec.external_traffic_policy,
        health_check_node_port: spec
            .health_check_node_port
            .and_then(|port| u16::try_from(port).ok()),
        session_affinity: spec.session_affinity,
        session_affinity_config: AffinityConfig {
            client_ip: ClientIp {
                timeout_seconds: timeout.and_then(|secs| u32::try_from(secs).ok()),
            },
        },
        load_balancer_source_ranges: spec.load_balancer_source_ranges,
        allocate_load_balancer_node_ports: spec.allocate_load_balancer_node_ports,
        ports: spec.ports.into_iter().map(port).collect(),
        selector: spec.selector,
    }
}

/// The server stores no port that is none; 0 is no port either.
fn port(port: BinaryPort) -> Port {
    Port {
        name: port.name,
        protocol: port.protocol,
        port: u16::try_from(port.port).unwrap_or_default(),
        node_port: u16::try_from(port.node_port).ok(),
    }
}
