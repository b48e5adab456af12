//! What a responder has counted: every dropped frame under a name, and the traffic of each address.
//!
//! Owns the names. Does not export them; the shell turns them into metrics.

use std::collections::BTreeMap;
use std::net::IpAddr;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a received frame was not answered. Those that MetalLB knows keep its names (L2-04).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The name in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// Too short for its headers (L2-01).
    Malformed = "Malformed",
    /// Neither ARP nor IPv6.
    EtherType = "EtherType",
    /// ARP for other hardware or another protocol than Ethernet and IPv4 (L2-01).
    NotEthernetIpv4 = "NotEthernetIpv4",
    /// ARP operation other than request and reply (L2-02).
    Operation = "Operation",
    /// An ARP reply, after it was looked at for a foreign claim (L2-04).
    ArpReply = "ARPReply",
    /// Addressed to neither us nor a group that the target belongs to (L2-04, L2-65).
    EthernetDestination = "EthernetDestination",
    /// Asks for an address that is not ours (L2-04).
    AnnounceIp = "AnnounceIP",
    /// Asks for an address of ours that is answered on other interfaces (L2-04).
    NotMatchInterface = "NotMatchInterface",
    /// Asks for an address of ours that is still being probed (L2-51).
    Probing = "Probing",
    /// Asks for an address that we would answer for if no other station had it (L2-52).
    AddressInUse = "AddressInUse",
    /// Marked by the kernel as sent by this host (L2-07).
    Outgoing = "Outgoing",
    /// Our own frame came back: a loop or a mirror (L2-07).
    OwnEcho = "OwnEcho",
    /// No station can have the sender's hardware address (L2-08).
    BadSender = "BadSender",
    /// A foreign station says that it has the address it asks for (L2-09); counted as a foreign claim.
    GratuitousRequest = "GratuitousRequest",
    /// Received by another device than ours (L2-10).
    OtherDevice = "OtherDevice",
    /// Carries a VLAN id (L2-10).
    Vlan = "Vlan",
    /// Over the budget of its sender or of the interface (L2-23, L2-77).
    RateLimited = "RateLimited",
    /// Over the budget of answers to duplicate address detection for one address (L2-73).
    DadRateLimited = "DadRateLimited",
    /// More replies wait than one turn of the loop may leave.
    Backlog = "Backlog",
    /// The interface is down, has no carrier, or no station's address.
    InterfaceDown = "InterfaceDown",
    /// IPv6 is off on the interface (L2-63).
    Ipv6Disabled = "IPv6Disabled",
    /// IP version other than 6 under the ethertype of IPv6 (L2-62).
    Version = "Version",
    /// The next header is not ICMPv6: another protocol, a fragment, or an extension header (L2-78).
    NextHeader = "NextHeader",
    /// The payload length runs past the frame (L2-62).
    PayloadLength = "PayloadLength",
    /// Hop limit below 255: the packet came through a router (L2-62).
    HopLimit = "HopLimit",
    /// ICMPv6, but neither solicitation nor advertisement (L2-65).
    MessageType = "MessageType",
    /// ICMP code other than 0 (L2-62).
    Code = "Code",
    /// ICMP message shorter than 24 octets (L2-62).
    IcmpLength = "ICMPLength",
    /// Wrong ICMPv6 checksum (L2-62).
    Checksum = "Checksum",
    /// The target is a multicast address (L2-62).
    MulticastTarget = "MulticastTarget",
    /// The source is a multicast address.
    MulticastSource = "MulticastSource",
    /// An option of length zero, or one that runs past the end (L2-62, L2-64).
    OptionLength = "OptionLength",
    /// More than 16 options (L2-64).
    OptionCount = "OptionCount",
    /// Source unspecified, but not sent to the target's solicited-node group (L2-62).
    UnspecifiedToUnicast = "UnspecifiedToUnicast",
    /// Source unspecified, but with a source link-layer option (L2-62).
    UnspecifiedWithSourceLl = "UnspecifiedWithSourceLL",
    /// An advertisement with the solicited flag to a multicast destination (L2-76).
    SolicitedToMulticast = "SolicitedToMulticast",
    /// A valid advertisement, after it was looked at for a foreign claim (L2-76).
    NeighborAdvertisement = "NeighborAdvertisement",
}

/// The traffic of one address on one interface. Forgotten when the address leaves the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounters {
    /// Valid requests for it, also those over a budget (`metallb_layer2_requests_received`).
    pub requests_received: u64,
    /// Replies handed out for sending (`metallb_layer2_responses_sent`).
    pub responses_sent: u64,
    /// Gratuitous frames handed out for sending (`metallb_layer2_gratuitous_sent`).
    pub gratuitous_sent: u64,
    /// Frames in which a foreign station claimed the address (L2-53).
    pub foreign_claims: u64,
    /// Frames in which another speaker claimed the address (L2-54).
    pub speaker_claims: u64,
    /// Rounds made due to defend it (L2-53).
    pub defences: u64,
    /// Probes handed out for sending (L2-51, L2-75).
    pub probes_sent: u64,
    /// Frames of the above that the kernel refused to send (L2-25).
    pub send_failures: u64,
}

/// Everything a responder has counted since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    drops: [u64; DropReason::ALL.len()],
    /// Frames given to `handle_frame`.
    pub frames_received: u64,
    /// Events that found the event queue full and were not told.
    pub events_lost: u64,
    /// The traffic of each address that is answered for now.
    pub addresses: BTreeMap<IpAddr, AddressCounters>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            drops: [0; DropReason::ALL.len()],
            frames_received: 0,
            events_lost: 0,
            addresses: BTreeMap::new(),
        }
    }
}

impl Counters {
    /// Frames dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or_default()
    }

    /// Every reason with its count, zeros included.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.dropped(reason)))
    }

    /// Frames dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
