//! Two connections: who stays, and what a newcomer may do to a session.

use super::super::collision::{Side, survivor};
use super::rig::*;
use crate::message::{Cease, Message};
use crate::peer::{Direction, DropReason, Reason, State};
use crate::{Close, Closed, PeerEvent, RestartSettings, Settings};

// BGP-05
#[test]
fn both_sides_keep_the_same_connection_for_all_pairs() {
    let numbers = [1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    for a in numbers {
        for b in numbers {
            for (asn_a, asn_b) in [(1, 2), (2, 1), (70_000, 5), (5, 5)] {
                let (left, right) = (
                    Side {
                        identifier: a,
                        asn: asn_a,
                    },
                    Side {
                        identifier: b,
                        asn: asn_b,
                    },
                );
                if left == right {
                    continue;
                }
                let (ours, theirs) = (survivor(left, right), survivor(right, left));
                assert_eq!(
                    ours,
                    theirs.other(),
                    "one's outgoing is the other's incoming"
                );
                let higher = if a == b { asn_a > asn_b } else { a > b };
                assert_eq!(ours == Direction::Outgoing, higher, "{left:?} {right:?}");
            }
        }
    }
}

/// A peer with a connection each way, both in OpenSent.
fn two(ours_higher: bool) -> (Rig, crate::ConnId, crate::ConnId) {
    let mut rig = Rig::new(settings());
    let id = if ours_higher { "9.9.9.9" } else { "99.9.9.9" };
    rig.open.router_id = id.parse().unwrap();
    let out = rig.connect();
    let into = rig.accept().expect("the second connection is let in");
    assert!(matches!(rig.sent(out).as_slice(), [Got::Open(_)]));
    assert!(matches!(rig.sent(into).as_slice(), [Got::Open(_)]));
    (rig, out, into)
}

// BGP-05
// BGP-06
#[test]
fn the_loser_of_a_collision_is_told_and_the_other_goes_on() {
    for ours_higher in [true, false] {
        for out_first in [true, false] {
            let (mut rig, out, into) = two(ours_higher);
            let (first, second) = if out_first { (out, into) } else { (into, out) };
            let (stays, goes) = if ours_higher {
                (out, into)
            } else {
                (into, out)
            };
            rig.say_open(first);
            assert_eq!(rig.peer.state(), State::OpenConfirm);
            rig.say_open(second);
            assert_eq!(
                rig.farewell(goes),
                cease(Cease::Collision),
                "{ours_higher} {out_first}"
            );
            assert_eq!(rig.closed(), [(goes, Close::Finish)]);
            assert_eq!(rig.sent(stays), [Got::Keepalive]);
            rig.say(stays, &Message::Keepalive);
            assert_eq!(rig.peer.state(), State::Established);
            let events = rig.events();
            assert!(
                matches!(events.as_slice(), [PeerEvent::Established(_)]),
                "{events:?}"
            );
            assert_eq!(
                rig.peer.view().last_error,
                None,
                "a collision is no failure"
            );
        }
    }
}

// BGP-05
#[test]
fn with_equal_identifiers_the_higher_as_decides() {
    let mut rig = Rig::new(settings());
    rig.open.router_id = OUR_ID;
    let (out, into) = (rig.connect(), rig.accept().unwrap());
    rig.sent(out);
    rig.sent(into);
    rig.say_open(out);
    rig.say_open(into);
    const { assert!(ROUTER_ASN > OUR_ASN) };
    assert_eq!(rig.farewell(out), cease(Cease::Collision));
    rig.say(into, &Message::Keepalive);
    assert_eq!(rig.peer.state(), State::Established);
}

// BGP-06
#[test]
fn a_connection_without_an_open_is_not_compared() {
    let (mut rig, out, into) = two(true);
    rig.say_open(into);
    assert_eq!(
        rig.sent(into),
        [Got::Keepalive],
        "the peer's is lower, but ours has no OPEN yet"
    );
    rig.say(into, &Message::Keepalive);
    assert_eq!(rig.peer.state(), State::Established);
    assert_eq!(
        rig.farewell(out),
        cease(Cease::Collision),
        "the session stands: the other is not needed"
    );
}

// BGP-06
#[test]
fn a_newcomer_never_displaces_an_established_session() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    let into = rig.accept().expect("it gets a name for its refusal");
    assert_eq!(rig.farewell(into), cease(Cease::Collision));
    assert_eq!(rig.closed(), [(into, Close::Finish)]);
    assert_eq!(rig.peer.state(), State::Established);
    assert_eq!(
        rig.sent(conn),
        [Got::Keepalive],
        "is the old one alive? its kernel will tell"
    );
    assert_eq!(
        rig.peer
            .counters()
            .dropped_for(DropReason::ConnectionWhileEstablished),
        1
    );
}

// BGP-75
#[test]
fn a_peer_that_restarts_gracefully_takes_its_session_over() {
    for incoming_first in [false, true] {
        let settings = Settings {
            graceful_restart: Some(RestartSettings::default()),
            ..settings()
        };
        let mut rig = Rig::new(settings);
        rig.open.capabilities.graceful_restart = Some(restart_capability(120));
        rig.peer.set_routes(&hosts(3), rig.now);
        let old = if incoming_first {
            rig.accept().unwrap()
        } else {
            rig.connect()
        };
        rig.establish_on(old);
        rig.sent(old);
        rig.actions();
        rig.events();
        let new = rig.accept().expect("let in");
        assert!(matches!(rig.sent(new).as_slice(), [Got::Open(_)]));
        rig.sent(old);
        assert_eq!(
            rig.peer.state(),
            State::Established,
            "an open port alone takes nothing over"
        );
        rig.say_open(new);
        assert_eq!(rig.sent(old), [], "no NOTIFICATION on the old one");
        assert_eq!(rig.closed(), [(old, Close::Abort)]);
        assert_eq!(rig.down_reason(), Some(Reason::Reopened));
        rig.say(new, &Message::Keepalive);
        assert_eq!(rig.peer.state(), State::Established);
        assert_eq!(announced(&rig.sent(new)).len(), 3);
        assert_eq!(rig.actions(), [], "and nobody dials");
    }
}

// BGP-02
#[test]
fn a_newer_unidentified_connection_replaces_the_older_one() {
    let mut rig = Rig::new(Settings {
        passive: true,
        ..settings()
    });
    assert_eq!(rig.peer.state(), State::Active, "it waits to be called");
    let first = rig.accept().unwrap();
    let second = rig.accept().unwrap();
    assert_eq!(rig.closed(), [(first, Close::Abort)]);
    assert_eq!(
        rig.peer
            .counters()
            .dropped_for(DropReason::ConnectionReplaced),
        1
    );
    rig.establish_on(second);
    rig.advance(secs(1));
    assert_eq!(rig.actions(), [], "a passive peer never dials");
}

#[test]
fn an_accepted_session_stops_our_own_dial() {
    let mut rig = Rig::new(settings());
    let dial = rig.dialled();
    let into = rig.accept().unwrap();
    rig.establish_on(into);
    assert_eq!(rig.closed(), [(dial, Close::Abort)]);
    // And TCP that comes up all the same is nobody's.
    rig.peer.handle_connected(dial, ends(), rig.now);
    assert_eq!(
        rig.peer.counters().dropped_for(DropReason::StaleConnection),
        1
    );
    rig.peer.handle_closed(into, Closed::ByPeer, rig.now);
    rig.until_dial();
}

#[test]
fn the_other_connection_goes_on_when_one_fails() {
    let (mut rig, out, into) = two(true);
    rig.peer.handle_closed(out, Closed::Reset, rig.now);
    assert_eq!(rig.events(), [], "nothing worth telling");
    rig.establish_on(into);
    let (mut rig, out, into) = two(true);
    rig.say(into, &Message::Keepalive);
    assert!(rig.farewell(into).is_some());
    rig.establish_on(out);
}

// BGP-02
#[test]
fn a_flood_of_connections_is_let_in_ten_times_a_second() {
    let mut rig = Rig::new(Settings {
        passive: true,
        ..settings()
    });
    let let_in: usize = (0..1_000)
        .map(|_| {
            rig.advance(millis(1));
            usize::from(rig.accept().is_some())
        })
        .sum();
    assert!((10..=20).contains(&let_in), "{let_in}");
    assert!(
        rig.peer
            .counters()
            .dropped_for(DropReason::ConnectionRefused)
            >= 980
    );
    assert!(rig.actions().len() <= 20);
}

// BGP-02
#[test]
fn while_held_back_one_connection_a_second_is_let_in() {
    let mut rig = Rig::new(settings());
    let mut let_in = 0;
    for _ in 0..1_000 {
        if let Some(conn) = rig.accept() {
            let_in += 1;
            rig.say_octets(conn, &[0; 19]);
            rig.sent(conn);
        }
        rig.until_idle();
        rig.advance(millis(1));
    }
    assert!(let_in <= 3, "{let_in} in a second");
    assert!(
        rig.peer
            .counters()
            .dropped_for(DropReason::ConnectionRefused)
            > 900
    );
}

impl Rig {
    /// Fails whatever dial is running by a bad OPEN, so that the peer is held back.
    fn until_idle(&mut self) {
        let dials: Vec<_> = self.actions().into_iter().collect();
        for action in dials {
            if let crate::Action::Connect(conn) = action {
                self.peer.handle_connected(conn, ends(), self.now);
                self.say_octets(conn, &[0; 19]);
                self.sent(conn);
            }
        }
    }
}
