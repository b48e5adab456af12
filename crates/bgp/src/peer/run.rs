//! Carrying out the table: events in, acts done, timers, and what holds between calls.
//!
//! Owns every change of a connection's state. Reading octets is in `receive`, ending on purpose in `closing`.

use std::time::Duration;

use super::closing::Phase;
use super::collision::Direction;
use super::connection::{ConnId, Connection};
use super::fsm::{self, Act, Event, Notify, State};
use super::outbound::Outbound;
use super::reason::{ConnectFailure, Reason};
use super::timers::{CONNECT_ATTEMPT, OPEN_HOLD, Timer};
use super::{Action, Bfd, Close, LastError, Note, Peer, PeerEvent, negotiate};
use crate::message::{Cease, ErrorCode, Families, FsmError, Notification};

/// What an event brings along.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// The NOTIFICATION to send, where the event calls for one.
    pub(super) notification: Option<Notification>,
    /// The type octet of the message that was not expected.
    pub(super) octet: Option<u8>,
    /// Why, where the event does not say it all.
    pub(super) reason: Option<Reason>,
    /// The first octets of a message that was wrong.
    pub(super) bad: Vec<u8>,
    /// Close hard.
    pub(super) abort: bool,
    /// Not the session's fault: no back-off.
    pub(super) blameless: bool,
}

impl Given {
    pub(super) fn reason(reason: Reason) -> Given {
        Given {
            reason: Some(reason),
            ..Given::default()
        }
    }
}

impl Peer {
    /// Takes one event through the table.
    pub(super) fn event(&mut self, direction: Direction, event: Event, mut given: Given) {
        let now = self.now;
        let slot = self.slot(direction);
        let was = slot.state;
        let row = fsm::transition(was, event);
        slot.state = row.next;
        let connection = slot.connection.as_ref();
        let up = connection
            .and_then(|c| c.established)
            .map(|since| now.saturating_duration_since(since));
        if event == Event::HoldExpires {
            let hold = connection
                .and_then(|c| c.negotiated.as_ref())
                .and_then(|n| n.hold());
            given.reason.get_or_insert(match (was, hold) {
                (State::OpenSent, _) => Reason::NoOpen,
                (_, hold) => Reason::HoldExpired(hold.unwrap_or(OPEN_HOLD)),
            });
        }
        for act in row.acts {
            self.act(direction, was, event, *act, &mut given);
        }
        if was == State::Established && row.next != State::Established {
            self.counters.dropped += 1;
            let reason = given.reason.unwrap_or(Reason::Collision);
            self.remember(reason.clone(), given.bad);
            self.tell(PeerEvent::Down {
                reason,
                uptime: up.unwrap_or_default(),
            });
        } else if row.acts.contains(&Act::Damp)
            && !self.is_live(direction.other())
            && !given.blameless
        {
            self.failed(given.reason.unwrap_or(Reason::Collision), given.bad);
        } else if !given.bad.is_empty() {
            let reason = given.reason.unwrap_or(Reason::Collision);
            self.remember(reason, given.bad);
        }
    }

    fn act(&mut self, direction: Direction, was: State, event: Event, act: Act, given: &mut Given) {
        match act {
            Act::Dial => self.dial(),
            Act::StartConnectRetry => {
                let wait = self.random.jittered(self.config.connect_time());
                self.timers.set(Timer::ConnectRetry, self.now + wait);
            }
            Act::StopConnectRetry => {
                if direction == Direction::Outgoing {
                    self.timers.stop(Timer::ConnectRetry);
                    self.timers.stop(Timer::ConnectAttempt);
                }
            }
            Act::SendOpen => self.send_open(direction),
            Act::StartOpenHold => self.set_timer(direction, Timer::Hold, Some(OPEN_HOLD)),
            Act::StartSessionTimers => self.start_session_timers(direction),
            Act::RestartHold => self.restart_hold(direction),
            Act::SendKeepalive => self.send_keepalive(direction, event),
            Act::Notify(notify) => self.notify(direction, was, notify, given),
            Act::Drop => self.let_go(direction, given),
            Act::Damp => self.damp(direction, was, given),
            Act::ForgetFailures => self.backoff.forget(),
            Act::Establish => self.establish(direction),
        }
    }

    fn dial(&mut self) {
        self.next_id += 1;
        let id = ConnId(self.next_id);
        self.outgoing.connection = Some(Connection::new(id, Direction::Outgoing, None));
        self.timers
            .set(Timer::ConnectAttempt, self.now + CONNECT_ATTEMPT);
        self.actions.push_back(Action::Connect(id));
        self.counters.dials += 1;
    }

    fn send_open(&mut self, direction: Direction) {
        self.offer.renew(self.now);
        let open = negotiate::open(&self.config, &self.offer, self.is_restarting());
        if let Some(connection) = &mut self.slot(direction).connection {
            connection.decoder = crate::decode::Decoder::new(open.capabilities.extended_messages);
            connection.ours = Some(open.clone());
            connection.writer.open(open);
        }
    }

    /// The R bit: until the first Established after a start, at most for the restart time (BGP-46).
    fn is_restarting(&self) -> bool {
        self.config
            .settings()
            .graceful_restart
            .is_some_and(|restart| {
                let within =
                    self.now < self.made + Duration::from_secs(u64::from(restart.time_secs));
                restart.restarted && !self.ever_established && within
            })
    }

    fn set_timer(&mut self, direction: Direction, timer: Timer, after: Option<Duration>) {
        let now = self.now;
        if let Some(connection) = &mut self.slot(direction).connection {
            match after {
                Some(after) => connection.timers.set(timer, now + after),
                None => connection.timers.stop(timer),
            }
        }
    }

    fn start_session_timers(&mut self, direction: Direction) {
        // `DIFFERS:` with hold time 0 the wait for their KEEPALIVE is bounded all the same, by the wait for an OPEN.
        if let Some(hold) = self.negotiated(direction).and_then(|n| n.hold()) {
            self.set_timer(direction, Timer::Hold, Some(hold));
        }
        self.start_keepalive(direction);
    }

    pub(super) fn start_keepalive(&mut self, direction: Direction) {
        let configured = self.config.keepalive_time_secs();
        let keepalive = self
            .negotiated(direction)
            .and_then(|n| n.keepalive(configured));
        let keepalive = keepalive.map(|keepalive| self.random.jittered(keepalive));
        self.set_timer(direction, Timer::Keepalive, keepalive);
    }

    fn restart_hold(&mut self, direction: Direction) {
        let hold = self.negotiated(direction).and_then(|n| n.hold());
        self.set_timer(direction, Timer::Hold, hold);
    }

    fn negotiated(&self, direction: Direction) -> Option<&negotiate::Negotiated> {
        let slot = match direction {
            Direction::Outgoing => &self.outgoing,
            Direction::Incoming => &self.incoming,
        };
        slot.connection.as_ref()?.negotiated.as_ref()
    }

    fn send_keepalive(&mut self, direction: Direction, event: Event) {
        // BGP-131: without our KEEPALIVE the peer does not come to Established either.
        let strict =
            self.config.settings().bfd_strict && !matches!(self.bfd, Bfd::Up | Bfd::AdminDown);
        if let Some(connection) = &mut self.slot(direction).connection {
            connection.waits_for_bfd |= strict && event == Event::Open;
            if !connection.waits_for_bfd {
                connection.writer.keepalive();
            }
        }
    }

    /// BFD is up: what waited for it goes on.
    pub(super) fn confirm_after_bfd(&mut self) {
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let Some(connection) = &mut self.slot(direction).connection else {
                continue;
            };
            if std::mem::take(&mut connection.waits_for_bfd) {
                connection.writer.keepalive();
                if connection.confirmed {
                    self.event(direction, Event::Keepalive, Given::default());
                }
            }
        }
    }

    fn notify(&mut self, direction: Direction, was: State, notify: Notify, given: &mut Given) {
        let sub = match was {
            State::OpenSent => FsmError::OpenSent,
            State::OpenConfirm => FsmError::OpenConfirm,
            State::Established => FsmError::Established,
            State::Idle | State::Connect | State::Active => FsmError::Unspecific,
        };
        let notification = match notify {
            Notify::HoldExpired => Notification::new(ErrorCode::HoldTimerExpired),
            Notify::SendHoldExpired => {
                given.reason.get_or_insert(Reason::SendHoldExpired);
                Notification::new(ErrorCode::SendHoldTimerExpired)
            }
            Notify::Fsm => Notification::with_data(
                ErrorCode::Fsm(sub),
                given.octet.into_iter().collect::<Vec<u8>>(),
            ),
            Notify::Given => match given.notification.take() {
                Some(notification) => self.hardened(direction, was, notification),
                None => return,
            },
        };
        given
            .reason
            .get_or_insert_with(|| Reason::WeSay(notification.clone()));
        if let Some(connection) = &mut self.slot(direction).connection {
            connection.writer.notify(notification);
        }
    }

    /// A Cease that means it goes as a hard reset where a plain one would be graceful (BGP-49).
    fn hardened(
        &self,
        direction: Direction,
        was: State,
        notification: Notification,
    ) -> Notification {
        let graceful = was == State::Established
            && self
                .negotiated(direction)
                .is_some_and(|n| n.notification_restart);
        let hard = matches!(
            notification.error,
            ErrorCode::Cease(
                Cease::AdministrativeShutdown
                    | Cease::PeerDeconfigured
                    | Cease::AdministrativeReset
                    | Cease::BfdDown
            )
        );
        if graceful && hard {
            notification.into_hard_reset()
        } else {
            notification
        }
    }

    fn let_go(&mut self, direction: Direction, given: &Given) {
        let Some(connection) = self.slot(direction).connection.take() else {
            return;
        };
        let rules = connection.rules();
        if connection.gone {
            return;
        }
        if connection.writer.has_notification() && !given.abort {
            self.leave(connection.id, connection.writer, rules);
        } else {
            let never_up = connection.ends.is_none();
            let how = if given.abort || never_up {
                Close::Abort
            } else {
                Close::Finish
            };
            self.actions.push_back(Action::Close(connection.id, how));
        }
    }

    /// A session failed: when to try again. Where the other connection goes on, or dialling does, nothing is held.
    fn damp(&mut self, direction: Direction, was: State, given: &Given) {
        if self.is_live(direction.other()) || self.phase != Phase::Running || given.blameless {
            return;
        }
        let dialling = matches!(self.outgoing.state, State::Connect | State::Active);
        if direction == Direction::Incoming && dialling && was != State::Established {
            return;
        }
        let hold = match &given.reason {
            Some(Reason::PrefixLimit { limit, .. }) => {
                let limit = limit.and_then(|(_, limit)| usize::try_from(limit).ok());
                let announced = self.wanted.as_ref().map_or(0, |wanted| wanted.len());
                self.limit = Some(limit.unwrap_or(announced.saturating_sub(1)));
                self.backoff.hit_limit(self.now)
            }
            _ => self.backoff.fail(self.now, &mut self.random),
        };
        self.timers.set(Timer::IdleHold, self.now + hold);
    }

    fn establish(&mut self, direction: Direction) {
        let (now, local_asn) = (self.now, self.config.local_asn());
        let Some(connection) = &mut self.slot(direction).connection else {
            return;
        };
        let (Some(negotiated), Some(ends)) = (connection.negotiated.clone(), connection.ends)
        else {
            return;
        };
        let outbound = Outbound::new(&negotiated, local_asn, ends, false);
        let hopless: Families = negotiated
            .rules
            .families
            .iter()
            .filter(|family| outbound.own_next_hop(*family).is_none())
            .collect();
        connection.outbound = Some(outbound);
        connection.established = Some(now);
        self.backoff.handle_established(now);
        self.ever_established = true;
        self.counters.established += 1;
        self.timers.stop(Timer::IdleHold);
        if let (None, true, Some(restart)) = (
            &self.wanted,
            negotiated.graceful_restart,
            self.config.settings().graceful_restart,
        ) {
            // BGP-135: the peer holds our routes for the restart time; without a view by then it shall know.
            let patience = Duration::from_secs(u64::from(restart.time_secs.saturating_sub(10)));
            self.timers.set(Timer::EndOfRib, now + patience);
        }
        self.tell(PeerEvent::Established(Box::new(negotiated)));
        for family in hopless.iter() {
            self.tell(PeerEvent::Note(Note::NoNextHopForFamily(family)));
        }
        let given = Given {
            notification: Some(Notification::cease(Cease::Collision)),
            ..Given::default()
        };
        let other = direction.other();
        if self.slot(other).state != State::Idle {
            self.event(
                other,
                Event::CollisionDump,
                Given {
                    reason: Some(Reason::Collision),
                    ..given
                },
            );
        }
        self.apply_routes();
    }

    /// Tells the session what is wanted, if somebody told us.
    pub(super) fn apply_routes(&mut self) {
        let wanted = match self.phase {
            Phase::Running | Phase::Draining(_) => self.wanted.clone(),
            Phase::Withdrawing(_) | Phase::Stopped { .. } => None,
        };
        if let (Some(wanted), Some(outbound)) = (
            wanted,
            self.established_mut().and_then(|c| c.outbound.as_mut()),
        ) {
            outbound.set(&wanted);
        }
    }

    pub(super) fn is_live(&self, direction: Direction) -> bool {
        let slot = match direction {
            Direction::Outgoing => &self.outgoing,
            Direction::Incoming => &self.incoming,
        };
        slot.state >= State::OpenSent
    }

    pub(super) fn mark_gone(&mut self, direction: Direction) {
        if let Some(connection) = &mut self.slot(direction).connection {
            connection.gone = true;
        }
    }

    pub(super) fn dial_failed(&mut self, failure: ConnectFailure) {
        let timed_out = matches!(failure, ConnectFailure::TimedOut { .. });
        let off_link = failure == ConnectFailure::TimedOut { off_link: true };
        self.timeouts = if timed_out {
            self.timeouts.saturating_add(1)
        } else {
            0
        };
        let settings = self.config.settings();
        let internal = self.config.expected_asn()
            == crate::message::ExpectedAsn::Exactly(self.config.local_asn());
        let reason = Reason::NoConnection {
            failure,
            password: settings.password,
            multihop_hint: off_link && self.timeouts >= 3 && !settings.ebgp_multihop && !internal,
        };
        self.counters.dials_failed += 1;
        self.timers.stop(Timer::ConnectAttempt);
        self.failed(reason.clone(), Vec::new());
        if self.outgoing.state == State::Connect {
            self.event(
                Direction::Outgoing,
                Event::TcpFails,
                Given {
                    abort: true,
                    ..Given::reason(reason)
                },
            );
        }
    }

    fn failed(&mut self, reason: Reason, bad: Vec<u8>) {
        let times = self.remember(reason.clone(), bad);
        self.tell(PeerEvent::Failed { reason, times });
    }

    /// Keeps it for the view; answers how often in a row it was this.
    fn remember(&mut self, reason: Reason, bad_message: Vec<u8>) -> u32 {
        let again = self
            .last_error
            .as_ref()
            .filter(|last| last.reason == reason);
        let times = again.map_or(1, |last| last.times.saturating_add(1));
        // The last bad message stays until there is another one: it may have been the cause of what followed.
        let bad_message = if bad_message.is_empty() {
            self.last_error
                .take()
                .map(|last| last.bad_message)
                .unwrap_or_default()
        } else {
            bad_message
        };
        self.last_error = Some(LastError {
            at: self.now,
            reason,
            times,
            bad_message,
        });
        times
    }

    /// Tries again at this time, and not before.
    pub(super) fn hold_until(&mut self, at: std::time::Instant) {
        if self.outgoing.state == State::Idle
            && !self.is_live(Direction::Incoming)
            && self.phase == Phase::Running
        {
            self.timers.set(Timer::IdleHold, at);
        }
    }
}
