//! ARP for IPv4 over Ethernet (RFC 826), and the two gratuitous forms (RFC 5227 §2.3).
//!
//! Owns the layout of the 28 octets. Does not judge what a packet means; the responder does.

use std::net::Ipv4Addr;

use pnet_packet::arp::{
    ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket,
};
use pnet_packet::ethernet::EtherTypes;

use super::{ETHERNET_HEADER, frame};
use crate::counters::DropReason;
use crate::mac::MacAddr;

/// Ethertype of ARP.
pub const ETHERTYPE: u16 = 0x0806;
/// Octets of an ARP packet for Ethernet and IPv4.
pub const LENGTH: usize = 28;

/// The two operations that are read (RFC 826; others are refused, RFC 5494).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// 1: who has the target?
    Request,
    /// 2: the sender has its address.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// Sender hardware address.
    pub sender_mac: MacAddr,
    /// Sender protocol address; 0.0.0.0 in a probe (RFC 5227 §2.1.1).
    pub sender: Ipv4Addr,
    /// Target hardware address; of no meaning in a request.
    pub target_mac: MacAddr,
    /// Target protocol address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads the payload of a frame of ethertype [`ETHERTYPE`]; padding behind the packet is ignored (L2-01).
    pub fn parse(payload: &[u8]) -> Result<Self, DropReason> {
        let packet = payload
            .get(..LENGTH)
            .and_then(ArpPacket::new)
            .ok_or(DropReason::Malformed)?;
        if packet.get_hardware_type() != ArpHardwareTypes::Ethernet
            || packet.get_protocol_type() != EtherTypes::Ipv4
            || packet.get_hw_addr_len() != 6
            || packet.get_proto_addr_len() != 4
        {
            return Err(DropReason::NotEthernetIpv4);
        }
        let operation = match packet.get_operation() {
            ArpOperations::Request => Operation::Request,
            ArpOperations::Reply => Operation::Reply,
            ArpOperation(_) => return Err(DropReason::Operation),
        };
        Ok(Arp {
            operation,
            sender_mac: MacAddr(packet.get_sender_hw_addr().octets()),
            sender: packet.get_sender_proto_addr(),
            target_mac: MacAddr(packet.get_target_hw_addr().octets()),
            target: packet.get_target_proto_addr(),
        })
    }

    /// The whole frame, padded, from this packet's sender to `destination`.
    pub fn build(&self, destination: MacAddr) -> Vec<u8> {
        let mut bytes = frame(destination, self.sender_mac, EtherTypes::Arp, LENGTH);
        let body = bytes
            .get_mut(ETHERNET_HEADER..)
            .expect("a frame is longer than its header");
        let mut packet = MutableArpPacket::new(body).expect("the frame was made for an ARP packet");
        packet.set_hardware_type(ArpHardwareTypes::Ethernet);
        packet.set_protocol_type(EtherTypes::Ipv4);
        packet.set_hw_addr_len(6);
        packet.set_proto_addr_len(4);
        packet.set_operation(match self.operation {
            Operation::Request => ArpOperations::Request,
            Operation::Reply => ArpOperations::Reply,
        });
        packet.set_sender_hw_addr(self.sender_mac.0.into());
        packet.set_sender_proto_addr(self.sender);
        packet.set_target_hw_addr(self.target_mac.0.into());
        packet.set_target_proto_addr(self.target);
        bytes
    }

    /// The answer to this request by the station `mac`: unicast to the requester's hardware address from the ARP body,
    /// with the requester's own addresses as target (RFC 826, RFC 5227 §2.5).
    pub fn reply(&self, mac: MacAddr) -> Vec<u8> {
        let reply = Arp {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        };
        reply.build(self.sender_mac)
    }
}

/// A probe: a broadcast request that claims nothing, sender protocol address 0.0.0.0 (RFC 5227 §2.1.1).
pub fn probe(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let packet = Arp {
        operation: Operation::Request,
        sender_mac: mac,
        sender: Ipv4Addr::UNSPECIFIED,
        target_mac: MacAddr::ZERO,
        target: address,
    };
    packet.build(MacAddr::BROADCAST)
}

/// First frame of a gratuitous round: a broadcast request for our own address, target hardware zero (RFC 5227 §2.3).
pub fn gratuitous_request(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let packet = Arp {
        operation: Operation::Request,
        sender_mac: mac,
        sender: address,
        target_mac: MacAddr::ZERO,
        target: address,
    };
    packet.build(MacAddr::BROADCAST)
}

/// Second frame of a gratuitous round: a broadcast reply nobody asked for, for stacks that learn from replies only.
pub fn gratuitous_reply(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let packet = Arp {
        operation: Operation::Reply,
        sender_mac: mac,
        sender: address,
        target_mac: mac,
        target: address,
    };
    packet.build(MacAddr::BROADCAST)
}
