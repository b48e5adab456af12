//! Names of objects and of the kinds Harbinger watches or writes.

use std::fmt;

/// Namespace and name of an object; the namespace of a cluster-scoped one is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace, empty for cluster-scoped kinds (Node, Namespace).
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl NamespacedName {
    /// Puts the two parts together.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Every kind that is watched or written; the order is the order of listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// core/v1 Namespace.
    Namespace,
    /// core/v1 Node.
    Node,
    /// metallb.io IPAddressPool.
    IpAddressPool,
    /// metallb.io L2Advertisement.
    L2Advertisement,
    /// metallb.io BGPAdvertisement.
    BgpAdvertisement,
    /// metallb.io BGPPeer (v1beta1 and v1beta2 are one kind).
    BgpPeer,
    /// metallb.io BFDProfile.
    BfdProfile,
    /// metallb.io Community.
    Community,
    /// core/v1 Service.
    Service,
    /// discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice,
    /// core/v1 Pod (the speakers' own, for discovery).
    Pod,
    /// core/v1 Secret (the membership key, peers' passwords).
    Secret,
    /// core/v1 ConfigMap (`metallb-excludel2`).
    ConfigMap,
    /// metallb.io ServiceL2Status.
    ServiceL2Status,
    /// metallb.io ServiceBGPStatus.
    ServiceBgpStatus,
    /// metallb.io ConfigurationState.
    ConfigurationState,
}

impl Kind {
    /// The kind as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::IpAddressPool => "IPAddressPool",
            Self::L2Advertisement => "L2Advertisement",
            Self::BgpAdvertisement => "BGPAdvertisement",
            Self::BgpPeer => "BGPPeer",
            Self::BfdProfile => "BFDProfile",
            Self::Community => "Community",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ServiceL2Status => "ServiceL2Status",
            Self::ServiceBgpStatus => "ServiceBGPStatus",
            Self::ConfigurationState => "ConfigurationState",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
