//! Where a session goes and from where: what the kernel must be asked for, or what this
//! node lacks for it.

use super::neighbors::Neighbors;
use crate::config::bgp::{BfdMode, BgpPeer, Endpoint, Password};
use crate::facts::Interface;
use bgp::{Endpoints, Obstacle};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Time to live of sessions that may cross routers, and of those under GTSM.
const TTL_MAX: u8 = 255;

/// How to open a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The peer.
    pub remote: SocketAddr,
    /// Our address; none: the kernel chooses.
    pub local: Option<IpAddr>,
    /// Interface or VRF to bind to, by index.
    pub device: Option<u32>,
    /// Time to live, or hop limit, of what is sent.
    pub ttl: u8,
    /// Lowest one that is accepted (RFC 5082).
    pub minimum_ttl: Option<u8>,
    /// TCP MD5.
    pub password: Option<Password>,
}

/// This node's name, and what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
}

impl Node {
    pub(super) fn new(name: String) -> Self {
        Self { name }
    }

    /// The BGP identifier of a session that has none configured (BGP-37).
    pub(super) fn router_id(
        &self,
        peer: &BgpPeer,
        interfaces: &BTreeMap<u32, Interface>,
    ) -> Ipv4Addr {
        if let Some(IpAddr::V4(source)) = peer.source_address {
            return source;
        }
        let near = |interface: &&Interface| match &peer.endpoint {
            Endpoint::Address(address) => interface
                .addresses
                .iter()
                .any(|network| network.contains(*address)),
            Endpoint::Interface(name) => interface.name == *name,
        };
        let usable = || interfaces.values().filter(|interface| !interface.loopback);
        let nearest = usable().filter(near).find_map(ipv4_of);
        nearest
            .or_else(|| usable().find_map(ipv4_of))
            .unwrap_or_else(|| {
                // 0 is no identifier (RFC 6286).
                Ipv4Addr::from_bits(crc32(self.name.as_bytes()).max(1))
            })
    }
}

/// CRC-32 as Ethernet and MetalLB have it.
pub(super) fn crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (0u32.wrapping_sub(crc & 1)))
        })
    })
}

fn ipv4_of(interface: &Interface) -> Option<Ipv4Addr> {
    interface
        .addresses
        .iter()
        .find_map(|network| match network.ip() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
}

fn ipv6_of(interface: &Interface, link_local: bool) -> Option<Ipv6Addr> {
    interface
        .addresses
        .iter()
        .find_map(|network| match network.ip() {
            IpAddr::V6(v6) if v6.is_unicast_link_local() == link_local => Some(v6),
            _ => None,
        })
}

/// The ends of a connection, with the addresses beside ours that may be next hops.
pub(super) fn ends(
    local: SocketAddr,
    remote: SocketAddr,
    interfaces: &BTreeMap<u32, Interface>,
) -> Endpoints {
    let has = |interface: &&Interface, address: IpAddr| {
        interface
            .addresses
            .iter()
            .any(|network| network.ip() == address)
    };
    let mut ends = Endpoints::new(local, remote);
    let here = interfaces.values().any(|i| has(&i, remote.ip())) || remote.ip().is_loopback();
    // A link-local address may be on several links; the connection says on which.
    let scope = match local {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => interfaces.get(&v6.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    };
    let carrying = scope.or_else(|| {
        // A peer on this host is told the node's own address, not the loopback's.
        let carries = |i: &&Interface| !i.loopback && (here || has(i, local.ip()));
        interfaces.values().find(carries)
    });
    if let Some(interface) = carrying {
        ends.ipv4 = ipv4_of(interface);
        ends.ipv6 = ipv6_of(interface, false);
        let on_link = interface
            .addresses
            .iter()
            .any(|network| network.contains(remote.ip()));
        ends.link_local = ipv6_of(interface, true).filter(|_| on_link && !here);
    }
    ends
}

/// Whether the peer is on a link of this node.
pub(super) fn on_link(peer: IpAddr, interfaces: &BTreeMap<u32, Interface>) -> bool {
    let networks = interfaces
        .values()
        .flat_map(|interface| &interface.addresses);
    networks.clone().any(|network| network.contains(peer))
}

/// Whether BFD crosses routers (BFD-17).
pub(super) fn bfd_mode(
    peer: &BgpPeer,
    address: IpAddr,
    interfaces: &BTreeMap<u32, Interface>,
) -> bfd::Mode {
    let far = peer.ebgp_multi_hop || (peer.is_internal() && !on_link(address, interfaces));
    match peer.bfd_mode {
        BfdMode::MultiHop => bfd::Mode::MultiHop,
        BfdMode::Auto if far => bfd::Mode::MultiHop,
        BfdMode::Auto | BfdMode::SingleHop => bfd::Mode::SingleHop,
    }
}

/// What a session needs to know of this node.
pub(super) struct Surroundings<'a> {
    /// By index.
    pub(super) interfaces: &'a BTreeMap<u32, Interface>,
    /// Of the unnumbered links.
    pub(super) neighbors: &'a Neighbors,
}

/// How to reach the peer, or what is missing.
pub(super) fn dial(peer: &BgpPeer, around: &Surroundings<'_>) -> Result<Dial, Obstacle> {
    let interfaces = around.interfaces;
    let named = |name: &str| interfaces.values().find(|i| i.name == name && i.up);
    let address = match &peer.endpoint {
        Endpoint::Address(address) => *address,
        Endpoint::Interface(name) => {
            let link = named(name).ok_or(Obstacle::InterfaceMissing)?.index;
            let neighbor = around.neighbors.of(link);
            let neighbor = neighbor.ok_or(Obstacle::NeighborUnknown)?;
            return Ok(unnumbered(peer, neighbor, link));
        }
    };
    let device = match &peer.vrf {
        Some(name) => Some(named(name).ok_or(Obstacle::VrfMissing)?.index),
        None => None,
    };
    let local = match (&peer.source_interface, peer.source_address) {
        (Some(name), _) => {
            let interface = named(name).ok_or(Obstacle::InterfaceMissing)?;
            let of_family = match address {
                IpAddr::V4(_) => ipv4_of(interface).map(IpAddr::V4),
                IpAddr::V6(_) => ipv6_of(interface, false).map(IpAddr::V6),
            };
            Some(of_family.ok_or(Obstacle::SourceAddressMissing)?)
        }
        (None, Some(source)) => {
            let networks = interfaces
                .values()
                .flat_map(|interface| &interface.addresses);
            let here = networks.clone().any(|network| network.ip() == source);
            Some(
                Some(source)
                    .filter(|_| here)
                    .ok_or(Obstacle::SourceAddressMissing)?,
            )
        }
        (None, None) => None,
    };
    let (ttl, minimum_ttl) = ttl(peer);
    Ok(Dial {
        remote: SocketAddr::new(address, peer.port),
        local,
        device,
        ttl,
        minimum_ttl,
        password: peer.password.clone(),
    })
}

/// To the neighbour of a link, from our address there.
fn unnumbered(peer: &BgpPeer, neighbor: Ipv6Addr, link: u32) -> Dial {
    let (ttl, minimum_ttl) = ttl(peer);
    Dial {
        remote: SocketAddrV6::new(neighbor, peer.port, 0, link).into(),
        local: None,
        device: Some(link),
        ttl,
        minimum_ttl,
        password: peer.password.clone(),
    }
}

/// Time to live of what is sent, and the lowest one that is accepted (BGP-10, BGP-11).
fn ttl(peer: &BgpPeer) -> (u8, Option<u8>) {
    match peer.ttl_security_hops {
        // A packet that took h hops arrives with 256 - h at least.
        Some(hops) => (TTL_MAX, Some(0u8.wrapping_sub(hops))),
        None if peer.ebgp_multi_hop => (peer.multihop_ttl.unwrap_or(TTL_MAX), None),
        None if peer.is_internal() => (TTL_MAX, None),
        None => (1, None),
    }
}
