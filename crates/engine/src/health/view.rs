//! What the machine shows: the health of every node and of the Services that are probed for themselves.

use super::probe::Rung;
use super::verdict::Cause;
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// The states of design/health.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not probed yet: admitted after one pass.
    #[default]
    Unknown,
    /// New connections may go there.
    Healthy,
    /// It has failed, and not often enough: as before, and its share grows no further.
    Suspect,
    /// No new connection.
    Unhealthy,
    /// It is being emptied: nothing new, what is established is kept until then.
    Draining {
        /// When its flows are forgotten.
        until: Instant,
    },
    /// Left out by its label; what is established is kept until then.
    Excluded {
        /// When its flows are forgotten.
        until: Instant,
    },
    /// Its Node is gone.
    Removed,
}

impl State {
    /// For labels and people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Unhealthy => "unhealthy",
            Self::Draining { .. } => "draining",
            Self::Excluded { .. } => "excluded",
            Self::Removed => "removed",
        }
    }

    /// Every state's word.
    pub const ALL: [&'static str; 7] = [
        "unknown",
        "healthy",
        "suspect",
        "unhealthy",
        "draining",
        "excluded",
        "removed",
    ];

    /// New connections may go there.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::Suspect)
    }
}

/// One node in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// Its InternalIP of the family.
    pub address: IpAddr,
    /// The state.
    pub state: State,
    /// Why, for machines.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
    /// When it last became or was told healthy before it stopped being so; none: never.
    pub last_healthy: Option<Instant>,
    /// The rung the last probe stood on.
    pub rung: Option<Rung>,
    /// Why, in words.
    pub reason: Arc<str>,
    /// Its share, percent: 10 to 100, growing after it returned.
    pub weight: u16,
    /// Two that count agree that it is dead.
    pub confirmed_dead: bool,
}

/// One Service on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceHealth {
    /// The state; only the first four occur.
    pub state: State,
    /// Why, for machines.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
    /// When it could serve last; none: never.
    pub last_healthy: Option<Instant>,
    /// Why, in words.
    pub reason: Arc<str>,
    /// Its share, percent.
    pub weight: u16,
    /// Endpoints there, at least 1; follows what is told by no more than a factor of two a second.
    pub endpoints: u16,
}

/// This machine as an observer among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observer {
    /// Other nodes that it reaches.
    pub reaches: usize,
    /// Other nodes that it has tried.
    pub of: usize,
    /// It reaches more than half of them, so what it says counts.
    pub counts: bool,
    /// It does not, and there are others who may: silence takes no node down.
    pub frozen: bool,
}

/// All of it. A value; the pointer changes only when something in it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthView {
    /// By node name.
    pub nodes: BTreeMap<String, Arc<BTreeMap<Family, NodeHealth>>>,
    /// Services that are probed for themselves, by node name.
    pub services: BTreeMap<NamespacedName, Arc<BTreeMap<String, ServiceHealth>>>,
    /// Node addresses whose flows are to be forgotten: confirmed dead, out of service, removed, or drained to the end.
    pub dead: BTreeSet<IpAddr>,
    /// Node addresses that drain, and until when their flows are kept.
    pub draining: BTreeMap<IpAddr, Instant>,
    /// This observer.
    pub observer: Observer,
    /// Every node has been tried once: what is unknown now is new.
    pub settled: bool,
}

impl HealthView {
    /// Whether a Service that is probed for itself can be served by a node, and through whom it may be announced
    /// (policy Local); none while it is not known. Suspicion alone takes nobody out.
    pub fn serves(&self, service: &NamespacedName, node: &str) -> Option<bool> {
        let state = self.services.get(service)?.get(node)?.state;
        match state {
            State::Unknown => None,
            state => Some(state.is_usable()),
        }
    }

    /// One node in one family.
    pub fn node(&self, name: &str, family: Family) -> Option<&NodeHealth> {
        self.nodes.get(name)?.get(&family)
    }
}
