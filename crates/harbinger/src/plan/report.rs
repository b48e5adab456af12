//! The answer as JSON and YAML: the contract `harbinger.dev/plan/v1` of design/cli.md. Fields are only ever
//! added; every list is sorted; the same input gives the same bytes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use engine::alloc::Decision;
use engine::name::NamespacedName;
use engine::plan::{InterfaceSet, L2Entry, Refusal};
use engine::problem::Problem;
use engine::routes::Route;
use engine::world::PoolStatus;
use serde::Serialize;

use crate::speaker::forward::words::{PortLine, port_line};

use super::{NodeSession, POOL_ANNOTATION, Plan};

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `harbinger.dev/plan/v1`.
    pub api_version: &'static str,
    /// What is wrong with the objects.
    pub config: Config,
    /// Usable pools by name.
    pub pools: Vec<PoolLine>,
    /// Every Service by namespace and name.
    pub services: Vec<ServiceLine>,
    /// Every address that is held, when there is any L2Advertisement.
    pub l2: Vec<L2Line>,
    /// Every session of every node, by node and peer.
    pub bgp: Vec<BgpLine>,
    /// Every fronted port by address, protocol and port, with the nodes behind it; absent where nothing is fronted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub front: Vec<PortLine>,
}

/// See [`Report::config`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// `Valid`, or `Invalid` when some problem is an error.
    pub result: &'static str,
    /// By kind, object, reason.
    pub problems: Vec<ProblemLine>,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct ProblemLine {
    pub severity: &'static str,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub reason: &'static str,
    pub message: String,
    pub source: Option<String>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct PoolLine {
    pub name: String,
    #[serde(rename = "assignedIPv4")]
    pub assigned_ipv4: i64,
    #[serde(rename = "availableIPv4")]
    pub available_ipv4: i64,
    #[serde(rename = "assignedIPv6")]
    pub assigned_ipv6: i64,
    #[serde(rename = "availableIPv6")]
    pub available_ipv6: i64,
}

/// One Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct ServiceLine {
    pub namespace: String,
    pub name: String,
    pub pool: Option<String>,
    pub addresses: Vec<IpAddr>,
    pub previous: Vec<IpAddr>,
    pub change: &'static str,
    pub reason: Option<&'static str>,
    pub message: Option<String>,
    pub annotations: BTreeMap<&'static str, String>,
}

/// One address on the local network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct L2Line {
    pub address: IpAddr,
    pub services: Vec<String>,
    pub owner: Option<String>,
    pub interfaces: Vec<String>,
    pub candidates: Vec<String>,
    pub refusals: Vec<RefusalLine>,
}

/// One node that may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct RefusalLine {
    pub node: String,
    pub reason: &'static str,
}

/// One session of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct BgpLine {
    pub node: String,
    pub peer: String,
    pub prefixes: Vec<PrefixLine>,
    pub refusals: Vec<BgpRefusalLine>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct PrefixLine {
    pub prefix: String,
    pub local_pref: Option<u32>,
    pub communities: Vec<String>,
    pub services: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    pub as_path_prepend: u8,
}

/// One Service that is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct BgpRefusalLine {
    pub service: String,
    pub reason: &'static str,
}

impl Report {
    /// Writes a plan down.
    pub fn new(plan: &Plan) -> Self {
        let mut l2: Vec<L2Line> = plan.l2.iter().map(l2_line).collect();
        l2.sort_by_key(|line| line.address);
        Self {
            api_version: "harbinger.dev/plan/v1",
            config: Config {
                result: if plan.invalid() { "Invalid" } else { "Valid" },
                problems: plan.problems.iter().map(problem_line).collect(),
            },
            pools: plan.allocation.pools.iter().map(pool_line).collect(),
            services: plan.decisions.iter().map(service_line).collect(),
            l2,
            bgp: plan.bgp.iter().map(bgp_line).collect(),
            front: plan.front.ports.iter().map(port_line).collect(),
        }
    }

    /// For a person.
    pub fn text(&self) -> String {
        super::text::text(self)
    }
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

fn bgp_line(line: &NodeSession) -> BgpLine {
    let prefix = |(prefix, route): (&ipnetwork::IpNetwork, &Arc<Route>)| {
        let said = &route.attributes;
        PrefixLine {
            prefix: prefix.to_string(),
            local_pref: said.local_pref,
            communities: said.communities.iter().map(ToString::to_string).collect(),
            services: route.services.iter().map(ToString::to_string).collect(),
            med: said.med,
            as_path_prepend: said.prepend,
        }
    };
    let refusal = |(service, why): &(NamespacedName, Refusal)| BgpRefusalLine {
        service: service.to_string(),
        reason: why.as_str(),
    };
    BgpLine {
        node: line.node.clone(),
        peer: line.session.peer.object.name.to_string(),
        prefixes: line.session.routes.iter().map(prefix).collect(),
        refusals: line.refusals.iter().map(refusal).collect(),
    }
}

fn problem_line(problem: &Problem) -> ProblemLine {
    ProblemLine {
        severity: problem.severity.as_str(),
        kind: problem.kind.clone(),
        namespace: problem.object.namespace.to_string(),
        name: problem.object.name.to_string(),
        reason: problem.reason,
        message: problem.message.clone(),
        source: problem.source.as_deref().map(str::to_owned),
    }
}

fn pool_line((name, status): (&String, &PoolStatus)) -> PoolLine {
    PoolLine {
        name: name.clone(),
        assigned_ipv4: status.assigned_ipv4,
        available_ipv4: status.available_ipv4,
        assigned_ipv6: status.assigned_ipv6,
        available_ipv6: status.available_ipv6,
    }
}

fn service_line((name, decision): (&NamespacedName, &std::sync::Arc<Decision>)) -> ServiceLine {
    ServiceLine {
        namespace: name.namespace.to_string(),
        name: name.name.to_string(),
        pool: decision.pool.clone(),
        addresses: decision.addresses.clone(),
        previous: decision.previous.clone(),
        change: decision.change.as_str(),
        reason: decision.reason,
        message: decision.message.clone(),
        annotations: decision
            .pool
            .iter()
            .map(|pool| (POOL_ANNOTATION, pool.clone()))
            .collect(),
    }
}

fn l2_line(entry: &L2Entry) -> L2Line {
    let mut services: Vec<String> = entry.services.iter().map(ToString::to_string).collect();
    services.sort();
    L2Line {
        address: entry.address,
        services,
        owner: entry.owner.clone(),
        interfaces: match &entry.interfaces {
            InterfaceSet::All => vec!["*".to_owned()],
            InterfaceSet::Named(names) => names.iter().cloned().collect(),
        },
        candidates: entry.candidates.clone(),
        refusals: entry
            .refusals
            .iter()
            .map(|(node, refusal)| RefusalLine {
                node: node.clone(),
                reason: refusal.as_str(),
            })
            .collect(),
    }
}
