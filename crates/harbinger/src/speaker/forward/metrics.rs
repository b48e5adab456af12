//! The forward thread as numbers.

use std::collections::BTreeMap;

use engine::forward::{ForwardTable, Target, Traffic};

use super::{Counters, settings};
use crate::metrics::{Family, Labels, Name, count};

pub(super) fn families(
    wanted: &ForwardTable,
    counters: &Counters,
    plane: Option<&dataplane::Counters>,
    failing: bool,
) -> Vec<Family> {
    let mut ports: BTreeMap<&'static str, i64> = BTreeMap::from([("front", 0), ("node", 0)]);
    let mut targets: BTreeMap<&Target, i64> = BTreeMap::new();
    for port in wanted.ports.values() {
        let traffic = match port.traffic {
            Traffic::Front => "front",
            Traffic::Node => "node",
        };
        *ports.entry(traffic).or_default() += 1;
        for target in port.targets.iter().flat_map(|set| &set.targets) {
            targets
                .entry(target)
                .or_insert_with(|| i64::from(target.up));
        }
    }
    let ports = ports.into_iter().map(|(traffic, count)| {
        let labels: Labels = vec![("traffic", traffic.to_owned())];
        (labels, count)
    });
    // A node that one Service may use and another may not is up.
    let mut nodes: BTreeMap<(&str, String), i64> = BTreeMap::new();
    for (target, up) in targets {
        let known = nodes
            .entry((&target.node, target.address.to_string()))
            .or_default();
        *known = (*known).max(up);
    }
    let nodes = nodes.into_iter().map(|((node, address), up)| {
        let labels: Labels = vec![("node", node.to_owned()), ("ip", address)];
        (labels, up)
    });
    let mut all = vec![
        Family::new(Name::FrontPorts, ports.collect()),
        Family::new(Name::FrontTargets, nodes.collect()),
        Family::one(Name::FrontFailing, i64::from(failing)),
        Family::one(Name::FrontTables, count(counters.tables)),
        Family::one(Name::FrontFailures, count(counters.failures)),
        Family::one(Name::FrontApplyMicros, count(counters.apply_micros)),
    ];
    if let Some(plane) = plane {
        all.extend([
            Family::one(Name::FrontTransactions, count(plane.transactions)),
            Family::one(Name::FrontChanges, count(plane.changes)),
            Family::one(Name::FrontRepairs, count(plane.repairs)),
            Family::one(Name::FrontFlowsForgotten, count(plane.forgotten)),
        ]);
        all.extend(tracking());
    }
    all
}

/// The kernel's table of connections, which every connection through the front takes a place in.
fn tracking() -> Vec<Family> {
    let named = |name, file| Some(Family::one(name, count(settings::number(file)?)));
    let both = [
        named(Name::ConntrackEntries, "net/netfilter/nf_conntrack_count"),
        named(Name::ConntrackMax, "net/netfilter/nf_conntrack_max"),
    ];
    both.into_iter().flatten().collect()
}
