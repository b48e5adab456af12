//! What goes out after Established: order, packing, next hops, refresh, markers.

use std::sync::Arc;

use super::rig::*;
use crate::message::{
    AsPath, Asn, Community, ExtendedCommunity, Families, LargeCommunity, NextHop, Update,
};
use crate::peer::Endpoints;
use crate::{Family, RouteAttributes, RouteSet, Settings};

/// A peer without extended messages and refreshes.
fn plain(settings: Settings) -> Rig {
    let mut rig = Rig::new(settings);
    rig.open.capabilities.extended_messages = false;
    rig.open.capabilities.enhanced_refresh = false;
    rig
}

fn one(prefix: &str, attributes: RouteAttributes) -> RouteSet {
    let mut routes = RouteSet::new();
    routes
        .insert(prefix.parse().unwrap(), Arc::new(attributes))
        .unwrap();
    routes
}

// BGP-83
// BGP-47
#[test]
fn equal_attributes_share_messages_filled_to_the_limit() {
    for (count, messages, octets) in [
        (1_000, 2, 5_109),
        (10_000, 13, 50_582),
        (100_000, 124, 505_355),
    ] {
        let mut rig = plain(settings());
        let conn = rig.establish();
        rig.sent(conn);
        rig.peer.set_routes(&hosts(count), rig.now);
        let got = rig.sent(conn);
        assert_eq!(
            rig.lengths.len(),
            messages + 1,
            "{count} routes and End-of-RIB"
        );
        assert_eq!(rig.lengths.last(), Some(&23));
        assert_eq!(announced(&got).len(), count as usize);
        let sum: usize = rig.lengths.iter().sum();
        assert_eq!(sum, octets, "{count} routes");
        assert_eq!(rig.peer.counters().prefixes_announced, u64::from(count));
    }
}

// BGP-50
#[test]
fn extended_messages_carry_all_in_one() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    rig.peer.set_routes(&hosts(10_000), rig.now);
    rig.sent(conn);
    assert_eq!(rig.lengths, [50_043, 23]);
}

// BGP-80
// BGP-82
// BGP-98
#[test]
fn one_change_is_one_minimal_update() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(100), rig.now);
    rig.sent(conn);
    let mut routes = hosts(100);
    routes.remove(&host(7));
    rig.peer.set_routes(&routes, rig.now);
    assert_eq!(
        rig.sent(conn),
        [Got::Updates(vec![Update::Withdrawn(vec![host(7)])])]
    );
    rig.peer.set_routes(&hosts(100), rig.now);
    assert_eq!(announced(&rig.sent(conn)), [host(7)]);
    // Back and forth between two turns costs nothing.
    rig.peer.set_routes(&routes, rig.now);
    rig.peer.set_routes(&RouteSet::new(), rig.now);
    rig.peer.set_routes(&hosts(100), rig.now);
    assert!(!rig.peer.wants_write(conn));
    assert_eq!(rig.sent(conn), []);
    // Withdrawals first.
    let mut routes = hosts(101);
    routes.remove(&host(3));
    rig.peer.set_routes(&routes, rig.now);
    let got = updates(&rig.sent(conn));
    assert!(
        matches!(
            got.as_slice(),
            [Update::Withdrawn(_), Update::Announced { .. }]
        ),
        "{got:?}"
    );
}

// BGP-47
// BGP-135
#[test]
fn end_of_rib_goes_once_per_family_and_waits_for_the_first_view() {
    let dual = Settings {
        families: Families::BOTH,
        ..settings()
    };
    let mut rig = Rig::new(dual);
    let conn = rig.establish();
    assert_eq!(
        rig.live(conn, secs(20))
            .iter()
            .filter(|got| **got != Got::Keepalive)
            .count(),
        1,
        "only our OPEN"
    );
    rig.peer.set_routes(&RouteSet::new(), rig.now);
    let eor = |family| Got::Updates(vec![Update::EndOfRib(family)]);
    assert_eq!(rig.sent(conn), [eor(Family::Ipv4), eor(Family::Ipv6)]);
    rig.peer.set_routes(&hosts(1), rig.now);
    rig.sent(conn);
    rig.peer.set_routes(&RouteSet::new(), rig.now);
    assert_eq!(withdrawn(&rig.sent(conn)), [host(0)]);
    assert!(rig.peer.view().announced_all);
}

// BGP-135
#[test]
fn with_graceful_restart_end_of_rib_waits_ten_seconds_less_than_the_restart_time() {
    let restart = crate::RestartSettings {
        time_secs: 60,
        ..Default::default()
    };
    let mut rig = Rig::new(Settings {
        graceful_restart: Some(restart),
        ..settings()
    });
    rig.open.capabilities.graceful_restart = Some(restart_capability(60));
    let conn = rig.establish();
    let early = rig.live(conn, secs(49));
    assert_eq!(updates(&early), []);
    assert_eq!(
        updates(&rig.live(conn, secs(2))),
        [Update::EndOfRib(Family::Ipv4)]
    );
}

fn rich() -> RouteAttributes {
    RouteAttributes {
        local_pref: Some(50),
        med: Some(7),
        communities: [
            Community::new(65_000, 2),
            Community::new(65_000, 1),
            Community::NO_EXPORT,
        ]
        .into(),
        large_communities: [LargeCommunity {
            global: 1,
            local_1: 2,
            local_2: 3,
        }]
        .into(),
        link_bandwidth: Some(250_000_000),
        prepend: 2,
        next_hop: None,
    }
}

// BGP-86
// BGP-90
// BGP-91
// BGP-92
// BGP-93
// BGP-94
#[test]
fn attributes_are_those_of_the_kind_of_session() {
    for internal in [false, true] {
        let asn = if internal { OUR_ASN } else { ROUTER_ASN };
        let mut rig = Rig::new(Settings {
            peer_asn: Some(asn),
            ..settings()
        });
        rig.open = crate::Open::new(Asn(asn), 90, ROUTER_ID, capabilities(asn, Families::IPV4));
        let conn = rig.establish();
        rig.peer.set_routes(&one("192.0.2.1/32", rich()), rig.now);
        let got = updates(&rig.sent(conn));
        let Update::Announced {
            next_hop,
            attributes,
            ..
        } = &got[0]
        else {
            panic!("{got:?}")
        };
        assert_eq!(*next_hop, NextHop::V4(OUR_ID));
        let path = if internal {
            AsPath::default()
        } else {
            AsPath::repeated(Asn(OUR_ASN), 3)
        };
        assert_eq!(attributes.as_path, path);
        assert_eq!(attributes.local_pref, internal.then_some(50));
        assert_eq!(attributes.med, Some(7));
        let communities = [
            Community::new(65_000, 1),
            Community::new(65_000, 2),
            Community::NO_EXPORT,
        ];
        assert_eq!(attributes.communities, communities);
        assert_eq!(
            attributes.large_communities,
            [LargeCommunity {
                global: 1,
                local_1: 2,
                local_2: 3
            }]
        );
        let bandwidth = ExtendedCommunity::link_bandwidth(Asn(OUR_ASN), 250_000_000.0);
        assert_eq!(attributes.extended_communities, [bandwidth]);
        // What this kind of session does not carry changes nothing.
        let same = if internal {
            RouteAttributes {
                prepend: 0,
                ..rich()
            }
        } else {
            RouteAttributes {
                local_pref: None,
                ..rich()
            }
        };
        rig.peer.set_routes(&one("192.0.2.1/32", same), rig.now);
        assert_eq!(rig.sent(conn), []);
        rig.peer
            .set_routes(&one("192.0.2.1/32", RouteAttributes::default()), rig.now);
        let got = updates(&rig.sent(conn));
        let Update::Announced { attributes, .. } = &got[0] else {
            panic!("{got:?}")
        };
        assert_eq!(
            attributes.local_pref,
            internal.then_some(100),
            "100 where none is set"
        );
        assert_eq!((attributes.med, attributes.communities.len()), (None, 0));
    }
}

// BGP-84
// BGP-92
#[test]
fn what_is_wanted_is_announced_whatever_its_communities_say() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    let communities = Community::WELL_KNOWN
        .iter()
        .map(|(value, _)| *value)
        .collect();
    rig.peer.set_routes(
        &one(
            "192.0.2.1/32",
            RouteAttributes {
                communities,
                ..Default::default()
            },
        ),
        rig.now,
    );
    assert_eq!(announced(&rig.sent(conn)).len(), 1);
}

/// Connects over these ends with both families, and answers the announcements by family.
fn over(ends: Endpoints, extended_next_hop: bool, routes: &RouteSet) -> (Rig, Vec<Update>) {
    let mut rig = Rig::new(Settings {
        families: Families::BOTH,
        extended_next_hop,
        ..settings()
    });
    if extended_next_hop {
        rig.open.capabilities.extended_next_hop =
            [crate::message::ExtendedNextHop::IPV4_OVER_IPV6].into();
    }
    let conn = rig.dialled();
    rig.peer.handle_connected(conn, ends, rig.now);
    rig.establish_on(conn);
    rig.peer.set_routes(routes, rig.now);
    let got = rig.sent(conn).into_iter().flat_map(|got| {
        if let Got::Updates(u) = got {
            u
        } else {
            Vec::new()
        }
    });
    let got = got
        .filter(|update| matches!(update, Update::Announced { .. }))
        .collect();
    (rig, got)
}

// BGP-43
// BGP-87
// BGP-88
// BGP-89
#[test]
fn next_hops_are_addresses_of_this_node_that_the_peer_can_use() {
    let mut both = one("192.0.2.1/32", RouteAttributes::default());
    both.insert(
        "2001:db8:1::1/128".parse().unwrap(),
        Arc::new(RouteAttributes::default()),
    )
    .unwrap();
    let v4 = |a: &str| Some(NextHop::V4(a.parse().unwrap()));
    let v6 = |a: &str, l: Option<&str>| {
        Some(NextHop::V6 {
            global: a.parse().unwrap(),
            link_local: l.map(|l| l.parse().unwrap()),
        })
    };
    let ends =
        |local: &str, remote: &str, a: Option<&str>, b: Option<&str>, l: Option<&str>| Endpoints {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            ipv4: a.map(|a| a.parse().unwrap()),
            ipv6: b.map(|b| b.parse().unwrap()),
            link_local: l.map(|l| l.parse().unwrap()),
        };
    let (l4, r4, l6, r6) = (
        "10.0.0.1:1",
        "10.0.0.254:179",
        "[2001:db8::1]:1",
        "[2001:db8::fe]:179",
    );
    let (ll, rl) = ("[fe80::1]:1", "[fe80::fe]:179");
    let cases = [
        (ends(l4, r4, None, None, None), false, v4("10.0.0.1"), None),
        (
            ends(l4, r4, Some("10.9.9.9"), Some("2001:db8::1"), None),
            false,
            v4("10.0.0.1"),
            v6("2001:db8::1", None),
        ),
        (
            ends(l6, r6, None, None, None),
            false,
            None,
            v6("2001:db8::1", None),
        ),
        (
            ends(l6, r6, Some("10.0.0.1"), None, Some("fe80::1")),
            false,
            v4("10.0.0.1"),
            v6("2001:db8::1", Some("fe80::1")),
        ),
        (
            ends(l6, r6, Some("10.0.0.1"), None, None),
            true,
            v6("2001:db8::1", None),
            v6("2001:db8::1", None),
        ),
        (
            ends(ll, rl, None, None, None),
            true,
            v6("fe80::1", Some("fe80::1")),
            v6("fe80::1", Some("fe80::1")),
        ),
        (
            ends(ll, rl, None, Some("2001:db8::1"), None),
            true,
            v6("2001:db8::1", Some("fe80::1")),
            v6("2001:db8::1", Some("fe80::1")),
        ),
        // The peer is on this host.
        (
            ends("127.0.0.1:1", "127.0.0.1:179", Some("10.0.0.1"), None, None),
            false,
            v4("10.0.0.1"),
            None,
        ),
        (
            ends("10.0.0.1:1", "10.0.0.1:179", Some("10.0.0.1"), None, None),
            false,
            None,
            None,
        ),
        (
            ends("[::ffff:10.0.0.1]:1", r6, None, None, None),
            false,
            None,
            None,
        ),
    ];
    for (ends, extended, ipv4, ipv6) in cases {
        let (rig, got) = over(ends, extended, &both);
        let hop = |family| {
            got.iter().find_map(|update| match update {
                Update::Announced {
                    prefixes, next_hop, ..
                } if Family::of(&prefixes[0]) == family => Some(*next_hop),
                _ => None,
            })
        };
        assert_eq!(
            (hop(Family::Ipv4), hop(Family::Ipv6)),
            (ipv4, ipv6),
            "{ends:?}"
        );
        let withheld = [ipv4, ipv6].iter().filter(|hop| hop.is_none()).count();
        assert_eq!(rig.peer.view().routes_withheld, withheld, "{ends:?}");
    }
}

#[test]
fn a_next_hop_of_a_routes_own_is_used_and_one_that_cannot_be_withheld() {
    let mut routes = RouteSet::new();
    let hop = |hop: &str| {
        Arc::new(RouteAttributes {
            next_hop: Some(hop.parse().unwrap()),
            ..Default::default()
        })
    };
    routes.insert(host(1), hop("10.7.7.7")).unwrap();
    routes.insert(host(2), hop("2001:db8::7")).unwrap();
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.peer.set_routes(&routes, rig.now);
    let got = updates(&rig.sent(conn));
    let [
        Update::Announced {
            prefixes, next_hop, ..
        },
        Update::EndOfRib(_),
    ] = got.as_slice()
    else {
        panic!("{got:?}")
    };
    assert_eq!(
        (prefixes.as_slice(), *next_hop),
        (&[host(1)][..], NextHop::V4("10.7.7.7".parse().unwrap()))
    );
    assert_eq!(rig.peer.view().routes_withheld, 1);
    routes.insert(host(1), hop("2001:db8::7")).unwrap();
    rig.peer.set_routes(&routes, rig.now);
    assert_eq!(withdrawn(&rig.sent(conn)), [host(1)]);
    rig.peer.set_routes(&RouteSet::new(), rig.now);
    assert_eq!(
        (rig.sent(conn), rig.peer.view().routes_withheld),
        (vec![], 0)
    );
}

#[test]
fn octets_are_the_same_for_the_same_routes_in_any_order() {
    let attributes = [Arc::new(rich()), Arc::new(RouteAttributes::default())];
    let mut all = Vec::new();
    for reverse in [false, true] {
        let mut rig = Rig::new(settings());
        let conn = rig.establish();
        rig.sent(conn);
        let mut routes = RouteSet::new();
        for n in 0..50 {
            let n = if reverse { 49 - n } else { n };
            routes
                .insert(host(n), attributes[(n % 2) as usize].clone())
                .unwrap();
            if n % 10 == 0 {
                rig.peer.set_routes(&routes, rig.now);
            }
        }
        rig.peer.set_routes(&routes, rig.now);
        all.push(rig.peer.poll_transmit(conn, 100_000, rig.now).unwrap());
    }
    assert_eq!(all[0], all[1]);
}
