//! The hop between the announcer and the NodePort: who takes the packets, which nodes get them, and who does not and why.
//!
//! What the speaker on this host has in its kernel and sees of the nodes goes before what is planned from the objects.

use std::collections::BTreeSet;

use engine::world::{Family, Node, Service, World};

use super::Hop;
use crate::plan::Plan;
use crate::speaker::forward::words::{self, PortLine, TargetLine};
use crate::speaker::health;

/// Nodes told one by one; more are counted.
const NODES_SHOWN_MAX: usize = 20;

/// What the speaker on this host says, where one runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Its forward table.
    pub front: Option<words::Shown>,
    /// The health of the nodes.
    pub health: Option<health::Shown>,
}

pub(super) fn hop(world: &World, plan: &Plan, service: &Service, seen: &Seen) -> Hop {
    const HOP: &str = "front";
    let name = service.name.to_string();
    let own = |ports: Vec<PortLine>| -> Vec<PortLine> {
        ports
            .into_iter()
            .filter(|port| port.service == name)
            .collect()
    };
    let live = seen.front.as_ref().map(|shown| own(shown.ports.clone()));
    let live = live.filter(|ports| !ports.is_empty());
    let told = live.is_some();
    let planned = || own(plan.front.ports.iter().map(words::port_line).collect());
    let ports = live.unwrap_or_else(planned);
    let fronted: Vec<&PortLine> = ports
        .iter()
        .filter(|port| port.traffic == "front")
        .collect();
    let Some(first) = fronted.first() else {
        let text = "mode node: the kube-proxy of the node that announces takes the packets";
        return Hop::ok(HOP, vec![text.to_owned()]);
    };
    let source = if told {
        "as the speaker on this host has it"
    } else {
        "as planned from the objects"
    };
    let mut evidence = vec![format!(
        "mode front, {source}: each new connection goes to one node, over its NodePort"
    )];
    for port in fronted.iter().filter(|port| port.node_port.is_none()) {
        let text = format!(
            "{} {}: no NodePort, so it is refused",
            port.protocol, port.port
        );
        evidence.push(text);
    }
    let targets: Vec<&TargetLine> = fronted.iter().flat_map(|port| &port.targets).collect();
    let mut shown = BTreeSet::new();
    for target in targets
        .iter()
        .filter(|t| shown.insert((&t.node, &t.address)))
    {
        evidence.push(line(target, seen));
    }
    let names: BTreeSet<&str> = targets.iter().map(|target| target.node.as_str()).collect();
    let nodes = world.nodes.iter().map(|stored| &*stored.object);
    let others = nodes.filter(|node| !names.contains(node.name.name.as_str()));
    evidence.extend(others.map(|node| format!("{}: {}", node.name.name, left_out(node, first))));
    let more = evidence.len().saturating_sub(NODES_SHOWN_MAX);
    if more > 1 {
        evidence.truncate(NODES_SHOWN_MAX);
        evidence.push(format!("and {more} more"));
    }
    if targets.iter().any(|target| target.up) {
        return Hop::ok(HOP, evidence);
    }
    let mend = "no node gets connections: make one healthy (`harbinger health` says what each lacks), or set harbinger.dev/panic: open";
    Hop::broken(HOP, evidence, mend)
}

fn line(target: &TargetLine, seen: &Seen) -> String {
    let (node, address) = (&target.node, &target.address);
    let nodes = seen.health.iter().flat_map(|shown| &shown.nodes);
    let mut known = nodes.filter(|known| known.node == *node && known.address == *address);
    let why = match known.next() {
        Some(known) if known.state == "healthy" => String::new(),
        Some(known) => format!(" ({}: {})", known.state, known.reason),
        None => String::new(),
    };
    if target.up {
        let percent = f64::from(target.slots) * 100.0 / f64::from(target.of.max(1));
        format!("{node} {address}: up, {percent:.0} % of new connections{why}")
    } else {
        format!("{node} {address}: gets nothing{why}")
    }
}

/// Why a node is not behind it at all, as far as the Node tells.
fn left_out(node: &Node, port: &PortLine) -> &'static str {
    let family = match port.address.contains(':') {
        true => Family::V6,
        false => Family::V4,
    };
    let mut ips = node.internal_ips.iter();
    if node.deleting || node.to_be_deleted {
        "gets nothing: it is being removed"
    } else if node.out_of_service {
        "gets nothing: taint node.kubernetes.io/out-of-service"
    } else if node.maintenance {
        "gets nothing: it is being drained (annotation harbinger.dev/maintenance)"
    } else if node
        .labels
        .contains_key("node.kubernetes.io/exclude-from-external-load-balancers")
    {
        "gets nothing: its label excludes it from load balancers"
    } else if !ips.any(|ip| Family::of(*ip) == family) {
        "gets nothing: it has no InternalIP of the family"
    } else {
        "gets nothing: policy Local and no endpoint on it"
    }
}
