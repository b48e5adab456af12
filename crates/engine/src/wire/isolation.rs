//! A node that is cut off gives up (L2-57).
//!
//! Fewer than half of the known members in reach, and the default gateway silent: then the
//! trouble is here, and the others have taken over. With the gateway in reach both halves
//! keep serving, which is what the hosts of each half need. A node without a default
//! gateway cannot tell the two apart and keeps serving.
//!
//! Owns the verdict and when the gateway is asked. Does not ask itself: the shell does.

use std::time::{Duration, Instant};

/// The gateway is asked this often while the verdict is open.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// … and this often once it is given, or while the gateway answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Silence of the gateway for this long is the verdict: three questions unanswered.
const SILENCE: Duration = Duration::from_millis(300);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Isolation {
    gateway: bool,
    /// In the minority since then.
    since: Option<Instant>,
    /// The gateway was last heard.
    heard: Option<Instant>,
    /// Asked next.
    ask_at: Option<Instant>,
    isolated: bool,
}

impl Isolation {
    /// Whether the node has a default gateway at all.
    pub(super) fn set_gateway(&mut self, there: bool) {
        self.gateway = there;
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// Looks at the members in reach, this node among them, and those known; true when the
    /// gateway is to be asked.
    pub(super) fn turn(&mut self, reached: usize, known: usize, now: Instant) -> bool {
        if !self.gateway || reached.saturating_mul(2) >= known {
            *self = Self {
                gateway: self.gateway,
                ..Self::default()
            };
            return false;
        }
        self.since.get_or_insert(now);
        self.isolated = self.verdict_at().is_some_and(|at| at <= now);
        let ask = self.ask_at.is_none_or(|at| at <= now);
        if ask {
            let answered = self.heard.is_some_and(|heard| now < heard + LOOK_EVERY);
            let rest = self.isolated || answered;
            self.ask_at = Some(now + if rest { LOOK_EVERY } else { PROBE_EVERY });
        }
        ask
    }

    /// When silence is enough: an answer counts until the next question has had its time.
    fn verdict_at(&self) -> Option<Instant> {
        let since = self.since?;
        let answered = self.heard.filter(|heard| *heard >= since);
        Some(answered.map_or(since, |heard| heard + LOOK_EVERY) + SILENCE)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let verdict = self.verdict_at().filter(|_| !self.isolated);
        [self.ask_at, verdict].into_iter().flatten().min()
    }
}
