//! 500 nodes each second on real sockets: what it costs, and how soon a change is known.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::health::{Health, HealthDesired, HealthView, NodeWanted, State};
use engine::world::Family;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::Prober;
use super::run;

const NODES: u16 = 500;

/// Nodes whose behaviour changes.
const CHANGING: u16 = 100;

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 71\r\n\r\n{\"nodeEligible\":true,\"healthy\":true,\"status\":{\"IPv4\":{\"healthy\":true}}}";
const LEAVING: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 38\r\n\r\n{\"nodeEligible\":false,\"healthy\":true} ";

fn address(index: u16) -> IpAddr {
    let [high, low] = index.to_be_bytes();
    IpAddr::from([127, 77, high, low])
}

/// All nodes in one listener on a thread of its own; the changing ones do what `act` says: 0 well, 1 leaving, 2 silent.
fn nodes(act: Arc<AtomicUsize>) -> u16 {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        run(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let act = Arc::clone(&act);
                tokio::spawn(async move {
                    let own = stream.local_addr().expect("an address").ip();
                    let changing = (1..=CHANGING).any(|index| address(index) == own);
                    let mut request = [0; 1024];
                    let _head = stream.read(&mut request).await;
                    match act.load(Ordering::Relaxed) {
                        1 if changing => drop(stream.write_all(LEAVING.as_bytes()).await),
                        2 if changing => {}
                        _ => drop(stream.write_all(WELL.as_bytes()).await),
                    }
                    let _closed = stream.read(&mut request).await;
                });
            }
        });
    });
    port
}

/// Processor time of the thread of that name so far, of all of them in this process.
fn thread_time(name: &str) -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task")
        .expect("threads")
        .flatten()
    {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            let stat = read("stat");
            let after = stat.rsplit(')').next().unwrap_or_default();
            let fields: Vec<&str> = after.split_whitespace().collect();
            let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
            ticks += number(11).unwrap_or(0) + number(12).unwrap_or(0);
        }
    }
    Duration::from_millis(ticks * 10)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

struct Rig {
    health: Health,
    prober: Prober,
    port: u16,
    /// Time inside the machine's own calls.
    machine: Duration,
    probes: u32,
}

impl Rig {
    /// As the brain does, for so long; `look` after each result.
    async fn drive(&mut self, time: Duration, mut look: impl FnMut(&HealthView, Instant)) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let begun = Instant::now();
            self.health.handle_timeout(begun);
            while let Some(mut probe) = self.health.poll_probe(begun) {
                probe.target = SocketAddr::new(probe.target.ip(), self.port);
                self.probes += 1;
                self.prober.ask(probe);
            }
            let next = self.health.poll_timeout().unwrap_or(end).min(end);
            self.machine += begun.elapsed();
            tokio::select! {
                biased;
                done = self.prober.done() => {
                    let mut next = done;
                    let begun = Instant::now();
                    while let Some(done) = next {
                        self.health.handle_result(done.id, &done.result, begun);
                        next = self.prober.done_already();
                    }
                    self.machine += begun.elapsed();
                }
                () = tokio::time::sleep_until(next.into()) => {}
            }
            look(self.health.view(), Instant::now());
        }
    }

    /// How soon each changing node is as `is` says, sorted.
    async fn times(&mut self, most: Duration, is: impl Fn(State) -> bool) -> Vec<Duration> {
        let begun = Instant::now();
        let mut seen: BTreeMap<u16, Duration> = BTreeMap::new();
        self.drive(most, |view, now| {
            for index in (1..=CHANGING)
                .filter(|index| !seen.contains_key(index))
                .collect::<Vec<_>>()
            {
                let node = view.node(&format!("n{index}"), Family::V4);
                if node.is_some_and(|node| is(node.state)) {
                    seen.insert(index, now - begun);
                }
            }
        })
        .await;
        let mut times: Vec<Duration> = seen.into_values().collect();
        times.sort();
        times
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p harbinger -- --ignored --nocapture five_hundred"]
fn five_hundred_nodes_each_second() {
    let act = Arc::new(AtomicUsize::new(0));
    let port = nodes(Arc::clone(&act));
    let before = resident_kib();
    let now = Instant::now();
    let node = |index| NodeWanted {
        addresses: BTreeMap::from([(Family::V4, address(index))]),
        ..NodeWanted::default()
    };
    let desired = HealthDesired {
        nodes: (1..=NODES)
            .map(|index| (format!("n{index}"), node(index)))
            .collect(),
        ..HealthDesired::default()
    };
    let mut rig = Rig {
        health: Health::new(1, now),
        prober: Prober::start().expect("a thread"),
        port,
        machine: Duration::ZERO,
        probes: 0,
    };
    rig.health.set_desired(Arc::new(desired), now);
    run(async {
        rig.drive(Duration::from_secs(3), |_, _| {}).await;
        let well = rig.health.view().nodes.values();
        let well = well
            .filter(|n| n.values().all(|n| n.state == State::Healthy))
            .count();
        assert_eq!(well, usize::from(NODES));
        (rig.machine, rig.probes) = (Duration::ZERO, 0);
        let (spent, begun) = (thread_time("probe"), Instant::now());
        rig.drive(Duration::from_secs(10), |_, _| {}).await;
        let took = begun.elapsed().as_secs_f64();
        let probing = (thread_time("probe") - spent).as_secs_f64() / took * 100.0;
        let machine = rig.machine.as_secs_f64() / took * 100.0;
        let rate = f64::from(rig.probes) / took;
        let grown = resident_kib().saturating_sub(before);
        println!(
            "{rate:.0} probes/s: probe thread {probing:.1} %, machine {machine:.1} % of a core, memory + {grown} KiB"
        );
        act.store(1, Ordering::Relaxed);
        let times = rig
            .times(Duration::from_secs(3), |s| {
                matches!(s, State::Draining { .. })
            })
            .await;
        report("clean 503", &times, Duration::from_millis(1_110));
        act.store(0, Ordering::Relaxed);
        rig.drive(Duration::from_secs(3), |_, _| {}).await;
        act.store(2, Ordering::Relaxed);
        let times = rig
            .times(Duration::from_secs(6), |s| s == State::Unhealthy)
            .await;
        report("silence", &times, Duration::from_millis(3_250));
    });
}

fn report(what: &str, times: &[Duration], most: Duration) {
    assert_eq!(
        times.len(),
        usize::from(CHANGING),
        "{what}: some are not known at all"
    );
    let p50 = times[times.len() / 2];
    let p99 = times[times.len() * 99 / 100];
    let last = times[times.len() - 1];
    println!("{what}: p50 {p50:?}, p99 {p99:?}, max {last:?}");
    assert!(p99 <= most, "{what}: {p99:?}");
}
