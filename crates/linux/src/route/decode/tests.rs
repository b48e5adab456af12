//! Decoding of bytes shaped as the kernel shapes them, and of every cut of them.

use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn header(link_type: u16, index: u32, flags: i32) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend_from_slice(&link_type.to_ne_bytes());
    out.extend_from_slice(&index.to_ne_bytes());
    out.extend_from_slice(&(flags as u32).to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out
}

fn bridge_port() -> Vec<u8> {
    let mut conf = vec![0u8; 4 * 40];
    conf[CONF_DISABLE_IPV6 * 4] = 0;
    let inet6 = attribute(libc::AF_INET6 as u16, &attribute(INET6_CONF, &conf));
    let info = [
        attribute(libc::IFLA_INFO_KIND, b"veth\0"),
        attribute(libc::IFLA_INFO_SLAVE_KIND, b"bridge\0"),
    ]
    .concat();
    [
        header(
            1,
            7,
            libc::IFF_UP | libc::IFF_BROADCAST | libc::IFF_LOWER_UP,
        ),
        attribute(libc::IFLA_IFNAME, b"eth0\0"),
        attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 9]),
        attribute(libc::IFLA_MTU, &1500u32.to_ne_bytes()),
        attribute(libc::IFLA_MASTER, &3u32.to_ne_bytes()),
        // An attribute of a kernel to come.
        attribute(4000, &[1, 2, 3]),
        attribute(libc::IFLA_LINKINFO, &info),
        attribute(libc::IFLA_AF_SPEC, &inet6),
    ]
    .concat()
}

#[test]
fn reads_a_bridge_port() {
    let link = link(&bridge_port()).unwrap();
    assert_eq!(link.index, 7);
    assert_eq!(link.name, "eth0");
    assert_eq!(link.mac, Some([2, 0, 0, 0, 0, 9]));
    assert_eq!(link.master, Some(3));
    assert_eq!(link.kind.as_deref(), Some("veth"));
    assert_eq!(link.master_kind.as_deref(), Some("bridge"));
    assert_eq!((link.link_type, link.mtu), (1, 1500));
    assert!(link.flags.up && link.flags.carrier && link.flags.broadcast);
    assert!(!link.flags.running && !link.flags.noarp && !link.flags.loopback);
    assert!(!link.ipv6_disabled);
}

#[test]
fn ipv6_counts_as_disabled_without_a_configuration() {
    let plain = header(1, 1, 0);
    assert!(link(&plain).unwrap().ipv6_disabled);
}

#[test]
fn every_cut_of_a_message_is_survived() {
    let whole = bridge_port();
    for cut in 0..whole.len() {
        let _ = link(&whole[..cut]);
        let _ = address(&whole[..cut]);
        gateways(&whole[..cut], &mut Vec::new());
    }
}

#[test]
fn the_local_end_is_the_address_of_a_point_to_point_link() {
    let mut bytes = vec![2, 32, 0, 0];
    bytes.extend_from_slice(&5u32.to_ne_bytes());
    bytes.extend(attribute(libc::IFA_ADDRESS, &[192, 0, 2, 1]));
    let only_peer = address(&bytes).unwrap();
    assert_eq!(only_peer, (5, ("192.0.2.1".parse().unwrap(), 32)));
    bytes.extend(attribute(libc::IFA_LOCAL, &[192, 0, 2, 2]));
    let both = address(&bytes).unwrap();
    assert_eq!(both, (5, ("192.0.2.2".parse().unwrap(), 32)));
}

#[test]
fn next_hops_of_a_multipath_default_route_are_gateways_each() {
    let mut hops = Vec::new();
    for (index, last) in [(2u32, 1u8), (3, 2)] {
        let inner = attribute(libc::RTA_GATEWAY, &[192, 0, 2, last]);
        hops.extend_from_slice(&((8 + inner.len()) as u16).to_ne_bytes());
        hops.extend_from_slice(&[0, 0]);
        hops.extend_from_slice(&index.to_ne_bytes());
        hops.extend(inner);
    }
    let mut bytes = vec![2, 0, 0, 0, libc::RT_TABLE_MAIN, 3, 0, libc::RTN_UNICAST];
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend(attribute(libc::RTA_PRIORITY, &100u32.to_ne_bytes()));
    bytes.extend(attribute(libc::RTA_MULTIPATH, &hops));
    let mut out = Vec::new();
    gateways(&bytes, &mut out);
    let got: Vec<_> = out.iter().map(|g| (g.ifindex, g.metric, g.ipv6)).collect();
    assert_eq!(got, [(2, 100, false), (3, 100, false)]);
    // A route to somewhere is not a default route.
    bytes[1] = 24;
    gateways(&bytes, &mut out);
    assert_eq!(out.len(), 2);
}
