//! Neighbor solicitations and advertisements (RFC 4861 §4.3, §4.4, §7.1).
//!
//! Owns the validation of received messages, the bounded walk over options, and the building of advertisements. Does
//! not judge what a message means for our addresses. Extension headers and fragments are refused (RFC 6980); SEND
//! options are skipped as unknown (RFC 3971 is not part of this crate).

use std::net::Ipv6Addr;

use pnet_packet::ethernet::EtherTypes;
use pnet_packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NeighborAdvertFlags,
    NeighborAdvertPacket, NeighborSolicitPacket,
};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types, MutableIcmpv6Packet};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::util::ipv6_checksum;

use super::{ALL_NODES_MAC, ETHERNET_HEADER, frame};
use crate::counters::DropReason;
use crate::mac::MacAddr;

/// Ethertype of IPv6.
pub const ETHERTYPE: u16 = 0x86dd;
/// ff02::1, all nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Options looked at before a message is refused (L2-64). RFC 4861 messages carry at most three; a longer walk only
/// serves an attacker.
pub const OPTIONS_MAX: usize = 16;

const IPV6_HEADER: usize = 40;
const ICMP_FIXED: usize = 24;
/// Fixed part and one option of one unit: what we send.
const MESSAGE: usize = ICMP_FIXED + 8;
const HOP_LIMIT: u8 = 255;
const OPTION_SOURCE_LL: u8 = 1;
const OPTION_TARGET_LL: u8 = 2;
const OPTION_NONCE: u8 = 14;
const CHECKSUM_WORD: usize = 1;
/// No word of a message of at most 64 KiB has this number: nothing is skipped.
const NO_WORD: usize = usize::MAX;

/// The options that are read (RFC 4861 §4.6.1, RFC 7527 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Some source link-layer option is present, of whatever length.
    pub has_source_ll: bool,
    /// Source link-layer address of a one-unit option.
    pub source_ll: Option<MacAddr>,
    /// Target link-layer address of a one-unit option.
    pub target_ll: Option<MacAddr>,
    /// Nonce of a one-unit option.
    pub nonce: Option<[u8; 6]>,
}

/// A valid message of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 135.
    Solicitation {
        /// IPv6 source, unspecified in duplicate address detection.
        source: Ipv6Addr,
        /// IPv6 destination.
        destination: Ipv6Addr,
        /// The address asked for.
        target: Ipv6Addr,
        /// Its options.
        options: Options,
    },
    /// Type 136.
    Advertisement {
        /// IPv6 source.
        source: Ipv6Addr,
        /// The address advertised.
        target: Ipv6Addr,
        /// Its options.
        options: Options,
    },
}

impl Message {
    /// Reads and validates the payload of a frame of ethertype [`ETHERTYPE`] (RFC 4861 §7.1.1, §7.1.2).
    pub fn parse(payload: &[u8]) -> Result<Self, DropReason> {
        let header = Ipv6Packet::new(payload).ok_or(DropReason::Malformed)?;
        if header.get_version() != 6 {
            return Err(DropReason::Version);
        }
        if header.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
            return Err(DropReason::NextHeader);
        }
        let end = IPV6_HEADER + usize::from(header.get_payload_length());
        let icmp = payload
            .get(IPV6_HEADER..end)
            .ok_or(DropReason::PayloadLength)?;
        if header.get_hop_limit() != HOP_LIMIT {
            return Err(DropReason::HopLimit);
        }
        let (source, destination) = (header.get_source(), header.get_destination());
        let message = Icmpv6Packet::new(icmp).ok_or(DropReason::IcmpLength)?;
        let solicitation = match message.get_icmpv6_type() {
            Icmpv6Types::NeighborSolicit => true,
            Icmpv6Types::NeighborAdvert => false,
            _ => return Err(DropReason::MessageType),
        };
        if message.get_icmpv6_code().0 != 0 {
            return Err(DropReason::Code);
        }
        let (_, options) = icmp
            .split_at_checked(ICMP_FIXED)
            .ok_or(DropReason::IcmpLength)?;
        // Summed with its checksum in place, a correct message gives zero.
        if ipv6_checksum(
            icmp,
            NO_WORD,
            &[],
            &source,
            &destination,
            IpNextHeaderProtocols::Icmpv6,
        ) != 0
        {
            return Err(DropReason::Checksum);
        }
        let options = Options::parse(options)?;
        if source.is_multicast() {
            return Err(DropReason::MulticastSource);
        }
        if solicitation {
            Self::solicitation(icmp, source, destination, options)
        } else {
            Self::advertisement(icmp, source, destination, options)
        }
    }

    fn solicitation(
        icmp: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
        options: Options,
    ) -> Result<Self, DropReason> {
        let target = NeighborSolicitPacket::new(icmp)
            .ok_or(DropReason::IcmpLength)?
            .get_target_addr();
        if target.is_multicast() {
            return Err(DropReason::MulticastTarget);
        }
        if source.is_unspecified() {
            if destination != solicited_node(target) {
                return Err(DropReason::UnspecifiedToUnicast);
            }
            if options.has_source_ll {
                return Err(DropReason::UnspecifiedWithSourceLl);
            }
        }
        Ok(Message::Solicitation {
            source,
            destination,
            target,
            options,
        })
    }

    fn advertisement(
        icmp: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
        options: Options,
    ) -> Result<Self, DropReason> {
        let packet = NeighborAdvertPacket::new(icmp).ok_or(DropReason::IcmpLength)?;
        let target = packet.get_target_addr();
        if target.is_multicast() {
            return Err(DropReason::MulticastTarget);
        }
        if destination.is_multicast() && packet.get_flags() & NeighborAdvertFlags::Solicited != 0 {
            return Err(DropReason::SolicitedToMulticast);
        }
        Ok(Message::Advertisement {
            source,
            target,
            options,
        })
    }
}

impl Options {
    /// Walks the options with a bound; unknown types are skipped (RFC 4861 §4.6).
    fn parse(mut rest: &[u8]) -> Result<Self, DropReason> {
        let mut options = Options::default();
        for _ in 0..OPTIONS_MAX {
            if rest.is_empty() {
                return Ok(options);
            }
            let &[kind, units, ..] = rest else {
                return Err(DropReason::OptionLength);
            };
            if units == 0 {
                return Err(DropReason::OptionLength);
            }
            let (option, behind) = rest
                .split_at_checked(usize::from(units) * 8)
                .ok_or(DropReason::OptionLength)?;
            rest = behind;
            options.has_source_ll |= kind == OPTION_SOURCE_LL;
            // Ethernet addresses and our own nonces fill exactly one unit; other lengths are not for us.
            let &[_, 1, a, b, c, d, e, f] = option else {
                continue;
            };
            let value = [a, b, c, d, e, f];
            match kind {
                OPTION_SOURCE_LL => options.source_ll = Some(MacAddr(value)),
                OPTION_TARGET_LL => options.target_ll = Some(MacAddr(value)),
                OPTION_NONCE => options.nonce = Some(value),
                _ => {}
            }
        }
        if rest.is_empty() {
            Ok(options)
        } else {
            Err(DropReason::OptionCount)
        }
    }
}

/// The solicited-node group of an address, ff02::1:ffXX:XXXX (RFC 4291 §2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    )
}

/// The Ethernet group of the solicited-node group, 33:33:ff:XX:XX:XX (RFC 2464 §7).
pub fn solicited_node_mac(address: Ipv6Addr) -> MacAddr {
    let [.., a, b, c] = address.octets();
    MacAddr([0x33, 0x33, 0xff, a, b, c])
}

/// The answer to a solicitation from a specified source: S=1, O=1, R=0. `DIFFERS:` MetalLB leaves O clear; then a
/// client keeps the dead node's address until it expires (L2-71).
pub fn solicited_advertisement(
    mac: MacAddr,
    address: Ipv6Addr,
    to: Ipv6Addr,
    to_mac: MacAddr,
) -> Vec<u8> {
    advertisement(
        mac,
        address,
        to,
        to_mac,
        NeighborAdvertFlags::Solicited | NeighborAdvertFlags::Override,
    )
}

/// To all nodes, S=0, O=1, R=0: unsolicited, and the answer to duplicate address detection (RFC 4861 §7.2.4, §7.2.6).
pub fn multicast_advertisement(mac: MacAddr, address: Ipv6Addr) -> Vec<u8> {
    advertisement(
        mac,
        address,
        ALL_NODES,
        ALL_NODES_MAC,
        NeighborAdvertFlags::Override,
    )
}

/// A probe: duplicate address detection of our own, from :: to the solicited-node group, with a nonce by which our
/// echo is known (RFC 4862 §5.4.2, RFC 7527 §4.1).
pub fn probe(mac: MacAddr, address: Ipv6Addr, nonce: [u8; 6]) -> Vec<u8> {
    let route = Route {
        source: Ipv6Addr::UNSPECIFIED,
        to: solicited_node(address),
        mac,
        to_mac: solicited_node_mac(address),
    };
    message(route, (OPTION_NONCE, nonce), |icmp| {
        let mut message = MutableNeighborSolicitPacket::new(icmp).expect(ROOM);
        message.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        message.set_target_addr(address);
    })
}

/// An ordinary question, as a kernel asks it: from one of our own addresses to the solicited-node group, with our hardware
/// address (RFC 4861 §7.2.2).
pub fn solicitation(mac: MacAddr, own: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let route = Route {
        source: own,
        to: solicited_node(target),
        mac,
        to_mac: solicited_node_mac(target),
    };
    message(route, (OPTION_SOURCE_LL, mac.0), |icmp| {
        let mut message = MutableNeighborSolicitPacket::new(icmp).expect(ROOM);
        message.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        message.set_target_addr(target);
    })
}

/// Source is the address itself: works without a link-local one, and lets snooping switches bind it (L2-70).
fn advertisement(
    mac: MacAddr,
    address: Ipv6Addr,
    to: Ipv6Addr,
    to_mac: MacAddr,
    flags: u8,
) -> Vec<u8> {
    let route = Route {
        source: address,
        to,
        mac,
        to_mac,
    };
    message(route, (OPTION_TARGET_LL, mac.0), |icmp| {
        let mut message = MutableNeighborAdvertPacket::new(icmp).expect(ROOM);
        message.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        message.set_flags(flags);
        message.set_target_addr(address);
    })
}

const ROOM: &str = "the frame was made for a message with one option";

/// From whom to whom, in both layers.
#[derive(Clone, Copy)]
struct Route {
    source: Ipv6Addr,
    to: Ipv6Addr,
    mac: MacAddr,
    to_mac: MacAddr,
}

/// A message with one option of one unit; `fixed` writes its fixed part.
fn message(route: Route, option: (u8, [u8; 6]), fixed: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let Route {
        source,
        to,
        mac,
        to_mac,
    } = route;
    let mut bytes = frame(to_mac, mac, EtherTypes::Ipv6, IPV6_HEADER + MESSAGE);
    let packet = bytes.get_mut(ETHERNET_HEADER..).expect(ROOM);
    let mut header = MutableIpv6Packet::new(packet).expect(ROOM);
    header.set_version(6);
    header.set_payload_length(MESSAGE as u16);
    header.set_next_header(IpNextHeaderProtocols::Icmpv6);
    header.set_hop_limit(HOP_LIMIT);
    header.set_source(source);
    header.set_destination(to);

    let icmp = packet.get_mut(IPV6_HEADER..).expect(ROOM);
    let (kind, [a, b, c, d, e, f]) = option;
    let place = icmp.get_mut(ICMP_FIXED..).expect(ROOM);
    place.copy_from_slice(&[kind, 1, a, b, c, d, e, f]);
    fixed(icmp);
    let checksum = ipv6_checksum(
        icmp,
        CHECKSUM_WORD,
        &[],
        &source,
        &to,
        IpNextHeaderProtocols::Icmpv6,
    );
    MutableIcmpv6Packet::new(icmp)
        .expect(ROOM)
        .set_checksum(checksum);
    bytes
}
