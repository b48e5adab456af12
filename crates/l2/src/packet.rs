//! Frames on the wire: Ethernet here, ARP and Neighbor Discovery in the modules below, and the messages that routers
//! find each other by.
//!
//! Owns reading and building of what the responder exchanges. Reading never panics and borrows the frame; every
//! refusal is a [`DropReason`]. Layouts are `pnet_packet`'s; its option walk and length fields are not used, because
//! they trust the packet (its `NdpOption` overflows on a length octet of 32 and above). Building of VLAN headers is
//! deliberately absent: use the VLAN interface.

pub mod arp;
pub mod nd;
pub mod router;

use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};

use crate::counters::DropReason;
use crate::mac::MacAddr;

/// Octets of an Ethernet header without a VLAN tag.
pub const ETHERNET_HEADER: usize = 14;
/// Shortest frame without its check sequence; shorter ones are padded by us with zeros (802.3, L2-21).
pub const FRAME_MIN: usize = 60;
/// ff02::1 on Ethernet (RFC 2464 §7).
pub const ALL_NODES_MAC: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

const VLAN_TAG: usize = 4;

/// An Ethernet frame, taken apart. A priority tag (VLAN id 0) is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet<'a> {
    /// Destination address.
    pub destination: MacAddr,
    /// Source address.
    pub source: MacAddr,
    /// Ethertype of the payload.
    pub ethertype: u16,
    /// Everything behind the header, padding included.
    pub payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// Takes a frame apart; refuses a short one and one with a VLAN id (L2-10).
    pub fn parse(frame: &'a [u8]) -> Result<Self, DropReason> {
        let header = EthernetPacket::new(frame).ok_or(DropReason::Malformed)?;
        let mut payload = frame.get(ETHERNET_HEADER..).ok_or(DropReason::Malformed)?;
        let mut ethertype = header.get_ethertype();
        if ethertype == EtherTypes::Vlan || ethertype == EtherTypes::PBridge {
            let (tag, rest) = payload
                .split_at_checked(VLAN_TAG)
                .ok_or(DropReason::Malformed)?;
            let [tci_high, tci_low, type_high, type_low] = *tag else {
                return Err(DropReason::Malformed);
            };
            if vlan_id(u16::from_be_bytes([tci_high, tci_low])) != 0 {
                return Err(DropReason::Vlan);
            }
            ethertype = EtherType(u16::from_be_bytes([type_high, type_low]));
            payload = rest;
        }
        Ok(Ethernet {
            destination: MacAddr(header.get_destination().octets()),
            source: MacAddr(header.get_source().octets()),
            ethertype: ethertype.0,
            payload,
        })
    }
}

/// The VLAN id within a tag control field; 0 means a priority tag (802.1Q §9.6).
pub(crate) fn vlan_id(tag_control: u16) -> u16 {
    tag_control & 0x0fff
}

/// A zeroed frame of at least [`FRAME_MIN`] octets for `payload` octets, with its Ethernet header written.
fn frame(destination: MacAddr, source: MacAddr, ethertype: EtherType, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0; (ETHERNET_HEADER + payload).max(FRAME_MIN)];
    let mut header =
        MutableEthernetPacket::new(&mut bytes).expect("a frame is longer than its header");
    header.set_destination(destination.0.into());
    header.set_source(source.0.into());
    header.set_ethertype(ethertype);
    bytes
}
