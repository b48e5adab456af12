//! Defaults, ranges, and what two peers make of one session.

use super::*;

// BFD-45, BFD-46, BFD-47, BFD-48
#[test]
fn an_empty_profile_has_the_defaults_of_frr() {
    let profile = Profile::try_from(ProfileSpec::default()).unwrap();
    assert_eq!(profile, Profile::default());
    let ms = |time: Duration| time.as_millis();
    assert_eq!(ms(profile.receive_interval), 300);
    assert_eq!(ms(profile.transmit_interval), 300);
    assert_eq!(profile.detect_multiplier, 3);
    assert_eq!(ms(profile.echo_interval), 50);
    assert!(!profile.echo_mode && !profile.passive);
    assert_eq!(profile.minimum_ttl, 254);
}

// BFD-45, BFD-46, BFD-47, BFD-48
#[test]
fn a_field_out_of_range_is_named_with_its_range() {
    type Set = fn(&mut ProfileSpec, i64);
    let fields: [(&str, Set, i64, i64); 5] = [
        (
            "receiveInterval",
            |s, v| s.receive_interval = Some(v),
            10,
            60_000,
        ),
        (
            "transmitInterval",
            |s, v| s.transmit_interval = Some(v),
            10,
            60_000,
        ),
        (
            "detectMultiplier",
            |s, v| s.detect_multiplier = Some(v),
            2,
            255,
        ),
        ("echoInterval", |s, v| s.echo_interval = Some(v), 10, 60_000),
        ("minimumTtl", |s, v| s.minimum_ttl = Some(v), 1, 254),
    ];
    for (field, set, low, high) in fields {
        let of = |value| {
            let mut spec = ProfileSpec::default();
            set(&mut spec, value);
            Profile::try_from(spec)
        };
        for good in [low, high] {
            assert!(of(good).is_ok(), "{field} {good}");
        }
        for bad in [low - 1, high + 1, 0, -1, i64::MAX, i64::MIN] {
            let error = of(bad).unwrap_err();
            assert_eq!((error.field, error.value), (field, bad));
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}

// BFD-47, BFD-48
#[test]
fn fields_without_effect_make_a_note() {
    let profile = Profile {
        echo_mode: true,
        minimum_ttl: 250,
        ..Profile::default()
    };
    assert_eq!(
        profile.notes(Mode::SingleHop),
        [Note::EchoHasNoEffect, Note::MinimumTtlIsForMultiHop]
    );
    assert_eq!(profile.notes(Mode::MultiHop), [Note::EchoHasNoEffect]);
    assert_eq!(Profile::default().notes(Mode::SingleHop), []);
}

// BFD-49
#[test]
fn two_profiles_of_one_session_give_the_faster_of_each_field() {
    let ms = Duration::from_millis;
    let slow = Profile {
        receive_interval: ms(20),
        passive: true,
        ..Profile::default()
    };
    let fast = Profile {
        transmit_interval: ms(50),
        detect_multiplier: 2,
        minimum_ttl: 250,
        ..Profile::default()
    };
    let both = slow.faster(fast);
    assert_eq!(both, fast.faster(slow));
    assert_eq!(
        (both.receive_interval, both.transmit_interval),
        (ms(20), ms(50))
    );
    assert_eq!(
        (both.detect_multiplier, both.passive, both.minimum_ttl),
        (2, false, 250)
    );
}
