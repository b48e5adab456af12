//! Communities: words and numbers both ways.

use super::*;

#[test]
fn well_known_names_are_read_and_shown() {
    for (value, name) in Community::WELL_KNOWN {
        assert_eq!(name.parse(), Ok(value));
        assert_eq!(format!("{value:#}"), name);
        assert_eq!(value.to_string().parse(), Ok(value));
    }
    let numbers = [
        ("graceful-shutdown", "65535:0"),
        ("blackhole", "65535:666"),
        ("no-export", "65535:65281"),
        ("no-advertise", "65535:65282"),
        ("no-export-subconfed", "65535:65283"),
        ("no-peer", "65535:65284"),
    ];
    for (name, number) in numbers {
        assert_eq!(name.parse::<Community>(), number.parse(), "{name}");
    }
    assert_eq!(format!("{:#}", Community::new(1, 2)), "1:2");
}

#[test]
fn what_is_no_community_is_refused() {
    for text in [
        "",
        ":",
        "1",
        "1:",
        ":1",
        "65536:1",
        "1:65536",
        "-1:1",
        "+1:1",
        "1:2:3",
        " 1:1",
        "1:1 ",
        "NO-EXPORT",
    ] {
        assert_eq!(
            text.parse::<Community>(),
            Err(ParseCommunityError(text.to_owned())),
            "{text:?}"
        );
    }
    for text in [
        "",
        "1:2",
        "1:2:3:4",
        "4294967296:1:1",
        "large:1:2",
        "1::3",
        "+1:2:3",
        "large:large:1:2:3",
    ] {
        assert!(text.parse::<LargeCommunity>().is_err(), "{text:?}");
    }
}

#[test]
fn large_communities_are_read_with_and_without_their_word() {
    let value = LargeCommunity {
        global: 4_294_967_295,
        local_1: 0,
        local_2: 7,
    };
    assert_eq!("4294967295:0:7".parse(), Ok(value));
    assert_eq!("large:4294967295:0:7".parse(), Ok(value));
    assert_eq!(value.to_string(), "4294967295:0:7");
    assert_eq!(LargeCommunity::from_octets(value.octets()), value);
}

// BGP-94
#[test]
fn link_bandwidth_is_a_float_of_octets_per_second() {
    let one = ExtendedCommunity::link_bandwidth(Asn(64_512), 125_000_000.0);
    assert_eq!(
        one.0,
        [0x40, 0x04, 0xfc, 0x00, 0x4c, 0xee, 0x6b, 0x28],
        "1 Gbit/s"
    );
    let wide = ExtendedCommunity::link_bandwidth(Asn(4_200_000_000), 3.0 * 125_000_000.0);
    assert_eq!(wide.as_link_bandwidth(), Some((23_456, 375_000_000.0)));
    assert_eq!(
        ExtendedCommunity([0, 2, 0, 0, 0, 0, 0, 1]).as_link_bandwidth(),
        None
    );
    assert_eq!(one.to_string(), "lb:64512:125000000");
}
