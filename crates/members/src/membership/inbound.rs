//! Datagrams: opened, judged, passed on.
//!
//! Owns the order of the checks. What passes goes to foca or to the file of its kind.

use std::net::SocketAddr;
use std::time::Instant;

use foca::{Member as Update, State};

use super::{GOODBYE, MAX_NAMES, Membership, Standing};
use crate::codec::peek;
use crate::event::{DropReason, Event};
use crate::identity::{BootId, Identity};
use crate::message::Message;
use crate::runtime::Wishes;

impl Membership {
    /// A datagram came in from the membership socket.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.wake(now);
        self.counters.received += 1;
        if matches!(self.standing, Standing::NoKey | Standing::Left) {
            return self.counters.count_drop(DropReason::Silent);
        }
        let opened = match self.seal.open(bytes) {
            Ok(opened) => opened,
            Err(refused) => {
                if refused.foreign_key {
                    self.tell_wrong_key(from);
                }
                return self.counters.count_drop(refused.reason);
            }
        };
        self.wrong_keys.remove(&from);
        let Some(message) = Message::decode(&opened.payload) else {
            return self.counters.count_drop(DropReason::Malformed);
        };
        if self.standing == Standing::Conflict
            && !matches!(message, Message::Welcome { .. } | Message::Taken { .. })
        {
            return self.counters.count_drop(DropReason::Silent);
        }
        self.handle_message(from, opened.boot, message, now);
    }

    /// Only for addresses we were told to join and where no member is: others can be made up at will, and a member's key is right.
    fn tell_wrong_key(&mut self, from: SocketAddr) {
        let member = self.members.values().any(|member| member.address == from);
        if !member && self.peers.contains(from) && self.wrong_keys.insert(from) {
            self.tell(Event::WrongKey { from });
        }
    }

    fn handle_message(&mut self, from: SocketAddr, boot: BootId, message: Message, now: Instant) {
        let forged = match &message {
            Message::Hello { sender }
            | Message::Welcome { sender, .. }
            | Message::Leave { sender } => sender.boot != boot,
            Message::Foca(_)
            | Message::Taken { .. }
            | Message::Record { .. }
            | Message::Sync(_)
            | Message::Want(_)
            | Message::Have { .. }
            | Message::Pull { .. }
            | Message::Claims { .. } => false,
        };
        if forged {
            return self.counters.count_drop(DropReason::Forged);
        }
        match message {
            Message::Foca(bytes) => self.handle_foca(from, boot, &bytes, now),
            Message::Hello { sender } => {
                if self.admits_call(from, &sender, now) {
                    let welcome = Message::Welcome {
                        to: sender.boot,
                        sender: self.me().clone(),
                    };
                    self.send(from, &welcome);
                }
            }
            Message::Welcome { to, sender } if to == self.me().boot => {
                self.handle_welcome(&sender, now)
            }
            Message::Taken { to, holder, alive } if to == self.me().boot => {
                self.handle_taken(from, &holder, alive, now)
            }
            Message::Welcome { .. } | Message::Taken { .. } => {
                self.counters.count_drop(DropReason::NotForUs)
            }
            Message::Leave { sender } => self.handle_leave(sender, now),
            Message::Record {
                boot: owner,
                sequence,
                bytes,
            } => {
                if self.address_of(boot).is_none() {
                    return self.counters.count_drop(DropReason::UnknownSender);
                }
                self.handle_record(owner, sequence, bytes);
            }
            Message::Sync(entries) => self.handle_sync(boot, entries),
            Message::Want(boots) => self.handle_want(boot, boots),
            Message::Have { .. } | Message::Pull { .. } | Message::Claims { .. } => {
                self.handle_claims_message(boot, message, now);
            }
        }
    }

    /// Somebody we called is alive and would have us.
    fn handle_welcome(&mut self, sender: &Identity, now: Instant) {
        self.resume_standing(now);
        if self.standing != Standing::Active || sender.is_namesake(self.me()) {
            return;
        }
        let known = self.known(sender);
        if known.as_ref().is_some_and(|known| {
            known.identity.outranks(sender) || (known.alive && known.identity == *sender)
        }) {
            return;
        }
        if known.is_none() && self.has_no_room(1) {
            return self.counters.count_drop(DropReason::Full);
        }
        let is_down = known.is_some_and(|known| !known.alive && known.identity == *sender);
        let greets = is_down || self.members.len() < GREETED;
        let (alive, greeted) = (Update::alive(sender.clone()), sender.clone());
        self.with_foca(now, |foca, wishes| {
            foca.apply_many(std::iter::once(alive), true, wishes)
        });
        if greets {
            self.with_foca(now, |foca, wishes| foca.announce(greeted, wishes));
        }
    }

    /// A member says goodbye. foca passes it on as a death with the incarnation that means so.
    fn handle_leave(&mut self, sender: Identity, now: Instant) {
        match self.known(&sender) {
            None => return self.counters.count_drop(DropReason::UnknownSender),
            Some(known) if known.identity.outranks(&sender) || sender.is_namesake(self.me()) => {
                return self.counters.count_drop(DropReason::StaleBoot);
            }
            Some(_) => {}
        }
        let gone = Update::new(sender, GOODBYE, State::Down);
        self.with_foca(now, |foca, wishes| {
            foca.apply_many(std::iter::once(gone), true, wishes)
        });
    }

    fn handle_foca(&mut self, from: SocketAddr, boot: BootId, bytes: &[u8], now: Instant) {
        let Some((header, updates)) = peek(bytes) else {
            return self.counters.count_drop(DropReason::Malformed);
        };
        if header.src.boot != boot {
            return self.counters.count_drop(DropReason::Forged);
        }
        if header.dst != *self.me() {
            return self.counters.count_drop(DropReason::NotForUs);
        }
        if header.src.is_namesake(self.me()) {
            // The other one of this name is told by whoever it calls; nothing is learned from it.
            return self.counters.count_drop(DropReason::NameTaken);
        }
        if !self.admits_member(from, &header.src, now) {
            return;
        }
        if let Some(rival) = updates.iter().find(|update| self.is_rival(update)) {
            self.counters.count_drop(DropReason::NameTaken);
            return self.handle_rival(rival.id(), rival.state() != State::Down, now);
        }
        if self.has_no_room(updates.len() + 1) && self.brings_strangers(&header.src, &updates) {
            return self.counters.count_drop(DropReason::Full);
        }
        let mut wishes = Wishes::default();
        match self.foca.handle_data(bytes, &mut wishes) {
            Ok(()) => {}
            Err(_) => self.counters.count_drop(DropReason::Malformed),
        }
        self.settle(wishes, now);
        self.heard |= !self.members.is_empty();
    }

    /// Talk of another boot with our name, which would win over us.
    fn is_rival(&self, update: &Update<Identity>) -> bool {
        let id = update.id();
        id.is_namesake(self.me()) && id.boot != self.me().boot && id.outranks(self.me())
    }

    fn has_no_room(&self, more: usize) -> bool {
        self.foca.iter_membership_state().len() + more > MAX_NAMES
    }

    fn brings_strangers(&self, source: &Identity, updates: &[Update<Identity>]) -> bool {
        let mut names = std::iter::once(source).chain(updates.iter().map(Update::id));
        names.any(|id| !id.is_namesake(self.me()) && self.known(id).is_none())
    }
}

/// Members greeted while joining; each answers with as many members as fit in a datagram. The rest hear of us from these.
const GREETED: usize = 3;
