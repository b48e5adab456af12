//! Every field arrives.

use linux::route::{Flags, Link};

use super::interface;

#[test]
fn a_link_becomes_an_interface() {
    let link = Link {
        index: 7,
        name: "eth0".to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        link_type: 1,
        flags: Flags {
            up: true,
            running: true,
            carrier: true,
            broadcast: true,
            ..Flags::default()
        },
        master: Some(3),
        kind: None,
        master_kind: Some("vrf".to_owned()),
        addresses: vec![
            ("192.0.2.1".parse().unwrap(), 24),
            ("::1".parse().unwrap(), 200),
        ],
        mtu: 1500,
        ipv6_disabled: true,
    };
    let read = |interface: &str, name: &str| match (interface, name) {
        ("eth0", "arp_ignore") => 1,
        ("eth0", "rp_filter") => 2,
        _ => 9,
    };
    let interface = interface(&link, &read);
    assert!(interface.ethernet && interface.carrier && interface.up && !interface.ipv6);
    assert_eq!(interface.master, Some((3, "vrf".to_owned())));
    assert_eq!((interface.arp_ignore, interface.rp_filter), (1, 2));
    // A prefix length that cannot be is left out.
    assert_eq!(interface.addresses.len(), 1);
}
