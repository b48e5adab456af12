//! Which next hop goes with a prefix on a connection (BGP-87 to BGP-89; RFC 2545, RFC 8950).
//!
//! A pure function of the two ends of the connection and of what was negotiated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::{Family, NextHop};
use crate::routes::not_unicast;

/// The two ends of a connection, and the other addresses of this node that may stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// An IPv4 address of the interface that has `local`; the node's own address where the peer is on this host.
    pub ipv4: Option<Ipv4Addr>,
    /// A global IPv6 address, likewise.
    pub ipv6: Option<Ipv6Addr>,
    /// The link-local address of that interface, where the peer is on its link. Absent otherwise.
    pub link_local: Option<Ipv6Addr>,
}

impl Endpoints {
    /// Ends without further addresses.
    #[must_use]
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Endpoints {
        Endpoints {
            local,
            remote,
            ipv4: None,
            ipv6: None,
            link_local: None,
        }
    }

    /// Whether an address may be told to the peer as a next hop: one that packets can be sent to, and not its own.
    fn fits(&self, address: IpAddr) -> bool {
        !not_unicast(address) && address != self.remote.ip()
    }
}

/// The next hop for prefixes of a family, or none: the family is then withheld. `over_ipv6` says that IPv4 prefixes
/// with IPv6 next hops are in force.
#[must_use]
pub fn next_hop(
    ends: &Endpoints,
    family: Family,
    over_ipv6: bool,
    chosen: Option<IpAddr>,
) -> Option<NextHop> {
    match (family, chosen) {
        (Family::Ipv4, Some(IpAddr::V4(hop))) => Some(NextHop::V4(hop)),
        (Family::Ipv4, Some(IpAddr::V6(global))) => over_ipv6.then_some(NextHop::V6 {
            global,
            link_local: None,
        }),
        (Family::Ipv6, Some(IpAddr::V6(global))) => Some(NextHop::V6 {
            global,
            link_local: None,
        }),
        (Family::Ipv6, Some(IpAddr::V4(_))) => None,
        (Family::Ipv4, None) if over_ipv6 && ends.local.is_ipv6() => own_ipv6(ends),
        (Family::Ipv4, None) => own_ipv4(ends).map(NextHop::V4),
        (Family::Ipv6, None) => own_ipv6(ends),
    }
}

fn own_ipv4(ends: &Endpoints) -> Option<Ipv4Addr> {
    let local = match ends.local.ip() {
        IpAddr::V4(local) => Some(local),
        IpAddr::V6(_) => None,
    };
    [local, ends.ipv4]
        .into_iter()
        .flatten()
        .find(|address| ends.fits(IpAddr::V4(*address)))
}

fn own_ipv6(ends: &Endpoints) -> Option<NextHop> {
    let local = match ends.local.ip() {
        IpAddr::V6(local) => Some(local),
        IpAddr::V4(_) => None,
    };
    let global = [local, ends.ipv6]
        .into_iter()
        .flatten()
        .find(|address| !address.is_unicast_link_local() && ends.fits(IpAddr::V6(*address)));
    // A session on link-local addresses shows that the peer is on the link.
    let link_local = local
        .filter(Ipv6Addr::is_unicast_link_local)
        .or(ends.link_local)
        .filter(|ll| ends.fits(IpAddr::V6(*ll)));
    match (global, link_local) {
        (Some(global), link_local) => Some(NextHop::V6 { global, link_local }),
        // BGP-89: the link-local address in both halves.
        (None, Some(only)) if local.is_some() => Some(NextHop::V6 {
            global: only,
            link_local: Some(only),
        }),
        (None, _) => None,
    }
}
