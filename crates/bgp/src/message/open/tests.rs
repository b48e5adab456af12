//! OPEN: golden bytes, each syntax error with its answer, and the checks against a configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::message::{AfiSafi, ExtendedNextHop, Fqdn, GracefulRestart, HEADER_LEN};

/// What `Open::decode` answers to `version`, legacy parameter length and parameters.
fn answer(version: u8, length: u8, parameters: &[u8]) -> Result<Capabilities, (u8, u8, Vec<u8>)> {
    let mut body = vec![version, 0xfc, 0x00, 0, 90, 192, 0, 2, 1, length];
    body.extend_from_slice(parameters);
    Open::decode(&body)
        .map(|open| open.capabilities)
        .map_err(|notification| {
            let (code, subcode) = notification.error.octets();
            (code, subcode, notification.data)
        })
}

/// One capability parameter around `capabilities`.
fn parameters(capabilities: &[u8]) -> Result<Capabilities, (u8, u8, Vec<u8>)> {
    let length = capabilities.len() as u8;
    let mut parameter = vec![2, length];
    parameter.extend_from_slice(capabilities);
    answer(4, length + 2, &parameter)
}

fn full() -> Capabilities {
    Capabilities {
        multiprotocol: BTreeSet::from([AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST]),
        route_refresh: true,
        extended_next_hop: BTreeSet::from([ExtendedNextHop::IPV4_OVER_IPV6]),
        extended_messages: true,
        graceful_restart: Some(GracefulRestart {
            restarting: true,
            notification: true,
            restart_time_secs: 120,
            families: BTreeMap::from([
                (AfiSafi::IPV4_UNICAST, true),
                (AfiSafi::IPV6_UNICAST, false),
            ]),
        }),
        four_octet_as: Some(Asn(4_200_000_001)),
        enhanced_refresh: true,
        fqdn: Some(Fqdn {
            host: "node-1".into(),
            domain: String::new(),
        }),
        ..Capabilities::default()
    }
}

// BGP-35
#[test]
fn an_open_has_one_parameter_with_capabilities_in_ascending_order() {
    let mut octets = Vec::new();
    Open::new(Asn(4_200_000_001), 90, [192, 0, 2, 1].into(), full()).encode(&mut octets);
    let golden = concat!(
        "ffffffffffffffffffffffffffffffff005501", // length 85, OPEN
        "04",
        "5ba0",
        "005a",
        "c0000201", // version, 23456, 90 s, identifier
        "38",
        "0236", // one parameter of 54 octets
        "010400010001",
        "010400020001",             // multiprotocol
        "0200",                     // route refresh
        "0506000100010002",         // extended next hop
        "0600",                     // extended messages
        "400ac0780001018000020100", // graceful restart
        "4104fa56ea01",             // 4-octet AS
        "4600",                     // enhanced refresh
        "4908066e6f64652d3100",     // FQDN
    );
    assert_eq!(crate::message::notification::hex(&octets), golden);
    assert_eq!(
        Open::decode(&octets[HEADER_LEN..]).unwrap().capabilities,
        full()
    );
    let mut bare = Vec::new();
    Open::new(Asn(64_512), 0, [1, 0, 0, 1].into(), Capabilities::default()).encode(&mut bare);
    assert_eq!(
        bare[HEADER_LEN..],
        [4, 0xfc, 0, 0, 0, 1, 0, 0, 1, 0],
        "no parameter without capabilities"
    );
}

// BGP-24
#[test]
fn another_version_is_2_1_with_ours() {
    for version in [0, 3, 5, 255] {
        // The version is judged before the length of the parameters, which is wrong here too.
        assert_eq!(
            answer(version, 9, &[]),
            Err((2, 1, vec![0, 4])),
            "{version}"
        );
    }
}

// BGP-29
#[test]
fn parameters_that_do_not_fill_the_message_are_2_0_and_unknown_ones_2_4() {
    let malformed = Err((2, 0, vec![]));
    for (length, octets) in [
        (1, &[][..]),
        (0, &[2][..]),
        (3, &[2, 0][..]),
        (2, &[2, 0, 0][..]),
        (1, &[2][..]),
        (2, &[2, 1][..]),
        (4, &[2, 0, 2, 9][..]),
    ] {
        assert_eq!(answer(4, length, octets), malformed, "{length} {octets:?}");
    }
    for kind in [0, 1, 3, 7, 254] {
        assert_eq!(
            answer(4, 4, &[kind, 2, 0, 0]),
            Err((2, 4, vec![])),
            "{kind}"
        );
    }
    assert_eq!(
        answer(4, 2, &[2, 0]),
        Ok(Capabilities::default()),
        "an empty parameter is none"
    );
}

// BGP-30
#[test]
fn capabilities_of_all_parameters_count_and_unknown_codes_are_listed() {
    let octets = [2, 2, 2, 0, 2, 6, 200, 0, 1, 4, 0, 1];
    assert_eq!(
        answer(4, 12, &octets),
        Err((2, 0, vec![])),
        "a capability overruns its parameter"
    );
    let octets = [2, 2, 2, 0, 2, 4, 200, 0, 201, 0, 2, 2, 200, 0];
    let found = answer(4, 14, &octets).unwrap();
    assert!(found.route_refresh);
    assert_eq!(found.others, [200, 201]);
    let many: Vec<u8> = (130..190).flat_map(|code| [code, 0]).collect();
    assert_eq!(
        parameters(&many).unwrap().others,
        (130..162).collect::<Vec<u8>>(),
        "the first 32"
    );
}

// BGP-31
#[test]
fn impossible_lengths_are_fatal_only_where_everything_depends_on_them() {
    let malformed = Err((2, 0, vec![]));
    for octets in [
        &[1, 3, 0, 1, 0][..],
        &[1, 5, 0, 1, 0, 1, 0],
        &[65, 2, 0, 1],
        &[65, 0],
        &[65, 5, 0, 0, 0, 1, 0],
    ] {
        assert_eq!(parameters(octets), malformed, "{octets:?}");
    }
    for octets in [
        &[2, 1, 0][..],               // route refresh
        &[5, 7, 0, 1, 0, 1, 0, 2, 0], // extended next hop
        &[6, 1, 0],                   // extended messages
        &[9, 0],                      // role
        &[64, 1, 0],                  // graceful restart
        &[64, 5, 0, 0, 0, 1, 1],      // graceful restart, a torn family
        &[69, 3, 0, 1, 1],            // add-path
        &[70, 1, 0],                  // enhanced refresh
        &[71, 6, 0, 1, 1, 0, 0, 0],   // long-lived graceful restart
        &[73, 1, 5],                  // FQDN overrunning itself
        &[73, 3, 0, 0, 0],            // FQDN with something behind it
    ] {
        let found = parameters(octets).unwrap();
        let others = found.others.clone();
        assert_eq!(
            found,
            Capabilities {
                ignored: 1,
                others,
                ..Capabilities::default()
            },
            "{octets:?}"
        );
    }
    let twice = [
        65, 4, 0, 0, 0, 1, 65, 4, 0, 0, 0, 2, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 9, 1, 1, 4, 0, 1, 0, 1,
    ];
    let found = parameters(&twice).unwrap();
    assert_eq!(found.four_octet_as, Some(Asn(2)), "the last one counts");
    assert_eq!(found.multiprotocol.len(), 2, "families accumulate");
}

// BGP-33
#[test]
fn extended_parameters_are_read_with_any_legacy_length_and_sent_only_when_needed() {
    let extended = [255, 0, 5, 2, 0, 2, 2, 0];
    for length in [1, 9, 255] {
        assert!(
            answer(4, length, &extended).unwrap().route_refresh,
            "{length}"
        );
    }
    assert_eq!(
        answer(4, 0, &extended),
        Err((2, 0, vec![])),
        "a legacy length of zero means none"
    );
    assert_eq!(
        answer(4, 255, &[255, 0, 6, 2, 0, 2, 2, 0]),
        Err((2, 0, vec![]))
    );
    assert_eq!(
        answer(4, 255, &[255, 0, 3, 255, 0, 0]),
        Err((2, 4, vec![])),
        "a nested one is unknown"
    );
    assert_eq!(
        answer(4, 255, &[255, 0, 2, 2, 0]),
        Err((2, 0, vec![])),
        "a torn header"
    );
    // Everything we can offer, with the longest names.
    let mut most = full();
    most.fqdn = Some(Fqdn {
        host: "h".repeat(300),
        domain: "d".repeat(300),
    });
    let mut octets = Vec::new();
    most.encode(&mut octets);
    assert!(
        octets.len() <= 253,
        "{} octets fit the plain form",
        octets.len()
    );
    // What no configuration makes, for the sake of the other half.
    let many = Capabilities {
        multiprotocol: (0..60).map(|afi| AfiSafi { afi, safi: 1 }).collect(),
        ..Capabilities::default()
    };
    let mut octets = Vec::new();
    Open::new(Asn(1), 90, [1, 1, 1, 1].into(), many.clone()).encode(&mut octets);
    assert_eq!(octets[HEADER_LEN + 9..HEADER_LEN + 11], [255, 255]);
    assert_eq!(
        Open::decode(&octets[HEADER_LEN..]).unwrap().capabilities,
        many
    );
}

// BGP-52
#[test]
fn capabilities_that_are_never_offered_are_recognised() {
    let octets = [
        71, 7, 0, 1, 1, 0, 0, 0, 9, 69, 4, 0, 1, 1, 3, 9, 1, 0, 128, 0,
    ];
    let found = parameters(&octets).unwrap();
    assert_eq!(found.others, [71, 69, 9, 128]);
    assert_eq!(found.ignored, 0);
    let names: Vec<_> = found
        .codes()
        .into_iter()
        .map(crate::message::capability::name)
        .collect();
    assert!(names.iter().all(Option::is_some), "{names:?}");
    let mut again = Vec::new();
    found.encode(&mut again);
    assert!(again.is_empty(), "and never sent");
}

// BGP-51
#[test]
fn names_are_read_within_bounds_and_shown_escaped() {
    let octets = [73, 8, 4, b'a', 0x1b, b'[', b'm', 2, b'x', b'y'];
    let fqdn = parameters(&octets).unwrap().fqdn.unwrap();
    assert_eq!(fqdn.to_string(), "a\\u{1b}[m.xy");
    let mut long = vec![73, 202, 200];
    long.extend([b'h'; 200]);
    long.push(0);
    let fqdn = parameters(&long).unwrap().fqdn.unwrap();
    assert_eq!((fqdn.host.len(), fqdn.domain.len()), (64, 0));
    let invalid = parameters(&[73, 4, 2, 0xff, 0xfe, 0])
        .unwrap()
        .fqdn
        .unwrap();
    assert_eq!(invalid.host, "\u{fffd}\u{fffd}");
}

fn expected() -> Expected {
    Expected {
        local_asn: Asn(64_512),
        peer: ExpectedAsn::Exactly(Asn(64_513)),
        router_id: [192, 0, 2, 1].into(),
        hold_time_secs_min: 3,
        families: Families::IPV4,
    }
}

fn peer(asn: u32) -> Open {
    let capabilities = Capabilities {
        four_octet_as: Some(Asn(asn)),
        ..Capabilities::default()
    };
    Open::new(Asn(asn), 90, [192, 0, 2, 2].into(), capabilities)
}

fn checked(open: &Open, expected: &Expected) -> Result<(), (u8, u8, Vec<u8>)> {
    open.check(expected).map_err(|notification| {
        let (code, subcode) = notification.error.octets();
        (code, subcode, notification.data)
    })
}

// BGP-25
#[test]
fn the_capability_is_the_as_and_a_wrong_one_is_2_2_with_it() {
    assert_eq!(checked(&peer(64_513), &expected()), Ok(()));
    for field in [23_456, 1, 64_513] {
        assert_eq!(
            checked(
                &Open {
                    as_field: field,
                    ..peer(64_513)
                },
                &expected()
            ),
            Ok(()),
            "{field}"
        );
    }
    assert_eq!(
        checked(
            &Open {
                as_field: 64_513,
                ..peer(64_999)
            },
            &expected()
        ),
        Err((2, 2, vec![0, 0, 0xfd, 0xe7]))
    );
    let old = Open::new(
        Asn(64_999),
        90,
        [192, 0, 2, 2].into(),
        Capabilities::default(),
    );
    assert_eq!(
        checked(&old, &expected()),
        Err((2, 2, vec![0, 0, 0xfd, 0xe7]))
    );
    for wanted in [ExpectedAsn::Exactly(Asn(64_513)), ExpectedAsn::External] {
        assert_eq!(
            checked(
                &peer(0),
                &Expected {
                    peer: wanted,
                    ..expected()
                }
            ),
            Err((2, 2, vec![0; 4])),
            "AS 0"
        );
    }
}

// BGP-26
#[test]
fn a_dynamic_as_is_ours_or_any_but_ours() {
    let internal = Expected {
        peer: ExpectedAsn::Internal,
        ..expected()
    };
    let external = Expected {
        peer: ExpectedAsn::External,
        ..expected()
    };
    let data = |asn: u32| Err((2, 2, asn.to_be_bytes().to_vec()));
    assert_eq!(checked(&peer(64_512), &internal), Ok(()));
    assert_eq!(checked(&peer(64_513), &internal), data(64_513));
    assert_eq!(checked(&peer(64_512), &external), data(64_512));
    assert_eq!(checked(&peer(4_200_000_000), &external), Ok(()));
}

// BGP-27
#[test]
fn an_identifier_of_zero_or_ours_on_ibgp_is_2_3() {
    let with = |asn, id: [u8; 4]| Open {
        router_id: id.into(),
        ..peer(asn)
    };
    let ibgp = Expected {
        peer: ExpectedAsn::Internal,
        ..expected()
    };
    let bad = Err((2, 3, vec![]));
    assert_eq!(checked(&with(64_513, [0; 4]), &expected()), bad);
    assert_eq!(checked(&with(64_512, [0; 4]), &ibgp), bad);
    assert_eq!(checked(&with(64_512, [192, 0, 2, 1]), &ibgp), bad);
    assert_eq!(
        checked(&with(64_513, [192, 0, 2, 1]), &expected()),
        Ok(()),
        "eBGP may share it"
    );
    assert_eq!(
        checked(&with(64_513, [224, 0, 0, 1]), &expected()),
        Ok(()),
        "odd values are fine"
    );
}

// BGP-28
#[test]
fn a_hold_time_below_the_least_is_2_6_with_it() {
    let with = |hold_time_secs| Open {
        hold_time_secs,
        ..peer(64_513)
    };
    for (hold, fits) in [(0, true), (1, false), (2, false), (3, true), (65_535, true)] {
        let wanted = if fits {
            Ok(())
        } else {
            Err((2, 6, u16::to_be_bytes(hold).to_vec()))
        };
        assert_eq!(checked(&with(hold), &expected()), wanted, "{hold}");
    }
    let strict = Expected {
        hold_time_secs_min: 10,
        ..expected()
    };
    assert_eq!(checked(&with(9), &strict), Err((2, 6, vec![0, 9])));
    assert_eq!(
        checked(&with(0), &strict),
        Ok(()),
        "no timers at all is another matter"
    );
    let lax = Expected {
        hold_time_secs_min: 0,
        ..expected()
    };
    assert_eq!(
        checked(&with(2), &lax),
        Err((2, 6, vec![0, 2])),
        "three is the RFC's"
    );
}

// BGP-32
#[test]
fn no_common_family_is_2_7_with_those_we_want() {
    let mut open = peer(64_513);
    let both = Expected {
        families: Families::BOTH,
        ..expected()
    };
    let ipv6 = Expected {
        families: Families::IPV6,
        ..expected()
    };
    assert_eq!(
        checked(&open, &both),
        Ok(()),
        "no multiprotocol capability means IPv4"
    );
    assert_eq!(checked(&open, &ipv6), Err((2, 7, vec![1, 4, 0, 2, 0, 1])));
    open.capabilities
        .multiprotocol
        .insert(AfiSafi { afi: 2, safi: 2 });
    assert_eq!(
        checked(&open, &both),
        Err((2, 7, vec![1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]))
    );
    open.capabilities
        .multiprotocol
        .insert(AfiSafi::IPV6_UNICAST);
    assert_eq!(checked(&open, &both), Ok(()));
    assert_eq!(
        checked(&open, &expected()),
        Err((2, 7, vec![1, 4, 0, 1, 0, 1]))
    );
}

// BGP-34
#[test]
fn the_first_failure_is_told_and_nothing_later_is_looked_at() {
    let mut open = Open {
        hold_time_secs: 1,
        router_id: [0; 4].into(),
        ..peer(64_999)
    };
    let wanting = Expected {
        families: Families::IPV6,
        ..expected()
    };
    let mut answers = Vec::new();
    answers.push(checked(&open, &wanting).unwrap_err().1);
    open.capabilities.four_octet_as = Some(Asn(64_513));
    answers.push(checked(&open, &wanting).unwrap_err().1);
    open.hold_time_secs = 90;
    answers.push(checked(&open, &wanting).unwrap_err().1);
    open.router_id = [1, 1, 1, 1].into();
    answers.push(checked(&open, &wanting).unwrap_err().1);
    assert_eq!(answers, [2, 6, 3, 7], "AS, hold time, identifier, families");
    assert_eq!(
        answer(3, 4, &[7, 9, 0, 0]).unwrap_err().1,
        1,
        "version before syntax"
    );
}
