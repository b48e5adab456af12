//! `harbinger bgp` on a node: what it shows, and that a reset is one.

use std::process::Output;

use tests::fleet::{Fleet, WITHIN};
use tests::lab;
use tests::lab::router::{Bird, Frr, await_routes, await_session};

use crate::kit::{FIRST, ROUTER, bird, fleet, frr, node, peer, service};

/// Runs the command on node 0.
fn bgp(fleet: &Fleet, args: &[&str]) -> Output {
    let mut command = fleet.command().unwrap();
    command.arg("bgp").args(args);
    fleet.lab.nodes[0].run(move || command.output().unwrap())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_command_shows_sessions_and_routes_and_resets_one() {
    if !lab::ready() {
        return;
    }
    let mut fleet = fleet(1, &peer("tor", ROUTER, ", connectTime: 1s"));
    fleet.write("web.yaml", &service("web", false, 1)).unwrap();
    let more = "error wait time 1, 2; connect delay time 1;";
    let router = Bird::start(&fleet.lab.client, &bird(1, more)).unwrap();
    fleet.start(0).unwrap();
    await_routes(&router, WITHIN, |routes| routes.contains_key(FIRST));

    let shown = bgp(&fleet, &[]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    let row = text(&shown);
    for word in ["tor", "192.0.2.100:179", "64513", "Established"] {
        assert!(row.contains(word), "{word} in {row}");
    }
    let routes = bgp(&fleet, &["routes", "tor", "-o", "json"]);
    let routes: serde_json::Value = serde_json::from_slice(&routes.stdout).unwrap();
    let told = &routes["sessions"][0]["routes"][0];
    assert_eq!(told["prefix"], FIRST);
    assert_eq!(told["communities"][0], "64512:7");
    assert_eq!(told["services"][0], "default/web");

    let up = |fleet: &Fleet| {
        let all: serde_json::Value =
            serde_json::from_slice(&bgp(fleet, &["-o", "json"]).stdout).unwrap();
        all["sessions"][0].clone()
    };
    let before = up(&fleet)["messagesSent"].as_u64().unwrap();
    let soft = bgp(&fleet, &["reset", "tor", "--soft"]);
    assert_eq!(soft.status.code(), Some(0), "{}", text(&soft));
    lab::eventually(WITHIN, "everything is sent again", || {
        let session = up(&fleet);
        let again = session["messagesSent"].as_u64().unwrap() > before;
        (again && session["state"] == "Established").then_some(())
    });
    assert!(
        up(&fleet)["lastError"].is_null(),
        "a soft reset ends nothing"
    );

    let hard = bgp(&fleet, &["reset", "tor"]);
    assert_eq!(hard.status.code(), Some(0), "{}", text(&hard));
    // Its log, and not the last error: that may be of the first attempt after it, which the router may refuse.
    lab::eventually(WITHIN, "the session is ended by the operator", || {
        fleet.logs().contains("reset by an operator").then_some(())
    });
    lab::eventually(WITHIN, "the session is back", || {
        (up(&fleet)["state"] == "Established").then_some(())
    });
    await_routes(&router, WITHIN, |routes| routes.contains_key(FIRST));
    let nobody = bgp(&fleet, &["reset", "nobody"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(
        text(&nobody).contains("no session of a BGPPeer \"nobody\""),
        "{}",
        text(&nobody)
    );
}

#[test]
fn a_routers_prefix_limit_is_told_with_both_numbers() {
    if !lab::ready() || lab::has_own_users() {
        return;
    }
    let mut fleet = fleet(1, &peer("tor", ROUTER, ", connectTime: 1s"));
    let services: String = (0..5)
        .map(|n| service(&format!("web-{n}"), false, 1))
        .collect();
    fleet.write("web.yaml", &services).unwrap();
    let limit = "address-family ipv4 unicast\n  neighbor {} maximum-prefix 3\n exit-address-family";
    let router = Frr::start(&fleet.lab.client, &frr(1, &[limit])).unwrap();
    fleet.start(0).unwrap();
    let said = lab::eventually(WITHIN, "the limit is told", || {
        let said = text(&bgp(&fleet, &[]));
        said.contains("prefix limit").then_some(said)
    });
    assert!(
        said.contains("it allows 3 of ipv4-unicast, we announced 5"),
        "{said}"
    );
    await_session(&router, node(0), WITHIN, |session| {
        !session.is_established()
    });
}
