//! One session: OPENs, refusals, unexpected messages, words for what went wrong.

use std::net::Ipv4Addr;

use super::rig::*;
use crate::message::{
    Asn, Capabilities, Cease, ErrorCode, Families, FsmError, Message, Notification, Open,
    OpenError, RefreshKind, RouteRefresh, Update,
};
use crate::peer::{ConnectFailure, DropReason, Note, PeerEvent, Reason, State};
use crate::{AfiSafi, Family, RestartSettings, Settings};

#[test]
fn dials_opens_confirms_and_is_established() {
    let mut rig = Rig::new(settings());
    assert_eq!(rig.peer.state(), State::Connect);
    let conn = rig.connect();
    assert_eq!(rig.peer.state(), State::OpenSent);
    let got = rig.sent(conn);
    let [Got::Open(open)] = got.as_slice() else {
        panic!("{got:?}")
    };
    assert_eq!(
        (open.asn(), open.hold_time_secs, open.router_id),
        (Asn(OUR_ASN), 90, OUR_ID)
    );
    rig.say_open(conn);
    assert_eq!(rig.peer.state(), State::OpenConfirm);
    assert_eq!(rig.sent(conn), [Got::Keepalive]);
    rig.say(conn, &Message::Keepalive);
    assert_eq!(rig.peer.state(), State::Established);
    let events = rig.events();
    let [PeerEvent::Established(negotiated)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(negotiated.peer_asn, Asn(ROUTER_ASN));
    assert_eq!(negotiated.rules.families, Families::IPV4);
    assert!(
        negotiated.rules.extended_out
            && negotiated.rules.four_octet_as
            && negotiated.enhanced_refresh
    );
    // Nobody has told what to announce: not even End-of-RIB.
    assert_eq!(rig.sent(conn), []);
}

fn refused(open: Open, settings: Settings) -> (Option<Notification>, Rig) {
    let mut rig = Rig::new(settings);
    let conn = rig.connect();
    rig.sent(conn);
    rig.say(conn, &Message::Open(open));
    let farewell = rig.farewell(conn);
    (farewell, rig)
}

// BGP-25
// BGP-26
// BGP-27
// BGP-28
// BGP-32
#[test]
fn an_open_we_do_not_agree_with_is_refused_with_its_code() {
    let good = || {
        Open::new(
            Asn(ROUTER_ASN),
            90,
            ROUTER_ID,
            capabilities(ROUTER_ASN, Families::IPV4),
        )
    };
    let data = |error, data: &[u8]| Some(Notification::with_data(ErrorCode::Open(error), data));
    let with_asn = |asn: u32| Open::new(Asn(asn), 90, ROUTER_ID, capabilities(asn, Families::IPV4));
    let internal = Settings {
        peer_asn: Some(OUR_ASN),
        ..settings()
    };
    let dynamic = |kind| Settings {
        peer_asn: None,
        dynamic_asn: Some(kind),
        ..settings()
    };
    let own_id = Open {
        router_id: OUR_ID,
        ..with_asn(OUR_ASN)
    };
    let cases = [
        (good(), settings(), None),
        (
            with_asn(64_999),
            settings(),
            data(OpenError::BadPeerAs, &[0, 0, 0xfd, 0xe7]),
        ),
        (
            with_asn(0),
            settings(),
            data(OpenError::BadPeerAs, &[0, 0, 0, 0]),
        ),
        (
            with_asn(OUR_ASN),
            dynamic(crate::DynamicAsn::External),
            data(OpenError::BadPeerAs, &[0, 0, 0xfb, 0xf4]),
        ),
        (with_asn(64_999), dynamic(crate::DynamicAsn::External), None),
        (
            with_asn(64_999),
            dynamic(crate::DynamicAsn::Internal),
            data(OpenError::BadPeerAs, &[0, 0, 0xfd, 0xe7]),
        ),
        (
            with_asn(OUR_ASN),
            dynamic(crate::DynamicAsn::Internal),
            None,
        ),
        (
            Open {
                hold_time_secs: 1,
                ..good()
            },
            settings(),
            data(OpenError::UnacceptableHoldTime, &[0, 1]),
        ),
        (
            Open {
                hold_time_secs: 2,
                ..good()
            },
            settings(),
            data(OpenError::UnacceptableHoldTime, &[0, 2]),
        ),
        (
            Open {
                hold_time_secs: 3,
                ..good()
            },
            settings(),
            None,
        ),
        (
            Open {
                hold_time_secs: 0,
                ..good()
            },
            settings(),
            None,
        ),
        (
            Open {
                hold_time_secs: 9,
                ..good()
            },
            Settings {
                min_hold_time: Some(secs(10)),
                ..settings()
            },
            data(OpenError::UnacceptableHoldTime, &[0, 9]),
        ),
        (
            Open {
                router_id: Ipv4Addr::UNSPECIFIED,
                ..good()
            },
            settings(),
            data(OpenError::BadIdentifier, &[]),
        ),
        (own_id, internal, data(OpenError::BadIdentifier, &[])),
        (
            Open {
                router_id: OUR_ID,
                ..good()
            },
            settings(),
            None,
        ),
        (
            Open {
                capabilities: capabilities(ROUTER_ASN, Families::IPV6),
                ..good()
            },
            settings(),
            data(OpenError::UnsupportedCapability, &[1, 4, 0, 1, 0, 1]),
        ),
    ];
    for (open, settings, expected) in cases {
        let (farewell, rig) = refused(open.clone(), settings);
        assert_eq!(farewell, expected, "{open:?}");
        let state = if expected.is_some() {
            State::Idle
        } else {
            State::OpenConfirm
        };
        assert_eq!(rig.peer.state(), state, "{open:?}");
    }
}

// BGP-38
#[test]
fn an_open_that_fails_leaves_only_a_count_and_a_reason() {
    let (_, mut rig) = refused(
        Open::new(Asn(64_999), 90, ROUTER_ID, Capabilities::default()),
        settings(),
    );
    let view = rig.peer.view();
    assert_eq!(view.negotiated, None);
    let error = view.last_error.unwrap();
    assert_eq!(
        error.reason.to_string(),
        "peer has AS 64999, expected is 64512"
    );
    assert!(error.bad_message_hex().starts_with("ffffffff"));
    assert_eq!(rig.peer.counters().dropped_for(DropReason::RefusedOpen), 1);
    rig.until_dial();
    let conn = rig.connect();
    rig.establish_on(conn);
}

// BGP-69
#[test]
fn a_message_that_its_state_does_not_allow_is_an_fsm_error_with_its_type() {
    let update = Message::Update(Update::EndOfRib(Family::Ipv4));
    let refresh = Message::RouteRefresh(RouteRefresh {
        family: AfiSafi::IPV4_UNICAST,
        kind: RefreshKind::Request,
    });
    let open = Message::Open(Rig::new(settings()).open);
    let sub = [
        FsmError::OpenSent,
        FsmError::OpenConfirm,
        FsmError::Established,
    ];
    for (state, message, octet) in [
        (0, &Message::Keepalive, 4),
        (0, &update, 2),
        (0, &refresh, 5),
        (1, &update, 2),
        (1, &refresh, 5),
        (1, &open, 1),
        (2, &open, 1),
    ] {
        let mut rig = Rig::new(settings());
        let conn = rig.connect();
        if state >= 1 {
            rig.say_open(conn);
        }
        if state >= 2 {
            rig.say(conn, &Message::Keepalive);
        }
        rig.sent(conn);
        rig.say(conn, message);
        let expected = Notification::with_data(ErrorCode::Fsm(sub[state]), [octet]);
        assert_eq!(rig.farewell(conn), Some(expected), "{state} {message:?}");
        assert_eq!(rig.closed().len(), 1);
        assert_eq!(
            rig.peer
                .counters()
                .dropped_for(DropReason::UnexpectedMessage),
            1
        );
    }
}

// BGP-72
#[test]
fn a_notification_is_never_answered() {
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
        rig.events();
        rig.say(
            conn,
            &Message::Notification(Notification::cease_with_text(
                Cease::AdministrativeReset,
                "maint\u{1b}",
            )),
        );
        assert_eq!(rig.sent(conn), []);
        assert_eq!(rig.closed().len(), 1, "closed without a word");
        let error = rig.peer.view().last_error.unwrap();
        assert_eq!(
            error.reason.to_string(),
            "peer says: 6/4 cease: administrative reset \"maint\\u{1b}\"",
        );
    }
}

#[test]
fn reasons_are_told_in_words() {
    let bad_as = |data: &[u8]| Reason::PeerSays {
        notification: Notification::with_data(ErrorCode::Open(OpenError::BadPeerAs), data),
        our_asn: Asn(OUR_ASN),
    };
    let timed_out = |password, multihop_hint| Reason::NoConnection {
        failure: ConnectFailure::TimedOut { off_link: false },
        password,
        multihop_hint,
    };
    let limit = Reason::PrefixLimit {
        limit: Some((AfiSafi::IPV4_UNICAST, 5)),
        announced: 10,
    };
    for (reason, words) in [
        (
            bad_as(&[0, 0, 0xfc, 0x00]),
            "peer says: bad peer AS, it expects 64512",
        ),
        (
            bad_as(&[0xfb, 0xf4]),
            "peer says: bad peer AS, it does not expect 64500",
        ),
        (
            bad_as(&[]),
            "peer says: bad peer AS, it does not expect 64500",
        ),
        (timed_out(true, false), "no answer; check password"),
        (timed_out(false, false), "no answer"),
        (
            timed_out(false, true),
            "no answer; the peer is on no link of this node: is ebgpMultiHop missing?",
        ),
        (
            limit,
            "peer's prefix limit: it allows 5 of ipv4-unicast, we announced 10",
        ),
        (
            Reason::HoldExpired(secs(9)),
            "hold timer expired: nothing heard for 9 s",
        ),
    ] {
        assert_eq!(reason.to_string(), words);
    }
}

// BGP-62
#[test]
fn a_prefix_limit_is_told_with_both_numbers_and_waited_out() {
    let mut rig = Rig::new(settings());
    rig.peer.set_routes(&hosts(10), rig.now);
    let cut = Message::Notification(Notification::with_data(
        ErrorCode::Cease(Cease::MaxPrefixes),
        [0, 1, 1, 0, 0, 0, 5],
    ));
    for (times, wait) in [(1, 60), (2, 120), (3, 240), (4, 480), (5, 900), (6, 900)] {
        let conn = rig.establish();
        rig.sent(conn);
        rig.say(conn, &cut);
        let reason = rig.down_reason().unwrap();
        assert_eq!(
            reason.to_string(),
            "peer's prefix limit: it allows 5 of ipv4-unicast, we announced 10"
        );
        assert_eq!(rig.until_dial(), secs(wait), "after {times}");
    }
    let conn = rig.establish();
    rig.sent(conn);
    rig.say(conn, &cut);
    rig.actions();
    rig.advance(secs(1));
    assert_eq!(rig.actions(), []);
    rig.peer.set_routes(&hosts(5), rig.now);
    assert_eq!(
        rig.until_dial(),
        secs(0),
        "below the limit it is tried at once"
    );
}

// BGP-129
#[test]
fn a_peer_that_announces_what_we_announce_is_noted_once() {
    let mut rig = Rig::new(settings());
    rig.peer.set_routes(&hosts(3), rig.now);
    let conn = rig.establish();
    rig.events();
    let announce = |prefix: &str| {
        Message::Update(Update::Announced {
            prefixes: vec![prefix.parse().unwrap()],
            next_hop: crate::NextHop::V4(ROUTER_ID),
            attributes: crate::Attributes {
                as_path: crate::AsPath::repeated(Asn(ROUTER_ASN), 1),
                ..crate::Attributes::default()
            },
        })
    };
    for prefix in [
        "0.0.0.0/0",
        "198.51.100.0/24",
        "192.0.2.128/25",
        "192.0.3.0/32",
    ] {
        rig.say(conn, &announce(prefix));
        assert_eq!(rig.events(), [], "{prefix}");
    }
    for _ in 0..2 {
        rig.say(conn, &announce("192.0.2.0/24"));
    }
    let note = Note::PeerAnnouncesOurPrefix {
        received: "192.0.2.0/24".parse().unwrap(),
        ours: host(0),
    };
    assert_eq!(rig.events(), [PeerEvent::Note(note)]);
    assert_eq!(rig.peer.counters().prefixes_received, 6);
}

// BGP-76
#[test]
fn only_a_change_of_terms_ends_the_session() {
    let keep = [
        Settings {
            connect_time: Some(secs(3)),
            ..settings()
        },
        Settings {
            disable_mp: true,
            drain_wait: secs(1),
            ..settings()
        },
        Settings {
            my_asn: 1,
            local_asn: Some(OUR_ASN),
            ..settings()
        },
        Settings {
            hold_time: Some(secs(90)),
            ..settings()
        },
    ];
    let end = [
        Settings {
            local_asn: Some(1),
            ..settings()
        },
        Settings {
            hold_time: Some(secs(30)),
            ..settings()
        },
        Settings {
            families: Families::BOTH,
            ..settings()
        },
        Settings {
            router_id: Ipv4Addr::new(1, 1, 1, 1),
            ..settings()
        },
        Settings {
            password: true,
            ..settings()
        },
        Settings {
            graceful_restart: Some(RestartSettings::default()),
            ..settings()
        },
    ];
    for (changed, ends) in keep
        .into_iter()
        .map(|s| (s, false))
        .chain(end.into_iter().map(|s| (s, true)))
    {
        let mut rig = Rig::new(settings());
        let conn = rig.establish();
        rig.sent(conn);
        rig.peer.set_config(config(changed.clone()), rig.now);
        let expected = if ends {
            cease(Cease::OtherConfigurationChange)
        } else {
            None
        };
        assert_eq!(rig.farewell(conn), expected, "{changed:?}");
        if ends {
            assert_eq!(rig.until_dial(), secs(0), "and begins again at once");
        }
    }
}

// BGP-12
// BGP-17
#[test]
fn an_obstacle_closes_without_a_word_and_its_end_dials() {
    let mut rig = Rig::new(settings());
    let conn = rig.establish();
    rig.sent(conn);
    let obstacle = crate::Obstacle::SourceAddressMissing;
    rig.peer.set_obstacle(Some(obstacle), rig.now);
    assert_eq!(rig.sent(conn), []);
    assert_eq!(rig.closed(), [(conn, crate::Close::Abort)]);
    assert_eq!(
        (rig.peer.state(), rig.peer.view().obstacle),
        (State::Idle, Some(obstacle))
    );
    assert_eq!(rig.down_reason(), Some(Reason::Obstacle(obstacle)));
    rig.advance(secs(3600));
    assert_eq!(rig.actions(), []);
    assert_eq!(rig.accept(), None);
    rig.peer.set_obstacle(None, rig.now);
    rig.dialled();
}
