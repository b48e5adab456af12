//! Announcing again: route refresh, its brackets and its pace, soft reset, reconnect.

use super::rig::*;
use crate::Family;
use crate::message::{Capabilities, Message, RefreshKind, Update};
use crate::peer::{ConnId, DropReason};

fn refresh_rig(capabilities: impl FnOnce(&mut Capabilities)) -> (Rig, ConnId) {
    let mut rig = Rig::new(settings());
    capabilities(&mut rig.open.capabilities);
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(10), rig.now);
    rig.sent(conn);
    (rig, conn)
}

// BGP-44
#[test]
fn a_refresh_sends_everything_again_at_most_once_a_second() {
    let (mut rig, conn) = refresh_rig(|c| c.enhanced_refresh = false);
    rig.ask_refresh(conn);
    let got = rig.sent(conn);
    assert_eq!(
        (announced(&got).len(), updates(&got).len()),
        (10, 1),
        "routes, no markers, no End-of-RIB"
    );
    let mut resends = 0;
    for _ in 0..10_000 {
        rig.ask_refresh(conn);
        rig.advance(std::time::Duration::from_micros(300));
        resends += announced(&rig.sent(conn)).len() / 10;
    }
    assert!((2..=4).contains(&resends), "{resends} in three seconds");
    assert!(rig.peer.counters().dropped_for(DropReason::RefreshMerged) > 9_000);
    let rest = rig.live(conn, secs(5));
    assert!(
        announced(&rest).len() <= 10,
        "the last of them is answered, too"
    );
}

// BGP-44
#[test]
fn a_refresh_that_was_not_agreed_on_is_counted() {
    let (mut rig, conn) = refresh_rig(|c| c.route_refresh = false);
    rig.ask_refresh(conn);
    assert_eq!(rig.sent(conn), []);
    assert_eq!(
        rig.peer
            .counters()
            .dropped_for(DropReason::RefreshNotNegotiated),
        1
    );
    let (mut rig, conn) = refresh_rig(|_| {});
    let family = crate::AfiSafi { afi: 25, safi: 70 };
    for kind in [
        RefreshKind::Request,
        RefreshKind::Begin,
        RefreshKind::End,
        RefreshKind::Other(9),
    ] {
        rig.say(
            conn,
            &Message::RouteRefresh(crate::RouteRefresh { family, kind }),
        );
    }
    assert_eq!(rig.sent(conn), []);
    assert_eq!(
        rig.peer
            .counters()
            .dropped_for(DropReason::RefreshNotNegotiated),
        1
    );
    assert_eq!(rig.peer.counters().dropped_for(DropReason::RefreshMark), 3);
}

// BGP-45
#[test]
fn an_enhanced_refresh_is_bracketed_and_one_before_end_of_rib_is_not() {
    let (mut rig, conn) = refresh_rig(|_| {});
    rig.ask_refresh(conn);
    let got = rig.sent(conn);
    assert_eq!(
        (got.first(), got.last()),
        (
            Some(&Got::Refresh(RefreshKind::Begin)),
            Some(&Got::Refresh(RefreshKind::End))
        )
    );
    assert_eq!((announced(&got).len(), got.len()), (10, 3));

    let mut rig = Rig::new(settings());
    rig.open.capabilities.extended_messages = false;
    let conn = rig.establish();
    rig.peer.set_routes(&hosts(1_000), rig.now);
    rig.peer.poll_transmit(conn, 4_500, rig.now);
    rig.ask_refresh(conn);
    let mut octets = Vec::new();
    while let Some(more) = rig.peer.poll_transmit(conn, 10_000, rig.now) {
        octets.extend(more);
    }
    // The rest of a message that was begun comes first; what follows has no brackets.
    let start = octets.windows(16).position(|w| w == [0xff; 16]).unwrap();
    let got = rig.read(&octets[start..]);
    assert!(got.iter().all(|got| !matches!(got, Got::Refresh(_))));
    assert!(
        announced(&got).len() >= 800,
        "what was sent before goes again"
    );
    assert_eq!(updates(&got).last(), Some(&Update::EndOfRib(Family::Ipv4)));
}

// BGP-44
#[test]
fn a_soft_reset_announces_again() {
    let (mut rig, conn) = refresh_rig(|_| {});
    rig.peer.refresh(rig.now);
    assert_eq!(announced(&rig.sent(conn)).len(), 10);
}

// BGP-100
#[test]
fn after_a_reconnect_everything_is_sent_again() {
    let (mut rig, conn) = refresh_rig(|_| {});
    rig.peer.handle_closed(conn, crate::Closed::Reset, rig.now);
    assert_eq!(rig.peer.view().routes_sent, 0);
    rig.until_dial();
    let conn = rig.establish();
    assert_eq!(announced(&rig.sent(conn)).len(), 10);
    assert_eq!(rig.peer.advertised().count(), 10);
}
