//! Frames as a capture sees them, with just enough decoding to ask about ARP and neighbour discovery.
//!
//! Deliberately its own decoder: a mistake of the project's frames must not be understood by its lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// A captured frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the kernel saw it.
    pub at: Instant,
    /// The host that captures sent it itself.
    pub outgoing: bool,
    /// All of it, from the Ethernet header.
    pub bytes: Vec<u8>,
}

/// An ARP packet for Ethernet and IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender hardware address.
    pub sender_mac: [u8; 6],
    /// Sender protocol address.
    pub sender_ip: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: [u8; 6],
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

/// A neighbour solicitation or advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// 135 solicitation, 136 advertisement.
    pub kind: u8,
    /// Source of the packet.
    pub source: Ipv6Addr,
    /// Destination of the packet.
    pub destination: Ipv6Addr,
    /// Whose hardware address is asked for or told.
    pub target: Ipv6Addr,
    /// Router flag.
    pub router: bool,
    /// Solicited flag.
    pub solicited: bool,
    /// Override flag.
    pub overrides: bool,
    /// Source (1) or target (2) link-layer address option.
    pub mac: Option<[u8; 6]>,
}

impl Frame {
    /// Ethernet destination.
    pub fn destination(&self) -> [u8; 6] {
        self.octets(0).unwrap_or_default()
    }

    /// Ethernet source.
    pub fn source(&self) -> [u8; 6] {
        self.octets(6).unwrap_or_default()
    }

    /// Ethernet type.
    pub fn ethertype(&self) -> u16 {
        self.octets(12).map_or(0, u16::from_be_bytes)
    }

    /// The ARP packet in it.
    pub fn arp(&self) -> Option<Arp> {
        if self.ethertype() != 0x0806 || self.octets(14)? != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        Some(Arp {
            operation: u16::from_be_bytes(self.octets(20)?),
            sender_mac: self.octets(22)?,
            sender_ip: Ipv4Addr::from(self.octets::<4>(28)?),
            target_mac: self.octets(32)?,
            target_ip: Ipv4Addr::from(self.octets::<4>(38)?),
        })
    }

    /// The neighbour solicitation or advertisement in it.
    pub fn neighbor(&self) -> Option<Neighbor> {
        let [kind] = self.octets(54)?;
        if self.ethertype() != 0x86dd || self.octets(20)? != [58u8] || !matches!(kind, 135 | 136) {
            return None;
        }
        let [flags] = self.octets(58)?;
        let mut mac = None;
        let mut at = 78;
        while let Some([option, len]) = self.octets::<2>(at) {
            if matches!(option, 1 | 2) && len == 1 {
                mac = self.octets(at + 2);
            }
            if len == 0 {
                break;
            }
            at += usize::from(len) * 8;
        }
        Some(Neighbor {
            kind,
            source: Ipv6Addr::from(self.octets::<16>(22)?),
            destination: Ipv6Addr::from(self.octets::<16>(38)?),
            target: Ipv6Addr::from(self.octets::<16>(62)?),
            router: flags & 0x80 != 0,
            solicited: flags & 0x40 != 0,
            overrides: flags & 0x20 != 0,
            mac,
        })
    }

    /// Whether it is an ARP packet or a neighbour advertisement by which its sender says it has `ip`.
    pub fn announces(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.arp().is_some_and(|a| a.sender_ip == ip),
            IpAddr::V6(ip) => self
                .neighbor()
                .is_some_and(|n| n.kind == 136 && n.target == ip),
        }
    }

    /// Whether it announces `ip` unasked: a gratuitous ARP or an unsolicited advertisement.
    pub fn gratuitous(&self, ip: IpAddr) -> bool {
        self.announces(ip)
            && match ip {
                IpAddr::V4(ip) => self.arp().is_some_and(|a| a.target_ip == ip),
                IpAddr::V6(_) => self.neighbor().is_some_and(|n| !n.solicited),
            }
    }

    /// Whether it is an MLDv2 report (with a hop-by-hop header before it) that speaks of `group`.
    pub fn mld_report_for(&self, group: Ipv6Addr) -> bool {
        // IPv6 with next header 0, hop-by-hop of 8 octets with next header 58, ICMPv6 type 143.
        self.ethertype() == 0x86dd
            && self.octets(20) == Some([0u8])
            && self.octets(54) == Some([58u8])
            && self.octets(62) == Some([143u8])
            && self
                .bytes
                .get(70..)
                .is_some_and(|records| records.windows(16).any(|w| w == group.octets()))
    }

    fn octets<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at + N)?.try_into().ok()
    }
}
