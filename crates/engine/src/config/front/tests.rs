//! What a FrontProfile says, whom it is for, and what goes before it: tables.

use super::*;
use crate::config::pools;
use crate::elect::tests::build::*;
use crate::forward::{ForwardOptions, Policy, policy, withdraws};
use crate::name::NamespacedName;
use crate::world::{Change, Delta};

fn raw(name: &str) -> world::FrontProfile {
    world::FrontProfile {
        name: NamespacedName::new(NAMESPACE, name),
        ..world::FrontProfile::default()
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The profiles as read, beside two pools `lan` and `dmz`.
fn read(profiles: &[world::FrontProfile]) -> (FrontProfiles, Vec<Problem>) {
    let mut build = Build::new(&["a"]);
    for of in [pool("lan", &["10.9.0.0/24"]), pool("dmz", &["10.8.0.0/24"])] {
        build.add(Change::Pool(Delta::Upsert(stored(of))));
    }
    for profile in profiles {
        build.add(Change::FrontProfile(Delta::Upsert(stored(profile.clone()))));
    }
    let (pools, _) = pools(&build.world, NAMESPACE);
    front_profiles(&build.world, &pools, NAMESPACE)
}

#[test]
fn what_is_absent_keeps_its_default_and_what_is_said_counts() {
    let (profiles, problems) = read(&[raw("plain")]);
    assert!(problems.is_empty());
    assert_eq!(profiles.node_settings(), Settings::default());
    let said = world::FrontProfile {
        interval: some("500ms"),
        timeout: some("200ms"),
        fall: Some(2),
        rise: Some(1),
        fast_interval: some("100ms"),
        slow_interval: some("1m"),
        drain_timeout: some("2m"),
        slow_start: some("0s"),
        ..raw("said")
    };
    let (profiles, problems) = read(&[said]);
    assert!(problems.is_empty());
    let ms = Duration::from_millis;
    let wanted = Settings {
        interval: ms(500),
        timeout: ms(200),
        fall: 2,
        rise: 1,
        fast: ms(100),
        slow: ms(60_000),
        drain: ms(120_000),
        slow_start: ms(0),
    };
    assert_eq!(profiles.node_settings(), wanted);
}

#[test]
fn a_bad_value_is_told_by_its_field_and_harms_no_other() {
    type Spoil = fn(&mut world::FrontProfile);
    let bad: [(&str, Spoil); 8] = [
        ("spec.mode", |p| p.mode = some("both")),
        ("spec.panic.policy", |p| p.panic = some("calm")),
        ("spec.panic.threshold", |p| p.threshold = Some(101)),
        ("spec.weights", |p| p.weights = some("heavy")),
        ("spec.health.fall", |p| p.fall = Some(0)),
        ("spec.health.interval", |p| p.interval = some("99ms")),
        ("spec.health.timeout", |p| p.timeout = some("soon")),
        ("spec.drainTimeout", |p| p.drain_timeout = some("25h")),
    ];
    for (field, spoil) in bad {
        let mut profile = raw("bad");
        profile.rise = Some(7);
        spoil(&mut profile);
        let (profiles, problems) = read(&[profile]);
        assert_eq!(problems.len(), 1, "{field}: {problems:?}");
        assert!(problems[0].message.starts_with(field), "{problems:?}");
        let wanted = Settings {
            rise: 7,
            ..Settings::default()
        };
        assert_eq!(profiles.node_settings(), wanted, "{field}");
    }
    let mut elsewhere = raw("elsewhere");
    elsewhere.name.namespace = "default".into();
    let (profiles, problems) = read(&[elsewhere]);
    assert!(profiles.is_empty());
    assert_eq!(problems[0].reason, reason::WRONG_NAMESPACE);
}

#[test]
fn the_first_by_name_that_selects_a_service_is_its_own() {
    let of_pool = world::FrontProfile {
        pools: vec!["dmz".into()],
        ..raw("a-pool")
    };
    let labelled = world::FrontProfile {
        service_selectors: vec![selector("app=web")],
        ..raw("b-label")
    };
    let (profiles, _) = read(&[raw("c-all"), labelled, of_pool]);
    let mut web = service("web", &[]);
    let name = |service: &Service, pool| profiles.of(service, pool).map(|p| p.name.clone());
    assert_eq!(name(&web, Some("lan")).as_deref(), Some("c-all"));
    assert_eq!(name(&web, Some("dmz")).as_deref(), Some("a-pool"));
    web.labels = labels("app=web");
    assert_eq!(name(&web, None).as_deref(), Some("b-label"));
    assert_eq!(name(&web, Some("dmz")).as_deref(), Some("a-pool"));
    assert_eq!(read(&[]).0.of(&web, Some("lan")), None);
}

#[test]
fn a_services_annotations_go_before_its_profile() {
    let profile = world::FrontProfile {
        mode: some("front"),
        panic: some("withdraw"),
        threshold: Some(40),
        weights: some("equal"),
        ..raw("p")
    };
    let (profiles, _) = read(&[profile]);
    let of = |service: &Service| {
        let profile = profiles.of(service, None);
        policy(service, profile, ForwardOptions::default())
    };
    let mut web = service("web", &[]);
    web.ports = sharing("web", &[], 80).ports;
    web.ports[0].node_port = Some(30080);
    let Policy {
        traffic,
        panic,
        weights,
        ..
    } = of(&web);
    assert_eq!(traffic, Traffic::Front);
    assert_eq!((panic.policy, panic.threshold), (PanicPolicy::Withdraw, 40));
    assert_eq!(weights, Weights::Equal);
    assert!(withdraws(&web, profiles.of(&web, None)) && !withdraws(&web, None));
    web.annotations = labels(
        "harbinger.dev/traffic=node,harbinger.dev/panic=open,harbinger.dev/panicThreshold=5,harbinger.dev/weights=auto",
    )
    .into();
    let Policy {
        traffic,
        panic,
        weights,
        ..
    } = of(&web);
    assert_eq!(traffic, Traffic::Node);
    assert_eq!((panic.policy, panic.threshold), (PanicPolicy::Open, 5));
    assert_eq!(weights, Weights::Auto);
    assert!(!withdraws(&web, profiles.of(&web, None)));
}
