//! The transitions against a table written from RFC 5880 §6.2 and §6.8.6.

use super::*;
use State::{AdminDown, Down, Init, Up};

// BFD-20
#[test]
fn every_state_and_received_state_is_as_the_rfc_says() {
    // (state, received, next, diagnostic told)
    let table = [
        (AdminDown, AdminDown, AdminDown, None),
        (AdminDown, Down, AdminDown, None),
        (AdminDown, Init, AdminDown, None),
        (AdminDown, Up, AdminDown, None),
        (Down, AdminDown, Down, None),
        (Down, Down, Init, None),
        (Down, Init, Up, Some(0)),
        (Down, Up, Down, None),
        (Init, AdminDown, Down, Some(3)),
        (Init, Down, Init, None),
        (Init, Init, Up, Some(0)),
        (Init, Up, Up, Some(0)),
        (Up, AdminDown, Down, Some(3)),
        (Up, Down, Down, Some(3)),
        (Up, Init, Up, None),
        (Up, Up, Up, None),
    ];
    for (state, received, next, diagnostic) in table {
        let got = transition(state, Trigger::Received(received));
        let (to, told) = got.map_or((state, None), |(to, told, _)| (to, told));
        assert_eq!(to, next, "{state:?} receives {received:?}");
        assert_eq!(
            told.map(Diagnostic::number),
            diagnostic,
            "{state:?} receives {received:?}"
        );
        assert_eq!(
            got.is_some(),
            state != next,
            "only a change is a transition"
        );
    }
}

// BFD-20, BFD-21
#[test]
fn every_state_and_other_trigger_is_as_the_rfc_says() {
    let table = [
        (AdminDown, Trigger::DetectionTimeExpired, AdminDown, None),
        (Down, Trigger::DetectionTimeExpired, Down, None),
        (Init, Trigger::DetectionTimeExpired, Down, Some(1)),
        (Up, Trigger::DetectionTimeExpired, Down, Some(1)),
        (AdminDown, Trigger::PathDown, AdminDown, None),
        (Down, Trigger::PathDown, Down, None),
        (Init, Trigger::PathDown, Down, Some(5)),
        (Up, Trigger::PathDown, Down, Some(5)),
        (AdminDown, Trigger::Disable, AdminDown, None),
        (Down, Trigger::Disable, AdminDown, Some(7)),
        (Init, Trigger::Disable, AdminDown, Some(7)),
        (Up, Trigger::Disable, AdminDown, Some(7)),
        (AdminDown, Trigger::Enable, Down, None),
        (Down, Trigger::Enable, Down, None),
        (Init, Trigger::Enable, Init, None),
        (Up, Trigger::Enable, Up, None),
    ];
    for (state, trigger, next, diagnostic) in table {
        let got = transition(state, trigger);
        let (to, told) = got.map_or((state, None), |(to, told, _)| (to, told));
        assert_eq!(to, next, "{state:?} and {trigger:?}");
        assert_eq!(
            told.map(Diagnostic::number),
            diagnostic,
            "{state:?} and {trigger:?}"
        );
    }
}

// BFD-62
#[test]
fn only_a_loss_of_the_path_is_a_failure() {
    let down = |trigger| transition(Up, trigger).map(|(_, _, cause)| cause);
    assert_eq!(
        down(Trigger::Received(AdminDown)),
        Some(Cause::PeerAdminDown)
    );
    assert_eq!(down(Trigger::Received(Down)), Some(Cause::PeerDown));
    assert_eq!(down(Trigger::Disable), Some(Cause::Local));
}
