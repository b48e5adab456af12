//! One session: its state variables (RFC 5880 §6.8.1), its poll sequence, and when it sends.
//!
//! Owns everything that belongs to one session but its place among the others. Does not look at addresses, TTLs or
//! discriminators of received packets, which are the endpoint's, and keeps no queue: it says when it is due and
//! builds the packet from what is true when asked.

pub(crate) mod fsm;
mod timing;

use std::time::{Duration, Instant};

use crate::config::{Profile, SessionKey};
use crate::counters::Drops;
use crate::packet::{Diagnostic, Discriminator, Packet, State};
use crate::random::SplitMix;
use crate::status::{Cause, StateChange, Status};
use fsm::{Trigger, transition};
use timing::{Guard, Intervals, jittered};

pub(crate) use timing::GUARD;

/// Packets that say goodbye when the process stops, and the pause between them (BFD-23).
const GOODBYES: u8 = 3;
const GOODBYE_PAUSE: Duration = Duration::from_millis(10);
/// The shortest goodbye of a session that is not wanted any more (BFD-23).
const CLOSING_MIN: Duration = Duration::from_secs(1);

/// What the peer last told of itself.
#[derive(Clone, Copy, Debug)]
struct Remote {
    state: State,
    diagnostic: Diagnostic,
    discriminator: Option<Discriminator>,
    min_tx_us: u32,
    /// Starts at 1 (RFC 5880 §6.8.1), so that the first packets are not held back.
    min_rx_us: u32,
    multiplier: u8,
    demand: bool,
    control_plane_independent: bool,
}

impl Remote {
    const UNKNOWN: Self = Remote {
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        discriminator: None,
        min_tx_us: 0,
        min_rx_us: 1,
        multiplier: 0,
        demand: false,
        control_plane_independent: false,
    };
}

/// What a peer must learn at once when it changes (BFD-37).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contents {
    state: State,
    diagnostic: Diagnostic,
    intervals: Intervals,
    multiplier: u8,
}

/// On the way out.
#[derive(Clone, Copy, Debug)]
struct Closing {
    until: Instant,
    /// Goodbyes still to send at [`GOODBYE_PAUSE`], when the process stops.
    goodbyes: u8,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) discriminator: Discriminator,
    pub(crate) source_port: u16,
    pub(crate) drops: Drops,
    /// Own packets that came back while Down, since the discriminator was chosen.
    pub(crate) reflections: u8,
    /// The entry of this session in the endpoint's deadlines.
    pub(crate) scheduled: Option<Instant>,
    /// Whether the endpoint has it in its queue of senders.
    pub(crate) queued: bool,
    profile: Profile,
    state: State,
    diagnostic: Diagnostic,
    since: Instant,
    remote: Remote,
    /// What our packets say.
    advertised: Intervals,
    /// What we act on: differs from `advertised` only while Up and polling (RFC 5880 §6.8.3).
    active: Intervals,
    /// P is set until F comes.
    polling: bool,
    /// The poll's first packet is still to go.
    poll_prompt: bool,
    last_received: Option<Instant>,
    detect_at: Option<Instant>,
    /// The last packet but answers to P: the rhythm counts from it.
    last_sent: Option<Instant>,
    rhythm: Option<Duration>,
    periodic_at: Option<Instant>,
    prompt_at: Option<Instant>,
    prompt_guard: Guard,
    told: Option<Contents>,
    final_due: bool,
    last_final: Option<Instant>,
    closing: Option<Closing>,
    received: u64,
    sent: u64,
    ups: u64,
    downs: u64,
}

/// The clock a session rounds its packets to: the endpoint's start, and its generator.
pub(crate) struct Pace<'a> {
    pub(crate) epoch: Instant,
    pub(crate) random: &'a mut SplitMix,
}

impl Session {
    pub(crate) fn new(
        key: SessionKey,
        profile: Profile,
        discriminator: Discriminator,
        source_port: u16,
        now: Instant,
    ) -> Self {
        let intervals = Intervals::of(&profile, State::Down);
        Session {
            key,
            discriminator,
            source_port,
            drops: Drops::default(),
            reflections: 0,
            scheduled: None,
            queued: false,
            profile,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            since: now,
            remote: Remote::UNKNOWN,
            advertised: intervals,
            active: intervals,
            polling: false,
            poll_prompt: false,
            last_received: None,
            detect_at: None,
            last_sent: None,
            rhythm: None,
            periodic_at: None,
            prompt_at: None,
            prompt_guard: Guard::new(now),
            told: None,
            final_due: false,
            last_final: None,
            closing: None,
            received: 0,
            sent: 0,
            ups: 0,
            downs: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    pub(crate) fn minimum_ttl(&self) -> u8 {
        self.profile.minimum_ttl
    }

    pub(crate) fn remote_discriminator(&self) -> Option<Discriminator> {
        self.remote.discriminator
    }

    /// Takes a profile; on a live session without leaving its state (BFD-41).
    pub(crate) fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.retime();
    }

    /// Wanted again after [`close`](Self::close).
    pub(crate) fn reopen(&mut self, now: Instant) -> Option<StateChange> {
        self.closing = None;
        self.fire(Trigger::Enable, now)
    }

    /// Not wanted any more: AdminDown, said for as long as the peer would need to miss us.
    pub(crate) fn close(&mut self, now: Instant) -> Option<StateChange> {
        let until = now + self.remote_detection_time().max(CLOSING_MIN);
        let goodbyes = 0;
        self.closing = Some(Closing { until, goodbyes });
        self.fire(Trigger::Disable, now)
    }

    /// The process stops: AdminDown, said three times, and gone.
    pub(crate) fn stop(&mut self, now: Instant) -> Option<StateChange> {
        self.closing = Some(Closing {
            until: now + GOODBYE_PAUSE * u32::from(GOODBYES),
            goodbyes: GOODBYES,
        });
        let change = self.fire(Trigger::Disable, now);
        self.prompt_at = Some(now);
        change
    }

    /// The interface or our address is gone (BFD-64).
    pub(crate) fn path_down(&mut self, now: Instant) -> Option<StateChange> {
        self.fire(Trigger::PathDown, now)
    }

    /// A packet that passed every check, received at `received` and handed in at `now`. The silence before it counts
    /// first, so that a late reader comes to the same end as a quick one. False: noted, but we hold the session down.
    pub(crate) fn handle(
        &mut self,
        packet: &Packet,
        received: Instant,
        now: Instant,
        mut told: impl FnMut(StateChange),
    ) -> Handled {
        let received = received.min(now);
        if self.detect_at.is_some_and(|at| at <= received) {
            self.expire(now).map(&mut told);
        }
        // RFC 5880 §6.8.6, in its order.
        self.received += 1;
        self.remote = Remote {
            state: packet.state,
            diagnostic: packet.diagnostic,
            discriminator: Some(packet.my_discriminator),
            min_tx_us: packet.desired_min_tx_us,
            min_rx_us: packet.required_min_rx_us,
            multiplier: packet.multiplier,
            demand: packet.demand,
            control_plane_independent: packet.control_plane_independent,
        };
        if packet.finished && self.polling {
            self.polling = false;
            self.poll_prompt = false;
            self.active = self.advertised;
            self.retime();
        }
        let last = self.last_received.map_or(received, |l| l.max(received));
        self.last_received = Some(last);
        self.detect_at = self.detection_time().map(|time| last + time);
        if self.state == State::AdminDown {
            return Handled::AdminDown;
        }
        if let Some(change) = self.fire(Trigger::Received(packet.state), now) {
            told(change);
        }
        if !packet.poll {
            return Handled::Taken;
        }
        if self
            .last_final
            .is_some_and(|at| now.saturating_duration_since(at) < GUARD)
        {
            return Handled::FinalWithheld;
        }
        self.final_due = true;
        self.last_final = Some(now);
        Handled::Taken
    }

    /// Lets timers fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<StateChange> {
        if self.detect_at.is_some_and(|at| at <= now) {
            return self.expire(now);
        }
        None
    }

    /// Whether the goodbye is over.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        self.closing.is_some_and(|c| c.until <= now)
    }

    /// The detection time passed in silence: the peer's discriminator and wishes are forgotten (RFC 5880 §6.8.1).
    fn expire(&mut self, now: Instant) -> Option<StateChange> {
        let change = self.fire(Trigger::DetectionTimeExpired, now);
        self.remote = Remote {
            diagnostic: self.remote.diagnostic,
            ..Remote::UNKNOWN
        };
        self.detect_at = None;
        change
    }

    fn fire(&mut self, trigger: Trigger, now: Instant) -> Option<StateChange> {
        let (to, diagnostic, cause) = transition(self.state, trigger)?;
        let from = std::mem::replace(&mut self.state, to);
        self.diagnostic = diagnostic.unwrap_or(self.diagnostic);
        self.since = now;
        self.reflections = 0;
        self.ups += u64::from(to == State::Up);
        self.downs += u64::from(from == State::Up);
        let change = self.change(from, to, cause, now);
        self.retime();
        Some(change)
    }

    fn change(&self, from: State, to: State, cause: Cause, now: Instant) -> StateChange {
        StateChange {
            key: self.key,
            from,
            to,
            cause,
            local_diagnostic: self.diagnostic,
            remote_diagnostic: self.remote.diagnostic,
            detection_time: self.detection_time(),
            silence: self
                .last_received
                .map(|at| now.saturating_duration_since(at)),
        }
    }

    /// Brings what we say and what we do to what is wanted now.
    ///
    /// DIFFERS: RFC 5880 §6.8.3 polls after a change in any state. While not Up both directions take effect at once
    /// and every packet carries the values, so a poll would only add packets; it starts with Up (BFD-33, BFD-35).
    fn retime(&mut self) {
        let wanted = Intervals::of(&self.profile, self.state);
        if self.state != State::Up {
            self.polling = false;
            self.poll_prompt = false;
            self.advertised = wanted;
            self.active = wanted;
        } else if !self.polling && wanted != self.advertised {
            self.advertised = wanted;
            // RFC 5880 §6.8.3: slower sending and quicker detection wait for the peer's F; the rest does not.
            self.active = Intervals {
                min_tx_us: self.active.min_tx_us.min(wanted.min_tx_us),
                min_rx_us: self.active.min_rx_us.max(wanted.min_rx_us),
            };
            self.polling = true;
            self.poll_prompt = true;
        }
        if let (Some(last), Some(time)) = (self.last_received, self.detection_time()) {
            self.detect_at = self.detect_at.map(|_| last + time);
        }
    }

    fn contents(&self) -> Contents {
        Contents {
            state: self.state,
            diagnostic: self.diagnostic,
            intervals: self.advertised,
            multiplier: self.profile.detect_multiplier,
        }
    }

    /// Decides when the next packet goes; to be called after everything that changes the session.
    pub(crate) fn schedule(&mut self, now: Instant, pace: &mut Pace<'_>) {
        if self.profile.passive && self.remote.discriminator.is_none() {
            // Nobody to answer (BFD-26); what was said to a peer now forgotten is said anew to the next.
            self.periodic_at = None;
            self.prompt_at = None;
            self.rhythm = None;
            self.told = None;
            return;
        }
        let interval = self.transmit_interval();
        if interval != self.rhythm || interval.is_some() && self.periodic_at.is_none() {
            self.rhythm = interval;
            self.periodic_at = interval.map(|interval| {
                let from = self.last_sent.unwrap_or(now);
                jittered(from, interval, self.profile.detect_multiplier, pace)
            });
        }
        if self.poll_prompt || self.told != Some(self.contents()) {
            let guarded = self.prompt_guard.next(now);
            self.prompt_at = Some(self.prompt_at.map_or(guarded, |at| at.min(guarded)));
        } else if self.closing.is_none_or(|c| c.goodbyes == 0) {
            self.prompt_at = None;
        }
    }

    /// Whether a packet is to be built now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.final_due || passed(self.prompt_at) || passed(self.periodic_at)
    }

    /// The next moment at which something is to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [
            self.detect_at,
            self.prompt_at,
            self.periodic_at,
            self.closing.map(|c| c.until),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The packet that is due, from what is true now; the answer to a P first (BFD-36).
    pub(crate) fn transmit(&mut self, now: Instant, pace: &mut Pace<'_>) -> Option<Packet> {
        if !self.is_due(now) {
            return None;
        }
        self.sent += 1;
        self.told = Some(self.contents());
        if std::mem::take(&mut self.final_due) {
            self.schedule(now, pace);
            return Some(self.packet(false, true));
        }
        if self.prompt_at.is_some_and(|at| at <= now) {
            self.prompt_guard.take(now);
        }
        self.poll_prompt = false;
        self.last_sent = Some(now);
        self.prompt_at = None;
        self.periodic_at = None;
        if let Some(closing) = self.closing.as_mut().filter(|c| c.goodbyes > 0) {
            closing.goodbyes -= 1;
            self.prompt_at = (closing.goodbyes > 0).then(|| now + GOODBYE_PAUSE);
        }
        self.schedule(now, pace);
        Some(self.packet(self.polling, false))
    }

    fn packet(&self, poll: bool, finished: bool) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll,
            finished,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            multiplier: self.profile.detect_multiplier.max(1),
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx_us: self.advertised.min_tx_us,
            required_min_rx_us: self.advertised.min_rx_us,
            required_min_echo_rx_us: 0,
        }
    }

    pub(crate) fn status(&self) -> Status {
        let us = |us: u32| Duration::from_micros(u64::from(us));
        Status {
            key: self.key,
            profile: self.profile,
            state: self.state,
            since: self.since,
            remote_state: self.remote.state,
            local_diagnostic: self.diagnostic,
            remote_diagnostic: self.remote.diagnostic,
            local_discriminator: self.discriminator,
            remote_discriminator: self.remote.discriminator,
            source_port: self.source_port,
            transmit_interval: self.transmit_interval(),
            detection_time: self.detection_time(),
            remote_detection_time: self.remote_detection_time(),
            remote_multiplier: self.remote.multiplier,
            remote_desired_min_tx: us(self.remote.min_tx_us),
            remote_required_min_rx: us(self.remote.min_rx_us),
            remote_control_plane_independent: self.remote.control_plane_independent,
            polling: self.polling,
            closing: self.closing.is_some(),
            received: self.received,
            sent: self.sent,
            last_received: self.last_received,
            ups: self.ups,
            downs: self.downs,
            drops: self.drops,
        }
    }
}

/// What became of a packet that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    Taken,
    /// Taken, but its P is not answered (BFD-36).
    FinalWithheld,
    /// Noted only (BFD-23).
    AdminDown,
}
