//! Random forward tables, one step after the other from a seed: fronts come and go, nodes fail and return, sets change.
//! The lab's test uses this file too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use engine::forward::{ForwardTable, Front, FrontPort, Target, TargetSet, Traffic};
use engine::name::NamespacedName;
use engine::world::Protocol;

/// A walk through tables.
pub(crate) struct Walk {
    state: u64,
    nodes: BTreeMap<u8, (bool, u16)>,
    /// What is wanted now.
    pub table: ForwardTable,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            nodes: (0..3).map(|n| (n, (true, 1))).collect(),
            table: ForwardTable::default(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn address(&mut self) -> IpAddr {
        let n = 1 + self.below(6) as u16;
        match self.chance(60) {
            true => Ipv4Addr::new(192, 0, 2, n as u8).into(),
            false => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into(),
        }
    }

    fn front(&mut self) -> Front {
        Front {
            address: self.address(),
            protocol: [Protocol::Tcp, Protocol::Udp, Protocol::Sctp][self.below(3) as usize],
            port: 80 + self.below(4) as u16,
        }
    }

    /// The set of some nodes, or of all.
    fn targets(&mut self, v4: bool) -> TargetSet {
        let local = self.chance(25);
        let all = self.chance(60);
        let mut targets = Vec::new();
        for (n, (up, weight)) in self.nodes.clone() {
            if all || self.chance(50) {
                targets.push(Target {
                    node: format!("node-{n}"),
                    address: match v4 {
                        true => Ipv4Addr::new(10, 0, 0, n).into(),
                        false => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(),
                    },
                    up,
                    weight,
                    local: local && n == 0,
                });
            }
        }
        TargetSet {
            targets,
            by_source: self.chance(20),
        }
    }

    fn port(&mut self, v4: bool) -> FrontPort {
        let ranges = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "0.0.0.0/0",
            "172.16.0.0/12",
            "fd00::/8",
            "fd00:1::/32",
        ];
        let mut source_ranges = Vec::new();
        if self.chance(30) {
            for _ in 0..1 + self.below(4) {
                source_ranges.push(ranges[self.below(6) as usize].parse().expect("a range"));
            }
        }
        FrontPort {
            service: NamespacedName::new("default", format!("s{}", self.below(9)).as_str()),
            traffic: match self.chance(85) {
                true => Traffic::Front,
                false => Traffic::Node,
            },
            node_port: (!self.chance(5)).then(|| 30000 + self.below(99) as u16),
            targets: (!self.chance(5)).then(|| Arc::new(self.targets(v4))),
            source_ranges,
        }
    }

    /// Nodes changed: every set is told.
    fn refresh(&mut self) {
        let nodes = self.nodes.clone();
        let mut known: BTreeMap<TargetSet, Arc<TargetSet>> = BTreeMap::new();
        for port in self.table.ports.values_mut() {
            let Some(set) = &port.targets else { continue };
            let mut next = TargetSet::clone(set);
            next.targets.retain_mut(|target| {
                let number = target
                    .node
                    .trim_start_matches("node-")
                    .parse()
                    .expect("a number");
                let node: Option<&(bool, u16)> = nodes.get(&number);
                if let Some((up, weight)) = node {
                    (target.up, target.weight) = (*up, *weight);
                }
                node.is_some()
            });
            let next = known.entry(next.clone()).or_insert_with(|| Arc::new(next));
            port.targets = Some(Arc::clone(next));
        }
    }

    fn turn_node(&mut self) {
        let n = self.below(7) as u8;
        match (self.nodes.get_mut(&n), n % 3) {
            (Some(node), 0..=1) => node.0 = !node.0,
            (Some(node), _) if node.1 == 1 => node.1 = 3,
            (Some(_), _) => drop(self.nodes.remove(&n)),
            (None, _) => drop(self.nodes.insert(n, (true, 1))),
        }
        self.refresh();
    }

    fn turn_setting(&mut self) {
        match self.below(5) {
            0 => self.table.own_connections ^= true,
            1 => self.table.icmp_echo ^= true,
            2 if self.table.interfaces.is_empty() => {
                self.table.interfaces = ["eth0", "bond0.100"].map(str::to_owned).into();
            }
            2 => self.table.interfaces.clear(),
            3 if self.table.source_addresses.is_empty() => {
                let sources = ["192.0.2.200", "192.0.2.201", "fd00::200"];
                self.table.source_addresses =
                    sources.map(|a| a.parse().expect("an address")).into();
            }
            3 => drop(self.table.source_addresses.pop_last()),
            _ => {
                let address = self.address();
                if !self.table.closed.remove(&address) {
                    self.table.closed.insert(address);
                }
            }
        }
    }

    /// Changes something.
    pub(crate) fn step(&mut self) {
        match self.below(20) {
            0..=8 => {
                let front = self.front();
                let port = self.port(front.address.is_ipv4());
                self.table.ports.insert(front, port);
            }
            9..=12 => {
                let front = self.front();
                self.table.ports.remove(&front);
            }
            13..=16 => self.turn_node(),
            17 => self.turn_setting(),
            18 => {
                let n = self.below(7) as u8;
                let address = IpAddr::from([10, 0, 0, n]);
                if !self.table.dead.remove(&address) {
                    self.table.dead.insert(address);
                }
                let drain = Duration::from_secs(self.below(20));
                self.table.draining.insert(address, drain);
            }
            _ if self.chance(10) => self.table.ports.clear(),
            _ => {}
        }
    }
}
