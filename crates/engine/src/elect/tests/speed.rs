//! What one change costs at full size; `make bench` runs it in release.

use super::build::*;
use crate::config;
use crate::elect::{Elector, big};
use crate::facts::MembersView;
use crate::speaker::tests::lan::{interface, listing};
use crate::speaker::{Speaker, SpeakerConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SERVICES: u32 = 10_000;
const NODES: u32 = 200;

#[allow(clippy::disallowed_methods, reason = "a measurement")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn members(without: Option<u32>) -> MembersView {
    let alive = (0..NODES).filter(|at| Some(*at) != without);
    MembersView {
        settled: true,
        alive: alive
            .map(|at| (format!("node-{at}"), crate::record::unknown()))
            .collect(),
        ..MembersView::default()
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p engine -- --ignored --nocapture speed"]
fn speed_of_one_change_among_10000_services_and_200_nodes() {
    let mut world = big::world(SERVICES, NODES, NAMESPACE);
    let (pools, _) = config::pools(&world, NAMESPACE);
    let (ads, _) = config::l2_advertisements(&world, &pools, NAMESPACE);
    let mut elector = Elector::default();
    elector.set_config(Arc::new(pools), ads);
    elector.set_members(&members(None));
    let (_, first) = timed(|| elector.update(&world));
    println!("first plan: {first:?}");
    let mut worst = Duration::ZERO;
    for at in 0..100 {
        let change = big::endpoint_change(at * 97, NODES, at % 2 == 0);
        let (_, took) = timed(|| {
            let touched = world.apply(change);
            elector.touch(&touched);
            elector.update(&world)
        });
        worst = worst.max(took);
    }
    println!("one endpoint change, elector, worst of 100: {worst:?}");
    elector.set_members(&members(Some(7)));
    let (_, death) = timed(|| elector.update(&world));
    println!("a node dies: {death:?}");
}

#[test]
#[ignore = "a measurement: cargo test --release -p engine -- --ignored --nocapture speed"]
fn speed_of_a_turn_of_the_speaker() {
    let world = big::world(SERVICES, NODES, NAMESPACE);
    let now = crate::speaker::tests::lan::base();
    let mut speaker = Speaker::new(SpeakerConfig::new("node-3", NAMESPACE), 1, now);
    for change in listing(&world) {
        speaker.handle_change(change);
    }
    speaker.handle_facts(crate::facts::Facts {
        interfaces: Some(BTreeMap::from([(2, interface(1, 2))])),
        members: members(None),
        ..Default::default()
    });
    let (_, first) = timed(|| speaker.turn(now));
    println!("first turn: {first:?}");
    let mut worst = Duration::ZERO;
    for at in 0..100 {
        let change = big::endpoint_change(at * 97, NODES, at % 2 == 0);
        let (_, took) = timed(|| {
            speaker.handle_change(change);
            speaker.turn(now);
        });
        worst = worst.max(took);
    }
    println!("one endpoint change, whole turn, worst of 100: {worst:?}");
}
