//! Tables of the rules of BGP's objects: what is used, and what is told of the rest.

use super::{BgpConfig, Endpoint, RemoteAsn, bgp};
use crate::config::{duration, pools};
use crate::elect::tests::build::{Build, NAMESPACE, labels, node, selector, stored};
use crate::name::NamespacedName;
use crate::problem::Problem;
use crate::world::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn name(name: &str) -> NamespacedName {
    NamespacedName::new(NAMESPACE, name)
}

fn peer() -> BgpPeer {
    BgpPeer {
        name: name("r"),
        my_asn: 64512,
        peer_asn: Some(64513),
        peer_address: Some("192.0.2.1".into()),
        ..BgpPeer::default()
    }
}

fn advertisement() -> BgpAdvertisement {
    BgpAdvertisement {
        name: name("a"),
        aggregation_length: 32,
        aggregation_length_v6: 128,
        ..BgpAdvertisement::default()
    }
}

fn judged(build: &Build) -> (BgpConfig, Vec<Problem>) {
    let (set, _) = pools(&build.world, NAMESPACE);
    bgp(&build.world, &set, NAMESPACE)
}

fn with_peer(peer: BgpPeer) -> Build {
    let mut build = Build::bare(&["n1"]);
    build.add(Change::BgpPeer(Delta::Upsert(stored(peer))));
    build
}

fn with_advertisement(advertisement: BgpAdvertisement) -> Build {
    let mut build = Build::bare(&["n1"]);
    build.add(Change::BgpAdvertisement(Delta::Upsert(stored(
        advertisement,
    ))));
    build
}

/// The one problem says all of these, and the object is used or not.
#[track_caller]
fn check(build: &Build, used: bool, parts: &[&str]) {
    let (config, problems) = judged(build);
    let count = config.peers.len() + config.advertisements.len();
    assert_eq!(count, usize::from(used), "{problems:?}");
    assert_eq!(
        problems.len(),
        usize::from(!parts.is_empty()),
        "{problems:?}"
    );
    for part in parts {
        let problem = &problems[0];
        let text = format!("{} {}", problem.reason, problem.message);
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn durations_are_read_as_go_reads_them() {
    let seconds = |n| Some(Duration::from_secs(n));
    for (text, expected) in [
        ("90s", seconds(90)),
        ("1m30s", seconds(90)),
        ("1.5m", seconds(90)),
        ("2h", seconds(7_200)),
        (".5s", Some(Duration::from_millis(500))),
        ("1.s", seconds(1)),
        ("250ms", Some(Duration::from_millis(250))),
        ("1us", Some(Duration::from_micros(1))),
        ("1µs", Some(Duration::from_micros(1))),
        ("7ns", Some(Duration::from_nanos(7))),
        ("+3s", seconds(3)),
        ("0", seconds(0)),
        ("-0", seconds(0)),
        ("0s", seconds(0)),
        ("-3s", None),
        ("3", None),
        ("s", None),
        (".s", None),
        ("1.2.3s", None),
        ("3 s", None),
        ("3d", None),
        ("", None),
        ("9223372036s", seconds(9_223_372_036)),
        ("9223372037s", None),
        ("99999999999999999999999999999999999999999s", None),
    ] {
        assert_eq!(duration::parse(text), expected, "{text}");
    }
}

#[test]
fn a_plain_peer_has_the_defaults() {
    let (config, problems) = judged(&with_peer(peer()));
    assert_eq!(problems, []);
    let peer = &config.peers[0];
    assert_eq!(peer.remote_asn, RemoteAsn::Number(64513));
    assert_eq!(
        peer.endpoint,
        Endpoint::Address("192.0.2.1".parse().unwrap())
    );
    assert_eq!((peer.port, peer.hold_time.as_secs()), (179, 90));
    assert_eq!(peer.keepalive_time.as_secs(), 30);
}

#[test]
fn timers_follow_from_each_other() {
    let text = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    for (hold, keepalive, expected) in [
        ("", "", Some((90, 30))),
        ("30s", "", Some((30, 10))),
        ("", "10s", Some((30, 10))),
        ("30s", "3s", Some((30, 3))),
        ("0s", "", Some((0, 0))),
        ("3s", "3s", Some((3, 3))),
        ("2s", "", None),
        ("70000s", "", None),
        ("30s", "31s", None),
    ] {
        let raw = BgpPeer {
            hold_time: text(hold),
            keepalive_time: text(keepalive),
            ..peer()
        };
        let (config, _) = judged(&with_peer(raw));
        let times = config
            .peers
            .first()
            .map(|peer| (peer.hold_time.as_secs(), peer.keepalive_time.as_secs()));
        assert_eq!(times, expected, "{hold} {keepalive}");
    }
}

#[test]
fn a_peer_that_cannot_be_is_told_with_the_field() {
    let some = |text: &str| Some(text.to_owned());
    let table: [(BgpPeer, &[&str]); 15] = [
        (
            BgpPeer {
                my_asn: 0,
                ..peer()
            },
            &["spec.myASN"],
        ),
        (
            BgpPeer {
                peer_asn: None,
                ..peer()
            },
            &["spec.peerASN", "exactly one"],
        ),
        (
            BgpPeer {
                dynamic_asn: some("internal"),
                ..peer()
            },
            &["exactly one"],
        ),
        (
            BgpPeer {
                peer_asn: None,
                dynamic_asn: some("any"),
                ..peer()
            },
            &["spec.dynamicASN"],
        ),
        (
            BgpPeer {
                interface: some("eth0"),
                ..peer()
            },
            &["spec.peerAddress", "exactly one"],
        ),
        (
            BgpPeer {
                peer_address: some("router"),
                ..peer()
            },
            &["not an IP address"],
        ),
        (
            BgpPeer {
                peer_address: some("fe80::1"),
                ..peer()
            },
            &["spec.interface"],
        ),
        (
            BgpPeer {
                peer_address: some("224.0.0.1"),
                ..peer()
            },
            &["no address of a router"],
        ),
        (
            BgpPeer {
                source_address: some("2001:db8::1"),
                ..peer()
            },
            &["differ in family"],
        ),
        (
            BgpPeer {
                router_id: some("::1"),
                ..peer()
            },
            &["spec.routerID"],
        ),
        (
            BgpPeer {
                peer_port: Some(20_000),
                ..peer()
            },
            &["spec.peerPort"],
        ),
        (
            BgpPeer {
                connect_time: some("1500ms"),
                ..peer()
            },
            &["spec.connectTime"],
        ),
        (
            BgpPeer {
                bfd_profile: some("fast"),
                ..peer()
            },
            &["UnknownProfile", "fast"],
        ),
        (
            BgpPeer {
                ebgp_multi_hop: true,
                peer_asn: Some(64512),
                ..peer()
            },
            &["spec.ebgpMultiHop"],
        ),
        (
            BgpPeer {
                password: some("a"),
                password_secret: some("b"),
                ..peer()
            },
            &["not together"],
        ),
    ];
    for (raw, parts) in table {
        check(&with_peer(raw), false, parts);
    }
}

// BGP-07
#[test]
fn a_missing_secret_never_means_no_password() {
    let raw = BgpPeer {
        password_secret: Some("key".into()),
        ..peer()
    };
    let secret = |kind: &str, key: &str, value: &[u8]| Secret {
        name: name("key"),
        kind: kind.into(),
        data: BTreeMap::from([(key.to_owned(), value.to_vec())]),
    };
    let basic = "kubernetes.io/basic-auth";
    let table: [(Option<Secret>, &[&str]); 6] = [
        (None, &["InvalidSecret", "there is no Secret \"key\""]),
        (
            Some(secret("Opaque", "password", b"s")),
            &["of type \"Opaque\""],
        ),
        (Some(secret(basic, "pass", b"s")), &["no key \"password\""]),
        (Some(secret(basic, "password", b"")), &["0 octets"]),
        (Some(secret(basic, "password", &[b'x'; 81])), &["81 octets"]),
        (Some(secret(basic, "password", &[b'x'; 80])), &[]),
    ];
    for (secret, parts) in table {
        let mut build = with_peer(raw.clone());
        if let Some(secret) = secret {
            build.add(Change::Secret(Delta::Upsert(stored(secret))));
        }
        check(&build, parts.is_empty(), parts);
        let (config, problems) = judged(&build);
        for shown in [format!("{config:?}"), format!("{problems:?}")] {
            assert!(!shown.contains("xxxx") && !shown.contains("120, 120"));
        }
    }
}

#[test]
fn extensions_are_read_and_a_bad_one_is_told_and_left_out() {
    let with = |text: &str| BgpPeer {
        annotations: labels(text),
        ..peer()
    };
    let good = with(
        "harbinger.dev/ttl-security-hops=1,harbinger.dev/min-hold-time=10s,harbinger.dev/restart-time=2m,harbinger.dev/bfd-mode=multi,harbinger.dev/bfd-strict=true,harbinger.dev/next-hop=192.0.2.5,metallb.io/other=x",
    );
    let (config, problems) = judged(&with_peer(good));
    assert_eq!(problems, []);
    let read = &config.peers[0];
    assert_eq!(read.ttl_security_hops, Some(1));
    assert_eq!(read.restart_time, Some(Duration::from_secs(120)));
    assert!(read.bfd_strict && read.next_hops.len() == 1);
    for (text, part) in [
        ("harbinger.dev/ttl-security-hops=0", "from 1 to 254"),
        ("harbinger.dev/bfd-mode=both", "auto, single or multi"),
        ("harbinger.dev/restart-time=2h", "from 1s to 4095s"),
        (
            "harbinger.dev/next-hop=0.0.0.0",
            "one address of each family",
        ),
        ("harbinger.dev/ttl-security=1", "means nothing on this kind"),
    ] {
        check(&with_peer(with(text)), true, &[part, "harbinger.dev/"]);
    }
    let both = BgpPeer {
        ebgp_multi_hop: true,
        ..with("harbinger.dev/ttl-security-hops=2")
    };
    check(&with_peer(both), true, &["not together with ebgpMultiHop"]);
}

#[test]
fn two_sessions_to_one_place_need_nodes_of_their_own() {
    let mut build = with_peer(peer());
    let second = BgpPeer {
        name: name("s"),
        ..peer()
    };
    build.add(Change::BgpPeer(Delta::Upsert(stored(second.clone()))));
    check(&build, true, &["Duplicate", "\"r\"", "192.0.2.1 port 179"]);
    let elsewhere = BgpPeer {
        node_selectors: vec![selector("rack=2")],
        ..second.clone()
    };
    build.node(node("n2", "rack=2"));
    build.add(Change::BgpPeer(Delta::Upsert(stored(elsewhere))));
    check(&build, true, &["Duplicate"]);
    let first = BgpPeer {
        node_selectors: vec![selector("rack=1")],
        ..peer()
    };
    build.add(Change::BgpPeer(Delta::Upsert(stored(first))));
    assert_eq!(judged(&build).0.peers.len(), 2);
    let other_port = BgpPeer {
        peer_port: Some(1179),
        ..second
    };
    build.add(Change::BgpPeer(Delta::Upsert(stored(peer()))));
    build.add(Change::BgpPeer(Delta::Upsert(stored(other_port))));
    assert_eq!(judged(&build).1, []);
}

#[test]
fn an_advertisement_that_cannot_be_is_told_with_the_field() {
    let ad = advertisement;
    let table: [(BgpAdvertisement, bool, &[&str]); 9] = [
        (ad(), true, &[]),
        (
            BgpAdvertisement {
                aggregation_length: 0,
                ..ad()
            },
            false,
            &["aggregationLength: 0"],
        ),
        (
            BgpAdvertisement {
                aggregation_length_v6: 129,
                ..ad()
            },
            false,
            &["aggregationLengthV6"],
        ),
        (
            BgpAdvertisement {
                local_pref: Some(-1),
                ..ad()
            },
            false,
            &["localPref"],
        ),
        (
            BgpAdvertisement {
                communities: vec!["1:70000".into()],
                ..ad()
            },
            false,
            &["InvalidCommunity", "communities[0]"],
        ),
        (
            BgpAdvertisement {
                peers: vec!["nobody".into()],
                ..ad()
            },
            true,
            &["UnknownPeer", "nobody"],
        ),
        (
            BgpAdvertisement {
                pools: vec!["none".into()],
                ..ad()
            },
            true,
            &["UnknownPool", "none"],
        ),
        (
            BgpAdvertisement {
                service_selectors: vec![selector("a=b")],
                aggregation_length: 24,
                ..ad()
            },
            false,
            &["serviceSelectors"],
        ),
        (
            BgpAdvertisement {
                annotations: labels("harbinger.dev/med=-1"),
                ..ad()
            },
            true,
            &["harbinger.dev/med"],
        ),
    ];
    for (raw, used, parts) in table {
        check(&with_advertisement(raw), used, parts);
    }
}

// BGP-96
#[test]
fn a_route_wider_than_the_pool_refuses_the_pool() {
    for (range, length, fits) in [
        ("192.0.2.0/24", 24, true),
        ("192.0.2.0/24", 23, false),
        ("192.0.2.0/24", 32, true),
        ("192.0.2.10-192.0.2.20", 30, true),
        ("192.0.2.10-192.0.2.20", 29, false),
        ("192.0.2.0-192.0.2.255", 24, true),
        ("192.0.2.255-192.0.3.0", 31, false),
        ("0.0.0.0/0", 1, true),
    ] {
        let mut build = Build::bare(&["n1"]);
        build.add(Change::Pool(Delta::Upsert(stored(IpAddressPool {
            addresses: vec![range.into()],
            name: name("p"),
            ..IpAddressPool::default()
        }))));
        let raw = BgpAdvertisement {
            aggregation_length: length,
            ..advertisement()
        };
        build.add(Change::BgpAdvertisement(Delta::Upsert(stored(raw))));
        let (config, problems) = judged(&build);
        assert_eq!(
            config.advertisements[0].covers("p"),
            fits,
            "{range} {length}"
        );
        assert_eq!(problems.is_empty(), fits, "{problems:?}");
    }
}

#[test]
fn names_of_communities_are_resolved_and_given_once() {
    let mut build = Build::bare(&["n1"]);
    let named = |object: &str, pairs: &[(&str, &str)]| {
        let aliases = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Change::Community(Delta::Upsert(stored(Community {
            name: name(object),
            aliases: aliases.collect(),
        })))
    };
    build.add(named("a", &[("vip", "64512:7"), ("big", "large:1:2:3")]));
    build.add(named("b", &[("vip", "64512:8"), ("odd", "64512")]));
    let raw = BgpAdvertisement {
        communities: vec!["vip".into(), "big".into(), "no-export".into()],
        ..advertisement()
    };
    build.add(Change::BgpAdvertisement(Delta::Upsert(stored(raw))));
    let (config, problems) = judged(&build);
    let said: Vec<String> = config.advertisements[0]
        .communities
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said, ["64512:7", "65535:65281", "large:1:2:3"]);
    let reasons: Vec<&str> = problems.iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, ["Duplicate", "InvalidCommunity"]);
    assert!(problems.iter().all(|problem| problem.object.name == "b"));
}

#[test]
fn a_profile_has_the_defaults_of_frr_and_its_ranges() {
    let profile = |raw: BfdProfile| {
        let mut build = with_peer(BgpPeer {
            bfd_profile: Some("fast".into()),
            ..peer()
        });
        let raw = BfdProfile {
            name: name("fast"),
            ..raw
        };
        build.add(Change::BfdProfile(Delta::Upsert(stored(raw))));
        judged(&build)
    };
    let (config, problems) = profile(BfdProfile::default());
    assert_eq!(problems, []);
    let bfd = config.peers[0].bfd.as_ref().unwrap();
    assert_eq!(bfd.receive_interval, Duration::from_millis(300));
    assert_eq!((bfd.detect_multiplier, bfd.minimum_ttl), (3, 254));
    assert_eq!(bfd.echo_interval, None);
    let bad = BfdProfile {
        detect_multiplier: Some(1),
        ..BfdProfile::default()
    };
    let (config, problems) = profile(bad);
    assert!(
        config.peers.is_empty(),
        "a session without its BFD is not what was asked for"
    );
    let reasons: Vec<&str> = problems.iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, ["InvalidField", "UnknownProfile"]);
}
