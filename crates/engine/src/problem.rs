//! Problems: what is wrong with which object, in words a user can act on.

use crate::name::{Kind, NamespacedName};
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; everything works.
    Note,
    /// Something does not do what its author probably meant.
    Warning,
    /// The object, or the part named, is not used.
    Error,
}

impl Severity {
    /// `note`, `warning`, `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Kind of the object concerned, as Kubernetes spells it (`File` for an unreadable file).
    pub kind: String,
    /// The object.
    pub object: NamespacedName,
    /// Machine-readable, UpperCamelCase, one of the consts in [`reason`].
    pub reason: &'static str,
    /// One sentence that names the field.
    pub message: String,
    /// `file:line` when the object came from a file.
    pub source: Option<Arc<str>>,
}

impl Problem {
    /// A problem of an object of a watched kind.
    pub fn new(
        severity: Severity,
        kind: Kind,
        object: &NamespacedName,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            kind: kind.as_str().to_owned(),
            object: object.clone(),
            reason,
            message: message.into(),
            source: None,
        }
    }

    /// The same with its place in a file.
    #[must_use]
    pub fn at(mut self, source: Option<Arc<str>>) -> Self {
        self.source = source;
        self
    }
}

/// Every reason a problem can have. `tests/tidy.rs` holds the reference page against this list.
pub mod reason {
    macro_rules! reasons {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
            $($(#[$doc])* pub const $name: &str = $text;)*
            /// All of them, sorted as declared.
            pub const ALL: &[&str] = &[$($name),*];
        };
    }
    reasons! {
        /// The object could not be read as its kind.
        UNREADABLE = "Unreadable";
        /// A field has a value that its schema or rule forbids.
        INVALID_FIELD = "InvalidField";
        /// A `metallb.io` object outside the namespace that counts.
        WRONG_NAMESPACE = "WrongNamespace";
        /// Two pools, or two entries, hold the same address.
        OVERLAPPING_ADDRESSES = "OverlappingAddresses";
        /// A range or CIDR that cannot be parsed.
        INVALID_ADDRESSES = "InvalidAddresses";
        /// A selector that cannot be parsed.
        INVALID_SELECTOR = "InvalidSelector";
        /// A list names one thing twice.
        DUPLICATE = "Duplicate";
        /// An advertisement names a pool that does not exist.
        UNKNOWN_POOL = "UnknownPool";
        /// An advertisement names a BGPPeer that does not exist.
        UNKNOWN_PEER = "UnknownPeer";
        /// A BGPPeer names a BFDProfile that does not exist or is refused.
        UNKNOWN_PROFILE = "UnknownProfile";
        /// A password's Secret is missing, of another type, or its value no key.
        INVALID_SECRET = "InvalidSecret";
        /// A community that is neither a value nor a name.
        INVALID_COMMUNITY = "InvalidCommunity";
        /// An annotation of ours that means nothing on its kind.
        UNKNOWN_ANNOTATION = "UnknownAnnotation";
        /// A field without effect.
        DEPRECATED_FIELD = "DeprecatedField";
        /// A route would attract more than the pool holds.
        AGGREGATION_BEYOND_POOL = "AggregationBeyondPool";
        /// Two advertisements of a pool give one route different LOCAL_PREFs.
        CONFLICTING_ADVERTISEMENTS = "ConflictingAdvertisements";
        /// A route attracts traffic for addresses that this node cannot serve.
        AGGREGATE_ATTRACTS_MORE = "AggregateAttractsMore";
        /// An advertisement names an interface that no node, or not this node, has or may use.
        UNKNOWN_INTERFACE = "UnknownInterface";
        /// Services on one address have no node in common.
        NO_COMMON_CANDIDATE = "NoCommonCandidate";
        /// Two Services hold one address without a valid sharing key.
        DUPLICATE_HOLDER = "DuplicateHolder";
        /// The address is on an interface of a node (L2-48).
        VIP_ON_INTERFACE = "VipOnInterface";
        /// kube-proxy in IPVS mode answers ARP on every node (L2-48).
        STRICT_ARP_OFF = "StrictArpOff";
        /// A Service is to be moved to a node that may not announce it.
        MOVE_TARGET = "MoveTarget";
        /// The exclusion list does not parse; the old one is kept (L2-42).
        INVALID_EXCLUSION = "InvalidExclusion";
        /// Strict reverse-path filtering may drop the client's packets (L2-49).
        STRICT_REVERSE_PATH = "StrictReversePath";
        /// An annotation of ours has a value it cannot have; what stood before holds.
        INVALID_ANNOTATION = "InvalidAnnotation";
        /// An entry of `loadBalancerSourceRanges` that is no range: it lets nobody in.
        INVALID_SOURCE_RANGE = "InvalidSourceRange";
        /// A port without NodePort cannot be fronted: its connections are refused.
        NO_NODE_PORT = "NoNodePort";
        /// A node has no InternalIP of the family and gets no connections of it.
        NO_INTERNAL_IP = "NoInternalIP";
        /// `sessionAffinity: ClientIP` behind a front holds clients to a node, not to a pod.
        AFFINITY_IN_FRONT = "AffinityInFront";
        /// Policy Local behind a front does not keep the client's address.
        CLIENT_ADDRESS_LOST = "ClientAddressLost";
        /// No node is healthy for the Service.
        ALL_BACKENDS_UNHEALTHY = "AllBackendsUnhealthy";
        /// Traffic of mode `node` cannot be had here.
        NO_NODE_MODE = "NoNodeMode";
        /// IPv6 is off on the interface: no neighbour discovery there (L2-63).
        IPV6_DISABLED = "Ipv6Disabled";
    }
}
