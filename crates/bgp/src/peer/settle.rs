//! Timers that expired, and what holds between calls.
//!
//! Owns the invariants of a peer at rest: one that may dial does, a farewell goes on, refreshes that came early are
//! answered, and the timers of waiting octets run exactly while octets wait.

use super::closing::Phase;
use super::collision::Direction;
use super::connection::ConnId;
use super::fsm::{Event, State};
use super::reason::ConnectFailure;
use super::run::Given;
use super::timers::{BACKLOG_MAX, REFRESH_SPACING, SEND_HOLD_MIN, Timer};
use super::{Action, Close, Peer};
use crate::message::Family;

impl Peer {
    pub(super) fn connection_timer(&mut self, direction: Direction, timer: Timer) {
        match timer {
            Timer::Hold => self.event(direction, Event::HoldExpires, Given::default()),
            Timer::Keepalive => {
                let waits = self
                    .slot(direction)
                    .connection
                    .as_ref()
                    .is_some_and(|c| c.waits_for_bfd);
                if !waits {
                    self.event(direction, Event::KeepaliveExpires, Given::default());
                }
            }
            Timer::SendHold | Timer::Backlog => {
                self.event(direction, Event::SendHoldExpires, Given::default());
                // What the socket does not take now is not waited for (RFC 9687 §4).
                if let Some(leaving) = self.leaving.last_mut() {
                    leaving.until = self.now;
                }
            }
            Timer::ConnectRetry
            | Timer::ConnectAttempt
            | Timer::IdleHold
            | Timer::BfdWait
            | Timer::Refresh
            | Timer::EndOfRib
            | Timer::Drain
            | Timer::StopBy => {}
        }
    }

    pub(super) fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::ConnectRetry => self.connect_retry(),
            Timer::ConnectAttempt => self.dial_failed(ConnectFailure::TimedOut { off_link: false }),
            Timer::IdleHold => {
                if self.may_start() && !self.config.settings().passive {
                    self.event(
                        Direction::Outgoing,
                        Event::IdleHoldExpires,
                        Given::default(),
                    );
                }
            }
            Timer::EndOfRib => {
                if let Some(outbound) = self.established_mut().and_then(|c| c.outbound.as_mut()) {
                    outbound.tell_end_of_rib();
                }
            }
            Timer::Drain => self.withdraw_all(),
            Timer::StopBy => self.say_goodbye(),
            // These only had to wake us: `settle` sees what they held back.
            Timer::BfdWait | Timer::Refresh => {}
            Timer::Hold | Timer::Keepalive | Timer::SendHold | Timer::Backlog => {}
        }
    }

    fn connect_retry(&mut self) {
        if self.outgoing.state == State::Active && self.is_live(Direction::Incoming) {
            // The peer's own connection is further: let it finish.
            let wait = self.random.jittered(self.config.connect_time());
            self.timers.set(Timer::ConnectRetry, self.now + wait);
            return;
        }
        if self.outgoing.state == State::Connect {
            self.dial_failed(ConnectFailure::TimedOut { off_link: false });
        }
        self.event(
            Direction::Outgoing,
            Event::ConnectRetryExpires,
            Given::default(),
        );
    }

    fn may_start(&self) -> bool {
        self.phase == Phase::Running
            && self.obstacle.is_none()
            && self.outgoing.state == State::Idle
            && !self.is_live(Direction::Incoming)
            && self.timers.get(Timer::IdleHold).is_none()
            && self.timers.get(Timer::BfdWait).is_none()
    }

    /// What holds between calls: a peer that may dial does, a drain goes on, and timers of waiting octets run exactly
    /// while octets wait.
    pub(super) fn settle(&mut self) {
        self.go_on_closing();
        if self.may_start() {
            if self.config.settings().passive {
                self.outgoing.state = State::Active;
            } else {
                self.event(Direction::Outgoing, Event::Start, Given::default());
            }
        }
        self.answer_refreshes();
        for direction in [Direction::Outgoing, Direction::Incoming] {
            self.watch_waiting(direction);
        }
        let state = self.state();
        if state != self.state_shown {
            self.state_shown = state;
            self.since = self.now;
        }
    }

    /// BGP-68: the send-hold timer runs while octets wait and there is a hold time; a backlog is bounded as a whole.
    fn watch_waiting(&mut self, direction: Direction) {
        let now = self.now;
        let confirmed = self.slot(direction).state >= State::OpenConfirm;
        let Some(connection) = &mut self.slot(direction).connection else {
            return;
        };
        let hold = connection
            .negotiated
            .as_ref()
            .and_then(|n| n.hold())
            .filter(|_| confirmed);
        match hold {
            Some(hold) if connection.wants_write() => {
                connection
                    .timers
                    .set_once(Timer::SendHold, now + SEND_HOLD_MIN.max(hold * 2));
            }
            _ => connection.timers.stop(Timer::SendHold),
        }
        match &connection.outbound {
            Some(outbound) if hold.is_some() && !outbound.is_idle() => {
                connection
                    .timers
                    .set_once(Timer::Backlog, now + BACKLOG_MAX);
            }
            _ => connection.timers.stop(Timer::Backlog),
        }
    }

    /// Octets of this connection were handed out.
    pub(super) fn handed_out(&mut self, conn: ConnId, whole_message: bool) {
        if let Some(at) = self
            .leaving
            .iter()
            .position(|leaving| leaving.id == conn && leaving.writer.is_empty())
        {
            self.leaving.remove(at);
            self.actions.push_back(Action::Close(conn, Close::Finish));
            return;
        }
        let Some(direction) = self.direction_of(conn) else {
            return;
        };
        if let Some(connection) = &mut self.slot(direction).connection {
            // It runs anew from here if more waits.
            connection.timers.stop(Timer::SendHold);
        }
        if whole_message && self.slot(direction).state >= State::OpenConfirm {
            self.start_keepalive(direction);
        }
    }

    /// Begins the refreshes that came too early to be answered when they came (BGP-44).
    fn answer_refreshes(&mut self) {
        let now = self.now;
        let Some(connection) = self.established_mut() else {
            return;
        };
        let enhanced = connection.rules().enhanced_refresh;
        let mut next = None;
        for family in Family::ALL {
            let Some(outbound) = &mut connection.outbound else {
                return;
            };
            if !connection.refresh_due.contains(family) {
                continue;
            }
            let at = connection
                .refreshed
                .get(&family)
                .map_or(now, |last| *last + REFRESH_SPACING);
            if at <= now && !outbound.is_refreshing(family) {
                connection.refresh_due = connection
                    .refresh_due
                    .iter()
                    .filter(|due| *due != family)
                    .collect();
                connection.refreshed.insert(family, now);
                outbound.refresh(family, enhanced);
            } else {
                next = next.max(Some(at.max(now + REFRESH_SPACING / 10)));
            }
        }
        match next {
            Some(at) => self.timers.set(Timer::Refresh, at),
            None => self.timers.stop(Timer::Refresh),
        }
    }
}
