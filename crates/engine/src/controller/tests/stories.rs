//! What a cluster sees of the controller.

use super::Server;
use crate::alloc::tests::build::*;
use crate::controller::Controller;
use crate::lease::Leadership;
use crate::name::NamespacedName;
use crate::world::{Change, Delta, FamilyPolicy, Service};
use crate::write::{Outcome, Write};
use proptest::prelude::*;
use std::time::Duration;

fn p(addresses: &str) -> Vec<crate::world::IpAddressPool> {
    vec![pool("p", addresses)]
}

fn status_writes(server: &Server) -> usize {
    server
        .done
        .iter()
        .filter(|w| matches!(w, Write::ServiceStatus(_)))
        .count()
}

#[test]
fn one_service_costs_one_status_and_one_event() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![]);
    let mut controller = server.leader();
    server.settle(&mut controller);
    server.done.clear();
    server.put(svc("web"));
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["web 192.0.2.0 p"]);
    assert_eq!(server.reasons(), ["web IPAllocated"]);
    assert_eq!(server.events[0].message, "Assigned IP [\"192.0.2.0\"]");
    let mut kinds: Vec<&str> = server
        .done
        .iter()
        .map(|w| match w {
            Write::ServiceStatus(_) => "status",
            Write::PoolStatus { .. } => "pool",
            Write::Event(_) => "event",
            _ => "other",
        })
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["event", "pool", "status"]);
}

#[test]
fn a_restart_writes_nothing_and_tells_nothing() {
    let services = (0..50).map(|n| svc(&format!("s{n}"))).collect();
    let mut server = Server::new(p("192.0.2.0/24"), services);
    let mut controller = server.leader();
    server.settle(&mut controller);
    assert_eq!(status_writes(&server), 50);
    let before = server.statuses();
    server.done.clear();
    let mut next = server.leader();
    server.settle(&mut next);
    assert_eq!(server.done, []);
    assert_eq!(server.statuses(), before);
}

#[test]
fn a_waiting_service_is_told_once_and_served_when_an_address_is_free() {
    let mut server = Server::new(p("192.0.2.1/32"), vec![svc("a").at(1), svc("b").at(2)]);
    let mut controller = server.leader();
    server.settle(&mut controller);
    assert_eq!(server.reasons(), ["b AllocationFailed", "a IPAllocated"]);
    server.edit(svc("b").at(2).labelled("x=y"));
    server.settle(&mut controller);
    assert_eq!(server.events.len(), 2, "the complaint stands");
    server.delete("a");
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["b 192.0.2.1 p"]);
    assert_eq!(
        server.reasons(),
        ["b AllocationFailed", "a IPAllocated", "b IPAllocated"]
    );
}

#[test]
fn nothing_happens_before_the_first_complete_view() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a")]);
    let mut controller = Controller::new(Server::config(), 1, server.now);
    controller.handle_leadership(
        &Leadership::Leader {
            epoch: 1,
            until: None,
        },
        server.now,
    );
    let services = vec![stored(svc("a"))];
    controller.handle_change(
        Change::Service(Delta::Reset {
            objects: services,
            epoch: 1,
        }),
        server.now,
    );
    controller.turn(server.now);
    assert!(!controller.is_complete());
    assert_eq!(controller.poll_write(server.now), None);
    server.list(&mut controller, 1);
    server.settle(&mut controller);
    assert!(controller.is_complete());
    assert_eq!(server.statuses(), ["a 192.0.2.0 p"]);
}

#[test]
fn a_new_leader_waits_for_a_view_made_after_it_began() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a")]);
    let mut controller = Controller::new(Server::config(), 1, server.now);
    server.list(&mut controller, 0);
    server.show(&mut controller);
    assert_eq!(controller.poll_write(server.now), None, "it follows");
    controller.handle_leadership(
        &Leadership::Leader {
            epoch: 3,
            until: None,
        },
        server.now,
    );
    server.list(&mut controller, 2);
    server.show(&mut controller);
    assert_eq!(
        controller.poll_write(server.now),
        None,
        "its view is too old"
    );
    assert_eq!(controller.decisions().count(), 0);
    server.list(&mut controller, 3);
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p"]);
}

#[test]
fn a_leader_stops_half_a_second_before_its_lease_ends() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a")]);
    let mut controller = Controller::new(Server::config(), 1, server.now);
    let until = server.now + Duration::from_secs(2);
    controller.handle_leadership(
        &Leadership::Leader {
            epoch: 1,
            until: Some(until),
        },
        server.now,
    );
    server.list(&mut controller, 1);
    server.show(&mut controller);
    let end = until - Duration::from_millis(500);
    assert_eq!(controller.write_deadline(), Some(end));
    assert_eq!(controller.poll_write(end), None);
    assert_eq!(controller.poll_timeout(), None, "nothing to spin for");
    assert!(
        controller
            .poll_write(end - Duration::from_millis(1))
            .is_some()
    );
    let renewed = Leadership::Leader {
        epoch: 1,
        until: Some(until + Duration::from_secs(1)),
    };
    controller.handle_leadership(&renewed, server.now);
    assert!(
        controller.poll_write(end).is_some(),
        "renewed, and nothing is forgotten"
    );
    controller.handle_leadership(&Leadership::Follower { holder: None }, server.now);
    assert_eq!(
        (
            controller.poll_write(server.now),
            controller.pending_writes()
        ),
        (None, 0)
    );
}

#[test]
fn addresses_change_hands_without_being_shown_twice() {
    let mut server = Server::new(
        p("192.0.2.0/24"),
        vec![svc("a").wants("192.0.2.1"), svc("b").wants("192.0.2.2")],
    );
    let mut controller = server.leader();
    server.settle(&mut controller);
    server.edit(svc("a").wants("192.0.2.2"));
    server.edit(svc("b").wants("192.0.2.1"));
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.2 p", "b 192.0.2.1 p"]);
    assert!(!server.doubled);
    let mut told = server.reasons().split_off(2);
    told.sort();
    let expected = [
        "a ClearAssignment",
        "a IPAllocated",
        "b ClearAssignment",
        "b IPAllocated",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_moved_pool_moves_everybody_and_doubles_nobody() {
    let services = (0..20).map(|n| svc(&format!("s{n:02}"))).collect();
    let mut server = Server::new(p("192.0.2.0-192.0.2.19"), services);
    let mut controller = server.leader();
    server.settle(&mut controller);
    // The lower half goes, an upper half comes: those who move take what is new.
    server.put_pool(pool("p", "192.0.2.10-192.0.2.29"));
    server.settle(&mut controller);
    assert!(!server.doubled);
    let moved = server
        .services
        .values()
        .filter(|(s, _)| s.addresses().any(|a| a >= ip("192.0.2.20")))
        .count();
    assert_eq!(moved, 10);
    assert_eq!(
        server
            .services
            .values()
            .filter(|(s, _)| s.addresses().count() == 1)
            .count(),
        20
    );
}

#[test]
fn a_conflict_is_decided_again_on_the_newer_object() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a")]);
    let mut controller = server.leader();
    server.show(&mut controller);
    // The user edits between decision and write.
    server.edit(svc("a").wants("192.0.2.77"));
    server.write(&mut controller);
    assert_eq!(server.conflicts, 1);
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.77 p"]);
    assert_eq!(server.conflicts, 1);
}

#[test]
fn an_old_leaders_late_write_is_repaired() {
    let mut server = Server::new(
        p("192.0.2.0/24"),
        vec![
            svc("a").at(1),
            svc("b").at(2).holds("192.0.2.5").of_pool("p"),
        ],
    );
    let mut controller = server.leader();
    server.settle(&mut controller);
    let (late, _) = server.services[&NamespacedName::new("default", "a")].clone();
    server.put(late.holds("192.0.2.5"));
    server.settle(&mut controller);
    assert_eq!(
        server.statuses(),
        ["a 192.0.2.5 p", "b 192.0.2.0 p"],
        "the older keeps it"
    );
    assert!(!server.shows_doubles());
}

#[test]
fn a_status_in_flight_counts_as_held() {
    let mut server = Server::new(p("192.0.2.1-192.0.2.2"), vec![svc("a").at(5)]);
    let mut controller = server.leader();
    server.show(&mut controller);
    let sent: Vec<_> = std::iter::from_fn(|| server.take(&mut controller)).collect();
    // An older one appears before the first is seen.
    server.put(svc("b").at(1));
    server.show(&mut controller);
    for (ticket, write) in sent {
        let outcome = server.apply(&write);
        controller.handle_outcome(ticket, outcome, server.now);
    }
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.1 p", "b 192.0.2.2 p"]);
    assert_eq!(server.conflicts, 0);
}

#[test]
fn a_status_changed_by_hand_is_put_right() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a")]);
    let mut controller = server.leader();
    server.settle(&mut controller);
    server.put(svc("a"));
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p"]);
    server.put(svc("a").holds("203.0.113.9"));
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p"]);
}

#[test]
fn a_recreated_service_is_another_one() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a"), svc("b")]);
    let mut controller = server.leader();
    server.settle(&mut controller);
    server.delete("a");
    let mut again = svc("a");
    again.uid = "another".to_owned();
    server.put(again);
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p", "b 192.0.2.1 p"]);
    assert_eq!(server.conflicts, 0);
}

#[test]
fn pool_statuses_are_written_once_a_second_at_most() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![]);
    let mut controller = server.leader();
    server.settle(&mut controller);
    server.done.clear();
    let start = server.now;
    for n in 0..100 {
        server.put(svc(&format!("s{n:03}")));
        server.show(&mut controller);
        server.write(&mut controller);
        server.now += Duration::from_millis(25);
        controller.handle_timeout(server.now);
    }
    server.settle(&mut controller);
    let seconds = usize::try_from((server.now - start).as_secs()).expect("few");
    let writes = server
        .done
        .iter()
        .filter(|w| matches!(w, Write::PoolStatus { .. }))
        .count();
    assert!(
        writes <= seconds + 2 && writes >= 2,
        "{writes} in {seconds} s"
    );
    let status = server
        .pools
        .values()
        .next()
        .and_then(|p| p.status)
        .expect("written");
    assert_eq!((status.assigned_ipv4, status.available_ipv4), (100, 156));
    let report = &controller.pool_reports()[0];
    assert_eq!((report.status, report.total_ipv4), (status, 256));
}

#[test]
fn the_configuration_state_tells_of_bad_objects() {
    let mut server = Server::new(
        vec![pool("p", "192.0.2.0/24"), pool("q", "oops")],
        vec![svc("a")],
    );
    let mut controller = server.leader();
    server.settle(&mut controller);
    let name = NamespacedName::new(NAMESPACE, "controller");
    let state = &server.states[&name];
    assert_eq!(state.result, "Invalid");
    assert_eq!(
        state.error_summary,
        "IPAddressPool metallb-system/q: spec.addresses[0]: \"oops\" is neither a CIDR nor a range start-end"
    );
    assert!(controller.is_config_stale());
    assert_eq!(controller.problems().count(), 1);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p"], "the rest works");
    server.put_pool(pool("q", "198.51.100.0/24"));
    server.settle(&mut controller);
    assert_eq!(server.states[&name].result, "Valid");
    let written = server.done.iter().rev().find_map(|w| match w {
        Write::ConfigurationState(value) => Some(value.clone()),
        _ => None,
    });
    let value = written.expect("written");
    assert_eq!(
        (value.condition, value.reason),
        ("poolReconcilerValid", "Reconciled")
    );
    assert_eq!(value.labels["metallb.io/component-type"], "controller");
}

#[test]
fn the_secret_is_created_where_there_is_none() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![]);
    let mut controller = server.leader();
    server.settle(&mut controller);
    let secrets = |server: &Server| {
        server
            .done
            .iter()
            .filter(|w| matches!(w, Write::MembershipSecret(_)))
            .count()
    };
    assert_eq!(secrets(&server), 1);
    let mut next = server.leader();
    server.settle(&mut next);
    assert_eq!(secrets(&server), 1, "and never changed");
}

#[test]
fn labels_of_a_namespace_decide_anew() {
    let mut server = Server::new(
        vec![pool("p", "192.0.2.0/24").for_namespaces_with("team=red")],
        vec![svc("a")],
    );
    let mut controller = server.leader();
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a  -"]);
    let red = Change::Namespace(Delta::Upsert(stored(namespace("default", "team=red"))));
    controller.handle_change(red, server.now);
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p"]);
    let blue = Change::Namespace(Delta::Upsert(stored(namespace("default", "team=blue"))));
    controller.handle_change(blue, server.now);
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a  -"]);
}

#[test]
fn an_outage_of_the_server_delays_and_loses_nothing() {
    let mut server = Server::new(p("192.0.2.0/24"), vec![svc("a"), svc("b")]);
    let mut controller = server.leader();
    server.show(&mut controller);
    for _ in 0..200 {
        while let Some((ticket, _)) = controller.poll_write(server.now) {
            controller.handle_outcome(ticket, Outcome::Unavailable("down".to_owned()), server.now);
        }
        server.now = controller
            .poll_timeout()
            .expect("tried again")
            .max(server.now);
        controller.handle_timeout(server.now);
    }
    let sent = controller.counters().sent;
    assert!(sent <= 4 * 60 * 3, "backed off: {sent}");
    server.settle(&mut controller);
    assert_eq!(server.statuses(), ["a 192.0.2.0 p", "b 192.0.2.1 p"]);
    assert_eq!(server.reasons(), ["a IPAllocated", "b IPAllocated"]);
}

#[derive(Clone, Debug)]
enum Op {
    Put(usize, usize, i64),
    Delete(usize),
    Pool(usize),
    Show,
    Write(usize),
    Lose,
    Forget,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..6usize, 0..6usize, 1..4i64).prop_map(|(n, w, c)| Op::Put(n, w, c)),
        1 => (0..6usize).prop_map(Op::Delete),
        1 => (0..3usize).prop_map(Op::Pool),
        4 => Just(Op::Show),
        4 => (1..4usize).prop_map(Op::Write),
        1 => Just(Op::Lose),
        1 => Just(Op::Forget),
        1 => Just(Op::Restart),
    ]
}

/// Every third shares, always: a key that is edited while statuses are under way can put
/// two on one address by nobody's fault.
fn wish(n: usize, wish: usize, created: i64) -> Service {
    let service = svc(&format!("s{n}")).at(created);
    match wish {
        _ if n.is_multiple_of(3) => service.shared("k", 80 + u16::try_from(n).unwrap_or(0)),
        0 => service.wants("192.0.2.1"),
        1 => service.wants("192.0.2.2"),
        3 => service.dual(FamilyPolicy::PreferDualStack),
        _ => service,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order of edits, watches, writes and losses: the server never shows an
    /// address on two Services that may not share it, and in the end it shows what a
    /// controller that starts then would keep.
    #[test]
    fn the_server_never_shows_an_address_twice(ops in proptest::collection::vec(op(), 1..40)) {
        let mut server = Server::new(p("192.0.2.0/30,2001:db8::/126"), vec![]);
        let mut controller = server.leader();
        for op in ops {
            match op {
                Op::Put(n, w, created) => {
                    let mut service = wish(n, w, created);
                    if let Some((old, _)) = server.services.get(&service.name) { service.created = old.created; }
                    server.edit(service);
                }
                Op::Delete(n) => server.delete(&format!("s{n}")),
                Op::Pool(n) => server.put_pool(pool("p", ["192.0.2.0/30,2001:db8::/126", "192.0.2.2/31", "192.0.2.1-192.0.2.4,2001:db8::1/128"][n])),
                Op::Show => server.show(&mut controller),
                Op::Write(n) => for _ in 0..n {
                    if let Some((ticket, write)) = server.take(&mut controller) {
                        let outcome = server.apply(&write);
                        controller.handle_outcome(ticket, outcome, server.now);
                    }
                },
                Op::Lose => if let Some((ticket, write)) = server.take(&mut controller) {
                    // Done, and nobody heard of it.
                    server.apply(&write);
                    controller.handle_outcome(ticket, Outcome::Unavailable("timeout".to_owned()), server.now);
                },
                Op::Forget => controller.forget_books(),
                Op::Restart => { server.watch.clear(); controller = server.leader(); }
            }
            prop_assert!(!server.doubled);
        }
        server.settle(&mut controller);
        prop_assert!(!server.doubled);
        let statuses = server.statuses();
        let mut next = server.leader();
        server.settle(&mut next);
        prop_assert_eq!(server.statuses(), statuses);
    }
}
