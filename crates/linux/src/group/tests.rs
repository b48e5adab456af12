//! The mapping of addresses to groups; the joins themselves are shown in the labs.

use super::*;

// L2-66
#[test]
fn maps_an_address_to_its_solicited_node_group() {
    let cases = [
        ("2001:db8::1", "ff02::1:ff00:1"),
        ("fd00::dead:beef", "ff02::1:ffad:beef"),
        ("::", "ff02::1:ff00:0"),
        ("fe80::ffff:ffff:ffff", "ff02::1:ffff:ffff"),
    ];
    for (address, group) in cases {
        let address: Ipv6Addr = address.parse().unwrap();
        assert_eq!(solicited_node(address), group.parse::<Ipv6Addr>().unwrap());
    }
}
