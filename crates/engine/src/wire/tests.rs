//! The wire alone: sockets that fail, turns that are shared, garbage. What several wires
//! do together is in `speaker::tests`.

use crate::facts::Interface;
use crate::plan::NodePlan;
use crate::speaker::tests::lan::{MS, arp_request, base, interface};
use crate::speaker::{Desired, MemberKeys};
use crate::wire::{Action, Event, Input, Transmit, Wire, WireConfig};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const VIP: &str = "10.0.0.1";
const SECOND: Duration = Duration::from_secs(1);

fn desired(indexes: &[u32], addresses: &[&str]) -> Arc<Desired> {
    let set: BTreeSet<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let answers = indexes.iter().map(|index| (*index, set.clone())).collect();
    Arc::new(Desired {
        plan: Arc::new(NodePlan {
            answers,
            ..NodePlan::default()
        }),
        member_peers: Some(BTreeSet::new()),
        ..Desired::default()
    })
}

fn links(indexes: &[u32]) -> BTreeMap<u32, Interface> {
    indexes
        .iter()
        .map(|index| (*index, interface(1, *index)))
        .collect()
}

/// Membership off, these interfaces up, `VIP` planned on them, nothing opened yet.
fn wire(indexes: &[u32]) -> (Wire, Instant) {
    let now = base();
    let mut wire = Wire::new(WireConfig::new("n1", None), 1, now).unwrap();
    wire.set_interfaces(&links(indexes), now);
    wire.set_desired(desired(indexes, &[VIP]), now);
    (wire, now)
}

fn opens(wire: &mut Wire) -> Vec<u32> {
    let mut opened = Vec::new();
    while let Some(action) = wire.poll_action() {
        if let Action::Open { ifindex, .. } = action {
            opened.push(ifindex);
        }
    }
    opened
}

fn open(indexes: &[u32]) -> (Wire, Instant) {
    let (mut wire, now) = wire(indexes);
    for ifindex in opens(&mut wire) {
        wire.opened(ifindex, now);
    }
    opens(&mut wire);
    (wire, now)
}

fn frames(wire: &mut Wire) -> Vec<(u32, l2::TransmitKind)> {
    let mut frames = Vec::new();
    while let Some(Transmit::Frame { ifindex, kind, .. }) = wire.poll_transmit() {
        frames.push((ifindex, kind));
    }
    frames
}

fn meta(ifindex: u32) -> l2::FrameMeta {
    l2::FrameMeta {
        ifindex,
        outgoing: false,
        vlan: None,
    }
}

// L2-47
#[test]
fn a_socket_that_fails_is_tried_again_later_and_later() {
    let (mut wire, mut now) = wire(&[2]);
    assert_eq!(opens(&mut wire), [2]);
    assert!(wire.facts().announced.is_empty(), "not before it is open");
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        wire.socket_failed(2, "permission denied", now);
        assert_eq!(
            wire.poll_event(),
            Some(Event::InterfaceFailed {
                ifindex: 2,
                why: "permission denied".into()
            })
        );
        assert_eq!(wire.facts().failures.get(&2).unwrap(), "permission denied");
        assert!(opens(&mut wire).is_empty() && frames(&mut wire).is_empty());
        assert_eq!(wire.poll_timeout(), Some(now + wait * SECOND));
        now += wait * SECOND - MS;
        wire.handle_timeout(now);
        assert!(opens(&mut wire).is_empty());
        now += MS;
        wire.handle_timeout(now);
        assert_eq!(opens(&mut wire), [2]);
    }
    wire.opened(2, now);
    assert!(wire.facts().failures.is_empty());
    assert_eq!(wire.facts().announced.len(), 1);
    // What fails after it worked waits a second again.
    wire.socket_failed(2, "network is down", now);
    assert_eq!(wire.poll_timeout(), Some(now + SECOND));
    assert!(wire.facts().announced.is_empty());
}

// L2-47
#[test]
fn a_link_event_is_a_reason_to_try_at_once() {
    let (mut wire, now) = wire(&[2]);
    opens(&mut wire);
    wire.socket_failed(2, "no such device", now);
    let mut changed = links(&[2]);
    changed.get_mut(&2).unwrap().addresses = vec!["192.0.2.9/24".parse().unwrap()];
    wire.set_interfaces(&changed, now + MS);
    assert_eq!(opens(&mut wire), [2]);
}

// L2-68
#[test]
fn groups_are_joined_again_on_new_sockets() {
    let (mut wire, mut now) = wire(&[2]);
    wire.set_desired(desired(&[2], &["fc00::1:2:3"]), now);
    let joins = |wire: &mut Wire| {
        let actions = std::iter::from_fn(|| wire.poll_action());
        actions
            .filter(|action| matches!(action, Action::JoinGroup { .. }))
            .count()
    };
    assert_eq!(joins(&mut wire), 0, "nothing to join with yet");
    wire.opened(2, now);
    assert_eq!(joins(&mut wire), 1);
    wire.socket_failed(2, "network is down", now);
    assert_eq!(joins(&mut wire), 0);
    now += SECOND;
    wire.handle_timeout(now);
    assert_eq!(opens(&mut wire), [2]);
    wire.opened(2, now);
    assert_eq!(joins(&mut wire), 1);
}

// L2-24
#[test]
fn a_storm_on_one_interface_does_not_starve_the_others() {
    let (mut wire, mut now) = open(&[2, 3, 4]);
    for _ in 0..20 {
        now += SECOND;
        wire.handle_timeout(now);
        frames(&mut wire);
    }
    let mut storm = arp_request(VIP);
    for at in 0..super::FRAMES_PER_TURN {
        // Each from another station, so that no sender's budget stops it.
        let station = u16::try_from(at).unwrap().to_be_bytes();
        storm[8..10].copy_from_slice(&station);
        storm[24..26].copy_from_slice(&station);
        let input = Input::Frame {
            ifindex: 3,
            bytes: &storm,
            meta: meta(3),
        };
        wire.handle_input(input, now);
    }
    let one = arp_request(VIP);
    for ifindex in [2, 4] {
        wire.handle_input(
            Input::Frame {
                ifindex,
                bytes: &one,
                meta: meta(ifindex),
            },
            now,
        );
    }
    let order: Vec<u32> = frames(&mut wire)
        .into_iter()
        .map(|(ifindex, _)| ifindex)
        .collect();
    assert_eq!(order.len(), super::FRAMES_PER_TURN + 2);
    let first: BTreeSet<u32> = order[..3].iter().copied().collect();
    assert_eq!(
        first,
        BTreeSet::from([2, 3, 4]),
        "each had its turn in the first three"
    );
}

// L2-36
#[test]
fn addresses_leave_on_exactly_the_interfaces_of_the_plan() {
    let (mut wire, now) = open(&[2, 3]);
    frames(&mut wire);
    let mut plan = NodePlan::default();
    plan.answers
        .insert(2, BTreeSet::from(["10.0.0.2".parse().unwrap()]));
    plan.answers.insert(3, BTreeSet::new());
    let moved = Desired {
        plan: Arc::new(plan),
        ..Desired::default()
    };
    wire.set_desired(Arc::new(moved), now + MS);
    let sent = frames(&mut wire);
    assert!(!sent.is_empty() && sent.iter().all(|(ifindex, _)| *ifindex == 2));
    let request = arp_request("10.0.0.2");
    wire.handle_input(
        Input::Frame {
            ifindex: 3,
            bytes: &request,
            meta: meta(3),
        },
        now + MS,
    );
    assert!(frames(&mut wire).is_empty());
    let dropped = wire
        .responders()
        .find(|(index, _)| *index == 3)
        .unwrap()
        .1
        .counters();
    assert_eq!(dropped.dropped(l2::DropReason::NotMatchInterface), 1);
}

// L2-36
#[test]
fn without_carrier_what_is_due_waits() {
    let (mut wire, now) = wire(&[2]);
    let mut off = links(&[2]);
    off.get_mut(&2).unwrap().carrier = false;
    wire.set_interfaces(&off, now);
    for ifindex in opens(&mut wire) {
        wire.opened(ifindex, now);
    }
    wire.handle_timeout(now + SECOND);
    assert!(frames(&mut wire).is_empty() && wire.facts().announced.is_empty());
    wire.set_interfaces(&links(&[2]), now + 2 * SECOND);
    assert!(!frames(&mut wire).is_empty());
    assert_eq!(wire.facts().announced.len(), 1);
}

#[test]
fn the_same_again_is_nothing() {
    let (mut wire, now) = open(&[2]);
    frames(&mut wire);
    let facts = Arc::clone(wire.facts());
    wire.set_desired(desired(&[2], &[VIP]), now);
    wire.set_interfaces(&links(&[2]), now);
    assert!(Arc::ptr_eq(&facts, wire.facts()));
    assert!(frames(&mut wire).is_empty() && wire.poll_action().is_none());
}

#[test]
fn a_refused_key_is_told_and_names_no_secret() {
    let now = base();
    let own = members::Config::new(
        "n1",
        SocketAddr::from(([172, 16, 0, 1], 7946)),
        members::BootId::from_bytes([7; 16]),
    );
    let mut wire = Wire::new(WireConfig::new("n1", Some(own)), 1, now).unwrap();
    let short = Desired {
        member_keys: MemberKeys(vec![b"short".to_vec()]),
        ..Desired::default()
    };
    wire.set_desired(Arc::new(short), now);
    let events: Vec<Event> = std::iter::from_fn(|| wire.poll_event()).collect();
    let refused = events.iter().find_map(|event| match event {
        Event::MembershipRefused(why) => Some(why.clone()),
        _ => None,
    });
    assert!(!refused.unwrap().contains("short\""));
}

/// One thing that happens to a wire.
#[derive(Clone, Debug)]
enum Step {
    Frame(u32, Vec<u8>),
    Ask(u32),
    Datagram(Vec<u8>),
    Links(Vec<u32>),
    Plan(Vec<u32>, Vec<u8>),
    Fail(u32),
    Wait(u64),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let index = 2..6u32;
    prop_oneof![
        4 => (index.clone(), proptest::collection::vec(any::<u8>(), 0..120)).prop_map(|(i, b)| Step::Frame(i, b)),
        4 => index.clone().prop_map(Step::Ask),
        2 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Step::Datagram),
        2 => proptest::collection::vec(index.clone(), 0..4).prop_map(Step::Links),
        3 => (proptest::collection::vec(index.clone(), 0..4), proptest::collection::vec(0..5u8, 0..5))
            .prop_map(|(i, a)| Step::Plan(i, a)),
        1 => index.prop_map(Step::Fail),
        3 => (0..5_000u64).prop_map(Step::Wait),
        1 => Just(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever comes: no panic, only planned addresses leave, only on open interfaces of
    /// the plan that are there.
    // L2-35
    #[test]
    fn only_what_is_planned_ever_leaves(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut wire, mut now) = wire(&[2, 3]);
        let (mut links_now, mut plan) = (links(&[2, 3]), desired(&[2, 3], &[VIP]));
        let mut opened = BTreeSet::new();
        let mut left = false;
        for step in steps {
            match step {
                Step::Frame(ifindex, bytes) => {
                    wire.handle_input(Input::Frame { ifindex, bytes: &bytes, meta: meta(ifindex) }, now);
                }
                Step::Ask(ifindex) => {
                    let bytes = arp_request(VIP);
                    wire.handle_input(Input::Frame { ifindex, bytes: &bytes, meta: meta(ifindex) }, now);
                }
                Step::Datagram(bytes) => {
                    let from = SocketAddr::from(([172, 16, 0, 9], 7946));
                    wire.handle_input(Input::Datagram { from, bytes: &bytes }, now);
                }
                Step::Links(indexes) => {
                    links_now = links(&indexes);
                    wire.set_interfaces(&links_now, now);
                }
                Step::Plan(indexes, hosts) => {
                    let addresses: Vec<String> = hosts.iter().map(|host| format!("10.0.0.{host}")).collect();
                    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                    plan = desired(&indexes, &addresses);
                    wire.set_desired(Arc::clone(&plan), now);
                }
                Step::Fail(ifindex) => {
                    if opened.remove(&ifindex) {
                        wire.socket_failed(ifindex, "ENETDOWN", now);
                    }
                }
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    wire.handle_timeout(now);
                }
                Step::Leave => {
                    left = true;
                    wire.leave(now);
                }
            }
            while let Some(action) = wire.poll_action() {
                match action {
                    Action::Open { ifindex, .. } => {
                        prop_assert!(opened.insert(ifindex), "opened twice");
                        wire.opened(ifindex, now);
                    }
                    Action::Close { ifindex } => {
                        opened.remove(&ifindex);
                    }
                    Action::ProbeGateway => panic!("there is no gateway"),
                    Action::SetFilter { ifindex, .. }
                    | Action::JoinGroup { ifindex, .. }
                    | Action::LeaveGroup { ifindex, .. } => prop_assert!(opened.contains(&ifindex)),
                }
            }
            while let Some(transmit) = wire.poll_transmit() {
                let Transmit::Frame { ifindex, kind, .. } = transmit else {
                    panic!("membership is off");
                };
                prop_assert!(!left);
                prop_assert!(opened.contains(&ifindex) && links_now.contains_key(&ifindex));
                prop_assert!(plan.plan.answers[&ifindex].contains(&kind.address()));
            }
        }
    }
}
