//! The wire's counters as families.

mod routers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::wire::Wire;

use super::Counters;
use super::fast::{Counts, FastPath};
use crate::metrics::{Family, Labels, Name, count};

pub(super) fn families(wire: &Wire, fast: &FastPath, counters: &Counters) -> Vec<Family> {
    let by_kernel = fast.addresses();
    let mut sum = fast.gone();
    by_kernel.iter().for_each(|(_, counts)| sum.add(*counts));
    let mut all = layer2(wire, &by_kernel);
    all.extend(frames(wire, sum));
    let interfaces = i64::try_from(fast.interfaces()).unwrap_or(i64::MAX);
    all.push(Family::one(Name::FastPathInterfaces, interfaces));
    all.push(Family::one(Name::FastPathReplies, count(sum.replies)));
    all.push(Family::one(
        Name::FramesUnsent,
        count(counters.frames_unsent),
    ));
    let of_loop = || vec![("loop", "wire".to_owned())];
    all.push(Family::new(
        Name::Turns,
        vec![(of_loop(), count(counters.turns))],
    ));
    all.push(Family::new(
        Name::TurnMicros,
        vec![(of_loop(), count(counters.busy_micros))],
    ));
    all.push(Family::one(
        Name::LateTurns,
        count(wire.counters().late_turns),
    ));
    all.extend(claims(wire));
    all.extend(members(wire, counters));
    all.extend(routers::families(wire.routers()));
    all
}

fn claims(wire: &Wire) -> Vec<Family> {
    let moves = wire.moves();
    let by_reason = [
        ("taken", moves.taken),
        ("takenOver", moves.taken_over),
        ("handedOver", moves.handed),
        ("abandoned", moves.abandoned),
        ("beaten", moves.lost),
        ("released", moves.released),
        ("link", moves.link),
        ("isolated", moves.isolated),
    ];
    let samples = by_reason.map(|(reason, value)| {
        let labels: Labels = vec![("reason", reason.to_owned())];
        (labels, count(value))
    });
    vec![
        Family::one(
            Name::ClaimsHeld,
            i64::try_from(wire.claims().count()).unwrap_or(i64::MAX),
        ),
        Family::one(Name::ClaimsLost, count(moves.lost)),
        Family::new(Name::Moves, samples.to_vec()),
    ]
}

/// MetalLB's three and ours: by address, over all interfaces. An address that leaves takes its series with it and
/// begins at 0 when it returns, which readers of counters take for a restart.
fn layer2(wire: &Wire, by_kernel: &[(IpAddr, Counts)]) -> Vec<Family> {
    let mut sums: BTreeMap<IpAddr, [u64; 6]> = BTreeMap::new();
    for (_, responder) in wire.responders() {
        for (address, counters) in &responder.counters().addresses {
            let sum = sums.entry(*address).or_default();
            let more = [
                counters.requests_received,
                counters.responses_sent,
                counters.gratuitous_sent,
                counters.foreign_claims,
                counters.speaker_claims,
                counters.defences,
            ];
            for (sum, more) in sum.iter_mut().zip(more) {
                *sum = sum.saturating_add(more);
            }
        }
    }
    for (address, counts) in by_kernel {
        let [received, sent, ..] = sums.entry(*address).or_default();
        let requests = counts.replies.saturating_add(counts.limited);
        *received = received.saturating_add(requests);
        *sent = sent.saturating_add(counts.replies);
    }
    let family = |name, pick: fn(&[u64; 6]) -> u64| {
        let samples = sums.iter().map(|(address, sum)| {
            let labels: Labels = vec![("ip", address.to_string())];
            (labels, count(pick(sum)))
        });
        Family::new(name, samples.collect())
    };
    vec![
        family(Name::Layer2RequestsReceived, |[received, ..]| *received),
        family(Name::Layer2ResponsesSent, |[_, sent, ..]| *sent),
        family(Name::Layer2GratuitousSent, |[_, _, gratuitous, ..]| {
            *gratuitous
        }),
        family(Name::ForeignClaims, |[_, _, _, claims, ..]| *claims),
        family(Name::SpeakerClaims, |[.., claims, _]| *claims),
        family(Name::Defences, |[.., defences]| *defences),
        Family::new(Name::AddressesInUse, in_use(wire)),
    ]
}

/// 1 for each address that is held back because another station has it.
fn in_use(wire: &Wire) -> Vec<(Labels, i64)> {
    let addresses: BTreeSet<IpAddr> = wire
        .responders()
        .flat_map(|(_, responder)| responder.in_use().map(|(address, _)| address))
        .collect();
    let sample = |address: IpAddr| (vec![("ip", address.to_string())], 1);
    addresses.into_iter().map(sample).collect()
}

fn frames(wire: &Wire, by_kernel: Counts) -> Vec<Family> {
    let mut dropped: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut received = by_kernel.replies.saturating_add(by_kernel.limited);
    dropped.insert(l2::DropReason::RateLimited.as_str(), by_kernel.limited);
    for (_, responder) in wire.responders() {
        let counters = responder.counters();
        received = received.saturating_add(counters.frames_received);
        for reason in l2::DropReason::ALL {
            let sum = dropped.entry(reason.as_str()).or_default();
            *sum = sum.saturating_add(counters.dropped(*reason));
        }
    }
    vec![
        Family::one(Name::FramesReceived, count(received)),
        Family::new(Name::FramesDropped, reasons(dropped)),
    ]
}

fn reasons(sums: BTreeMap<&'static str, u64>) -> Vec<(Labels, i64)> {
    sums.into_iter()
        .map(|(reason, sum)| (vec![("reason", reason.to_owned())], count(sum)))
        .collect()
}

fn members(wire: &Wire, own: &Counters) -> Vec<Family> {
    let view = &wire.facts().members;
    let mut all = vec![
        Family::one(
            Name::MembersAlive,
            i64::try_from(view.alive.len()).unwrap_or(i64::MAX),
        ),
        Family::one(Name::MembersSettled, i64::from(view.settled)),
    ];
    let Some(membership) = wire.membership() else {
        return all;
    };
    let counters = membership.counters();
    let direction = |name: &str, value: u64| {
        let labels: Labels = vec![("direction", name.to_owned())];
        (labels, count(value))
    };
    all.push(Family::new(
        Name::MembersDatagrams,
        vec![
            direction("received", counters.received),
            direction("sent", counters.sent.saturating_sub(own.datagrams_unsent)),
        ],
    ));
    let dropped = members::DropReason::ALL
        .iter()
        .map(|reason| (reason.label(), counters.dropped(*reason)))
        .collect();
    all.push(Family::new(Name::MembersDropped, reasons(dropped)));
    all
}
