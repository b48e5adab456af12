//! FrontProfiles: checked, and which of them a Service has.
//!
//! Owns [`FrontProfile`] and the order in which they count: by name, the first that selects a Service. What a Service's
//! annotations say goes before it; that is `forward::policy`'s.

#[cfg(test)]
mod tests;

use super::{Judge, PoolSet, counts, duration};
use crate::forward::Traffic;
use crate::forward::words::{PANIC, TRAFFIC, WEIGHTS};
use crate::health::{
    INTERVAL_FLOOR, PanicPolicy, Settings, THRESHOLD_MAX, TIME_MAX, TIMEOUT_FLOOR, Weights,
};
use crate::name::Kind;
use crate::problem::{Problem, Severity, reason};
use crate::selector::{Selector, any_matches};
use crate::world::{self, Service, World};
use std::collections::BTreeSet;
use std::time::Duration;

/// A FrontProfile that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontProfile {
    /// `metadata.name`.
    pub name: String,
    /// Names of the pools; empty: all.
    pub pools: BTreeSet<String>,
    /// Services; empty: all.
    pub service_selectors: Vec<Selector>,
    /// Who takes the packets; none: by where the machine stands.
    pub traffic: Option<Traffic>,
    /// What is done when too few nodes are healthy.
    pub panic: Option<PanicPolicy>,
    /// Percent of the nodes that have to be healthy.
    pub threshold: Option<u8>,
    /// How shares are made.
    pub weights: Option<Weights>,
    /// Times and thresholds of the probes, with the defaults where nothing is said.
    pub settings: Settings,
}

impl FrontProfile {
    fn selects(&self, service: &Service, pool: Option<&str>) -> bool {
        let of_pool = self.pools.is_empty() || pool.is_some_and(|pool| self.pools.contains(pool));
        let labels = &self.service_selectors;
        of_pool && (labels.is_empty() || any_matches(labels, &service.labels))
    }

    fn selects_all(&self) -> bool {
        self.pools.is_empty() && self.service_selectors.is_empty()
    }
}

/// All that may be used, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontProfiles(Vec<FrontProfile>);

impl FrontProfiles {
    /// That of a Service whose addresses are of this pool.
    pub fn of(&self, service: &Service, pool: Option<&str>) -> Option<&FrontProfile> {
        self.0.iter().find(|profile| profile.selects(service, pool))
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of the probes of nodes, which all Services share: those of the first profile that is for all of them.
    pub fn node_settings(&self) -> Settings {
        let for_all = self.0.iter().find(|profile| profile.selects_all());
        for_all.map(|profile| profile.settings).unwrap_or_default()
    }
}

/// Parses every FrontProfile of our namespace. One with a bad selector is refused; a value that cannot be used is told and
/// keeps its default.
pub fn front_profiles(
    world: &World,
    pools: &PoolSet,
    namespace: &str,
) -> (FrontProfiles, Vec<Problem>) {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for stored in world.front_profiles.iter() {
        let raw = &stored.object;
        let source = stored.origin.source.clone();
        let mut judge = Judge::new(Kind::FrontProfile, &raw.name, source);
        if counts(&mut judge, namespace) {
            all.extend(parse(raw, pools, &mut judge));
        }
        problems.append(&mut judge.problems);
    }
    (FrontProfiles(all), problems)
}

fn parse(
    raw: &world::FrontProfile,
    pools: &PoolSet,
    judge: &mut Judge<'_>,
) -> Option<FrontProfile> {
    let names = judge.distinct("spec.ipAddressPools", &raw.pools);
    let names: BTreeSet<String> = names.into_iter().cloned().collect();
    for name in names.iter().filter(|name| pools.get(name).is_none()) {
        let text = format!("spec.ipAddressPools: there is no pool {name:?}");
        judge.tell(Severity::Warning, reason::UNKNOWN_POOL, text);
    }
    let service_selectors = judge.selectors("spec.serviceSelectors", &raw.service_selectors);
    let profile = FrontProfile {
        name: raw.name.name.to_string(),
        pools: names,
        service_selectors: Vec::new(),
        traffic: word(judge, "mode", &raw.mode, &TRAFFIC),
        panic: word(judge, "panic.policy", &raw.panic, &PANIC),
        threshold: number(judge, "panic.threshold", raw.threshold, 0, 100),
        weights: word(judge, "weights", &raw.weights, &WEIGHTS),
        settings: settings(raw, judge),
    };
    Some(FrontProfile {
        service_selectors: service_selectors?,
        ..profile
    })
}

fn settings(raw: &world::FrontProfile, judge: &mut Judge<'_>) -> Settings {
    let default = Settings::default();
    let most = u8::try_from(THRESHOLD_MAX).unwrap_or(u8::MAX);
    let mut time = |field: &str, value: &Option<String>, floor: Duration, default: Duration| {
        let text = value.as_deref()?;
        let read = duration::parse(text).filter(|time| (floor..=TIME_MAX).contains(time));
        if read.is_none() {
            let text = format!(
                "spec.{field}: {text:?} is no duration from {floor:?} to {} h; {default:?} stays",
                TIME_MAX.as_secs() / 3600
            );
            judge.error(reason::INVALID_FIELD, text);
        }
        read
    };
    let probes = INTERVAL_FLOOR;
    let none = Duration::ZERO;
    let interval = time("health.interval", &raw.interval, probes, default.interval);
    let timeout = time(
        "health.timeout",
        &raw.timeout,
        TIMEOUT_FLOOR,
        default.timeout,
    );
    let fast = time(
        "health.fastInterval",
        &raw.fast_interval,
        probes,
        default.fast,
    );
    let slow = time(
        "health.slowInterval",
        &raw.slow_interval,
        probes,
        default.slow,
    );
    let drain = time("drainTimeout", &raw.drain_timeout, none, default.drain);
    let slow_start = time("slowStart", &raw.slow_start, none, default.slow_start);
    let fall = number(judge, "health.fall", raw.fall, 1, most);
    let rise = number(judge, "health.rise", raw.rise, 1, most);
    let settings = Settings {
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.unwrap_or(default.timeout),
        fall: fall.map_or(default.fall, u32::from),
        rise: rise.map_or(default.rise, u32::from),
        fast: fast.unwrap_or(default.fast),
        slow: slow.unwrap_or(default.slow),
        drain: drain.unwrap_or(default.drain),
        slow_start: slow_start.unwrap_or(default.slow_start),
    };
    settings.clamped()
}

fn word<T: Copy>(
    judge: &mut Judge<'_>,
    field: &str,
    value: &Option<String>,
    words: &[(&str, T)],
) -> Option<T> {
    let value = value.as_deref()?;
    let found = words.iter().find(|(word, _)| *word == value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = format!("spec.{field}: {value:?} is none of {}", known.join(", "));
        judge.error(reason::INVALID_FIELD, text);
    }
    found.map(|(_, value)| *value)
}

fn number(judge: &mut Judge<'_>, field: &str, value: Option<i64>, low: u8, high: u8) -> Option<u8> {
    let value = value?;
    let read = u8::try_from(value)
        .ok()
        .filter(|n| (low..=high).contains(n));
    if read.is_none() {
        let text = format!("spec.{field}: {value} is not within {low} and {high}");
        judge.error(reason::INVALID_FIELD, text);
    }
    read
}
