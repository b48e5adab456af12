//! Timers by virtual time.

use std::time::Duration;

use super::rig::*;
use crate::message::{Cease, ErrorCode, Message, Notification};
use crate::peer::{Close, Closed, ConnectFailure, PeerEvent, Reason, State};
use crate::{Action, Obstacle, Settings};

// BGP-04
#[test]
fn dials_are_paced_by_the_connect_time_and_never_grow() {
    for (set, whole) in [(None, 10), (Some(3), 3), (Some(100), 100)] {
        let mut rig = Rig::new(Settings {
            connect_time: set.map(secs),
            ..settings()
        });
        for _ in 0..20 {
            let conn = rig.dialled();
            rig.peer
                .handle_connect_failed(conn, ConnectFailure::Refused, rig.now);
            assert_eq!(rig.peer.state(), State::Active);
            let wait = rig.until_dial();
            assert!(
                wait >= secs(whole) * 3 / 4 && wait <= secs(whole),
                "{wait:?} of {whole}"
            );
        }
        assert_eq!(rig.peer.counters().dials_failed, 20);
    }
}

// BGP-04
// BGP-08
// BGP-10
#[test]
fn an_attempt_without_answer_ends_after_ten_seconds_and_says_what_may_be_wrong() {
    let mut rig = Rig::new(Settings {
        connect_time: Some(secs(60)),
        password: true,
        ..settings()
    });
    let conn = rig.dialled();
    rig.advance(millis(9_999));
    assert_eq!(rig.peer.state(), State::Connect);
    rig.advance(millis(1));
    assert_eq!(rig.closed(), [(conn, Close::Abort)]);
    let events = rig.events();
    let [PeerEvent::Failed { reason, times: 1 }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(reason.to_string(), "no answer; check password");

    let mut rig = Rig::new(settings());
    for times in 1..=4 {
        let conn = rig.dialled();
        rig.peer
            .handle_connect_failed(conn, ConnectFailure::TimedOut { off_link: true }, rig.now);
        let hint = rig
            .peer
            .view()
            .last_error
            .unwrap()
            .reason
            .to_string()
            .contains("ebgpMultiHop");
        assert_eq!(hint, times >= 3, "after {times}");
        rig.until_dial();
    }
}

// BGP-136
#[test]
fn identical_failures_are_counted_not_told_anew() {
    let mut rig = Rig::new(settings());
    for times in 1..=5 {
        let conn = rig.dialled();
        rig.peer
            .handle_connect_failed(conn, ConnectFailure::Refused, rig.now);
        let events = rig.events();
        let [PeerEvent::Failed { times: told, .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(*told, times);
        rig.until_dial();
    }
}

// BGP-62
#[test]
fn failures_hold_back_longer_and_longer_until_a_session_stood_for_a_minute() {
    let mut rig = Rig::new(settings());
    let within = |wait: Duration, whole: u64| {
        assert!(
            wait >= secs(whole) * 3 / 4 && wait <= secs(whole),
            "{wait:?} of {whole} s"
        );
    };
    for whole in [1, 2, 4, 8, 16, 30, 30, 30] {
        let conn = rig.establish();
        rig.sent(conn);
        rig.peer.handle_closed(conn, Closed::Reset, rig.now);
        within(rig.until_dial(), whole);
    }
    let conn = rig.establish();
    rig.live(conn, secs(60));
    rig.peer.handle_closed(conn, Closed::Reset, rig.now);
    assert_eq!(
        rig.until_dial(),
        secs(0),
        "the first failure of a session that stood costs nothing"
    );
    for whole in [1, 2, 4] {
        let conn = rig.connect();
        rig.say(
            conn,
            &Message::Notification(Notification::cease(Cease::ConnectionRejected)),
        );
        within(rig.until_dial(), whole);
    }
}

// BGP-66
#[test]
fn a_router_that_never_talks_costs_a_minute() {
    let mut rig = Rig::new(settings());
    let conn = rig.connect();
    rig.sent(conn);
    rig.advance(millis(59_999));
    assert_eq!(rig.peer.state(), State::OpenSent);
    rig.advance(millis(1));
    assert_eq!(
        rig.farewell(conn),
        Some(Notification::new(ErrorCode::HoldTimerExpired))
    );
    assert_eq!(rig.peer.view().last_error.unwrap().reason, Reason::NoOpen);
}

// BGP-63
// BGP-67
#[test]
fn the_hold_time_is_the_lesser_and_only_keepalive_and_update_restart_it() {
    for (ours, theirs, used) in [(90, 30, 30), (30, 90, 30), (9, 3, 3)] {
        let mut rig = Rig::new(Settings {
            hold_time: Some(secs(ours)),
            ..settings()
        });
        rig.open.hold_time_secs = theirs;
        let conn = rig.establish();
        rig.sent(conn);
        rig.advance(secs(used) - millis(2));
        rig.say(conn, &Message::Keepalive);
        rig.advance(secs(used) - millis(1));
        rig.say(
            conn,
            &Message::Update(crate::Update::EndOfRib(crate::Family::Ipv4)),
        );
        rig.advance(secs(used) - millis(1));
        rig.ask_refresh(conn);
        assert_eq!(rig.peer.state(), State::Established);
        rig.sent(conn);
        rig.advance(millis(1));
        assert_eq!(
            rig.farewell(conn),
            Some(Notification::new(ErrorCode::HoldTimerExpired))
        );
        assert_eq!(rig.down_reason(), Some(Reason::HoldExpired(secs(used))));
    }
}

// BGP-63
#[test]
fn hold_time_zero_means_neither_timer() {
    let mut rig = Rig::new(settings());
    rig.open.hold_time_secs = 0;
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(1), rig.now);
    rig.sent(conn);
    assert_eq!(rig.peer.poll_timeout(), None);
    rig.advance(secs(100_000));
    assert_eq!(
        (rig.peer.state(), rig.sent(conn)),
        (State::Established, vec![])
    );
    // Octets that wait do not end it either (RFC 9687).
    rig.peer.set_routes(&hosts(2), rig.now);
    rig.advance(secs(100_000));
    assert_eq!(rig.peer.state(), State::Established);
}

// BGP-64
#[test]
fn keepalives_follow_the_last_message_of_any_kind() {
    let mut rig = Rig::new(Settings {
        keepalive_time: Some(secs(4)),
        hold_time: Some(secs(90)),
        ..settings()
    });
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(1), rig.now);
    rig.sent(conn);
    let mut last = rig.now;
    for n in 0..50 {
        rig.say(conn, &Message::Keepalive);
        if n % 10 == 5 {
            rig.advance(secs(2));
            rig.peer.set_routes(&hosts(2 + n), rig.now);
            assert!(!announced(&rig.sent(conn)).is_empty());
            last = rig.now;
        }
        while !rig.peer.wants_write(conn) {
            let at = rig.peer.poll_timeout().unwrap();
            rig.advance(at - rig.now);
        }
        assert_eq!(rig.sent(conn), [Got::Keepalive]);
        let gap = rig.now - last;
        assert!(gap >= secs(3) && gap <= secs(4), "{gap:?}");
        last = rig.now;
    }
}

// BGP-64
#[test]
fn a_third_of_a_short_hold_time_is_at_least_a_second() {
    let mut rig = Rig::new(settings());
    rig.open.hold_time_secs = 3;
    let conn = rig.establish();
    let got = rig.live(conn, secs(30));
    let sent = got.iter().filter(|got| **got == Got::Keepalive).count();
    assert!((29..=41).contains(&sent), "{sent} in 30 s at 0.75 s to 1 s");
}

// BGP-137
#[test]
fn a_late_loop_sends_one_keepalive_and_hears_what_came_before_it_judges() {
    let mut rig = Rig::new(settings());
    rig.open.hold_time_secs = 30;
    let conn = rig.establish();
    rig.sent(conn);
    rig.now += secs(29);
    rig.peer.handle_timeout(rig.now);
    assert_eq!(
        rig.sent(conn),
        [Got::Keepalive],
        "one for three that were due"
    );
    rig.now += secs(60);
    rig.say(conn, &Message::Keepalive);
    rig.peer.handle_timeout(rig.now);
    assert_eq!(rig.peer.state(), State::Established);
}

// BGP-82
#[test]
fn a_keepalive_goes_between_two_updates() {
    let mut rig = Rig::new(settings());
    rig.open.capabilities.extended_messages = false;
    let conn = rig.establish();
    rig.sent(conn);
    rig.peer.set_routes(&hosts(100_000), rig.now);
    let mut octets = rig.peer.poll_transmit(conn, 5_000, rig.now).unwrap();
    rig.advance(secs(30));
    rig.say(conn, &Message::Keepalive);
    octets.extend(rig.peer.poll_transmit(conn, 10_000, rig.now).unwrap());
    let place = octets
        .windows(3)
        .position(|w| w == [0, 19, 4])
        .expect("a KEEPALIVE");
    assert!(
        place < 2 * 4_096 + 19,
        "behind the message that was begun, not behind the queue"
    );
}

// BGP-68
#[test]
fn a_peer_that_reads_nothing_is_let_go_after_the_send_hold_time() {
    // Twice a long hold time is more than a backlog may last.
    for (hold, send_hold) in [(90, 480), (600, 900)] {
        let mut rig = Rig::new(Settings {
            hold_time: Some(secs(hold)),
            ..settings()
        });
        rig.open.hold_time_secs = hold as u16;
        let conn = rig.establish();
        rig.peer.set_routes(&hosts(100), rig.now);
        rig.sent(conn);
        let idle = rig.live(conn, secs(2_000));
        assert!(
            idle.iter().all(|got| *got == Got::Keepalive),
            "an idle session is none that does not read"
        );
        rig.peer.set_routes(&hosts(101), rig.now);
        let start = rig.now;
        while rig.peer.state() == State::Established && rig.now < start + secs(5_000) {
            rig.advance(secs(1));
            rig.say(conn, &Message::Keepalive);
        }
        assert_eq!(rig.now - start, secs(send_hold));
        assert_eq!(rig.down_reason(), Some(Reason::SendHoldExpired));
        rig.peer.handle_timeout(rig.now);
        assert_eq!(
            rig.closed(),
            [(conn, Close::Abort)],
            "the NOTIFICATION is not waited for"
        );
    }
}

// BGP-68
#[test]
fn a_backlog_that_never_ends_is_bounded_although_octets_go() {
    let mut rig = Rig::new(settings());
    rig.open.capabilities.extended_messages = false;
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(10_000), rig.now);
    let start = rig.now;
    while rig.peer.state() == State::Established && rig.now < start + secs(5_000) {
        rig.peer.poll_transmit(conn, 1, rig.now);
        rig.advance(secs(30));
        rig.say(conn, &Message::Keepalive);
    }
    assert_eq!(rig.now - start, secs(15 * 60));
    assert_eq!(rig.down_reason(), Some(Reason::SendHoldExpired));
}

// BGP-73
#[test]
fn a_notification_that_cannot_leave_is_not_waited_for_longer_than_a_second() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    rig.peer.reset(rig.now);
    rig.actions();
    rig.advance(millis(999));
    assert_eq!(rig.closed(), []);
    rig.advance(millis(1));
    assert_eq!(rig.closed(), [(conn, Close::Abort)]);
}

// BGP-09
#[test]
fn a_replaced_key_is_probed_and_given_up_without_a_word() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    rig.peer.probe(rig.now);
    assert_eq!(rig.sent(conn), [Got::Keepalive]);
    rig.peer.abort("the new password was not taken up", rig.now);
    assert_eq!(rig.sent(conn), []);
    let actions = rig.actions();
    assert_eq!(actions[0], Action::Close(conn, Close::Abort));
    assert_eq!(
        rig.down_reason(),
        Some(Reason::Aborted("the new password was not taken up"))
    );
    rig.actions = actions;
    assert_eq!(rig.until_dial(), secs(0));
    assert_ne!(rig.peer.view().obstacle, Some(Obstacle::PasswordMissing));
}

#[test]
fn nothing_is_due_in_the_past_for_ever() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(10), rig.now);
    for _ in 0..1_000 {
        rig.now += secs(7);
        rig.peer.handle_timeout(rig.now);
        assert!(
            rig.peer.poll_timeout().is_none_or(|at| at > rig.now),
            "{:?}",
            rig.peer.state()
        );
        rig.drain();
    }
    assert!(!rig.peer.wants_write(conn));
}
