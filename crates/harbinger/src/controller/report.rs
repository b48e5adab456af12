//! The controller as numbers and pages.

use std::collections::BTreeMap;

use engine::controller::Controller;
use engine::lease::Leadership;
use engine::problem::{Problem, Severity};

use crate::admin::Page;
use crate::metrics::{Family, Labels, Name, count};

/// Problems told in the log at once; the rest is in ConfigurationState and metrics.
const PROBLEMS_TOLD_MAX: usize = 10;

/// What the loop itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) changes: u64,
    pub(super) unreadable: u64,
    pub(super) turns: u64,
    pub(super) busy_micros: u64,
    pub(super) loaded: bool,
}

pub(super) fn families(machine: &Controller, counters: &Counters, leads: bool) -> Vec<Family> {
    let mut all = vec![
        Family::one(Name::ClientUpdates, count(counters.changes)),
        Family::one(Name::ClientUpdateErrors, count(counters.unreadable)),
        Family::one(Name::ClientConfigLoaded, i64::from(counters.loaded)),
        Family::one(
            Name::ClientConfigStale,
            i64::from(machine.is_config_stale()),
        ),
        Family::one(Name::Leader, i64::from(leads)),
        Family::new(Name::Turns, vec![(of_loop(), count(counters.turns))]),
        Family::new(
            Name::TurnMicros,
            vec![(of_loop(), count(counters.busy_micros))],
        ),
        problems("controller", machine.problems()),
        services(machine),
    ];
    all.extend(pools(machine));
    all
}

fn of_loop() -> Labels {
    vec![("loop", "controller".to_owned())]
}

/// Problems by severity and reason.
pub(crate) fn problems<'a>(
    role: &'static str,
    problems: impl Iterator<Item = &'a Problem>,
) -> Family {
    let mut sums: BTreeMap<(Severity, &'static str), i64> = BTreeMap::new();
    for problem in problems {
        *sums.entry((problem.severity, problem.reason)).or_default() += 1;
    }
    let samples = sums.into_iter().map(|((severity, reason), sum)| {
        let labels: Labels = vec![
            ("role", role.to_owned()),
            ("severity", severity.as_str().to_owned()),
            ("reason", reason.to_owned()),
        ];
        (labels, sum)
    });
    Family::new(Name::Problems, samples.collect())
}

fn services(machine: &Controller) -> Family {
    let mut sums: BTreeMap<&'static str, i64> = BTreeMap::new();
    for (_, decision) in machine.decisions() {
        *sums.entry(decision.change.as_str()).or_default() += 1;
    }
    let samples = sums.into_iter().map(|(change, sum)| {
        let labels: Labels = vec![("change", change.to_owned())];
        (labels, sum)
    });
    Family::new(Name::Services, samples.collect())
}

/// MetalLB's names. `services_allocated_total`, which MetalLB registers and never sets, is set here.
fn pools(machine: &Controller) -> Vec<Family> {
    let reports = machine.pool_reports();
    let mut holders: BTreeMap<&str, i64> = BTreeMap::new();
    let decisions: Vec<_> = machine.decisions().collect();
    for (_, decision) in &decisions {
        if let Some(pool) = decision.pool.as_deref() {
            *holders.entry(pool).or_default() += 1;
        }
    }
    let family = |name: Name, value: &dyn Fn(&engine::controller::PoolReport) -> i64| {
        let samples = reports.iter().map(|report| {
            let labels: Labels = vec![("pool", report.name.clone())];
            (labels, value(report))
        });
        Family::new(name, samples.collect())
    };
    vec![
        family(Name::AllocatorAddresses, &|r| {
            r.total_ipv4.saturating_add(r.total_ipv6)
        }),
        family(Name::AllocatorIpv4Addresses, &|r| r.total_ipv4),
        family(Name::AllocatorIpv6Addresses, &|r| r.total_ipv6),
        family(Name::AllocatorAddressesInUse, &|r| {
            r.status
                .assigned_ipv4
                .saturating_add(r.status.assigned_ipv6)
        }),
        family(Name::AllocatorIpv4AddressesInUse, &|r| {
            r.status.assigned_ipv4
        }),
        family(Name::AllocatorIpv6AddressesInUse, &|r| {
            r.status.assigned_ipv6
        }),
        family(Name::AllocatorServicesAllocated, &|r| {
            holders.get(r.name.as_str()).copied().unwrap_or(0)
        }),
    ]
}

pub(super) fn page(machine: &Controller, page: Page, leadership: &Leadership) -> String {
    match page {
        Page::World => format!("{:#?}", machine.world()),
        Page::Plan => {
            let decisions: BTreeMap<String, _> = machine
                .decisions()
                .map(|(name, decision)| (name.to_string(), decision))
                .collect();
            let problems: Vec<&Problem> = machine.problems().collect();
            format!("{decisions:#?}\n{problems:#?}")
        }
        Page::Facts => format!(
            "{leadership:#?}\n{:#?}\nin flight: {}, pending: {}\n{:#?}",
            machine.counters(),
            machine.in_flight(),
            machine.pending_writes(),
            machine.ledger(),
        ),
        Page::Health => String::new(),
        Page::Front => String::new(),
    }
}

pub(super) fn tell_stale<'a>(stale: bool, problems: impl Iterator<Item = &'a Problem>) {
    if !stale {
        tracing::info!(
            event = "configValid",
            "every object of the configuration is used"
        );
        return;
    }
    let errors = problems.filter(|problem| problem.severity == Severity::Error);
    for problem in errors.take(PROBLEMS_TOLD_MAX) {
        tracing::error!(
            event = "configInvalid", kind = problem.kind, object = %problem.object,
            reason = problem.reason, source = problem.source.as_deref(), "{}", problem.message
        );
    }
}
