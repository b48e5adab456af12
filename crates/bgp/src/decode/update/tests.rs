//! RFC 7606 attribute by attribute: what becomes of an UPDATE when one thing in it is wrong.

mod attributes;

use super::*;
use crate::message::notification::hex;
use crate::message::{Asn, Attributes, Community, Families};

/// What became of an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// Taken as it stands.
    Fine,
    /// Taken without one attribute.
    Discard(u8, Fault),
    /// Treated as a withdrawal.
    Withdraw(u8, Fault),
    /// The session ends: code, subcode, data in hex.
    Reset(u8, u8, String),
}
use Outcome::{Discard, Fine, Reset, Withdraw};

const ORIGIN: &str = "40010100";
const AS_PATH: &str = "40020602010000fc00";
const NEXT_HOP: &str = "400304c0000201";
const LOCAL_PREF: &str = "40050400000064";
const NLRI: &str = "18c63364";
/// MP_REACH for 2001:db8::/32 by 2001:db8::1, and its withdrawal.
const REACH: &str = "800e1a0002011020010db8000000000000000000000001002020010db8";
const UNREACH: &str = "800f080002012020010db8";

fn rules(internal: bool) -> WireRules {
    WireRules {
        internal,
        four_octet_as: true,
        families: Families::BOTH,
        ..WireRules::default()
    }
}

fn octets(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// The body of an UPDATE from its three fields in hex.
fn body(withdrawn: &str, attributes: &str, nlri: &str) -> Vec<u8> {
    let [withdrawn, attributes, nlri] = [withdrawn, attributes, nlri].map(octets);
    let mut body = (withdrawn.len() as u16).to_be_bytes().to_vec();
    body.extend(withdrawn);
    body.extend((attributes.len() as u16).to_be_bytes());
    body.extend(attributes);
    body.extend(nlri);
    body
}

fn outcome_of(body: &[u8], rules: &WireRules) -> Outcome {
    let view = match UpdateView::read(body, rules) {
        Ok(view) => view,
        Err(notification) => {
            let (code, subcode) = notification.error.octets();
            return Reset(code, subcode, hex(&notification.data));
        }
    };
    assert_eq!(view.announced_prefixes().count(), view.announced as usize);
    assert_eq!(view.withdrawn_prefixes().count(), view.withdrawn as usize);
    match (view.treated_as_withdraw, view.discarded) {
        (Some(malformed), _) => {
            assert_eq!(view.announced, 0);
            Withdraw(malformed.attribute, malformed.fault)
        }
        (None, Some(malformed)) => Discard(malformed.attribute, malformed.fault),
        (None, None) => Fine,
    }
}

/// What becomes of one route of classic NLRI with these attributes, from an eBGP peer.
fn outcome(attributes: &[&str]) -> Outcome {
    outcome_of(&body("", &attributes.concat(), NLRI), &rules(false))
}

/// The same beside all that is mandatory.
fn beside(attribute: &str) -> Outcome {
    outcome(&[ORIGIN, AS_PATH, NEXT_HOP, attribute])
}

/// The same from an iBGP peer.
fn beside_internal(attribute: &str) -> Outcome {
    outcome_of(
        &body(
            "",
            &[ORIGIN, AS_PATH, NEXT_HOP, LOCAL_PREF, attribute].concat(),
            NLRI,
        ),
        &rules(true),
    )
}

fn attribute_list() -> Outcome {
    Reset(3, 1, String::new())
}

// BGP-110
#[test]
fn lengths_that_overrun_the_message_are_3_1() {
    for body in [
        "",
        "00",
        "0000",
        "000000",
        "0001",
        "00010000",
        "ffff0000",
        "00000001",
        "0000ffff00",
        "000400000000",
    ] {
        assert_eq!(
            outcome_of(&octets(body), &rules(false)),
            attribute_list(),
            "{body:?}"
        );
    }
    assert_eq!(outcome_of(&octets("00000000"), &rules(false)), Fine);
}

// BGP-111
#[test]
fn an_attribute_that_overruns_the_block_is_a_withdrawal() {
    for (tail, code) in [
        ("40050500000064", 5),
        ("c0630a00", 99),
        ("400504", 5),
        ("500400", 4),
        ("5004", 4),
        ("40", 0),
    ] {
        assert_eq!(beside(tail), Withdraw(code, Fault::Overrun), "{tail}");
    }
    // The NLRI is found behind the block all the same.
    let long = body(
        "",
        &[ORIGIN, AS_PATH, NEXT_HOP, "8004ff"].concat(),
        "18c6336418c63365",
    );
    let view = UpdateView::read(&long, &rules(false)).unwrap();
    assert_eq!((view.announced, view.withdrawn), (0, 2));
    assert_eq!(
        outcome_of(&body("", "ffffffff", NLRI), &rules(false)),
        Withdraw(255, Fault::Overrun)
    );
}

// BGP-113
#[test]
fn a_missing_mandatory_attribute_is_a_withdrawal() {
    assert_eq!(outcome(&[ORIGIN, AS_PATH, NEXT_HOP]), Fine);
    assert_eq!(outcome(&[AS_PATH, NEXT_HOP]), Withdraw(1, Fault::Missing));
    assert_eq!(outcome(&[ORIGIN, NEXT_HOP]), Withdraw(2, Fault::Missing));
    assert_eq!(outcome(&[ORIGIN, AS_PATH]), Withdraw(3, Fault::Missing));
    assert_eq!(outcome(&[]), Withdraw(1, Fault::Missing));
    let internal =
        |attributes: &[&str], nlri| outcome_of(&body("", &attributes.concat(), nlri), &rules(true));
    assert_eq!(
        internal(&[ORIGIN, AS_PATH, NEXT_HOP], NLRI),
        Withdraw(5, Fault::Missing)
    );
    assert_eq!(
        internal(&[ORIGIN, AS_PATH, NEXT_HOP, LOCAL_PREF], NLRI),
        Fine
    );
    assert_eq!(internal(&[REACH, ORIGIN, AS_PATH, LOCAL_PREF], ""), Fine);
    assert_eq!(
        internal(&[REACH, ORIGIN, AS_PATH], ""),
        Withdraw(5, Fault::Missing)
    );
    let mp = |attributes: &[&str], nlri| {
        outcome_of(&body("", &attributes.concat(), nlri), &rules(false))
    };
    assert_eq!(
        mp(&[REACH, ORIGIN, AS_PATH], ""),
        Fine,
        "no NEXT_HOP beside MP_REACH"
    );
    assert_eq!(mp(&[REACH, ORIGIN], ""), Withdraw(2, Fault::Missing));
    assert_eq!(
        mp(&[REACH, ORIGIN, AS_PATH], NLRI),
        Withdraw(3, Fault::Missing)
    );
    assert_eq!(mp(&[UNREACH], ""), Fine, "a withdrawal needs nothing");
}

// BGP-114
#[test]
fn mp_attributes_twice_are_3_1_and_of_others_the_first_counts() {
    for twice in [[REACH, REACH], [UNREACH, UNREACH]] {
        let message = body("", &[&twice[..], &[ORIGIN, AS_PATH]].concat().concat(), "");
        assert_eq!(outcome_of(&message, &rules(false)), attribute_list());
    }
    assert_eq!(
        beside("400101ff"),
        Discard(1, Fault::Duplicate),
        "the second may be as bad as it likes"
    );
    let message = body(
        "",
        &[ORIGIN, AS_PATH, NEXT_HOP, "400304c6336401"].concat(),
        NLRI,
    );
    let view = UpdateView::read(&message, &rules(false)).unwrap();
    let [Update::Announced { next_hop, .. }] = &view.to_updates()[..] else {
        panic!("one announcement")
    };
    assert_eq!(*next_hop, NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(
        outcome(&["40010103", ORIGIN, AS_PATH, NEXT_HOP]),
        Withdraw(1, Fault::Value),
        "the first was bad"
    );
}

// BGP-121
#[test]
fn bad_prefixes_are_3_10_in_classic_fields_and_3_9_in_mp() {
    let whole = [ORIGIN, AS_PATH, NEXT_HOP].concat();
    for field in ["21c0000201", "18c000", "20c00002", "ff", "18c63364ff"] {
        let network = Reset(3, 10, String::new());
        assert_eq!(
            outcome_of(&body("", &whole, field), &rules(false)),
            network,
            "NLRI {field}"
        );
        assert_eq!(
            outcome_of(&body(field, "", ""), &rules(false)),
            network,
            "withdrawn {field}"
        );
    }
    for broken in [
        "800f050002012020",                                   // withdrawn, truncated
        "800f0400020181",                                     // withdrawn, 129 bits
        "800f020002",                                         // no SAFI
        "800e03000201",                                       // no next hop length
        "800e0400020100",                                     // no next hop
        "800e0e00020109000000000000000000 00".trim(),         // next hop of 9
        "800e0900020104c000020100",                           // IPv4 next hop for IPv6
        "800e140002011020010db8000000000000000000000001",     // no reserved octet
        "800e160002011020010db80000000000000000000000010020", // prefix truncated
    ] {
        let broken = broken.replace(' ', "");
        let message = body("", &[&broken, ORIGIN, AS_PATH].concat(), "");
        let length = usize::from(octets(&broken)[2]) + 3;
        assert_eq!(octets(&broken).len(), length, "{broken} is whole");
        assert_eq!(
            outcome_of(&message, &rules(false)),
            Reset(3, 9, broken.clone()),
            "{broken}"
        );
    }
}

// BGP-121
#[test]
fn next_hop_lengths_that_a_family_allows() {
    let v6 = "20010db8000000000000000000000001";
    for (afi, length, extended, fits) in [
        (2, 16, false, true),
        (2, 32, false, true),
        (2, 0, false, false),
        (2, 17, false, false),
        (2, 33, false, false),
        (2, 4, true, false),
        (1, 4, false, true),
        (1, 16, false, false),
        (1, 16, true, true),
        (1, 32, true, true),
        (1, 5, true, false),
        (1, 24, true, false),
    ] {
        let hop = &[v6, v6, v6].concat()[..2 * length];
        let attribute = format!("800e{:02x}00{afi:02x}01{length:02x}{hop}ff", length + 5);
        let message = body("", &[&attribute, ORIGIN, AS_PATH].concat(), "");
        let rules = WireRules {
            extended_next_hop: extended,
            ..rules(false)
        };
        let wanted = if fits { Fine } else { Reset(3, 9, attribute) };
        assert_eq!(
            outcome_of(&message, &rules),
            wanted,
            "AFI {afi}, {length} octets"
        );
    }
}

// BGP-122
#[test]
fn a_family_that_was_not_negotiated_is_ignored_and_counted() {
    let ipv4 = WireRules {
        families: Families::IPV4,
        ..rules(false)
    };
    // IPv6 unicast, IPv6 multicast, EVPN: what an ignored family holds is not looked at.
    for (attribute, code) in [
        (REACH, 14),
        (UNREACH, 15),
        ("800e0500020200ff", 14),
        ("800f03000202", 15),
        ("800e0500194600ff", 14),
        ("800f04001946ff", 15),
    ] {
        let message = body("", &[attribute, ORIGIN, AS_PATH].concat(), "");
        assert_eq!(
            outcome_of(&message, &ipv4),
            Discard(code, Fault::Family),
            "{attribute}"
        );
        let view = UpdateView::read(&message, &ipv4).unwrap();
        assert_eq!(
            (view.announced, view.withdrawn, view.end_of_rib),
            (0, 0, None)
        );
    }
    assert_eq!(
        UpdateView::read(&body("", "800f03000201", ""), &ipv4)
            .unwrap()
            .end_of_rib,
        None
    );
    assert_eq!(
        outcome_of(
            &body("", &[REACH, ORIGIN, AS_PATH].concat(), ""),
            &rules(false)
        ),
        Fine
    );
}

// BGP-123
#[test]
fn unknown_attributes_are_ignored_if_optional_and_3_2_if_well_known() {
    for attribute in [
        "80630178",
        "c0630178",
        "a0630178",
        "d063000178",
        "c0ff00",
        "c06301ff",
    ] {
        assert_eq!(beside(attribute), Fine, "{attribute}");
    }
    assert_eq!(beside("40630178"), Reset(3, 2, "40630178".into()));
    assert_eq!(beside("00630178"), Reset(3, 2, "00630178".into()));
    assert_eq!(beside("5063000178"), Reset(3, 2, "5063000178".into()));
}

// BGP-124
#[test]
fn a_withdrawal_of_prefixes_that_cannot_be_known_is_3_1() {
    for (attributes, wanted) in [
        ("40010103", attribute_list()),
        ("400101", attribute_list()),
        (&[UNREACH, "40010103"].concat(), attribute_list()),
        ("c0080100", attribute_list()),
        ("ffffffff", attribute_list()),
        (LOCAL_PREF, Discard(5, Fault::Unexpected)),
        (ORIGIN, Fine),
    ] {
        assert_eq!(
            outcome_of(&body("", attributes, ""), &rules(false)),
            wanted,
            "{attributes}"
        );
        assert_eq!(
            outcome_of(&body(NLRI, attributes, ""), &rules(false)),
            wanted,
            "beside withdrawn: {attributes}"
        );
    }
}

// BGP-125
#[test]
fn of_several_errors_the_most_severe_counts_once() {
    // Discard, withdrawal, reset, in every order.
    let [mild, middle, severe] = ["40060100", "80040100", "40630178"];
    for order in [
        [mild, middle, severe],
        [mild, severe, middle],
        [middle, mild, severe],
        [middle, severe, mild],
        [severe, mild, middle],
        [severe, middle, mild],
    ] {
        assert_eq!(beside(&order.concat()), Reset(3, 2, severe.into()));
        let without: String = order.iter().filter(|a| **a != severe).copied().collect();
        assert_eq!(beside(&without), Withdraw(4, Fault::Length));
    }
    let two = body(
        "",
        &["40010103", "40020103", NEXT_HOP].concat(),
        "18c6336418c63365",
    );
    assert_eq!(
        UpdateView::read(&two, &rules(false)).unwrap().withdrawn,
        2,
        "each prefix is counted once"
    );
}

// BGP-126
#[test]
fn host_bits_class_d_and_odd_first_ases_are_accepted() {
    let whole = [ORIGIN, "40020602010000fde7", NEXT_HOP].concat();
    let message = body("", &whole, "18c63364");
    assert_eq!(outcome_of(&message, &rules(false)), Fine);
    let message = body("", &whole, "17c6336510e001");
    assert_eq!(outcome_of(&message, &rules(false)), Fine);
    let view = UpdateView::read(&message, &rules(false)).unwrap();
    let prefixes: Vec<String> = view
        .announced_prefixes()
        .map(|prefix| prefix.to_string())
        .collect();
    assert_eq!(prefixes, ["198.51.100.0/23", "224.1.0.0/16"]);
}

#[test]
fn end_of_rib_in_each_form() {
    let end = |attributes: &str, rules| {
        UpdateView::read(&body("", attributes, ""), &rules)
            .unwrap()
            .end_of_rib
    };
    assert_eq!(end("", rules(false)), Some(Family::Ipv4));
    assert_eq!(end("800f03000201", rules(false)), Some(Family::Ipv6));
    assert_eq!(
        end("900f0003000201", rules(false)),
        Some(Family::Ipv6),
        "with an extended length, as FRR sends it"
    );
    assert_eq!(end("800f03000101", rules(false)), Some(Family::Ipv4));
    assert_eq!(end(UNREACH, rules(false)), None);
    assert_eq!(end(ORIGIN, rules(false)), None);
    let ipv6 = WireRules {
        families: Families::IPV6,
        ..rules(false)
    };
    assert_eq!(end("", ipv6), None, "of a family that is not there");
    let withdrawn = body(NLRI, "", "");
    assert_eq!(
        UpdateView::read(&withdrawn, &rules(false))
            .unwrap()
            .end_of_rib,
        None
    );
}

#[test]
fn a_message_of_every_kind_is_told_apart() {
    let attributes = [
        REACH,
        "800f0800020120fe80fe80",
        ORIGIN,
        AS_PATH,
        NEXT_HOP,
        "c00804ffffff01",
    ]
    .concat();
    let message = body("18cb0071", &attributes, NLRI);
    let view = UpdateView::read(&message, &rules(false)).unwrap();
    assert_eq!((view.announced, view.withdrawn), (2, 2));
    let attributes = Attributes {
        as_path: crate::AsPath::repeated(Asn(64_512), 1),
        communities: vec![Community::NO_EXPORT],
        ..Attributes::default()
    };
    let hop6 = NextHop::V6 {
        global: "2001:db8::1".parse().unwrap(),
        link_local: None,
    };
    let prefix = |text: &str| vec![text.parse().unwrap()];
    assert_eq!(
        view.to_updates(),
        [
            Update::Withdrawn(prefix("203.0.113.0/24")),
            Update::Withdrawn(prefix("fe80:fe80::/32")),
            Update::Announced {
                prefixes: prefix("198.51.100.0/24"),
                next_hop: NextHop::V4([192, 0, 2, 1].into()),
                attributes: attributes.clone()
            },
            Update::Announced {
                prefixes: prefix("2001:db8::/32"),
                next_hop: hop6,
                attributes
            },
        ]
    );
}

#[test]
fn the_true_path_of_a_2_octet_peer_is_put_together() {
    let two = WireRules {
        four_octet_as: false,
        ..rules(false)
    };
    let path = |as_path: &str, as4_path: &str, more: &str| {
        let message = body(
            "",
            &[ORIGIN, as_path, NEXT_HOP, more, as4_path].concat(),
            NLRI,
        );
        match &UpdateView::read(&message, &two).unwrap().to_updates()[..] {
            [Update::Announced { attributes, .. }] => attributes.as_path.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let as4 = "c0110a0202fa56ea0000000001";
    assert_eq!(
        path("40020602025ba00001", as4, ""),
        "4200000000 1",
        "as long: it is the path"
    );
    assert_eq!(
        path("400208020300075ba00001", as4, ""),
        "7 4200000000 1",
        "an old speaker in front"
    );
    assert_eq!(path("40020402010009", as4, ""), "9", "shorter: it is stale");
    // An aggregator that was never replaced makes both leftovers (RFC 6793 §4.2.3).
    let aggregators = "c00706fc000a000001c01208fa56ea000a000001";
    assert_eq!(path("40020602025ba00001", as4, aggregators), "23456 1");
}

#[test]
fn remarks_are_words() {
    let words = |attribute, fault| Malformed { attribute, fault }.to_string();
    assert_eq!(
        words(2, Fault::Confederation),
        "AS_PATH: confederations are not supported"
    );
    assert_eq!(words(99, Fault::Overrun), "attribute 99: runs over the end");
}
