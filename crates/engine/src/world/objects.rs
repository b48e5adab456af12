//! The kinds that are watched, in our own types, and the changes a source sends.
//!
//! `cluster` converts; raw specs of the custom resources are kept as written
//! (strings): `config` checks them.
use super::Texts;
use super::{Annotations, BfdProfile, BgpAdvertisement, BgpPeer, BgpStatus, Community};
use crate::name::{Kind, NamespacedName, Text};
use crate::problem::Problem;
use crate::selector::{LabelSelector, Labels};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Where an object came from; never part of its value, so that a mere new
/// version changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `metadata.resourceVersion`, opaque.
    pub version: String,
    /// `file:line`, of the directory source.
    pub source: Option<Arc<str>>,
}

/// An object with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The converted value.
    pub object: Arc<T>,
    /// Its version and place.
    pub origin: Origin,
}

/// Anything that is kept by name.
pub trait Object {
    /// The key in its kind's map.
    fn name(&self) -> &NamespacedName;

    /// Takes for its texts those that are the same already.
    fn share(&mut self, _texts: &mut Texts) {}
}

/// What a watch tells of one kind.
#[derive(Clone, Debug)]
pub enum Delta<T> {
    /// Created or changed.
    Upsert(Stored<T>),
    /// Gone.
    Delete(NamespacedName),
    /// The whole kind is now this: the end of a list.
    Reset {
        /// Every object.
        objects: Vec<Stored<T>>,
        /// The newest resync request (`Source::resync`) that was made before this list
        /// began; 0 for the first list.
        epoch: u64,
    },
}

/// One change of the world, as a source sends it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Namespaces.
    Namespace(Delta<Namespace>),
    /// Nodes.
    Node(Delta<Node>),
    /// IPAddressPools.
    Pool(Delta<IpAddressPool>),
    /// L2Advertisements.
    L2Advertisement(Delta<L2Advertisement>),
    /// BGPAdvertisements.
    BgpAdvertisement(Delta<BgpAdvertisement>),
    /// BGPPeers of both versions.
    BgpPeer(Delta<BgpPeer>),
    /// BFDProfiles.
    BfdProfile(Delta<BfdProfile>),
    /// Communities.
    Community(Delta<Community>),
    /// Services of every type.
    Service(Delta<Service>),
    /// EndpointSlices.
    EndpointSlice(Delta<EndpointSlice>),
    /// Speaker Pods.
    Pod(Delta<Pod>),
    /// Secrets of our namespace that matter.
    Secret(Delta<Secret>),
    /// ConfigMaps of our namespace that matter.
    ConfigMap(Delta<ConfigMap>),
    /// ServiceL2Statuses.
    L2Status(Delta<L2Status>),
    /// ServiceBGPStatuses.
    BgpStatus(Delta<BgpStatus>),
    /// harbinger.dev BGPSessionState.
    SessionState(Delta<super::SessionState>),
    /// harbinger.dev FrontProfile.
    FrontProfile(Delta<super::FrontProfile>),
    /// ConfigurationStates.
    ConfigurationState(Delta<ConfigurationState>),
    /// An object that cannot be converted: absent, with this problem, until it is
    /// upserted, deleted or reset away.
    Unreadable {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: NamespacedName,
        /// What is wrong.
        problem: Problem,
    },
    /// Everything the source itself has to complain about now (unreadable files,
    /// schema violations); replaces the former list.
    SourceProblems(Vec<Problem>),
}

/// core/v1 Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: NamespacedName,
    /// Its labels.
    pub labels: Labels,
}

/// core/v1 Node, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NamespacedName,
    /// Its labels.
    pub labels: Labels,
    /// Condition `NetworkUnavailable` is `True`.
    pub network_unavailable: bool,
    /// `status.addresses` of type InternalIP.
    pub internal_ips: Vec<IpAddr>,
    /// Annotation [`MAINTENANCE_ANNOTATION`] is `true`.
    pub maintenance: bool,
    /// Condition `Ready` is there and not `True`. Never acted on alone (design/health.md).
    pub not_ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Taint [`DELETION_TAINT`]: the autoscaler empties it.
    pub to_be_deleted: bool,
    /// Taint [`OUT_OF_SERVICE_TAINT`]: somebody vouches that nothing runs there any more.
    pub out_of_service: bool,
}

/// Taint of a node that the cluster autoscaler is about to remove.
pub const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Taint of a node that is shut down and will not come back by itself.
pub const OUT_OF_SERVICE_TAINT: &str = "node.kubernetes.io/out-of-service";

/// IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// `IPv4` or `IPv6`, as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FamilyPolicy {
    /// One family.
    #[default]
    SingleStack,
    /// Two where there are two.
    PreferDualStack,
    /// Two or nothing.
    RequireDualStack,
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any node forwards to any endpoint.
    #[default]
    Cluster,
    /// Only nodes with an endpoint of their own.
    Local,
}

/// Transport protocol of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `TCP`, `UDP`, `SCTP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, may be empty.
    pub name: Text,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the Service.
    pub port: u16,
    /// NodePort, if there is one.
    pub node_port: Option<u16>,
}

/// One of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The address; none for an entry that is only a hostname.
    pub ip: Option<IpAddr>,
    /// The hostname; ignored on read, dropped on write, never a reason to withdraw.
    pub hostname: Option<Text>,
    /// `ipMode`: `VIP` or `Proxy`.
    pub ip_mode: Option<Text>,
}

/// core/v1 Service, as far as it is read. `annotations` holds only those whose key
/// starts with one of [`crate::world::ANNOTATION_PREFIXES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: NamespacedName,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`, seconds since 1970; none sorts after every one.
    pub created: Option<i64>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.type` is LoadBalancer.
    pub load_balancer: bool,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Our annotations, old and new prefix.
    pub annotations: Annotations,
    /// `spec.clusterIPs` (else `spec.clusterIP`), parsed; `None` entries are left out.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.ipFamilies`.
    pub families: Vec<Family>,
    /// `spec.ipFamilyPolicy`.
    pub family_policy: FamilyPolicy,
    /// `spec.loadBalancerIP`, as written.
    pub load_balancer_ip: Option<String>,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort`, of policy Local.
    pub health_check_node_port: Option<u16>,
    /// The timeout of `spec.sessionAffinity: ClientIP`, seconds; none: no affinity.
    pub affinity_secs: Option<u32>,
    /// `spec.loadBalancerSourceRanges`, as written.
    pub source_ranges: Box<[String]>,
    /// `spec.allocateLoadBalancerNodePorts` is false.
    pub no_node_ports: bool,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<Ingress>,
}

impl Service {
    /// The addresses of the status, in its order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ingress.iter().filter_map(|ingress| ingress.ip)
    }

    /// The value of an annotation: the new prefix wins when present, even when empty
    /// (compat/metallb.md 2.8).
    pub fn annotation(&self, suffix: &str) -> Option<&str> {
        ["metallb.io/", "metallb.universe.tf/"]
            .iter()
            .find_map(|prefix| self.annotations.get(&format!("{prefix}{suffix}")))
            .map(String::as_str)
    }
}

/// Nodes that serve a Service that has no EndpointSlice at all, comma-separated: what a
/// directory of manifests says instead. It counts on a real cluster too, where only a
/// Service without a selector lacks slices.
pub const ENDPOINTS_ANNOTATION: &str = "harbinger.dev/endpoints";

/// On a Service: the node that is to hold its addresses, as long as it is a candidate.
pub const MOVE_ANNOTATION: &str = "harbinger.dev/move-to";

/// On a Node: `true` gives what it holds to others, make before break.
pub const MAINTENANCE_ANNOTATION: &str = "harbinger.dev/maintenance";

/// Prefixes of the annotations that are kept.
pub const ANNOTATION_PREFIXES: [&str; 3] =
    ["metallb.io/", "metallb.universe.tf/", "harbinger.dev/"];

/// One of `endpoints` of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `conditions.ready`; nil counts as true.
    pub ready: Option<bool>,
    /// `conditions.serving`.
    pub serving: Option<bool>,
    /// `nodeName`.
    pub node: Option<Text>,
}

impl Endpoint {
    /// Ready, or terminating but still serving (compat/metallb.md 2.9).
    pub fn can_serve(&self) -> bool {
        self.ready.unwrap_or(true) || self.serving == Some(true)
    }
}

/// discovery.k8s.io/v1 EndpointSlice, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its name.
    pub name: NamespacedName,
    /// Label `kubernetes.io/service-name`; the Service is in the slice's namespace.
    pub service: Text,
    /// Its endpoints.
    pub endpoints: Box<[Endpoint]>,
}

/// A speaker Pod, for discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: NamespacedName,
    /// `metadata.uid`, for owner references.
    pub uid: String,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// `status.podIPs`.
    pub ips: Vec<IpAddr>,
    /// Labels.
    pub labels: Labels,
}

/// A Secret of our namespace. Its values never reach a log: `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: NamespacedName,
    /// `type`.
    pub kind: String,
    /// `data`, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&String> = self.data.keys().collect();
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

/// A ConfigMap of our namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// Its name.
    pub name: NamespacedName,
    /// `data`.
    pub data: BTreeMap<String, String>,
}

/// `metallb.io/v1beta1` IPAddressPool, as written, with the status last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpAddressPool {
    /// Its name.
    pub name: NamespacedName,
    /// Labels (advertisements select by them).
    pub labels: Labels,
    /// CIDRs and ranges.
    pub addresses: Vec<String>,
    /// Used without being asked for.
    pub auto_assign: bool,
    /// Leaves out IPv4 addresses ending .0 and .255.
    pub avoid_buggy_ips: bool,
    /// Whom it serves; none: everybody.
    pub service_allocation: Option<ServiceAllocation>,
    /// `status`, if there is one.
    pub status: Option<PoolStatus>,
}

/// `spec.serviceAllocation`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAllocation {
    /// Lower is used first; 0 is last.
    pub priority: i64,
    /// Namespaces by name.
    pub namespaces: Vec<String>,
    /// Namespaces by label, united with the names.
    pub namespace_selectors: Vec<LabelSelector>,
    /// Services by label, ANDed with the namespaces.
    pub service_selectors: Vec<LabelSelector>,
}

/// `status` of an IPAddressPool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolStatus {
    /// Distinct IPv4 addresses in use.
    pub assigned_ipv4: i64,
    /// Distinct IPv6 addresses in use.
    pub assigned_ipv6: i64,
    /// IPv4 addresses left; saturates at i64::MAX.
    pub available_ipv4: i64,
    /// IPv6 addresses left; saturates at i64::MAX.
    pub available_ipv6: i64,
}

/// `metallb.io/v1beta1` L2Advertisement, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L2Advertisement {
    /// Its name.
    pub name: NamespacedName,
    /// Pools by name.
    pub pools: Vec<String>,
    /// Pools by label, united with the names; both empty: all pools.
    pub pool_selectors: Vec<LabelSelector>,
    /// Nodes; empty: all.
    pub node_selectors: Vec<LabelSelector>,
    /// Exact interface names; empty: all.
    pub interfaces: Vec<String>,
    /// Services; empty: all.
    pub service_selectors: Vec<LabelSelector>,
    /// Soft preferences: weight 1..=100 and the nodes it is for.
    pub preferred_nodes: Vec<(i64, LabelSelector)>,
}

/// `metallb.io/v1beta1` ServiceL2Status as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L2Status {
    /// Its name.
    pub name: NamespacedName,
    /// Label `metallb.io/node`, else `status.node`.
    pub node: Text,
    /// The Service, by its labels, else its status.
    pub service: NamespacedName,
    /// `status.interfaces[].name`; empty: all.
    pub interfaces: Vec<String>,
    /// Whether `status` was there at all (a POST drops it).
    pub has_status: bool,
}

/// `metallb.io/v1beta1` ConfigurationState as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationState {
    /// Its name.
    pub name: NamespacedName,
    /// `status.result`.
    pub result: String,
    /// `status.errorSummary`.
    pub error_summary: String,
}

macro_rules! named {
    ($($type:ty),*) => { $(impl Object for $type {
        fn name(&self) -> &NamespacedName { &self.name }
    })* };
}

impl Object for Service {
    fn name(&self) -> &NamespacedName {
        &self.name
    }

    fn share(&mut self, texts: &mut Texts) {
        texts.share_name(&mut self.name);
        for port in &mut self.ports {
            texts.share(&mut port.name);
        }
        for ingress in &mut self.ingress {
            ingress
                .ip_mode
                .iter_mut()
                .for_each(|mode| texts.share(mode));
        }
    }
}

impl Object for EndpointSlice {
    fn name(&self) -> &NamespacedName {
        &self.name
    }

    fn share(&mut self, texts: &mut Texts) {
        texts.share(&mut self.name.namespace);
        texts.share(&mut self.service);
        for endpoint in &mut self.endpoints {
            endpoint.node.iter_mut().for_each(|node| texts.share(node));
        }
    }
}

impl Object for L2Status {
    fn name(&self) -> &NamespacedName {
        &self.name
    }

    fn share(&mut self, texts: &mut Texts) {
        texts.share(&mut self.name.namespace);
        texts.share(&mut self.node);
        texts.share_name(&mut self.service);
    }
}

named!(
    Namespace,
    Node,
    Pod,
    Secret,
    ConfigMap,
    IpAddressPool,
    L2Advertisement,
    ConfigurationState
);
