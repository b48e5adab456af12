//! Who gets connections, and the panic policies.

use super::super::*;
use super::lab::*;
use std::collections::BTreeSet;

fn panic(policy: PanicPolicy, threshold: u8) -> Panic {
    Panic { policy, threshold }
}

fn down(nodes: u8, dead: &[u8]) -> Lab {
    let mut lab = Lab::healthy(nodes);
    for index in dead {
        lab.does(*index, Does::Silent);
    }
    lab.run(MS(6_000));
    lab
}

#[test]
fn each_policy_does_what_it_says() {
    use PanicPolicy as P;
    let table = [
        (P::Auto, 2, Mode::PanicOpen),
        (P::Open, 2, Mode::PanicOpen),
        (P::Closed, 0, Mode::PanicClosed),
        (P::Withdraw, 0, Mode::Withdraw),
    ];
    for (policy, up, mode) in table {
        let lab = down(2, &[1, 2]);
        let (chosen, how) = lab.chosen(false, panic(policy, 0));
        assert_eq!((chosen.len(), how), (up, mode), "{policy:?}");
    }
}

#[test]
fn a_threshold_enters_and_leaves_panic() {
    let mut lab = down(4, &[1, 2, 3]);
    let half = panic(PanicPolicy::Auto, 50);
    let (up, mode) = lab.chosen(false, half);
    assert_eq!((up.len(), mode), (4, Mode::PanicOpen));
    assert_eq!(lab.chosen(false, panic(PanicPolicy::Auto, 25)).0, ["n4"]);
    lab.does(2, Does::Serves);
    lab.until(MS(10_000), usable("n2")).expect("back");
    assert_eq!(
        lab.chosen(false, half),
        (vec!["n2".into(), "n4".into()], Mode::Healthy)
    );
}

#[test]
fn panic_ends_only_after_rise_passes() {
    let mut lab = down(2, &[1, 2]);
    lab.does(1, Does::Serves);
    let mut passes = 0;
    while lab.chosen(false, Panic::default()).1 == Mode::PanicOpen {
        lab.probes.clear();
        lab.run(MS(5));
        passes += lab
            .probes
            .iter()
            .filter(|(_, p)| p.target.ip() == address(1))
            .count();
    }
    assert_eq!(passes, 2);
}

#[test]
fn panic_prefers_who_was_healthy_last_and_leaves_out_the_dead_and_the_excluded() {
    let mut lab = down(4, &[1]);
    lab.run(MS(20_000));
    for index in [2, 3, 4] {
        lab.does(index, Does::Silent);
    }
    lab.node("n4").excluded = true;
    lab.apply();
    lab.run(MS(6_000));
    let ask = Ask {
        family: Family::V4,
        service: &web(),
        own_check: false,
        candidates: None,
        panic: Panic::default(),
        weights: Weights::Auto,
    };
    let shares = |lab: &Lab| -> BTreeMap<String, u16> {
        let chosen = choice(lab.health.view(), &ask).targets.into_iter();
        chosen
            .filter(|t| t.up)
            .map(|t| (t.node, t.weight))
            .collect()
    };
    let expected = [("n1", 100), ("n2", 1000), ("n3", 1000)];
    let expected: BTreeMap<_, _> = expected.map(|(n, w)| (n.to_owned(), w)).into();
    assert_eq!(shares(&lab), expected);
    lab.node("n2").out_of_service = true;
    lab.apply();
    assert!(!shares(&lab).contains_key("n2"));
}

#[test]
fn a_local_service_goes_where_its_endpoints_are_by_their_number() {
    let mut lab = Lab::new(3);
    lab.local_service(1);
    let many = ProbeResult::Answer(local(200, &web(), 4));
    lab.ports.insert((address(2), 32_000), many);
    lab.apply();
    lab.run(MS(2_000));
    let only: BTreeSet<String> = ["n1".to_owned(), "n2".to_owned()].into();
    let service = web();
    let told = |weights| -> Vec<(String, u16)> {
        let ask = Ask {
            family: Family::V4,
            service: &service,
            own_check: true,
            candidates: Some(&only),
            panic: Panic::default(),
            weights,
        };
        let targets = choice(lab.health.view(), &ask).targets.into_iter();
        targets.map(|t| (t.node, t.weight)).collect()
    };
    assert_eq!(
        told(Weights::Auto),
        [("n1".into(), 250), ("n2".into(), 1000)]
    );
    assert_eq!(
        told(Weights::Equal),
        [("n1".into(), 1000), ("n2".into(), 1000)]
    );
}

#[test]
fn a_local_service_without_endpoints_is_closed() {
    let mut lab = Lab::new(2);
    lab.local_service(1);
    lab.apply();
    lab.run(MS(2_000));
    let nobody = BTreeSet::new();
    let service = web();
    let ask = Ask {
        family: Family::V4,
        service: &service,
        own_check: true,
        candidates: Some(&nobody),
        panic: Panic::default(),
        weights: Weights::Auto,
    };
    let choice = choice(lab.health.view(), &ask);
    assert_eq!((choice.targets.len(), choice.mode), (0, Mode::PanicClosed));
}

#[test]
fn a_drained_node_serves_no_local_service_either() {
    let mut lab = Lab::new(2);
    lab.local_service(1);
    lab.apply();
    lab.run(MS(2_000));
    lab.node("n1").leaving = Some("the Node is being deleted");
    lab.apply();
    assert_eq!(
        lab.chosen(true, Panic::default()),
        (vec!["n2".into()], Mode::Healthy)
    );
}

#[test]
fn all_draining_is_no_reason_to_refuse() {
    let mut lab = Lab::healthy(2);
    for name in ["n1", "n2"] {
        lab.node(name).leaving = Some("the Node is being deleted");
    }
    lab.apply();
    let (up, mode) = lab.chosen(false, Panic::default());
    assert_eq!((up.len(), mode), (2, Mode::PanicOpen));
}

#[test]
fn slow_start_shows_in_the_shares_alone() {
    let mut lab = down(3, &[1]);
    lab.does(1, Does::Serves);
    lab.until(MS(10_000), usable("n1")).expect("back");
    let service = web();
    let ask = Ask {
        family: Family::V4,
        service: &service,
        own_check: false,
        candidates: None,
        panic: Panic::default(),
        weights: Weights::Equal,
    };
    let weights = |lab: &Lab| -> Vec<u16> {
        let targets = choice(lab.health.view(), &ask).targets;
        targets.into_iter().map(|t| t.weight).collect()
    };
    assert_eq!(weights(&lab), [100, 1000, 1000]);
    lab.run(MS(31_000));
    assert_eq!(weights(&lab), [1000, 1000, 1000]);
}
