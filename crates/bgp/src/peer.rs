//! The machine of one peer: what it is told, what it answers.
//!
//! Owns the session with one peer: at most two connections, timers, back-off, and what was announced. It opens no
//! socket, resolves no name, knows no password, and keeps nothing of what the peer announces.
//!
//! ```text
//!   set_config, set_routes, set_obstacle ─┐             ┌─► poll_transmit   octets of a connection, as many as it takes
//!   handle_connected, _connect_failed,    ├──► Peer ────┼─► poll_action     connect, close
//!   _accepted, _bytes, _closed, _bfd      │             ├─► poll_event      established, down and why, notes
//!   drain, stop, remove, reset, restart  ─┘             └─► poll_timeout    one deadline for handle_timeout
//! ```
//!
//! After each call the caller drains `poll_action` and `poll_event`, calls `poll_transmit` for each connection whose
//! socket takes octets while [`Peer::wants_write`], and only then asks for the deadline. What a late loop finds in the
//! sockets it hands over before it calls `handle_timeout` (BGP-67, BGP-137). What `poll_transmit` hands out counts as
//! sent: ask for no more than the socket takes, and not again before it took all.

mod accept;
mod backoff;
mod closing;
pub mod collision;
mod connection;
mod counters;
mod event;
pub mod fsm;
pub mod negotiate;
mod nexthop;
mod outbound;
mod reason;
mod receive;
mod run;
mod settle;
pub mod timers;
mod view;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use ipnetwork::IpNetwork;

pub use backoff::{IDLE_HOLD_MAX, LIMIT_HOLD_MAX, LIMIT_HOLD_MIN};
pub use collision::Direction;
pub use connection::ConnId;
pub use counters::{Counters, DropReason, Messages};
pub use event::{Action, Bfd, Close, Note, PeerEvent};
pub use fsm::State;
pub use negotiate::{Negotiated, Offer, OfferLevel};
pub use nexthop::{Endpoints, next_hop};
pub use reason::{Closed, ConnectFailure, Obstacle, Reason};
pub use view::{LastError, View};

use crate::config::Config;
use crate::message::{Cease, WireRules};
use crate::routes::{RouteAttributes, RouteSet};
use backoff::Backoff;
use closing::Phase;
use connection::{Connection, Sent, Writer};
use fsm::Event;
use outbound::Made;
use run::Given;
use timers::{LINGER, Random, Timer, Timers};

/// LIMIT: events that wait to be polled; more are counted as lost. A turn of a sane caller makes fewer than ten.
pub const EVENTS_MAX: usize = 64;
/// LIMIT: connections on which a last NOTIFICATION still leaves. Each lasts a second at the most; more are cut.
pub const LEAVING_MAX: usize = 8;

/// One of the two places for a connection.
#[derive(Debug)]
struct Slot {
    state: State,
    /// There from Connect on, without Active.
    connection: Option<Connection>,
}

impl Slot {
    fn new() -> Slot {
        Slot {
            state: State::Idle,
            connection: None,
        }
    }
}

/// A connection that has only its last message left.
#[derive(Debug)]
struct Leaving {
    id: ConnId,
    writer: Writer,
    rules: WireRules,
    until: Instant,
}

/// The session with one peer.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    /// The latest time we were told.
    now: Instant,
    /// When the machine was made.
    made: Instant,
    random: Random,
    /// The place that dials. Its state also says what we do without a connection.
    outgoing: Slot,
    /// The place for a connection the peer opened.
    incoming: Slot,
    leaving: Vec<Leaving>,
    next_id: u64,
    timers: Timers,
    backoff: Backoff,
    offer: Offer,
    phase: Phase,
    obstacle: Option<Obstacle>,
    bfd: Bfd,
    /// The last times BFD closed the session, at most three.
    bfd_closes: VecDeque<Instant>,
    /// What is wanted; none until somebody told.
    wanted: Option<RouteSet>,
    /// How many of the wanted the peer's limit forbids; a smaller set is tried at once.
    limit: Option<usize>,
    ever_established: bool,
    /// Connections let in since then.
    accepts: u32,
    accepts_since: Instant,
    /// Attempts in a row that nobody answered.
    timeouts: u32,
    state_shown: State,
    since: Instant,
    last_error: Option<LastError>,
    actions: VecDeque<Action>,
    events: VecDeque<PeerEvent>,
    counters: Counters,
}

impl Peer {
    /// A peer that dials at once, unless it is passive or an obstacle is set before its actions are polled. `seed`
    /// decides about jitter only.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Peer {
        let mut peer = Peer {
            config,
            now,
            made: now,
            random: Random::new(seed),
            outgoing: Slot::new(),
            incoming: Slot::new(),
            leaving: Vec::new(),
            next_id: 0,
            timers: Timers::default(),
            backoff: Backoff::default(),
            offer: Offer::default(),
            phase: Phase::Running,
            obstacle: None,
            bfd: Bfd::Unknown,
            bfd_closes: VecDeque::new(),
            wanted: None,
            limit: None,
            ever_established: false,
            accepts: 0,
            accepts_since: now,
            timeouts: 0,
            state_shown: State::Idle,
            since: now,
            last_error: None,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
        };
        peer.settle();
        peer
    }

    /// The routes the peer shall hold. The same set again does nothing; a changed one marks what differs, and octets
    /// are made when a socket takes them.
    pub fn set_routes(&mut self, routes: &RouteSet, now: Instant) {
        self.now = now;
        self.wanted = Some(routes.clone());
        if self.limit.is_some_and(|limit| routes.len() <= limit) {
            // BGP-62: below the limit that cut us, at once.
            self.limit = None;
            self.hold_until(now);
        }
        self.apply_routes();
        self.settle();
    }

    /// Another configuration. A session that runs under terms that changed is ended with Cease/6 and begun again
    /// (BGP-76); otherwise it goes on.
    pub fn set_config(&mut self, config: Config, now: Instant) {
        self.now = now;
        if config == self.config {
            return;
        }
        let restart = self.config.needs_new_session(&config);
        let dials = self.config.settings().passive != config.settings().passive;
        self.config = config;
        if restart {
            self.offer = Offer::default();
            self.restart_with(Cease::OtherConfigurationChange, Reason::Reconfigured);
        } else if dials && self.outgoing.state < State::OpenSent {
            self.event(
                Direction::Outgoing,
                Event::CollisionDump,
                Given::reason(Reason::Reconfigured),
            );
        }
        self.settle();
    }

    /// Ends the session with Cease/6 and dials again at once: address, port, TTL, source or VRF changed, or a password
    /// was added or removed. Those are the caller's, who sees the change.
    pub fn restart(&mut self, now: Instant) {
        self.now = now;
        self.restart_with(Cease::OtherConfigurationChange, Reason::Reconfigured);
        self.settle();
    }

    /// Something that a session needs is missing on this node, or is there again. With an obstacle connections are
    /// closed without a word (none could leave) and none is tried (BGP-12, BGP-13, BGP-16, BGP-17).
    pub fn set_obstacle(&mut self, obstacle: Option<Obstacle>, now: Instant) {
        self.now = now;
        if obstacle != self.obstacle {
            self.obstacle = obstacle;
            if let Some(obstacle) = obstacle {
                self.abandon(Reason::Obstacle(obstacle), Close::Abort);
                self.timers.stop(Timer::IdleHold);
            }
        }
        self.settle();
    }

    /// Closes what is there without a word and dials again: the local address of the connection is gone (BGP-17), or
    /// a replaced password was not taken up (BGP-09). `why` goes into the reason.
    pub fn abort(&mut self, why: &'static str, now: Instant) {
        self.now = now;
        self.abandon(Reason::Aborted(why), Close::Abort);
        self.hold_until(now);
        self.settle();
    }

    /// Sends a KEEPALIVE now: after a password was replaced on the live socket (BGP-09).
    pub fn probe(&mut self, now: Instant) {
        self.now = now;
        if let Some(connection) = self.established_mut() {
            connection.writer.keepalive();
        }
        self.settle();
    }

    /// TCP is up on a connection that [`Action::Connect`] asked for.
    pub fn handle_connected(&mut self, conn: ConnId, ends: Endpoints, now: Instant) {
        self.now = now;
        let waiting = self.outgoing.state == State::Connect;
        match self
            .outgoing
            .connection
            .as_mut()
            .filter(|connection| waiting && connection.id == conn)
        {
            Some(connection) => {
                connection.ends = Some(ends);
                self.timeouts = 0;
                self.timers.stop(Timer::ConnectAttempt);
                self.event(Direction::Outgoing, Event::TcpConfirmed, Given::default());
            }
            None => self.counters.count(DropReason::StaleConnection),
        }
        self.settle();
    }

    /// The connection that [`Action::Connect`] asked for did not come up.
    pub fn handle_connect_failed(&mut self, conn: ConnId, failure: ConnectFailure, now: Instant) {
        self.now = now;
        let waiting = self.outgoing.state == State::Connect;
        match self
            .outgoing
            .connection
            .as_mut()
            .filter(|connection| waiting && connection.id == conn)
        {
            Some(connection) => {
                connection.gone = true;
                self.dial_failed(failure);
            }
            None => self.counters.count(DropReason::StaleConnection),
        }
        self.settle();
    }

    /// The peer opened a connection to us. None: close it without a word. Otherwise the connection has this name from
    /// now on, be it only for the NOTIFICATION that refuses it.
    pub fn handle_accepted(&mut self, ends: Endpoints, now: Instant) -> Option<ConnId> {
        self.now = now;
        let id = self.accept(ends);
        self.settle();
        id
    }

    /// Octets arrived. At most 64 KiB a call keep a turn of the loop short (BGP-127); more is read all the same.
    pub fn handle_bytes(&mut self, conn: ConnId, octets: &[u8], now: Instant) {
        self.now = now;
        self.receive(conn, octets);
        self.settle();
    }

    /// A connection that we did not ask to close is closed.
    pub fn handle_closed(&mut self, conn: ConnId, how: Closed, now: Instant) {
        self.now = now;
        self.leaving.retain(|leaving| leaving.id != conn);
        match self.direction_of(conn) {
            Some(Direction::Outgoing) if self.outgoing.state == State::Connect => {
                self.mark_gone(Direction::Outgoing);
                self.dial_failed(match how {
                    Closed::ByPeer | Closed::Reset => ConnectFailure::Refused,
                    Closed::Other(text) => ConnectFailure::Other(text),
                });
            }
            Some(direction) => {
                self.mark_gone(direction);
                self.event(direction, Event::TcpFails, Given::reason(Reason::Lost(how)));
            }
            None => {}
        }
        self.settle();
    }

    /// What BFD says of the peer; Down after Up ends the session within this call (BGP-130). `diagnostic` is BFD's
    /// own reason in words.
    pub fn handle_bfd(&mut self, bfd: Bfd, diagnostic: &str, now: Instant) {
        self.now = now;
        let before = std::mem::replace(&mut self.bfd, bfd);
        match bfd {
            Bfd::Down if before == Bfd::Up => self.bfd_down(diagnostic),
            Bfd::Up => {
                self.timers.stop(Timer::BfdWait);
                self.confirm_after_bfd();
            }
            Bfd::AdminDown => self.timers.stop(Timer::BfdWait),
            Bfd::Down | Bfd::Unknown => {}
        }
        self.settle();
    }

    /// BFD was up and is down: as [`Peer::handle_bfd`] with [`Bfd::Down`].
    pub fn handle_bfd_down(&mut self, diagnostic: &str, now: Instant) {
        self.bfd = Bfd::Up;
        self.handle_bfd(Bfd::Down, diagnostic, now);
    }

    /// The deadline of [`Peer::poll_timeout`], or an earlier or later time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for direction in [Direction::Outgoing, Direction::Incoming] {
            while let Some(timer) = self
                .slot(direction)
                .connection
                .as_mut()
                .and_then(|connection| connection.timers.expired(now))
            {
                self.connection_timer(direction, timer);
            }
        }
        while let Some(timer) = self.timers.expired(now) {
            self.timer(timer);
        }
        let (late, leaving): (Vec<_>, Vec<_>) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|leaving| leaving.until <= now);
        self.leaving = leaving;
        self.actions.extend(
            late.iter()
                .map(|leaving| Action::Close(leaving.id, Close::Abort)),
        );
        self.settle();
    }

    /// When [`Peer::handle_timeout`] wants to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connections = [&self.outgoing, &self.incoming]
            .into_iter()
            .filter_map(|slot| slot.connection.as_ref());
        connections
            .filter_map(|connection| connection.timers.next())
            .chain(self.timers.next())
            .chain(self.leaving.iter().map(|leaving| leaving.until))
            .min()
    }

    /// Whether a connection has octets to send.
    #[must_use]
    pub fn wants_write(&self, conn: ConnId) -> bool {
        let mut connections = [&self.outgoing, &self.incoming]
            .into_iter()
            .filter_map(|slot| slot.connection.as_ref());
        connections.any(|connection| connection.id == conn && connection.wants_write())
            || self
                .leaving
                .iter()
                .any(|leaving| leaving.id == conn && !leaving.writer.is_empty())
    }

    /// Up to `budget` octets to send on a connection, made from the newest state; none when there are none.
    pub fn poll_transmit(&mut self, conn: ConnId, budget: usize, now: Instant) -> Option<Vec<u8>> {
        self.now = now;
        let mut made = Vec::new();
        let octets =
            if let Some(leaving) = self.leaving.iter_mut().find(|leaving| leaving.id == conn) {
                leaving
                    .writer
                    .hand_out(budget, &leaving.rules, None, |sent| made.push(sent))
            } else {
                let direction = self.direction_of(conn)?;
                let connection = self.slot(direction).connection.as_mut()?;
                let rules = connection.rules();
                connection
                    .writer
                    .hand_out(budget, &rules, connection.outbound.as_mut(), |sent| {
                        made.push(sent)
                    })
            };
        if octets.is_empty() {
            return None;
        }
        self.counters.octets_sent += octets.len() as u64;
        for sent in &made {
            self.count_sent(*sent);
        }
        self.handed_out(conn, !made.is_empty());
        self.settle();
        Some(octets)
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next fact, in order.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The state of the connection that is furthest.
    #[must_use]
    pub fn state(&self) -> State {
        self.outgoing.state.max(self.incoming.state)
    }

    /// The prefixes the peer was told of, and what went along: what "show advertised-routes" lists.
    pub fn advertised(
        &self,
    ) -> impl Iterator<Item = (&IpNetwork, &std::sync::Arc<RouteAttributes>)> {
        self.established()
            .and_then(|connection| connection.outbound.as_ref())
            .into_iter()
            .flat_map(|out| out.sent())
    }
}

impl Peer {
    fn count_sent(&mut self, sent: Sent) {
        let counters = &mut self.counters;
        match sent {
            Sent::Open => counters.sent.open += 1,
            Sent::Keepalive => counters.sent.keepalive += 1,
            Sent::Notification => counters.sent.notification += 1,
            Sent::Route(Made::EndOfRib) => counters.sent.update += 1,
            Sent::Route(Made::Refresh) => counters.sent.route_refresh += 1,
            Sent::Route(Made::Update {
                announced,
                withdrawn,
            }) => {
                counters.sent.update += 1;
                counters.prefixes_announced += announced as u64;
                counters.prefixes_withdrawn += withdrawn as u64;
            }
        }
    }

    fn leave(&mut self, id: ConnId, writer: Writer, rules: WireRules) {
        if self.leaving.len() >= LEAVING_MAX {
            let cut = self.leaving.remove(0);
            self.actions.push_back(Action::Close(cut.id, Close::Abort));
        }
        self.leaving.push(Leaving {
            id,
            writer,
            rules,
            until: self.now + LINGER,
        });
    }

    fn tell(&mut self, event: PeerEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.counters.count(DropReason::EventLost);
        }
    }

    fn slot(&mut self, direction: Direction) -> &mut Slot {
        match direction {
            Direction::Outgoing => &mut self.outgoing,
            Direction::Incoming => &mut self.incoming,
        }
    }

    fn direction_of(&self, conn: ConnId) -> Option<Direction> {
        let is = |slot: &Slot| {
            slot.connection
                .as_ref()
                .is_some_and(|connection| connection.id == conn)
        };
        if is(&self.outgoing) {
            Some(Direction::Outgoing)
        } else {
            is(&self.incoming).then_some(Direction::Incoming)
        }
    }

    fn established(&self) -> Option<&Connection> {
        [&self.outgoing, &self.incoming]
            .into_iter()
            .find(|slot| slot.state == State::Established)
            .and_then(|slot| slot.connection.as_ref())
    }

    fn established_mut(&mut self) -> Option<&mut Connection> {
        [&mut self.outgoing, &mut self.incoming]
            .into_iter()
            .find(|slot| slot.state == State::Established)
            .and_then(|slot| slot.connection.as_mut())
    }
}
