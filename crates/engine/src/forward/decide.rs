//! The forward table of one node: which address and port leads to whom.
//!
//! A function of a snapshot. What is wrong on the way is told as problems of the Services concerned, and never keeps the
//! others from their entries.

use super::policy::{ForwardOptions, Note, Policy, judged, withdraws};
use super::{ForwardTable, Front, FrontPort, Target, TargetSet, Traffic};
use crate::elect::Elector;
use crate::elect::nodes::EXCLUDE_LABEL;
use crate::health::{self, Ask, HealthView, Mode, Panic, PanicPolicy, TIME_MAX, Weights};
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity, reason};
use crate::world::{
    ENDPOINTS_ANNOTATION, EndpointSlice, Family, Service, ServicePort, TrafficPolicy, World,
};
use ipnetwork::{IpNetwork, Ipv4Network};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// LIMIT: source ranges of one Service that count; the kernel's set holds many more, a typist does not.
const RANGES_MAX: usize = 1_000;

/// What a table is made from.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// This machine.
    pub node: &'a str,
    /// What it was told once.
    pub options: ForwardOptions,
    /// The cluster.
    pub world: &'a World,
    /// Just updated for this world: it knows the slices, and who keeps an address.
    pub elector: &'a Elector,
    /// The health of the nodes; without any node in it, nothing is known and every node counts.
    pub health: &'a HealthView,
    /// The addresses held here.
    pub addresses: &'a BTreeSet<IpAddr>,
    /// Names of the interfaces where clients arrive.
    pub interfaces: &'a BTreeSet<String>,
    /// Addresses of this machine's own interfaces.
    pub own_addresses: &'a BTreeSet<IpAddr>,
}

/// The table, and what is to be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// For the kernel; the default where nothing is fronted and no guard is asked for: then nothing is opened.
    pub table: ForwardTable,
    /// What is wrong, by Service.
    pub problems: Vec<Problem>,
}

/// Makes the table.
pub fn decide(asked: &Asked<'_>) -> Decided {
    let mut making = Making::new(asked);
    for address in asked.addresses {
        making.address(*address);
    }
    making.finish()
}

/// What Services with the same wishes share: the same choice of nodes.
type SetKey = (Family, bool, PanicPolicy, u8, Weights);

struct Making<'a> {
    asked: Asked<'a>,
    ports: BTreeMap<Front, FrontPort>,
    closed: BTreeSet<IpAddr>,
    services: BTreeMap<NamespacedName, (Policy, BTreeSet<Note>)>,
    shared: BTreeMap<SetKey, (Arc<TargetSet>, Mode)>,
    /// Equal choices are one value, as they are one table in the kernel.
    sets: BTreeSet<Arc<TargetSet>>,
    /// Addresses with a fronted port.
    fronted: BTreeSet<IpAddr>,
    /// Nodes without an InternalIP of the family.
    homeless: BTreeMap<Family, Vec<String>>,
}

impl<'a> Making<'a> {
    fn new(asked: &Asked<'a>) -> Self {
        Self {
            asked: *asked,
            ports: BTreeMap::new(),
            closed: BTreeSet::new(),
            services: BTreeMap::new(),
            shared: BTreeMap::new(),
            sets: BTreeSet::new(),
            fronted: BTreeSet::new(),
            homeless: BTreeMap::new(),
        }
    }

    fn withdraws(&mut self, service: &Service, family: Family) -> bool {
        let policy = self.policy(service);
        policy.traffic == Traffic::Front
            && policy.panic.policy == PanicPolicy::Withdraw
            && self.targets(service, policy, family).1 == Mode::Withdraw
    }

    fn address(&mut self, address: IpAddr) {
        let keepers = self.asked.elector.keepers(address);
        let mut any = false;
        for service in keepers {
            let policy = self.policy(service);
            let ranges = self.ranges(service);
            let choice = match policy.traffic {
                Traffic::Front => Some(self.targets(service, policy, Family::of(address))),
                Traffic::Node => None,
            };
            if policy.traffic == Traffic::Front {
                self.fronted.insert(address);
                self.look_around(service, address, choice.as_ref().map(|(_, mode)| *mode));
            }
            for port in &service.ports {
                any = true;
                let targets = choice.as_ref().map(|(set, _)| Arc::clone(set));
                self.port(service, address, port, policy, targets, &ranges);
            }
        }
        if !any {
            self.closed.insert(address);
        }
    }

    fn port(
        &mut self,
        service: &Service,
        address: IpAddr,
        port: &ServicePort,
        policy: Policy,
        targets: Option<Arc<TargetSet>>,
        ranges: &[IpNetwork],
    ) {
        let front = Front {
            address,
            protocol: port.protocol,
            port: port.port,
        };
        let fronted = policy.traffic == Traffic::Front;
        if fronted && port.node_port.is_none() {
            let text = format!(
                "spec.ports: {}/{} has no NodePort, so nothing can be fronted and its connections are refused; set allocateLoadBalancerNodePorts: true",
                port.port,
                port.protocol.as_str()
            );
            self.note(
                service,
                Note::new(Severity::Warning, reason::NO_NODE_PORT, text),
            );
        }
        // Services that share an address have different ports; where they do not, the first in order keeps it.
        self.ports.entry(front).or_insert_with(|| FrontPort {
            service: service.name.clone(),
            traffic: policy.traffic,
            node_port: port.node_port.filter(|_| fronted),
            targets,
            source_ranges: ranges.to_vec(),
        });
    }

    fn policy(&mut self, service: &Service) -> Policy {
        if let Some((policy, _)) = self.services.get(&service.name) {
            return *policy;
        }
        let mut notes = Vec::new();
        let profile = self.asked.elector.profile(service);
        let policy = judged(service, profile, self.asked.options, &mut notes);
        let notes = notes.into_iter().collect();
        self.services.insert(service.name.clone(), (policy, notes));
        policy
    }

    fn note(&mut self, service: &Service, note: Note) {
        if let Some((_, notes)) = self.services.get_mut(&service.name) {
            notes.insert(note);
        }
    }

    /// The ranges that may connect; where all that are written are none, nobody may.
    fn ranges(&mut self, service: &Service) -> Vec<IpNetwork> {
        let mut ranges = Vec::new();
        for (at, text) in service.source_ranges.iter().take(RANGES_MAX).enumerate() {
            match text.trim().parse::<IpNetwork>() {
                Ok(range) => ranges.push(range),
                Err(_) => {
                    let text = format!(
                        "spec.loadBalancerSourceRanges[{at}]: {text:?} is no range of addresses; it lets nobody in"
                    );
                    self.note(
                        service,
                        Note::new(Severity::Warning, reason::INVALID_SOURCE_RANGE, text),
                    );
                }
            }
        }
        if ranges.is_empty() && !service.source_ranges.is_empty() {
            let nobody = Ipv4Network::from(Ipv4Addr::BROADCAST);
            ranges.push(IpNetwork::V4(nobody));
        }
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    fn targets(
        &mut self,
        service: &Service,
        policy: Policy,
        family: Family,
    ) -> (Arc<TargetSet>, Mode) {
        let slices = self.asked.elector.slices(&service.name);
        let local = service.external_policy == TrafficPolicy::Local;
        let candidates = local.then(|| local_nodes(service, slices)).flatten();
        let Panic {
            policy: way,
            threshold,
        } = policy.panic;
        let key = (family, policy.by_source, way, threshold, policy.weights);
        if !local && let Some(known) = self.shared.get(&key) {
            return known.clone();
        }
        let ask = Ask {
            family,
            service: &service.name,
            own_check: local && service.health_check_node_port.is_some(),
            candidates: candidates.as_ref(),
            panic: policy.panic,
            weights: policy.weights,
        };
        let (mut targets, mode) = self.choose(&ask);
        targets.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        let set = TargetSet {
            targets,
            by_source: policy.by_source,
        };
        let set = match self.sets.get(&set) {
            Some(known) => Arc::clone(known),
            None => {
                let set = Arc::new(set);
                self.sets.insert(Arc::clone(&set));
                set
            }
        };
        if !local {
            self.shared.insert(key, (Arc::clone(&set), mode));
        }
        (set, mode)
    }

    fn choose(&self, ask: &Ask<'_>) -> (Vec<Target>, Mode) {
        let own = (!self.asked.options.outside).then_some(self.asked.node);
        let target = |node: &str, address, up, weight| Target {
            node: node.to_owned(),
            address,
            up,
            weight,
            local: own == Some(node),
        };
        if self.asked.health.nodes.is_empty() {
            let all = unprobed(self.asked.world, ask);
            let targets = all.map(|(node, address)| target(node, address, true, 100));
            return (targets.collect(), Mode::Unsettled);
        }
        let choice = health::choice(self.asked.health, ask);
        let targets = choice.targets.iter();
        let targets = targets.map(|c| target(&c.node, c.address, c.up, c.weight));
        (targets.collect(), choice.mode)
    }

    /// What is odd about a fronted Service on an address, beside its own fields.
    fn look_around(&mut self, service: &Service, address: IpAddr, mode: Option<Mode>) {
        let family = Family::of(address);
        if self.asked.own_addresses.contains(&address) {
            let text = format!(
                "{address} is also on an interface of {:?}: programs there may answer on its other ports, and the kernel answers for it",
                self.asked.node
            );
            self.note(
                service,
                Note::new(Severity::Warning, reason::VIP_ON_INTERFACE, text),
            );
        }
        let homeless = self.homeless.entry(family).or_insert_with(|| {
            let nodes = self.asked.world.nodes.iter();
            let without = nodes.filter(|n| !n.object.internal_ips.iter().any(|ip| is(family, *ip)));
            without.map(|n| n.object.name.name.to_string()).collect()
        });
        if let Some(first) = homeless.first() {
            let text = format!(
                "{} of the nodes, {first:?} first, have no InternalIP of {} in their status: they get no connections",
                homeless.len(),
                family.as_str()
            );
            self.note(
                service,
                Note::new(Severity::Note, reason::NO_INTERNAL_IP, text),
            );
        }
        let text = match mode {
            Some(Mode::PanicOpen) => {
                "no node is healthy enough: connections go to every node that is not excluded"
            }
            Some(Mode::PanicClosed) => "no node is healthy enough: connections are refused",
            Some(Mode::Withdraw) => {
                "no node is healthy enough: connections are refused, and the address is not announced from here"
            }
            Some(Mode::Stale) => {
                "only nodes whose kube-proxy is gone are left: connections go to them by their old rules"
            }
            Some(Mode::Healthy | Mode::Unsettled) | None => return,
        };
        self.note(
            service,
            Note::new(Severity::Warning, reason::ALL_BACKENDS_UNHEALTHY, text),
        );
    }

    fn finish(mut self) -> Decided {
        let options = self.asked.options;
        let mut problems = Vec::new();
        for (name, (_, notes)) in &self.services {
            let source = self.asked.world.services.get(name);
            let source = source.and_then(|stored| stored.origin.source.clone());
            let tell = |n: &Note| Problem::new(n.severity, Kind::Service, name, n.reason, &*n.text);
            problems.extend(notes.iter().map(|n| tell(n).at(source.clone())));
        }
        if !options.guard {
            // Whose packets are kube-proxy's business alone is left alone, unless it shares an address with others.
            let fronted = &self.fronted;
            self.ports
                .retain(|front, _| fronted.contains(&front.address));
            self.closed.clear();
        }
        let mut decided = Decided {
            problems,
            ..Decided::default()
        };
        if self.ports.is_empty() && self.closed.is_empty() {
            return decided;
        }
        decided.table = ForwardTable {
            ports: self.ports,
            closed: self.closed,
            interfaces: match options.outside {
                true => BTreeSet::new(),
                false => self.asked.interfaces.clone(),
            },
            own_connections: options.outside,
            source_addresses: BTreeSet::new(),
            icmp_echo: true,
            dead: self.asked.health.dead.clone(),
            // The machine of the health calls them dead when their time is over.
            draining: self
                .asked
                .health
                .draining
                .keys()
                .map(|a| (*a, TIME_MAX))
                .collect(),
        };
        decided
    }
}

/// The addresses that are not to be announced from here: each Service on them is fronted, would rather be announced by
/// nobody than lead nowhere (panic policy `withdraw`), and has too few healthy nodes. Whoever announces them now is no
/// question, so `addresses` of the question counts for nothing.
pub fn withdrawn(asked: &Asked<'_>) -> BTreeSet<IpAddr> {
    let mut withdrawn = BTreeSet::new();
    if asked.health.nodes.is_empty() {
        return withdrawn;
    }
    let mut making = Making::new(asked);
    for service in asked.world.services.iter().map(|stored| &stored.object) {
        if !withdraws(service, asked.elector.profile(service)) {
            continue;
        }
        for address in service.addresses() {
            let keepers = asked.elector.keepers(address);
            let mut away = |service: &Arc<Service>| making.withdraws(service, Family::of(address));
            if !keepers.is_empty() && keepers.iter().all(&mut away) {
                withdrawn.insert(address);
            }
        }
    }
    withdrawn
}

fn is(family: Family, address: IpAddr) -> bool {
    Family::of(address) == family
}

/// Every node that may be chosen before anything is known of its health.
fn unprobed<'a>(
    world: &'a World,
    ask: &'a Ask<'_>,
) -> impl Iterator<Item = (&'a str, IpAddr)> + 'a {
    let nodes = world.nodes.iter().map(|stored| &*stored.object);
    let wanted = nodes.filter(|node| {
        let asked = ask
            .candidates
            .is_none_or(|all| all.contains(node.name.name.as_str()));
        let leaves = node.deleting || node.to_be_deleted || node.out_of_service || node.maintenance;
        asked && !leaves && !node.labels.contains_key(EXCLUDE_LABEL)
    });
    wanted.filter_map(|node| {
        let mut ips = node.internal_ips.iter();
        let address = ips.find(|ip| is(ask.family, **ip))?;
        Some((node.name.name.as_str(), *address))
    })
}

/// The nodes of policy Local: those with a ready endpoint, and where none is ready, those whose endpoints end and still
/// serve, as kube-proxy does. None: an endpoint without a node counts on every one.
fn local_nodes(service: &Service, slices: &[Arc<EndpointSlice>]) -> Option<BTreeSet<String>> {
    if slices.is_empty()
        && let Some(listed) = service.annotations.get(ENDPOINTS_ANNOTATION)
    {
        let nodes = listed.split(',').map(str::trim);
        return Some(nodes.filter(|n| !n.is_empty()).map(str::to_owned).collect());
    }
    let all = || slices.iter().flat_map(|slice| &slice.endpoints);
    let ready = all().any(|endpoint| endpoint.ready.unwrap_or(true));
    let mut nodes = BTreeSet::new();
    for endpoint in all().filter(|e| e.can_serve()) {
        if ready && !endpoint.ready.unwrap_or(true) {
            continue;
        }
        nodes.insert(endpoint.node.as_ref()?.to_string());
    }
    Some(nodes)
}
