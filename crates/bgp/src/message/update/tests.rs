//! Packing: how many messages and octets, which kinds, which order.

use super::*;
use crate::message::{AsPath, Asn, Community, EXTENDED_LEN_MAX, MESSAGE_LEN_MAX};

fn hosts(count: u32, family: Family) -> Vec<IpNetwork> {
    (0..count)
        .map(|n| match family {
            Family::Ipv4 => IpNetwork::V4(Ipv4Addr::from_bits(0x0a00_0000 + n).into()),
            Family::Ipv6 => {
                IpNetwork::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(n)).into())
            }
        })
        .collect()
}

fn ebgp() -> Attributes {
    Attributes {
        as_path: AsPath::repeated(Asn(64_512), 1),
        ..Attributes::default()
    }
}

fn plain() -> WireRules {
    WireRules {
        four_octet_as: true,
        families: crate::Families::BOTH,
        ..WireRules::default()
    }
}

fn extended() -> WireRules {
    WireRules {
        extended_out: true,
        extended_in: true,
        ..plain()
    }
}

const HOP4: NextHop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
const HOP6: NextHop = NextHop::V6 {
    global: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    link_local: None,
};

/// All messages that announce or withdraw `prefixes`.
fn packed(
    rules: &WireRules,
    next_hop: Option<NextHop>,
    attributes: &Attributes,
    prefixes: &[IpNetwork],
) -> Vec<Vec<u8>> {
    let (mut messages, mut at) = (Vec::new(), 0);
    while at < prefixes.len() {
        let rest = prefixes[at..].iter().copied();
        let mut out = Vec::new();
        at += match next_hop {
            Some(hop) => encode_announcement(rules, hop, attributes, rest, &mut out).unwrap(),
            None => encode_withdrawal(rules, rest, &mut out),
        };
        assert!(out.len() <= rules.send_len_max());
        messages.push(out);
    }
    messages
}

// BGP-83
#[test]
fn equal_attributes_fill_messages_to_the_limit() {
    // Prefixes, family, rules, messages: /32s take 5 octets each, /128s 17.
    for (count, family, rules, messages) in [
        (1_000, Family::Ipv4, plain(), 2),
        (10_000, Family::Ipv4, plain(), 13),
        (100_000, Family::Ipv4, plain(), 124),
        (10_000, Family::Ipv4, extended(), 1),
        (1_000, Family::Ipv6, plain(), 5),
        (10_000, Family::Ipv6, extended(), 3),
    ] {
        let hop = if family == Family::Ipv4 { HOP4 } else { HOP6 };
        let announced = packed(&rules, Some(hop), &ebgp(), &hosts(count, family));
        assert_eq!(announced.len(), messages, "{count} {family}");
        let each = if family == Family::Ipv4 { 5 } else { 17 };
        for full in &announced[..messages - 1] {
            assert!(
                full.len() + each > rules.send_len_max(),
                "{} octets could hold one more",
                full.len()
            );
        }
    }
    let octets = |count| {
        packed(&plain(), Some(HOP4), &ebgp(), &hosts(count, Family::Ipv4))
            .concat()
            .len()
            + 23
    };
    // The figures of a tight packer, End-of-RIB included.
    assert_eq!(
        [octets(1_000), octets(10_000), octets(100_000)],
        [5_109, 50_582, 505_355]
    );
    assert!(
        packed(&plain(), Some(HOP4), &ebgp(), &hosts(1_000, Family::Ipv4))[0].len()
            > MESSAGE_LEN_MAX - 5
    );
}

// BGP-83
#[test]
fn withdrawals_are_packed_as_tightly() {
    for (count, family, rules, messages) in [
        (10_000, Family::Ipv4, plain(), 13),
        (10_000, Family::Ipv4, extended(), 1),
        (10_000, Family::Ipv6, plain(), 42),
    ] {
        assert_eq!(
            packed(&rules, None, &ebgp(), &hosts(count, family)).len(),
            messages,
            "{count} {family}"
        );
    }
}

// BGP-50
#[test]
fn a_message_exceeds_4096_octets_only_if_the_peer_offered_it() {
    let sent = |rules| packed(&rules, Some(HOP4), &ebgp(), &hosts(20_000, Family::Ipv4));
    let longest = |messages: Vec<Vec<u8>>| messages.iter().map(Vec::len).max().unwrap();
    assert!(
        longest(sent(WireRules {
            extended_in: true,
            ..plain()
        })) <= MESSAGE_LEN_MAX,
        "ours alone is not enough"
    );
    let long = longest(sent(WireRules {
        extended_in: false,
        ..extended()
    }));
    assert!(
        long > EXTENDED_LEN_MAX - 5 && long <= EXTENDED_LEN_MAX,
        "{long}"
    );
}

// BGP-84
#[test]
fn a_message_has_one_kind_of_routes_and_mp_stands_first() {
    let hex = |messages: Vec<Vec<u8>>| {
        assert_eq!(messages.len(), 1);
        crate::message::notification::hex(&messages[0][19..])
    };
    let attributes = Attributes {
        med: Some(1),
        communities: vec![Community::new(1, 1)],
        ..ebgp()
    };
    let one = |family| hosts(1, family);
    let tail = concat!("80040400000001", "c0080400010001");
    assert_eq!(
        hex(packed(
            &plain(),
            Some(HOP4),
            &attributes,
            &one(Family::Ipv4)
        )),
        [
            "0000",
            "0022",
            "40010100",
            "4002060201",
            "0000fc00",
            "400304c0000201",
            tail,
            "200a000000"
        ]
        .concat()
    );
    let head = concat!(
        "00020110",
        "20010db8000000000000000000000001",
        "00",
        "8020010db8000000000000000000000000"
    );
    assert_eq!(
        hex(packed(
            &plain(),
            Some(HOP6),
            &attributes,
            &one(Family::Ipv6)
        )),
        [
            "0000",
            "0044",
            "800e26",
            head,
            "40010100",
            "4002060201",
            "0000fc00",
            tail
        ]
        .concat()
    );
    assert_eq!(
        hex(packed(&plain(), None, &attributes, &one(Family::Ipv4))),
        "0005200a0000000000"
    );
    let gone = [
        "0000",
        "0017",
        "800f14",
        "000201",
        "8020010db8000000000000000000000000",
    ]
    .concat();
    assert_eq!(
        hex(packed(&plain(), None, &attributes, &one(Family::Ipv6))),
        gone
    );
}

// BGP-84
#[test]
fn ipv4_with_an_ipv6_next_hop_and_both_halves_of_a_next_hop() {
    let link_local = Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let hop = NextHop::V6 {
        global: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        link_local,
    };
    let messages = packed(
        &plain(),
        Some(hop),
        &Attributes::default(),
        &hosts(1, Family::Ipv4),
    );
    let half = "fe800000000000000000000000000001";
    let wanted = [
        "0000",
        "0034",
        "800e2a",
        "00010120",
        half,
        half,
        "00",
        "200a000000",
        "40010100400200",
    ]
    .concat();
    assert_eq!(
        crate::message::notification::hex(&messages[0][19..]),
        wanted
    );
}

#[test]
fn end_of_rib_is_23_octets_for_ipv4_and_an_empty_mp_unreach_for_ipv6() {
    let mut out = Vec::new();
    encode_end_of_rib(Family::Ipv4, &mut out);
    assert_eq!((out.len(), &out[16..]), (23, &[0, 23, 2, 0, 0, 0, 0][..]));
    out.clear();
    encode_end_of_rib(Family::Ipv6, &mut out);
    assert_eq!(out[16..], [0, 29, 2, 0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
}

#[test]
fn what_does_not_fit_writes_nothing_and_says_so() {
    let mut out = vec![1, 2, 3];
    let huge = Attributes {
        communities: vec![Community::new(1, 1); 1_100],
        ..ebgp()
    };
    for (hop, family) in [
        (HOP4, Family::Ipv4),
        (HOP6, Family::Ipv4),
        (HOP6, Family::Ipv6),
    ] {
        let error =
            encode_announcement(&plain(), hop, &huge, hosts(1, family), &mut out).unwrap_err();
        assert!(
            matches!(
                error,
                EncodeError::TooLong {
                    octets: 4_401..,
                    limit: 4_096
                }
            ),
            "{error}"
        );
        assert_eq!(
            encode_announcement(&extended(), hop, &huge, hosts(1, family), &mut Vec::new()),
            Ok(1)
        );
    }
    // Longer than any attribute can be.
    let absurd = Attributes {
        communities: vec![Community::new(1, 1); 20_000],
        ..ebgp()
    };
    for hop in [HOP4, HOP6] {
        assert!(
            encode_announcement(&extended(), hop, &absurd, hosts(1, Family::Ipv4), &mut out)
                .is_err()
        );
    }
    let error = encode_announcement(&plain(), HOP4, &ebgp(), hosts(1, Family::Ipv6), &mut out);
    assert_eq!(error, Err(EncodeError::Family));
    assert_eq!(
        encode_announcement(&plain(), HOP4, &ebgp(), [], &mut out),
        Ok(0)
    );
    assert_eq!(encode_withdrawal(&plain(), [], &mut out), 0);
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn a_message_stops_before_the_other_family() {
    let mixed: Vec<IpNetwork> = [hosts(3, Family::Ipv4), hosts(2, Family::Ipv6)].concat();
    let mut out = Vec::new();
    assert_eq!(
        encode_announcement(&plain(), HOP6, &ebgp(), mixed.iter().copied(), &mut out),
        Ok(3)
    );
    assert_eq!(
        encode_withdrawal(&plain(), mixed.iter().copied(), &mut out),
        3
    );
    let update = Update::Withdrawn(mixed);
    assert_eq!(update.encode(&plain(), &mut out), Err(EncodeError::Family));
    let update = Update::Withdrawn(hosts(5_000, Family::Ipv4));
    assert!(matches!(
        update.encode(&plain(), &mut out),
        Err(EncodeError::TooLong { .. })
    ));
}

#[test]
fn messages_follow_one_another_in_one_buffer() {
    let mut out = Vec::new();
    for _ in 0..3 {
        encode_announcement(&plain(), HOP6, &ebgp(), hosts(20, Family::Ipv6), &mut out).unwrap();
        encode_withdrawal(&plain(), hosts(20, Family::Ipv6), &mut out);
    }
    let mut decoder = crate::Decoder::new(false);
    let (mut at, mut count) = (0, 0);
    while let (used, Some(frame)) = decoder.next_frame(&out[at..]) {
        frame.unwrap().read(&plain()).unwrap();
        at += used;
        count += 1;
    }
    assert_eq!((at, count), (out.len(), 6));
}
