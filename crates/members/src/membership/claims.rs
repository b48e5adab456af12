//! Claims between the members: each node's book is brought whole to every other.
//!
//! Owns our book, a copy of each live member's, the index by address, and what is to be sent to whom. Four ways bring a change
//! everywhere: the buckets that changed are sent to every member in the next turn, from the newest state and at most
//! [`PACE_BYTES_PER_SECOND`] to each; until a member has said that its copy is whole it is asked again, a few times at once and then
//! each second; who finds its copy to differ pulls the buckets that do, from the owner or from whoever has more; and each second
//! everybody tells one random member what it has. So a joiner, a healed partition and a lost datagram are the same case.
//!
//! Does not judge: order, eligibility and who keeps an address are `engine`'s.

mod inbound;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::pace::Pace;
use super::{Membership, Standing};
use crate::claims::{Book, Buckets, Change, Claim, Key, MAX_TERM, Terms, address_of, key_of};
use crate::event::Event;
use crate::identity::BootId;
use crate::message::{BookState, CLAIMS_FRONT_BYTES, MAX_CLAIMS_PAYLOAD_BYTES, Message};

/// All claims known here and what is on its way.
#[derive(Debug)]
pub(super) struct Exchange {
    own_name: Arc<str>,
    own: Book,
    fellows: BTreeMap<Arc<str>, Fellow>,
    /// Who claims an address: our own and the live members', by name.
    index: BTreeMap<Key, Vec<(Arc<str>, u64)>>,
    terms: Terms,
    questions: u32,
    /// When the first of the present members came up.
    joined_at: Option<Instant>,
    /// When there is something to send.
    pub(super) due_at: Option<Instant>,
    /// After whom the next turn begins, so that one turn's bound starves nobody.
    cursor: Arc<str>,
    /// Where in the list of members the next comparison begins.
    compared: usize,
}

/// A live member, as far as claims go.
#[derive(Debug)]
struct Fellow {
    boot: BootId,
    book: Book,
    /// Buckets to be sent to it, by whose they are.
    outbox: BTreeMap<BootId, Buckets>,
    pace: Pace,
    /// Our version that it has said to have whole.
    has: Option<u64>,
    /// The last question put to it.
    question: u32,
    /// When it is asked again, and how often before it is left to the comparisons.
    ask: Option<(Instant, u8)>,
    /// What its book was when it answered the last question; our copy has to come as far.
    stated: Option<u64>,
    /// Since it came up, or since we were stopped, its claims have been whole here.
    is_known: bool,
    /// It was there when we joined.
    is_awaited: bool,
    pulled_at: Option<Instant>,
}

impl Exchange {
    pub(super) fn new(name: &str) -> Self {
        let own_name: Arc<str> = Arc::from(name);
        Self {
            cursor: Arc::clone(&own_name),
            own_name,
            own: Book::default(),
            fellows: BTreeMap::new(),
            index: BTreeMap::new(),
            terms: Terms::default(),
            questions: 0,
            joined_at: None,
            due_at: None,
            compared: 0,
        }
    }

    /// A member is alive, or is another boot now: its claims are not known yet.
    pub(super) fn member_up(&mut self, name: &str, boot: BootId, now: Instant) {
        self.member_gone(name);
        let joined = *self.joined_at.get_or_insert(now);
        let fellow = Fellow {
            boot,
            book: Book::default(),
            outbox: BTreeMap::new(),
            pace: Pace::new(now),
            has: None,
            question: 0,
            ask: Some((now, ASK_ROUNDS)),
            stated: None,
            is_known: false,
            is_awaited: now.saturating_duration_since(joined) <= JOINING,
            pulled_at: None,
        };
        self.fellows.insert(Arc::from(name), fellow);
        self.due(now);
    }

    /// A member is gone, and its claims with it.
    pub(super) fn member_gone(&mut self, name: &str) -> Vec<Key> {
        let Some((name, fellow)) = self.fellows.remove_entry(name) else {
            return Vec::new();
        };
        for other in self.fellows.values_mut() {
            other.outbox.remove(&fellow.boot);
        }
        if self.fellows.is_empty() {
            self.joined_at = None;
        }
        let keys: Vec<Key> = fellow.book.claims().map(|(key, _)| key).collect();
        for key in &keys {
            self.index_claim(&name, *key, None);
        }
        keys
    }

    /// We stand back: nothing of the others counts any more.
    pub(super) fn forget_all(&mut self) {
        let names: Vec<Arc<str>> = self.fellows.keys().cloned().collect();
        names.iter().for_each(|name| {
            self.member_gone(name);
        });
        self.due_at = None;
    }

    /// We were stopped for a while: what we know of the others has to be confirmed.
    pub(super) fn resume(&mut self, now: Instant) {
        for fellow in self.fellows.values_mut() {
            (fellow.is_known, fellow.is_awaited, fellow.stated) = (false, true, None);
            (fellow.question, fellow.ask) = (0, Some((now, ASK_ROUNDS)));
        }
        if !self.fellows.is_empty() {
            self.due(now);
        }
    }

    fn due(&mut self, at: Instant) {
        self.due_at = Some(self.due_at.map_or(at, |due| due.min(at)));
    }

    fn index_claim(&mut self, name: &Arc<str>, key: Key, term: Option<u64>) {
        let claimants = self.index.entry(key).or_default();
        let known = claimants.binary_search_by(|(claimant, _)| claimant.cmp(name));
        match (known, term) {
            (Ok(at), Some(term)) => {
                if let Some((_, known)) = claimants.get_mut(at) {
                    *known = term;
                }
            }
            (Ok(at), None) => {
                claimants.remove(at);
            }
            (Err(at), Some(term)) => {
                // Nearly always the only one: no room for more by the ten thousand.
                claimants.reserve_exact(1);
                claimants.insert(at, (Arc::clone(name), term));
            }
            (Err(_), None) => {}
        }
        if claimants.is_empty() {
            self.index.remove(&key);
        }
    }

    fn take_changes(&mut self, name: &Arc<str>, changes: &[Change]) -> Vec<IpAddr> {
        for Change { key, term } in changes {
            self.index_claim(name, *key, *term);
            if let Some(term) = term {
                self.terms.see(*key, *term);
            }
        }
        changes
            .iter()
            .map(|change| address_of(change.key))
            .collect()
    }

    fn own_state(&self, boot: BootId) -> BookState {
        state_of(boot, &self.own)
    }

    fn room(&self) -> usize {
        let held: usize = self
            .fellows
            .values()
            .map(|fellow| fellow.book.count())
            .sum();
        MAX_COPIED_CLAIMS.saturating_sub(held)
    }

    fn book_of(&self, own_boot: BootId, boot: BootId) -> Option<&Book> {
        if boot == own_boot {
            return Some(&self.own);
        }
        let mut fellows = self.fellows.values();
        fellows
            .find(|fellow| fellow.boot == boot)
            .map(|fellow| &fellow.book)
    }

    fn name_of(&self, boot: BootId) -> Option<Arc<str>> {
        let mut fellows = self.fellows.iter();
        fellows
            .find(|(_, fellow)| fellow.boot == boot)
            .map(|(name, _)| Arc::clone(name))
    }
}

impl Membership {
    /// Our own claim on an address changed; `None`: released. Everybody is told in the next turn ([`Self::poll_timeout`] is then
    /// `now`), so that many changes go together; a slow peer gets the newest state only. False: nothing changed, or there is no room
    /// (counted).
    pub fn set_claim(&mut self, address: IpAddr, claim: Option<Claim>, now: Instant) -> bool {
        self.wake(now);
        let key = key_of(address);
        let term = claim.map(|claim| claim.term.clamp(1, MAX_TERM));
        if self.exchange.own.term(key) == term {
            return false;
        }
        let Some(bucket) = self.exchange.own.set(key, term) else {
            self.counters.claims_refused += 1;
            return false;
        };
        let name = Arc::clone(&self.exchange.own_name);
        self.exchange.take_changes(&name, &[Change { key, term }]);
        let boot = self.me().boot;
        for fellow in self.exchange.fellows.values_mut() {
            fellow.outbox.entry(boot).or_default().insert(bucket);
        }
        if !self.exchange.fellows.is_empty() {
            self.exchange.due(now);
        }
        true
    }

    /// Claims on an address by live members and by us, by node name.
    pub fn claims_on(&self, address: IpAddr) -> impl Iterator<Item = (&str, Claim)> {
        let claimants = self.exchange.index.get(&key_of(address));
        let claimants = claimants.map_or(&[][..], Vec::as_slice);
        claimants
            .iter()
            .map(|(name, term)| (&**name, Claim { term: *term }))
    }

    /// All claims of one node (a live member or ourselves) as known here, in no order that means anything.
    pub fn claims_of(&self, node: &str) -> impl Iterator<Item = (IpAddr, Claim)> {
        let book = if node == &*self.exchange.own_name {
            Some(&self.exchange.own)
        } else {
            self.exchange.fellows.get(node).map(|fellow| &fellow.book)
        };
        let claims = book.into_iter().flat_map(Book::claims);
        claims.map(|(key, term)| (address_of(key), Claim { term }))
    }

    /// The highest term ever seen for the address, also of dead nodes and releases; 0 when there was none. Remembered for the 32,768
    /// addresses whose term was raised last, and for all that are claimed.
    #[must_use]
    pub fn highest_term(&self, address: IpAddr) -> u64 {
        let key = key_of(address);
        let standing = self.exchange.index.get(&key).into_iter().flatten();
        let standing = standing.map(|(_, term)| *term).max().unwrap_or(0);
        self.exchange.terms.highest(key).max(standing)
    }

    /// Whether the claims of every member that was reachable when we joined (within a second of the first one) have been pulled
    /// whole; true when alone. After the process was stopped for a while every member has to confirm again.
    #[must_use]
    pub fn claims_known(&self) -> bool {
        let mut fellows = self.exchange.fellows.values();
        fellows.all(|fellow| fellow.is_known || !fellow.is_awaited)
    }

    /// The claims of every living member have been whole here since it came up, or since this process was stopped. Unlike
    /// [`Self::claims_known`] it also turns false when a member comes later, as after a partition.
    #[must_use]
    pub fn claims_whole(&self) -> bool {
        let mut fellows = self.exchange.fellows.values();
        fellows.all(|fellow| fellow.is_known)
    }

    /// Asks a member now what it claims, because there is a sign that it claims what is not known here. One question: the spacing of
    /// the signs is the caller's.
    pub fn confirm_claims(&mut self, node: &str, now: Instant) {
        self.wake(now);
        if let Some(fellow) = self.exchange.fellows.get_mut(node)
            && fellow.ask.is_none_or(|(at, _)| at > now)
        {
            let rounds = fellow.ask.map_or(1, |(_, rounds)| rounds);
            fellow.ask = Some((now, rounds));
            self.exchange.due(now);
        }
    }

    /// Sends what is due, at most [`MAX_DATAGRAMS_PER_TURN`].
    pub(super) fn exchange_claims(&mut self, now: Instant) {
        if self.exchange.due_at.is_none_or(|at| at > now) {
            return;
        }
        self.exchange.due_at = None;
        let mut order: Vec<Arc<str>> = self.exchange.fellows.keys().cloned().collect();
        let first = order.partition_point(|name| *name <= self.exchange.cursor);
        order.rotate_left(first);
        let (mut budget, mut next) = (MAX_DATAGRAMS_PER_TURN, None::<Instant>);
        for name in order {
            let due = if budget == 0 {
                Some(now + TURN_SPACING)
            } else {
                self.exchange.cursor = Arc::clone(&name);
                self.serve(&name, &mut budget, now)
            };
            next = [next, due].into_iter().flatten().min();
        }
        if let Some(at) = next {
            self.exchange.due(at.max(now + TURN_SPACING));
        }
    }

    /// Sends one member what its pace allows; when there is more to do for it.
    fn serve(&mut self, name: &str, budget: &mut usize, now: Instant) -> Option<Instant> {
        let own_boot = self.me().boot;
        loop {
            let fellow = self.exchange.fellows.get_mut(name)?;
            let Some((boot, dirty)) = fellow.outbox.pop_first() else {
                break;
            };
            let open_at = fellow.pace.opens_at(now);
            if open_at > now || *budget == 0 {
                fellow.outbox.insert(boot, dirty);
                return Some(open_at.max(now + TURN_SPACING));
            }
            self.send_buckets(name, own_boot, boot, dirty, budget, now);
        }
        let fellow = self.exchange.fellows.get_mut(name)?;
        let (at, rounds) = fellow.ask?;
        if at > now {
            return Some(at);
        }
        fellow.ask = (rounds > 1).then(|| (now + ASK_SPACING, rounds - 1));
        let again = fellow.ask.map(|(at, _)| at);
        *budget = budget.saturating_sub(1);
        self.ask(name, now);
        again
    }

    /// Sends one datagram of buckets (more if a bucket has to be cut) and leaves the rest in the outbox.
    fn send_buckets(
        &mut self,
        name: &str,
        own_boot: BootId,
        boot: BootId,
        mut dirty: Buckets,
        budget: &mut usize,
        now: Instant,
    ) {
        let Some(book) = self.exchange.book_of(own_boot, boot) else {
            return;
        };
        let state = state_of(boot, book);
        let limit = MAX_CLAIMS_PAYLOAD_BYTES - CLAIMS_FRONT_BYTES;
        let (mut groups, mut used) = (vec![Vec::new()], 0);
        while let Some(place) = dirty.first() {
            let parts = book.parts(place, limit);
            let length: usize = parts
                .iter()
                .map(crate::claims::wire::Part::encoded_len)
                .sum();
            if used > 0 && used + length > limit {
                break;
            }
            dirty.remove(place);
            used += length;
            if parts.len() > 1 {
                groups = parts.into_iter().map(|part| vec![part]).collect();
                break;
            }
            groups
                .iter_mut()
                .for_each(|group| group.extend(parts.iter().cloned()));
        }
        let last = groups.len() - 1;
        for (index, parts) in groups.into_iter().enumerate() {
            let more = index < last || !dirty.is_empty();
            *budget = budget.saturating_sub(1);
            self.tell_fellow(name, &Message::Claims { state, more, parts }, now);
        }
        let Some(fellow) = self.exchange.fellows.get_mut(name) else {
            return;
        };
        if !dirty.is_empty() {
            fellow.outbox.insert(boot, dirty);
        } else if boot == own_boot {
            // It answers when it is whole; if not, we ask.
            fellow.ask = Some((now + ASK_SPACING, ASK_ROUNDS));
        }
    }

    /// "What do you have of mine, what is yours?"
    fn ask(&mut self, name: &str, now: Instant) {
        let state = self.exchange.own_state(self.me().boot);
        self.counters.claim_questions += 1;
        let questions = &mut self.exchange.questions;
        let Some(fellow) = self.exchange.fellows.get_mut(name) else {
            return;
        };
        if fellow.question == 0 {
            *questions = questions.checked_add(1).unwrap_or(1);
            fellow.question = *questions;
        }
        let message = Message::Have {
            question: fellow.question,
            answers: 0,
            states: vec![state],
        };
        self.tell_fellow(name, &message, now);
    }

    /// Sends to a member and counts it against its pace.
    fn tell_fellow(&mut self, name: &str, message: &Message, now: Instant) {
        let Some(address) = self.members.get(name).map(|member| member.address) else {
            return;
        };
        let before = self.counters.sent_bytes;
        self.send(address, message);
        let bytes = self.counters.sent_bytes - before;
        if let Some(fellow) = self.exchange.fellows.get_mut(name) {
            fellow.pace.spend(bytes, now);
        }
    }

    /// Once a second: asks again whom the rounds did not reach, and tells one member what we have.
    pub(super) fn compare_claims(&mut self, to: &str, now: Instant) {
        let own_version = self.exchange.own.version();
        for fellow in self.exchange.fellows.values_mut() {
            let is_behind = fellow.has != Some(own_version) && fellow.outbox.is_empty();
            if fellow.ask.is_none() && (is_behind || !fellow.is_known) {
                fellow.ask = Some((now, 1));
                self.exchange.due_at = Some(now);
            }
        }
        let boot = self.me().boot;
        let fellows = self.exchange.fellows.values();
        let others: Vec<BookState> = fellows
            .filter(|fellow| fellow.book.version() > 0)
            .map(|fellow| state_of(fellow.boot, &fellow.book))
            .collect();
        if own_version == 0 && others.is_empty() {
            return;
        }
        let start = self
            .exchange
            .compared
            .checked_rem(others.len())
            .unwrap_or(0);
        let some = others
            .iter()
            .cycle()
            .skip(start)
            .take(others.len().min(MAX_COMPARED));
        let states = std::iter::once(self.exchange.own_state(boot))
            .chain(some.copied())
            .collect();
        self.exchange.compared = start + MAX_COMPARED;
        let message = Message::Have {
            question: 0,
            answers: 0,
            states,
        };
        self.tell_fellow(to, &message, now);
    }

    /// The names of the members whose claims changed, told in one event each.
    fn tell_changes(&mut self, name: &str, addresses: Vec<IpAddr>) {
        if addresses.is_empty() {
            return;
        }
        self.tell(Event::ClaimsChanged {
            node: name.to_owned(),
            addresses,
        });
    }

    /// A member is another boot now: its claims are gone, and told so.
    pub(super) fn restart_claims(&mut self, name: &str, boot: BootId, now: Instant) {
        let gone = self.exchange.member_gone(name);
        self.exchange.member_up(name, boot, now);
        let addresses: BTreeSet<IpAddr> = gone.into_iter().map(address_of).collect();
        self.tell_changes(name, addresses.into_iter().collect());
    }

    /// Whether we take part, so that claims may be exchanged.
    fn takes_part(&self) -> bool {
        self.standing == Standing::Active
    }
}

fn state_of(boot: BootId, book: &Book) -> BookState {
    BookState {
        boot,
        version: book.version(),
        digest: book.digest(),
    }
}

/// LIMIT: claims kept of all members together: ten times the addresses of a large cluster (about 150 bytes each).
const MAX_COPIED_CLAIMS: usize = 131_072;

/// Members that come up within this of the first one were there when we joined: all are called in the same turn.
const JOINING: Duration = Duration::from_secs(1);

/// How often a member that has not said to be whole is asked at once: with 20 % loss four in 100,000 answer none.
const ASK_ROUNDS: u8 = 10;

/// Between two of these.
const ASK_SPACING: Duration = Duration::from_millis(100);

/// Datagrams in one turn (77 kB), so that 200 members do not overrun the socket's buffer.
const MAX_DATAGRAMS_PER_TURN: usize = 64;

/// Between two turns.
const TURN_SPACING: Duration = Duration::from_millis(5);

/// Members of whose claims one comparison tells, beside our own.
const MAX_COMPARED: usize = 12;

/// Boots of whose claims something waits for one member: more is left to the next comparison.
const MAX_OUTBOX: usize = 8;

/// A copy that differs is pulled at most this often from one member.
const PULL_SPACING: Duration = Duration::from_millis(50);
