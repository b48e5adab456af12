//! Every daemon holds exactly what the plan says, and nothing when it is withdrawn.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tests::fleet::WITHIN;
use tests::lab;
use tests::lab::router::{Bird, Frr, Gobgp, Route, Router, await_routes, await_session};

use crate::kit::{
    FIRST, FIRST_V6, OURS, ROUTER, ROUTER_V6, bird, fleet, frr, gobgp, node, node_v6, peer, service,
};

const NODES: usize = 3;

/// The peers that told a route.
fn tellers(routes: Option<&Vec<Route>>) -> BTreeSet<IpAddr> {
    routes
        .into_iter()
        .flatten()
        .filter_map(|route| route.peer)
        .collect()
}

/// Three nodes tell one address with its attributes; it is withdrawn with its Service.
fn told_and_withdrawn(router: &dyn Router, fleet: &mut tests::fleet::Fleet) {
    let all: BTreeSet<IpAddr> = (0..NODES).map(node).collect();
    for n in 0..NODES {
        await_session(router, node(n), WITHIN, |session| session.is_established());
    }
    let routes = await_routes(router, WITHIN, |routes| tellers(routes.get(FIRST)) == all);
    for route in &routes[FIRST] {
        assert_eq!(route.as_path, [OURS]);
        let own: Vec<IpAddr> = route.peer.into_iter().collect();
        assert_eq!(route.next_hops, own, "each node names itself");
        assert!(route.communities.contains(&format!("{OURS}:7")));
    }
    fleet.remove("web.yaml").unwrap();
    await_routes(router, WITHIN, |routes| routes.is_empty());
    fleet.write("web.yaml", &service("web", false, 1)).unwrap();
    await_routes(router, WITHIN, |routes| tellers(routes.get(FIRST)) == all);
}

// BGP-140
#[test]
fn frr_holds_what_every_node_tells() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let mut fleet = fleet(NODES, &peer("r", ROUTER, ""));
    fleet
        .write("web.yaml", &service("web", false, NODES))
        .unwrap();
    let router = Frr::start(&fleet.lab.client, &frr(NODES, &[])).unwrap();
    fleet.start_all().unwrap();
    told_and_withdrawn(&router, &mut fleet);
}

// BGP-140
#[test]
fn bird_holds_what_every_node_tells() {
    if !lab::ready() {
        return;
    }
    let mut fleet = fleet(NODES, &peer("r", ROUTER, ""));
    fleet
        .write("web.yaml", &service("web", false, NODES))
        .unwrap();
    let router = Bird::start(&fleet.lab.client, &bird(NODES, "")).unwrap();
    fleet.start_all().unwrap();
    told_and_withdrawn(&router, &mut fleet);
}

// BGP-140
#[test]
fn gobgp_holds_what_every_node_tells() {
    if !lab::ready() {
        return;
    }
    let mut fleet = fleet(NODES, &peer("r", ROUTER, ""));
    fleet
        .write("web.yaml", &service("web", false, NODES))
        .unwrap();
    let router = Gobgp::start(&fleet.lab.client, &gobgp(NODES)).unwrap();
    fleet.start_all().unwrap();
    told_and_withdrawn(&router, &mut fleet);
}

// BGP-140
#[test]
fn both_families_go_over_one_session_of_either() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let peers = peer(
        "four",
        ROUTER,
        ", dualStackAddressFamily: true, nodeSelectors: [{matchLabels: {over: four}}]",
    ) + &peer(
        "six",
        ROUTER_V6,
        ", dualStackAddressFamily: true, nodeSelectors: [{matchLabels: {over: six}}]",
    );
    let mut fleet = fleet(2, &peers);
    let nodes =
        tests::fleet::node_manifest(0, "over: four") + &tests::fleet::node_manifest(1, "over: six");
    fleet.write("nodes.yaml", &nodes).unwrap();
    fleet.write("web.yaml", &service("web", true, 2)).unwrap();
    let (four, six) = (node(0), node_v6(1));
    let families = "address-family ipv4 unicast\n  neighbor {} activate\n exit-address-family\n \
                    address-family ipv6 unicast\n  neighbor {} activate\n exit-address-family";
    let mut text =
        format!("router bgp 64513\n bgp router-id {ROUTER}\n no bgp ebgp-requires-policy\n");
    text += &format!(" neighbor {four} remote-as {OURS}\n neighbor {six} remote-as {OURS}\n");
    text += &format!(" neighbor {six} capability extended-nexthop\n");
    for address in [four, six] {
        text += &format!(" {}\n", families.replace("{}", &address.to_string()));
    }
    let router = Frr::start(&fleet.lab.client, &(text + "exit\n")).unwrap();
    fleet.start_all().unwrap();
    let both = BTreeSet::from([four, six]);
    let routes = await_routes(&router, WITHIN, |routes| {
        [FIRST, FIRST_V6]
            .iter()
            .all(|prefix| tellers(routes.get(*prefix)) == both)
    });
    let hops = |prefix: &str, teller: IpAddr| -> Vec<IpAddr> {
        let told = routes[prefix]
            .iter()
            .find(|route| route.peer == Some(teller));
        told.unwrap().next_hops.clone()
    };
    assert_eq!(hops(FIRST, four), [four]);
    assert!(hops(FIRST_V6, four).contains(&node_v6(0)), "{routes:#?}");
    assert!(hops(FIRST_V6, six).contains(&six));
}
