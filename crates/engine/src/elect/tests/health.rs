//! Who announces when health speaks: tables.

use super::build::*;
use crate::facts::Word;
use crate::plan::Refusal;
use crate::world::{Node, Service, TrafficPolicy};

const VIP: &str = "10.0.0.1";

fn three() -> Build {
    let mut build = Build::new(&["node-a", "node-b", "node-c"]);
    for node in ["node-a", "node-b", "node-c"] {
        build.members.alive.entry(node.into()).or_default();
    }
    build.served(service("web", &[VIP]));
    build
}

/// `node` says `against`; with its own name among them, of itself too.
fn says(build: &mut Build, node: &str, counts: bool, knows_itself: bool, against: &[&str]) {
    let record = build.members.alive.get_mut(node).unwrap();
    record.word = Some(Word {
        counts,
        knows_itself,
        unwell: against.iter().map(|name| (*name).to_owned()).collect(),
        ..Word::default()
    });
}

fn unhealthy(nodes: &[&str]) -> Vec<(String, Refusal)> {
    let refusal = |node: &&str| ((*node).to_owned(), Refusal::Unhealthy);
    nodes.iter().map(refusal).collect()
}

#[test]
fn a_node_that_calls_itself_unwell_loses_what_it_holds() {
    let mut build = three();
    build.claim(VIP, "node-b", 3);
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("node-b"));
    says(&mut build, "node-b", true, true, &["node-b"]);
    assert_eq!(build.refusals(VIP), unhealthy(&["node-b"]));
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("node-a"));
    // It need not reach the others to know its own kube-proxy.
    says(&mut build, "node-b", false, true, &["node-b"]);
    assert_eq!(build.refusals(VIP), unhealthy(&["node-b"]));
}

#[test]
fn others_are_believed_by_twos_and_never_against_the_nodes_own_word() {
    // (who speaks against node-b, with counting words; node-b knows itself; refused)
    for (against, counting, knows, refused) in [
        (&["node-a"][..], true, false, false),
        (&["node-a", "node-c"], true, false, true),
        (&["node-a", "node-c"], false, false, false),
        (&["node-a", "node-c"], true, true, false),
        (&["node-a", "node-b"], true, false, false),
    ] {
        let mut build = three();
        says(&mut build, "node-b", true, knows, &[]);
        for node in against {
            says(&mut build, node, counting, false, &["node-b"]);
        }
        let expected = if refused { &["node-b"][..] } else { &[] };
        let found = build.refusals(VIP);
        assert_eq!(found, unhealthy(expected), "{against:?} {counting} {knows}");
    }
}

#[test]
fn the_last_one_stays_whatever_is_said_of_it() {
    let mut build = three();
    for node in ["node-a", "node-b", "node-c"] {
        says(&mut build, node, true, true, &[node]);
    }
    assert_eq!(build.entry(VIP).candidates.len(), 3, "nobody is left");
    assert!(build.entry(VIP).refusals.is_empty());

    // Of policy Local only those with endpoints are asked for.
    let mut build = three();
    let local = Service {
        external_policy: TrafficPolicy::Local,
        ..service("web", &[VIP])
    };
    build.service(local).slice(ready_on("web", &["node-b"]));
    says(&mut build, "node-b", true, true, &["node-b"]);
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("node-b"));
    build.slice(ready_on("web", &["node-b", "node-c"]));
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("node-c"));
    assert!(build.refusals(VIP).contains(&unhealthy(&["node-b"])[0]));
}

#[test]
fn panic_withdraw_would_rather_have_nobody() {
    let mut build = three();
    let mut web = service("web", &[VIP]);
    web.annotations = labels("harbinger.dev/panic=withdraw").into();
    build.service(web);
    says(&mut build, "node-b", true, true, &["node-b"]);
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("node-a"));
    for node in ["node-a", "node-c"] {
        says(&mut build, node, true, true, &[node]);
    }
    let entry = build.entry(VIP);
    assert_eq!((entry.owner, entry.candidates.len()), (None, 0));
    assert_eq!(
        build.refusals(VIP),
        unhealthy(&["node-a", "node-b", "node-c"])
    );
}

#[test]
fn services_that_share_an_address_keep_their_common_node() {
    let mut build = three();
    let local = |name: &str, port: u16| Service {
        external_policy: TrafficPolicy::Local,
        ..sharing(name, &[VIP], port)
    };
    build.service(local("web", 80)).service(local("dns", 53));
    build.slice(ready_on("web", &["node-a", "node-b"]));
    build.slice(ready_on("dns", &["node-b"]));
    assert_eq!(build.entry(VIP).owner.as_deref(), Some("node-b"));
    says(&mut build, "node-b", true, true, &["node-b"]);
    let entry = build.entry(VIP);
    assert_eq!(
        entry.owner.as_deref(),
        Some("node-b"),
        "the only one of both"
    );
    let (_, problems) = build.elect();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_node_that_is_to_be_removed_gives_up_without_anybodys_word() {
    let taints: [fn(&mut Node); 3] = [
        |n| n.deleting = true,
        |n| n.to_be_deleted = true,
        |n| n.out_of_service = true,
    ];
    for leaves in taints {
        let mut build = three();
        let mut leaving = node("node-b", "");
        leaves(&mut leaving);
        build.node(leaving);
        assert_eq!(build.refusals(VIP), unhealthy(&["node-b"]));
        build.members.off = true;
        assert_eq!(build.refusals(VIP), unhealthy(&["node-b"]));
    }
}

#[test]
fn without_membership_words_count_for_nothing() {
    let mut build = three();
    says(&mut build, "node-b", true, true, &["node-b"]);
    build.members.off = true;
    assert!(build.refusals(VIP).is_empty());
}
