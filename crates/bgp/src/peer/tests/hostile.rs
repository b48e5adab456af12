//! A peer that means ill, or is broken: it resets its own session and nothing else.

use proptest::prelude::*;

use super::rig::*;
use crate::message::{Cease, ErrorCode, HeaderError, Message, Notification, encode_keepalive};
use crate::peer::{DropReason, PeerEvent, State};
use crate::{Closed, ConnId};

fn header(length: u16, kind: u8) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend(length.to_be_bytes());
    octets.push(kind);
    octets
}

// BGP-20
// BGP-21
// BGP-22
// BGP-23
#[test]
fn a_header_that_is_wrong_is_answered_with_its_code_in_every_state() {
    let error = |error, data: &[u8]| Some(Notification::with_data(ErrorCode::Header(error), data));
    let cases = [
        (vec![0; 19], error(HeaderError::NotSynchronized, &[])),
        (header(18, 1), error(HeaderError::BadLength, &[0, 18])),
        (header(28, 1), error(HeaderError::BadLength, &[0, 28])),
        (header(4_097, 1), error(HeaderError::BadLength, &[0x10, 1])),
        (header(20, 4), error(HeaderError::BadLength, &[0, 20])),
        (header(19, 0), error(HeaderError::BadType, &[0])),
        (header(19, 6), error(HeaderError::BadType, &[6])),
        (header(19, 200), error(HeaderError::BadType, &[200])),
        (header(20, 3), None),
    ];
    for (octets, expected) in cases {
        for steps in 0..3 {
            let mut rig = Rig::new(settings());
            let conn = rig.connect();
            if steps >= 1 {
                rig.say_open(conn);
            }
            if steps >= 2 {
                rig.say(conn, &Message::Keepalive);
            }
            rig.sent(conn);
            rig.say_octets(conn, &octets);
            assert_eq!(rig.farewell(conn), expected, "{octets:?}");
            assert_eq!((rig.peer.state(), rig.closed().len()), (State::Idle, 1));
            assert_eq!(rig.peer.view().last_error.unwrap().bad_message, octets);
        }
    }
}

#[test]
fn a_message_that_never_ends_is_ended_by_the_hold_timer_and_not_buffered_ahead() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    rig.say_octets(conn, &header(65_535, 2));
    for _ in 0..89 {
        rig.advance(secs(1));
        rig.say_octets(conn, &[0]);
        assert_eq!(rig.peer.state(), State::Established);
    }
    rig.advance(secs(1));
    assert_eq!(
        rig.farewell(conn),
        Some(Notification::new(ErrorCode::HoldTimerExpired))
    );
}

#[test]
fn what_follows_a_fatal_message_is_not_read() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    let mut octets = header(19, 9);
    for _ in 0..100 {
        encode_keepalive(&mut octets);
    }
    rig.say_octets(conn, &octets);
    assert_eq!(rig.peer.counters().received.keepalive, 1);
    rig.say_octets(conn, &octets);
    assert_eq!(
        rig.farewell(conn).map(|n| n.error),
        Some(ErrorCode::Header(HeaderError::BadType))
    );
    rig.say_octets(conn, &octets);
    assert_eq!(
        rig.peer.counters().dropped_for(DropReason::StaleConnection),
        1
    );
}

// BGP-62
#[test]
fn a_peer_that_ceases_at_once_is_dialled_by_the_back_off() {
    let mut rig = Rig::new(settings());
    let start = rig.now;
    let mut dials = 0;
    while rig.now - start < secs(600) {
        rig.until_dial();
        let conn = rig.connect();
        dials += 1;
        rig.say(
            conn,
            &Message::Notification(Notification::cease(Cease::ConnectionRejected)),
        );
        rig.peer.handle_closed(conn, Closed::Reset, rig.now);
    }
    assert!(dials <= 5 + 600 / 22, "{dials} dials in ten minutes");
}

#[test]
fn our_own_open_echoed_back_is_refused() {
    let mut rig = Rig::new(crate::Settings {
        peer_asn: Some(OUR_ASN),
        ..settings()
    });
    let conn = rig.connect();
    let echo = rig.peer.poll_transmit(conn, 10_000, rig.now).unwrap();
    rig.say_octets(conn, &echo);
    let error = rig.farewell(conn).unwrap().error;
    assert_eq!(
        error,
        ErrorCode::Open(crate::message::OpenError::BadIdentifier)
    );
}

/// What a hostile router may do.
#[derive(Clone, Debug)]
enum Blow {
    Octets(Vec<u8>),
    Message(u8),
    HalfMessage(u8),
    Close(bool),
    Accept,
    Time(u32),
    Read(usize),
    Routes(u32),
    DialFails,
    DialWorks,
    Bfd(bool),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 1..60).prop_map(Blow::Octets),
        8 => (0_u8..9).prop_map(Blow::Message),
        2 => (0_u8..9).prop_map(Blow::HalfMessage),
        1 => any::<bool>().prop_map(Blow::Close),
        2 => Just(Blow::Accept),
        4 => (0_u32..100_000).prop_map(Blow::Time),
        4 => (1_usize..9_000).prop_map(Blow::Read),
        2 => (0_u32..2_000).prop_map(Blow::Routes),
        1 => Just(Blow::DialFails),
        4 => Just(Blow::DialWorks),
        1 => any::<bool>().prop_map(Blow::Bfd),
    ]
}

fn message(rig: &Rig, kind: u8) -> Vec<u8> {
    let mut octets = Vec::new();
    let rules = crate::WireRules::default();
    let update = crate::Update::Withdrawn(vec![host(1)]);
    let refresh = crate::RouteRefresh {
        family: crate::AfiSafi::IPV4_UNICAST,
        kind: crate::message::RefreshKind::Request,
    };
    match kind {
        0 | 1 => Message::Open(rig.open.clone())
            .encode(&rules, &mut octets)
            .unwrap(),
        2..=4 => encode_keepalive(&mut octets),
        5 => Message::Update(update).encode(&rules, &mut octets).unwrap(),
        6 => refresh.encode(&mut octets),
        7 => Notification::cease(Cease::OutOfResources).encode(&rules, &mut octets),
        _ => octets = header(300, 2),
    }
    octets
}

fn strike(rig: &mut Rig, conns: &mut Vec<ConnId>, blow: &Blow, pick: usize) {
    let conn = conns.get(pick % conns.len().max(1)).copied();
    let dial = rig.actions.iter().rev().find_map(|a| {
        if let crate::Action::Connect(c) = a {
            Some(*c)
        } else {
            None
        }
    });
    match (blow, conn) {
        (Blow::Octets(octets), Some(conn)) => rig.say_octets(conn, octets),
        (Blow::Message(kind), Some(conn)) => {
            let octets = message(rig, *kind);
            rig.say_octets(conn, &octets);
        }
        (Blow::HalfMessage(kind), Some(conn)) => {
            let octets = message(rig, *kind);
            rig.say_octets(conn, &octets[..octets.len() / 2]);
        }
        (Blow::Close(reset), Some(conn)) => {
            let how = if *reset {
                Closed::Reset
            } else {
                Closed::ByPeer
            };
            rig.peer.handle_closed(conn, how, rig.now);
        }
        (Blow::Accept, _) => conns.extend(rig.accept()),
        (Blow::Time(millis), _) => {
            rig.advance(std::time::Duration::from_millis(u64::from(*millis)))
        }
        (Blow::Read(budget), Some(conn)) => {
            let octets = rig
                .peer
                .poll_transmit(conn, *budget, rig.now)
                .unwrap_or_default();
            assert!(octets.len() <= *budget);
        }
        (Blow::Routes(count), _) => rig.peer.set_routes(&hosts(*count), rig.now),
        (Blow::DialFails, _) => {
            if let Some(dial) = dial {
                rig.peer
                    .handle_connect_failed(dial, crate::ConnectFailure::Refused, rig.now);
            }
        }
        (Blow::DialWorks, _) => {
            if let Some(dial) = dial {
                rig.peer.handle_connected(dial, ends(), rig.now);
                conns.push(dial);
            }
        }
        (Blow::Bfd(up), _) => {
            let bfd = if *up {
                crate::Bfd::Up
            } else {
                crate::Bfd::Down
            };
            rig.peer.handle_bfd(bfd, "", rig.now);
        }
        (_, None) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // BGP-60
    #[test]
    fn whatever_a_router_does_the_machine_stays_sound_and_comes_back(
        blows in prop::collection::vec((blow(), any::<usize>()), 1..120)
    ) {
        let mut rig = Rig::new(settings());
        let mut conns = Vec::new();
        let (mut up, mut opened, mut closed) = (false, 0_usize, std::collections::BTreeSet::new());
        for (blow, pick) in &blows {
            strike(&mut rig, &mut conns, blow, *pick);
            rig.drain();
            for event in std::mem::take(&mut rig.events) {
                match event {
                    PeerEvent::Established(_) => { prop_assert!(!up); up = true; }
                    PeerEvent::Down { .. } => { prop_assert!(up); up = false; }
                    PeerEvent::Failed { .. } | PeerEvent::Note(_) | PeerEvent::Stopped => {}
                }
            }
            prop_assert_eq!(up, rig.peer.state() == State::Established);
            for action in &rig.actions {
                if let crate::Action::Close(conn, _) = action {
                    closed.insert(*conn);
                }
            }
            opened = opened.max(conns.len());
            prop_assert!(rig.peer.leaving.len() <= super::super::LEAVING_MAX);
            // It either waits for something, has something to do, or stands.
            prop_assert!(rig.peer.poll_timeout().is_some() || rig.peer.state() != State::Idle);
        }
        // Left alone for long enough, it dials and a session comes up.
        for conn in conns {
            rig.peer.handle_closed(conn, Closed::Reset, rig.now);
        }
        rig.actions.clear();
        rig.peer.handle_bfd(crate::Bfd::AdminDown, "", rig.now);
        if rig.peer.state() == State::Connect {
            rig.advance(secs(11));
        }
        rig.actions.clear();
        if !matches!(rig.peer.state(), State::Connect) {
            rig.until_dial();
        } else {
            rig.advance(secs(11));
            rig.until_dial();
        }
        let last = rig.actions.iter().rev().find_map(|a| if let crate::Action::Connect(c) = a { Some(*c) } else { None });
        rig.peer.handle_connected(last.unwrap(), ends(), rig.now);
        rig.establish_on(last.unwrap());
    }

    #[test]
    fn how_octets_are_cut_changes_nothing(
        kinds in prop::collection::vec(0_u8..9, 1..20), cuts in prop::collection::vec(1_usize..40, 1..40)
    ) {
        let mut whole = Rig::new(settings());
        let conn = whole.establish();
        let octets: Vec<u8> = kinds.iter().flat_map(|kind| message(&whole, *kind)).collect();
        whole.say_octets(conn, &octets);
        let mut cut = Rig::new(settings());
        let same = cut.establish();
        let mut rest = octets.as_slice();
        for size in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            cut.say_octets(same, now);
            rest = later;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(whole.sent(conn), cut.sent(same));
        prop_assert_eq!(whole.peer.state(), cut.peer.state());
        prop_assert_eq!(whole.events(), cut.events());
    }
}

// BGP-127
#[test]
fn a_flood_of_updates_leaves_nothing_behind() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    let mut octets = Vec::new();
    for n in 0..2_000 {
        let update = crate::Update::Withdrawn(vec![host(n)]);
        Message::Update(update)
            .encode(&crate::WireRules::default(), &mut octets)
            .unwrap();
    }
    rig.say_octets(conn, &octets);
    assert_eq!(rig.peer.counters().prefixes_received_withdrawn, 2_000);
    assert_eq!(
        (rig.events(), rig.actions()),
        (
            vec![PeerEvent::Established(Box::new(
                rig.peer.view().negotiated.unwrap()
            ))],
            vec![]
        )
    );
}
