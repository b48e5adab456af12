//! Names of objects and of the kinds Harbinger watches or writes.

use arcstr::ArcStr;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

/// Part of a name. A dozen maps hold the name of each of ten thousand Services: clones share the text, and each is
/// one word.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(ArcStr);

impl Text {
    /// As a text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Nobody else has it.
    pub(crate) fn is_alone(&self) -> bool {
        ArcStr::strong_count(&self.0) == Some(1)
    }
}

// Of equal texts most are one: a namespace is compared with itself at every step through a map.
impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        if ArcStr::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

// Maps with such keys are asked by text: order and equality are those of `str`.
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Text> for String {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Namespace and name of an object; the namespace of a cluster-scoped one is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace, empty for cluster-scoped kinds (Node, Namespace).
    pub namespace: Text,
    /// The name.
    pub name: Text,
}

impl NamespacedName {
    /// Puts the two parts together.
    pub fn new(namespace: impl Into<Text>, name: impl Into<Text>) -> Self {
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
    /// harbinger.dev BGPSessionState.
    BgpSessionState,
    /// harbinger.dev FrontProfile.
    FrontProfile,
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
            Self::BgpSessionState => "BGPSessionState",
            Self::FrontProfile => "FrontProfile",
            Self::ConfigurationState => "ConfigurationState",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
