//! Slots as properties: even, the same everywhere, and a loss moves only what it must.

use std::net::IpAddr;

use engine::forward::Target;
use proptest::prelude::*;

use super::*;

fn set(nodes: &[(u8, u16)]) -> TargetSet {
    let target = |(n, weight): &(u8, u16)| Target {
        node: format!("worker-{n}.example"),
        address: IpAddr::from([10, 0, 0, *n]),
        up: true,
        weight: *weight,
        local: false,
    };
    TargetSet {
        targets: nodes.iter().map(target).collect(),
        by_source: false,
    }
}

fn even(count: usize) -> TargetSet {
    let nodes: Vec<(u8, u16)> = (0..count).map(|n| (n as u8, 1)).collect();
    set(&nodes)
}

#[test]
fn the_hash_is_the_one_that_is_written_down() {
    // FNV-1a 64 of eight zero octets and of "a" after them, finished by fmix64: computed apart.
    let fnv = |octets: &[u8]| {
        octets.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, o| {
            (h ^ u64::from(*o)).wrapping_mul(0x100_0000_01b3)
        })
    };
    // FNV's published vector for "a".
    assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(hash(0, "a"), finish(fnv(b"\0\0\0\0\0\0\0\0a")));
    // Fixed for ever: another value sends every client elsewhere at an upgrade, front by front.
    assert_eq!(hash(1, "node-1"), HASH_1_NODE_1);
}

const HASH_1_NODE_1: u64 = 0xd813f13d1db9b8b2;

#[test]
fn the_number_of_slots_is_64_a_target_in_powers_of_two() {
    for (targets, slots) in [(1, 256), (4, 256), (5, 512), (8, 512), (100, 8192)] {
        assert_eq!(super::slots(&even(targets)), slots, "{targets}");
    }
}

#[test]
fn shares_are_even_and_follow_weights() {
    let shares = shares(&even(3));
    assert_eq!(shares.values().sum::<u32>(), 256);
    assert!(shares.values().all(|s| (85..=86).contains(s)), "{shares:?}");
    let weighted = super::shares(&set(&[(1, 1), (2, 3)]));
    assert_eq!(weighted.into_values().collect::<Vec<_>>(), [64, 192]);
}

#[test]
fn nobody_up_is_no_slot() {
    let mut none = even(3);
    none.targets.iter_mut().for_each(|t| t.up = false);
    assert!(table(&none).is_empty());
    assert!(table(&TargetSet::default()).is_empty());
}

fn weights() -> impl Strategy<Value = Vec<(u8, u16)>> {
    proptest::collection::btree_map(any::<u8>(), 1u16..8, 2..24)
        .prop_map(|nodes| nodes.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_does_not_matter(nodes in weights()) {
        let (one, mut two) = (set(&nodes), set(&nodes));
        two.targets.reverse();
        let named = |set: &TargetSet| -> Vec<String> {
            table(set).iter().map(|p| set.targets[*p].node.clone()).collect()
        };
        prop_assert_eq!(named(&one), named(&two));
    }

    #[test]
    fn a_loss_moves_the_slots_of_the_lost_and_a_return_gives_exactly_those_back(
        nodes in weights(),
        who in any::<proptest::sample::Index>(),
    ) {
        let whole = set(&nodes);
        let lost = who.index(whole.targets.len());
        let mut less = whole.clone();
        less.targets[lost].up = false;
        let (before, after) = (table(&whole), table(&less));
        for (slot, (a, b)) in before.iter().zip(&after).enumerate() {
            prop_assert_ne!(*b, lost, "slot {}", slot);
            prop_assert!(a == b || *a == lost, "slot {} moved from a living target", slot);
        }
        let mut back = less;
        back.targets[lost].up = true;
        prop_assert_eq!(table(&back), before);
    }

    #[test]
    fn whoever_is_down_the_others_stay_within_their_caps(
        nodes in weights(),
        down in proptest::collection::vec(any::<bool>(), 24),
    ) {
        let mut some = set(&nodes);
        for (target, down) in some.targets.iter_mut().zip(&down) {
            target.up = !down;
        }
        let up = some.targets.iter().filter(|t| t.up);
        let sum: u64 = up.map(|t| u64::from(t.weight)).sum();
        prop_assume!(sum > 0);
        let filled = table(&some);
        let m = filled.len() as u64;
        prop_assert_eq!(filled.len(), slots(&some) as usize);
        for (place, target) in some.targets.iter().enumerate() {
            let got = filled.iter().filter(|p| **p == place).count() as u64;
            // Maglev's turns may give one more than the cap.
            let cap = (m * u64::from(target.weight)).div_ceil(sum) + 1;
            prop_assert!(if target.up { got <= cap } else { got == 0 }, "{} has {} of {}", place, got, cap);
        }
    }
}

#[test]
fn a_second_loss_moves_little_more_than_it_must() {
    let mut more = Vec::new();
    for other in 1..16 {
        let mut one = even(16);
        one.targets[0].up = false;
        let before = table(&one);
        let mut two = one.clone();
        two.targets[other].up = false;
        let after = table(&two);
        let moved = |(a, b): &(&usize, &usize)| a != b && **a != other;
        let moved = before.iter().zip(&after).filter(moved).count();
        more.push(moved as f64 / before.len() as f64);
    }
    more.sort_by(f64::total_cmp);
    assert!(more[more.len() / 2] <= 0.016, "{more:?}");
}
