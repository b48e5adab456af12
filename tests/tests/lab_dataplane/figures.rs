//! Figures on the real kernel; run by hand: `cargo test --release -p tests --test lab_dataplane -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Backend, Config, Dataplane, Kernel};
use engine::forward::{ForwardTable, Front, FrontPort, Target, TargetSet, Traffic};
use engine::name::NamespacedName;
use engine::world::Protocol;
use tests::lab::{self, Host};

const SERVICES: u32 = 10_000;

fn targets(up: [bool; 3]) -> Arc<TargetSet> {
    let target = |(n, up): (u8, bool)| Target {
        node: format!("node-{n}"),
        address: [10, 1, 0, n].into(),
        up,
        weight: 1,
        local: false,
    };
    Arc::new(TargetSet {
        targets: (1u8..).zip(up).map(target).collect(),
        by_source: false,
    })
}

fn services(set: &Arc<TargetSet>) -> BTreeMap<Front, FrontPort> {
    let entry = |n: u32| {
        let front = Front {
            address: IpAddr::V4(Ipv4Addr::from(0xc633_0000 + n)),
            protocol: Protocol::Tcp,
            port: 80,
        };
        let port = FrontPort {
            service: NamespacedName::new("default", format!("service-{n}").as_str()),
            traffic: Traffic::Front,
            node_port: Some(30_000 + (n % 2767) as u16),
            targets: Some(Arc::clone(set)),
            source_ranges: Vec::new(),
        };
        (front, port)
    };
    (0..SERVICES).map(entry).collect()
}

fn table(ports: BTreeMap<Front, FrontPort>) -> Arc<ForwardTable> {
    Arc::new(ForwardTable {
        ports,
        icmp_echo: true,
        ..ForwardTable::default()
    })
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

/// Kernel memory in slabs and elsewhere, by what is free, in KiB.
fn available() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("readable");
    let field = |name: &str| -> i64 {
        let line = text
            .lines()
            .find(|l| l.starts_with(name))
            .expect("the field");
        line.split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number")
    };
    field("Slab:") + field("VmallocUsed:") + field("Percpu:")
}

#[test]
#[ignore = "figures: run alone, optimised"]
fn figures() {
    if !lab::ready() {
        return;
    }
    let all = targets([true; 3]);
    let full = table(services(&all));
    let (mut loads, mut ones, mut outs, mut slabs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..5 {
        let host = Host::new("front").expect("a host");
        let now = Instant::now();
        let kernel = host.run(Kernel::open).expect("nf_tables");
        let mut plane = Dataplane::new(kernel, Config::default(), now).expect("empty");
        let before = available();
        let begun = Instant::now();
        let applied = plane.apply(Arc::clone(&full), now).expect("applied");
        loads.push(begun.elapsed());
        slabs.push(available() - before);
        assert_eq!(applied.transactions, 1);
        for n in 0..20u32 {
            let mut ports = full.ports.clone();
            let address = IpAddr::V4(Ipv4Addr::from(0xc633_0000 + n * 400));
            let front = Front {
                address,
                protocol: Protocol::Tcp,
                port: 80,
            };
            ports.get_mut(&front).expect("a service").node_port = Some(32_767);
            let next = table(ports);
            let begun = Instant::now();
            let applied = plane.apply(next, now).expect("applied");
            ones.push(begun.elapsed());
            assert!(
                applied.changes <= 4 && applied.transactions == 1,
                "{applied:?}"
            );
        }
        plane.apply(Arc::clone(&full), now).expect("applied");
        for n in 0..6 {
            let up = if n % 2 == 0 {
                [true, false, true]
            } else {
                [true; 3]
            };
            let next = table(services(&targets(up)));
            let begun = Instant::now();
            let applied = plane.apply(next, now).expect("applied");
            outs.push(begun.elapsed());
            assert_eq!(applied.transactions, 1);
            assert!(applied.changes <= 2 * 86, "other slots moved: {applied:?}");
        }
        let begun = Instant::now();
        assert!(plane.backend().read().expect("readable") == *plane.ruleset());
        println!("round {round}: full read-back {:?}", begun.elapsed());
        plane.remove(now).expect("removed");
    }
    println!(
        "full load of {SERVICES} Services, median and worst: {:?}",
        median(loads)
    );
    println!("one Service changed: {:?}", median(ones));
    println!("one node out for all: {:?}", median(outs));
    let kib: Vec<f64> = slabs
        .iter()
        .map(|k| *k as f64 / f64::from(SERVICES))
        .collect();
    println!("kernel memory per Service, KiB: {kib:.2?}");
}
