//! Several observers: slow, lying and isolated ones; and what all of it costs.

use super::super::*;
use super::lab::*;

fn opinion(counts: bool, nodes: &[&str]) -> Opinion {
    Opinion {
        counts,
        cannot_reach: nodes.iter().map(|n| (*n).to_owned()).collect(),
    }
}

fn says(lab: &mut Lab, who: &str, counts: bool, nodes: &[&str]) {
    let opinion = opinion(counts, nodes);
    lab.wanted.observers.insert(who.to_owned(), opinion);
    lab.apply();
}

#[test]
fn a_lost_member_is_out_after_one_short_probe() {
    for phase in (0..1_100).step_by(110) {
        let mut lab = Lab::healthy(4);
        lab.wanted.own_node = Some("n4".into());
        lab.apply();
        lab.run(MS(phase));
        lab.does(1, Does::Silent);
        lab.run(MS(600));
        lab.node("n1").member_lost = true;
        lab.apply();
        let took = lab.until(MS(2_000), not_usable("n1")).expect("it goes");
        assert!(took <= MS(110), "{took:?} at {phase}");
        lab.run(MS(1_000));
        assert!(lab.of("n1").confirmed_dead);
        assert!(lab.of("n1").reason.contains("the members have lost it"));
        assert_eq!(lab.health.view().dead.len(), 1);
    }
}

#[test]
fn a_speaker_that_dies_on_a_living_node_takes_nothing_down() {
    let mut lab = Lab::healthy(3);
    lab.node("n1").member_lost = true;
    lab.apply();
    lab.run(MS(5_000));
    assert_eq!(lab.state("n1"), State::Healthy);
    assert!(lab.events.is_empty(), "{:?}", lab.events);
}

#[test]
fn a_lie_is_not_believed_against_ones_own_eyes() {
    let mut lab = Lab::healthy(5);
    says(&mut lab, "n2", true, &["n1", "n3", "n4"]);
    says(&mut lab, "n3", true, &["n1", "n4"]);
    lab.run(MS(10_000));
    for name in ["n1", "n3", "n4"] {
        assert_eq!(lab.state(name), State::Healthy, "{name}");
    }
    assert!(lab.health.view().dead.is_empty());
}

#[test]
fn two_that_count_confirm_and_one_does_not() {
    // (fellows that cannot reach it and whether they count) → confirmed
    let table: [(&[bool], bool); 4] = [
        (&[], false),
        (&[false], false),
        (&[true], true),
        (&[false, true], true),
    ];
    for (fellows, confirmed) in table {
        let mut lab = Lab::healthy(6);
        for (index, counts) in fellows.iter().enumerate() {
            says(&mut lab, &format!("n{}", index + 2), *counts, &["n1"]);
        }
        lab.does(1, Does::Silent);
        lab.run(MS(6_000));
        assert_eq!(lab.state("n1"), State::Unhealthy);
        assert_eq!(lab.of("n1").confirmed_dead, confirmed, "{fellows:?}");
    }
}

#[test]
fn an_isolated_observer_freezes_what_it_decided() {
    let mut lab = Lab::healthy(5);
    lab.wanted.own_node = Some("n5".into());
    says(&mut lab, "n1", true, &[]);
    for index in 1..=4 {
        lab.does(index, Does::Silent);
    }
    lab.run(MS(30_000));
    let observer = lab.health.view().observer;
    assert!(observer.frozen && !observer.counts, "{observer:?}");
    let down = (1..=4).filter(|n| lab.state(&format!("n{n}")) == State::Unhealthy);
    // Those that fell before it knew may be less than half, and none is confirmed.
    assert!(down.count() <= 2);
    assert!(lab.health.view().dead.is_empty());
    let told = |event: &HealthEvent| matches!(event, HealthEvent::Isolated { isolated: true, .. });
    assert!(lab.events.iter().any(|(_, event)| told(event)));
    // What two others say counts still.
    says(&mut lab, "n2", true, &["n3"]);
    says(&mut lab, "n4", true, &["n3"]);
    assert!(lab.of("n3").confirmed_dead);
    // It ends when the network is back.
    for index in 1..=4 {
        lab.does(index, Does::Serves);
    }
    lab.run(MS(20_000));
    assert!(!lab.health.view().observer.frozen);
    assert_eq!(lab.chosen(false, Panic::default()).0.len(), 5);
}

#[test]
fn whoever_is_alone_believes_what_its_own_packets_meet() {
    let mut lab = Lab::healthy(3);
    lab.does(1, Does::Silent);
    lab.does(2, Does::Silent);
    lab.run(MS(10_000));
    assert_eq!(
        lab.chosen(false, Panic::default()),
        (vec!["n3".into()], Mode::Healthy)
    );
}

#[test]
fn between_two_nodes_the_gateway_decides() {
    for gateway in [None, Some(false), Some(true)] {
        let mut lab = Lab::healthy(2);
        lab.wanted.own_node = Some("n2".into());
        lab.wanted.gateway = gateway;
        says(&mut lab, "n1", true, &[]);
        lab.does(1, Does::Silent);
        lab.run(MS(10_000));
        let dead = lab.of("n1").confirmed_dead;
        assert_eq!(dead, gateway == Some(true), "{gateway:?}");
        assert_eq!(lab.health.view().observer.frozen, gateway != Some(true));
    }
}

#[test]
fn a_slow_node_that_answers_in_time_stays() {
    let mut lab = Lab::healthy(3);
    lab.does(1, Does::Slow(MS(450)));
    lab.run(MS(20_000));
    assert_eq!(lab.state("n1"), State::Healthy);
    lab.does(1, Does::Slow(MS(550)));
    lab.run(MS(5_000));
    assert_eq!(lab.state("n1"), State::Unhealthy);
}

#[test]
fn a_prober_that_loses_results_takes_nobody_down() {
    let now = base();
    let mut health = Health::new(1, now);
    let mut lab = Lab::new(3);
    lab.wanted.observers.clear();
    health.set_desired(Arc::new(lab.wanted.clone()), now);
    let first: Vec<Probe> = std::iter::from_fn(|| health.poll_probe(now)).collect();
    for probe in &first {
        let well = ProbeResult::Answer(proxy(200, true, true, true));
        health.handle_result(probe.id, &well, now + MS(1));
    }
    for second in 1..30 {
        let now = now + Duration::from_secs(second);
        health.handle_timeout(now);
        while health.poll_probe(now).is_some() {}
    }
    assert!(health.counters().lost > 5);
    for index in 1..=3 {
        let name = format!("n{index}");
        let node = health.view().node(&name, Family::V4).expect("shown");
        assert_eq!(node.state, State::Healthy);
    }
    // And an answer that comes too late is counted, not used.
    let gone = ProbeResult::Refused;
    first
        .iter()
        .for_each(|p| health.handle_result(p.id, &gone, now + MS(40_000)));
    assert_eq!(health.counters().late, 3);
}

#[test]
fn probes_do_not_grow_with_services_and_are_spread() {
    let rate = |services: u16| {
        let mut lab = Lab::new(50);
        let port = |index| NodePort {
            service: Arc::new(NamespacedName::new("default", format!("s{index}"))),
            port: index,
        };
        let ports = (1..=services).map(port).collect();
        lab.wanted.node_ports.insert(Family::V4, ports);
        lab.apply();
        lab.run(MS(3_000));
        lab.probes.clear();
        lab.run(MS(10_000));
        lab.probes
    };
    let few = rate(1);
    let many = rate(1_000);
    for probes in [&few, &many] {
        let count = probes.len();
        assert!(
            (450..=560).contains(&count),
            "{count} probes of 50 nodes in 10 s"
        );
    }
    // In no tenth of a second more than thrice its share.
    let begun = few.first().expect("probes").0;
    let mut tenths: BTreeMap<u128, usize> = BTreeMap::new();
    for (at, _) in &few {
        *tenths.entry((*at - begun).as_millis() / 100).or_default() += 1;
    }
    let worst = tenths.values().max().copied().unwrap_or(0);
    assert!(worst <= 20, "{worst} probes in a tenth of a second");
}

#[test]
fn pairs_beyond_the_budget_are_probed_less_often() {
    let mut lab = Lab::new(100);
    let nodes: std::collections::BTreeSet<String> = lab.wanted.nodes.keys().cloned().collect();
    for index in 0..50 {
        let check = ServiceCheck {
            check: Check::Tcp {
                port: 30_000 + index,
            },
            nodes: nodes.clone(),
            settings: Settings::default(),
        };
        let name = NamespacedName::new("default", format!("s{index}"));
        lab.wanted.services.insert(name, check);
    }
    lab.apply();
    lab.run(MS(12_000));
    lab.probes.clear();
    lab.run(MS(10_000));
    let asked = |(_, probe): &&(Instant, Probe)| probe.rung == Rung::Application;
    let count = lab.probes.iter().filter(asked).count();
    let most = usize::try_from(PAIRS_PER_SECOND).expect("a small number") * 10;
    assert!(count <= most + most / 5, "{count} in 10 s");
    assert!(count >= most / 2, "{count} in 10 s");
    assert!(lab.health.probes_per_second() <= 1_100);
}
