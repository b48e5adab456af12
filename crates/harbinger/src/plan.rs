//! What would be assigned and announced, from objects alone: the production decisions, run to where nothing
//! changes any more.
//!
//! Owns the order in which the decisions are asked and the shape of the answer (design/cli.md); it decides
//! nothing itself, reads no file and touches no cluster.

mod bgp;
pub mod report;
mod text;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::alloc::{self, Allocation, Change as Fate, Decision, Ledger};
use engine::claims::Claims;
use engine::config;
use engine::elect::{self, ElectOptions, Elector, Placement};
use engine::facts::MembersView;
use engine::forward::{self, Asked, Decided, ForwardOptions, ForwardTable, Traffic};
use engine::health::HealthView;
use engine::name::NamespacedName;
use engine::plan::L2Entry;
use engine::problem::{Problem, Severity};
use engine::record;
use engine::world::{Change, Delta, Ingress, L2Status, Service, Stored, World};

pub use bgp::NodeSession;
pub use report::Report;

/// The annotation that is written with an address.
pub const POOL_ANNOTATION: &str = "metallb.io/ip-allocated-from-pool";

/// LIMIT: rounds of allocation until nothing changes. One is enough by the two phases of the order; a second
/// proves it. More would be an oscillation, which is told rather than followed.
const ROUNDS_MAX: usize = 4;

/// What a plan is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace whose metallb.io objects count.
    pub namespace: String,
    /// `--lb-class`.
    pub lb_class: Option<String>,
    /// `--ignore-exclude-lb`.
    pub ignore_exclude: bool,
    /// Which of several candidates answers.
    pub placement: Placement,
    /// Nodes that are alive; none: all of them.
    pub members: Option<BTreeSet<String>>,
    /// Services without clusterIPs get their families from their spec: manifests, not a server.
    pub derive_families: bool,
    /// The name of a machine outside the cluster that announces; none: its nodes do.
    pub outside: Option<String>,
    /// Who takes the packets of Services that do not say.
    pub traffic: Option<Traffic>,
}

/// The answer in the engine's types.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The world with every status as it would be written.
    pub world: World,
    /// The last allocation.
    pub allocation: Allocation,
    /// One for each Service, with what it held before the first round.
    pub decisions: BTreeMap<NamespacedName, Arc<Decision>>,
    /// Who answers for what.
    pub l2: Vec<L2Entry>,
    /// Which node tells which router what.
    pub bgp: Vec<NodeSession>,
    /// What is fronted, by address and port, with every node that may be chosen.
    pub front: ForwardTable,
    /// The fewest moves to the share, with what is held now.
    pub rebalance: Vec<elect::Move>,
    /// Everything that is wrong, sorted, each once.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// Some object, or a part of one, is not used.
    pub fn invalid(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// What a pipeline wants to stop on.
    pub fn bad_news(&self) -> bool {
        let unserved =
            |decision: &Arc<Decision>| matches!(decision.change, Fate::Pending | Fate::Cleared);
        self.invalid() || self.decisions.values().any(unserved)
    }
}

/// Makes the plan.
pub fn plan(mut world: World, options: &Options) -> Plan {
    let (pools, mut problems) = config::pools(&world, &options.namespace);
    let pools = Arc::new(pools);
    let (advertisements, more) = config::l2_advertisements(&world, &pools, &options.namespace);
    problems.extend(more);
    problems.extend(world.problems().cloned());
    let allocate = alloc::Options {
        lb_class: options.lb_class.clone(),
        derive_families: options.derive_families,
        ..alloc::Options::default()
    };
    let mut allocation = alloc::allocate(&world, &pools, &Ledger::default(), &allocate);
    // What is wrong now is told, also what the plan itself would mend (two holders of one address).
    problems.extend(allocation.problems.iter().cloned());
    let first = allocation.decisions.clone();
    for _ in 0..ROUNDS_MAX {
        if !write_all(&mut world, &allocation.decisions) {
            break;
        }
        allocation = alloc::allocate(&world, &pools, &Ledger::default(), &allocate);
    }
    let elect = ElectOptions {
        placement: options.placement,
        ignore_exclude: options.ignore_exclude,
        interfaces_known: false,
        lb_class: options.lb_class.clone(),
        outside: options.outside.clone(),
    };
    let members = MembersView {
        claims: Arc::new(holders(&world, &options.namespace)),
        ..members(options.members.as_ref())
    };
    let (profiles, more) = config::front_profiles(&world, &pools, &options.namespace);
    problems.extend(more);
    let mut elector = Elector::new(elect.clone());
    elector.set_profiles(Arc::new(profiles));
    elector.set_config(Arc::clone(&pools), advertisements);
    elector.set_members(&members);
    elector.update(&world);
    let mut l2 = elector.entries();
    problems.extend(elector.problems());
    let namespace = options.namespace.as_str();
    let (bgp, more) = bgp::sessions(&world, &pools, &elector, &members, &elect, namespace);
    problems.extend(more);
    let fronted = fronted(&world, &elector, options);
    problems.extend(fronted.problems);
    if world.nodes.is_empty() {
        // Of no node nothing can be said (design/cli.md).
        l2.clear();
    }
    sort(&mut problems);
    Plan {
        decisions: merge(first, &allocation.decisions),
        rebalance: elector.rebalance(),
        world,
        allocation,
        l2,
        bgp,
        front: fronted.table,
        problems,
    }
}

/// What is sent to which NodePorts, wherever it is announced: with no other facts every node is healthy.
fn fronted(world: &World, elector: &Elector, options: &Options) -> Decided {
    let services = world.services.iter();
    let addresses = services.flat_map(|stored| stored.object.addresses());
    forward::decide(&Asked {
        node: options.outside.as_deref().unwrap_or_default(),
        options: ForwardOptions {
            outside: options.outside.is_some(),
            traffic: options.traffic,
            guard: false,
        },
        world,
        elector,
        health: &HealthView::default(),
        addresses: &addresses.collect(),
        interfaces: &BTreeSet::new(),
        own_addresses: &BTreeSet::new(),
    })
}

/// Puts every decision into its Service's status, as the server would show it; whether any differed.
fn write_all(world: &mut World, decisions: &BTreeMap<NamespacedName, Arc<Decision>>) -> bool {
    let mut changed = Vec::new();
    for (name, decision) in decisions.iter().filter(|(_, decision)| decision.write) {
        let Some(stored) = world.services.get(name) else {
            continue;
        };
        changed.push(Stored {
            object: Arc::new(written(&stored.object, decision)),
            origin: stored.origin.clone(),
        });
    }
    let any = !changed.is_empty();
    for stored in changed {
        world.apply(Change::Service(Delta::Upsert(stored)));
    }
    any
}

fn written(service: &Service, decision: &Decision) -> Service {
    let mut service = service.clone();
    service.ingress = decision
        .addresses
        .iter()
        .map(|address| Ingress {
            ip: Some(*address),
            hostname: None,
            ip_mode: Some("VIP".into()),
        })
        .collect();
    match &decision.pool {
        Some(pool) => service
            .annotations
            .insert(POOL_ANNOTATION.to_owned(), pool.clone()),
        None => service.annotations.remove(POOL_ANNOTATION),
    };
    service
}

/// The fate of each Service over all rounds: the first round's word, unless a later one gave something else.
fn merge(
    first: BTreeMap<NamespacedName, Arc<Decision>>,
    last: &BTreeMap<NamespacedName, Arc<Decision>>,
) -> BTreeMap<NamespacedName, Arc<Decision>> {
    first
        .into_iter()
        .map(|(name, before)| match last.get(&name) {
            Some(after) if after.addresses != before.addresses => {
                let change = fate(&before.previous, after);
                let merged = Decision {
                    previous: before.previous.clone(),
                    change,
                    ..Decision::clone(after)
                };
                (name, Arc::new(merged))
            }
            _ => (name, before),
        })
        .collect()
}

fn fate(previous: &[std::net::IpAddr], after: &Decision) -> Fate {
    let kept = previous
        .iter()
        .all(|address| after.addresses.contains(address));
    match (previous.is_empty(), after.addresses.is_empty()) {
        (true, true) => after.change,
        (false, true) => Fate::Cleared,
        (true, false) => Fate::Assigned,
        (false, false) if !kept => Fate::Reassigned,
        (false, false) if previous.len() == after.addresses.len() => Fate::Kept,
        (false, false) => Fate::Added,
    }
}

fn members(alive: Option<&BTreeSet<String>>) -> MembersView {
    match alive {
        None => MembersView {
            off: true,
            settled: true,
            ..MembersView::default()
        },
        Some(names) => MembersView {
            off: false,
            alive: names
                .iter()
                .map(|name| (name.clone(), record::unknown()))
                .collect(),
            settled: true,
            ..MembersView::default()
        },
    }
}

/// Who holds what, as far as ServiceL2Statuses tell: each speaker writes its own.
pub fn holders(world: &World, namespace: &str) -> Claims {
    let mut claims = Claims::default();
    let ours = |status: &&L2Status| status.name.namespace == namespace && status.has_status;
    let statuses = world
        .l2_statuses
        .iter()
        .map(|stored| stored.object.as_ref());
    for status in statuses.filter(ours) {
        let node = Arc::from(status.node.as_str());
        let service = world.services.get(&status.service);
        for address in service.iter().flat_map(|stored| stored.object.addresses()) {
            claims.set(address, &node, Some(1));
        }
    }
    claims
}

fn sort(problems: &mut Vec<Problem>) {
    problems.sort_by(|a, b| {
        (
            &a.kind, &a.object, a.reason, &a.message, &a.source, a.severity,
        )
            .cmp(&(
                &b.kind, &b.object, b.reason, &b.message, &b.source, b.severity,
            ))
    });
    problems.dedup();
}
