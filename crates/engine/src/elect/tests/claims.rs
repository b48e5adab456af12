//! Holders keep what they have; what is free goes by order and share; a person's word counts.

use super::build::*;
use crate::elect::{ElectOptions, Elector, Placement};
use crate::plan::{L2Entry, Refusal};
use crate::world::{Change, Delta, MOVE_ANNOTATION, Service};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

const VIP: &str = "10.0.0.1";

/// For 10.0.0.1 the order is b, a, c (L2-82).
fn three() -> Build {
    let mut build = Build::new(&["node-a", "node-b", "node-c"]);
    build.options.placement = Placement::Fair;
    build
        .service(service("web", &[VIP]))
        .slice(ready_on("web", &["node-a"]));
    build
}

fn owner(build: &Build) -> Option<String> {
    build.entry(VIP).owner
}

fn is(name: &str) -> Option<String> {
    Some(name.to_owned())
}

// L2-83
#[test]
fn a_living_holder_that_may_keeps_the_address() {
    let mut build = three();
    assert_eq!(owner(&build), is("node-b"));
    build.claim(VIP, "node-c", 4);
    assert_eq!(owner(&build), is("node-c"), "not the first of the order");
    build.claim(VIP, "node-a", 4);
    assert_eq!(owner(&build), is("node-a"), "equal terms: the order");
    build.claim(VIP, "node-c", 5);
    assert_eq!(owner(&build), is("node-c"), "the higher term");
    build.dead("node-c");
    assert_eq!(owner(&build), is("node-a"), "the dead count for nothing");
    build.claim(VIP, "node-x", 9);
    assert_eq!(owner(&build), is("node-a"), "nor does who is no node");
    let entry = build.entry(VIP);
    let told: Vec<(&str, u64)> = entry.claims.iter().map(|c| (&*c.node, c.term)).collect();
    assert_eq!(told, [("node-a", 4), ("node-c", 5), ("node-x", 9)]);
}

// L2-83
#[test]
fn under_metallbs_placement_claims_count_for_nothing() {
    let mut build = three();
    build.options.placement = Placement::MetalLb;
    build.claim(VIP, "node-c", 4);
    assert_eq!(owner(&build), is("node-b"));
}

// L2-83, L2-85
#[test]
fn a_holder_that_may_no_longer_gives_it_up() {
    let flags = |leaving: bool, isolated: bool| crate::facts::MemberRecord {
        leaving,
        isolated,
        truncated: true,
        ..Default::default()
    };
    let held = || {
        let mut build = three();
        build.claim(VIP, "node-c", 4);
        assert_eq!(owner(&build), is("node-c"));
        build
    };
    let record = |record| {
        let mut build = held();
        build.members.alive.insert("node-c".into(), record);
        build
    };
    let changed = |with: &str, maintenance: bool| {
        let mut changed = node("node-c", with);
        changed.maintenance = maintenance;
        let mut build = held();
        build.node(changed);
        build
    };
    let label = "node.kubernetes.io/exclude-from-external-load-balancers=";
    for (build, why) in [
        (record(flags(true, false)), Refusal::Leaving),
        (record(flags(false, true)), Refusal::Isolated),
        (changed("", true), Refusal::Maintenance),
        (changed(label, false), Refusal::NodeLabeledExcludeBalancers),
    ] {
        assert_eq!(owner(&build), is("node-b"), "{why:?}");
        assert_eq!(build.refusals(VIP), [("node-c".to_owned(), why)]);
    }
}

fn moved(build: &mut Build, to: &str) {
    let mut changed = service("web", &[VIP]);
    changed.annotations = BTreeMap::from([(MOVE_ANNOTATION.to_owned(), to.to_owned())]).into();
    build.service(changed);
}

// L2-85
#[test]
fn a_move_goes_to_the_node_named_and_nowhere_when_that_may_not() {
    let mut build = three();
    build.claim(VIP, "node-b", 1);
    moved(&mut build, "node-c");
    assert_eq!(owner(&build), is("node-c"));
    assert!(build.elect().1.is_empty());

    build.dead("node-c");
    assert_eq!(owner(&build), is("node-b"), "it stays where it is");
    let problems = build.elect().1;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].message.contains("notAlive"),
        "{}",
        problems[0].message
    );
    moved(&mut build, "node-z");
    assert_eq!(owner(&build), is("node-b"));
    assert!(build.elect().1[0].message.contains("no such Node"));
}

// L2-84
#[test]
fn a_dual_stack_service_keeps_one_holder_when_its_claims_disagree() {
    let mut build = three();
    build.service(service("two", &["10.0.0.2", "fc00::2"]));
    build.slice(ready_on("two", &["node-a"]));
    build
        .claim("10.0.0.2", "node-c", 2)
        .claim("fc00::2", "node-a", 9);
    for address in ["10.0.0.2", "fc00::2"] {
        assert_eq!(build.entry(address).owner, is("node-c"), "{address}");
    }
    build.claim("10.0.0.2", "node-c", None);
    for address in ["10.0.0.2", "fc00::2"] {
        assert_eq!(build.entry(address).owner, is("node-a"), "{address}");
    }
}

// L2-84
#[test]
fn services_that_share_an_address_keep_one_holder() {
    let mut build = three();
    for port in [1, 2] {
        let name = format!("shared-{port}");
        build.service(sharing(&name, &["10.0.0.9"], port));
        build.slice(ready_on(&name, &["node-a"]));
    }
    build.claim("10.0.0.9", "node-c", 1);
    let entry = build.entry("10.0.0.9");
    assert_eq!((entry.owner, entry.services.len()), (is("node-c"), 2));
}

// L2-90
#[test]
fn an_address_that_changes_its_service_waits_for_the_old_holder() {
    let mut build = three();
    build.claim(VIP, "node-c", 4);
    let mut elector = build.elector();
    let vip: IpAddr = VIP.parse().unwrap();
    let step = |build: &mut Build, elector: &mut Elector, changes: Vec<Change>| {
        for change in changes {
            elector.touch(&build.world.apply(change));
        }
        elector.set_members(&build.members);
        elector.update(&build.world);
    };
    assert!(
        !elector.tenure(vip, "node-b").unwrap().renewed,
        "known so at the start"
    );
    let gone = Change::Service(Delta::Delete(service("web", &[]).name));
    let excluded = node(
        "node-c",
        "node.kubernetes.io/exclude-from-external-load-balancers=",
    );
    let other = Change::Service(Delta::Upsert(stored(service("other", &[VIP]))));
    let slice = Change::EndpointSlice(Delta::Upsert(stored(ready_on("other", &["node-a"]))));
    let without = Change::Node(Delta::Upsert(stored(excluded)));
    step(&mut build, &mut elector, vec![gone, other, slice, without]);
    assert_eq!(elector.owner(vip), Some("node-b"));
    let tenure = elector.tenure(vip, "node-b").unwrap();
    assert!(tenure.renewed);
    assert_eq!(
        tenure.over, 4,
        "it may claim over the old holder after the wait"
    );
    build.claim(VIP, "node-c", None).claim(VIP, "node-b", 5);
    step(&mut build, &mut elector, Vec::new());
    build.claim(VIP, "node-c", 6);
    step(&mut build, &mut elector, Vec::new());
    let tenure = elector.tenure(vip, "node-b").unwrap();
    assert!(!tenure.renewed, "the wait was over once it had let go");
}

/// Nodes with addresses of one plain Service each.
fn cluster(nodes: &[String], addresses: u8, seed: u8) -> Build {
    let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let mut build = Build::new(&names);
    build.options.placement = Placement::Fair;
    for at in 0..addresses {
        let mut made = service(&format!("s{at}"), &[&format!("10.{seed}.0.{at}")]);
        made.created = Some(i64::from(at));
        let slice = ready_on(&made.name.name, &["x"]);
        build.service(made).slice(slice);
    }
    build
}

fn loads(entries: &[L2Entry]) -> BTreeMap<String, usize> {
    let mut loads = BTreeMap::new();
    for owner in entries.iter().filter_map(|entry| entry.owner.clone()) {
        *loads.entry(owner).or_default() += 1;
    }
    loads
}

/// Every owner claims what it owns, as the wires do.
fn claim_all(build: &mut Build, entries: &[L2Entry]) {
    let claims = Arc::make_mut(&mut build.members.claims);
    for entry in entries {
        let term = entry.claims.iter().map(|claim| claim.term).max();
        let mine = |claim: &&crate::claims::Claim| Some(&*claim.node) == entry.owner.as_deref();
        if entry.claims.iter().any(|claim| mine(&claim)) && entry.claims.len() == 1 {
            continue;
        }
        for claim in &entry.claims {
            claims.set(entry.address, &claim.node, None);
        }
        if let Some(owner) = &entry.owner {
            let node = Arc::from(owner.as_str());
            claims.set(entry.address, &node, Some(term.unwrap_or(0) + 1));
        }
    }
}

// L2-83
#[test]
fn in_400_random_clusters_the_busiest_carries_at_most_a_quarter_more_than_the_mean() {
    for cluster_at in 0..400u16 {
        let [high, low] = cluster_at.to_be_bytes();
        let nodes: Vec<String> = (0..10).map(|i| format!("c{cluster_at}-n{i}")).collect();
        let build = cluster(&nodes, 50, low ^ (high << 7));
        let loads = loads(&build.elect().0);
        assert_eq!(loads.values().sum::<usize>(), 50);
        let busiest = *loads.values().max().unwrap();
        assert!(busiest * 4 <= 5 * 5, "cluster {cluster_at}: {loads:?}");
    }
}

// L2-83
#[test]
fn a_death_moves_what_the_dead_held_and_a_return_moves_nothing() {
    let nodes: Vec<String> = (0..5).map(|i| format!("n{i}")).collect();
    let mut build = cluster(&nodes, 40, 0);
    let mut entries = build.elect().0;
    claim_all(&mut build, &entries);
    for dead in &nodes {
        build.members.alive.remove(dead);
        let after = build.elect().0;
        for (old, new) in entries.iter().zip(&after) {
            if old.owner.as_ref() != Some(dead) {
                assert_eq!(old.owner, new.owner, "{} without {dead}", old.address);
            }
            assert_ne!(new.owner.as_ref(), Some(dead));
        }
        // Everybody was within its share of five; what is taken over stays within that of four.
        assert!(
            loads(&after).values().all(|load| *load <= 12),
            "{:?}",
            loads(&after)
        );
        claim_all(&mut build, &after);
        build.members.alive.entry(dead.clone()).or_default();
        entries = build.elect().0;
        for (old, new) in after.iter().zip(&entries) {
            assert_eq!(old.owner, new.owner, "{dead} is back and takes nothing");
        }
    }
    build.node(node("n9", ""));
    let after = build.elect().0;
    assert!(
        after
            .iter()
            .zip(&entries)
            .all(|(new, old)| new.owner == old.owner)
    );
}

#[test]
fn a_rebalance_is_the_fewest_moves_to_the_share() {
    let nodes: Vec<String> = (0..4).map(|i| format!("n{i}")).collect();
    let mut build = cluster(&nodes, 20, 0);
    assert!(build.elector().rebalance().is_empty());
    // A cold start in which the others came late: one holds all.
    for at in 0..20 {
        build.claim(&format!("10.0.0.{at}"), "n2", 1);
    }
    let moves = build.elector().rebalance();
    assert_eq!(moves.len(), 14, "twenty, less a share of six");
    assert!(moves.iter().all(|m| m.from == "n2" && m.to != "n2"));
    for one in &moves {
        let address = one.addresses[0].to_string();
        build
            .claim(&address, "n2", None)
            .claim(&address, &one.to, 2);
    }
    assert!(loads(&build.elect().0).values().all(|load| *load <= 6));
    assert!(build.elector().rebalance().is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Alive(u8, bool),
    Excluded(u8, bool),
    Endpoint(u8, u8, bool),
    Local(u8, bool),
    Gone(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..5u8, any::<bool>()).prop_map(|(node, up)| Event::Alive(node, up)),
        2 => (0..5u8, any::<bool>()).prop_map(|(node, out)| Event::Excluded(node, out)),
        3 => (0..12u8, 0..5u8, any::<bool>()).prop_map(|(s, node, ready)| Event::Endpoint(s, node, ready)),
        2 => (0..12u8, any::<bool>()).prop_map(|(s, local)| Event::Local(s, local)),
        1 => (0..12u8).prop_map(Event::Gone),
    ]
}

fn happen(build: &mut Build, elector: &mut Elector, event: &Event) {
    let named = |at: &u8| {
        let mut named = service(&format!("s{at}"), &[&format!("10.0.0.{at}")]);
        named.created = Some(i64::from(*at));
        named
    };
    let change = match event {
        Event::Alive(node, up) => {
            let name = format!("n{node}");
            match up {
                true => drop(build.members.alive.entry(name).or_default()),
                false => drop(build.members.alive.remove(&name)),
            }
            None
        }
        Event::Excluded(at, out) => {
            let label = "node.kubernetes.io/exclude-from-external-load-balancers";
            let changed = node(&format!("n{at}"), if *out { label } else { "" });
            Some(Change::Node(Delta::Upsert(stored(changed))))
        }
        Event::Endpoint(s, node, ready) => {
            let on = endpoint(Some(*ready), None, &format!("n{node}"));
            let slice = slice(&format!("s{s}"), vec![on]);
            Some(Change::EndpointSlice(Delta::Upsert(stored(slice))))
        }
        Event::Local(s, local) => {
            let mut changed: Service = named(s);
            if *local {
                changed.external_policy = crate::world::TrafficPolicy::Local;
            }
            Some(Change::Service(Delta::Upsert(stored(changed))))
        }
        Event::Gone(s) => Some(Change::Service(Delta::Delete(named(s).name))),
    };
    if let Some(change) = change {
        elector.touch(&build.world.apply(change));
    }
    let (pools, ads) = build.config();
    elector.set_config(pools, ads);
    elector.set_members(&build.members);
    elector.update(&build.world);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever happens: who holds an address and may keep it, keeps it; and what is
    /// remembered is what would be decided from nothing.
    // L2-83
    #[test]
    fn nothing_alive_and_able_ever_moves(events in proptest::collection::vec(event(), 1..50)) {
        let nodes: Vec<String> = (0..5).map(|i| format!("n{i}")).collect();
        let mut build = cluster(&nodes, 12, 0);
        let mut elector = build.elector();
        for event in events {
            let before = elector.entries();
            claim_all(&mut build, &before);
            happen(&mut build, &mut elector, &event);
            let after = elector.entries();
            for old in &before {
                let Some(new) = after.iter().find(|new| new.address == old.address) else {
                    continue;
                };
                if let Some(owner) = old.owner.as_ref().filter(|owner| new.candidates.contains(owner)) {
                    prop_assert_eq!(Some(owner), new.owner.as_ref(), "{} after {:?}", new.address, event);
                }
            }
            prop_assert_eq!(after, build.elect().0);
        }
    }

    /// Claims arrive one by one; whichever are there already, the rest is placed where it
    /// would have been: nodes that see different parts of a placement do not disagree.
    // L2-83
    #[test]
    fn a_placement_that_is_partly_claimed_stays_what_it_was(
        addresses in 1..60u8,
        nodes in 1..9u8,
        claimed in proptest::collection::vec(any::<bool>(), 60),
        dead in proptest::option::of(0..9u8),
    ) {
        let names: Vec<String> = (0..nodes).map(|i| format!("n{i}")).collect();
        let mut build = cluster(&names, addresses, 1);
        if let Some(dead) = dead {
            let all = build.elect().0;
            claim_all(&mut build, &all);
            build.members.alive.remove(&format!("n{dead}"));
        }
        let whole = build.elect().0;
        let some: Vec<L2Entry> = whole.iter().zip(&claimed).filter(|(_, c)| **c).map(|(e, _)| e.clone()).collect();
        claim_all(&mut build, &some);
        for (old, new) in whole.iter().zip(build.elect().0) {
            prop_assert_eq!(&old.owner, &new.owner, "{}", old.address);
        }
    }
}

#[test]
fn the_default_is_the_placement_with_claims() {
    assert_eq!(ElectOptions::default().placement, Placement::Fair);
}
