//! The controller's life on a real API server: starts, stops, kills, and an API server that goes and comes back.
//!
//! Owns nothing in the product; each story begins with an empty cluster. Times are printed, not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::cluster_stories::{
    Controller, NAMESPACE, SOON, addresses_of, all_addresses, clear, create, delete, events,
    install, patch, patch_at, path, pool, read, service, wait, wait_addresses, wait_event,
};
use tests::controlplane::{CONTROLLER, ControlPlane, Request};
use tests::lab;

/// Between the kill of a leader and the first write of the next; the lease is 2 s.
const TAKEOVER: Duration = Duration::from_secs(3);

/// An empty cluster with the product installed.
fn stage() -> Arc<ControlPlane> {
    let plane = ControlPlane::shared();
    if !plane.folder().join("installed").exists() {
        install(&plane).unwrap();
        std::fs::write(plane.folder().join("installed"), "").unwrap();
    }
    clear(&plane);
    plane
}

fn wide() -> Value {
    pool("wide", json!({"addresses": ["10.20.0.0/16"]}))
}

/// Waits until this one leads.
fn leads(plane: &ControlPlane, name: &str) {
    let lease =
        format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/harbinger-controller");
    wait(plane, &lease, &format!("{name} leads"), |lease| {
        lease["spec"]["holderIdentity"]
            .as_str()
            .is_some_and(|holder| holder.starts_with(name))
    });
}

/// Waits until every Service has an address; all are distinct and in `10.20.0.0/16`.
fn all_served(plane: &ControlPlane, count: usize) -> BTreeMap<String, Vec<String>> {
    let all = lab::eventually(
        Duration::from_secs(180),
        "every Service has an address",
        || {
            let all = all_addresses(plane);
            (all.len() == count && all.values().all(|held| held.len() == 1)).then_some(all)
        },
    );
    let distinct: BTreeSet<&String> = all.values().flatten().collect();
    assert_eq!(distinct.len(), count, "an address was given twice");
    assert!(distinct.iter().all(|address| address.starts_with("10.20.")));
    all
}

/// Writes of the controllers from the `from`-th request on, but for the Lease.
fn writes(plane: &ControlPlane, from: usize) -> Vec<Request> {
    let requests = plane.requests().unwrap().into_iter().skip(from);
    requests
        .filter(|it| it.user == CONTROLLER && it.is_write() && it.resource != "leases")
        .collect()
}

fn counted(writes: &[Request]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts
            .entry(format!("{} {}", write.verb, write.resource))
            .or_default() += 1;
    }
    counts
}

#[test]
fn one_service_costs_one_status_and_one_event_and_a_restart_costs_nothing() {
    const COUNT: usize = 50;
    let plane = stage();
    let mut controller = Controller::start(&plane, "writes-a", &[]).unwrap();
    leads(&plane, "writes-a");
    let from = plane.requests().unwrap().len();
    let services: Vec<Value> = (0..COUNT).map(|n| service(&format!("web-{n}"))).collect();
    create(&plane, &[wide()]);
    create(&plane, &services);
    let before = all_served(&plane, COUNT);
    for service in &services {
        wait_event(&plane, service, "IPAllocated", "Assigned IP");
    }
    wait(&plane, &path(&wide()), "counted", |it| {
        it["status"]["assignedIPv4"] == COUNT
    });
    let counts = counted(&writes(&plane, from));
    println!("{COUNT} Services: {counts:?}");
    assert_eq!(counts["patch services/status"], COUNT);
    assert_eq!(counts["create events"], COUNT);

    controller.stop();
    let from = plane.requests().unwrap().len();
    let mut controller = Controller::start(&plane, "writes-b", &[]).unwrap();
    let begun = Instant::now();
    let one_more = service("one-more");
    create(&plane, std::slice::from_ref(&one_more));
    wait(&plane, &path(&one_more), "served", |it| {
        addresses_of(it).len() == 1
    });
    println!(
        "start after a stop → a new Service served: {:?}",
        begun.elapsed()
    );
    wait_event(&plane, &one_more, "IPAllocated", "Assigned IP");
    controller.stop();
    let repeated: Vec<Request> = writes(&plane, from)
        .into_iter()
        .filter(|it| it.resource.starts_with("services") || it.resource == "events")
        .filter(|it| !it.object.starts_with("default/one-more"))
        .collect();
    assert_eq!(repeated, [], "written again at a restart");
    let after = all_addresses(&plane);
    assert!(
        before
            .iter()
            .all(|(name, held)| after.get(name) == Some(held))
    );
    for service in &services {
        assert_eq!(events(&plane, service).len(), 1, "told once");
    }
}

#[test]
fn a_kill_in_the_middle_of_a_thousand_services_gives_no_address_twice() {
    const COUNT: usize = 1000;
    let plane = stage();
    let mut first = Controller::start(&plane, "kill-a", &[]).unwrap();
    leads(&plane, "kill-a");
    let mut second = Controller::start(&plane, "kill-b", &[]).unwrap();
    second.daemon.wait_for_log(SOON, "started");
    let services: Vec<Value> = (0..COUNT).map(|n| service(&format!("web-{n}"))).collect();
    create(&plane, &services);
    let served = |plane: &ControlPlane| {
        all_addresses(plane)
            .values()
            .filter(|held| !held.is_empty())
            .count()
    };
    assert_eq!(served(&plane), 0);
    create(&plane, &[wide()]);
    let begun = Instant::now();
    let by_first = lab::eventually(SOON, "some have an address", || {
        Some(served(&plane)).filter(|count| *count > 100)
    });
    first.daemon.kill();
    let killed = Instant::now();
    leads(&plane, "kill-b");
    let leads = killed.elapsed();
    second.daemon.wait_for_log(SOON, "ipAllocated");
    let taken_over = killed.elapsed();
    all_served(&plane, COUNT);
    println!(
        "killed with {by_first} of {COUNT} served; the other one leads after {leads:?} and writes after {taken_over:?}; all served after {:?}",
        begun.elapsed()
    );
    if taken_over > TAKEOVER {
        println!("slower than {TAKEOVER:?}: a loaded machine?");
        println!(
            "{}",
            second
                .daemon
                .log()
                .lines()
                .take(20)
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
    second.stop();
}

#[test]
fn a_stopped_leader_is_followed_at_once() {
    let plane = stage();
    let mut first = Controller::start(&plane, "stop-a", &[]).unwrap();
    leads(&plane, "stop-a");
    let mut second = Controller::start(&plane, "stop-b", &[]).unwrap();
    second.daemon.wait_for_log(SOON, "started");
    create(&plane, &[wide()]);
    first.daemon.signal(Signal::SIGTERM);
    let asked = Instant::now();
    let web = service("web");
    create(&plane, std::slice::from_ref(&web));
    wait_addresses(&plane, &web, &["10.20.0.0"]);
    println!(
        "leader asked to stop → a new Service served: {:?}",
        asked.elapsed()
    );
    first.stop();
    second.stop();
}

#[test]
fn a_status_that_another_writes_is_put_right_once() {
    let plane = stage();
    let mut controller = Controller::start(&plane, "conflicts", &[]).unwrap();
    create(&plane, &[wide()]);
    let web = service("web");
    create(&plane, std::slice::from_ref(&web));
    wait_addresses(&plane, &web, &["10.20.0.0"]);
    // Somebody empties it: the address comes back.
    let status = format!("{}/status", path(&web));
    patch_at(
        &plane,
        &status,
        &json!({"status": {"loadBalancer": {"ingress": null}}}),
    );
    wait_addresses(&plane, &web, &["10.20.0.0"]);
    // Somebody writes an address that no pool has: it does not stay.
    patch_at(
        &plane,
        &status,
        &json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}),
    );
    wait(&plane, &path(&web), "one of the pool", |it| {
        addresses_of(it)
            .first()
            .is_some_and(|held| held.starts_with("10.20."))
    });
    // Somebody changes the object all the time: our writes get through, and no write is repeated without end.
    let from = plane.requests().unwrap().len();
    let busy = service("busy");
    create(&plane, std::slice::from_ref(&busy));
    for n in 0..50 {
        patch(
            &plane,
            &busy,
            &json!({"metadata": {"annotations": {"example.com/n": n.to_string()}}}),
        );
    }
    wait(&plane, &path(&busy), "served", |it| {
        addresses_of(it).len() == 1
    });
    let tried = writes(&plane, from);
    let tried = tried
        .iter()
        .filter(|it| it.resource == "services/status" && it.object == "default/busy");
    let codes: Vec<u16> = tried.map(|it| it.code).collect();
    println!("while 50 others wrote: {codes:?}");
    assert!(codes.len() < 10, "{codes:?}");
    // Two Services are made to hold one address: the older keeps it.
    let late = service("late");
    create(&plane, std::slice::from_ref(&late));
    wait(&plane, &path(&late), "served", |it| {
        addresses_of(it).len() == 1
    });
    let taken = addresses_of(&read(&plane, &path(&web)));
    let stolen = json!({"status": {"loadBalancer": {"ingress": [{"ip": taken[0]}]}}});
    patch_at(&plane, &format!("{}/status", path(&late)), &stolen);
    wait(&plane, &path(&late), "another address", |it| {
        addresses_of(it).len() == 1 && addresses_of(it) != taken
    });
    assert_eq!(
        addresses_of(&read(&plane, &path(&web))),
        taken,
        "the older keeps it"
    );
    controller.stop();
}

#[test]
fn an_api_server_that_restarts_is_found_again() {
    let plane = stage();
    let mut controller = Controller::start(&plane, "outage", &[]).unwrap();
    create(&plane, &[wide(), service("before")]);
    wait_addresses(&plane, &service("before"), &["10.20.0.0"]);
    plane.stop_apiserver();
    let gone = Instant::now();
    plane.start_apiserver().unwrap();
    println!("API server away for {:?}", gone.elapsed());
    let back = Instant::now();
    create(&plane, &[service("after")]);
    wait_addresses(&plane, &service("after"), &["10.20.0.1"]);
    println!("back → a new Service served: {:?}", back.elapsed());
    assert_eq!(
        addresses_of(&read(&plane, &path(&service("before")))),
        ["10.20.0.0"]
    );
    assert!(!controller.daemon.has_ended());
    controller.stop();
}

#[test]
fn a_watch_that_is_too_old_is_begun_anew() {
    let plane = stage();
    let mut controller = Controller::start(&plane, "too-old", &[]).unwrap();
    let gone = service("gone");
    create(&plane, &[wide(), gone.clone(), service("stays")]);
    wait(&plane, &path(&gone), "served", |it| {
        addresses_of(it).len() == 1
    });
    let stays = wait(&plane, &path(&service("stays")), "served", |it| {
        addresses_of(it).len() == 1
    });
    // Asleep while the API server restarts, things change, and etcd forgets how.
    controller.daemon.signal(Signal::SIGSTOP);
    plane.stop_apiserver();
    plane.start_apiserver().unwrap();
    delete(&plane, &gone);
    create(&plane, &[service("new")]);
    plane.compact().unwrap();
    plane.stop_apiserver();
    plane.start_apiserver().unwrap();
    let from = plane.requests().unwrap().len();
    controller.daemon.signal(Signal::SIGCONT);
    wait(&plane, &path(&service("new")), "served", |it| {
        addresses_of(it).len() == 1
    });
    let wide = path(&wide());
    wait(&plane, &wide, "two in use", |it| {
        it["status"]["assignedIPv4"] == 2
    });
    assert_eq!(
        addresses_of(&read(&plane, &path(&service("stays")))),
        addresses_of(&stays)
    );
    let lists = plane.requests().unwrap().into_iter().skip(from);
    let lists = lists
        .filter(|it| it.verb == "list" && it.resource == "services")
        .count();
    println!("Services listed anew {lists} times");
    assert!(
        lists > 0,
        "the watch went on: the story does not show what it says"
    );
    controller.stop();
}
