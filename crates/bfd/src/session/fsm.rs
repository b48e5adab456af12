//! The transitions of RFC 5880 §6.2 and §6.8.6 as one function of (state, what happened).
//!
//! Owns nothing. Does not touch timers, nor any field of a session.

use crate::packet::{Diagnostic, State};
use crate::status::Cause;

/// What can move a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trigger {
    /// An accepted packet with this state.
    Received(State),
    /// Silence for the detection time.
    DetectionTimeExpired,
    /// The path is known to be gone.
    PathDown,
    /// We hold it down from now on.
    Disable,
    /// We no longer hold it down.
    Enable,
}

/// Where a trigger leads, with the diagnostic to tell and the cause; `None` when it changes nothing.
pub(crate) fn transition(
    state: State,
    trigger: Trigger,
) -> Option<(State, Option<Diagnostic>, Cause)> {
    use State::{AdminDown, Down, Init, Up};
    let down = |diagnostic, cause| Some((Down, Some(diagnostic), cause));
    match (state, trigger) {
        (AdminDown, Trigger::Enable) => Some((Down, None, Cause::Local)),
        (AdminDown, _) | (_, Trigger::Enable) => None,
        (_, Trigger::Disable) => Some((
            AdminDown,
            Some(Diagnostic::ADMINISTRATIVELY_DOWN),
            Cause::Local,
        )),
        (Down, Trigger::Received(Down)) => Some((Init, None, Cause::Peer)),
        (Down, Trigger::Received(Init)) | (Init, Trigger::Received(Init | Up)) => {
            Some((Up, Some(Diagnostic::NONE), Cause::Peer))
        }
        (Up, Trigger::Received(Down)) => down(Diagnostic::NEIGHBOR_SIGNALED_DOWN, Cause::PeerDown),
        (Init | Up, Trigger::Received(AdminDown)) => {
            down(Diagnostic::NEIGHBOR_SIGNALED_DOWN, Cause::PeerAdminDown)
        }
        (Init | Up, Trigger::DetectionTimeExpired) => down(
            Diagnostic::DETECTION_TIME_EXPIRED,
            Cause::DetectionTimeExpired,
        ),
        (Init | Up, Trigger::PathDown) => down(Diagnostic::PATH_DOWN, Cause::PathDown),
        (
            Down,
            Trigger::Received(AdminDown | Up) | Trigger::DetectionTimeExpired | Trigger::PathDown,
        )
        | (Init, Trigger::Received(Down))
        | (Up, Trigger::Received(Init | Up)) => None,
    }
}

#[cfg(test)]
mod tests;
