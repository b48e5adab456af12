//! BFDProfiles: the timers, checked; what is absent has FRR's default.

use super::super::{Judge, counts};
use super::extension;
use crate::name::Kind;
use crate::problem::{Problem, reason};
use crate::world::{self, World};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A BFDProfile that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdProfile {
    /// `metadata.name`.
    pub name: String,
    /// Shortest interval at which we can receive.
    pub receive_interval: Duration,
    /// Shortest interval at which we send.
    pub transmit_interval: Duration,
    /// Packets that may be missed.
    pub detect_multiplier: u8,
    /// Interval of echo packets; none: no echo.
    pub echo_interval: Option<Duration>,
    /// We wait for the peer's first packet.
    pub passive: bool,
    /// Lowest time to live that is accepted over several hops.
    pub minimum_ttl: u8,
}

/// FRR's defaults (compat/metallb.md 2.5).
const INTERVAL_MS: u16 = 300;
const ECHO_INTERVAL_MS: u16 = 50;
const MULTIPLIER: u8 = 3;
const MINIMUM_TTL: u8 = 254;

const INTERVALS_MS: RangeInclusive<i64> = 10..=60_000;
const MULTIPLIERS: RangeInclusive<i64> = 2..=255;
const TTLS: RangeInclusive<i64> = 1..=254;

pub(super) fn parse(
    world: &World,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<BfdProfile>> {
    let mut all = BTreeMap::new();
    for stored in world.bfd_profiles.iter() {
        let raw = &stored.object;
        let source = stored.origin.source.clone();
        let mut judge = Judge::new(Kind::BfdProfile, &raw.name, source);
        if counts(&mut judge, namespace)
            && let Some(profile) = one(raw, &mut judge)
        {
            all.insert(raw.name.name.to_string(), Arc::new(profile));
        }
        problems.append(&mut judge.problems);
    }
    all
}

fn one(raw: &world::BfdProfile, judge: &mut Judge<'_>) -> Option<BfdProfile> {
    extension::refuse_unknown(&raw.annotations, &[], judge);
    let receive = interval(judge, "receiveInterval", raw.receive_interval, INTERVAL_MS);
    let transmit = interval(
        judge,
        "transmitInterval",
        raw.transmit_interval,
        INTERVAL_MS,
    );
    let echo = interval(judge, "echoInterval", raw.echo_interval, ECHO_INTERVAL_MS);
    let multiplier = octet(
        judge,
        "detectMultiplier",
        raw.detect_multiplier,
        MULTIPLIERS,
        MULTIPLIER,
    );
    let minimum_ttl = octet(judge, "minimumTtl", raw.minimum_ttl, TTLS, MINIMUM_TTL);
    Some(BfdProfile {
        name: raw.name.name.to_string(),
        receive_interval: receive?,
        transmit_interval: transmit?,
        detect_multiplier: multiplier?,
        echo_interval: echo.filter(|_| raw.echo_mode),
        passive: raw.passive_mode,
        minimum_ttl: minimum_ttl?,
    })
}

fn interval(
    judge: &mut Judge<'_>,
    field: &str,
    value: Option<i64>,
    default: u16,
) -> Option<Duration> {
    let millis = within(judge, field, value, INTERVALS_MS, i64::from(default))?;
    u64::try_from(millis).ok().map(Duration::from_millis)
}

fn octet(
    judge: &mut Judge<'_>,
    field: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
    default: u8,
) -> Option<u8> {
    u8::try_from(within(judge, field, value, range, i64::from(default))?).ok()
}

fn within(
    judge: &mut Judge<'_>,
    field: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
    default: i64,
) -> Option<i64> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Some(value);
    }
    let (low, high) = (range.start(), range.end());
    let text = format!("spec.{field}: {value} is not within {low} and {high}");
    judge.error(reason::INVALID_FIELD, text);
    None
}
