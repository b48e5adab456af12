//! Compile and difference against the model of a kernel: random walks through tables, each step by all ways.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::forward::{ForwardTable, Front, FrontPort, Target, TargetSet, Traffic};
use engine::name::NamespacedName;
use engine::world::Protocol;
use proptest::prelude::*;

use crate::change;
use crate::compile::{compile, key};
use crate::diff::diff;
use crate::names::{Names, leads_to, slots_in};
use crate::rules::Policy;
use crate::ruleset::{ChainName, Family, Octets, Ruleset, SetName, Value};

pub(crate) mod random;

pub(crate) const POLICY: Policy = Policy {
    mark_mask: 0x00ff_0000,
    echo_per_second: 100,
    refusals_per_second: 100,
    owned: false,
};

/// Names from what a kernel holds, as a new process makes them.
pub(crate) fn names(actual: &Ruleset, table: &ForwardTable) -> Names {
    Names::read(actual).next(
        table,
        |front, _| leads_to(actual, front),
        |family, n| slots_in(actual, family, n),
        255,
    )
}

fn target(n: u8, up: bool) -> Target {
    Target {
        node: format!("node-{n}"),
        address: [10, 0, 0, n].into(),
        up,
        weight: 1,
        local: false,
    }
}

pub(crate) fn nodes(up: &[bool]) -> Arc<TargetSet> {
    let targets = (0..).zip(up).map(|(n, up)| target(n, *up)).collect();
    Arc::new(TargetSet {
        targets,
        by_source: false,
    })
}

pub(crate) fn front(n: u8) -> Front {
    Front {
        address: [192, 0, 2, n].into(),
        protocol: Protocol::Tcp,
        port: 80,
    }
}

pub(crate) fn port(targets: &Arc<TargetSet>) -> FrontPort {
    FrontPort {
        service: NamespacedName::new("default", "web"),
        traffic: Traffic::Front,
        node_port: Some(30_080),
        targets: Some(Arc::clone(targets)),
        source_ranges: Vec::new(),
    }
}

pub(crate) fn table(ports: impl IntoIterator<Item = (Front, FrontPort)>) -> ForwardTable {
    ForwardTable {
        ports: ports.into_iter().collect(),
        icmp_echo: true,
        ..ForwardTable::default()
    }
}

fn compiled(table: &ForwardTable) -> Ruleset {
    compile(table, &names(&Ruleset::default(), table), &POLICY)
}

fn elements(ruleset: &Ruleset, name: SetName) -> BTreeMap<Octets, Value> {
    let set = ruleset.set(Family::Ipv4, &name);
    set.map(|set| set.elements.clone()).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_difference_applied_makes_the_kernel_as_compiled(seed in any::<u64>()) {
        let mut walk = random::Walk::new(seed);
        let mut kernel = Ruleset::default();
        for step in 0..40 {
            walk.step();
            let desired = compile(&walk.table, &names(&kernel, &walk.table), &POLICY);
            let changes = diff(&kernel, &desired);
            let fits = change::apply(&mut kernel, &changes);
            prop_assert_eq!(fits, Ok(()), "step {}: {:?}", step, &changes);
            prop_assert!(kernel == desired, "step {}", step);
            prop_assert!(diff(&kernel, &desired).is_empty());
        }
    }
}

#[test]
fn equal_sets_share_one_slot_table_and_a_front_costs_three_elements() {
    let one = nodes(&[true, true, true]);
    let other = nodes(&[true, true, true]);
    let few = compiled(&table([(front(1), port(&one)), (front(2), port(&other))]));
    let slots = few.tables[&Family::Ipv4].sets.keys();
    assert_eq!(slots.filter(|s| matches!(s, SetName::Nodes(_))).count(), 1);
    let more = compiled(&table((1..=3).map(|n| (front(n), port(&one)))));
    // svc, np and ports; and one for the address, which may have many ports.
    assert_eq!(more.elements() - few.elements(), 4);
}

#[test]
fn a_node_that_goes_changes_its_slots_once_for_all_services() {
    let before = table((1..=200).map(|n| (front(n), port(&nodes(&[true, true, true])))));
    let after = table((1..=200).map(|n| (front(n), port(&nodes(&[true, false, true])))));
    let kernel = compiled(&before);
    let changes = diff(&kernel, &compile(&after, &names(&kernel, &after), &POLICY));
    let moved: usize = changes.iter().map(change::Change::weight).sum();
    // Deleted and added: a third of 256 slots, twice, in two messages.
    assert!((2 * 84..=2 * 86).contains(&moved), "{moved}");
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn a_front_without_anybody_up_is_refused_and_leads_nowhere() {
    let ruleset = compiled(&table([(front(1), port(&nodes(&[false, false])))]));
    for set in [SetName::Svc, SetName::Np, SetName::Ports] {
        assert!(
            elements(&ruleset, set).is_empty(),
            "closed as any other port"
        );
    }
    assert_eq!(
        elements(&ruleset, SetName::Addresses).len(),
        1,
        "and the address is held"
    );
}

#[test]
fn in_node_mode_the_guard_alone_stands_before_kube_proxy() {
    let node = FrontPort {
        traffic: Traffic::Node,
        node_port: None,
        targets: None,
        ..port(&nodes(&[true]))
    };
    let ruleset = compiled(&table([(front(1), node)]));
    assert!(elements(&ruleset, SetName::Svc).is_empty());
    assert_eq!(elements(&ruleset, SetName::Ports).len(), 1);
}

#[test]
fn the_slots_of_this_node_itself_are_absent() {
    let mut set = TargetSet::clone(&nodes(&[true, true]));
    set.targets[0].local = true;
    let ruleset = compiled(&table([(front(1), port(&Arc::new(set)))]));
    let slots = elements(&ruleset, SetName::Nodes(0));
    assert_eq!(slots.len(), 128);
    let other = Value::Data(Octets::new(&[10, 0, 0, 1]));
    assert!(slots.values().all(|to| *to == other));
    assert_eq!(
        elements(&ruleset, SetName::Marks).len(),
        1,
        "it is marked and hidden by nobody"
    );
}

#[test]
fn ranges_inside_others_and_of_the_other_family_are_left_out_and_never_open() {
    let ranged = |ranges: &[&str]| {
        let source_ranges = ranges.iter().map(|r| r.parse().expect("a range")).collect();
        let port = FrontPort {
            source_ranges,
            ..port(&nodes(&[true]))
        };
        compiled(&table([(front(1), port)]))
    };
    let cases: [(&[&str], usize); 4] = [
        (
            &["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "172.16.0.0/12"],
            2,
        ),
        (&["10.1.0.0/16", "0.0.0.0/0"], 1),
        (&["10.0.0.7/24", "fd00::/8"], 1),
        (&["fd00::/8"], 0),
    ];
    for (ranges, count) in cases {
        let ruleset = ranged(ranges);
        assert_eq!(
            elements(&ruleset, SetName::Ranges).len(),
            count,
            "{ranges:?}"
        );
        assert_eq!(elements(&ruleset, SetName::Ranged).len(), 1, "{ranges:?}");
    }
    let octets = elements(&ranged(&["10.0.0.7/24"]), SetName::Ranges);
    let interval = octets.keys().next().expect("one").as_slice().to_vec();
    assert_eq!(interval[..12], *key(&front(1)).as_slice());
    assert_eq!(
        (&interval[12..16], &interval[28..]),
        (&[10, 0, 0, 0][..], &[10, 0, 0, 255][..])
    );
}

#[test]
fn a_set_that_changes_keeps_its_number_and_one_that_splits_keeps_it_for_most() {
    let (all, local) = (nodes(&[true, true, true]), nodes(&[true, true]));
    let kernel = compiled(&table((1..=4).map(|n| (front(n), port(&all)))));
    let led = |table: &ForwardTable, n: u8| {
        let ruleset = compile(table, &names(&kernel, table), &POLICY);
        leads_to(&ruleset, &front(n))
    };
    let grown = nodes(&[true, true, true, true]);
    assert_eq!(
        led(&table((1..=4).map(|n| (front(n), port(&grown)))), 1),
        Some(0)
    );
    let split = table((1..=4).map(|n| (front(n), port(if n == 1 { &local } else { &grown }))));
    assert_eq!((led(&split, 1), led(&split, 2)), (Some(1), Some(0)));
    // More slots want another table: the rule's modulus is a constant.
    let many = nodes(&[true; 5]);
    assert_eq!(
        led(&table((1..=4).map(|n| (front(n), port(&many)))), 1),
        Some(1)
    );
}

#[test]
fn marks_stay_with_their_targets_and_are_given_again_as_late_as_possible() {
    let pair = |a: u8, b: u8| {
        let targets = vec![target(a, true), target(b, true)];
        let set = TargetSet {
            targets,
            by_source: false,
        };
        table([(front(1), port(&Arc::new(set)))])
    };
    let next = |names: &Names, table: &ForwardTable| names.next(table, |_, _| None, |_, _| None, 3);
    let mark = |names: &Names, n: u8| names.marks.get(&[10, 0, 0, n].into()).copied();
    let first = next(&Names::default(), &pair(1, 2));
    assert_eq!((mark(&first, 1), mark(&first, 2)), (Some(1), Some(2)));
    let second = next(&first, &pair(2, 3));
    assert_eq!((mark(&second, 2), mark(&second, 3)), (Some(2), Some(3)));
    assert_eq!(mark(&second, 1), Some(1), "its flows may live on");
    let third = next(&second, &pair(3, 4));
    assert_eq!(
        (mark(&third, 1), mark(&third, 4)),
        (None, Some(1)),
        "till the number is needed"
    );
}

#[test]
fn names_of_sets_and_chains_are_read_as_they_are_written() {
    for name in ["svc", "np", "nodes_7", "nodes_07", "x", "marks"] {
        assert_eq!(SetName::from(name).to_string(), name);
        assert_eq!(ChainName::from(name).to_string(), name);
    }
    assert_eq!(SetName::from("nodes_7"), SetName::Nodes(7));
    assert_eq!(
        SetName::from("nodes_07"),
        SetName::Other("nodes_07".to_owned())
    );
    assert_eq!(ChainName::from("mark_3"), ChainName::Mark(3));
}
