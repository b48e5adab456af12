//! The machine: what it holds, what it is told, what it wants done.
//!
//! Owns the view of the live members and drives foca, the seal, the search for peers (`join`), the records (`records`), the claims
//! (`claims`) and the rules for two nodes with one name (`conflict`); datagrams are judged in `inbound`. Does no I/O and knows no time but the `now` it is
//! given, which must not go back.

mod claims;
mod conflict;
mod inbound;
mod join;
mod records;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foca::{Foca, NoCustomBroadcast, OwnedNotification, PeriodicParams};

pub use self::records::RecordError;

use self::claims::Exchange;
use self::join::Peers;
use self::records::Records;
use crate::codec::Codec;
use crate::config::{Config, ConfigError, Sealing};
use crate::event::{Counters, Event, Standing};
use crate::identity::{BootId, Identity};
use crate::message::{MAX_PAYLOAD_BYTES, Message};
use crate::random::SplitMix;
use crate::runtime::Wishes;
use crate::seal::{KeyError, Keys, Seal};
use crate::timers::Timers;

/// The membership of one node.
///
/// The contract of every machine here: call a `set_*` or `handle_*`, then take [`Self::poll_transmit`] and [`Self::poll_event`] until
/// none, then wait for input or for [`Self::poll_timeout`].
pub struct Membership {
    config: Config,
    seal: Seal,
    foca: Swim,
    timers: Timers,
    random: SplitMix,
    standing: Standing,
    /// Live members without ourselves, by name. Equal to foca's active set, but while standing back or gone.
    members: BTreeMap<String, Member>,
    peers: Peers,
    records: Records,
    exchange: Exchange,
    /// Standing back because of a living rival until at least then.
    conflict_until: Option<Instant>,
    /// When a conflict over a name was last told, so that it is told rarely.
    conflicts_told: BTreeMap<String, Instant>,
    /// Peers that sealed with a foreign key and have not been right since. A subset of the addresses to join.
    wrong_keys: BTreeSet<SocketAddr>,
    farewell: Option<(Instant, u8)>,
    heard: bool,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counters: Counters,
}

/// A live member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it says it can be reached.
    pub address: SocketAddr,
    /// The start of its process.
    pub boot: BootId,
    /// Its record, as it last arrived; empty until the first one has.
    pub record: Arc<[u8]>,
    /// Since when it is alive for us.
    pub since: Instant,
    record_sequence: u64,
}

/// A datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The whole UDP payload.
    pub bytes: Vec<u8>,
}

type Swim = Foca<Identity, Codec, SplitMix, NoCustomBroadcast>;

impl Membership {
    /// A node that looks for peers as soon as it is told any. `seed` decides all that is random but for the seal.
    ///
    /// # Errors
    ///
    /// A name, address or figure that cannot work.
    pub fn new(config: Config, keys: Keys, seed: u64, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let mut random = SplitMix::new(seed);
        let foca = swim(&config, config.boot.first_rank(), &mut random);
        let standing = if keys.is_empty() && config.sealing == Sealing::Required {
            Standing::NoKey
        } else {
            Standing::Active
        };
        let mut membership = Self {
            seal: Seal::new(config.boot, keys),
            records: Records::new(now + random.jittered(config.tuning.record_sync_interval)),
            exchange: Exchange::new(&config.name),
            foca,
            timers: Timers::default(),
            random,
            standing,
            members: BTreeMap::new(),
            peers: Peers::default(),
            conflict_until: None,
            conflicts_told: BTreeMap::new(),
            wrong_keys: BTreeSet::new(),
            farewell: None,
            heard: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            config,
        };
        if standing == Standing::NoKey {
            membership.tell(Event::NoKey);
        }
        Ok(membership)
    }

    /// Takes the keys as they are now. The first key brings a silent machine to life.
    ///
    /// # Errors
    ///
    /// No key, while the membership runs sealed: the keys in use are kept.
    pub fn set_keys(&mut self, keys: Keys, now: Instant) -> Result<(), KeyError> {
        self.wake(now);
        if keys.is_empty() && self.config.sealing == Sealing::Required {
            return if self.standing == Standing::NoKey {
                Ok(())
            } else {
                Err(KeyError::Missing)
            };
        }
        self.seal.set_keys(keys);
        self.wrong_keys.clear();
        if self.standing == Standing::NoKey {
            self.standing = Standing::Active;
            self.records.sync_at = now
                + self
                    .random
                    .jittered(self.config.tuning.record_sync_interval);
            self.peers.call_again(now);
            self.call_peers(now);
        }
        Ok(())
    }

    /// Says goodbye to every member, three times within 90 ms, and takes no further part. Keep the machine until
    /// [`Self::poll_timeout`] is `None`.
    pub fn leave(&mut self, now: Instant) {
        self.wake(now);
        if self.standing == Standing::Left {
            return;
        }
        let was_active = self.standing == Standing::Active;
        self.standing = Standing::Left;
        self.timers.clear();
        if was_active {
            self.farewell = Some((now, FAREWELL_ROUNDS));
            self.say_farewell(now);
        }
    }

    /// What is due is done.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.wake(now);
        for _ in 0..MAX_TIMERS_PER_TURN {
            let Some(timer) = self.timers.pop_due(now) else {
                break;
            };
            if self.is_refuted(&timer) {
                continue;
            }
            let mut wishes = Wishes::default();
            let result = self.foca.handle_timer(timer, &mut wishes);
            // A round without its middle step is what `Timers::forgive` leaves behind on purpose.
            if !matches!(result, Ok(()) | Err(foca::Error::IncompleteProbeCycle)) {
                self.counters.foca_errors += 1;
            }
            self.settle(wishes, now);
        }
        match self.standing {
            Standing::Active => {
                self.call_peers(now);
                self.push_records(now);
                self.compare_records(now);
                self.exchange_claims(now);
            }
            Standing::Conflict => self.call_peers(now),
            Standing::Left => self.say_farewell(now),
            Standing::NoKey => {}
        }
    }

    /// When [`Self::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.standing {
            Standing::NoKey => None,
            Standing::Conflict => self.peers.due_at,
            Standing::Left => self.farewell.map(|(at, _)| at),
            Standing::Active => {
                let sync = (!self.members.is_empty()).then_some(self.records.sync_at);
                [
                    self.timers.deadline(),
                    self.peers.due_at,
                    self.records.push_at,
                    self.exchange.due_at,
                    sync,
                ]
                .into_iter()
                .flatten()
                .min()
            }
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// An ICMP port-unreachable came from there. Unauthenticated, so it is only a failed direct probe: the probe of that member under
    /// way, if any, goes on through others at once.
    pub fn handle_unreachable(&mut self, address: SocketAddr, now: Instant) {
        self.wake(now);
        self.counters.unreachable += 1;
        if let Some(step) = self.timers.take_direct_probe(address) {
            self.with_foca(now, |foca, wishes| foca.handle_timer(step, wishes));
        }
    }

    /// Live members by name, without ourselves. While standing back from a conflict it is empty; see [`Self::standing`].
    #[must_use]
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// Whether another member was heard since the start (the start rule: until then, or 1 s, nothing is claimed).
    #[must_use]
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// What this node is to the others.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn me(&self) -> &Identity {
        self.foca.identity()
    }

    /// Called first by every input: notices that the process was stopped for a while.
    fn wake(&mut self, now: Instant) {
        let Some(deadline) = self.poll_timeout() else {
            return;
        };
        let by = now.saturating_duration_since(deadline);
        if by <= self.config.tuning.late_after {
            return;
        }
        self.timers
            .forgive(now, now + self.config.tuning.probe_interval);
        self.records.resume(now);
        self.exchange.resume(now);
        self.peers.resume(now);
        if let Some((at, _)) = &mut self.farewell {
            *at = now;
        }
        self.tell(Event::Late { by });
    }

    /// Whether this is the end of a suspicion to which the member has objected. foca (2.0) would rightly not declare it dead, but
    /// tell it that it is, and it would come back under another rank for nothing.
    fn is_refuted(&self, timer: &foca::Timer<Identity>) -> bool {
        let foca::Timer::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = timer
        else {
            return false;
        };
        !self.foca.iter_membership_state().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == foca::State::Suspect
        })
    }

    fn with_foca<R>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut Swim, &mut Wishes) -> Result<R, foca::Error>,
    ) {
        let mut wishes = Wishes::default();
        if act(&mut self.foca, &mut wishes).is_err() {
            self.counters.foca_errors += 1;
        }
        self.settle(wishes, now);
    }

    /// Does what foca asked for in one call.
    fn settle(&mut self, wishes: Wishes, now: Instant) {
        for (to, bytes) in wishes.sends {
            self.send(to, &Message::Foca(bytes));
        }
        for (after, timer) in wishes.timers {
            if !self.timers.push(now + after, timer) {
                self.counters.foca_errors += 1;
            }
        }
        for notification in wishes.notifications {
            match notification {
                OwnedNotification::MemberUp(id) => self.member_up(&id, now),
                OwnedNotification::MemberDown(id) => self.member_down(&id, now),
                OwnedNotification::Rename(before, after) => {
                    self.member_renamed(&before, &after, now)
                }
                OwnedNotification::Defunct => self.come_back(now),
                OwnedNotification::Active
                | OwnedNotification::Idle
                | OwnedNotification::Rejoin(_) => {}
            }
        }
    }

    fn member_up(&mut self, id: &Identity, now: Instant) {
        if id.is_namesake(self.me()) {
            return;
        }
        let first = self.members.is_empty();
        let name = id.name.to_string();
        let member = Member {
            address: id.address,
            boot: id.boot,
            record: Arc::from([]),
            since: now,
            record_sequence: 0,
        };
        self.members.insert(name.clone(), member);
        if first {
            self.records.sync_at = now
                + self
                    .random
                    .jittered(self.config.tuning.record_sync_interval);
        }
        self.records.push_to(&name, now);
        self.exchange.member_up(&name, id.boot, now);
        self.tell(Event::Up(name));
        if first {
            self.tell(Event::Joined);
        }
    }

    fn member_down(&mut self, id: &Identity, now: Instant) {
        let Some(member) = self.members.remove(&*id.name) else {
            return;
        };
        self.call_later(member.address, now);
        let name = id.name.to_string();
        self.records.forget(&name);
        self.exchange.member_gone(&name);
        let said_goodbye = self.known(id).is_some_and(|known| known.goodbye);
        self.tell(if said_goodbye {
            Event::Left(name)
        } else {
            Event::Down(name)
        });
        if self.members.is_empty() {
            self.tell(Event::Isolated);
        }
    }

    /// The same name under another identity: a restart, or the same boot under a higher rank.
    fn member_renamed(&mut self, before: &Identity, after: &Identity, now: Instant) {
        let name = after.name.to_string();
        let Some(member) = self.members.get_mut(&name) else {
            return;
        };
        member.address = after.address;
        if before.boot == after.boot {
            return;
        }
        member.boot = after.boot;
        member.since = now;
        member.record = Arc::from([]);
        member.record_sequence = 0;
        self.records.push_to(&name, now);
        if before.address != after.address {
            self.call_later(before.address, now);
            self.tell_conflict(&name, after.address, before.address, now);
        }
        self.tell(Event::Restarted(name.clone()));
        self.restart_claims(&name, after.boot, now);
    }

    /// The others take us for dead: come back under a higher rank.
    fn come_back(&mut self, now: Instant) {
        if self.standing != Standing::Active {
            return;
        }
        self.counters.rejoins += 1;
        self.tell(Event::Rejoined);
        self.rise_over(0, now);
    }

    /// Takes a rank over the given one and goes on with the members known.
    fn rise_over(&mut self, rank: u64, now: Instant) {
        let raised = self.me().raised_over(rank);
        if raised == *self.me() {
            return;
        }
        self.with_foca(now, |foca, wishes| foca.change_identity(raised, wishes));
        // Without this foca would stay silent until somebody speaks to the new identity, of which nobody may have heard.
        self.with_foca(now, |foca, wishes| {
            foca.apply_many(std::iter::empty(), true, wishes)
        });
    }

    fn say_farewell(&mut self, now: Instant) {
        let Some((at, rounds)) = self.farewell else {
            return;
        };
        if at > now {
            return;
        }
        let goodbye = Message::Leave {
            sender: self.me().clone(),
        };
        let addresses: Vec<SocketAddr> =
            self.members.values().map(|member| member.address).collect();
        addresses
            .into_iter()
            .for_each(|address| self.send(address, &goodbye));
        self.farewell = (rounds > 1).then(|| (now + FAREWELL_INTERVAL, rounds - 1));
    }

    /// What foca knows under the name of this identity, alive or down.
    fn known(&self, named: &Identity) -> Option<Known> {
        let member = self
            .foca
            .iter_membership_state()
            .find(|member| member.id().is_namesake(named))?;
        let alive = member.state() != foca::State::Down;
        Some(Known {
            identity: member.id().clone(),
            alive,
            goodbye: !alive && member.incarnation() == GOODBYE,
        })
    }

    fn send(&mut self, to: SocketAddr, message: &Message) {
        if self.transmits.len() >= MAX_TRANSMITS {
            self.counters.transmit_overflow += 1;
            return;
        }
        let Some(bytes) = self.seal.seal(&message.encode()) else {
            self.counters.transmit_overflow += 1;
            return;
        };
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes.len() as u64;
        self.transmits.push_back(Transmit { to, bytes });
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
            self.counters.event_overflow += 1;
        }
        self.events.push_back(event);
    }
}

/// What foca knows of a name.
#[derive(Debug, Clone)]
struct Known {
    identity: Identity,
    alive: bool,
    goodbye: bool,
}

/// A fresh instance of foca for this node.
fn swim(config: &Config, rank: u64, random: &mut SplitMix) -> Swim {
    let identity = Identity::new(
        Arc::from(config.name.as_str()),
        config.address,
        config.boot,
        rank,
    );
    Foca::new(
        identity,
        foca_config(config),
        SplitMix::new(random.next()),
        Codec,
    )
}

fn foca_config(config: &Config) -> foca::Config {
    let tuning = &config.tuning;
    let count = |number: usize| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    foca::Config {
        probe_period: tuning.probe_interval,
        probe_rtt: tuning.probe_timeout,
        num_indirect_probes: count(tuning.indirect_probes),
        max_transmissions: NonZeroU8::new(tuning.transmissions).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: tuning.suspicion,
        remove_down_after: Some(tuning.forget_down_after),
        // One byte less than a payload: our kind comes first.
        max_packet_size: count(MAX_PAYLOAD_BYTES - 1),
        notify_down_members: true,
        periodic_announce: Some(PeriodicParams {
            frequency: FEED_INTERVAL,
            num_members: NonZeroUsize::MIN,
        }),
        // `join` calls those who went down, with a handshake that finds them under any rank.
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams {
            frequency: tuning.gossip_interval,
            num_members: count(tuning.gossip_members),
        }),
    }
}

/// The incarnation of a member that said goodbye. foca never counts that far: it rejoins before.
const GOODBYE: foca::Incarnation = foca::Incarnation::MAX;

/// How often a random member is asked for the members it knows: a datagram full of names, for what gossip and calls did not bring.
const FEED_INTERVAL: Duration = Duration::from_secs(10);

/// Goodbyes to each member: with 5 % loss one in 8,000 misses all three, and hears it from another.
const FAREWELL_ROUNDS: u8 = 3;

/// Between the goodbyes.
const FAREWELL_INTERVAL: Duration = Duration::from_millis(30);

/// Datagrams waiting for the socket: a goodbye to all members and their last probes fit.
const MAX_TRANSMITS: usize = 2_048;

/// Events waiting to be taken: all members up and all down.
const MAX_EVENTS: usize = 4_096;

/// Timers dealt with in one turn, so that a turn ends.
const MAX_TIMERS_PER_TURN: usize = 256;

/// Names kept, alive or down: ten times the largest cluster this was measured with.
const MAX_NAMES: usize = 2_048;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::origin;
