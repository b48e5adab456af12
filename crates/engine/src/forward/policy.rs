//! Who takes the packets of a Service, and by which rules its node is chosen: its annotations, else
//! where this machine stands.

use super::Traffic;
use super::words::{PANIC, TRAFFIC, WEIGHTS};
use crate::config::FrontProfile;
use crate::health::{Panic, PanicPolicy, Weights};
use crate::problem::{Severity, reason};
use crate::world::{Service, TrafficPolicy};

/// What a speaker is told once about traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardOptions {
    /// This machine is no node of the cluster: no kube-proxy takes what arrives here.
    pub outside: bool,
    /// The mode of Services that do not say; none: by where this machine stands.
    pub traffic: Option<Traffic>,
    /// The guard stands before the addresses of Services in `node` mode too.
    pub guard: bool,
}

/// What holds for one Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who takes the packets.
    pub traffic: Traffic,
    /// What to do when too few nodes are healthy.
    pub panic: Panic,
    /// How shares are made.
    pub weights: Weights,
    /// A client keeps its node whatever its port: `sessionAffinity: ClientIP`.
    pub by_source: bool,
}

/// Something to be told about a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) severity: Severity,
    pub(super) reason: &'static str,
    pub(super) text: String,
}

impl Note {
    pub(super) fn new(severity: Severity, reason: &'static str, text: impl Into<String>) -> Self {
        Self {
            severity,
            reason,
            text: text.into(),
        }
    }
}

/// Annotations of a Service that say how it is fronted, without their prefix.
pub const ANNOTATIONS: [&str; 4] = ["traffic", "panic", "panicThreshold", "weights"];

/// Prefix of the annotations.
const PREFIX: &str = "harbinger.dev/";

/// What holds for a Service, its oddities left out.
pub fn policy(
    service: &Service,
    profile: Option<&FrontProfile>,
    options: ForwardOptions,
) -> Policy {
    judged(service, profile, options, &mut Vec::new())
}

/// Its panic policy is `withdraw`.
pub fn withdraws(service: &Service, profile: Option<&FrontProfile>) -> bool {
    let asked = word(service, "panic", &PANIC, &mut Vec::new());
    asked.or_else(|| profile?.panic) == Some(PanicPolicy::Withdraw)
}

/// What holds for a Service, and what is to be told about it.
pub(super) fn judged(
    service: &Service,
    profile: Option<&FrontProfile>,
    options: ForwardOptions,
    notes: &mut Vec<Note>,
) -> Policy {
    let asked = word(service, "traffic", &TRAFFIC, notes).or_else(|| profile?.traffic);
    let traffic = traffic(service, asked, options, notes);
    Policy {
        traffic,
        panic: Panic {
            policy: word(service, "panic", &PANIC, notes)
                .or_else(|| profile?.panic)
                .unwrap_or_default(),
            threshold: percent(service, "panicThreshold", notes)
                .or_else(|| profile?.threshold)
                .unwrap_or_default(),
        },
        weights: word(service, "weights", &WEIGHTS, notes)
            .or_else(|| profile?.weights)
            .unwrap_or_default(),
        by_source: service.affinity_secs.is_some(),
    }
}

fn traffic(
    service: &Service,
    asked: Option<Traffic>,
    options: ForwardOptions,
    notes: &mut Vec<Note>,
) -> Traffic {
    let affinity = service.affinity_secs.is_some();
    let local = service.external_policy == TrafficPolicy::Local;
    let usual = options.traffic.unwrap_or(Traffic::Node);
    let traffic = match asked {
        _ if options.outside => Traffic::Front,
        Some(asked) => asked,
        // A front hides the client, which is what both are for.
        None if affinity || local => Traffic::Node,
        None => usual,
    };
    if options.outside && asked == Some(Traffic::Node) {
        let text = "traffic mode node (annotation harbinger.dev/traffic, or the FrontProfile) cannot be had on a machine outside the cluster, where nobody else takes the packets; it is fronted";
        notes.push(Note::new(Severity::Warning, reason::NO_NODE_MODE, text));
    }
    if traffic == Traffic::Front && affinity {
        let text = "spec.sessionAffinity: ClientIP in front mode holds each client to a node; the node's kube-proxy sees one client, the front, and holds all of them to one pod. Use mode node in the cluster to hold clients to pods";
        notes.push(Note::new(
            Severity::Warning,
            reason::AFFINITY_IN_FRONT,
            text,
        ));
    }
    if traffic == Traffic::Front && local {
        let text = "spec.externalTrafficPolicy: Local in front mode sends to nodes with endpoints alone, and the pods see the front's address, not the client's. Mode node in the cluster, or the PROXY protocol of the application, keep it";
        notes.push(Note::new(Severity::Note, reason::CLIENT_ADDRESS_LOST, text));
    }
    if traffic == Traffic::Front && service.no_node_ports && !options.outside && unfronted(service)
    {
        let text = "spec.allocateLoadBalancerNodePorts: false leaves nothing to front: the announcing node's own kube-proxy takes the packets";
        notes.push(Note::new(Severity::Note, reason::NO_NODE_PORT, text));
        return Traffic::Node;
    }
    traffic
}

/// It has no NodePort at all.
fn unfronted(service: &Service) -> bool {
    service.ports.iter().all(|port| port.node_port.is_none())
}

/// The value of an annotation that is one of a few words.
fn word<T: Copy>(
    service: &Service,
    field: &str,
    words: &[(&str, T)],
    notes: &mut Vec<Note>,
) -> Option<T> {
    let value = service.annotations.get(&format!("{PREFIX}{field}"))?;
    let found = words.iter().find(|(word, _)| word == value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = format!(
            "annotation {PREFIX}{field}: {value:?} is none of {}; it is as if it were not there",
            known.join(", ")
        );
        notes.push(Note::new(
            Severity::Warning,
            reason::INVALID_ANNOTATION,
            text,
        ));
    }
    found.map(|(_, value)| *value)
}

/// The value of an annotation that is a percentage.
fn percent(service: &Service, field: &str, notes: &mut Vec<Note>) -> Option<u8> {
    let value = service.annotations.get(&format!("{PREFIX}{field}"))?;
    let parsed = value.parse().ok().filter(|percent| *percent <= 100);
    if parsed.is_none() {
        let text = format!(
            "annotation {PREFIX}{field}: {value:?} is no number from 0 to 100; it is as if it were not there"
        );
        notes.push(Note::new(
            Severity::Warning,
            reason::INVALID_ANNOTATION,
            text,
        ));
    }
    parsed
}
