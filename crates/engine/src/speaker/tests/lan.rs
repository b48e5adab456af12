//! Speakers with their wires on one virtual segment, one virtual API server, one clock.
//!
//! Everything runs in one thread: at each step the earliest of deliveries and deadlines.
//! Frames reach every interface of the segment, datagrams their address.

mod api;

pub(crate) use api::Api;

use crate::elect::Placement;
use crate::elect::tests::build::{Build, NAMESPACE};
use crate::facts::{Facts, Interface};
use crate::speaker::{Discovery, MemberKeys, Speaker, SpeakerConfig};
use crate::wire::{Action, Event as WireEvent, Input, Transmit, Wire, WireConfig};
use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The one instant that is taken from the clock; only differences matter.
#[allow(
    clippy::disallowed_methods,
    reason = "an instant cannot be made otherwise"
)]
pub(crate) fn base() -> Instant {
    Instant::now()
}

pub(crate) const MS: Duration = Duration::from_millis(1);
const LATENCY: Duration = Duration::from_micros(200);
const CLIENT: [u8; 6] = [2, 0xcc, 0, 0, 0, 1];

/// A frame that somebody sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) host: usize,
    pub(crate) ifindex: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: l2::TransmitKind,
}

/// A node.
pub(crate) struct Host {
    pub(crate) speaker: Speaker,
    pub(crate) wire: Wire,
    pub(crate) interfaces: BTreeMap<u32, Interface>,
    /// It tells the others that it has these too.
    pub(crate) says: BTreeMap<u32, Interface>,
    pub(crate) alive: bool,
    pub(crate) open: BTreeSet<u32>,
    /// Opening sockets of these interfaces fails.
    pub(crate) broken: BTreeSet<u32>,
    pub(crate) events: Vec<WireEvent>,
    /// It has a default gateway, and that is in reach.
    pub(crate) gateway: Option<bool>,
    paused_until: Option<Instant>,
}

enum Delivery {
    Datagram {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Frame {
        host: usize,
        ifindex: u32,
        bytes: Vec<u8>,
    },
}

pub(crate) struct Lan {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) api: Api,
    pub(crate) world: World,
    pub(crate) frames: Vec<Seen>,
    /// How the speakers that boot pick the owner.
    pub(crate) placement: Placement,
    /// Nothing passes between these hosts, in this direction.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    waiting: BTreeMap<(Instant, u64), Delivery>,
    count: u64,
}

pub(crate) fn interface(host: usize, index: u32) -> Interface {
    let octet = u8::try_from(host).unwrap();
    Interface {
        index,
        name: format!("eth{}", index - 2),
        mac: Some([2, 0, 0, octet, 0, u8::try_from(index).unwrap()]),
        ethernet: true,
        up: true,
        carrier: true,
        broadcast: true,
        ipv6: true,
        ..Interface::default()
    }
}

pub(crate) fn member_address(host: usize) -> SocketAddr {
    let octet = u8::try_from(host + 1).unwrap();
    SocketAddr::from((Ipv4Addr::new(172, 16, 0, octet), 7946))
}

fn listed(peers: &BTreeSet<SocketAddr>) -> Discovery {
    Discovery::Static {
        peers: peers.clone(),
        keys: Some(MemberKeys(vec![b"a secret of the tests".to_vec()])),
    }
}

/// Every object of a world, as first lists.
pub(crate) fn listing(world: &World) -> Vec<Change> {
    fn all<T: Clone + Object + PartialEq>(store: &Store<T>) -> Delta<T> {
        Delta::Reset {
            objects: store.iter().cloned().collect(),
            epoch: 0,
        }
    }
    vec![
        Change::Namespace(all(&world.namespaces)),
        Change::Node(all(&world.nodes)),
        Change::Pool(all(&world.pools)),
        Change::L2Advertisement(all(&world.l2_advertisements)),
        Change::BgpAdvertisement(all(&world.bgp_advertisements)),
        Change::BgpPeer(all(&world.bgp_peers)),
        Change::BfdProfile(all(&world.bfd_profiles)),
        Change::Community(all(&world.communities)),
        Change::Service(all(&world.services)),
        Change::EndpointSlice(all(&world.endpoint_slices)),
        Change::Pod(all(&world.pods)),
        Change::Secret(all(&world.secrets)),
        Change::ConfigMap(all(&world.config_maps)),
        Change::L2Status(all(&world.l2_statuses)),
        Change::BgpStatus(all(&world.bgp_statuses)),
        Change::SessionState(all(&world.session_states)),
        Change::FrontProfile(all(&world.front_profiles)),
        Change::ConfigurationState(all(&world.configuration_states)),
    ]
}

pub(crate) fn arp_request(target: &str) -> Vec<u8> {
    let IpAddr::V4(target) = target.parse().unwrap() else {
        panic!("ARP is for IPv4");
    };
    let mut frame = vec![0xff; 6];
    frame.extend(CLIENT);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(CLIENT);
    frame.extend([10, 0, 0, 200]);
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

impl Lan {
    /// Hosts `n0`, `n1`, … on one segment with interface eth0 (index 2), members by a list,
    /// sharing a key; nothing has run yet.
    pub(crate) fn new(build: &Build, hosts: usize, seed: u64) -> Self {
        Self::placed(build, hosts, seed, Placement::Fair)
    }

    /// The same with a placement.
    pub(crate) fn placed(build: &Build, hosts: usize, seed: u64, placement: Placement) -> Self {
        let now = base();
        let peers: BTreeSet<SocketAddr> = (0..hosts).map(member_address).collect();
        let mut lan = Self {
            now,
            hosts: Vec::new(),
            api: Api::default(),
            world: build.world.clone(),
            frames: Vec::new(),
            placement,
            cut: BTreeSet::new(),
            waiting: BTreeMap::new(),
            count: 0,
        };
        for host in 0..hosts {
            let made = lan.boot(host, listed(&peers), seed);
            lan.hosts.push(made);
        }
        lan
    }

    /// The process of a host is killed, if it lives, and starts again.
    pub(crate) fn restart(&mut self, host: usize) {
        let peers = (0..self.hosts.len()).map(member_address).collect();
        let seed = self.count;
        self.hosts[host] = self.boot(host, listed(&peers), seed);
    }

    /// Nothing passes between two groups of hosts any more.
    pub(crate) fn part(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.cut.extend([(*a, *b), (*b, *a)]);
            }
        }
    }

    /// A node that has just started and knows the lists.
    pub(crate) fn boot(&mut self, host: usize, discovery: Discovery, seed: u64) -> Host {
        let name = format!("n{host}");
        self.count += 1;
        let mut boot = [0u8; 16];
        boot[..8].copy_from_slice(&self.count.to_be_bytes());
        boot[8] = u8::try_from(host).unwrap();
        let own = (discovery != Discovery::Off).then(|| {
            members::Config::new(
                name.clone(),
                member_address(host),
                members::BootId::from_bytes(boot),
            )
        });
        let mut config = SpeakerConfig::new(name.clone(), NAMESPACE);
        config.discovery = discovery;
        config.placement = self.placement;
        let seed = seed ^ self.count;
        let mut speaker = Speaker::new(config, seed, self.now);
        for change in listing(&self.world) {
            speaker.handle_change(change);
        }
        let wire = Wire::new(WireConfig::new(name, own), seed, self.now).unwrap();
        Host {
            speaker,
            wire,
            interfaces: BTreeMap::from([(2, interface(host, 2))]),
            says: BTreeMap::new(),
            alive: true,
            open: BTreeSet::new(),
            broken: BTreeSet::new(),
            events: Vec::new(),
            gateway: None,
            paused_until: None,
        }
    }

    /// Tells every speaker, and the world, of a change.
    pub(crate) fn change(&mut self, change: Change) {
        self.world.apply(change.clone());
        for host in &mut self.hosts {
            host.speaker.handle_change(change.clone());
        }
    }

    pub(crate) fn kill(&mut self, host: usize) {
        self.hosts[host].alive = false;
    }

    /// The process is stopped for a while and goes on; what comes meanwhile waits.
    pub(crate) fn pause(&mut self, host: usize, pause: Duration) {
        self.hosts[host].paused_until = Some(self.now + pause);
    }

    /// A client asks everybody.
    pub(crate) fn ask(&mut self, target: &str) {
        let frame = arp_request(target);
        self.broadcast(None, 0, &frame);
    }

    /// One of many clients asks everybody, so that no sender's budget counts.
    pub(crate) fn ask_as(&mut self, target: &str, client: u16) {
        let mut frame = arp_request(target);
        let [high, low] = client.to_be_bytes();
        for at in [8, 24] {
            frame[at..at + 4].copy_from_slice(&[0xcc, 1, high, low]);
        }
        self.broadcast(None, 0, &frame);
    }

    /// A station says something to everybody.
    pub(crate) fn say(&mut self, frame: &[u8]) {
        self.broadcast(None, 0, frame);
    }

    /// Who has replied for an address since the frames were last cleared.
    pub(crate) fn repliers(&self, target: &str) -> Vec<usize> {
        let target: IpAddr = target.parse().unwrap();
        let replies = self
            .frames
            .iter()
            .filter(|f| f.kind == l2::TransmitKind::Reply(target));
        replies.map(|frame| frame.host).collect()
    }

    /// Asks, waits a little, and tells who replied.
    pub(crate) fn resolve(&mut self, target: &str) -> Vec<usize> {
        self.frames.clear();
        self.ask(target);
        self.run(2 * MS);
        self.repliers(target)
    }

    /// The first gratuitous frame for an address after an instant, by anybody but `not`.
    pub(crate) fn gratuitous_after(
        &self,
        target: &str,
        after: Instant,
        not: usize,
    ) -> Option<&Seen> {
        let kind = l2::TransmitKind::Gratuitous(target.parse().unwrap());
        self.frames
            .iter()
            .find(|f| f.kind == kind && f.at >= after && f.host != not)
    }

    /// Who means to answer for an address.
    pub(crate) fn owners(&self, target: &str) -> Vec<usize> {
        let target: IpAddr = target.parse().unwrap();
        let answers = |host: &Host| {
            host.alive
                && host
                    .wire
                    .facts()
                    .announced
                    .values()
                    .any(|set| set.contains(&target))
        };
        (0..self.hosts.len())
            .filter(|at| answers(&self.hosts[*at]))
            .collect()
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for host in 0..self.hosts.len() {
            self.drive(host);
        }
        let mut steps = 0u32;
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            steps += 1;
            assert!(steps < 2_000_000, "the machines never go idle");
            self.now = self.now.max(next);
            while let Some((key, _)) = self
                .waiting
                .first_key_value()
                .filter(|(k, _)| k.0 <= self.now)
            {
                let key = *key;
                let delivery = self.waiting.remove(&key).unwrap();
                self.deliver(delivery);
            }
            for host in 0..self.hosts.len() {
                if self.running(host) && self.deadline(host).is_some_and(|at| at <= self.now) {
                    let now = self.now;
                    self.hosts[host].wire.handle_timeout(now);
                    self.hosts[host].speaker.handle_timeout(now);
                    self.drive(host);
                }
            }
        }
        self.now = end;
    }

    fn running(&self, host: usize) -> bool {
        let host = &self.hosts[host];
        host.alive && host.paused_until.is_none_or(|until| until <= self.now)
    }

    fn deadline(&self, host: usize) -> Option<Instant> {
        let host = &self.hosts[host];
        let own = [host.wire.poll_timeout(), host.speaker.poll_timeout()]
            .into_iter()
            .flatten()
            .min()?;
        Some(host.paused_until.map_or(own, |until| own.max(until)))
    }

    fn next_instant(&self) -> Option<Instant> {
        let waiting = self.waiting.first_key_value().map(|(key, _)| key.0);
        let alive = (0..self.hosts.len()).filter(|host| self.hosts[*host].alive);
        alive
            .filter_map(|host| self.deadline(host))
            .chain(waiting)
            .min()
    }

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        match delivery {
            Delivery::Datagram { to, from, bytes } => {
                let find = |a| (0..self.hosts.len()).find(|host| member_address(*host) == a);
                let Some(host) = find(to) else {
                    return;
                };
                if find(from).is_some_and(|from| self.cut.contains(&(from, host))) {
                    return;
                }
                if self.hosts[host].alive && !self.running(host) {
                    let until = self.hosts[host].paused_until.unwrap();
                    self.post(until, Delivery::Datagram { to, from, bytes });
                } else if self.hosts[host].alive {
                    let input = Input::Datagram {
                        from,
                        bytes: &bytes,
                    };
                    self.hosts[host].wire.handle_input(input, now);
                    self.drive(host);
                }
            }
            Delivery::Frame {
                host,
                ifindex,
                bytes,
            } => {
                if self.hosts[host].alive && !self.running(host) {
                    let until = self.hosts[host].paused_until.unwrap();
                    self.post(
                        until,
                        Delivery::Frame {
                            host,
                            ifindex,
                            bytes,
                        },
                    );
                } else if self.hosts[host].alive && self.hosts[host].open.contains(&ifindex) {
                    let meta = l2::FrameMeta {
                        ifindex,
                        outgoing: false,
                        vlan: None,
                    };
                    let input = Input::Frame {
                        ifindex,
                        bytes: &bytes,
                        meta,
                    };
                    self.hosts[host].wire.handle_input(input, now);
                    self.drive(host);
                }
            }
        }
    }

    fn post(&mut self, at: Instant, delivery: Delivery) {
        self.count += 1;
        self.waiting.insert((at, self.count), delivery);
    }

    fn broadcast(&mut self, from: Option<usize>, ifindex: u32, bytes: &[u8]) {
        let at = self.now + LATENCY;
        let mut to = Vec::new();
        for (host, other) in self.hosts.iter().enumerate() {
            to.extend(other.interfaces.keys().map(|index| (host, *index)));
        }
        for (host, index) in to
            .into_iter()
            .filter(|to| Some(to.0) != from || to.1 != ifindex)
            .filter(|to| from.is_none_or(|from| !self.cut.contains(&(from, to.0))))
            .collect::<Vec<_>>()
        {
            self.post(
                at,
                Delivery::Frame {
                    host,
                    ifindex: index,
                    bytes: bytes.to_vec(),
                },
            );
        }
    }

    /// One turn of a host's loops, until nothing moves.
    fn drive(&mut self, host: usize) {
        if !self.running(host) {
            return;
        }
        for _ in 0..100 {
            let now = self.now;
            let it = &mut self.hosts[host];
            let mut said = it.interfaces.clone();
            said.extend(it.says.clone());
            it.speaker.handle_facts(Facts {
                interfaces: Some(said),
                members: it.wire.facts().members.clone(),
                announced: it.wire.facts().announced.clone(),
                conflicts: it.wire.facts().conflicts.clone(),
                ..Facts::default()
            });
            it.speaker.turn(now);
            let before = it.wire.facts().clone();
            it.wire.set_interfaces(&it.interfaces, now);
            it.wire.set_gateway(it.gateway.is_some(), now);
            it.wire.set_desired(it.speaker.desired().clone(), now);
            self.act(host);
            self.send(host);
            let wrote = self.write(host);
            if !wrote && *self.hosts[host].wire.facts() == before {
                return;
            }
        }
        panic!("host {host} never settles");
    }

    fn act(&mut self, host: usize) {
        let now = self.now;
        let it = &mut self.hosts[host];
        while let Some(action) = it.wire.poll_action() {
            match action {
                Action::Open { ifindex, .. } if it.broken.contains(&ifindex) => {
                    it.wire.socket_failed(ifindex, "no permission", now);
                }
                Action::Open { ifindex, .. } => {
                    it.open.insert(ifindex);
                    it.wire.opened(ifindex, now);
                }
                Action::Close { ifindex } => {
                    it.open.remove(&ifindex);
                }
                Action::ProbeGateway => {
                    if it.gateway == Some(true) {
                        it.wire.gateway_heard(now);
                    }
                }
                Action::SetFilter { ifindex, .. }
                | Action::JoinGroup { ifindex, .. }
                | Action::LeaveGroup { ifindex, .. } => assert!(it.open.contains(&ifindex)),
            }
        }
        while let Some(event) = it.wire.poll_event() {
            it.events.push(event);
        }
    }

    fn send(&mut self, host: usize) {
        while let Some(transmit) = self.hosts[host].wire.poll_transmit() {
            match transmit {
                Transmit::Datagram { to, bytes } => {
                    let at = self.now + LATENCY;
                    self.post(
                        at,
                        Delivery::Datagram {
                            to,
                            from: member_address(host),
                            bytes,
                        },
                    );
                }
                Transmit::Frame {
                    ifindex,
                    bytes,
                    kind,
                } => {
                    assert!(
                        self.hosts[host].open.contains(&ifindex),
                        "sent on a closed interface"
                    );
                    self.frames.push(Seen {
                        at: self.now,
                        host,
                        ifindex,
                        bytes: bytes.clone(),
                        kind,
                    });
                    self.broadcast(Some(host), ifindex, &bytes);
                }
            }
        }
    }

    fn write(&mut self, host: usize) -> bool {
        let mut wrote = false;
        while let Some((ticket, write)) = self.hosts[host].speaker.poll_write(self.now) {
            wrote = true;
            let (outcome, change) = self.api.carry_out(write);
            let now = self.now;
            self.hosts[host]
                .speaker
                .handle_outcome(ticket, outcome, now);
            change.into_iter().for_each(|change| self.change(change));
        }
        wrote
    }
}
