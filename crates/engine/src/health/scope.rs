//! What is to be probed, out of the world: nodes, NodePorts to try, Services of policy Local.

use super::desired::{Check, HealthDesired, NodePort, NodeWanted, ServiceCheck, Settings};
use crate::name::NamespacedName;
use crate::world::{Family, Node, Protocol, Service, TrafficPolicy, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Label that keeps a node out of external load balancers, whatever its value.
const EXCLUSION_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// LIMIT: NodePorts that are tried where 10256 is not served; a few Services say as much as ten thousand.
const NODE_PORTS_MAX: usize = 64;

/// What the world does not say.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The node this process runs on, if it is one of them.
    pub own_node: Option<String>,
    /// `--ignore-exclude-lb`.
    pub ignore_exclude: bool,
    /// The `loadBalancerClass` that is served.
    pub lb_class: Option<String>,
    /// Of node probes.
    pub settings: Settings,
    /// Of the probes of one Service, where it has its own.
    pub of_services: BTreeMap<NamespacedName, Settings>,
    /// Application probes that Services ask for, with their nodes' set left empty: every node.
    pub checks: BTreeMap<NamespacedName, (Check, Settings)>,
    /// Members whose loss the members have confirmed.
    pub lost: BTreeSet<String>,
}

/// What is to be probed. Observers and the gateway are the caller's to add.
pub fn desired(world: &World, scope: &Scope) -> HealthDesired {
    let nodes: BTreeMap<String, NodeWanted> = world
        .nodes
        .iter()
        .map(|stored| &stored.object)
        .map(|node| (node.name.name.to_string(), wanted(node, scope)))
        .collect();
    // A cluster of nothing but excluded nodes (one node that runs all) is served by them.
    let all_excluded = nodes.values().all(|node| node.excluded);
    let nodes = nodes
        .into_iter()
        .map(|(name, node)| {
            let excluded = node.excluded && !all_excluded;
            (name, NodeWanted { excluded, ..node })
        })
        .collect();
    let mut desired = HealthDesired {
        nodes,
        settings: scope.settings,
        own_node: scope.own_node.clone(),
        ..HealthDesired::default()
    };
    let mut local: BTreeMap<NamespacedName, u16> = BTreeMap::new();
    for service in world.services.iter().map(|stored| &stored.object) {
        if !service.load_balancer || service.deleting || service.class != scope.lb_class {
            continue;
        }
        note_ports(&mut desired.node_ports, service);
        let port = service.health_check_node_port;
        if let Some(port) = port.filter(|_| service.external_policy == TrafficPolicy::Local) {
            local.insert(service.name.clone(), port);
        }
    }
    desired.services = local_checks(world, &local, scope.settings);
    for (name, check) in &mut desired.services {
        if let Some(settings) = scope.of_services.get(name) {
            check.settings = *settings;
        }
    }
    for (name, (check, settings)) in &scope.checks {
        let nodes = desired.nodes.keys().cloned().collect();
        let check = ServiceCheck {
            check: check.clone(),
            nodes,
            settings: *settings,
        };
        desired.services.insert(name.clone(), check);
    }
    desired
}

fn wanted(node: &Node, scope: &Scope) -> NodeWanted {
    let mut addresses = BTreeMap::new();
    for address in &node.internal_ips {
        // The first of each family is the primary one, where NodePorts are.
        addresses.entry(Family::of(*address)).or_insert(*address);
    }
    let leaving = if node.deleting {
        Some("the Node is being deleted")
    } else if node.to_be_deleted {
        Some("the Node has the taint ToBeDeletedByClusterAutoscaler")
    } else if node.maintenance {
        Some("the Node has the annotation harbinger.dev/maintenance")
    } else {
        None
    };
    NodeWanted {
        addresses,
        excluded: !scope.ignore_exclude && node.labels.contains_key(EXCLUSION_LABEL),
        leaving,
        out_of_service: node.out_of_service,
        not_ready: node.not_ready,
        member_lost: scope.lost.contains(node.name.name.as_str()),
        heard: false,
        link_down: false,
    }
}

/// One TCP NodePort of each Service, while there is room.
fn note_ports(ports: &mut BTreeMap<Family, Vec<NodePort>>, service: &Service) {
    // Under Local a node without endpoints drops what comes.
    if service.external_policy == TrafficPolicy::Local {
        return;
    }
    let tcp = service.ports.iter().find_map(|port| {
        let tcp = port.protocol == Protocol::Tcp;
        port.node_port.filter(|_| tcp)
    });
    let Some(port) = tcp else { return };
    let name = Arc::new(service.name.clone());
    for family in &service.families {
        let list = ports.entry(*family).or_default();
        if list.len() < NODE_PORTS_MAX {
            list.push(NodePort {
                service: Arc::clone(&name),
                port,
            });
        }
    }
}

/// Each Local Service where it has endpoints that can serve.
fn local_checks(
    world: &World,
    local: &BTreeMap<NamespacedName, u16>,
    settings: Settings,
) -> BTreeMap<NamespacedName, ServiceCheck> {
    let mut checks: BTreeMap<NamespacedName, ServiceCheck> = local
        .iter()
        .map(|(name, port)| {
            let check = ServiceCheck {
                check: Check::Local { port: *port },
                nodes: BTreeSet::new(),
                settings,
            };
            (name.clone(), check)
        })
        .collect();
    if checks.is_empty() {
        return checks;
    }
    for slice in world.endpoint_slices.iter().map(|stored| &stored.object) {
        let name = NamespacedName::new(slice.name.namespace.as_str(), slice.service.as_str());
        let Some(check) = checks.get_mut(&name) else {
            continue;
        };
        let serving = slice.endpoints.iter().filter(|e| e.can_serve());
        check
            .nodes
            .extend(serving.filter_map(|endpoint| Some(endpoint.node.as_ref()?.to_string())));
    }
    checks
}
