//! The membership in virtual time: what it costs at 200 nodes, and how often it calls a living node dead.
//!
//! Owns a small network of real machines with delay and loss; everything follows from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use members::{BootId, Claim, Config, Event, Keys, Membership, Sealing};

use super::{Bench, Figure, Samples, runs, say};

/// What the traffic is counted of, and for how long.
const NODES: usize = 200;
const COUNTED: Duration = Duration::from_secs(60);
/// Addresses that each of them holds.
const CLAIMS: u8 = 20;
const PACKETS_TARGET: f64 = 30.0;
const BYTES_TARGET: f64 = 6_000.0;
/// What false deaths are counted of.
const FALSE_NODES: usize = 50;
const LOSS_PER_MILLE: u64 = 20;
/// Simulated hours: the target is of ten, which take most of an hour of CPU (`HOURS=10`).
const HOURS: usize = 1;
/// Before anything is counted.
const FORMED: Duration = Duration::from_secs(30);
const SECRET: &[u8] = b"a secret of the bench, long enough";

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut figures = traffic()?;
    figures.push(false_deaths()?);
    Ok(figures)
}

fn traffic() -> Result<Vec<Figure>> {
    let mut net = Net::new(NODES, 1, true)?;
    net.loss_per_mille = LOSS_PER_MILLE;
    net.run(FORMED);
    for (n, machine) in net.machines.iter_mut().enumerate() {
        for number in 0..CLAIMS {
            let address = [10, 128, n as u8, number].into();
            machine.set_claim(address, Some(Claim { term: 1 }), net.now);
        }
    }
    for n in 0..NODES {
        net.drain(n);
    }
    net.run(FORMED);
    let whole = net.machines.iter().all(|m| m.members().len() + 1 == NODES);
    ensure!(whole, "not everybody knows everybody");
    net.sent.fill((0, 0));
    net.run(COUNTED);
    let per_second = |of: fn(&(u64, u64)) -> u64| {
        Samples::new(
            net.sent
                .iter()
                .map(|sent| of(sent) as f64 / COUNTED.as_secs_f64()),
        )
    };
    let (packets, bytes) = (per_second(|sent| sent.0), per_second(|sent| sent.1));
    let met = [packets.p50() <= PACKETS_TARGET, bytes.p50() <= BYTES_TARGET];
    let how = "each node's sent datagrams over 60 s, sealed, idle, 20 claims each, 2 % loss, virtual time; judged by the median";
    Ok(vec![
        Figure::new(
            "membership traffic per node at 200 nodes",
            "packets/s",
            packets,
        )
        .target("<= 30", met[0])
        .how(how),
        Figure::new("the same, UDP payload", "B/s", bytes)
            .target("<= 6,000", met[1])
            .how(how),
    ])
}

fn false_deaths() -> Result<Figure> {
    let hours = std::env::var("HOURS")
        .ok()
        .and_then(|text| text.parse().ok());
    let hours = hours.unwrap_or_else(|| runs(HOURS));
    let one = |seed: u64| -> Result<f64> {
        let mut net = Net::new(FALSE_NODES, seed, false)?;
        net.loss_per_mille = LOSS_PER_MILLE;
        net.run(FORMED);
        net.deaths = 0;
        net.run(Duration::from_secs(1_800));
        Ok(net.deaths as f64)
    };
    let mut samples = Samples::default();
    // Two halves of an hour at once.
    for hour in 0..hours as u64 {
        let halves = std::thread::scope(|scope| {
            [2 * hour, 2 * hour + 1]
                .map(|seed| scope.spawn(move || one(seed)))
                .map(|half| {
                    half.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
        });
        let [first, second] = halves;
        samples.push(first? + second?);
        say(&format!(
            "hour {hour}: {:?} living ones called dead",
            samples.values().last()
        ));
    }
    let met = samples.worst() == 0.0;
    Ok(Figure::new(
        format!("living nodes called dead in an hour, 50 nodes, 2 % loss, {hours} simulated hours"),
        "",
        samples,
    )
    .target("0", met)
    .how("any of them would move addresses; virtual time, half hours from fresh starts"))
}

/// Machines and what is on its way between them.
struct Net {
    now: Instant,
    machines: Vec<Membership>,
    /// When each wants to be looked at; entries may be stale.
    due: BTreeSet<(Instant, usize)>,
    known_due: Vec<Option<Instant>>,
    way: BTreeMap<(Instant, u64), (usize, SocketAddr, Vec<u8>)>,
    places: BTreeMap<SocketAddr, usize>,
    sequence: u64,
    random: u64,
    loss_per_mille: u64,
    /// Datagrams and octets, by node.
    sent: Vec<(u64, u64)>,
    /// Members told to be dead.
    deaths: u64,
}

fn address(index: usize) -> SocketAddr {
    let [.., high, low] = (index as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7946))
}

impl Net {
    fn new(count: usize, seed: u64, sealed: bool) -> Result<Self> {
        let now = Instant::now();
        let mut net = Self {
            now,
            machines: Vec::new(),
            due: BTreeSet::new(),
            known_due: vec![None; count],
            way: BTreeMap::new(),
            places: (0..count).map(|n| (address(n), n)).collect(),
            sequence: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            loss_per_mille: 0,
            sent: vec![(0, 0); count],
            deaths: 0,
        };
        let peers: BTreeSet<SocketAddr> = net.places.keys().copied().collect();
        for n in 0..count {
            let mut random = [0; 10];
            random[..8].copy_from_slice(&net.next().to_be_bytes());
            let boot = BootId::new(1_700_000_000_000 + n as u64, random);
            let (sealing, keys) = if sealed {
                (Sealing::Required, Keys::new([SECRET])?)
            } else {
                (Sealing::None, Keys::none())
            };
            let config = Config {
                sealing,
                ..Config::new(format!("node-{n}"), address(n), boot)
            };
            let seed = net.next();
            let mut machine = Membership::new(config, keys, seed, now)?;
            // As long as the record of a node with two interfaces.
            let told = machine.set_record(vec![n as u8; 24], now);
            told.ok().context("a short record")?;
            machine.set_peers(peers.clone(), now);
            net.machines.push(machine);
            net.drain(n);
        }
        Ok(net)
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Lets virtual time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrives = self.way.first_key_value().map(|((at, _), _)| *at);
            let due = self.due.first().map(|(at, _)| *at);
            let Some(next) = arrives.into_iter().chain(due).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if arrives.is_some_and(|at| at <= self.now) {
                if let Some((_, (to, from, bytes))) = self.way.pop_first() {
                    self.machines[to].handle_datagram(from, &bytes, self.now);
                    self.drain(to);
                }
            } else if let Some((at, node)) = self.due.pop_first()
                && self.known_due[node] == Some(at)
            {
                self.known_due[node] = None;
                self.machines[node].handle_timeout(self.now);
                self.drain(node);
            }
        }
        self.now = end;
    }

    fn drain(&mut self, node: usize) {
        while let Some(transmit) = self.machines[node].poll_transmit() {
            self.sent[node].0 += 1;
            self.sent[node].1 += transmit.bytes.len() as u64;
            let lost = self.next() % 1_000 < self.loss_per_mille;
            let Some(to) = self.places.get(&transmit.to).copied().filter(|_| !lost) else {
                continue;
            };
            let at = self.now + Duration::from_micros(100 + self.next() % 900);
            self.sequence += 1;
            let what = (to, address(node), transmit.bytes);
            self.way.insert((at, self.sequence), what);
        }
        while let Some(event) = self.machines[node].poll_event() {
            self.deaths += u64::from(matches!(event, Event::Down(_)));
        }
        let due = self.machines[node].poll_timeout();
        if due != self.known_due[node] {
            self.due.extend(due.map(|at| (at, node)));
            self.known_due[node] = due;
        }
    }
}
