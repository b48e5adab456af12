//! The health of nodes as JSON, numbers, log lines and words.
//!
//! Owns the form of `/debug/health`, which `harbinger health` reads. What is healthy is the engine's.

pub mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use engine::health::{Health, HealthEvent, NodeHealth, ServiceHealth, State};
use engine::speaker::Speaker;
use serde::{Deserialize, Serialize};

use crate::metrics::{Family, Labels, Name, count};

/// What `/debug/health` shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The node it is seen from.
    pub node: String,
    /// Nodes are probed at all.
    pub probing: bool,
    /// This observer.
    pub observer: Observer,
    /// Probes a second that this amounts to.
    pub probes_per_second: u64,
    /// Nodes by name and family.
    pub nodes: Vec<Node>,
    /// Services that are probed for themselves.
    pub services: Vec<Service>,
    /// The last changes, by node, oldest first.
    pub history: BTreeMap<String, Vec<Change>>,
}

/// The observer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observer {
    /// Other nodes it reaches.
    pub reaches: usize,
    /// Of how many.
    pub of: usize,
    /// Too few to be believed: silence takes no node down.
    pub frozen: bool,
}

/// One node in one family.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub node: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// Its InternalIP.
    pub address: String,
    /// The state.
    pub state: String,
    /// Seconds since it is so.
    pub since_seconds: f64,
    /// Seconds until its connections are given up, while it drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drains_for_seconds: Option<f64>,
    /// The step of the ladder of its last probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Its share, percent.
    pub weight: u16,
    /// Two that count agree that it is dead.
    pub confirmed_dead: bool,
    /// Why, in words.
    pub reason: String,
}

/// One Service on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `namespace/name`.
    pub service: String,
    /// The node.
    pub node: String,
    /// The state.
    pub state: String,
    /// Seconds since it is so.
    pub since_seconds: f64,
    /// Endpoints there.
    pub endpoints: u16,
    /// Why, in words.
    pub reason: String,
}

/// One line of a history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Seconds ago.
    pub ago_seconds: f64,
    /// `IPv4`, `IPv6` or the Service.
    pub of: String,
    /// From.
    pub from: String,
    /// To.
    pub to: String,
    /// Why, in words.
    pub reason: String,
}

/// The page.
pub(super) fn json(machine: &Speaker, node: &str, now: Instant) -> String {
    let shown = shown(machine.health(), node, now);
    serde_json::to_string(&shown).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// As it is now; nothing while nothing is probed.
pub fn shown(health: Option<&Health>, node: &str, now: Instant) -> Shown {
    let Some(health) = health else {
        return Shown {
            node: node.to_owned(),
            ..Shown::default()
        };
    };
    let view = health.view();
    let nodes = view.nodes.iter().flat_map(|(name, families)| {
        let rows = families.iter();
        rows.map(move |(family, seen)| shown_node(name, family.as_str(), seen, now))
    });
    let services = view.services.iter().flat_map(|(service, nodes)| {
        let rows = nodes.iter();
        rows.map(move |(node, seen)| shown_service(&service.to_string(), node, seen, now))
    });
    let history = view.nodes.keys().map(|name| {
        let lines = health.history(name).map(|line| Change {
            ago_seconds: seconds(line.at, now),
            of: match &line.service {
                Some(service) => service.to_string(),
                None => line.family.as_str().to_owned(),
            },
            from: line.from.as_str().to_owned(),
            to: line.to.as_str().to_owned(),
            reason: line.reason.to_string(),
        });
        (name.clone(), lines.collect())
    });
    Shown {
        node: node.to_owned(),
        probing: true,
        observer: Observer {
            reaches: view.observer.reaches,
            of: view.observer.of,
            frozen: view.observer.frozen,
        },
        probes_per_second: health.probes_per_second(),
        nodes: nodes.collect(),
        services: services.collect(),
        history: history.collect(),
    }
}

fn shown_node(name: &str, family: &str, seen: &NodeHealth, now: Instant) -> Node {
    let until = match seen.state {
        State::Draining { until } | State::Excluded { until } => Some(until),
        _ => None,
    };
    Node {
        node: name.to_owned(),
        family: family.to_owned(),
        address: seen.address.to_string(),
        state: seen.state.as_str().to_owned(),
        since_seconds: seconds(seen.since, now),
        drains_for_seconds: until.map(|until| seconds(now, until)),
        probe: seen.rung.map(|rung| rung.as_str().to_owned()),
        weight: seen.weight,
        confirmed_dead: seen.confirmed_dead,
        reason: seen.reason.to_string(),
    }
}

fn shown_service(service: &str, node: &str, seen: &ServiceHealth, now: Instant) -> Service {
    Service {
        service: service.to_owned(),
        node: node.to_owned(),
        state: seen.state.as_str().to_owned(),
        since_seconds: seconds(seen.since, now),
        endpoints: seen.endpoints,
        reason: seen.reason.to_string(),
    }
}

/// To a thousandth.
fn seconds(from: Instant, to: Instant) -> f64 {
    (to.saturating_duration_since(from).as_secs_f64() * 1000.0).round() / 1000.0
}

/// The numbers; none while nothing is probed.
pub(super) fn families(machine: &Speaker) -> Vec<Family> {
    let Some(health) = machine.health() else {
        return Vec::new();
    };
    let view = health.view();
    let mut states = Vec::new();
    let mut weights = Vec::new();
    for (name, families) in &view.nodes {
        for (family, seen) in families.iter() {
            let labels = || -> Labels {
                vec![
                    ("node", name.clone()),
                    ("family", family.as_str().to_owned()),
                ]
            };
            let mut state = labels();
            state.push(("state", seen.state.as_str().to_owned()));
            states.push((state, 1));
            weights.push((labels(), i64::from(seen.weight)));
        }
    }
    let serving = view.services.iter().map(|(service, nodes)| {
        let usable = nodes.values().filter(|seen| seen.state.is_usable()).count();
        let labels: Labels = vec![("service", service.to_string())];
        (labels, i64::try_from(usable).unwrap_or(i64::MAX))
    });
    let counters = health.counters();
    let probes = counters.results.iter().map(|((rung, result), number)| {
        let labels: Labels = vec![
            ("rung", rung.as_str().to_owned()),
            ("result", (*result).to_owned()),
        ];
        (labels, count(*number))
    });
    let unused = [
        ("late", counters.late),
        ("lost", counters.lost),
        ("delayed", counters.delayed),
    ];
    let unused = unused.map(|(which, number)| (vec![("which", which.to_owned())], count(number)));
    let in_flight = i64::try_from(health.in_flight()).unwrap_or(i64::MAX);
    vec![
        Family::new(Name::NodeHealth, states),
        Family::new(Name::NodeWeight, weights),
        Family::new(Name::ServiceServers, serving.collect()),
        Family::new(Name::Probes, probes.collect()),
        Family::new(Name::ProbesUnused, unused.into()),
        Family::one(Name::ProbesBudget, count(health.probes_per_second())),
        Family::one(Name::ProbesInFlight, in_flight),
        Family::one(Name::HealthChanges, count(counters.changes)),
    ]
}

/// A change as a line of the log.
pub(super) fn tell(own: &str, event: &HealthEvent) {
    match event {
        HealthEvent::Node {
            node,
            family,
            from,
            to,
            reason,
        } => {
            let (family, from, to) = (family.as_str(), from.as_str(), to.as_str());
            tracing::info!(event = "nodeHealth", own, node, family, from, to, reason = %reason, "the health of a node changed");
        }
        HealthEvent::Service {
            service,
            node,
            from,
            to,
            reason,
        } => {
            let (from, to) = (from.as_str(), to.as_str());
            tracing::info!(event = "serviceHealth", own, %service, node, from, to, reason = %reason, "who can serve a Service changed");
        }
        HealthEvent::Held { node, hold, .. } => {
            let seconds = hold.as_secs();
            tracing::warn!(
                event = "nodeHeld",
                own,
                node,
                seconds,
                "it changes too often and is held out"
            );
        }
        HealthEvent::BadAnswer {
            service,
            node,
            reason,
            ..
        } => {
            tracing::warn!(event = "badHealthAnswer", own, %service, node, reason = %reason, "a health port does not answer as it should");
        }
        HealthEvent::AllBackendsUnhealthy { service, family } => {
            let service = service.as_ref().map(ToString::to_string);
            let family = family.map(engine::world::Family::as_str);
            tracing::warn!(
                event = "allBackendsUnhealthy",
                own,
                service,
                family,
                "no node is healthy"
            );
        }
        HealthEvent::BackendsBack { service, family } => {
            let service = service.as_ref().map(ToString::to_string);
            let family = family.map(engine::world::Family::as_str);
            tracing::info!(
                event = "backendsBack",
                own,
                service,
                family,
                "a node is healthy again"
            );
        }
        HealthEvent::Isolated {
            isolated,
            reaches,
            of,
        } => {
            tracing::warn!(
                event = "observerIsolated",
                own,
                isolated,
                reaches,
                of,
                "whether this node reaches enough others to be believed changed"
            );
        }
    }
}
