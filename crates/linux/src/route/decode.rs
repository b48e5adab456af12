//! Link, address and route messages of rtnetlink, as bytes to our types.
//!
//! Owns the offsets and attribute numbers. Deliberately reads only what is asked for and skips the rest:
//! a whole decode would cost a link for one attribute it does not understand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netlink::{attributes, u16_at, u32_at};

use super::{Flags, Gateway, Link};

/// `struct ifinfomsg`: family u8, pad u8, type u16, index i32, flags u32, change u32.
const LINK_HEADER_BYTES: usize = 16;
/// `struct ifaddrmsg`: family, prefix length, flags, scope (u8 each), index u32.
const ADDRESS_HEADER_BYTES: usize = 8;
/// `struct rtmsg`: family, dst_len, src_len, tos, table, protocol, scope, type (u8 each), flags u32.
const ROUTE_HEADER_BYTES: usize = 12;
/// `struct rtnexthop`: len u16, flags u8, hops u8, index u32.
const NEXT_HOP_HEADER_BYTES: usize = 8;

/// `IFLA_INET6_CONF`: an array of u32.
const INET6_CONF: u16 = 2;
/// `DEVCONF_DISABLE_IPV6`: position in that array.
const CONF_DISABLE_IPV6: usize = 26;

/// The body of a request for all links, without statistics, which nobody reads.
pub(super) fn link_request() -> Vec<u8> {
    let mut body = vec![0u8; LINK_HEADER_BYTES];
    body.extend_from_slice(&8u16.to_ne_bytes());
    body.extend_from_slice(&libc::IFLA_EXT_MASK.to_ne_bytes());
    body.extend_from_slice(&(libc::RTEXT_FILTER_SKIP_STATS as u32).to_ne_bytes());
    body
}

/// A link message without its addresses, which come in messages of their own.
pub(super) fn link(payload: &[u8]) -> Option<Link> {
    let bits = u32_at(payload, 8)?;
    let has = |flag: i32| bits & flag as u32 != 0;
    let mut link = Link {
        index: u32_at(payload, 4)?,
        name: String::new(),
        mac: None,
        link_type: u16_at(payload, 2)?,
        flags: Flags {
            up: has(libc::IFF_UP),
            running: has(libc::IFF_RUNNING),
            carrier: has(libc::IFF_LOWER_UP),
            broadcast: has(libc::IFF_BROADCAST),
            loopback: has(libc::IFF_LOOPBACK),
            pointopoint: has(libc::IFF_POINTOPOINT),
            noarp: has(libc::IFF_NOARP),
        },
        master: None,
        kind: None,
        master_kind: None,
        addresses: Vec::new(),
        mtu: 0,
        // True unless the kernel shows an IPv6 configuration that says otherwise.
        ipv6_disabled: true,
    };
    attributes(
        payload.get(LINK_HEADER_BYTES..)?,
        |kind, value| match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok(),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_MASTER => link.master = u32_at(value, 0).filter(|m| *m != 0),
            libc::IFLA_LINKINFO => attributes(value, |kind, value| match kind {
                libc::IFLA_INFO_KIND => link.kind = Some(text(value)),
                libc::IFLA_INFO_SLAVE_KIND => link.master_kind = Some(text(value)),
                _ => {}
            }),
            libc::IFLA_AF_SPEC => {
                if let Some(disabled) = ipv6_disabled(value) {
                    link.ipv6_disabled = disabled;
                }
            }
            _ => {}
        },
    );
    Some(link)
}

fn ipv6_disabled(af_spec: &[u8]) -> Option<bool> {
    let mut disabled = None;
    attributes(af_spec, |family, value| {
        if i32::from(family) == libc::AF_INET6 {
            attributes(value, |kind, value| {
                if kind == INET6_CONF {
                    disabled = u32_at(value, CONF_DISABLE_IPV6 * 4).map(|v| v != 0);
                }
            });
        }
    });
    disabled
}

/// An address message: interface index, address and prefix length.
pub(super) fn address(payload: &[u8]) -> Option<(u32, (IpAddr, u8))> {
    let prefix = *payload.get(1)?;
    let index = u32_at(payload, 4)?;
    let (mut local, mut peer) = (None, None);
    attributes(
        payload.get(ADDRESS_HEADER_BYTES..)?,
        |kind, value| match kind {
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => peer = ip(value),
            _ => {}
        },
    );
    // On a point-to-point link IFA_ADDRESS is the other end; IPv6 without a peer has only IFA_ADDRESS.
    Some((index, (local.or(peer)?, prefix)))
}

/// The next hops of a default route of the main table; nothing for other routes.
pub(super) fn gateways(payload: &[u8], out: &mut Vec<Gateway>) {
    let (Some(&family), Some(&dst_len), Some(&route_table), Some(&route_type)) = (
        payload.first(),
        payload.get(1),
        payload.get(4),
        payload.get(7),
    ) else {
        return;
    };
    let ipv6 = i32::from(family) == libc::AF_INET6;
    if dst_len != 0 || route_table != libc::RT_TABLE_MAIN || route_type != libc::RTN_UNICAST {
        return;
    }
    let (mut address, mut ifindex, mut metric) = (None, None, 0);
    let mut hops = Vec::new();
    let rest = payload.get(ROUTE_HEADER_BYTES..).unwrap_or_default();
    attributes(rest, |kind, value| match kind {
        libc::RTA_GATEWAY => address = ip(value),
        libc::RTA_OIF => ifindex = u32_at(value, 0),
        libc::RTA_PRIORITY => metric = u32_at(value, 0).unwrap_or(0),
        libc::RTA_MULTIPATH => hops = next_hops(value),
        _ => {}
    });
    if let Some(ifindex) = ifindex {
        hops.push((ifindex, address));
    }
    out.extend(hops.into_iter().map(|(ifindex, address)| Gateway {
        address,
        ifindex,
        metric,
        ipv6,
    }));
}

fn next_hops(mut rest: &[u8]) -> Vec<(u32, Option<IpAddr>)> {
    let mut hops = Vec::new();
    while let (Some(len), Some(ifindex)) = (u16_at(rest, 0), u32_at(rest, 4)) {
        let len = usize::from(len);
        let Some(body) = rest.get(NEXT_HOP_HEADER_BYTES..len) else {
            break;
        };
        let mut address = None;
        attributes(body, |kind, value| {
            if kind == libc::RTA_GATEWAY {
                address = ip(value);
            }
        });
        hops.push((ifindex, address));
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(value)
        .map(|o| Ipv4Addr::from(o).into())
        .or_else(|_| <[u8; 16]>::try_from(value).map(|o| Ipv6Addr::from(o).into()))
        .ok()
}

/// A string that the kernel ends with a zero.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
