//! The plan of one node: its whole desired state as a value with equality.

use crate::claims::Claim;
use crate::name::NamespacedName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Interfaces an address is announced on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfaceSet {
    /// Every usable one.
    All,
    /// Those named, exactly.
    Named(BTreeSet<String>),
}

/// Why a node does not announce; the strings are MetalLB's where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Another node is first in the order, or nobody can serve.
    NotOwner,
    /// No advertisement of the pool selects the node or the Service.
    NoMatchingAdvertisement,
    /// No endpoint anywhere can serve.
    NoEndpoints,
    /// Policy Local and no endpoint here.
    NoLocalEndpoints,
    /// Condition NetworkUnavailable.
    NodeNetworkUnavailable,
    /// Label node.kubernetes.io/exclude-from-external-load-balancers.
    NodeLabeledExcludeBalancers,
    /// allow-shared-ip with an advertisement that selects Services.
    SharedIpWithServiceSelector,
    /// Two BGP advertisements disagree.
    ConflictingAdvertisements,
    /// The node is no live member.
    NotAlive,
    /// None of its usable interfaces is selected (L2-44).
    NoUsableInterface,
    /// Another Service on the same address refuses the node.
    SharedServiceElsewhere,
    /// Its speaker is about to stop.
    Leaving,
    /// Its speaker is cut off from most members and from its gateway (L2-57).
    Isolated,
    /// Annotation harbinger.dev/maintenance on the Node.
    Maintenance,
    /// Its health says that it is to get no new connections, and another node can take them.
    Unhealthy,
}

impl Refusal {
    /// Every refusal there is, for the reference page.
    pub const ALL: [Self; 15] = [
        Self::NotOwner,
        Self::NoMatchingAdvertisement,
        Self::NoEndpoints,
        Self::NoLocalEndpoints,
        Self::NodeNetworkUnavailable,
        Self::NodeLabeledExcludeBalancers,
        Self::SharedIpWithServiceSelector,
        Self::ConflictingAdvertisements,
        Self::NotAlive,
        Self::NoUsableInterface,
        Self::SharedServiceElsewhere,
        Self::Leaving,
        Self::Isolated,
        Self::Maintenance,
        Self::Unhealthy,
    ];

    /// The machine-readable reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotOwner => "notOwner",
            Self::NoMatchingAdvertisement => "noMatchingAdvertisement",
            Self::NoEndpoints => "noEndpoints",
            Self::NoLocalEndpoints => "noLocalEndpoints",
            Self::NodeNetworkUnavailable => "nodeNetworkUnavailable",
            Self::NodeLabeledExcludeBalancers => "nodeLabeledExcludeBalancers",
            Self::SharedIpWithServiceSelector => "sharedIPWithServiceSelector",
            Self::ConflictingAdvertisements => "conflictingAdvertisements",
            Self::NotAlive => "notAlive",
            Self::NoUsableInterface => "noUsableInterface",
            Self::SharedServiceElsewhere => "sharedServiceElsewhere",
            Self::Leaving => "leaving",
            Self::Isolated => "isolated",
            Self::Maintenance => "maintenance",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One address on the local network, as all nodes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Entry {
    /// The address.
    pub address: IpAddr,
    /// The Services on it, by creation, then name.
    pub services: Vec<NamespacedName>,
    /// Who answers; none when nobody can.
    pub owner: Option<String>,
    /// Where the owner answers.
    pub interfaces: InterfaceSet,
    /// In order of preference.
    pub candidates: Vec<String>,
    /// Every node that is no candidate, with its reason, by name.
    pub refusals: BTreeMap<String, Refusal>,
    /// Which nodes say that they hold it, with the terms of their claims, by name.
    pub claims: Vec<Claim>,
}

/// What this node does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePlan {
    /// Addresses to answer for, by interface index.
    pub answers: BTreeMap<u32, BTreeSet<IpAddr>>,
    /// What is meant to be announced here, for statuses and metrics.
    pub announcements: Arc<BTreeMap<IpAddr, Arc<Announcement>>>,
    /// How each address of `answers` is held; none: `answers` is answered as it stands,
    /// without claims.
    pub tenures: Option<Arc<BTreeMap<IpAddr, Tenure>>>,
}

/// How an address is held (design/ownership.md, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The address that decides the order of L2-82; the same for all that have one holder.
    pub key: IpAddr,
    /// The highest term of another living node that the plan was made in sight of: up to
    /// it this node may claim over the others, beyond it the plan is stale.
    pub over: u64,
    /// The address was another Service's: its old holder must have let go of it, or two
    /// seconds have passed, before it is claimed (L2-90).
    pub renewed: bool,
    /// It is to be held by another node, and answered here until that has claimed it.
    pub handing: bool,
}

/// One address this node means to announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The Services on it.
    pub services: Vec<NamespacedName>,
    /// Where.
    pub interfaces: InterfaceSet,
}
