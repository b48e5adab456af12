//! The pure parts: configuration, routes, negotiation, back-off.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::negotiate::{Offer, in_force, open};
use super::rig::*;
use crate::config::{ConfigError, families};
use crate::message::{Community, Families, Family, LargeCommunity, Open};
use crate::{
    Config, ConfigNote, DynamicAsn, RestartSettings, RouteAttributes, RouteError, RouteSet,
    Settings,
};

// BGP-36
// BGP-65
#[test]
fn what_cannot_be_is_refused_by_the_name_of_its_field() {
    let cases = [
        (
            Settings {
                my_asn: 0,
                ..settings()
            },
            ConfigError::ZeroAsn { field: "myASN" },
        ),
        (
            Settings {
                local_asn: Some(0),
                ..settings()
            },
            ConfigError::ZeroAsn { field: "localASN" },
        ),
        (
            Settings {
                peer_asn: Some(0),
                ..settings()
            },
            ConfigError::ZeroAsn { field: "peerASN" },
        ),
        (
            Settings {
                dynamic_asn: Some(DynamicAsn::External),
                ..settings()
            },
            ConfigError::BothAsn,
        ),
        (
            Settings {
                peer_asn: None,
                ..settings()
            },
            ConfigError::NoAsn,
        ),
        (
            Settings {
                router_id: Ipv4Addr::UNSPECIFIED,
                ..settings()
            },
            ConfigError::ZeroRouterId,
        ),
        (
            Settings {
                hold_time: Some(secs(1)),
                ..settings()
            },
            ConfigError::HoldTime(1),
        ),
        (
            Settings {
                hold_time: Some(millis(2_999)),
                ..settings()
            },
            ConfigError::HoldTime(2),
        ),
        (
            Settings {
                hold_time: Some(secs(65_536)),
                ..settings()
            },
            ConfigError::HoldTime(65_536),
        ),
        (
            Settings {
                keepalive_time: Some(secs(30_000)),
                ..settings()
            },
            ConfigError::HoldTime(90_000),
        ),
        (
            Settings {
                hold_time: Some(secs(3)),
                keepalive_time: Some(secs(4)),
                ..settings()
            },
            ConfigError::KeepaliveTime {
                keepalive: 4,
                hold: 3,
            },
        ),
        (
            Settings {
                hold_time: Some(secs(0)),
                keepalive_time: Some(secs(4)),
                ..settings()
            },
            ConfigError::KeepaliveTime {
                keepalive: 4,
                hold: 0,
            },
        ),
        (
            Settings {
                connect_time: Some(millis(999)),
                ..settings()
            },
            ConfigError::ConnectTime(0),
        ),
        (
            Settings {
                connect_time: Some(secs(65_536)),
                ..settings()
            },
            ConfigError::ConnectTime(65_536),
        ),
        (
            Settings {
                min_hold_time: Some(secs(2)),
                ..settings()
            },
            ConfigError::MinHoldTime(2),
        ),
        (
            Settings {
                min_hold_time: Some(secs(91)),
                ..settings()
            },
            ConfigError::MinHoldTimeAboveHold { min: 91, hold: 90 },
        ),
        (
            Settings {
                families: Families::default(),
                ..settings()
            },
            ConfigError::NoFamily,
        ),
        (
            Settings {
                peer_asn: Some(OUR_ASN),
                ebgp_multihop: true,
                ..settings()
            },
            ConfigError::MultihopInternal,
        ),
        (
            Settings {
                peer_asn: None,
                dynamic_asn: Some(DynamicAsn::Internal),
                ebgp_multihop: true,
                ..settings()
            },
            ConfigError::MultihopInternal,
        ),
        (
            Settings {
                ttl_security: true,
                ebgp_multihop: true,
                ..settings()
            },
            ConfigError::TtlSecurityMultihop,
        ),
        (
            Settings {
                graceful_restart: Some(RestartSettings {
                    time_secs: 4_096,
                    ..Default::default()
                }),
                ..settings()
            },
            ConfigError::RestartTime(4_096),
        ),
        (
            Settings {
                drain_wait: secs(601),
                ..settings()
            },
            ConfigError::DrainWait,
        ),
        (
            Settings {
                hostname: Some("n".repeat(65)),
                ..settings()
            },
            ConfigError::Hostname,
        ),
        (
            Settings {
                bfd_strict: true,
                ..settings()
            },
            ConfigError::StrictWithoutBfd,
        ),
    ];
    for (settings, error) in cases {
        assert_eq!(Config::new(settings), Err(vec![error]));
    }
    let wrong = Settings {
        my_asn: 0,
        router_id: Ipv4Addr::UNSPECIFIED,
        peer_asn: None,
        ..settings()
    };
    assert_eq!(
        Config::new(wrong).unwrap_err().len(),
        3,
        "all of it at once"
    );
}

// BGP-65
// BGP-41
#[test]
fn times_are_cut_to_seconds_and_one_makes_the_other() {
    let notes = |config: &Config| config.notes().iter().copied().collect::<Vec<_>>();
    let cases = [
        (None, None, (90, 30), vec![]),
        (Some(millis(9_900)), None, (9, 3), vec![]),
        (None, Some(millis(5_900)), (15, 5), vec![]),
        (Some(secs(30)), Some(secs(30)), (30, 30), vec![]),
        (
            Some(secs(30)),
            Some(millis(900)),
            (30, 10),
            vec![ConfigNote::KeepaliveTooShort],
        ),
        (
            None,
            Some(millis(900)),
            (90, 30),
            vec![ConfigNote::KeepaliveTooShort],
        ),
        (
            Some(secs(0)),
            None,
            (0, 0),
            vec![ConfigNote::NothingDetectsFailure],
        ),
        (
            Some(secs(0)),
            Some(secs(0)),
            (0, 0),
            vec![ConfigNote::NothingDetectsFailure],
        ),
    ];
    for (hold_time, keepalive_time, times, expected) in cases {
        let config = config(Settings {
            hold_time,
            keepalive_time,
            ..settings()
        });
        assert_eq!(
            (config.hold_time_secs(), config.keepalive_time_secs()),
            times,
            "{hold_time:?} {keepalive_time:?}"
        );
        assert_eq!(notes(&config), expected);
    }
    let config = config(Settings {
        disable_mp: true,
        ..settings()
    });
    assert_eq!(notes(&config), [ConfigNote::DisableMpIgnored]);
    assert!(!config.needs_new_session(&Config::new(settings()).unwrap()));
}

// BGP-40
#[test]
fn families_follow_the_transport_unless_both_are_asked_for() {
    assert_eq!(families(Family::Ipv4, false, false), Families::IPV4);
    assert_eq!(families(Family::Ipv6, false, false), Families::IPV6);
    assert_eq!(families(Family::Ipv6, true, false), Families::BOTH);
    assert_eq!(families(Family::Ipv6, false, true), Families::BOTH);
}

// BGP-35
// BGP-40
// BGP-50
// BGP-51
#[test]
fn our_open_is_made_of_the_configuration_alone() {
    let octets = |settings: Settings| {
        let mut octets = Vec::new();
        open(&config(settings), &Offer::default(), false).encode(&mut octets);
        octets
    };
    let all = Settings {
        families: Families::BOTH,
        extended_next_hop: true,
        graceful_restart: Some(RestartSettings::default()),
        hostname: Some("node-1".to_owned()),
        ..Settings::new(70_000, ROUTER_ASN, OUR_ID)
    };
    assert_eq!(octets(all.clone()), octets(all.clone()));
    let made = open(&config(all), &Offer::default(), true);
    assert_eq!(made.as_field, 23_456);
    assert_eq!(
        made.capabilities.codes().into_iter().collect::<Vec<_>>(),
        [1, 2, 5, 6, 64, 65, 70, 73]
    );
    // Marker, length, type; version, AS, 90 s, id; MP, refresh, extended messages, 4-octet AS, enhanced refresh.
    let mut golden = vec![0xff; 16];
    golden.extend([0, 49, 1, 4, 0xfb, 0xf4, 0, 90, 10, 0, 0, 1, 20, 2, 18]);
    golden.extend([1, 4, 0, 1, 0, 1, 2, 0, 6, 0, 65, 4, 0, 0, 0xfb, 0xf4, 70, 0]);
    assert_eq!(octets(settings()), golden);
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let families = prop::sample::select(vec![Families::IPV4, Families::IPV6, Families::BOTH]);
    let restart = prop::option::of(1_u16..4_096);
    (
        1_u32..100_000,
        families,
        any::<bool>(),
        restart,
        prop_oneof![Just(0_u64), 3..300_u64],
    )
        .prop_map(
            |(asn, families, extended_next_hop, restart, hold)| Settings {
                families,
                extended_next_hop,
                graceful_restart: restart.map(|time_secs| RestartSettings {
                    time_secs,
                    ..Default::default()
                }),
                hold_time: Some(Duration::from_secs(hold)),
                ..Settings::new(asn, 1, OUR_ID)
            },
        )
}

proptest! {
    // BGP-54
    // BGP-63
    #[test]
    fn what_two_opens_put_in_force_is_the_same_from_both_sides(
        a in any_settings(), b in any_settings(), drop_a in prop::collection::btree_set(1_u8..80, 0..4)
    ) {
        let offer = Offer { without: drop_a, ..Offer::default() };
        let (a, b): (Open, Open) = (open(&config(a), &offer, false), open(&config(b), &Offer::default(), false));
        let (ab, ba) = (in_force(&a, &b), in_force(&b, &a));
        prop_assert_eq!(ab.hold_time_secs, a.hold_time_secs.min(b.hold_time_secs));
        prop_assert_eq!(ab.hold_time_secs, ba.hold_time_secs);
        prop_assert_eq!(
            crate::WireRules { extended_in: ba.rules.extended_out, extended_out: ba.rules.extended_in, ..ba.rules },
            ab.rules
        );
        prop_assert_eq!(
            (ab.route_refresh, ab.enhanced_refresh, ab.graceful_restart, ab.notification_restart),
            (ba.route_refresh, ba.enhanced_refresh, ba.graceful_restart, ba.notification_restart)
        );
        prop_assert_eq!((ab.peer_asn, ba.peer_asn), (b.asn(), a.asn()));
        let keepalive = ab.keepalive(30);
        prop_assert_eq!(keepalive.is_none(), ab.hold_time_secs == 0);
        prop_assert!(keepalive.is_none_or(|k| k >= secs(1) && k <= secs(30)));
    }

    // BGP-129
    #[test]
    fn a_prefix_within_another_is_found_as_by_looking_at_all(
        ours in prop::collection::btree_set((any::<u8>(), 24_u8..=32), 0..20), theirs in (any::<u8>(), 20_u8..=32)
    ) {
        let prefix = |(octet, length): (u8, u8)| {
            let network = ipnetwork::Ipv4Network::new(Ipv4Addr::new(192, 0, 2, octet), length).unwrap();
            ipnetwork::IpNetwork::new(network.network().into(), length).unwrap()
        };
        let mut routes = RouteSet::new();
        for of in ours {
            routes.insert(prefix(of), Arc::default()).unwrap();
        }
        let received = prefix(theirs);
        let slow = routes
            .iter()
            .any(|(ours, _)| received.contains(ours.network()) && ours.prefix() >= received.prefix());
        prop_assert_eq!(routes.within(&received).is_some(), slow, "{} in {:?}", received, routes);
    }
}

#[test]
fn a_shorter_prefix_at_the_same_address_does_not_hide_a_longer_one() {
    let mut routes = RouteSet::new();
    for prefix in ["192.0.2.0/24", "192.0.2.0/25"] {
        routes
            .insert(prefix.parse().unwrap(), Arc::default())
            .unwrap();
    }
    let within = |prefix: &str| {
        routes
            .within(&prefix.parse().unwrap())
            .map(|found| found.to_string())
    };
    assert_eq!(within("192.0.2.0/25").as_deref(), Some("192.0.2.0/25"));
    assert_eq!(within("192.0.2.0/26"), None);
    assert_eq!(within("::/1"), None);
}

// BGP-92
// BGP-93
#[test]
fn a_route_that_cannot_be_announced_is_refused_and_changes_nothing() {
    let plain = RouteAttributes::default();
    let many = RouteAttributes {
        communities: (0..257).map(Community).collect(),
        ..plain.clone()
    };
    let large = (0..86)
        .map(|n| LargeCommunity {
            global: n,
            local_1: 0,
            local_2: 0,
        })
        .collect();
    let large = RouteAttributes {
        large_communities: large,
        ..plain.clone()
    };
    let hop = |hop: &str| RouteAttributes {
        next_hop: Some(hop.parse().unwrap()),
        ..plain.clone()
    };
    let address = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    let prefix = |text: &str| text.parse::<ipnetwork::IpNetwork>().unwrap();
    let cases = [
        (
            "192.0.2.1/24",
            plain.clone(),
            RouteError::HostBits(prefix("192.0.2.1/24")),
        ),
        (
            "224.0.0.1/32",
            plain.clone(),
            RouteError::NotUnicast(prefix("224.0.0.1/32")),
        ),
        (
            "127.0.0.1/32",
            plain.clone(),
            RouteError::NotUnicast(prefix("127.0.0.1/32")),
        ),
        (
            "ff02::1/128",
            plain.clone(),
            RouteError::NotUnicast(prefix("ff02::1/128")),
        ),
        (
            "::ffff:1.2.3.4/128",
            plain.clone(),
            RouteError::NotUnicast(prefix("::ffff:1.2.3.4/128")),
        ),
        ("192.0.2.1/32", many, RouteError::Communities(257)),
        ("192.0.2.1/32", large, RouteError::LargeCommunities(86)),
        (
            "192.0.2.1/32",
            RouteAttributes {
                prepend: 11,
                ..plain.clone()
            },
            RouteError::Prepend(11),
        ),
        (
            "192.0.2.1/32",
            hop("0.0.0.0"),
            RouteError::NextHop(address("0.0.0.0")),
        ),
        (
            "2001:db8::1/128",
            hop("10.0.0.1"),
            RouteError::NextHop(address("10.0.0.1")),
        ),
    ];
    let mut routes = hosts(3);
    for (text, attributes, error) in cases {
        assert_eq!(
            routes.insert(prefix(text), Arc::new(attributes)),
            Err(error),
            "{text}"
        );
        assert_eq!(routes, hosts(3));
    }
    // The most that is let in fits the smallest message.
    let full = RouteAttributes {
        communities: (0..256).map(|n| Community(n << 8)).collect(),
        large_communities: (0..85)
            .map(|n| LargeCommunity {
                global: n,
                local_1: 0,
                local_2: 0,
            })
            .collect(),
        link_bandwidth: Some(1),
        med: Some(1),
        prepend: 10,
        ..plain
    };
    let mut routes = RouteSet::new();
    routes
        .insert(prefix("2001:db8::/32"), Arc::new(full))
        .unwrap();
    let mut rig = Rig::new(Settings {
        my_asn: 4_200_000_000,
        families: Families::IPV6,
        ..settings()
    });
    rig.open.capabilities = crate::Capabilities {
        multiprotocol: [Family::Ipv6.afi_safi()].into(),
        ..Default::default()
    };
    let conn = rig.dialled();
    let ends = crate::Endpoints::new(
        "[2001:db8::1]:1".parse().unwrap(),
        "[2001:db8::2]:179".parse().unwrap(),
    );
    rig.peer.handle_connected(conn, ends, rig.now);
    rig.establish_on(conn);
    rig.peer.set_routes(&routes, rig.now);
    rig.peer.poll_transmit(conn, 100_000, rig.now);
    assert_eq!(
        (
            rig.peer.view().routes_sent,
            rig.peer.view().routes_unsendable
        ),
        (1, 0)
    );
}
