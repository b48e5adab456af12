//! Thresholds, damping and slow start of one thing that is probed.

use super::desired::Settings;
use super::verdict::Cause;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A penalty halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// What one flip costs.
const FLIP_PENALTY: u32 = 1_000;

/// Above it, whoever goes down is held out: the third time down within a minute or two.
const HOLD_ABOVE: u32 = 3_500;

/// LIMIT: a penalty grows no further, so that it is forgotten within four minutes.
const PENALTY_MAX: u32 = 20_000;

/// The first hold; each further one is twice as long.
const HOLD_FIRST: Duration = Duration::from_secs(2);

/// LIMIT: the longest hold.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// How long the share grows after a hold.
const HELD_RAMP: Duration = Duration::from_secs(30);

/// Steps from a tenth to the whole: each is one change of the tables.
const RAMP_STEPS: u32 = 9;

/// What the thresholds make of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Unknown,
    Healthy,
    Suspect,
    Unhealthy,
}

/// How far a failure may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// Only be counted.
    Count,
    /// Raise suspicion and no more.
    Suspect,
    /// Take it down once there are enough of them.
    Fall,
}

#[derive(Clone, Debug)]
pub(super) struct Gauge {
    pub(super) level: Level,
    pub(super) since: Instant,
    pub(super) last_healthy: Option<Instant>,
    pub(super) cause: Cause,
    pub(super) reason: Arc<str>,
    pub(super) fails: u32,
    pub(super) passes: u32,
    down_since: Option<Instant>,
    penalty: u32,
    penalty_at: Instant,
    holds: u32,
    held_until: Option<Instant>,
    was_held: bool,
    ramp: Option<Ramp>,
}

#[derive(Clone, Copy, Debug)]
struct Ramp {
    whole: Duration,
    done: Duration,
    /// None while it stands still (suspect).
    running: Option<Instant>,
}

impl Ramp {
    fn elapsed(&self, now: Instant) -> Duration {
        let running = self.running.map(|at| now.saturating_duration_since(at));
        self.done.saturating_add(running.unwrap_or_default())
    }

    fn steps(&self, now: Instant) -> u32 {
        let elapsed = self.elapsed(now).as_nanos();
        let whole = self.whole.as_nanos().max(1);
        let steps = elapsed.saturating_mul(u128::from(RAMP_STEPS)) / whole;
        u32::try_from(steps).unwrap_or(RAMP_STEPS).min(RAMP_STEPS)
    }

    /// The next step; none while it stands still.
    fn next(&self, now: Instant) -> Option<Instant> {
        let at = self.whole * (self.steps(now) + 1) / RAMP_STEPS;
        // A nanosecond more than the division lost.
        let wait = at.saturating_sub(self.done) + Duration::from_nanos(1);
        self.running.map(|running| running + wait)
    }
}

impl Gauge {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: Level::Unknown,
            since: now,
            last_healthy: None,
            cause: Cause::None,
            reason: Arc::from("not probed yet"),
            fails: 0,
            passes: 0,
            down_since: None,
            penalty: 0,
            penalty_at: now,
            holds: 0,
            held_until: None,
            was_held: false,
            ramp: None,
        }
    }

    /// Connections may go there.
    pub(super) fn usable(&self) -> bool {
        matches!(self.level, Level::Healthy | Level::Suspect)
    }

    /// A pass.
    pub(super) fn pass(&mut self, settings: &Settings, why: &str, now: Instant) {
        self.fails = 0;
        self.passes = self.passes.saturating_add(1);
        match self.level {
            Level::Unknown => self.enter(Level::Healthy, now),
            Level::Healthy => {}
            Level::Suspect => {
                self.enter(Level::Healthy, now);
                if let Some(ramp) = &mut self.ramp {
                    ramp.running = Some(now);
                }
            }
            Level::Unhealthy => {
                if self.passes < settings.rise {
                    return;
                }
                if self.held_until.is_some_and(|until| now < until) {
                    self.cause = Cause::Held;
                    self.say(
                        "well again, and held out for a while because it has changed too often",
                    );
                    return;
                }
                self.admit(settings, now);
            }
        }
        self.last_healthy = Some(now);
        self.cause = Cause::None;
        self.say(why);
    }

    /// A failure.
    pub(super) fn fault(&mut self, s: &Settings, cause: Cause, why: &str, may: May, now: Instant) {
        self.passes = 0;
        self.fails = self.fails.saturating_add(1);
        if self.level == Level::Healthy {
            if may == May::Count {
                return;
            }
            self.enter(Level::Suspect, now);
            if let Some(ramp) = &mut self.ramp {
                ramp.done = ramp.elapsed(now);
                ramp.running = None;
            }
        }
        self.cause = cause;
        let falls = may == May::Fall && self.fails >= s.fall;
        if falls && self.level != Level::Unhealthy {
            self.say(&format!("{why} ({} in a row)", self.fails));
            self.down(now);
        } else if self.level != Level::Unhealthy || !self.reason.starts_with(why) {
            self.say(why);
        }
    }

    /// Down at once: an answer that says so, or a fast path.
    pub(super) fn force(&mut self, cause: Cause, why: &str, now: Instant) {
        self.passes = 0;
        self.cause = cause;
        self.say(why);
        if self.level != Level::Unhealthy {
            self.down(now);
        }
    }

    /// The hold may be over; true when it was and something came of it.
    pub(super) fn release(&mut self, settings: &Settings, now: Instant) -> bool {
        if self.held_until.is_none_or(|until| now < until) {
            return false;
        }
        self.held_until = None;
        let well = self.level == Level::Unhealthy && self.passes >= settings.rise;
        if well {
            self.admit(settings, now);
            self.last_healthy = Some(now);
            self.cause = Cause::None;
            self.say("well again after it was held out");
        }
        well
    }

    /// The end of the hold that has just begun, if one has.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Its share, percent.
    pub(super) fn weight(&mut self, now: Instant) -> u16 {
        let Some(ramp) = self.ramp else { return 100 };
        let steps = ramp.steps(now);
        if steps >= RAMP_STEPS {
            self.ramp = None;
        }
        u16::try_from(10 + 10 * steps).unwrap_or(100)
    }

    /// When something changes by itself.
    pub(super) fn alarm(&self, now: Instant) -> Option<Instant> {
        let ramp = self.ramp.and_then(|ramp| ramp.next(now));
        self.held_until.into_iter().chain(ramp).min()
    }

    /// A result is changing: the next probe comes soon.
    pub(super) fn changing(&self, settings: &Settings) -> bool {
        match self.level {
            Level::Unknown => self.fails < settings.fall,
            Level::Healthy | Level::Suspect => self.fails > 0 && self.fails < settings.fall,
            Level::Unhealthy => self.passes > 0 && self.passes < settings.rise,
        }
    }

    /// Down for longer than this.
    pub(super) fn down_for(&self, longer: Duration, now: Instant) -> bool {
        let down = self.down_since.filter(|_| self.passes == 0);
        down.is_some_and(|since| now.saturating_duration_since(since) > longer)
    }

    fn admit(&mut self, settings: &Settings, now: Instant) {
        self.note_flip(now);
        let whole = if self.was_held {
            HELD_RAMP.max(settings.slow_start)
        } else {
            settings.slow_start
        };
        self.was_held = false;
        self.held_until = None;
        self.ramp = (!whole.is_zero()).then_some(Ramp {
            whole,
            done: Duration::ZERO,
            running: Some(now),
        });
        self.down_since = None;
        self.enter(Level::Healthy, now);
    }

    fn down(&mut self, now: Instant) {
        // What was never up has not flipped.
        if self.level != Level::Unknown {
            self.note_flip(now);
            if self.penalty > HOLD_ABOVE {
                let hold = HOLD_FIRST.saturating_mul(1_u32 << self.holds.min(6));
                self.holds = self.holds.saturating_add(1);
                self.held_until = Some(now + hold.min(HOLD_MAX));
                self.was_held = true;
            } else {
                self.holds = 0;
            }
        }
        self.ramp = None;
        self.down_since = Some(now);
        self.enter(Level::Unhealthy, now);
    }

    fn note_flip(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.penalty_at);
        let halvings = u32::try_from(passed.as_secs() / HALF_LIFE.as_secs()).unwrap_or(u32::MAX);
        let rest = passed.saturating_sub(HALF_LIFE.saturating_mul(halvings));
        let whole = self.penalty.checked_shr(halvings).unwrap_or(0);
        // Straight between two halvings: from the whole to its half.
        let half = u64::from(whole / 2);
        let lost = half * u64::try_from(rest.as_millis()).unwrap_or(0)
            / u64::try_from(HALF_LIFE.as_millis()).unwrap_or(1);
        let left = whole.saturating_sub(u32::try_from(lost).unwrap_or(whole));
        self.penalty = left.saturating_add(FLIP_PENALTY).min(PENALTY_MAX);
        self.penalty_at = now;
    }

    fn enter(&mut self, level: Level, now: Instant) {
        self.level = level;
        self.since = now;
    }

    fn say(&mut self, why: &str) {
        if &*self.reason != why {
            self.reason = Arc::from(why);
        }
    }
}
