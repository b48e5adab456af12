//! Ends: drain, process stop, removal, resets, BFD.

use super::rig::*;
use crate::message::{Cease, Community, ErrorCode, Message, Notification, Update};
use crate::peer::{Bfd, ConnId, Note, PeerEvent, Reason, State};
use crate::{Close, RestartSettings, RouteSet, Settings};

fn with_restart(drain: u64) -> Settings {
    Settings {
        graceful_restart: Some(RestartSettings::default()),
        drain_wait: secs(drain),
        ..settings()
    }
}

/// Established with three routes announced; `restart`: the peer can keep them.
fn running(settings: Settings, restart: bool) -> (Rig, ConnId) {
    let mut rig = Rig::new(settings);
    if restart {
        rig.open.capabilities.graceful_restart = Some(restart_capability(120));
    }
    rig.peer.set_routes(&hosts(3), rig.now);
    let conn = rig.establish();
    rig.sent(conn);
    rig.events();
    rig.actions();
    (rig, conn)
}

fn shutdown(text: &str) -> Notification {
    Notification::cease_with_text(Cease::AdministrativeShutdown, text)
}

fn graceful(update: &Update) -> bool {
    matches!(update, Update::Announced { attributes, .. }
        if attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN))
}

// BGP-99
// BGP-71
#[test]
fn a_drain_shuts_down_gracefully_waits_withdraws_and_says_goodbye() {
    for wait in [0, 10, 600] {
        let (mut rig, conn) = running(
            Settings {
                drain_wait: secs(wait),
                ..settings()
            },
            false,
        );
        rig.peer.drain(rig.now);
        if wait > 0 {
            let got = rig.sent(conn);
            assert_eq!(announced(&got).len(), 3);
            assert!(updates(&got).iter().all(graceful));
            rig.peer.set_routes(&hosts(4), rig.now);
            let got = rig.live(conn, secs(wait) - millis(1));
            assert_eq!(announced(&got), [host(3)]);
            assert!(
                updates(&got).iter().all(graceful),
                "new ones carry it from the start"
            );
            rig.advance(millis(1));
        }
        let got = rig.sent(conn);
        assert_eq!(withdrawn(&got).len(), if wait > 0 { 4 } else { 3 });
        assert_eq!(
            got.last(),
            Some(&Got::Notification(shutdown("node drained"))),
            "{got:?}"
        );
        assert_eq!(rig.closed(), [(conn, Close::Finish)]);
        assert_eq!(rig.events().last(), Some(&PeerEvent::Stopped));
        assert!(rig.peer.is_stopped());
        rig.advance(secs(3_600));
        assert_eq!((rig.peer.state(), rig.actions()), (State::Idle, vec![]));
        assert_eq!(rig.accept(), None);
        rig.peer.start(rig.now);
        rig.dialled();
    }
}

// BGP-99
#[test]
fn on_ibgp_a_drain_lowers_the_preference_too_and_can_be_taken_back() {
    let (mut rig, conn) = {
        let mut rig = Rig::new(Settings {
            peer_asn: Some(OUR_ASN),
            ..settings()
        });
        rig.open = crate::Open::new(
            crate::Asn(OUR_ASN),
            90,
            ROUTER_ID,
            capabilities(OUR_ASN, crate::Families::IPV4),
        );
        rig.peer.set_routes(&hosts(3), rig.now);
        let conn = rig.establish();
        rig.sent(conn);
        (rig, conn)
    };
    let preference = |got: &[Got]| match &updates(got)[0] {
        Update::Announced { attributes, .. } => attributes.local_pref,
        other => panic!("{other:?}"),
    };
    rig.peer.drain(rig.now);
    assert_eq!(preference(&rig.sent(conn)), Some(0));
    rig.advance(secs(1));
    rig.peer.start(rig.now);
    let got = rig.sent(conn);
    assert_eq!(
        (preference(&got), updates(&got).iter().any(graceful)),
        (Some(100), false)
    );
    rig.live(conn, secs(60));
    assert_eq!(rig.peer.state(), State::Established);
}

// BGP-99
#[test]
fn a_drain_does_not_wait_for_a_peer_that_does_not_read() {
    let (mut rig, conn) = running(
        Settings {
            drain_wait: secs(1),
            ..settings()
        },
        false,
    );
    rig.peer.drain(rig.now);
    rig.advance(secs(10));
    assert_eq!(rig.closed(), [(conn, Close::Abort)]);
    assert!(rig.peer.is_stopped());
}

#[test]
fn a_drain_without_a_session_is_over_at_once() {
    let mut rig = Rig::new(settings());
    let dial = rig.dialled();
    rig.peer.drain(rig.now);
    assert_eq!(rig.closed(), [(dial, Close::Abort)]);
    assert!(rig.peer.is_stopped());
    let mut rig = Rig::new(settings());
    let conn = rig.connect();
    rig.sent(conn);
    rig.peer.drain(rig.now);
    assert_eq!(rig.farewell(conn), Some(shutdown("node drained")));
    assert!(rig.peer.is_stopped());
}

// BGP-74
#[test]
fn a_process_that_stops_with_graceful_restart_closes_without_a_word() {
    let (mut rig, conn) = running(with_restart(10), true);
    rig.peer.stop(rig.now);
    assert_eq!(rig.sent(conn), []);
    assert_eq!(rig.closed(), [(conn, Close::Finish)]);
    assert!(rig.peer.is_stopped());
    assert_eq!(rig.down_reason(), Some(Reason::Stopped));
    rig.advance(secs(1_000));
    assert_eq!(rig.actions(), []);
}

// BGP-74
// BGP-73
#[test]
fn without_graceful_restart_a_stop_drains_within_two_seconds() {
    // Configured, but the peer does not offer it: the routes would go at once.
    for (settings, restart) in [(settings(), true), (with_restart(10), false)] {
        let (mut rig, conn) = running(settings, restart);
        rig.peer.stop(rig.now);
        let got = rig.sent(conn);
        assert!(announced(&got).len() == 3 && updates(&got).iter().all(graceful));
        let start = rig.now;
        while !rig.peer.is_stopped() {
            rig.advance(millis(100));
            let got = rig.sent(conn);
            if let Some(Got::Notification(last)) = got.last() {
                assert_eq!(
                    (withdrawn(&got).len(), last),
                    (3, &shutdown("harbinger stopping"))
                );
            }
            assert!(rig.now - start <= secs(2));
        }
    }
    let (mut rig, conn) = running(settings(), false);
    rig.peer.stop(rig.now);
    rig.advance(secs(3));
    assert_eq!(
        rig.closed(),
        [(conn, Close::Abort)],
        "a peer that does not read is not waited for"
    );
    assert!(rig.peer.is_stopped());
}

// BGP-74
// BGP-49
#[test]
fn a_stop_during_a_drain_withdraws_and_says_so_with_a_hard_reset() {
    let (mut rig, conn) = running(with_restart(100), true);
    rig.peer.drain(rig.now);
    rig.sent(conn);
    rig.peer.stop(rig.now);
    let got = rig.sent(conn);
    assert_eq!(withdrawn(&got).len(), 3);
    assert_eq!(
        got.last(),
        Some(&Got::Notification(
            shutdown("harbinger stopping").into_hard_reset()
        ))
    );
}

// BGP-70
// BGP-49
#[test]
fn each_end_has_its_cease_and_those_that_mean_it_are_hard_resets() {
    type End = fn(&mut Rig);
    let ends: [(End, Cease, bool); 4] = [
        (
            |rig| rig.peer.remove(rig.now),
            Cease::PeerDeconfigured,
            true,
        ),
        (
            |rig| rig.peer.reset(rig.now),
            Cease::AdministrativeReset,
            true,
        ),
        (
            |rig| rig.peer.restart(rig.now),
            Cease::OtherConfigurationChange,
            false,
        ),
        (
            |rig| {
                rig.peer
                    .handle_bfd_down("control detection time expired", rig.now)
            },
            Cease::BfdDown,
            true,
        ),
    ];
    for (end, code, hard) in ends {
        for restart in [false, true] {
            let (mut rig, conn) = running(with_restart(10), restart);
            end(&mut rig);
            let plain = Notification::cease(code);
            let expected = if hard && restart {
                plain.into_hard_reset()
            } else {
                plain
            };
            assert_eq!(rig.farewell(conn), Some(expected), "{code} {restart}");
            assert_eq!(rig.closed(), [(conn, Close::Finish)]);
            let down = rig
                .events()
                .into_iter()
                .filter(|e| matches!(e, PeerEvent::Down { .. }))
                .count();
            assert_eq!(down, 1);
        }
    }
}

// BGP-49
#[test]
fn a_hard_reset_of_the_peer_is_shown_with_its_reason() {
    let (mut rig, conn) = running(with_restart(10), true);
    let inner =
        Notification::with_data(ErrorCode::Cease(Cease::MaxPrefixes), [0, 1, 1, 0, 0, 0, 2]);
    rig.say(conn, &Message::Notification(inner.into_hard_reset()));
    let reason = rig.down_reason().unwrap().to_string();
    assert_eq!(
        reason,
        "peer's prefix limit: it allows 2 of ipv4-unicast, we announced 3"
    );
}

// BGP-130
// BGP-132
#[test]
fn bfd_down_ends_the_session_in_the_same_call_and_waits_for_bfd() {
    let (mut rig, conn) = running(settings(), false);
    rig.peer.handle_bfd(Bfd::Up, "", rig.now);
    rig.peer
        .handle_bfd(Bfd::Down, "control detection time expired", rig.now);
    assert_eq!(rig.farewell(conn), cease(Cease::BfdDown));
    let reason = rig.down_reason().unwrap();
    assert_eq!(
        reason.to_string(),
        "BFD down: control detection time expired"
    );
    assert_eq!(
        rig.accept(),
        None,
        "nor may the peer come back before BFD does"
    );
    assert_eq!(rig.until_dial(), secs(60));

    for back in [Bfd::Up, Bfd::AdminDown] {
        let (mut rig, conn) = running(settings(), false);
        rig.peer.handle_bfd_down("", rig.now);
        rig.farewell(conn);
        rig.actions();
        rig.advance(secs(5));
        assert_eq!(rig.actions(), []);
        rig.peer.handle_bfd(back, "", rig.now);
        rig.dialled();
    }
}

// BGP-131
#[test]
fn bfd_that_never_came_up_or_is_administratively_down_ends_nothing() {
    let (mut rig, conn) = running(settings(), false);
    rig.peer.handle_bfd(Bfd::Down, "", rig.now);
    rig.peer.handle_bfd(Bfd::Up, "", rig.now);
    rig.peer.handle_bfd(Bfd::AdminDown, "", rig.now);
    rig.peer.handle_bfd(Bfd::Down, "", rig.now);
    assert_eq!(
        (rig.sent(conn), rig.peer.state()),
        (vec![], State::Established)
    );
}

// BGP-131
#[test]
fn strict_bfd_holds_the_keepalive_back() {
    for early in [false, true] {
        let mut rig = Rig::new(Settings {
            bfd: true,
            bfd_strict: true,
            ..settings()
        });
        let conn = rig.connect();
        if early {
            rig.peer.handle_bfd(Bfd::Up, "", rig.now);
        }
        rig.say_open(conn);
        rig.say(conn, &Message::Keepalive);
        assert_eq!(rig.peer.state() == State::Established, early);
        if !early {
            rig.advance(secs(60));
            assert!(
                matches!(rig.sent(conn).as_slice(), [Got::Open(_)]),
                "no KEEPALIVE"
            );
            rig.peer.handle_bfd(Bfd::Up, "", rig.now);
            assert_eq!(rig.sent(conn), [Got::Keepalive]);
        }
        assert_eq!(rig.peer.state(), State::Established);
    }
}

// BGP-132
#[test]
fn the_third_close_by_bfd_in_ten_minutes_is_noted() {
    let mut rig = Rig::new(settings());
    let mut noted = Vec::new();
    for _ in 0..4 {
        let conn = rig.establish();
        rig.sent(conn);
        rig.peer.handle_bfd_down("", rig.now);
        noted.push(rig.events().contains(&PeerEvent::Note(Note::BfdFlapping)));
        rig.until_dial();
    }
    assert_eq!(noted, [false, false, true, true]);
}

#[test]
fn routes_that_go_while_draining_are_withdrawn_at_once() {
    let (mut rig, conn) = running(settings(), false);
    rig.peer.drain(rig.now);
    rig.sent(conn);
    rig.peer.set_routes(&RouteSet::new(), rig.now);
    assert_eq!(withdrawn(&rig.sent(conn)).len(), 3);
}
