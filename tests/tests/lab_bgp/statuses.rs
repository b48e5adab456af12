//! What a node writes of its sessions and of the Services it tells routers of.

use std::path::Path;

use tests::fleet::{Fleet, WITHIN};
use tests::lab;
use tests::lab::router::{Bird, await_routes};

use crate::kit::{FIRST, ROUTER, bird, fleet, peer, service};

/// The statuses of a kind, as they lie in the state folder.
fn statuses(fleet: &Fleet, kind: &str) -> Vec<serde_json::Value> {
    fn read(path: &Path, into: &mut Vec<serde_json::Value>) {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                read(&path, into);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                into.extend(serde_json::from_str::<serde_json::Value>(&text).ok());
            }
        }
    }
    let mut all = Vec::new();
    read(&fleet.state().join("status").join(kind), &mut all);
    all
}

#[test]
fn a_session_and_what_is_told_over_it_are_written_and_go_again() {
    if !lab::ready() {
        return;
    }
    let mut fleet = fleet(1, &peer("tor", ROUTER, ", connectTime: 1s"));
    fleet.write("web.yaml", &service("web", false, 1)).unwrap();
    fleet.start(0).unwrap();
    let session = |wanted: &str| {
        let what = format!("a session that is {wanted}");
        lab::eventually(WITHIN, &what, || {
            let all = statuses(&fleet, "BGPSessionState");
            let status = all.first()?["status"].clone();
            (status["bgpStatus"] == wanted).then_some(status)
        })
    };
    let refused = session("Active");
    assert_eq!(refused["neighbor"], format!("{ROUTER}:179"));
    lab::eventually(WITHIN, "the reason in words", || {
        let all = statuses(&fleet, "BGPSessionState");
        let error = all.first()?["status"]["lastError"].as_str()?.to_owned();
        (error == "connection refused").then_some(())
    });
    let router = Bird::start(&fleet.lab.client, &bird(1, "")).unwrap();
    await_routes(&router, WITHIN, |routes| routes.contains_key(FIRST));
    let up = session("Established");
    assert!(up["lastError"].is_null(), "{up}");
    let told = lab::eventually(WITHIN, "a ServiceBGPStatus", || {
        statuses(&fleet, "ServiceBGPStatus").first().cloned()
    });
    assert_eq!(told["status"]["node"], "node-0");
    assert_eq!(told["status"]["serviceName"], "web");
    assert_eq!(told["status"]["peers"], serde_json::json!(["tor"]));

    fleet.remove("web.yaml").unwrap();
    lab::eventually(WITHIN, "its end", || {
        statuses(&fleet, "ServiceBGPStatus")
            .is_empty()
            .then_some(())
    });
    fleet.write("peers.yaml", "# none\n").unwrap();
    lab::eventually(WITHIN, "the session's end", || {
        statuses(&fleet, "BGPSessionState").is_empty().then_some(())
    });
}
