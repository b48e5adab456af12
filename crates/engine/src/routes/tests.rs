//! Tables of who tells what to whom, and the property that remembering changes nothing.

use super::{Route, Routes};
use crate::config::bgp::{BgpConfig, bgp};
use crate::config::pools;
use crate::elect::tests::build::*;
use crate::elect::{ElectOptions, Elector};
use crate::name::NamespacedName;
use crate::plan::Refusal;
use crate::world::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

const NODE: &str = "n1";

fn peer(name: &str, address: &str) -> BgpPeer {
    BgpPeer {
        name: NamespacedName::new(NAMESPACE, name),
        my_asn: 64512,
        peer_asn: Some(64513),
        peer_address: Some(address.to_owned()),
        ..BgpPeer::default()
    }
}

fn advertisement(name: &str) -> BgpAdvertisement {
    BgpAdvertisement {
        name: NamespacedName::new(NAMESPACE, name),
        aggregation_length: 32,
        aggregation_length_v6: 128,
        ..BgpAdvertisement::default()
    }
}

fn add_peer(build: &mut Build, peer: BgpPeer) {
    build.add(Change::BgpPeer(Delta::Upsert(stored(peer))));
}

fn add_advertisement(build: &mut Build, advertisement: BgpAdvertisement) {
    build.add(Change::BgpAdvertisement(Delta::Upsert(stored(
        advertisement,
    ))));
}

/// Nodes n1 and n2, peer `r` and advertisement `a`, nothing announced yet.
fn basic() -> Build {
    let mut build = Build::bare(&[NODE, "n2"]);
    add_peer(&mut build, peer("r", "192.0.2.1"));
    add_advertisement(&mut build, advertisement("a"));
    build
}

fn configure(build: &Build, routes: &mut Routes, elector: &mut Elector) -> Arc<BgpConfig> {
    let (set, _) = pools(&build.world, NAMESPACE);
    let set = Arc::new(set);
    let (config, _) = bgp(&build.world, &set, NAMESPACE);
    let config = Arc::new(config);
    elector.set_config(Arc::clone(&set), Vec::new());
    routes.set_config(set, Arc::clone(&config));
    config
}

fn routes(build: &Build) -> Routes {
    let mut elector = Elector::new(build.options.clone());
    let mut routes = Routes::new(NODE, build.options.clone());
    configure(build, &mut routes, &mut elector);
    let decided = elector.update(&build.world);
    routes.update(&build.world, &elector, &decided);
    routes
}

/// `peer: prefix attributes` of every route.
fn lines(routes: &Routes) -> Vec<String> {
    let of_session = |(name, session): (&String, &super::Session)| {
        let line = |(prefix, route): (&ipnetwork::IpNetwork, &Arc<Route>)| {
            let said = &route.attributes;
            let mut text = format!("{name}: {prefix}");
            let values = [
                ("pref", said.local_pref),
                ("med", said.med),
                ("weight", said.weight),
                ("prepend", Some(u32::from(said.prepend)).filter(|n| *n > 0)),
            ];
            for (what, value) in values {
                text += &value.map_or(String::new(), |value| format!(" {what} {value}"));
            }
            for community in &said.communities {
                text += &format!(" {community}");
            }
            text
        };
        session.routes.iter().map(line).collect::<Vec<_>>()
    };
    routes.sessions().iter().flat_map(of_session).collect()
}

#[track_caller]
fn check(build: &Build, expected: &[&str]) {
    assert_eq!(lines(&routes(build)), expected);
}

#[track_caller]
fn refused(build: &Build, why: Refusal) {
    let routes = routes(build);
    assert_eq!(lines(&routes), Vec::<String>::new());
    let refusals: Vec<Refusal> = routes.refusals("r").map(|(_, why)| why).collect();
    assert_eq!(refusals, [why]);
}

// BGP-97
#[test]
fn a_served_address_is_told_to_every_peer_as_a_host_route() {
    let mut build = basic();
    add_peer(&mut build, peer("s", "192.0.2.2"));
    build.served(service("web", &["10.0.0.1"]));
    check(&build, &["r: 10.0.0.1/32", "s: 10.0.0.1/32"]);
    let routes = routes(&build);
    let web = NamespacedName::new("default", "web");
    let peers: Vec<String> = routes.peers_of(&web).into_iter().collect();
    assert_eq!(peers, ["r", "s"]);
}

// BGP-97
#[test]
fn each_refusal_has_its_reason() {
    let mut elsewhere = basic();
    let only_n2 = BgpAdvertisement {
        node_selectors: vec![selector("rack=2")],
        ..advertisement("a")
    };
    add_advertisement(&mut elsewhere, only_n2);
    elsewhere.served(service("web", &["10.0.0.1"]));
    refused(&elsewhere, Refusal::NotOwner);

    let mut other = basic();
    let for_others = BgpAdvertisement {
        service_selectors: vec![selector("app=db")],
        ..advertisement("a")
    };
    add_advertisement(&mut other, for_others);
    other.served(service("web", &["10.0.0.1"]));
    refused(&other, Refusal::NoMatchingAdvertisement);

    let mut lone = basic();
    lone.service(service("web", &["10.0.0.1"]));
    refused(&lone, Refusal::NoEndpoints);

    let mut local = basic();
    let policy = Service {
        external_policy: TrafficPolicy::Local,
        ..service("web", &["10.0.0.1"])
    };
    local.service(policy).slice(ready_on("web", &["n2"]));
    refused(&local, Refusal::NoLocalEndpoints);

    let mut label = basic();
    let excluded = "node.kubernetes.io/exclude-from-external-load-balancers=";
    label
        .node(node(NODE, excluded))
        .served(service("web", &["10.0.0.1"]));
    refused(&label, Refusal::NodeLabeledExcludeBalancers);
    label.options.ignore_exclude = true;
    check(&label, &["r: 10.0.0.1/32"]);

    let mut network = basic();
    let unavailable = Node {
        network_unavailable: true,
        ..node(NODE, "")
    };
    network
        .node(unavailable)
        .served(service("web", &["10.0.0.1"]));
    refused(&network, Refusal::NodeNetworkUnavailable);
}

#[test]
fn a_terminating_endpoint_that_still_serves_counts() {
    let mut build = basic();
    let last = endpoint(Some(false), Some(true), NODE);
    build
        .service(service("web", &["10.0.0.1"]))
        .slice(slice("web", vec![last]));
    check(&build, &["r: 10.0.0.1/32"]);
}

#[test]
fn membership_plays_no_role() {
    let mut build = basic();
    build.served(service("web", &["10.0.0.1"])).dead(NODE);
    check(&build, &["r: 10.0.0.1/32"]);
}

#[test]
fn peers_and_families_decide_what_a_session_carries() {
    let mut build = basic();
    add_peer(&mut build, peer("six", "2001:db8::1"));
    let both = BgpPeer {
        dual_stack: true,
        ..peer("two", "192.0.2.9")
    };
    add_peer(&mut build, both);
    let absent = BgpPeer {
        node_selectors: vec![selector("rack=9")],
        ..peer("away", "192.0.2.10")
    };
    add_peer(&mut build, absent);
    build.served(service("web", &["10.0.0.1", "fc00::1"]));
    let all = [
        "r: 10.0.0.1/32",
        "six: fc00::1/128",
        "two: 10.0.0.1/32",
        "two: fc00::1/128",
    ];
    check(&build, &all);
    let named = BgpAdvertisement {
        peers: vec!["two".into()],
        ..advertisement("a")
    };
    add_advertisement(&mut build, named);
    check(&build, &["two: 10.0.0.1/32", "two: fc00::1/128"]);
}

// BGP-90
#[test]
fn local_preference_goes_to_internal_peers_alone() {
    let mut build = basic();
    let inside = BgpPeer {
        peer_asn: Some(64512),
        ..peer("in", "192.0.2.3")
    };
    add_peer(&mut build, inside);
    let preferred = BgpAdvertisement {
        local_pref: Some(200),
        ..advertisement("a")
    };
    add_advertisement(&mut build, preferred);
    build.served(service("web", &["10.0.0.1"]));
    check(&build, &["in: 10.0.0.1/32 pref 200", "r: 10.0.0.1/32"]);
}

// BGP-95
#[test]
fn communities_of_one_prefix_are_united() {
    let mut build = basic();
    for (name, community) in [("a", "64512:1"), ("b", "large:1:2:3"), ("c", "no-export")] {
        let said = BgpAdvertisement {
            communities: vec![community.into()],
            ..advertisement(name)
        };
        add_advertisement(&mut build, said);
    }
    build.served(service("web", &["10.0.0.1"]));
    check(&build, &["r: 10.0.0.1/32 64512:1 65535:65281 large:1:2:3"]);
}

// BGP-95
#[test]
fn conflicting_preferences_are_not_announced_and_both_are_named() {
    let with = |name: &str, pref: i64, peers: &[&str], length: i64| BgpAdvertisement {
        local_pref: Some(pref),
        peers: peers.iter().map(|p| (*p).to_owned()).collect(),
        aggregation_length: length,
        ..advertisement(name)
    };
    // Peers of the two, their lengths: what conflicts under compat/metallb.md 3.9?
    type Row<'a> = (&'a [&'a str], &'a [&'a str], i64, i64, bool);
    let table: [Row<'_>; 6] = [
        (&[], &[], 32, 32, true),
        (&["r"], &[], 32, 32, true),
        (&["r"], &["r", "s"], 32, 32, true),
        (&["r"], &["s"], 32, 32, false),
        (&[], &[], 32, 24, true),
        (&["r"], &["s"], 32, 24, false),
    ];
    for (first, second, a, b, conflicts) in table {
        let mut build = basic();
        add_advertisement(&mut build, with("a", 100, first, a));
        add_advertisement(&mut build, with("b", 200, second, b));
        build.served(service("web", &["10.0.0.1"]));
        let routes = routes(&build);
        let why: Vec<Refusal> = routes.refusals("r").map(|(_, why)| why).collect();
        let expected = [Refusal::ConflictingAdvertisements];
        assert_eq!(why == expected, conflicts, "{first:?} {second:?} {a} {b}");
        let problems = routes.problems();
        assert_eq!(problems.len(), usize::from(conflicts));
        if let Some(problem) = problems.first() {
            assert_eq!(problem.object.name, "b");
            assert!(problem.message.contains("\"a\"") && problem.message.contains("default/web"));
        }
    }
}

#[test]
fn a_pool_of_one_family_needs_one_length_to_differ() {
    let mut build = basic();
    build.add(Change::Pool(Delta::Upsert(stored(pool(
        "p",
        &["10.0.0.0/8"],
    )))));
    for (name, pref, length) in [("a", 100, 32), ("b", 200, 24)] {
        let said = BgpAdvertisement {
            local_pref: Some(pref),
            aggregation_length: length,
            ..advertisement(name)
        };
        add_advertisement(&mut build, said);
    }
    build.served(service("web", &["10.0.0.1"]));
    check(&build, &["r: 10.0.0.0/24", "r: 10.0.0.1/32"]);
}

// BGP-96
#[test]
fn an_aggregate_stands_while_one_member_is_announced_and_says_whom_it_attracts() {
    let mut build = basic();
    let wide = BgpAdvertisement {
        aggregation_length: 24,
        ..advertisement("a")
    };
    add_advertisement(&mut build, wide);
    let local = |name: &str, address: &str| Service {
        external_policy: TrafficPolicy::Local,
        ..service(name, &[address])
    };
    build
        .service(local("here", "10.0.0.1"))
        .slice(ready_on("here", &[NODE]));
    build
        .service(local("there", "10.0.0.2"))
        .slice(ready_on("there", &["n2"]));
    check(&build, &["r: 10.0.0.0/24"]);
    let problems = routes(&build).problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].object.name, "there");
    build.slice(ready_on("here", &["n2"]));
    check(&build, &[]);
}

#[test]
fn extensions_are_in_the_route() {
    let mut build = basic();
    let extended = BgpAdvertisement {
        annotations: labels(
            "harbinger.dev/med=7,harbinger.dev/as-path-prepend=2,harbinger.dev/link-bandwidth=true",
        ),
        ..advertisement("a")
    };
    add_advertisement(&mut build, extended);
    build.service(service("web", &["10.0.0.1"]));
    build.slice(ready_on("web", &[NODE, "n2", NODE]));
    check(&build, &["r: 10.0.0.1/32 med 7 weight 2 prepend 2"]);
}

#[test]
fn the_keeper_of_a_contested_address_is_announced_alone() {
    let mut build = basic();
    let older = Service {
        created: Some(1),
        ..service("older", &["10.0.0.1"])
    };
    build.served(older).served(service("web", &["10.0.0.1"]));
    let routes = routes(&build);
    let session = routes.sessions().get("r").unwrap();
    let route = session.routes.values().next().unwrap();
    assert_eq!(route.services.len(), 1);
    assert_eq!(route.services.first().unwrap().name, "older");
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Serve(u8, u8, bool),
    Unserve(u8),
    Delete(u8),
    Advertise(u8, u8),
    Label(bool),
    Peer(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8, 0..4u8, any::<bool>()).prop_map(|(s, a, l)| Step::Serve(s, a, l)),
        2 => (0..4u8).prop_map(Step::Unserve),
        1 => (0..4u8).prop_map(Step::Delete),
        1 => (0..2u8, 0..3u8).prop_map(|(a, l)| Step::Advertise(a, l)),
        1 => any::<bool>().prop_map(Step::Label),
        1 => (0..2u8, any::<bool>()).prop_map(|(p, b)| Step::Peer(p, b)),
    ]
}

fn change(step: &Step) -> Vec<Change> {
    let name = |at: u8| format!("s{at}");
    match step {
        Step::Serve(at, address, local) => {
            let address = format!("10.0.0.{address}");
            let policy = if *local {
                TrafficPolicy::Local
            } else {
                TrafficPolicy::Cluster
            };
            let served = Service {
                external_policy: policy,
                ..service(&name(*at), &[&address])
            };
            let slice = ready_on(&name(*at), &[NODE]);
            vec![
                Change::Service(Delta::Upsert(stored(served))),
                Change::EndpointSlice(Delta::Upsert(stored(slice))),
            ]
        }
        Step::Unserve(at) => {
            vec![Change::EndpointSlice(Delta::Delete(
                ready_on(&name(*at), &[]).name,
            ))]
        }
        Step::Delete(at) => vec![Change::Service(Delta::Delete(
            service(&name(*at), &[]).name,
        ))],
        Step::Advertise(at, length) => {
            let said = BgpAdvertisement {
                aggregation_length: 32 - i64::from(*length),
                communities: vec![format!("1:{length}")],
                ..advertisement(&name(*at))
            };
            vec![Change::BgpAdvertisement(Delta::Upsert(stored(said)))]
        }
        Step::Label(on) => {
            let with = "node.kubernetes.io/exclude-from-external-load-balancers=";
            let node = node(NODE, if *on { with } else { "" });
            vec![Change::Node(Delta::Upsert(stored(node)))]
        }
        Step::Peer(at, internal) => {
            let asn = if *internal { 64512 } else { 64513 };
            let peer = BgpPeer {
                peer_asn: Some(asn),
                ..peer(&format!("r{at}"), &format!("192.0.2.{at}1"))
            };
            vec![Change::BgpPeer(Delta::Upsert(stored(peer)))]
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_is_remembered_equals_what_is_made_anew(steps in prop::collection::vec(step(), 1..24)) {
        let mut build = basic();
        let mut elector = Elector::new(ElectOptions::default());
        let mut routes = Routes::new(NODE, ElectOptions::default());
        for step in &steps {
            for change in change(step) {
                let touched = build.world.apply(change);
                elector.touch(&touched);
                routes.touch(&touched);
            }
            configure(&build, &mut routes, &mut elector);
            let decided = elector.update(&build.world);
            let before = routes.sessions().clone();
            let changed = routes.update(&build.world, &elector, &decided);
            prop_assert_eq!(changed, before != *routes.sessions());
            let fresh = self::routes(&build);
            prop_assert_eq!(lines(&routes), lines(&fresh));
            prop_assert_eq!(routes.sessions(), fresh.sessions());
            prop_assert_eq!(
                routes.refusals("r").collect::<Vec<_>>(),
                fresh.refusals("r").collect::<Vec<_>>()
            );
        }
    }
}

fn unwell(build: &mut Build, nodes: &[&str]) {
    for node in [NODE, "n2"] {
        let record = build.members.alive.entry(node.into()).or_default();
        let against = nodes.iter().filter(|name| **name == node);
        record.word = Some(crate::facts::Word {
            knows_itself: true,
            unwell: against.map(|name| (*name).to_owned()).collect(),
            ..crate::facts::Word::default()
        });
    }
}

fn routes_of_members(build: &Build) -> Routes {
    let mut elector = Elector::new(build.options.clone());
    let mut routes = Routes::new(NODE, build.options.clone());
    configure(build, &mut routes, &mut elector);
    elector.set_members(&build.members);
    let decided = elector.update(&build.world);
    routes.update(&build.world, &elector, &decided);
    routes
}

#[test]
fn a_node_that_is_unwell_lets_go_where_another_tells_a_router() {
    let told = |build: &Build| !lines(&routes_of_members(build)).is_empty();
    let mut build = basic();
    build.served(service("web", &["10.0.0.1"]));
    unwell(&mut build, &[]);
    assert!(told(&build));
    unwell(&mut build, &[NODE]);
    assert!(!told(&build));
    let refusals = |build: &Build| -> Vec<Refusal> {
        let routes = routes_of_members(build);
        routes.refusals("r").map(|(_, why)| why).collect()
    };
    assert_eq!(refusals(&build), [Refusal::Unhealthy]);
    // The last one stays: the other is unwell too, away, excluded, has no session, or no endpoint.
    unwell(&mut build, &[NODE, "n2"]);
    assert!(told(&build));
    unwell(&mut build, &[NODE]);
    let well = build.clone();
    build.members.alive.remove("n2");
    assert!(told(&build));
    build = well.clone();
    let label = "node.kubernetes.io/exclude-from-external-load-balancers=";
    build.node(node("n2", label));
    assert!(told(&build));
    build = well.clone();
    let mut only = peer("r", "192.0.2.1");
    build.node(node(NODE, "rack=1"));
    only.node_selectors = vec![selector("rack=1")];
    add_peer(&mut build, only);
    assert!(told(&build));
    build = well.clone();
    let mut local = service("web", &["10.0.0.1"]);
    local.external_policy = TrafficPolicy::Local;
    build.service(local).slice(ready_on("web", &[NODE]));
    assert!(told(&build));
    build.slice(ready_on("web", &[NODE, "n2"]));
    assert!(!told(&build));
    // Who would rather have nobody asks nobody.
    let mut build = well;
    unwell(&mut build, &[NODE, "n2"]);
    let mut web = service("web", &["10.0.0.1"]);
    web.annotations = labels("harbinger.dev/panic=withdraw").into();
    build.service(web);
    assert!(!told(&build));
}

#[test]
fn an_address_that_is_withdrawn_is_not_told_and_comes_back() {
    let mut build = basic();
    build.served(service("web", &["10.0.0.1"]));
    build.served(service("both", &["10.0.0.2", "10.0.0.3"]));
    let mut elector = Elector::new(build.options.clone());
    let mut routes = Routes::new(NODE, build.options.clone());
    configure(&build, &mut routes, &mut elector);
    let decided = elector.update(&build.world);
    routes.update(&build.world, &elector, &decided);
    assert_eq!(lines(&routes).len(), 3);
    let away: BTreeSet<IpAddr> = ["10.0.0.1", "10.0.0.3"].map(|a| a.parse().unwrap()).into();
    routes.set_withdrawn(&Arc::new(away.clone()));
    assert!(routes.update(&build.world, &elector, &away));
    assert_eq!(lines(&routes).len(), 1);
    let refusals: Vec<Refusal> = routes.refusals("r").map(|(_, why)| why).collect();
    assert_eq!(refusals, [Refusal::Unhealthy]);
    routes.set_withdrawn(&Arc::default());
    assert!(routes.update(&build.world, &elector, &away));
    assert_eq!(lines(&routes).len(), 3);
}
