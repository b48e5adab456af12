//! The network: one or two segments, each of two switches with a trunk between them.
//!
//! Owns the ports, what the switches have learned, the trunks, and what goes wrong on the way. Knows nothing of what is in
//! a frame beyond its two addresses. A partition is a trunk that is down; datagrams of the membership take the same
//! ports. Links of nodes are up or down in the node itself.

use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// Who is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Node { node: usize, ifindex: u32 },
    Host(usize),
}

/// One port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) end: End,
    pub(super) segment: usize,
    pub(super) switch: usize,
    pub(super) mac: Mac,
}

/// Where a switch has seen an address last; none: behind the trunk.
type Table = BTreeMap<Mac, (Option<usize>, Instant)>;

/// See the module.
pub(super) struct Lan {
    pub(super) ports: Vec<Port>,
    /// By segment: its trunk is up.
    pub(super) trunks: Vec<bool>,
    tables: Vec<[Table; 2]>,
    ageing: Duration,
    /// Frames and datagrams lost, of a thousand.
    pub(super) loss: usize,
    /// Delivered twice, of a thousand.
    pub(super) duplicates: usize,
    /// Further delay at random, so that later ones overtake earlier ones.
    pub(super) spread: Duration,
    /// Directed pairs of nodes between which nothing passes.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// The segment that carries the membership.
    pub(super) members: usize,
    /// The default gateway is there, on the first switch of the first segment.
    pub(super) gateway: bool,
    by_mac: BTreeMap<Mac, usize>,
    by_node: BTreeMap<(usize, usize), usize>,
}

/// The shortest way through a switch.
const LATENCY: Duration = Duration::from_micros(60);

impl Lan {
    pub(super) fn new(segments: usize, ageing: Duration) -> Self {
        Self {
            ports: Vec::new(),
            trunks: vec![true; segments],
            tables: (0..segments)
                .map(|_| [Table::new(), Table::new()])
                .collect(),
            ageing,
            loss: 0,
            duplicates: 0,
            spread: Duration::ZERO,
            cut: BTreeSet::new(),
            members: segments - 1,
            gateway: true,
            by_mac: BTreeMap::new(),
            by_node: BTreeMap::new(),
        }
    }

    pub(super) fn plug(&mut self, port: Port) -> usize {
        let index = self.ports.len();
        self.by_mac.insert(port.mac, index);
        if let End::Node { node, .. } = port.end {
            self.by_node.insert((node, port.segment), index);
        }
        self.ports.push(port);
        index
    }

    /// The port of a node on a segment.
    pub(super) fn port_of(&self, node: usize, segment: usize) -> Option<usize> {
        self.by_node.get(&(node, segment)).copied()
    }

    /// Who has a hardware address.
    pub(super) fn port_with(&self, mac: &Mac) -> Option<usize> {
        self.by_mac.get(mac).copied()
    }

    /// Takes a trunk down or up; what was learned through it is forgotten, as switches do when a link changes.
    pub(super) fn set_trunk(&mut self, segment: usize, up: bool) {
        self.trunks[segment] = up;
        for table in &mut self.tables[segment] {
            table.retain(|_, (port, _)| port.is_some());
        }
    }

    /// Whether two ports can reach each other at all.
    pub(super) fn joined(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.ports[one], &self.ports[other]);
        one.segment == other.segment && (one.switch == other.switch || self.trunks[one.segment])
    }

    /// Whether a datagram of the membership would find its way, losses and links aside.
    pub(super) fn carries(&self, from: usize, to: usize) -> bool {
        if self.cut.contains(&(from, to)) {
            return false;
        }
        match (
            self.port_of(from, self.members),
            self.port_of(to, self.members),
        ) {
            (Some(from), Some(to)) => self.joined(from, to),
            _ => false,
        }
    }

    /// Whether a node can reach the default gateway, its own link aside.
    pub(super) fn reaches_gateway(&self, node: usize) -> bool {
        let port = self.port_of(node, 0).map(|port| &self.ports[port]);
        self.gateway && port.is_some_and(|port| port.switch == 0 || self.trunks[0])
    }

    /// The ports a frame comes out of.
    pub(super) fn forward(
        &mut self,
        from: usize,
        frame: &[u8],
        now: Instant,
        out: &mut Vec<usize>,
    ) {
        let (Some(to), Some(source)) = (frame.first_chunk::<6>(), frame.get(6..12)) else {
            return;
        };
        let source: Mac = source.try_into().expect("six bytes");
        let Port {
            segment, switch, ..
        } = self.ports[from];
        let trunk = self.trunks[segment];
        self.tables[segment][switch].insert(source, (Some(from), now));
        if trunk {
            self.tables[segment][1 - switch].insert(source, (None, now));
        }
        let known = |table: &Table| {
            let (port, seen) = table.get(to)?;
            (to[0] & 1 == 0 && *seen + self.ageing > now).then_some(*port)
        };
        let here = known(&self.tables[segment][switch]);
        let there = known(&self.tables[segment][1 - switch]);
        for (index, port) in self.ports.iter().enumerate() {
            if index == from || port.segment != segment {
                continue;
            }
            let passes = if port.switch == switch {
                here.is_none_or(|known| known == Some(index))
            } else {
                trunk
                    && here.is_none_or(|known| known.is_none())
                    && there.is_none_or(|known| known == Some(index))
            };
            if passes {
                out.push(index);
            }
        }
    }

    /// When copies of something that is sent now arrive: none, one or two.
    pub(super) fn arrivals(&self, random: &mut Random, out: &mut Vec<Duration>) {
        let copies = 1 + usize::from(random.chance(self.duplicates));
        for _ in 0..copies {
            if random.chance(self.loss) {
                continue;
            }
            let further = Duration::from_micros(200) + self.spread;
            out.push(LATENCY + random.between(Duration::ZERO, further));
        }
    }
}
