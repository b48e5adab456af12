//! Octets of a connection into events.
//!
//! Owns what a received message means. Nothing of it is kept but counts, and the reason of an end.

use std::ops::ControlFlow;

use super::collision::{self, Direction, Side};
use super::connection::ConnId;
use super::counters::DropReason;
use super::fsm::{Event, State};
use super::reason::Reason;
use super::run::Given;
use super::{Note, Peer, PeerEvent, negotiate};
use crate::decode::{Frame, MessageKind, Received, UpdateView};
use crate::error::{BAD_MESSAGE_OCTETS_MAX, DecodeError, Fault};
use crate::message::{
    Cease, ErrorCode, ExpectedAsn, Notification, Open, OpenError, RefreshKind, RouteRefresh,
};

impl Peer {
    pub(super) fn receive(&mut self, conn: ConnId, octets: &[u8]) {
        let Some(direction) = self.direction_of(conn) else {
            // What a connection says that we are about to close is not listened to.
            if !self.leaving.iter().any(|leaving| leaving.id == conn) {
                self.counters.count(DropReason::StaleConnection);
            }
            return;
        };
        let Some(connection) = &mut self.slot(direction).connection else {
            return;
        };
        let mut decoder = std::mem::take(&mut connection.decoder);
        self.counters.octets_received += octets.len() as u64;
        let mut rest = octets;
        let mut goes_on = ControlFlow::Continue(());
        while goes_on.is_continue() {
            let (used, frame) = decoder.next_frame(rest);
            rest = rest.get(used..).unwrap_or_default();
            goes_on = match frame {
                None => break,
                Some(Ok(frame)) => self.frame(direction, frame),
                Some(Err(error)) => {
                    self.bad(direction, Event::HeaderError, error);
                    ControlFlow::Break(())
                }
            };
            // The connection may be gone, or in the other place.
            if self.direction_of(conn) != Some(direction) {
                goes_on = ControlFlow::Break(());
            }
        }
        if let Some(connection) = &mut self.slot(direction).connection
            && connection.id == conn
        {
            connection.decoder = decoder;
        }
    }

    fn frame(&mut self, direction: Direction, frame: Frame<'_>) -> ControlFlow<()> {
        let received = &mut self.counters.received;
        let (event, error, expected) = match frame.kind {
            MessageKind::Open => {
                received.open += 1;
                (
                    Event::Open,
                    Event::OpenError,
                    State::OpenSent..=State::OpenSent,
                )
            }
            MessageKind::Update => {
                received.update += 1;
                (
                    Event::Update,
                    Event::UpdateError,
                    State::Established..=State::Established,
                )
            }
            MessageKind::Notification => {
                received.notification += 1;
                (
                    Event::Notification,
                    Event::Notification,
                    State::Idle..=State::Established,
                )
            }
            MessageKind::Keepalive => {
                received.keepalive += 1;
                (
                    Event::Keepalive,
                    Event::HeaderError,
                    State::OpenConfirm..=State::Established,
                )
            }
            MessageKind::RouteRefresh => {
                received.route_refresh += 1;
                (
                    Event::RouteRefresh,
                    Event::UpdateError,
                    State::Established..=State::Established,
                )
            }
        };
        if !expected.contains(&self.slot(direction).state) {
            self.counters.count(DropReason::UnexpectedMessage);
            let bad = frame
                .octets
                .get(..BAD_MESSAGE_OCTETS_MAX)
                .unwrap_or(frame.octets)
                .to_vec();
            self.event(
                direction,
                event,
                Given {
                    octet: Some(frame.kind.octet()),
                    bad,
                    ..Given::default()
                },
            );
            return ControlFlow::Break(());
        }
        let rules = self
            .slot(direction)
            .connection
            .as_ref()
            .map(|c| c.rules())
            .unwrap_or_default();
        match frame.read(&rules) {
            Ok(Received::Open(open)) => self.open(direction, &open, frame.octets),
            Ok(Received::Update(update)) => self.update(direction, &update),
            Ok(Received::Notification(notification)) => self.notification(direction, notification),
            Ok(Received::Keepalive) => self.keepalive(direction),
            Ok(Received::RouteRefresh(refresh)) => self.route_refresh(direction, refresh),
            Err(bad) => self.bad(direction, error, bad),
        }
        ControlFlow::Continue(())
    }

    fn bad(&mut self, direction: Direction, event: Event, error: DecodeError) {
        match error.notification {
            Some(notification) => {
                self.counters.count(DropReason::BadMessage);
                self.event(
                    direction,
                    event,
                    Given {
                        notification: Some(notification),
                        bad: error.message,
                        ..Given::default()
                    },
                );
            }
            None => {
                self.counters.count(DropReason::ShortNotification);
                let given = Given {
                    bad: error.message,
                    ..Given::reason(Reason::ShortNotification)
                };
                self.event(direction, Event::Notification, given);
            }
        }
    }

    fn open(&mut self, direction: Direction, open: &Open, octets: &[u8]) {
        self.counters.add(
            DropReason::IgnoredCapability,
            u64::from(open.capabilities.ignored),
        );
        if let Err(notification) = open.check(&negotiate::expected(&self.config)) {
            self.counters.count(DropReason::RefusedOpen);
            let reason = (notification.error == ErrorCode::Open(OpenError::BadPeerAs)).then(|| {
                Reason::WrongAsn {
                    theirs: open.asn(),
                    expected: self.expected_words(),
                }
            });
            let bad = octets
                .get(..BAD_MESSAGE_OCTETS_MAX)
                .unwrap_or(octets)
                .to_vec();
            let given = Given {
                notification: Some(notification),
                reason,
                bad,
                ..Given::default()
            };
            self.event(direction, Event::OpenError, given);
            return;
        }
        if !self.stays(direction, open) {
            return;
        }
        if let Some(connection) = &mut self.slot(direction).connection
            && let Some(ours) = &connection.ours
        {
            let negotiated = negotiate::in_force(ours, open);
            connection.negotiated = Some(negotiated);
            self.event(direction, Event::Open, Given::default());
        }
    }

    fn expected_words(&self) -> String {
        match self.config.expected_asn() {
            ExpectedAsn::Exactly(asn) => asn.to_string(),
            ExpectedAsn::Internal => format!("our own, {}", self.config.local_asn()),
            ExpectedAsn::External => format!("any but our own, {}", self.config.local_asn()),
        }
    }

    /// Whether this connection goes on, now that its OPEN is seen; the one that does not is let go (BGP-05, BGP-06,
    /// BGP-75).
    ///
    /// `GAP:` §6.8 leaves a race: one side is Established on a connection that the other, still in OpenConfirm on it,
    /// gives up for a better one. Both connections end then, and both sides begin again with back-off.
    fn stays(&mut self, direction: Direction, open: &Open) -> bool {
        let other = direction.other();
        let dump = |peer: &mut Peer, loser: Direction| {
            let notification = Some(Notification::cease(Cease::Collision));
            peer.event(
                loser,
                Event::CollisionDump,
                Given {
                    notification,
                    ..Given::reason(Reason::Collision)
                },
            );
        };
        match self.slot(other).state {
            State::Established => {
                let restarts = self
                    .slot(other)
                    .connection
                    .as_ref()
                    .and_then(|c| c.negotiated.as_ref());
                if restarts.is_some_and(|n| n.theirs.graceful_restart.is_some()) {
                    let given = Given {
                        abort: true,
                        ..Given::reason(Reason::Reopened)
                    };
                    self.event(other, Event::TcpFails, given);
                    true
                } else {
                    dump(self, direction);
                    false
                }
            }
            State::OpenConfirm => {
                let ours = Side {
                    identifier: self.config.settings().router_id.to_bits(),
                    asn: self.config.local_asn().0,
                };
                let theirs = Side {
                    identifier: open.router_id.to_bits(),
                    asn: open.asn().0,
                };
                let survivor = collision::survivor(ours, theirs);
                dump(self, survivor.other());
                survivor == direction
            }
            State::Idle | State::Connect | State::Active | State::OpenSent => true,
        }
    }

    fn keepalive(&mut self, direction: Direction) {
        if let Some(connection) = &mut self.slot(direction).connection
            && connection.waits_for_bfd
        {
            connection.confirmed = true;
            return;
        }
        self.event(direction, Event::Keepalive, Given::default());
    }

    fn update(&mut self, direction: Direction, update: &UpdateView<'_>) {
        self.counters.prefixes_received += u64::from(update.announced);
        self.counters.prefixes_received_withdrawn += u64::from(update.withdrawn);
        if let Some(malformed) = update.treated_as_withdraw {
            self.counters.count(DropReason::TreatedAsWithdraw);
            if malformed.fault == Fault::Confederation {
                self.note_confederation(direction);
            }
        }
        if update.discarded.is_some() {
            self.counters.count(DropReason::DiscardedAttribute);
        }
        if update.announced > 0 {
            self.note_cover(direction, update);
        }
        self.event(direction, Event::Update, Given::default());
    }

    fn note_confederation(&mut self, direction: Direction) {
        if let Some(connection) = &mut self.slot(direction).connection
            && !std::mem::replace(&mut connection.noted_confederation, true)
        {
            self.tell(PeerEvent::Note(Note::Confederation));
        }
    }

    /// BGP-129: one look into an ordered map for each prefix, until one was found. `DIFFERS:` a default route covers
    /// everything and says nothing.
    fn note_cover(&mut self, direction: Direction, update: &UpdateView<'_>) {
        let Some(wanted) = self.wanted.clone().filter(|wanted| !wanted.is_empty()) else {
            return;
        };
        let Some(connection) = &mut self.slot(direction).connection else {
            return;
        };
        if connection.noted_cover {
            return;
        }
        let found = update
            .announced_prefixes()
            .filter(|received| received.prefix() > 0)
            .find_map(|received| wanted.within(&received).map(|ours| (received, ours)));
        if let Some((received, ours)) = found {
            connection.noted_cover = true;
            self.tell(PeerEvent::Note(Note::PeerAnnouncesOurPrefix {
                received,
                ours,
            }));
        }
    }

    fn notification(&mut self, direction: Direction, notification: Notification) {
        let connection = self.slot(direction).connection.as_ref();
        let announced = connection
            .and_then(|c| c.outbound.as_ref())
            .map_or(0, |out| out.sent_len());
        let opened = self.slot(direction).state >= State::OpenConfirm;
        let inner = notification.hard_reset_reason();
        let said = inner.as_ref().unwrap_or(&notification);
        let event = if said.error == ErrorCode::Open(OpenError::UnsupportedVersion) {
            Event::NotificationVersion
        } else {
            Event::Notification
        };
        let reason = if said.error == ErrorCode::Cease(Cease::MaxPrefixes) {
            Reason::PrefixLimit {
                limit: said.prefix_limit(),
                announced,
            }
        } else {
            Reason::PeerSays {
                notification: notification.clone(),
                our_asn: self.config.local_asn(),
            }
        };
        let reduced = !opened && self.offer.refused(&notification, &self.config, self.now);
        self.event(direction, event, Given::reason(reason));
        if reduced {
            self.tell(PeerEvent::Note(Note::OfferReduced));
        }
    }

    fn route_refresh(&mut self, direction: Direction, refresh: RouteRefresh) {
        self.event(direction, Event::RouteRefresh, Given::default());
        let mut drop = None;
        if let Some(connection) = &mut self.slot(direction).connection {
            let negotiated = connection.negotiated.as_ref();
            let agreed = negotiated.is_some_and(|n| n.route_refresh);
            let family = refresh
                .family
                .family()
                .filter(|family| connection.rules().families.contains(*family));
            drop = match (refresh.kind, family) {
                (RefreshKind::Begin | RefreshKind::End | RefreshKind::Other(_), _) => {
                    Some(DropReason::RefreshMark)
                }
                (RefreshKind::Request, Some(family)) if agreed => {
                    let merged = connection.refresh_due.contains(family);
                    connection.refresh_due = connection.refresh_due.with(family);
                    merged.then_some(DropReason::RefreshMerged)
                }
                (RefreshKind::Request, _) => Some(DropReason::RefreshNotNegotiated),
            };
        }
        if let Some(reason) = drop {
            self.counters.count(reason);
        }
    }
}
