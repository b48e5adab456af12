//! The forward table: what the kernel of one node is to do with packets for the addresses of Services.
//!
//! A value with equality, made from the world, the health of the nodes and what this node holds. It says *who* may get
//! a connection and in what share; slots, chains and messages are the business of `dataplane`.
//! [`policy`] says who takes the packets of a Service, [`decide`] makes the table of a node.

mod decide;
mod policy;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod words;

pub use decide::{Asked, Decided, decide, withdrawn};
pub use policy::{ANNOTATIONS, ForwardOptions, Policy, policy, withdraws};

use crate::name::NamespacedName;
use crate::world::Protocol;
use ipnetwork::IpNetwork;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where connections arrive: address, protocol and port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Front {
    /// The Service's address.
    pub address: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port.
    pub port: u16,
}

/// Who takes a packet for an address (design/front.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// The announcing node's own kube-proxy, as under MetalLB. Only the guard stands before it.
    Node,
    /// A healthy node by consistent hash, over its NodePort.
    Front,
}

/// One node that a front may choose. Its place in the slots is that of its name among all that are configured, up or down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The node's name, which decides its slots.
    pub node: String,
    /// Where the NodePort is: the node's InternalIP of the family.
    pub address: IpAddr,
    /// New connections may go there.
    pub up: bool,
    /// Share of new connections against its fellows, 1..=1000; equal weights: equal shares.
    pub weight: u16,
    /// It is this node, and its own kube-proxy knows the address: its slots get no entry.
    pub local: bool,
}

/// The nodes of one family that share slots, by node name; Services with equal sets share one slot table.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetSet {
    /// By node name, each once; all of one family.
    pub targets: Vec<Target>,
    /// The node is chosen by the source address alone, not by address and port.
    pub by_source: bool,
}

/// One port of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontPort {
    /// The Service, for texts and counters.
    pub service: NamespacedName,
    /// Who takes the packet.
    pub traffic: Traffic,
    /// The NodePort behind; none in `node` mode, and where nothing can be fronted.
    pub node_port: Option<u16>,
    /// Whom to send to; none in `node` mode. An empty choice (no target up) refuses connections.
    pub targets: Option<Arc<TargetSet>>,
    /// Who may connect; empty: everybody.
    pub source_ranges: Vec<IpNetwork>,
}

/// The whole desired table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardTable {
    /// Each open port. Every other port of an address that occurs here, or in `closed`, is closed.
    pub ports: BTreeMap<Front, FrontPort>,
    /// Addresses with no port at all.
    pub closed: BTreeSet<IpAddr>,
    /// Names of the interfaces where clients arrive; packets from elsewhere (pods) are left to kube-proxy.
    /// Empty: from every interface (a box outside the cluster).
    pub interfaces: BTreeSet<String>,
    /// Connections made on this machine itself are rewritten too (a box outside the cluster, where no kube-proxy is).
    pub own_connections: bool,
    /// Source addresses of rewritten connections; empty: the kernel picks one (masquerade).
    pub source_addresses: BTreeSet<IpAddr>,
    /// Echo requests for the addresses are answered.
    pub icmp_echo: bool,
    /// Targets whose flows are to be forgotten now: confirmed dead. Their tracked connections are deleted once when they enter.
    pub dead: BTreeSet<IpAddr>,
    /// Nodes that drain, by target address: established flows are kept until the time is over.
    pub draining: BTreeMap<IpAddr, Duration>,
}
