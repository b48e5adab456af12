//! What others do to a session: the peer that opens a connection of its own, and BFD that says the peer is gone.
//!
//! Owns which connection is let in (BGP-02, BGP-06, BGP-75) and what follows a BFD verdict (BGP-130, BGP-132).

use std::time::Duration;

use super::closing::Phase;
use super::collision::Direction;
use super::connection::{ConnId, Connection, Writer};
use super::fsm::{Event, State};
use super::run::Given;
use super::timers::{ACCEPT_SPACING, ACCEPTS_MAX, BFD_WAIT, Timer};
use super::{Action, Close, DropReason, Endpoints, Note, Peer, PeerEvent, Reason, Slot};
use crate::message::{Cease, Notification, WireRules};

impl Peer {
    pub(super) fn accept(&mut self, ends: Endpoints) -> Option<ConnId> {
        let held = self.timers.get(Timer::IdleHold).is_some();
        let closed = self.phase != Phase::Running || self.obstacle.is_some();
        if closed || self.timers.get(Timer::BfdWait).is_some() || !self.accept_budget(held) {
            self.counters.count(DropReason::ConnectionRefused);
            return None;
        }
        self.next_id += 1;
        let id = ConnId(self.next_id);
        if let Some(established) = self.established_mut() {
            let restarts = established
                .negotiated
                .as_ref()
                .is_some_and(|n| n.theirs.graceful_restart.is_some());
            // If the peer has lost the old connection, its kernel answers this with a reset.
            established.writer.keepalive();
            if !restarts {
                self.counters.count(DropReason::ConnectionWhileEstablished);
                let mut writer = Writer::default();
                writer.notify(Notification::cease(Cease::Collision));
                self.leave(id, writer, WireRules::default());
                return Some(id);
            }
            if self.incoming.state == State::Established {
                // The place that dials is free while a session stands.
                std::mem::swap(&mut self.outgoing, &mut self.incoming);
            }
        }
        match self.incoming.state {
            State::OpenConfirm => {
                self.counters.count(DropReason::ConnectionRefused);
                return None;
            }
            State::OpenSent => {
                self.counters.count(DropReason::ConnectionReplaced);
                let old = self.incoming.connection.take();
                self.actions
                    .extend(old.map(|old| Action::Close(old.id, Close::Abort)));
            }
            State::Idle | State::Connect | State::Active | State::Established => {}
        }
        self.incoming = Slot {
            state: State::Active,
            connection: Some(Connection::new(id, Direction::Incoming, Some(ends))),
        };
        self.event(Direction::Incoming, Event::TcpConfirmed, Given::default());
        Some(id)
    }

    /// One connection a second while held back, [`ACCEPTS_MAX`] otherwise.
    fn accept_budget(&mut self, held: bool) -> bool {
        if self.now >= self.accepts_since + ACCEPT_SPACING {
            (self.accepts_since, self.accepts) = (self.now, 0);
        }
        let room = self.accepts < if held { 1 } else { ACCEPTS_MAX };
        self.accepts += u32::from(room);
        room
    }

    pub(super) fn bfd_down(&mut self, diagnostic: &str) {
        if self.state() < State::OpenSent {
            return;
        }
        let reason = Reason::BfdDown {
            diagnostic: diagnostic.to_owned(),
        };
        self.cease_all(Notification::cease(Cease::BfdDown), reason);
        self.timers.set(Timer::BfdWait, self.now + BFD_WAIT);
        self.bfd_closes.push_back(self.now);
        if self.bfd_closes.len() > 3 {
            self.bfd_closes.pop_front();
        }
        let window = Duration::from_secs(600);
        if self.bfd_closes.len() == 3
            && self
                .bfd_closes
                .front()
                .is_some_and(|first| self.now < *first + window)
        {
            self.tell(PeerEvent::Note(Note::BfdFlapping));
        }
    }
}
