//! The speaker as numbers, pages and log lines.

use std::net::IpAddr;
use std::time::Instant;

use engine::name::NamespacedName;
use engine::plan::NodePlan;
use engine::problem::Severity;
use engine::speaker::Speaker;

use crate::admin::Page;
use crate::controller::problems;
use crate::metrics::{Family, Labels, Name, count};
use crate::speaker::wire::WireReport;

/// What the loop itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) changes: u64,
    pub(super) unreadable: u64,
    pub(super) turns: u64,
    pub(super) busy_micros: u64,
}

pub(super) fn families(
    machine: &Speaker,
    counters: &Counters,
    node: &str,
    report: &WireReport,
) -> Vec<Family> {
    let told = machine.problems();
    let stale = told
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    let of_loop = || vec![("loop", "speaker".to_owned())];
    vec![
        Family::one(Name::ClientUpdates, count(counters.changes)),
        Family::one(Name::ClientUpdateErrors, count(counters.unreadable)),
        Family::one(Name::ClientConfigLoaded, i64::from(machine.is_planned())),
        Family::one(Name::ClientConfigStale, i64::from(stale)),
        Family::new(Name::Turns, vec![(of_loop(), count(counters.turns))]),
        Family::new(
            Name::TurnMicros,
            vec![(of_loop(), count(counters.busy_micros))],
        ),
        problems("speaker", told.iter()),
        announced(machine, node),
        answering(machine, report),
    ]
    .into_iter()
    .chain(crate::speaker::health::families(machine))
    .collect()
}

/// MetalLB's gauge of what is meant to be announced.
fn announced(machine: &Speaker, node: &str) -> Family {
    let labels = |service: &NamespacedName, protocol: &str, ip: IpAddr| -> Labels {
        vec![
            ("service", service.to_string()),
            ("protocol", protocol.to_owned()),
            ("node", node.to_owned()),
            ("ip", ip.to_string()),
        ]
    };
    let mut samples = Vec::new();
    for (address, announcement) in machine.desired().plan.announcements.iter() {
        for service in &announcement.services {
            samples.push((labels(service, "layer2", *address), 1));
        }
    }
    let told = machine.routes().announced();
    for service in told.filter(|service| !machine.routes().peers_of(service).is_empty()) {
        let stored = machine.world().services.get(service);
        for address in stored.iter().flat_map(|stored| stored.object.addresses()) {
            samples.push((labels(service, "bgp", address), 1));
        }
    }
    Family::new(Name::SpeakerAnnounced, samples)
}

fn answering(machine: &Speaker, report: &WireReport) -> Family {
    let name = |index: &u32| {
        let interfaces = machine.facts().interfaces.as_ref();
        interfaces
            .and_then(|all| all.get(index))
            .map_or_else(|| index.to_string(), |interface| interface.name.clone())
    };
    let samples = report.facts.announced.iter().flat_map(|(index, set)| {
        let interface = name(index);
        set.iter().map(move |address| {
            let labels: Labels = vec![
                ("interface", interface.clone()),
                ("ip", address.to_string()),
            ];
            (labels, 1)
        })
    });
    Family::new(Name::SpeakerAnswering, samples.collect())
}

pub(super) fn page(machine: &Speaker, node: &str, page: Page) -> String {
    match page {
        Page::World => format!("{:#?}", machine.world()),
        Page::Plan => format!(
            "{:#?}\n{:#?}\n{:#?}",
            machine.desired(),
            machine.entries(),
            machine.problems()
        ),
        Page::Facts => format!("{:#?}", machine.facts()),
        Page::Health => crate::speaker::health::json(machine, node, Instant::now()),
        Page::Front => String::new(),
    }
}

/// LIMIT: lines about moves of one plan; a node that takes 10,000 addresses over has better things to do.
const MOVES_TOLD_MAX: usize = 100;

/// What begins and what ends here, a line each, up to a bound.
pub(super) fn tell_moves(node: &str, old: &NodePlan, new: &NodePlan) {
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let (old, new) = (&old.announcements, &new.announcements);
    let begun = new
        .iter()
        .filter(|(address, announcement)| old.get(address) != Some(announcement));
    // A claim that changes is no move: the announcements say who announces what.
    let mut moves = 0_usize;
    for (address, announcement) in begun {
        moves += 1;
        if moves <= MOVES_TOLD_MAX {
            let services: Vec<String> = announcement
                .services
                .iter()
                .map(ToString::to_string)
                .collect();
            tracing::info!(
                event = "serviceAnnounced", node, ip = %address, services = services.join(","),
                protocol = "layer2", "this node announces it"
            );
        }
    }
    for address in old.keys().filter(|address| !new.contains_key(address)) {
        moves += 1;
        if moves <= MOVES_TOLD_MAX {
            tracing::info!(
                event = "serviceWithdrawn", node, ip = %address, protocol = "layer2",
                "this node announces it no more"
            );
        }
    }
    if let Some(more) = moves.checked_sub(MOVES_TOLD_MAX).filter(|more| *more > 0) {
        tracing::info!(
            event = "moves",
            node,
            more,
            "and more addresses that are not listed"
        );
    }
}
