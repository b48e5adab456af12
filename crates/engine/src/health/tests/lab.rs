//! A machine with nodes that answer as they are told, in virtual time.

use super::super::*;
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub(super) const MS: fn(u64) -> Duration = Duration::from_millis;

/// The one look at a clock: instants cannot be made from nothing.
#[allow(clippy::disallowed_methods, reason = "an Instant has no constructor")]
pub(super) fn base() -> Instant {
    Instant::now()
}

pub(super) fn web() -> NamespacedName {
    NamespacedName::new("default", "web")
}

/// How a node behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// 10256 and health ports answer well.
    Serves,
    /// 10256: 503 with the body given.
    Says(Answer),
    /// Its kernel refuses everything.
    Refuses,
    /// 10256 is refused; NodePorts of these ports fail, the others are connected.
    OnlyNodePorts(Vec<u16>),
    /// Nothing comes back.
    Silent,
    /// No way there.
    NoWay,
    /// Answers after this long.
    Slow(Duration),
}

pub(super) fn answer(status: u16) -> Answer {
    Answer {
        status,
        ..Answer::default()
    }
}

/// What kube-proxy says, as recorded in design/health.md.
pub(super) fn proxy(status: u16, eligible: bool, v4: bool, v6: bool) -> Answer {
    Answer {
        eligible: Some(eligible),
        healthy_v4: Some(v4),
        healthy_v6: Some(v6),
        ..answer(status)
    }
}

pub(super) fn local(status: u16, service: &NamespacedName, endpoints: u32) -> Answer {
    Answer {
        service: Some(service.clone()),
        endpoints: Some(endpoints),
        proxy_healthy: Some(true),
        weight: Some(endpoints),
        ..answer(status)
    }
}

pub(super) struct Lab {
    pub(super) health: Health,
    pub(super) now: Instant,
    pub(super) wanted: HealthDesired,
    pub(super) does: BTreeMap<IpAddr, Does>,
    /// What a health port of a Service answers, by node address and port; else as the node.
    pub(super) ports: BTreeMap<(IpAddr, u16), ProbeResult>,
    flying: BTreeMap<(Instant, ProbeId), ProbeResult>,
    pub(super) probes: Vec<(Instant, Probe)>,
    pub(super) events: Vec<(Instant, HealthEvent)>,
}

pub(super) fn address(index: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, index])
}

impl Lab {
    /// Nodes n1, n2, … of IPv4, all serving; nothing probed yet.
    pub(super) fn new(nodes: u8) -> Self {
        let now = base();
        let mut wanted = HealthDesired::default();
        let mut does = BTreeMap::new();
        for index in 1..=nodes {
            let node = NodeWanted {
                addresses: BTreeMap::from([(Family::V4, address(index))]),
                ..NodeWanted::default()
            };
            wanted.nodes.insert(format!("n{index}"), node);
            does.insert(address(index), Does::Serves);
        }
        Self {
            health: Health::new(7, now),
            now,
            wanted,
            does,
            ports: BTreeMap::new(),
            flying: BTreeMap::new(),
            probes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// After a second of good health.
    pub(super) fn healthy(nodes: u8) -> Self {
        let mut lab = Self::new(nodes);
        lab.apply();
        lab.run(MS(1_500));
        lab.events.clear();
        lab.probes.clear();
        lab
    }

    pub(super) fn apply(&mut self) {
        self.health
            .set_desired(Arc::new(self.wanted.clone()), self.now);
        self.drive();
    }

    pub(super) fn node(&mut self, name: &str) -> &mut NodeWanted {
        self.wanted.nodes.get_mut(name).expect("a node of the lab")
    }

    /// A Local Service on every node, with health port 32000.
    pub(super) fn local_service(&mut self, endpoints: u32) {
        let check = ServiceCheck {
            check: Check::Local { port: 32_000 },
            nodes: self.wanted.nodes.keys().cloned().collect(),
            settings: Settings::default(),
        };
        self.wanted.services.insert(web(), check);
        for address in self.does.keys() {
            let told = ProbeResult::Answer(local(200, &web(), endpoints));
            self.ports.insert((*address, 32_000), told);
        }
    }

    fn answers(&self, probe: &Probe) -> (Duration, ProbeResult) {
        let ip = probe.target.ip();
        let quick = MS(1);
        if let Some(told) = self.ports.get(&(ip, probe.target.port())) {
            return (quick, told.clone());
        }
        let well = || match &probe.kind {
            ProbeKind::Get { path, .. } if &**path == "/livez" => ProbeResult::Answer(answer(200)),
            ProbeKind::Get { .. } => ProbeResult::Answer(proxy(200, true, true, true)),
            ProbeKind::Connect => ProbeResult::Connected,
        };
        match self.does.get(&ip).unwrap_or(&Does::Silent) {
            Does::Serves => (quick, well()),
            Does::Says(answer) => (quick, ProbeResult::Answer(answer.clone())),
            Does::Refuses => (quick, ProbeResult::Refused),
            Does::OnlyNodePorts(bad) => match &probe.kind {
                ProbeKind::Connect if !bad.contains(&probe.target.port()) => {
                    (quick, ProbeResult::Connected)
                }
                _ => (quick, ProbeResult::Refused),
            },
            Does::Silent => (probe.timeout, ProbeResult::Timeout),
            Does::NoWay => (quick, ProbeResult::Unreachable("no route to host".into())),
            Does::Slow(after) if *after >= probe.timeout => (probe.timeout, ProbeResult::Timeout),
            Does::Slow(after) => (*after, well()),
        }
    }

    fn drive(&mut self) {
        self.health.handle_timeout(self.now);
        while let Some(probe) = self.health.poll_probe(self.now) {
            let (after, result) = self.answers(&probe);
            self.flying.insert((self.now + after, probe.id), result);
            self.probes.push((self.now, probe));
        }
        while let Some(event) = self.health.poll_event() {
            self.events.push((self.now, event));
        }
    }

    /// Runs for so long.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drive();
            let landing = self.flying.keys().next().map(|(at, _)| *at);
            let next = landing.into_iter().chain(self.health.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.flying.first_entry() {
                let (at, id) = *entry.key();
                if at > self.now {
                    break;
                }
                let result = entry.remove();
                self.health.handle_result(id, &result, self.now);
            }
        }
        self.now = end;
        self.drive();
    }

    /// Runs until it holds, at most so long; how long it took.
    pub(super) fn until(
        &mut self,
        most: Duration,
        holds: impl Fn(&HealthView) -> bool,
    ) -> Option<Duration> {
        let begun = self.now;
        while self.now.saturating_duration_since(begun) <= most {
            if holds(self.health.view()) {
                return Some(self.now.saturating_duration_since(begun));
            }
            self.run(MS(5));
        }
        None
    }

    pub(super) fn state(&self, name: &str) -> State {
        self.of(name).state
    }

    pub(super) fn of(&self, name: &str) -> NodeHealth {
        let node = self.health.view().node(name, Family::V4);
        node.expect("a node of the view").clone()
    }

    pub(super) fn serves(&self, node: &str) -> Option<bool> {
        self.health.view().serves(&web(), node)
    }

    /// The nodes that get new connections of a Service, and how.
    pub(super) fn chosen(&self, own_check: bool, panic: Panic) -> (Vec<String>, Mode) {
        let ask = Ask {
            family: Family::V4,
            service: &web(),
            own_check,
            candidates: None,
            panic,
            weights: Weights::Auto,
        };
        let choice = choice(self.health.view(), &ask);
        let up = choice.targets.into_iter().filter(|target| target.up);
        (up.map(|target| target.node).collect(), choice.mode)
    }

    pub(super) fn does(&mut self, index: u8, does: Does) {
        self.does.insert(address(index), does);
    }
}

pub(super) fn usable(name: &'static str) -> impl Fn(&HealthView) -> bool {
    move |view| {
        let node = view.node(name, Family::V4);
        node.is_some_and(|node| node.state.is_usable())
    }
}

pub(super) fn not_usable(name: &'static str) -> impl Fn(&HealthView) -> bool {
    move |view| !usable(name)(view)
}
