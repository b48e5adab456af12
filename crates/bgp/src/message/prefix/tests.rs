//! Prefixes: octets both ways, and where a field ends.

use super::*;

fn prefixes(field: &[u8], family: Family) -> Vec<String> {
    Prefixes::new(field, family)
        .map(|prefix| prefix.to_string())
        .collect()
}

#[test]
fn a_prefix_takes_as_many_octets_as_its_length_needs() {
    for (text, octets) in [
        ("0.0.0.0/0", &[0][..]),
        ("10.0.0.0/8", &[8, 10]),
        ("10.128.0.0/9", &[9, 10, 128]),
        ("192.0.2.0/24", &[24, 192, 0, 2]),
        ("192.0.2.1/32", &[32, 192, 0, 2, 1]),
        ("::/0", &[0]),
        ("2001:db8::/32", &[32, 0x20, 0x01, 0x0d, 0xb8]),
        (
            "2001:db8::1/128",
            &[
                128, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            ],
        ),
    ] {
        let prefix: IpNetwork = text.parse().unwrap();
        let mut out = Vec::new();
        encode(&prefix, &mut out);
        assert_eq!(out, octets, "{text}");
        assert_eq!(encoded_len(&prefix), octets.len(), "{text}");
        assert_eq!(prefixes(octets, Family::of(&prefix)), [text]);
    }
}

#[test]
fn host_bits_are_never_written_and_cleared_when_read() {
    let mut out = Vec::new();
    encode(&"192.0.2.255/23".parse().unwrap(), &mut out);
    assert_eq!(out, [23, 192, 0, 2]);
    assert_eq!(prefixes(&[23, 192, 0, 3], Family::Ipv4), ["192.0.2.0/23"]);
    assert_eq!(prefixes(&[1, 0xff], Family::Ipv6), ["8000::/1"]);
}

#[test]
fn a_field_ends_where_it_cannot_be_read() {
    for (field, family) in [
        (&[33, 1, 2, 3, 4, 5][..], Family::Ipv4),
        (&[255], Family::Ipv4),
        (&[129; 18], Family::Ipv6),
        (&[32, 1, 2, 3], Family::Ipv4),
        (&[1], Family::Ipv6),
    ] {
        assert_eq!(count(field, family), Err(Malformed), "{field:?}");
        assert!(prefixes(field, family).is_empty(), "{field:?}");
    }
    assert_eq!(count(&[], Family::Ipv4), Ok(0));
    assert_eq!(count(&[0, 0, 8, 10, 32, 1, 2, 3, 4], Family::Ipv4), Ok(4));
}
