//! Messages and rules by chance, for the properties: everything we could send, with prefixes of both families.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use bgp::message::capability::{FQDN_OCTETS_MAX, RESTART_TIME_SECS_MAX};
use bgp::message::{
    Aggregator, ExtendedNextHop, Fqdn, GracefulRestart, Origin, Segment, SegmentKind,
};
use bgp::{
    AfiSafi, AsPath, Asn, Attributes, Capabilities, Community, ErrorCode, ExtendedCommunity,
    Families, Family, LargeCommunity, NextHop, Notification, Open, Update, WireRules,
};
use ipnetwork::IpNetwork;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

pub(crate) fn rules() -> impl Strategy<Value = WireRules> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(extended, four_octet_as, internal)| {
        WireRules {
            extended_in: extended,
            extended_out: extended,
            four_octet_as,
            internal,
            families: Families::BOTH,
            extended_next_hop: true,
            enhanced_refresh: true,
        }
    })
}

/// Unicast prefixes, without repetition.
pub(crate) fn prefixes(family: Family) -> impl Strategy<Value = Vec<IpNetwork>> {
    let one = (any::<u128>(), 0..=128_u8).prop_map(move |(bits, length)| match family {
        // 1.0.0.0 to 192.0.0.0 and 2000::/3: what no second opinion refuses.
        Family::Ipv4 => {
            let length = 8 + length % 25;
            let bits = ((bits as u32) % 0xbf00_0000 + 0x0100_0000)
                & (u32::MAX << (32 - u32::from(length)));
            IpNetwork::new(Ipv4Addr::from_bits(bits).into(), length)
                .expect("a length of the family")
        }
        Family::Ipv6 => {
            let length = length.max(3);
            let bits = (bits >> 3 | 1 << 125) & (u128::MAX << (128 - u32::from(length)));
            IpNetwork::new(Ipv6Addr::from_bits(bits).into(), length)
                .expect("a length of the family")
        }
    });
    btree_set(one, 1..30).prop_map(|set| set.into_iter().collect())
}

fn asn() -> impl Strategy<Value = Asn> {
    prop_oneof![1..=65_535_u32, 65_536..=u32::MAX].prop_map(Asn)
}

fn as_path(sets: bool) -> impl Strategy<Value = AsPath> {
    let segment = (any::<bool>(), vec(asn(), 1..6)).prop_map(move |(set, asns)| Segment {
        kind: if set && sets {
            SegmentKind::Set
        } else {
            SegmentKind::Sequence
        },
        asns,
    });
    // A decoder may put two sequences together, which means the same.
    vec(segment, 0..if sets { 3 } else { 2 }).prop_map(|segments| AsPath { segments })
}

/// Attributes as we could send them to such a peer. `sets`: with AS_SETs, which not every decoder takes any more.
pub(crate) fn attributes(rules: WireRules, sets: bool) -> impl Strategy<Value = Attributes> {
    let id = any::<u32>().prop_map(Ipv4Addr::from_bits);
    let internal = rules.internal;
    let first = (
        prop_oneof![
            Just(Origin::Igp),
            Just(Origin::Egp),
            Just(Origin::Incomplete)
        ],
        as_path(sets),
        option::of(any::<u32>()),
        any::<u32>(),
        any::<bool>(),
        option::of((asn(), id.clone())),
    );
    let lists = (
        vec(any::<u32>().prop_map(Community), 0..80),
        vec(any::<[u8; 8]>().prop_map(ExtendedCommunity), 0..5),
        vec(
            any::<[u8; 12]>().prop_map(LargeCommunity::from_octets),
            0..30,
        ),
        option::of(id.clone()),
        vec(id, 0..3),
    );
    (first, lists).prop_map(move |((origin, as_path, med, pref, atomic, aggregator), lists)| {
        let (communities, extended_communities, large_communities, originator_id, cluster_list) = lists;
        Attributes {
            origin,
            as_path,
            med,
            local_pref: internal.then_some(pref),
            atomic_aggregate: atomic,
            aggregator: aggregator.map(|(asn, router_id)| Aggregator { asn, router_id }),
            communities,
            originator_id: originator_id.filter(|_| internal),
            cluster_list: if internal { cluster_list } else { Vec::new() },
            extended_communities,
            large_communities,
        }
        .sorted()
    })
}

fn next_hop(family: Family) -> impl Strategy<Value = NextHop> {
    let v4 = (1..0x7f00_0000_u32)
        .prop_map(|bits| NextHop::V4(Ipv4Addr::from_bits(bits.max(0x0100_0000))));
    let v6 = (any::<u64>(), option::of(any::<u64>())).prop_map(|(global, local)| NextHop::V6 {
        global: Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(global)),
        link_local: local.map(|bits| Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(bits))),
    });
    match family {
        Family::Ipv4 => prop_oneof![v4, v6].boxed(),
        Family::Ipv6 => v6.boxed(),
    }
}

pub(crate) fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

/// Rules, and an UPDATE that obeys them.
pub(crate) fn update(sets: bool) -> impl Strategy<Value = (WireRules, Update)> {
    (rules(), family()).prop_flat_map(move |(rules, family)| {
        let announced = (prefixes(family), next_hop(family), attributes(rules, sets)).prop_map(
            |(prefixes, next_hop, attributes)| Update::Announced {
                prefixes,
                next_hop,
                attributes,
            },
        );
        let withdrawn = prefixes(family).prop_map(Update::Withdrawn);
        (
            Just(rules),
            prop_oneof![4 => announced, 1 => withdrawn, 1 => Just(Update::EndOfRib(family))],
        )
    })
}

fn pair() -> impl Strategy<Value = AfiSafi> {
    prop_oneof![
        Just(AfiSafi::IPV4_UNICAST),
        Just(AfiSafi::IPV6_UNICAST),
        Just(AfiSafi { afi: 1, safi: 2 })
    ]
}

fn graceful_restart() -> impl Strategy<Value = GracefulRestart> {
    (
        any::<bool>(),
        any::<bool>(),
        0..=RESTART_TIME_SECS_MAX,
        btree_map(pair(), any::<bool>(), 0..3),
    )
        .prop_map(
            |(restarting, notification, restart_time_secs, families)| GracefulRestart {
                restarting,
                notification,
                restart_time_secs,
                families,
            },
        )
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let name = || proptest::string::string_regex("[a-z0-9.-]{0,64}").expect("a pattern");
    let fqdn = (name(), name()).prop_map(|(host, domain)| Fqdn { host, domain });
    assert_eq!(FQDN_OCTETS_MAX, 64);
    let next_hops = prop_oneof![
        Just(BTreeSet::new()),
        Just(BTreeSet::from([ExtendedNextHop::IPV4_OVER_IPV6])),
    ];
    let flags = any::<[bool; 3]>();
    (
        btree_set(pair(), 0..3),
        flags,
        next_hops,
        option::of(graceful_restart()),
        option::of(asn()),
        option::of(fqdn),
    )
        .prop_map(
            |(multiprotocol, flags, extended_next_hop, graceful_restart, four_octet_as, fqdn)| {
                Capabilities {
                    multiprotocol,
                    route_refresh: flags[0],
                    extended_next_hop,
                    extended_messages: flags[1],
                    graceful_restart,
                    four_octet_as,
                    enhanced_refresh: flags[2],
                    fqdn,
                    ..Capabilities::default()
                }
            },
        )
}

pub(crate) fn open() -> impl Strategy<Value = Open> {
    (
        asn(),
        prop_oneof![Just(0), 3..=u16::MAX],
        1..=0xdfff_ffff_u32,
        capabilities(),
    )
        .prop_map(|(asn, hold, id, capabilities)| {
            Open::new(asn, hold, Ipv4Addr::from_bits(id), capabilities)
        })
}

pub(crate) fn notification() -> impl Strategy<Value = Notification> {
    (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..300)).prop_map(|(code, subcode, data)| {
        Notification::with_data(ErrorCode::from_octets(code, subcode), data)
    })
}
