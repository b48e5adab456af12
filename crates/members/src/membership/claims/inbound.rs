//! What others say of claims: data, states, requests.
//!
//! Owns the answers. All of it comes from live members; anything else was dropped before and counted.

use std::sync::Arc;
use std::time::Instant;

use super::{Fellow, MAX_OUTBOX, Membership, PULL_SPACING, state_of};
use crate::claims::Buckets;
use crate::claims::wire::Part;
use crate::event::DropReason;
use crate::identity::BootId;
use crate::message::{BookState, Message};

impl Membership {
    /// A message with claims, sealed by this boot.
    pub(in crate::membership) fn handle_claims_message(
        &mut self,
        from: BootId,
        message: Message,
        now: Instant,
    ) {
        let Some(name) = self.exchange.name_of(from).filter(|_| self.takes_part()) else {
            return self.counters.count_drop(DropReason::UnknownSender);
        };
        match message {
            Message::Have {
                question,
                answers,
                states,
            } => self.handle_have(&name, from, question, answers, &states, now),
            Message::Pull { boot, digests } => self.handle_pull(&name, boot, &digests, now),
            Message::Claims { state, more, parts } => {
                self.handle_claims(&name, from, state, more, &parts, now);
            }
            Message::Foca(_)
            | Message::Hello { .. }
            | Message::Welcome { .. }
            | Message::Leave { .. }
            | Message::Taken { .. }
            | Message::Record { .. }
            | Message::Sync(_)
            | Message::Want(_) => {}
        }
    }

    fn handle_claims(
        &mut self,
        from_name: &Arc<str>,
        from: BootId,
        state: BookState,
        more: bool,
        parts: &[Part],
        now: Instant,
    ) {
        // Nobody tells us of our own.
        let Some(owner) = self.exchange.name_of(state.boot) else {
            return self.counters.count_drop(DropReason::NotForUs);
        };
        let mut changes = Vec::new();
        for part in parts {
            let room = self.exchange.room();
            let Some(fellow) = self.exchange.fellows.get_mut(&owner) else {
                return;
            };
            let applied = fellow.book.apply(part, room);
            if applied.refused > 0 {
                self.counters.count_drop(DropReason::Full);
            }
            changes.extend(applied.changes);
        }
        let addresses = self.exchange.take_changes(&owner, &changes);
        self.tell_changes(&owner, addresses);
        if more {
            return;
        }
        self.compare_copy(from_name, state, now);
        if from == state.boot {
            self.tell_copy(from_name, now);
        }
    }

    /// Compares our copy with what somebody says it should be, and pulls what differs from there.
    fn compare_copy(&mut self, teller: &Arc<str>, state: BookState, now: Instant) {
        let Some(owner) = self.exchange.name_of(state.boot) else {
            return;
        };
        let Some(fellow) = self.exchange.fellows.get_mut(&owner) else {
            return;
        };
        if state.version < fellow.book.version() {
            return;
        }
        if fellow.book.agree(state.version, state.digest) {
            return fellow.learn();
        }
        let pull = Message::Pull {
            boot: state.boot,
            digests: fellow.book.digests(),
        };
        let Some(teller_fellow) = self.exchange.fellows.get_mut(teller) else {
            return;
        };
        let waits = teller_fellow
            .pulled_at
            .is_some_and(|at| now.saturating_duration_since(at) < PULL_SPACING);
        if !waits && teller_fellow.pace.opens_at(now) <= now {
            teller_fellow.pulled_at = Some(now);
            self.tell_fellow(teller, &pull, now);
        }
    }

    /// Tells an owner what we have of it.
    fn tell_copy(&mut self, owner: &Arc<str>, now: Instant) {
        let Some(fellow) = self.exchange.fellows.get_mut(owner) else {
            return;
        };
        if fellow.pace.opens_at(now) > now {
            return;
        }
        let message = Message::Have {
            question: 0,
            answers: 0,
            states: vec![state_of(fellow.boot, &fellow.book)],
        };
        self.tell_fellow(owner, &message, now);
    }

    fn handle_have(
        &mut self,
        name: &Arc<str>,
        from: BootId,
        question: u32,
        answers: u32,
        states: &[BookState],
        now: Instant,
    ) {
        let own_boot = self.me().boot;
        let own = self.exchange.own_state(own_boot);
        if let Some(fellow) = self.exchange.fellows.get_mut(name)
            && answers != 0
            && answers == fellow.question
        {
            let theirs = states.iter().find(|state| state.boot == from);
            fellow.stated = theirs.map(|state| state.version).or(fellow.stated);
        }
        let mut offers = Vec::new();
        for state in states.iter().take(MAX_STATES) {
            if state.boot == own_boot {
                if let Some(fellow) = self.exchange.fellows.get_mut(name) {
                    fellow.hear_of_own(*state, own);
                }
                continue;
            }
            self.compare_copy(name, *state, now);
            let copy = self.exchange.book_of(own_boot, state.boot);
            if state.boot != from
                && copy.is_some_and(|book| {
                    book.version() > state.version && book.digest() != state.digest
                })
            {
                offers.extend(copy.map(|book| state_of(state.boot, book)));
            }
        }
        if let Some(fellow) = self.exchange.fellows.get_mut(name) {
            fellow.settle_ask(own);
        }
        if question != 0 {
            self.answer(name, question, now);
        } else if !offers.is_empty() {
            let message = Message::Have {
                question: 0,
                answers: 0,
                states: offers,
            };
            self.tell_within_pace(name, &message, now);
        }
    }

    /// What we have of the one who asks, and what is ours.
    fn answer(&mut self, name: &Arc<str>, question: u32, now: Instant) {
        let own = self.exchange.own_state(self.me().boot);
        let Some(fellow) = self.exchange.fellows.get(name) else {
            return;
        };
        let message = Message::Have {
            question: 0,
            answers: question,
            states: vec![state_of(fellow.boot, &fellow.book), own],
        };
        self.tell_within_pace(name, &message, now);
    }

    fn tell_within_pace(&mut self, name: &Arc<str>, message: &Message, now: Instant) {
        let opens_at = self
            .exchange
            .fellows
            .get_mut(name)
            .map(|fellow| fellow.pace.opens_at(now));
        if opens_at.is_some_and(|at| at <= now) {
            self.tell_fellow(name, message, now);
        }
    }

    /// Somebody lacks claims of a boot: the buckets that differ are put in its outbox.
    fn handle_pull(
        &mut self,
        name: &Arc<str>,
        boot: BootId,
        digests: &std::collections::BTreeMap<u8, u32>,
        now: Instant,
    ) {
        let Some(book) = self.exchange.book_of(self.me().boot, boot) else {
            return self.counters.count_drop(DropReason::NotForUs);
        };
        let differing: Buckets = book.differing(digests);
        let Some(fellow) = self.exchange.fellows.get_mut(name) else {
            return;
        };
        if differing.is_empty() {
            return;
        }
        if !fellow.outbox.contains_key(&boot) && fellow.outbox.len() >= MAX_OUTBOX {
            return self.counters.count_drop(DropReason::Full);
        }
        fellow.outbox.entry(boot).or_default().extend(differing);
        self.exchange.due(now);
    }
}

impl Fellow {
    /// Our copy of its claims equals what somebody says they are.
    fn learn(&mut self) {
        if self
            .stated
            .is_some_and(|stated| self.book.version() >= stated)
        {
            self.is_known = true;
        }
    }

    /// It said what it has of our claims.
    fn hear_of_own(&mut self, state: BookState, own: BookState) {
        if state.digest == own.digest {
            self.has = Some(own.version);
        }
    }

    /// Nothing more has to be asked once it is whole and so are we.
    fn settle_ask(&mut self, own: BookState) {
        self.learn();
        if self.has == Some(own.version) && self.is_known {
            self.ask = None;
        }
    }
}

/// States looked at in one message: what a payload holds.
const MAX_STATES: usize = 48;
