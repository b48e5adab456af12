//! What goes into the wire and comes out of it: values only.

use crate::facts::{Conflict, MembersView};
use l2::FrameMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Something that came in.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A frame, read from a socket of this interface. At most [`super::FRAMES_PER_TURN`] per
    /// socket and turn (L2-24).
    Frame {
        /// The interface the socket is bound to.
        ifindex: u32,
        /// From the Ethernet header on.
        bytes: &'a [u8],
        /// What the kernel says beside it.
        meta: FrameMeta,
    },
    /// A datagram of the membership socket.
    Datagram {
        /// Its sender.
        from: SocketAddr,
        /// The payload.
        bytes: &'a [u8],
    },
    /// The error queue of the membership socket told of an unreachable port.
    Unreachable {
        /// Whose.
        address: SocketAddr,
    },
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A frame on an interface.
    Frame {
        /// Where.
        ifindex: u32,
        /// From the Ethernet header on, padded.
        bytes: Vec<u8>,
        /// To be given back to [`super::Wire::transmit_failed`].
        kind: l2::TransmitKind,
    },
    /// A datagram of the membership.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// The payload.
        bytes: Vec<u8>,
    },
}

/// Which of the two packet sockets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Ethertype 0x0806.
    Arp,
    /// Ethertype 0x86dd.
    Ipv6,
}

/// Something to do that is not sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open both packet sockets of an interface, filters attached before they are bound.
    /// Tell [`super::Wire::opened`] or [`super::Wire::socket_failed`].
    Open {
        /// The interface.
        ifindex: u32,
        /// Filter of the ARP socket.
        arp: l2::Filter,
        /// Filter of the IPv6 socket.
        ipv6: l2::Filter,
    },
    /// Close both, and leave all groups.
    Close {
        /// The interface.
        ifindex: u32,
    },
    /// Swap a filter.
    SetFilter {
        /// The interface.
        ifindex: u32,
        /// Which socket.
        protocol: Protocol,
        /// The new one.
        filter: l2::Filter,
    },
    /// Join a solicited-node group; tell [`super::Wire::join_failed`] when the kernel refuses.
    JoinGroup {
        /// The interface.
        ifindex: u32,
        /// The group.
        group: Ipv6Addr,
    },
    /// Ask the default gateway whether it is there, by ARP or Neighbor Discovery; tell
    /// [`super::Wire::gateway_heard`] if it is.
    ProbeGateway,
    /// Leave a group; always succeeds.
    LeaveGroup {
        /// The interface.
        ifindex: u32,
        /// The group.
        group: Ipv6Addr,
    },
}

/// A fact worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A station that is no speaker claims an address of ours, which is defended (L2-53).
    ForeignClaim {
        /// On this interface.
        ifindex: u32,
        /// Our address.
        address: IpAddr,
        /// The station.
        mac: l2::MacAddr,
    },
    /// A station was found to have an address before its first use: it is not announced on
    /// this interface, and probed again every 30 s (L2-52).
    AddressInUse {
        /// On this interface.
        ifindex: u32,
        /// The address.
        address: IpAddr,
        /// The station.
        mac: l2::MacAddr,
    },
    /// A speaker that the members have lost answers for an address of ours: the network
    /// between the speakers is split (L2-56).
    SplitBrainSuspected {
        /// On this interface.
        ifindex: u32,
        /// Our address.
        address: IpAddr,
        /// The speaker's interface.
        mac: l2::MacAddr,
        /// The speaker.
        node: String,
    },
    /// Of the membership.
    Member(members::Event),
    /// The sockets of an interface failed; tried again later (L2-47).
    InterfaceFailed {
        /// Which.
        ifindex: u32,
        /// Why.
        why: String,
    },
    /// A turn came this late: nothing is answered until a member is heard or the start
    /// rule has run.
    Late {
        /// Beyond its deadline.
        by: Duration,
    },
    /// Answering goes on after [`Event::Late`].
    Resumed,
    /// Fewer than half of the members and not the default gateway are in reach: this node
    /// gives up what it holds (L2-57).
    Isolated,
    /// The members or the gateway are in reach again.
    Reconnected,
    /// This node hands over what it holds before it stops.
    Leaving {
        /// How many addresses.
        addresses: usize,
    },
    /// The keys or the record were refused; the old ones stay.
    MembershipRefused(String),
}

/// What the wire knows and the brain needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireFacts {
    /// Who is alive.
    pub members: MembersView,
    /// What is really answered for, by interface: sockets open, link usable.
    pub announced: BTreeMap<u32, BTreeSet<IpAddr>>,
    /// Interfaces whose sockets fail, with the last reason.
    pub failures: BTreeMap<u32, String>,
    /// Conflicts over addresses, and how often each was told: once in ten minutes at most.
    pub conflicts: Arc<BTreeMap<Conflict, u64>>,
}

/// Of what an interface's responder may have answered in its place: another value where that may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    pub(super) port: u64,
    pub(super) responder: u64,
}

impl Revision {
    /// Of the same responder; another one may be on another interface that has got the same index (L2-45).
    pub fn is_of_same(self, other: Revision) -> bool {
        self.port == other.port
    }
}

/// What was counted since the start, beside the machines' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames for an interface that has no responder.
    pub frames_without_responder: u64,
    /// Datagrams while membership is off.
    pub datagrams_without_membership: u64,
    /// Turns that came late.
    pub late_turns: u64,
    /// Events not kept because nobody took them.
    pub events_lost: u64,
}
