//! Facts: what this node sees of itself and of its fellows. They flow up.

use crate::claims::Claims;
use ipnetwork::IpNetwork;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// One network interface as the kernel shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// ifindex, its identity (L2-45).
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address; none where the link has no 6-octet one.
    pub mac: Option<[u8; 6]>,
    /// ARPHRD_ETHER.
    pub ethernet: bool,
    /// IFF_UP.
    pub up: bool,
    /// IFF_LOWER_UP and operational.
    pub carrier: bool,
    /// IFF_BROADCAST.
    pub broadcast: bool,
    /// IFF_LOOPBACK.
    pub loopback: bool,
    /// IFF_POINTOPOINT.
    pub point_to_point: bool,
    /// IFF_NOARP.
    pub no_arp: bool,
    /// Index and kind (`bridge`, `bond`, `vrf`, …) of the master, if enslaved.
    pub master: Option<(u32, String)>,
    /// IPv6 is enabled on it.
    pub ipv6: bool,
    /// Addresses with prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// Effective `arp_ignore` (max of all and the interface's own).
    pub arp_ignore: u8,
    /// Effective `rp_filter`.
    pub rp_filter: u8,
}

/// What a member tells of itself in its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRecord {
    /// Usable interfaces (L2-41, exclusion applied) by name, with their hardware addresses.
    pub interfaces: BTreeMap<String, [u8; 6]>,
    /// The record did not fit and is cut: other interfaces may exist.
    pub truncated: bool,
    /// It is about to stop and hands over what it holds: no candidate any more.
    pub leaving: bool,
    /// It is cut off from most members and from its gateway, and holds nothing (L2-57).
    pub isolated: bool,
    /// What it has found out about the nodes' health; none: it probes nobody.
    pub word: Option<Word>,
}

/// What an observer tells the others of the nodes' health (design/health.md, Agreement).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// It reaches more than half of the others; otherwise what it says of them does not count.
    pub counts: bool,
    /// It has looked at the node that it runs on.
    pub knows_itself: bool,
    /// Nodes that it cannot reach any more.
    pub unreachable: BTreeSet<String>,
    /// Nodes that answer it, and say that they are not to get new connections.
    pub unwell: BTreeSet<String>,
}

impl Word {
    /// It speaks against a node.
    pub fn is_against(&self, node: &str) -> bool {
        self.unwell.contains(node) || self.unreachable.contains(node)
    }
}

/// Who is alive, as this node hears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersView {
    /// Membership is off: every node of the world counts as alive (MetalLB without memberlist).
    pub off: bool,
    /// Live members by node name, this node included once it may count itself.
    pub alive: BTreeMap<String, MemberRecord>,
    /// The start rule is met: claims of members heard, or the start delay over (L2-87).
    pub settled: bool,
    /// What live members claim, and this node.
    pub claims: Arc<Claims>,
}

/// What two stations on one address are to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    /// The address was found in use before its first use here (L2-52).
    InUse,
    /// A station that is no speaker claims it while it is announced (L2-53).
    Claimed,
    /// A speaker that the members have lost answers for it (L2-56).
    SplitBrain {
        /// Its node.
        node: String,
    },
}

/// Another station on an address of this node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The address.
    pub address: IpAddr,
    /// Where it was heard.
    pub ifindex: u32,
    /// The station.
    pub mac: [u8; 6],
    /// What it is.
    pub kind: ConflictKind,
}

/// A session with a router, as far as people are told of it by an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFact {
    /// Address and port, or the interface of an unnumbered peer.
    pub neighbor: String,
    /// The VRF; none: the default one.
    pub vrf: Option<String>,
    /// `Established`; `Active` while it is tried, and `Idle` while it is not. The states in
    /// between are not told: a router that is away would cost a write every few seconds.
    pub bgp: &'static str,
    /// `Up`, `Down`, `Init`, `AdminDown`; `N/A` without BFD.
    pub bfd: &'static str,
    /// What last went wrong, in words; empty while it is established and when nothing did.
    pub last_error: String,
}

/// Everything the speaker's decisions take from the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Interfaces by index; none before the first dump.
    pub interfaces: Option<BTreeMap<u32, Interface>>,
    /// Who is alive.
    pub members: MembersView,
    /// Addresses that are really being answered for now, by interface index.
    pub announced: BTreeMap<u32, BTreeSet<IpAddr>>,
    /// Conflicts over addresses, and how often each is to have been told.
    pub conflicts: Arc<BTreeMap<Conflict, u64>>,
    /// Sessions with routers, by name of the BGPPeer.
    pub sessions: Arc<BTreeMap<String, SessionFact>>,
}
