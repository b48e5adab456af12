//! Attributes: the octets of each, their flags and their order.

use super::*;
use crate::message::notification::hex;

fn octets(attributes: &Attributes, four_octet_as: bool, next_hop: Option<Ipv4Addr>) -> String {
    let mut out = Vec::new();
    attributes.encode(
        &WireRules {
            four_octet_as,
            ..WireRules::default()
        },
        next_hop,
        &mut out,
    );
    hex(&out)
}

/// What every announcement begins with: ORIGIN IGP and an empty AS_PATH.
const PLAIN: &str = "40010100400200";

// BGP-85
#[test]
fn each_attribute_has_its_flags_and_octets() {
    let id = Ipv4Addr::new(192, 0, 2, 9);
    let aggregator = Some(Aggregator {
        asn: Asn(64_512),
        router_id: id,
    });
    let all = Attributes::default;
    let table = [
        (all(), ""),
        (
            Attributes {
                med: Some(5),
                ..all()
            },
            "80040400000005",
        ),
        (
            Attributes {
                local_pref: Some(100),
                ..all()
            },
            "40050400000064",
        ),
        (
            Attributes {
                atomic_aggregate: true,
                ..all()
            },
            "400600",
        ),
        (
            Attributes {
                aggregator,
                ..all()
            },
            "c007080000fc00c0000209",
        ),
        (
            Attributes {
                communities: vec![Community::NO_EXPORT, Community::new(1, 2)],
                ..all()
            },
            "c00808ffffff0100010002",
        ),
        (
            Attributes {
                originator_id: Some(id),
                ..all()
            },
            "800904c0000209",
        ),
        (
            Attributes {
                cluster_list: vec![id, id],
                ..all()
            },
            "800a08c0000209c0000209",
        ),
        (
            Attributes {
                extended_communities: vec![ExtendedCommunity::link_bandwidth(Asn(64_512), 1.0)],
                ..all()
            },
            "c010084004fc003f800000",
        ),
        (
            Attributes {
                large_communities: vec![LargeCommunity {
                    global: 1,
                    local_1: 2,
                    local_2: 3,
                }],
                ..all()
            },
            "c0200c000000010000000200000003",
        ),
    ];
    for (attributes, tail) in table {
        assert_eq!(
            octets(&attributes, true, None),
            format!("{PLAIN}{tail}"),
            "{attributes:?}"
        );
    }
    let egp = Attributes {
        origin: Origin::Incomplete,
        ..Attributes::default()
    };
    assert_eq!(octets(&egp, true, Some(id)), "40010102400200400304c0000209");
}

// BGP-85
#[test]
fn the_extended_length_is_used_only_above_255_octets() {
    let with = |count| Attributes {
        communities: vec![Community::new(1, 1); count],
        ..Attributes::default()
    };
    assert!(octets(&with(63), true, None).starts_with(&format!("{PLAIN}c008fc")));
    assert!(octets(&with(64), true, None).starts_with(&format!("{PLAIN}d0080100")));
}

// BGP-42
#[test]
fn as4_path_goes_along_exactly_when_a_number_was_replaced() {
    let with = |asn| Attributes {
        as_path: AsPath::repeated(Asn(asn), 2),
        ..Attributes::default()
    };
    assert_eq!(
        octets(&with(64_512), true, None),
        "4001010040020a02020000fc000000fc00"
    );
    assert_eq!(
        octets(&with(64_512), false, None),
        "400101004002060202fc00fc00"
    );
    assert_eq!(
        octets(&with(4_200_000_000), true, None),
        "4001010040020a0202fa56ea00fa56ea00"
    );
    let replaced = octets(&with(4_200_000_000), false, None);
    assert_eq!(
        replaced,
        "4001010040020602025ba05ba0c0110a0202fa56ea00fa56ea00"
    );
    let aggregator = Some(Aggregator {
        asn: Asn(4_200_000_000),
        router_id: [1, 1, 1, 1].into(),
    });
    let attributes = Attributes {
        aggregator,
        ..Attributes::default()
    };
    assert_eq!(
        octets(&attributes, false, None),
        format!("{PLAIN}c007065ba001010101c01208fa56ea0001010101")
    );
}

#[test]
fn sorting_removes_repetitions() {
    let attributes = Attributes {
        communities: ["2:1", "1:9", "2:1"]
            .iter()
            .map(|c| c.parse().unwrap())
            .collect(),
        large_communities: ["1:1:2", "1:1:1", "1:1:2"]
            .iter()
            .map(|c| c.parse().unwrap())
            .collect(),
        extended_communities: vec![
            ExtendedCommunity([9; 8]),
            ExtendedCommunity([1; 8]),
            ExtendedCommunity([9; 8]),
        ],
        ..Attributes::default()
    }
    .sorted();
    let words: Vec<String> = attributes
        .communities
        .iter()
        .map(Community::to_string)
        .collect();
    assert_eq!(words, ["1:9", "2:1"]);
    assert_eq!(attributes.large_communities.len(), 2);
    assert_eq!(
        attributes.extended_communities,
        [ExtendedCommunity([1; 8]), ExtendedCommunity([9; 8])]
    );
}

#[test]
fn names_are_the_rfcs() {
    assert_eq!(name(code::MP_REACH), Some("MP_REACH_NLRI"));
    assert_eq!(name(99), None);
}
