//! The forward table in words, for `/debug/front` and `harbinger front`.
//!
//! Owns the shape `harbinger.dev/front/v1`: fields are only ever added, lists are sorted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use engine::forward::{ForwardTable, Front, FrontPort, Target, TargetSet, Traffic};
use serde::{Deserialize, Serialize};

/// The whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shown {
    /// `harbinger.dev/front/v1`.
    pub api_version: String,
    /// The kernel's table is open.
    pub open: bool,
    /// What keeps it from being applied.
    pub failing: Option<String>,
    /// By address, protocol and port.
    pub ports: Vec<PortLine>,
    /// Addresses without any open port.
    pub closed: Vec<String>,
    /// Node addresses whose flows have been forgotten.
    pub dead: Vec<String>,
    /// Node addresses that get nothing new, and what is established there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<DrainLine>,
}

/// One node address that drains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DrainLine {
    /// The node's address.
    pub address: String,
    /// Connections that are tracked; none: they cannot be counted.
    pub connections: Option<u64>,
}

/// One port of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct PortLine {
    pub address: String,
    pub protocol: String,
    pub port: u16,
    pub service: String,
    pub traffic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ranges: Vec<String>,
    pub by_source: bool,
    pub targets: Vec<TargetLine>,
}

/// One node behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct TargetLine {
    pub node: String,
    pub address: String,
    pub up: bool,
    pub local: bool,
    /// Slots of the table that lead there.
    pub slots: u32,
    /// Slots of the table.
    pub of: u32,
}

/// Puts a table into words.
pub fn shown(table: &ForwardTable, open: bool, failing: Option<String>) -> Shown {
    Shown {
        api_version: "harbinger.dev/front/v1".to_owned(),
        open,
        failing,
        ports: table.ports.iter().map(port_line).collect(),
        closed: table.closed.iter().map(ToString::to_string).collect(),
        dead: table.dead.iter().map(ToString::to_string).collect(),
        draining: Vec::new(),
    }
}

/// One port in words.
pub fn port_line((front, port): (&Front, &FrontPort)) -> PortLine {
    let targets = port.targets.as_deref();
    PortLine {
        address: front.address.to_string(),
        protocol: front.protocol.as_str().to_owned(),
        port: front.port,
        service: port.service.to_string(),
        traffic: match port.traffic {
            Traffic::Node => "node",
            Traffic::Front => "front",
        }
        .to_owned(),
        node_port: port.node_port,
        source_ranges: port.source_ranges.iter().map(ToString::to_string).collect(),
        by_source: targets.is_some_and(|set| set.by_source),
        targets: targets.map(target_lines).unwrap_or_default(),
    }
}

fn target_lines(set: &TargetSet) -> Vec<TargetLine> {
    let shares: BTreeMap<String, u32> = dataplane::shares(set);
    let of = dataplane::slots(set);
    let line = |target: &Target| TargetLine {
        node: target.node.clone(),
        address: target.address.to_string(),
        up: target.up,
        local: target.local,
        slots: shares.get(&target.node).copied().unwrap_or(0),
        of,
    };
    set.targets.iter().map(line).collect()
}

/// As JSON.
pub fn json(shown: &Shown) -> String {
    serde_json::to_string_pretty(shown).unwrap_or_default()
}

/// For a person.
pub fn text(shown: &Shown) -> String {
    let mut out = String::new();
    if let Some(why) = &shown.failing {
        let _infallible = writeln!(out, "NOT APPLIED: {why}");
    }
    if shown.ports.is_empty() && shown.closed.is_empty() {
        out.push_str("nothing is fronted here\n");
    }
    for port in &shown.ports {
        let place = match port.address.contains(':') {
            true => format!("[{}]:{}/{}", port.address, port.port, port.protocol),
            false => format!("{}:{}/{}", port.address, port.port, port.protocol),
        };
        let way = match (port.traffic.as_str(), port.node_port) {
            ("node", _) => "kube-proxy of this node".to_owned(),
            (_, Some(node_port)) => format!("NodePort {node_port}"),
            (_, None) => "refused: no NodePort".to_owned(),
        };
        let _infallible = writeln!(out, "{place}  {}  {way}", port.service);
        if !port.source_ranges.is_empty() {
            let _infallible = writeln!(out, "    only from {}", port.source_ranges.join(", "));
        }
        for target in &port.targets {
            let state = match (target.up, target.local) {
                (false, _) => "down",
                (true, true) => "up, by its own kube-proxy",
                (true, false) => "up",
            };
            let percent = f64::from(target.slots) * 100.0 / f64::from(target.of.max(1));
            let _infallible = writeln!(
                out,
                "    {} {}  {state}  {percent:.1} %",
                target.node, target.address
            );
        }
    }
    for line in &shown.draining {
        let count = match line.connections {
            Some(count) => count.to_string(),
            None => "unknown".to_owned(),
        };
        let _infallible = writeln!(out, "{}  drains, established: {count}", line.address);
    }
    for address in &shown.closed {
        let _infallible = writeln!(out, "{address}  no open port");
    }
    out
}
