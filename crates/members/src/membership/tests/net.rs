//! A virtual network of real machines: a queue with delay, loss, duplication and reordering, and a clock that jumps to the next
//! deadline. Everything follows from the seed. Does not judge: the tests do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::random::SplitMix;
use crate::{BootId, Config, Event, Keys, Membership, Standing, Tuning};

/// The one secret most tests share.
pub(crate) const SECRET: &[u8] = b"a secret of more than 16 bytes";

pub(crate) struct Node {
    pub(crate) machine: Option<Membership>,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) log: Vec<(Instant, Event)>,
    deadline: Option<Instant>,
    /// Until then nothing is given to it and it is asked nothing: a stopped process.
    stopped_until: Option<Instant>,
    inbox: Vec<(SocketAddr, Vec<u8>)>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) loss_per_mille: usize,
    pub(crate) duplicate_per_mille: usize,
    /// Directed pairs of nodes between which nothing passes.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Datagrams handed to the network, by node.
    pub(crate) sent: Vec<u64>,
    /// Bytes handed to the network, by node.
    pub(crate) sent_bytes: Vec<u64>,
    /// The longest datagram.
    pub(crate) longest: usize,
    /// How long a datagram is on its way, in microseconds: at least, and how much more at random.
    pub(crate) delay_micros: (u64, usize),
    /// Bytes from one node to another in each tenth of a second, when counted.
    pub(crate) pairs: Option<BTreeMap<(usize, SocketAddr, u64), usize>>,
    /// Every datagram sent, when recording.
    pub(crate) capture: Option<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
    pub(crate) trace: u64,
    queue: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    places: BTreeMap<SocketAddr, usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    random: SplitMix,
    sequence: u64,
    boots: u64,
    /// In the clear: for measuring, where the seal costs time and changes nothing.
    pub(crate) plain: bool,
}

/// The one reading of the clock: an origin to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to start from"
)]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

pub(crate) fn address(index: usize) -> SocketAddr {
    let [high, low] = u16::try_from(index + 1).expect("few nodes").to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7946))
}

pub(crate) fn keys(secrets: &[&[u8]]) -> Keys {
    Keys::new(secrets).expect("test secrets are long enough")
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Net {
    /// `count` nodes that do not exist yet.
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        let start = origin();
        let nodes: Vec<Node> = (0..count)
            .map(|index| Node::vacant(format!("node-{index}"), address(index)))
            .collect();
        let places = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (node.address, index))
            .collect();
        Self {
            now: start,
            start,
            sent: vec![0; count],
            sent_bytes: vec![0; count],
            longest: 0,
            delay_micros: (100, 900),
            pairs: None,
            nodes,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            cut: BTreeSet::new(),
            capture: None,
            trace: 0,
            queue: BTreeMap::new(),
            places,
            deadlines: BTreeSet::new(),
            random: SplitMix::new(seed),
            sequence: 0,
            boots: 0,
            plain: false,
        }
    }

    /// `count` nodes started at once, each told all addresses and with its name as record, run until everybody knows everybody.
    pub(crate) fn formed(count: usize, seed: u64, loss_per_mille: usize) -> Self {
        let mut net = Self::new(count, seed);
        net.loss_per_mille = loss_per_mille;
        (0..count).for_each(|index| net.boot(index));
        assert!(
            net.run_until(Duration::from_secs(20), Self::everybody_knows),
            "seed {seed}: no full view in 20 s"
        );
        net
    }

    pub(crate) fn config(&mut self, index: usize) -> Config {
        self.boots += 1;
        let millis = 1_700_000_000_000
            + u64::try_from((self.now - self.start).as_millis()).expect("short")
            + self.boots;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let node = &self.nodes[index];
        Config {
            tuning: Tuning::default(),
            sealing: if self.plain {
                crate::Sealing::None
            } else {
                crate::Sealing::Required
            },
            ..Config::new(node.name.clone(), node.address, BootId::new(millis, random))
        }
    }

    /// Starts a node, told all addresses, with its name as record.
    pub(crate) fn boot(&mut self, index: usize) {
        let config = self.config(index);
        let keys = if self.plain {
            Keys::none()
        } else {
            keys(&[SECRET])
        };
        self.boot_with(index, config, keys);
    }

    pub(crate) fn boot_with(&mut self, index: usize, config: Config, keys: Keys) {
        let seed = self.random.next();
        let record = format!("record of {}", config.name).into_bytes();
        let mut machine =
            Membership::new(config, keys, seed, self.now).expect("a sound configuration");
        machine
            .set_record(record, self.now)
            .expect("a short record");
        machine.set_peers(self.places.keys().copied().collect(), self.now);
        self.nodes[index].machine = Some(machine);
        self.nodes[index].stopped_until = None;
        self.nodes[index].inbox.clear();
        self.drain(index);
    }

    /// Gives a place another address, as if the node had moved.
    pub(crate) fn move_to(&mut self, index: usize, address: SocketAddr) {
        self.places.remove(&self.nodes[index].address);
        self.places.insert(address, index);
        self.nodes[index].address = address;
    }

    /// The process is gone without a word.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].machine = None;
        self.drain(index);
    }

    /// The process is stopped and goes on later; what arrives meanwhile waits in its socket.
    pub(crate) fn stop_for(&mut self, index: usize, pause: Duration) {
        let until = self.now + pause;
        self.nodes[index].stopped_until = Some(until);
        self.set_deadline(index, Some(until));
    }

    pub(crate) fn machine(&self, index: usize) -> &Membership {
        self.nodes[index].machine.as_ref().expect("the node runs")
    }

    /// Does something with a machine and takes what it wants done.
    pub(crate) fn with<R>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Membership, Instant) -> R,
    ) -> R {
        let now = self.now;
        let result = act(
            self.nodes[index].machine.as_mut().expect("the node runs"),
            now,
        );
        self.drain(index);
        result
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|index| self.nodes[*index].machine.is_some())
            .collect()
    }

    pub(crate) fn everybody_knows(&self) -> bool {
        let count = self.running().len();
        self.running()
            .into_iter()
            .all(|index| self.machine(index).members().len() == count - 1)
    }

    /// Every node has every other's record as it was set at the start.
    pub(crate) fn everybody_has_records(&self) -> bool {
        self.everybody_knows()
            && self.running().into_iter().all(|index| {
                let members = self.machine(index).members();
                members
                    .iter()
                    .all(|(name, member)| *member.record == *format!("record of {name}").as_bytes())
            })
    }

    pub(crate) fn clear_logs(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.log.clear());
    }

    /// Events of a node since a moment.
    pub(crate) fn events_since(&self, index: usize, since: Instant) -> Vec<Event> {
        self.nodes[index]
            .log
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, event)| event.clone())
            .collect()
    }

    /// When a node told an event, counted from `since`.
    pub(crate) fn told(&self, index: usize, since: Instant, wanted: &Event) -> Option<Duration> {
        self.nodes[index]
            .log
            .iter()
            .find(|(at, event)| *at >= since && event == wanted)
            .map(|(at, _)| *at - since)
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
        self.running()
            .into_iter()
            .for_each(|index| self.check(index));
    }

    /// What is always true: while it takes part, the member list is foca's active set.
    fn check(&self, index: usize) {
        let machine = self.machine(index);
        if machine.standing() == Standing::Active {
            let active: BTreeMap<String, _> = machine
                .foca
                .iter_members()
                .map(|member| (member.id().name.to_string(), member.id().boot))
                .collect();
            let told: BTreeMap<String, _> = machine
                .members()
                .iter()
                .map(|(name, member)| (name.clone(), member.boot))
                .collect();
            assert_eq!(active, told, "node-{index}");
        }
        assert_eq!(machine.counters().foca_errors, 0, "node-{index}");
    }

    /// Runs until the condition holds (checked every 5 ms); false when it did not within `limit`.
    pub(crate) fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !condition(self) {
            if self.now >= end {
                return false;
            }
            self.run(ms(5));
        }
        true
    }

    /// Puts a datagram on the wire as it is.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.sequence += 1;
        self.queue.insert(
            (self.now + Duration::from_micros(200), self.sequence),
            (from, to, bytes),
        );
    }

    fn step(&mut self, end: Instant) -> bool {
        let datagram = self.queue.first_key_value().map(|((at, _), _)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let Some(next) = datagram
            .into_iter()
            .chain(deadline)
            .min()
            .filter(|next| *next <= end)
        else {
            return false;
        };
        self.now = self.now.max(next);
        if datagram == Some(next) {
            let (_, (from, to, bytes)) = self.queue.pop_first().expect("just seen");
            self.deliver(from, to, bytes);
        } else {
            let (_, index) = self.deadlines.pop_first().expect("just seen");
            self.nodes[index].deadline = None;
            self.wake(index);
        }
        true
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let Some(index) = self.places.get(&to).copied() else {
            return;
        };
        if self.nodes[index].machine.is_none() {
            return;
        }
        if self.nodes[index].stopped_until.is_some() {
            self.nodes[index].inbox.push((from, bytes));
            return;
        }
        self.with(index, |machine, now| {
            machine.handle_datagram(from, &bytes, now)
        });
    }

    fn wake(&mut self, index: usize) {
        if self.nodes[index].machine.is_none() {
            return;
        }
        if self.nodes[index].stopped_until.take().is_some() {
            for (from, bytes) in std::mem::take(&mut self.nodes[index].inbox) {
                self.with(index, |machine, now| {
                    machine.handle_datagram(from, &bytes, now)
                });
            }
        }
        self.with(index, Membership::handle_timeout);
    }

    fn drain(&mut self, index: usize) {
        let mut out = Vec::new();
        let now = self.now;
        let node = &mut self.nodes[index];
        let deadline = match &mut node.machine {
            None => None,
            Some(machine) => {
                while let Some(transmit) = machine.poll_transmit() {
                    out.push(transmit);
                }
                while let Some(event) = machine.poll_event() {
                    self.trace = fold(self.trace, format!("{index}{event:?}").as_bytes());
                    node.log.push((now, event));
                }
                machine.poll_timeout()
            }
        };
        let from = node.address;
        if node.stopped_until.is_none() {
            self.set_deadline(index, deadline);
        }
        for transmit in out {
            self.trace = fold(self.trace, &transmit.bytes);
            self.sent[index] += 1;
            self.sent_bytes[index] += transmit.bytes.len() as u64;
            self.longest = self.longest.max(transmit.bytes.len());
            if let Some(pairs) = &mut self.pairs {
                let tenth = (now - self.start).as_millis() as u64 / 100;
                *pairs.entry((index, transmit.to, tenth)).or_default() += transmit.bytes.len();
            }
            if let Some(capture) = &mut self.capture {
                capture.push((from, transmit.to, transmit.bytes.clone()));
            }
            self.carry(from, transmit.to, transmit.bytes);
        }
    }

    fn carry(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        assert!(self.queue.len() < 200_000, "the network is flooded");
        if let (Some(source), Some(target)) = (self.places.get(&from), self.places.get(&to))
            && self.cut.contains(&(*source, *target))
        {
            return;
        }
        let copies = 1 + usize::from(self.random.below(1000) < self.duplicate_per_mille);
        for _ in 0..copies {
            if self.random.below(1000) < self.loss_per_mille {
                continue;
            }
            // Between 0.1 and 1 ms unless told otherwise: later datagrams overtake earlier ones.
            let (least, spread) = self.delay_micros;
            let delay = Duration::from_micros(least + self.random.below(spread) as u64);
            self.sequence += 1;
            self.queue
                .insert((self.now + delay, self.sequence), (from, to, bytes.clone()));
        }
    }

    fn set_deadline(&mut self, index: usize, deadline: Option<Instant>) {
        if let Some(old) = self.nodes[index].deadline.take() {
            self.deadlines.remove(&(old, index));
        }
        self.nodes[index].deadline = deadline;
        if let Some(at) = deadline {
            self.deadlines.insert((at, index));
        }
    }
}

impl Node {
    fn vacant(name: String, address: SocketAddr) -> Self {
        Self {
            machine: None,
            name,
            address,
            log: Vec::new(),
            deadline: None,
            stopped_until: None,
            inbox: Vec::new(),
        }
    }
}

/// FNV-1a, only to compare two runs.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
