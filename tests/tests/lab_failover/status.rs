//! What is written of who answers.

use serde_json::Value;
use tests::fleet::{self, Fleet, POOL, V4, WITHIN};
use tests::lab::{self, Capture, eventually};

const NODES: usize = 3;

/// The nodes that the ServiceL2Status objects name.
fn status_nodes(fleet: &Fleet) -> Vec<String> {
    let folder = fleet.state().join("status/ServiceL2Status/metallb-system");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let texts = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts
        .filter_map(|text| serde_json::from_str::<Value>(&text).ok())
        .filter_map(|value| Some(value.pointer("/status/node")?.as_str()?.to_owned()))
        .collect()
}

/// The texts of the events with this reason, in order.
fn events(fleet: &Fleet, reason: &str) -> Vec<String> {
    let text = std::fs::read_to_string(fleet.state().join("events.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["reason"] == reason)
        .filter_map(|event| Some(event["message"].as_str()?.to_owned()))
        .collect()
}

// L2-80, L2-89
#[test]
fn the_owner_alone_has_a_status_and_each_change_one_event() {
    if !lab::ready() {
        return;
    }
    let mut fleet = Fleet::new(NODES).unwrap();
    let wire = Capture::start(&fleet.lab.client, "eth0").unwrap();
    fleet.start_all().unwrap();
    fleet.wait_until_ready(&[0, 1, 2], WITHIN).unwrap();
    fleet.write("pool.yaml", &fleet::pool(&POOL)).unwrap();
    let web = fleet::service("web", false, NODES);
    fleet.write("web.yaml", &web).unwrap();
    let address = V4.parse().unwrap();
    let first = fleet.announced(&wire, address, None).unwrap();
    let owner = fleet.node_of(first.source()).unwrap().unwrap();
    let told = |n: usize| format!("announcing from node \"node-{n}\" with protocol \"layer2\"");
    let settled = |fleet: &Fleet, owner: usize, changes: usize| {
        let what = format!("node-{owner} alone is written as the owner, {changes} events");
        eventually(WITHIN, &what, || {
            let events = events(fleet, "nodeAssigned");
            let nodes = status_nodes(fleet);
            (nodes == [format!("node-{owner}")] && events.len() >= changes).then_some(())
        });
    };
    settled(&fleet, owner, 1);

    // The owner is not to announce any more.
    let label = "node.kubernetes.io/exclude-from-external-load-balancers: \"\"";
    let nodes: String = (0..NODES)
        .map(|n| fleet::node_manifest(n, if n == owner { label } else { "" }))
        .collect();
    fleet.write("nodes.yaml", &nodes).unwrap();
    let second = wire
        .wait(WITHIN, |f| {
            f.gratuitous(address) && f.source() != first.source()
        })
        .unwrap();
    let next = fleet.node_of(second.source()).unwrap().unwrap();
    settled(&fleet, next, 2);
    assert_eq!(events(&fleet, "nodeAssigned"), [told(owner), told(next)]);
}
