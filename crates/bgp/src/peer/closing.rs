//! Ending on purpose: drain, process stop, removal, an operator's reset (BGP-70, BGP-74, BGP-99).
//!
//! Owns the order of farewells: GRACEFUL_SHUTDOWN, a wait, the withdrawals, an empty socket, the Cease.

use std::time::{Duration, Instant};

use super::collision::Direction;
use super::fsm::{Event, State};
use super::reason::Reason;
use super::run::Given;
use super::timers::{STOP_DRAIN, STOP_MAX, Timer};
use super::{Close, Peer, PeerEvent};
use crate::message::{Cease, Families, Notification};
use crate::routes::RouteSet;

/// A peer that takes no withdrawals keeps a drain waiting no longer than this.
const WITHDRAW_MAX: Duration = Duration::from_secs(5);
const DRAINED: &str = "node drained";
const STOPPING: &str = "harbinger stopping";

/// Whether the session is wanted, and how far its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Wanted.
    Running,
    /// Announced with GRACEFUL_SHUTDOWN.
    Draining(Farewell),
    /// Everything is being withdrawn.
    Withdrawing(Farewell),
    /// Over.
    Stopped {
        /// The event was told.
        told: bool,
    },
}

/// What is said in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    Drained,
    Stopped,
}

impl Farewell {
    fn notification(self) -> Notification {
        let text = match self {
            Farewell::Drained => DRAINED,
            Farewell::Stopped => STOPPING,
        };
        Notification::cease_with_text(Cease::AdministrativeShutdown, text)
    }

    fn reason(self) -> Reason {
        match self {
            Farewell::Drained => Reason::Drained,
            Farewell::Stopped => Reason::Stopped,
        }
    }
}

impl Peer {
    /// Drains: everything is announced again with GRACEFUL_SHUTDOWN, and after the configured wait withdrawn; then the
    /// session ends with a Cease that says so, and none is begun until [`Peer::start`]. Routes set meanwhile carry the
    /// community from the start.
    pub fn drain(&mut self, now: Instant) {
        self.now = now;
        if self.phase == Phase::Running {
            let wait = self.config.settings().drain_wait;
            self.begin_farewell(Farewell::Drained, wait);
        }
        self.settle();
    }

    /// The process stops. With graceful restart in force and no drain under way nothing is said and TCP is closed: the
    /// peer keeps the routes. BFD goes AdminDown 50 ms after that at the earliest, which is the caller's to see to.
    /// Otherwise as a drain, within two seconds in all.
    pub fn stop(&mut self, now: Instant) {
        self.now = now;
        let graceful = self
            .established()
            .and_then(|c| c.negotiated.as_ref())
            .is_some_and(|negotiated| negotiated.graceful_restart);
        match self.phase {
            Phase::Running if graceful => {
                self.phase = Phase::Stopped { told: false };
                self.abandon(Reason::Stopped, Close::Finish);
            }
            Phase::Running => {
                self.begin_farewell(
                    Farewell::Stopped,
                    self.config.settings().drain_wait.min(STOP_DRAIN),
                );
                self.timers.set(Timer::StopBy, now + STOP_MAX);
            }
            Phase::Draining(_) => {
                self.phase = Phase::Draining(Farewell::Stopped);
                self.withdraw_all();
                self.timers.set(Timer::StopBy, now + STOP_MAX);
            }
            Phase::Withdrawing(_) => self.timers.set(Timer::StopBy, now + STOP_MAX),
            Phase::Stopped { .. } => {}
        }
        self.settle();
    }

    /// The peer is gone from the configuration: Cease/3 at once.
    pub fn remove(&mut self, now: Instant) {
        self.now = now;
        self.phase = Phase::Stopped { told: false };
        self.stop_all(
            &Notification::cease(Cease::PeerDeconfigured),
            &Reason::Removed,
        );
        self.settle();
    }

    /// Wanted again, after [`Peer::drain`] or [`Peer::stop`]. A drain that is under way is taken back.
    pub fn start(&mut self, now: Instant) {
        self.now = now;
        if self.phase != Phase::Running {
            self.phase = Phase::Running;
            self.timers.stop(Timer::Drain);
            self.timers.stop(Timer::StopBy);
            if let Some(outbound) = self.established_mut().and_then(|c| c.outbound.as_mut()) {
                outbound.set_graceful(false);
            }
            self.apply_routes();
        }
        self.settle();
    }

    /// An operator's reset: Cease/4 and a new session at once.
    pub fn reset(&mut self, now: Instant) {
        self.now = now;
        self.restart_with(Cease::AdministrativeReset, Reason::Reset);
        self.settle();
    }

    /// An operator's soft reset: everything is announced again, as if the peer had asked.
    pub fn refresh(&mut self, now: Instant) {
        self.now = now;
        if let Some(connection) = self.established_mut() {
            connection.refresh_due = Families::BOTH;
        }
        self.settle();
    }

    /// Nothing is left to do: no connection, no farewell on its way.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped { .. })
            && self.leaving.is_empty()
            && self.outgoing.connection.is_none()
            && self.incoming.connection.is_none()
    }

    fn begin_farewell(&mut self, farewell: Farewell, wait: Duration) {
        // Connections that are not sessions yet have nothing to withdraw.
        for direction in [Direction::Outgoing, Direction::Incoming] {
            if self.slot(direction).state != State::Established {
                self.stop_one(direction, farewell.notification(), farewell.reason());
            }
        }
        self.phase = Phase::Draining(farewell);
        let announces = match self.established_mut().and_then(|c| c.outbound.as_mut()) {
            Some(outbound) => {
                outbound.set_graceful(true);
                outbound.sent_len() > 0
            }
            None => {
                self.phase = Phase::Stopped { told: false };
                return;
            }
        };
        if announces && !wait.is_zero() {
            self.timers.set(Timer::Drain, self.now + wait);
        } else {
            self.withdraw_all();
        }
    }

    /// The wait is over.
    pub(super) fn withdraw_all(&mut self) {
        let Phase::Draining(farewell) = self.phase else {
            return;
        };
        self.phase = Phase::Withdrawing(farewell);
        self.timers.stop(Timer::Drain);
        self.timers.set_once(Timer::StopBy, self.now + WITHDRAW_MAX);
        if let Some(outbound) = self.established_mut().and_then(|c| c.outbound.as_mut()) {
            outbound.set(&RouteSet::new());
        }
    }

    /// Whatever is not out yet is not waited for.
    pub(super) fn say_goodbye(&mut self) {
        let farewell = match self.phase {
            Phase::Draining(farewell) | Phase::Withdrawing(farewell) => farewell,
            Phase::Running | Phase::Stopped { .. } => return,
        };
        self.phase = Phase::Stopped { told: false };
        self.timers.stop(Timer::Drain);
        self.timers.stop(Timer::StopBy);
        self.stop_all(&farewell.notification(), &farewell.reason());
    }

    /// Takes the next step when the one before it is done.
    pub(super) fn go_on_closing(&mut self) {
        let waits = self
            .established()
            .is_some_and(|connection| connection.wants_write());
        match self.phase {
            Phase::Draining(_) | Phase::Withdrawing(_) if self.established().is_none() => {
                self.say_goodbye()
            }
            Phase::Withdrawing(_) if !waits => self.say_goodbye(),
            Phase::Running | Phase::Draining(_) | Phase::Withdrawing(_) | Phase::Stopped { .. } => {
            }
        }
        if self.phase == (Phase::Stopped { told: false }) && self.is_stopped() {
            self.phase = Phase::Stopped { told: true };
            self.timers.stop(Timer::IdleHold);
            self.tell(PeerEvent::Stopped);
        }
    }

    fn stop_all(&mut self, notification: &Notification, reason: &Reason) {
        for direction in [Direction::Outgoing, Direction::Incoming] {
            self.stop_one(direction, notification.clone(), reason.clone());
        }
        self.timers.stop(Timer::IdleHold);
    }

    fn stop_one(&mut self, direction: Direction, notification: Notification, reason: Reason) {
        let given = Given {
            notification: Some(notification),
            ..Given::reason(reason)
        };
        self.event(direction, Event::ManualStop, given);
    }

    /// Ends what is there with a Cease and begins again at once.
    pub(super) fn restart_with(&mut self, cease: Cease, reason: Reason) {
        self.cease_all(Notification::cease(cease), reason);
        self.backoff.forget();
        self.hold_until(self.now);
    }

    /// Ends what is there with a Cease; the back-off counts.
    pub(super) fn cease_all(&mut self, notification: Notification, reason: Reason) {
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let given = Given {
                notification: Some(notification.clone()),
                ..Given::reason(reason.clone())
            };
            match self.slot(direction).state {
                State::Idle => {}
                State::Connect | State::Active => {
                    self.event(
                        direction,
                        Event::CollisionDump,
                        Given {
                            notification: None,
                            ..given
                        },
                    );
                }
                State::OpenSent | State::OpenConfirm | State::Established => {
                    self.event(direction, Event::AutomaticStop, given);
                }
            }
        }
    }

    /// Closes what is there without a NOTIFICATION; no back-off.
    pub(super) fn abandon(&mut self, reason: Reason, close: Close) {
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let given = Given {
                abort: close == Close::Abort,
                blameless: true,
                ..Given::reason(reason.clone())
            };
            match self.slot(direction).state {
                State::Idle => {}
                State::Connect | State::Active => {
                    self.event(direction, Event::CollisionDump, given)
                }
                State::OpenSent | State::OpenConfirm | State::Established => {
                    self.event(direction, Event::TcpFails, given);
                }
            }
        }
    }
}
