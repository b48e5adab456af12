//! What a peer shows of itself, and of the other side.

use super::rig::*;
use crate::message::{Cease, Families, Message, Notification};
use crate::peer::{Direction, State};
use crate::{Asn, RestartSettings, Settings};

// BGP-78
#[test]
fn a_view_tells_what_a_summary_needs() {
    let mut rig = Rig::new(settings());
    let view = rig.peer.view();
    assert_eq!(
        (view.state, view.established, view.remote),
        (State::Connect, None, None)
    );
    rig.peer.set_routes(&hosts(10), rig.now);
    let conn = rig.connect();
    rig.advance(secs(5));
    rig.establish_on(conn);
    let up = rig.now;
    rig.sent(conn);
    rig.live(conn, secs(65));
    rig.peer.set_routes(&hosts(12), rig.now);
    let view = rig.peer.view();
    assert_eq!(
        (view.state, view.since, view.established),
        (State::Established, up, Some(up))
    );
    assert_eq!(
        (view.local, view.remote),
        (Some(ends().local), Some(ends().remote))
    );
    assert_eq!(
        (view.direction, view.local_asn),
        (Some(Direction::Outgoing), Asn(OUR_ASN))
    );
    let counts = (
        view.routes_wanted,
        view.routes_sent,
        view.routes_pending,
        view.routes_withheld,
    );
    assert_eq!(counts, (12, 10, 2, 0));
    assert_eq!(
        view.offered.into_iter().collect::<Vec<_>>(),
        [1, 2, 6, 65, 70]
    );
    let negotiated = view.negotiated.unwrap();
    assert_eq!(
        (
            negotiated.peer_asn,
            negotiated.peer_id,
            negotiated.hold_time_secs
        ),
        (Asn(ROUTER_ASN), ROUTER_ID, 90)
    );
    assert_eq!(negotiated.theirs, rig.open.capabilities);
    assert_eq!((view.next_attempt, view.last_error), (None, None));
    rig.sent(conn);
    let counters = rig.peer.counters();
    assert_eq!(
        (
            counters.sent.open,
            counters.received.open,
            counters.sent.update
        ),
        (1, 1, 3)
    );
    assert_eq!(
        (counters.received.keepalive, counters.prefixes_announced),
        (66, 12)
    );

    rig.say(
        conn,
        &Message::Notification(Notification::cease(Cease::OutOfResources)),
    );
    rig.sent(conn);
    let view = rig.peer.view();
    assert_eq!(
        (view.established, view.negotiated, view.routes_sent),
        (None, None, 0)
    );
    let error = view.last_error.unwrap();
    assert_eq!(
        (error.at, error.times, error.reason.to_string().as_str()),
        (rig.now, 1, "peer says: 6/8 cease: out of resources")
    );
    let counters = rig.peer.counters();
    assert_eq!(
        (
            counters.established,
            counters.dropped,
            counters.received.notification
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_peer_that_is_held_back_tells_when_it_tries_again() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    rig.peer.handle_closed(conn, crate::Closed::Reset, rig.now);
    let at = rig.peer.view().next_attempt.expect("it tells");
    let wait = rig.until_dial();
    assert!(wait > secs(0));
    assert_eq!(at, rig.now);
}

// BGP-48
#[test]
fn what_the_peer_says_of_its_restart_is_shown_and_delays_nothing() {
    let mut rig = Rig::new(Settings {
        graceful_restart: Some(RestartSettings::default()),
        ..settings()
    });
    let theirs = crate::message::GracefulRestart {
        restarting: true,
        ..restart_capability(300)
    };
    rig.open.capabilities.graceful_restart = Some(theirs.clone());
    rig.peer.set_routes(&hosts(2), rig.now);
    let conn = rig.establish();
    let got = rig.sent(conn);
    assert_eq!(announced(&got).len(), 2);
    assert_eq!(updates(&got).len(), 2, "and End-of-RIB, before theirs");
    let negotiated = rig.peer.view().negotiated.unwrap();
    assert_eq!(negotiated.theirs.graceful_restart, Some(theirs));
    assert!(negotiated.graceful_restart && negotiated.notification_restart);
    assert_eq!(negotiated.rules.families, Families::IPV4);
}
