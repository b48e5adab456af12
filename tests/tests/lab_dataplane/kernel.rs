//! The table itself: applied, read back, adopted, owned, repaired, removed.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::ruleset::SetName;
use dataplane::{Backend, Config, Dataplane, Family, Kernel, Ruleset};
use tests::lab::{self, Host};

use crate::random::Walk;

fn nft(host: &Host, arguments: &[&str]) -> String {
    let mut command = Command::new("nft");
    command.args(arguments);
    let output = host.run(|| command.output()).expect("nft runs");
    assert!(
        output.status.success(),
        "nft {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("nft prints UTF-8")
}

/// Sets, and elements of each, as `nft -j` sees them; none where it cannot print the table.
fn listed(host: &Host, family: Family) -> Option<Vec<(String, usize)>> {
    let family = match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    };
    let mut command = Command::new("nft");
    command.args(["-j", "list", "table", family, "harbinger"]);
    let output = host.run(|| command.output()).expect("nft runs");
    if !output.status.success() {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let mut sets: Vec<(String, usize)> = json["nftables"]
        .as_array()?
        .iter()
        .filter_map(|object| object.get("set").or_else(|| object.get("map")))
        .map(|set| {
            let elements = set["elem"].as_array().map_or(0, Vec::len);
            (
                set["name"].as_str().unwrap_or_default().to_owned(),
                elements,
            )
        })
        .collect();
    sets.sort();
    Some(sets)
}

/// Compares sets and numbers of elements with what nft lists; how many tables it could list.
fn nft_agrees(host: &Host, read: &Ruleset, when: &str) -> usize {
    let mut lists = 0;
    for (family, table) in &read.tables {
        let sets = table.sets.iter();
        let mut ours: Vec<(String, usize)> = sets
            .map(|(name, set)| (name.to_string(), set.elements.len()))
            .collect();
        ours.sort();
        if let Some(theirs) = listed(host, *family) {
            assert_eq!(theirs, ours, "{when}: nft sees the same");
            lists += 1;
        }
    }
    lists
}

#[test]
fn random_tables_are_in_the_kernel_as_compiled_after_each_step() {
    if !lab::ready() {
        return;
    }
    let mut lists = 0;
    for seed in 0..6 {
        println!("seed {seed}");
        let host = Host::new("front").expect("a host");
        let kernel = || host.run(|| Kernel::open().expect("nf_tables"));
        let now = Instant::now();
        let mut plane = Dataplane::new(kernel(), Config::default(), now).expect("empty");
        let mut reader = host.run(|| Kernel::open_shared().expect("nf_tables"));
        let mut walk = Walk::new(seed);
        for step in 0..60 {
            for _ in 0..3 {
                walk.step();
            }
            let table = Arc::new(walk.table.clone());
            let applied = plane.apply(Arc::clone(&table), now);
            let applied = applied.unwrap_or_else(|e| panic!("seed {seed} step {step}: {e}"));
            assert!(
                applied.transactions < 2,
                "seed {seed} step {step}: the cache was wrong"
            );
            let read = plane.backend().read().expect("readable");
            assert!(
                read == *plane.ruleset(),
                "seed {seed} step {step}: {read:#?} != {:#?}",
                plane.ruleset()
            );
            let again = plane.apply(table, now).expect("applied");
            assert_eq!(
                again.transactions, 0,
                "seed {seed} step {step}: equal, nothing is sent"
            );
            if step % 10 == 0 {
                lists += nft_agrees(&host, &read, &format!("seed {seed} step {step}"));
            }
            // Now and then a new process takes over what the old one left.
            if step % 7 == 6 {
                drop(plane);
                plane = Dataplane::new(kernel(), Config::default(), now).expect("adopted");
                let table = Arc::new(walk.table.clone());
                let applied = plane.apply(table, now).expect("applied");
                assert_eq!(
                    applied.changes, 0,
                    "seed {seed} step {step}: adopted as it was"
                );
            }
        }
        // A stranger may read while we own.
        assert!(
            matches!(reader.read(), Err(dataplane::Error::Owned { .. }))
                || plane.ruleset().tables.is_empty()
        );
        plane.remove(now).expect("removed");
        assert!(!nft(&host, &["list", "tables"]).contains("harbinger"));
    }
    println!("{lists} tables listed by nft");
    assert!(lists > 0, "nft could list none of them");
}

/// A table with ten open ports.
fn ten() -> Walk {
    let mut walk = Walk::new(1);
    while walk.table.ports.len() < 10 || dataplane::compile::families(&walk.table).len() < 2 {
        walk.step();
    }
    walk
}

#[test]
fn an_owned_table_survives_a_foreign_flush_and_the_death_of_its_owner() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("front").expect("a host");
    let now = Instant::now();
    let kernel = host.run(Kernel::open).expect("nf_tables");
    if !kernel.owns() {
        println!("this kernel's tables have no persistent owners");
        return;
    }
    let mut plane = Dataplane::new(kernel, Config::default(), now).expect("empty");
    nft(&host, &["add", "table", "ip", "stranger"]);
    plane.apply(Arc::new(ten().table), now).expect("applied");
    assert!(plane.events().is_none(), "nothing to listen to");
    nft(&host, &["flush", "ruleset"]);
    let tables = nft(&host, &["list", "tables"]);
    assert!(tables.contains("table ip harbinger") && tables.contains("table ip6 harbinger"));
    assert!(!tables.contains("stranger"));
    let counters = plane.counters();
    plane.verify(now).expect("readable");
    assert_eq!(plane.counters().repairs, counters.repairs);
    let held = plane.ruleset().clone();
    let second = host.run(Kernel::open).expect("nf_tables");
    let refused = Dataplane::new(second, Config::default(), now).expect_err("owned");
    assert!(
        refused.to_string().contains("owned by another process"),
        "{refused}"
    );
    drop(plane);
    let next = host.run(Kernel::open).expect("nf_tables");
    let next = Dataplane::new(next, Config::default(), now).expect("adopted");
    assert_eq!(
        *next.ruleset(),
        held,
        "the table stayed, whole, and is owned again"
    );
}

#[test]
fn a_foreign_change_of_a_table_without_owner_is_seen_and_repaired_within_100_ms() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("front").expect("a host");
    let now = Instant::now();
    let kernel = host.run(Kernel::open_shared).expect("nf_tables");
    let mut plane = Dataplane::new(kernel, Config::default(), now).expect("empty");
    plane.apply(Arc::new(ten().table), now).expect("applied");
    assert_eq!(
        plane.handle_events(now).expect("ours").transactions,
        0,
        "our own change is none"
    );
    nft(&host, &["add", "table", "ip", "stranger"]);
    assert_eq!(plane.handle_events(now).expect("theirs").transactions, 0);
    assert_eq!(plane.counters().foreign_changes, 0);
    let held = plane.ruleset().clone();
    let acts: [&[&str]; 5] = [
        &["flush", "ruleset"],
        &["add", "rule", "ip", "harbinger", "guard", "drop"],
        &["flush", "map", "ip", "harbinger", "svc"],
        &[
            "add",
            "chain",
            "ip6",
            "harbinger",
            "theirs",
            "{ type filter hook input priority 0; policy drop; }",
        ],
        &["delete", "table", "ip6", "harbinger"],
    ];
    for act in acts {
        nft(&host, act);
        let begun = Instant::now();
        let fd = plane.events().expect("a descriptor");
        let mut polled = [nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut polled, 1000u16).expect("polled");
        assert_eq!(
            plane.handle_events(now).expect("repaired").transactions,
            1,
            "{act:?}"
        );
        let took = begun.elapsed();
        println!("{act:?} repaired in {took:?}");
        assert!(took < Duration::from_millis(100), "{act:?}: {took:?}");
        assert_eq!(plane.backend().read().expect("readable"), held, "{act:?}");
    }
    let table = nft(&host, &["list", "tables"]);
    assert!(
        !table.contains("stranger"),
        "the flush took it, and it is not ours to mend"
    );
}

#[test]
fn what_a_foreigner_left_in_our_table_is_removed_at_start() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("front").expect("a host");
    let now = Instant::now();
    nft(&host, &["add", "table", "ip", "harbinger"]);
    nft(&host, &["add", "chain", "ip", "harbinger", "old"]);
    nft(
        &host,
        &[
            "add",
            "rule",
            "ip",
            "harbinger",
            "old",
            "ip",
            "daddr",
            "{ 1.1.1.1, 2.2.2.2 }",
            "drop",
        ],
    );
    nft(
        &host,
        &["add", "set", "ip", "harbinger", "svc", "{ type mark; }"],
    );
    nft(&host, &["add", "table", "ip", "kube-proxy"]);
    let kernel = host.run(Kernel::open).expect("nf_tables");
    let mut plane = Dataplane::new(kernel, Config::default(), now).expect("read");
    plane.apply(Arc::new(ten().table), now).expect("applied");
    assert_eq!(plane.backend().read().expect("readable"), *plane.ruleset());
    assert!(plane.ruleset().set(Family::Ipv4, &SetName::Svc).is_some());
    plane.apply(Arc::default(), now).expect("emptied");
    assert_eq!(
        nft(&host, &["list", "tables"]).trim(),
        "table ip kube-proxy"
    );
}
