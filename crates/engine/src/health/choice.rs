//! Who gets new connections of a Service: a pure function of the view, with the panic policies.

use super::verdict::Cause;
use super::view::{HealthView, NodeHealth, ServiceHealth, State};
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What to do when too few nodes are healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PanicPolicy {
    /// `Closed` where every node of a Local Service has said itself that it has no endpoint, `Open` otherwise.
    #[default]
    Auto,
    /// Use every node that is not excluded.
    Open,
    /// Use nobody: connections are refused.
    Closed,
    /// Use nobody and do not announce the address from here.
    Withdraw,
}

/// When to panic, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Panic {
    /// How.
    pub policy: PanicPolicy,
    /// Percent of the nodes that have to be healthy; 0: one of them.
    pub threshold: u8,
}

/// How shares are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weights {
    /// By the endpoints of each node where they are known (Local).
    #[default]
    Auto,
    /// All alike, but for slow start.
    Equal,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The family of the address.
    pub family: Family,
    /// The Service.
    pub service: &'a NamespacedName,
    /// It is probed for itself: policy Local, or an application probe.
    pub own_check: bool,
    /// The only nodes that can serve (Local: those with endpoints, by the EndpointSlices); none: every node.
    pub candidates: Option<&'a BTreeSet<String>>,
    /// The policy.
    pub panic: Panic,
    /// The shares.
    pub weights: Weights,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub node: String,
    /// Its InternalIP.
    pub address: IpAddr,
    /// It gets new connections.
    pub up: bool,
    /// Its share, 1..=1000.
    pub weight: u16,
}

/// How the choice came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Healthy nodes.
    Healthy,
    /// Not every node has been tried yet: what is not known to be down is used. Whoever has a table already keeps it.
    Unsettled,
    /// Only nodes whose kube-proxy is gone: their rules still work.
    Stale,
    /// Too few are healthy: every node that is not excluded.
    PanicOpen,
    /// Too few are healthy: nobody.
    PanicClosed,
    /// Too few are healthy: nobody, and the address is not announced from here.
    Withdraw,
}

impl Mode {
    /// For labels and people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unsettled => "unsettled",
            Self::Stale => "stale",
            Self::PanicOpen => "panicOpen",
            Self::PanicClosed => "panicClosed",
            Self::Withdraw => "withdraw",
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Every node of the family that is neither removed nor, for a Local Service, without endpoints; by name, those
    /// that are down too, so that they keep their places in the slots.
    pub targets: Vec<Chosen>,
    /// How.
    pub mode: Mode,
}

/// Share of a whole node; slow start and endpoint counts are fractions and multiples of it.
const WHOLE: u32 = 100;

/// In panic, who was healthy within this of the last that was is preferred.
const RECENT: Duration = Duration::from_secs(5);

/// The share of the others then, percent.
const STALE_SHARE: u32 = 10;

struct Candidate<'a> {
    name: &'a str,
    node: &'a NodeHealth,
    own: Option<&'a ServiceHealth>,
    asked: bool,
}

impl Candidate<'_> {
    /// The worse of node and Service: what may get connections has to be well in both.
    fn is_healthy(&self) -> bool {
        match (self.asked, self.own) {
            // The Service's own probe is the first rung; the node's word counts only where it is policy.
            (true, Some(own)) => own.state.is_usable() && !self.barred(),
            (true, None) => false,
            (false, _) => self.node.state.is_usable(),
        }
    }

    /// The node itself is not to get anything, whatever its probes say.
    fn barred(&self) -> bool {
        let left = matches!(
            self.node.state,
            State::Draining { .. } | State::Excluded { .. } | State::Removed
        );
        left || self.out()
    }

    fn out(&self) -> bool {
        let policy = matches!(self.node.cause, Cause::OutOfService | Cause::LinkDown);
        self.node.confirmed_dead || policy
    }

    fn is_unknown(&self) -> bool {
        let state = match (self.asked, self.own) {
            (true, own) => own.map_or(State::Unknown, |own| own.state),
            (false, _) => self.node.state,
        };
        state == State::Unknown && !self.barred()
    }

    fn cause(&self) -> Cause {
        match (self.asked, self.own) {
            (true, Some(own)) => own.cause,
            _ => self.node.cause,
        }
    }

    fn is_stale(&self) -> bool {
        self.cause() == Cause::ProxyGone && !self.barred()
    }

    fn last_healthy(&self) -> Option<Instant> {
        match (self.asked, self.own) {
            (true, Some(own)) => own.last_healthy,
            _ => self.node.last_healthy,
        }
    }

    fn share(&self, weights: Weights) -> u32 {
        let ramp = u32::from(self.node.weight.min(self.own.map_or(100, |own| own.weight)));
        let endpoints = match (weights, self.own) {
            (Weights::Auto, Some(own)) => u32::from(own.endpoints.max(1)),
            _ => 1,
        };
        ramp.saturating_mul(endpoints)
    }
}

/// Who gets new connections.
pub fn choice(view: &HealthView, ask: &Ask<'_>) -> Choice {
    let candidates = candidates(view, ask);
    let healthy = candidates.iter().filter(|c| c.is_healthy()).count();
    let needed = candidates.len() * usize::from(ask.panic.threshold.min(100));
    let enough = healthy > 0 && healthy * 100 >= needed;
    let unknown = candidates.iter().any(Candidate::is_unknown);
    let mode = if enough && (view.settled || !unknown) {
        Mode::Healthy
    } else if unknown && (!view.settled || healthy == 0 && ask.own_check) {
        Mode::Unsettled
    } else if enough {
        Mode::Healthy
    } else if healthy == 0 && candidates.iter().any(Candidate::is_stale) {
        Mode::Stale
    } else {
        panic_mode(ask, &candidates)
    };
    let newest = candidates.iter().filter_map(Candidate::last_healthy).max();
    let alive = candidates.iter().any(|c| !c.out() && !excluded(c));
    let up = |c: &Candidate<'_>| match mode {
        Mode::Healthy => c.is_healthy(),
        Mode::Unsettled => c.is_healthy() || c.is_unknown(),
        Mode::Stale => c.is_stale(),
        Mode::PanicOpen => !excluded(c) && (!c.out() || !alive),
        Mode::PanicClosed | Mode::Withdraw => false,
    };
    let share = |c: &Candidate<'_>| match mode {
        Mode::PanicOpen => {
            let recent = c.is_healthy()
                || c.last_healthy()
                    .zip(newest)
                    .is_some_and(|(own, newest)| newest.saturating_duration_since(own) <= RECENT);
            let none = newest.is_none();
            if recent || none { WHOLE } else { STALE_SHARE }
        }
        _ => c.share(ask.weights),
    };
    let mut targets: Vec<(Chosen, u32)> = candidates
        .iter()
        .map(|c| {
            let chosen = Chosen {
                node: c.name.to_owned(),
                address: c.node.address,
                up: up(c),
                weight: 1,
            };
            (chosen, share(c))
        })
        .collect();
    scale(&mut targets);
    Choice {
        targets: targets.into_iter().map(|(chosen, _)| chosen).collect(),
        mode,
    }
}

fn excluded(candidate: &Candidate<'_>) -> bool {
    matches!(candidate.node.state, State::Excluded { .. })
}

fn panic_mode(ask: &Ask<'_>, candidates: &[Candidate<'_>]) -> Mode {
    let clean = |c: &Candidate<'_>| c.cause() == Cause::CleanNo;
    match ask.panic.policy {
        PanicPolicy::Open => Mode::PanicOpen,
        PanicPolicy::Closed => Mode::PanicClosed,
        PanicPolicy::Withdraw => Mode::Withdraw,
        // Nobody can serve, said by each or by the EndpointSlices.
        PanicPolicy::Auto if ask.own_check && candidates.iter().all(clean) => Mode::PanicClosed,
        PanicPolicy::Auto => Mode::PanicOpen,
    }
}

fn candidates<'a>(view: &'a HealthView, ask: &Ask<'_>) -> Vec<Candidate<'a>> {
    let own = ask
        .own_check
        .then(|| view.services.get(ask.service))
        .flatten();
    let named = |name: &str| ask.candidates.is_none_or(|set| set.contains(name));
    view.nodes
        .iter()
        .filter(|(name, _)| named(name))
        .filter_map(|(name, families)| {
            let node = families.get(&ask.family)?;
            (node.state != State::Removed).then(|| Candidate {
                name,
                node,
                own: own.and_then(|nodes| nodes.get(name)),
                asked: ask.own_check,
            })
        })
        .collect()
}

/// Shares as weights of 1..=1000 in proportion; equal shares stay equal, and whole ones are 100 where they can be,
/// so that Services with equal sets share a slot table.
fn scale(targets: &mut [(Chosen, u32)]) {
    let largest = targets
        .iter()
        .filter(|(chosen, _)| chosen.up)
        .map(|(_, share)| *share)
        .max()
        .unwrap_or(WHOLE)
        .max(1);
    for (chosen, share) in targets {
        let weight = if chosen.up {
            let scaled = u64::from(*share) * 1000 / u64::from(largest);
            u16::try_from(scaled.clamp(1, 1000)).unwrap_or(1000)
        } else {
            // A place in the slots for when it is back.
            1000
        };
        chosen.weight = weight;
    }
}
