//! Each row of design/health.md.

use super::super::*;
use super::lab::*;

#[test]
fn one_pass_admits_what_is_unknown() {
    let mut lab = Lab::new(2);
    lab.does(2, Does::Silent);
    lab.apply();
    assert_eq!(lab.state("n1"), State::Unknown);
    lab.run(MS(2));
    assert_eq!(lab.state("n1"), State::Healthy);
    assert_eq!(lab.state("n2"), State::Unknown);
    // What is not known to be down is used until every node has been tried.
    assert_eq!(lab.chosen(false, Panic::default()).1, Mode::Unsettled);
    lab.run(MS(600));
    assert_eq!(
        lab.chosen(false, Panic::default()),
        (vec!["n1".into()], Mode::Healthy)
    );
    lab.run(MS(2_000));
    assert_eq!(lab.state("n2"), State::Unhealthy);
    assert_eq!(lab.of("n1").rung, Some(Rung::Healthz));
}

#[test]
fn a_silent_node_is_out_within_three_seconds_and_two_tenths() {
    for phase in (0..1_100).step_by(100) {
        let mut lab = Lab::healthy(3);
        lab.run(MS(phase));
        lab.does(2, Does::Silent);
        let took = lab.until(MS(5_000), not_usable("n2")).expect("it goes");
        assert!(took <= MS(3_205), "{took:?} at phase {phase}");
        assert_eq!(lab.of("n2").cause, Cause::Path);
        assert_eq!(lab.chosen(false, Panic::default()).0, ["n1", "n3"]);
        // One observer's word resets nobody.
        assert!(lab.health.view().dead.is_empty());
    }
}

#[test]
fn no_way_to_a_node_is_known_sooner_than_silence() {
    let mut lab = Lab::healthy(3);
    lab.does(2, Does::NoWay);
    let took = lab.until(MS(5_000), not_usable("n2")).expect("it goes");
    assert!(took <= MS(1_700), "{took:?}");
    assert!(lab.of("n2").reason.contains("no route to host"));
}

#[test]
fn a_quick_setting_detects_within_half_a_second() {
    let mut lab = Lab::new(3);
    lab.wanted.settings.interval = MS(100);
    lab.wanted.settings.fast = MS(100);
    lab.wanted.settings.timeout = MS(50);
    lab.apply();
    lab.run(MS(1_000));
    lab.does(2, Does::Silent);
    let took = lab.until(MS(2_000), not_usable("n2")).expect("it goes");
    assert!(took <= MS(500), "{took:?}");
}

#[test]
fn one_failure_is_suspicion_and_a_pass_ends_it() {
    let mut lab = Lab::healthy(2);
    lab.does(1, Does::Silent);
    lab.until(MS(2_000), |view| {
        view.node("n1", Family::V4)
            .is_some_and(|n| n.state == State::Suspect)
    })
    .expect("suspect");
    // It still gets connections.
    assert_eq!(lab.chosen(false, Panic::default()).0, ["n1", "n2"]);
    lab.does(1, Does::Serves);
    lab.run(MS(400));
    assert_eq!(lab.state("n1"), State::Healthy);
    assert_eq!(lab.of("n1").weight, 100);
}

#[test]
fn it_returns_after_two_passes_with_a_growing_share() {
    let mut lab = Lab::healthy(2);
    lab.does(1, Does::Silent);
    lab.until(MS(5_000), not_usable("n1")).expect("down");
    lab.does(1, Does::Serves);
    let took = lab.until(MS(5_000), usable("n1")).expect("up");
    assert!(took >= MS(250), "one pass is not enough: {took:?}");
    assert_eq!(lab.of("n1").weight, 10);
    lab.run(MS(15_100));
    assert_eq!(lab.of("n1").weight, 50);
    lab.run(MS(15_100));
    assert_eq!(lab.of("n1").weight, 100);
}

#[test]
fn a_suspect_does_not_grow() {
    let mut lab = Lab::healthy(2);
    lab.wanted.settings.fall = 40;
    lab.wanted.settings.fast = MS(900);
    lab.apply();
    lab.does(1, Does::Silent);
    lab.until(MS(120_000), not_usable("n1")).expect("down");
    lab.does(1, Does::Serves);
    lab.until(MS(10_000), usable("n1")).expect("up");
    lab.run(MS(10_500));
    let before = lab.of("n1").weight;
    lab.does(1, Does::Silent);
    lab.run(MS(20_000));
    assert_eq!(lab.state("n1"), State::Suspect);
    let suspected = lab.of("n1").weight;
    assert!(suspected <= before + 10, "{before} then {suspected}");
}

#[test]
fn not_eligible_drains_at_once_and_ends_at_once() {
    let mut lab = Lab::healthy(3);
    lab.does(1, Does::Says(proxy(503, false, true, true)));
    let took = lab.until(MS(2_000), not_usable("n1")).expect("it drains");
    assert!(took <= MS(1_110), "{took:?}");
    assert!(matches!(lab.state("n1"), State::Draining { .. }));
    let view = lab.health.view();
    assert!(view.draining.contains_key(&address(1)) && view.dead.is_empty());
    lab.run(MS(299_000));
    assert!(lab.health.view().dead.is_empty(), "flows live to the timer");
    lab.run(MS(2_000));
    assert!(
        lab.health.view().dead.contains(&address(1)),
        "and no longer"
    );
    lab.does(1, Does::Serves);
    let took = lab.until(MS(2_000), usable("n1")).expect("it is back");
    assert!(took <= MS(1_110), "{took:?}");
    assert!(lab.health.view().dead.is_empty());
}

#[test]
fn a_503_without_a_word_asks_livez() {
    let mut lab = Lab::healthy(2);
    lab.does(1, Does::Says(answer(503)));
    lab.run(MS(1_200));
    // The lab answers /livez alike: stale rules, so the threshold counts.
    assert!(lab.probes.iter().any(|(_, p)| p.rung == Rung::Livez));
    assert_eq!(lab.of("n1").cause, Cause::StaleRules);
    lab.run(MS(2_000));
    assert_eq!(lab.state("n1"), State::Unhealthy);
    assert!(lab.health.view().dead.is_empty() && lab.health.view().draining.is_empty());
}

#[test]
fn stale_rules_of_one_family_leave_the_other() {
    let mut lab = Lab::new(2);
    let v6: IpAddr = "fd00::1".parse().expect("an address");
    lab.node("n1").addresses.insert(Family::V6, v6);
    lab.does.insert(v6, Does::Serves);
    lab.apply();
    lab.run(MS(1_000));
    let says = Does::Says(proxy(503, true, true, false));
    lab.does.insert(v6, says.clone());
    lab.does(1, says);
    lab.run(MS(4_000));
    assert_eq!(lab.state("n1"), State::Healthy);
    let six = lab
        .health
        .view()
        .node("n1", Family::V6)
        .expect("IPv6")
        .clone();
    assert_eq!(
        (six.state, six.cause),
        (State::Unhealthy, Cause::StaleRules)
    );
}

#[test]
fn a_kube_proxy_that_is_gone_is_left_while_others_are_healthy() {
    let mut lab = Lab::healthy(2);
    lab.does(1, Does::Refuses);
    let took = lab.until(MS(4_000), not_usable("n1")).expect("after fall");
    assert!(took >= MS(500), "not at the first: {took:?}");
    assert_eq!(lab.of("n1").cause, Cause::ProxyGone);
    assert_eq!(
        lab.chosen(false, Panic::default()),
        (vec!["n2".into()], Mode::Healthy)
    );
    // With nobody healthy its rules are better than nothing.
    lab.does(2, Does::Silent);
    lab.until(MS(5_000), not_usable("n2")).expect("down");
    assert_eq!(
        lab.chosen(false, Panic::default()),
        (vec!["n1".into()], Mode::Stale)
    );
    assert!(lab.health.view().dead.is_empty(), "refused is alive");
}

#[test]
fn refused_where_it_never_answered_is_not_death() {
    let mut lab = Lab::new(2);
    lab.does(1, Does::Refuses);
    lab.apply();
    lab.run(MS(5_000));
    assert_eq!(lab.state("n1"), State::Healthy);
    // With NodePorts to try, they are tried in turn.
    let mut lab = with_ports(3, &[]);
    lab.run(MS(5_000));
    assert_eq!(lab.state("n1"), State::Healthy);
    assert_eq!(lab.of("n1").rung, Some(Rung::NodePort));
    let tried: std::collections::BTreeSet<u16> = lab
        .probes
        .iter()
        .filter(|(_, p)| p.rung == Rung::NodePort)
        .map(|(_, p)| p.target.port())
        .collect();
    assert_eq!(tried.len(), 3);
}

fn with_ports(ports: u16, bad: &[u16]) -> Lab {
    let mut lab = Lab::new(2);
    let port = |index| NodePort {
        service: Arc::new(NamespacedName::new("default", format!("s{index}"))),
        port: 30_000 + index,
    };
    let ports = (0..ports).map(port).collect();
    lab.wanted.node_ports.insert(Family::V4, ports);
    lab.does(1, Does::OnlyNodePorts(bad.to_vec()));
    lab.apply();
    lab
}

#[test]
fn one_bad_service_condemns_no_node() {
    for services in [1, 2, 5] {
        let mut lab = with_ports(services, &[]);
        lab.run(MS(2_000));
        lab.does(1, Does::OnlyNodePorts(vec![30_000]));
        lab.run(MS(30_000));
        assert_eq!(lab.state("n1"), State::Healthy, "{services} Services");
        let out = lab.events.iter().any(|(_, event)| {
            matches!(
                event,
                HealthEvent::Node {
                    to: State::Unhealthy,
                    ..
                }
            )
        });
        assert!(!out, "{services} Services");
    }
}

#[test]
fn two_bad_services_condemn_it() {
    let mut lab = with_ports(3, &[]);
    lab.run(MS(2_000));
    lab.does(1, Does::OnlyNodePorts(vec![30_000, 30_001, 30_002]));
    let took = lab.until(MS(5_000), not_usable("n1")).expect("it goes");
    assert!(took <= MS(3_200), "{took:?}");
    assert_eq!(lab.of("n1").cause, Cause::NodePorts);
}

#[test]
fn a_dead_node_is_found_by_node_ports_too() {
    for services in [1, 3] {
        let mut lab = with_ports(services, &[]);
        lab.run(MS(2_000));
        lab.does(1, Does::Silent);
        let took = lab.until(MS(6_000), not_usable("n1")).expect("it goes");
        assert!(took <= MS(3_700), "{took:?} with {services}");
    }
}

#[test]
fn a_kube_proxy_that_comes_later_is_found() {
    let mut lab = with_ports(2, &[]);
    lab.run(MS(3_000));
    lab.does(1, Does::Serves);
    lab.run(MS(40_000));
    assert_eq!(lab.of("n1").rung, Some(Rung::Healthz));
}

#[test]
fn a_clean_503_of_a_local_service_acts_at_once() {
    let mut lab = Lab::new(2);
    lab.local_service(3);
    lab.apply();
    lab.run(MS(2_000));
    assert_eq!(
        (lab.serves("n1"), lab.serves("n2")),
        (Some(true), Some(true))
    );
    let no = ProbeResult::Answer(local(503, &web(), 0));
    lab.ports.insert((address(1), 32_000), no.clone());
    let begun = lab.now;
    while lab.serves("n1") == Some(true) {
        lab.run(MS(5));
    }
    let took = lab.now - begun;
    assert!(took <= MS(1_110), "{took:?}");
    assert_eq!(
        lab.chosen(true, Panic::default()),
        (vec!["n2".into()], Mode::Healthy)
    );
    // Its other Services are not concerned.
    assert_eq!(lab.chosen(false, Panic::default()).0, ["n1", "n2"]);
    // When each has said no there is really nobody.
    lab.ports.insert((address(2), 32_000), no);
    lab.run(MS(1_200));
    assert_eq!(
        lab.chosen(true, Panic::default()),
        (vec![], Mode::PanicClosed)
    );
    let told = |(_, event): &(Instant, HealthEvent)| matches!(event, HealthEvent::AllBackendsUnhealthy { service: Some(s), .. } if *s == web());
    assert_eq!(lab.events.iter().filter(|event| told(event)).count(), 1);
}

#[test]
fn a_silent_health_port_is_a_fault_and_panics_open() {
    let mut lab = Lab::new(2);
    lab.local_service(1);
    lab.apply();
    lab.run(MS(2_000));
    for index in [1, 2] {
        lab.ports
            .insert((address(index), 32_000), ProbeResult::Timeout);
    }
    lab.run(MS(400));
    assert_eq!(lab.serves("n1"), Some(true), "a fault needs its threshold");
    lab.run(MS(5_000));
    assert_eq!(lab.serves("n1"), Some(false));
    let (up, mode) = lab.chosen(true, Panic::default());
    assert_eq!((up.len(), mode), (2, Mode::PanicOpen));
}

#[test]
fn a_health_port_of_another_service_is_told_with_its_name() {
    let mut lab = Lab::new(1);
    lab.local_service(1);
    lab.apply();
    lab.run(MS(2_000));
    let other = NamespacedName::new("shop", "cart");
    let told = ProbeResult::Answer(local(200, &other, 4));
    lab.ports.insert((address(1), 32_000), told);
    lab.run(MS(4_000));
    let reasons: Vec<String> = lab
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            HealthEvent::BadAnswer {
                wrong_service: true,
                reason,
                ..
            } => Some(reason.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), 1, "told once: {reasons:?}");
    assert!(reasons[0].contains("shop/cart") && reasons[0].contains("default/web"));
    assert_eq!(lab.serves("n1"), Some(false));
}

#[test]
fn a_share_follows_the_endpoints_by_a_factor_of_two_a_second() {
    let mut lab = Lab::new(1);
    lab.local_service(1);
    lab.apply();
    lab.run(MS(2_000));
    let told = ProbeResult::Answer(local(200, &web(), 100));
    lab.ports.insert((address(1), 32_000), told);
    let endpoints = |lab: &Lab| lab.health.view().services[&web()]["n1"].endpoints;
    let mut last = endpoints(&lab);
    for _ in 0..20 {
        lab.run(MS(1_000));
        let now = endpoints(&lab);
        assert!(
            now <= last * 4,
            "{last} to {now} in a second (two probes may fall in it)"
        );
        last = now;
    }
    assert_eq!(last, 100);
}

#[test]
fn what_the_cluster_says_acts_at_once() {
    type Say = fn(&mut NodeWanted);
    let table: [(Say, &str, bool); 4] = [
        (|n| n.excluded = true, "excluded", false),
        (
            |n| n.leaving = Some("the Node is being deleted"),
            "draining",
            false,
        ),
        (|n| n.out_of_service = true, "unhealthy", true),
        (|n| n.link_down = true, "unhealthy", false),
    ];
    for (say, state, dead) in table {
        let mut lab = Lab::healthy(2);
        say(lab.node("n1"));
        lab.apply();
        assert_eq!(lab.state("n1").as_str(), state);
        assert_eq!(lab.chosen(false, Panic::default()).0, ["n2"], "{state}");
        assert_eq!(
            lab.health.view().dead.contains(&address(1)),
            dead,
            "{state}"
        );
        let drains = lab.health.view().draining.contains_key(&address(1));
        assert_eq!(drains, matches!(state, "excluded" | "draining"), "{state}");
        *lab.node("n1") = NodeWanted {
            addresses: lab.node("n1").addresses.clone(),
            ..NodeWanted::default()
        };
        lab.apply();
        assert_eq!(lab.state("n1"), State::Healthy, "after {state}");
    }
}

#[test]
fn a_deleted_node_loses_its_flows_and_is_then_forgotten() {
    let mut lab = Lab::healthy(2);
    lab.wanted.nodes.remove("n1");
    lab.apply();
    assert_eq!(lab.state("n1"), State::Removed);
    assert!(lab.health.view().dead.contains(&address(1)));
    assert_eq!(lab.chosen(false, Panic::default()).0, ["n2"]);
    lab.run(MS(61_000));
    assert!(lab.health.view().node("n1", Family::V4).is_none());
    assert!(lab.health.view().dead.is_empty());
    assert_eq!(lab.health.history("n1").count(), 0);
}

#[test]
fn a_node_with_another_address_begins_anew() {
    let mut lab = Lab::healthy(2);
    lab.node("n1").addresses.insert(Family::V4, address(9));
    lab.does(9, Does::Serves);
    lab.apply();
    assert!(lab.health.view().dead.contains(&address(1)));
    lab.run(MS(10));
    assert_eq!(
        (lab.state("n1"), lab.of("n1").address),
        (State::Healthy, address(9))
    );
    // Another node that takes the address is not forgotten.
    lab.node("n2").addresses.insert(Family::V4, address(1));
    lab.apply();
    assert!(!lab.health.view().dead.contains(&address(1)));
}

#[test]
fn not_ready_alone_does_nothing_and_beside_silence_it_confirms() {
    let mut lab = Lab::healthy(3);
    lab.node("n1").not_ready = true;
    lab.apply();
    lab.run(MS(10_000));
    assert_eq!(lab.state("n1"), State::Healthy);
    lab.does(1, Does::Silent);
    lab.until(MS(5_000), not_usable("n1")).expect("down");
    lab.run(MS(1_500));
    assert!(lab.of("n1").confirmed_dead);
    assert!(lab.health.view().dead.contains(&address(1)));
    lab.does(1, Does::Serves);
    lab.until(MS(5_000), usable("n1")).expect("up");
    assert!(lab.health.view().dead.is_empty());
}

#[test]
fn what_is_down_for_a_minute_is_probed_slowly() {
    let mut lab = Lab::healthy(2);
    lab.does(1, Does::Silent);
    lab.run(MS(70_000));
    lab.probes.clear();
    lab.run(MS(20_000));
    let to = |index| {
        let probes = lab.probes.iter();
        probes
            .filter(|(_, p)| p.target.ip() == address(index))
            .count()
    };
    assert!((3..=5).contains(&to(1)), "{}", to(1));
    assert!((17..=23).contains(&to(2)), "{}", to(2));
}

#[test]
fn a_flapping_node_is_held_out_longer_each_time() {
    let mut lab = Lab::healthy(2);
    let mut holds = Vec::new();
    for _ in 0..12 {
        lab.does(1, Does::Silent);
        lab.until(MS(10_000), not_usable("n1")).expect("down");
        lab.does(1, Does::Serves);
        lab.until(MS(200_000), usable("n1")).expect("up");
    }
    for (_, event) in &lab.events {
        if let HealthEvent::Held { hold, .. } = event {
            holds.push(hold.as_secs());
        }
    }
    assert!(holds.starts_with(&[2, 4, 8, 16]), "{holds:?}");
    assert!(holds.iter().all(|hold| *hold <= 120), "{holds:?}");
    // After quiet minutes it begins again without a hold.
    lab.run(MS(600_000));
    lab.events.clear();
    lab.does(1, Does::Silent);
    lab.until(MS(10_000), not_usable("n1")).expect("down");
    lab.run(MS(10));
    let held = |event: &HealthEvent| matches!(event, HealthEvent::Held { .. });
    assert!(!lab.events.iter().any(|(_, event)| held(event)));
}

#[test]
fn the_history_has_reasons_and_a_bound() {
    let mut lab = Lab::healthy(2);
    lab.wanted.settings.rise = 1;
    lab.apply();
    for _ in 0..80 {
        lab.does(1, Does::Silent);
        lab.run(MS(1_300));
        lab.does(1, Does::Serves);
        lab.run(MS(1_300));
    }
    let lines: Vec<&Line> = lab.health.history("n1").collect();
    assert_eq!(lines.len(), HISTORY_MAX);
    assert!(lines.iter().all(|line| !line.reason.is_empty()));
    assert!(lines.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn nobody_healthy_is_told_once_and_so_is_the_end_of_it() {
    let mut lab = Lab::healthy(2);
    lab.does(1, Does::Silent);
    lab.does(2, Does::Silent);
    lab.run(MS(10_000));
    let (up, mode) = lab.chosen(false, Panic::default());
    assert_eq!((up.len(), mode), (2, Mode::PanicOpen));
    lab.does(2, Does::Serves);
    lab.until(MS(10_000), usable("n2")).expect("back");
    assert_eq!(
        lab.chosen(false, Panic::default()),
        (vec!["n2".into()], Mode::Healthy)
    );
    let told: Vec<bool> = lab
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            HealthEvent::AllBackendsUnhealthy { service: None, .. } => Some(true),
            HealthEvent::BackendsBack { service: None, .. } => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(told, [true, false]);
}
