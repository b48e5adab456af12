//! What our OPEN offers: less to a peer that refused it, the restart bit after a start.

use super::rig::*;
use crate::message::capability::code;
use crate::message::{Capabilities, ErrorCode, Families, Message, Notification, OpenError};
use crate::peer::{ConnectFailure, Note, OfferLevel, PeerEvent};
use crate::{AfiSafi, RestartSettings, Settings};

// BGP-53
#[test]
fn a_peer_that_refuses_capabilities_is_offered_less() {
    let mut rig = Rig::new(settings());
    let refuse = |rig: &mut Rig, data: &[u8], error| {
        rig.until_dial();
        let conn = rig.connect();
        let got = rig.sent(conn);
        let [Got::Open(open)] = got.as_slice() else {
            panic!("{got:?}")
        };
        let codes = open.capabilities.codes();
        rig.say(
            conn,
            &Message::Notification(Notification::with_data(ErrorCode::Open(error), data)),
        );
        codes
    };
    let all: Vec<u8> = refuse(&mut rig, &[70, 0], OpenError::UnsupportedCapability)
        .into_iter()
        .collect();
    assert_eq!(all, [1, 2, 6, 65, 70]);
    let without = refuse(&mut rig, &[], OpenError::UnsupportedCapability);
    assert!(!without.contains(&code::ENHANCED_REFRESH) && without.contains(&code::ROUTE_REFRESH));
    let reduced: Vec<u8> = refuse(&mut rig, &[], OpenError::UnsupportedParameter)
        .into_iter()
        .collect();
    assert_eq!(reduced, [1, 65]);
    assert_eq!(rig.peer.view().offer.level, OfferLevel::Nothing);
    let nothing = refuse(&mut rig, &[], OpenError::BadPeerAs);
    assert!(nothing.is_empty());
    assert_eq!(
        rig.events()
            .iter()
            .filter(|e| **e == PeerEvent::Note(Note::OfferReduced))
            .count(),
        3
    );
    rig.until_dial();
    rig.actions();
    rig.advance(secs(600));
    rig.actions();
    let again = refuse(&mut rig, &[], OpenError::BadPeerAs);
    assert_eq!(again.len(), 5, "everything again after ten minutes");
}

// BGP-42
#[test]
fn without_the_capability_the_two_octet_field_counts() {
    let mut rig = Rig::new(settings());
    rig.open.capabilities = Capabilities::default();
    rig.peer.set_routes(&hosts(1), rig.now);
    let conn = rig.establish();
    let view = rig.peer.view();
    let negotiated = view.negotiated.unwrap();
    assert!(
        !negotiated.rules.four_octet_as
            && !negotiated.route_refresh
            && !negotiated.rules.extended_out
    );
    assert_eq!(
        negotiated.rules.families,
        Families::IPV4,
        "no capability means IPv4"
    );
    assert!(rig.peer.wants_write(conn));
}

// BGP-46
#[test]
fn the_restart_bit_is_set_until_the_first_session_and_for_the_restart_time() {
    let restart = RestartSettings {
        time_secs: 100,
        restarted: true,
        ..RestartSettings::default()
    };
    let with = |restart| Settings {
        graceful_restart: Some(restart),
        ..settings()
    };
    let offered = |rig: &mut Rig| {
        rig.until_dial();
        let conn = rig.connect();
        let got = rig.sent(conn);
        let [Got::Open(open)] = got.as_slice() else {
            panic!("{got:?}")
        };
        (conn, open.capabilities.graceful_restart.clone())
    };
    let mut rig = Rig::new(with(restart));
    let (conn, capability) = offered(&mut rig);
    let capability = capability.unwrap();
    assert!(capability.restarting && capability.notification);
    assert_eq!(capability.restart_time_secs, 100);
    assert_eq!(
        capability.families.into_iter().collect::<Vec<_>>(),
        [(AfiSafi::IPV4_UNICAST, true)]
    );
    rig.establish_on(conn);
    rig.peer.handle_closed(conn, crate::Closed::Reset, rig.now);
    assert!(
        !offered(&mut rig).1.unwrap().restarting,
        "once Established it is over"
    );

    let mut rig = Rig::new(with(restart));
    let now = rig.now;
    while rig.now < now + secs(101) {
        rig.until_dial();
        let conn = rig.dialled();
        rig.peer
            .handle_connect_failed(conn, ConnectFailure::Refused, rig.now);
    }
    assert!(
        !offered(&mut rig).1.unwrap().restarting,
        "after the restart time it is over"
    );

    let later = RestartSettings {
        restarted: false,
        forwarding: false,
        ..restart
    };
    let capability = offered(&mut Rig::new(with(later))).1.unwrap();
    assert!(
        !capability.restarting,
        "a new peer of an old process has not restarted"
    );
    assert!(capability.families.values().all(|forwarding| !forwarding));
    assert_eq!(offered(&mut Rig::new(settings())).1, None);
}
