//! The plan of one node: its whole desired state as a value with equality.

use crate::name::NamespacedName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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
}

impl Refusal {
    /// Every refusal there is, for the reference page.
    pub const ALL: [Self; 11] = [
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
}

/// What this node does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePlan {
    /// Addresses to answer for, by interface index.
    pub answers: BTreeMap<u32, BTreeSet<IpAddr>>,
    /// What is meant to be announced here, for statuses and metrics.
    pub announcements: BTreeMap<IpAddr, Announcement>,
}

/// One address this node means to announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The Services on it.
    pub services: Vec<NamespacedName>,
    /// Where.
    pub interfaces: InterfaceSet,
}
