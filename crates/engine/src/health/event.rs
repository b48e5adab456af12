//! What is worth telling, and the history of each node.

use super::view::State;
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something worth telling a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthEvent {
    /// A node changed its state.
    Node {
        /// Which.
        node: String,
        /// In which family.
        family: Family,
        /// From.
        from: State,
        /// To.
        to: State,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// A Service can be served by a node, or cannot any more.
    Service {
        /// Which.
        service: NamespacedName,
        /// Where.
        node: String,
        /// From.
        from: State,
        /// To.
        to: State,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// It has changed too often and is held out.
    Held {
        /// Which node.
        node: String,
        /// The Service, if it is one on that node.
        service: Option<NamespacedName>,
        /// For how long.
        hold: Duration,
    },
    /// The health port of a Service answers for another one, or rubbish.
    BadAnswer {
        /// Whose port.
        service: NamespacedName,
        /// Where.
        node: String,
        /// It names another Service.
        wrong_service: bool,
        /// In words.
        reason: Arc<str>,
    },
    /// No node is healthy: for a Service of its own probes, or at all.
    AllBackendsUnhealthy {
        /// The Service; none: node probes.
        service: Option<NamespacedName>,
        /// The family, of node probes.
        family: Option<Family>,
    },
    /// One is again.
    BackendsBack {
        /// The Service; none: node probes.
        service: Option<NamespacedName>,
        /// The family, of node probes.
        family: Option<Family>,
    },
    /// This observer reaches too few nodes to be believed, or enough again.
    Isolated {
        /// It does not count now.
        isolated: bool,
        /// Nodes it reaches.
        reaches: usize,
        /// Of how many.
        of: usize,
    },
}

/// LIMIT: events that nobody has taken; 500 nodes in two families that all change at once fit.
const EVENTS_MAX: usize = 2_048;

/// LIMIT: lines of one node's history.
pub const HISTORY_MAX: usize = 100;

/// One change of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// In which family.
    pub family: Family,
    /// The Service, for what concerns one on this node.
    pub service: Option<NamespacedName>,
    /// From.
    pub from: State,
    /// To.
    pub to: State,
    /// Why, in words.
    pub reason: Arc<str>,
}

/// Events and history.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    events: VecDeque<HealthEvent>,
    pub(super) dropped: u64,
    lines: BTreeMap<String, VecDeque<Line>>,
}

impl Told {
    pub(super) fn event(&mut self, event: HealthEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.events.push_back(event);
    }

    pub(super) fn poll(&mut self) -> Option<HealthEvent> {
        self.events.pop_front()
    }

    pub(super) fn line(&mut self, node: &str, line: Line) {
        if !self.lines.contains_key(node) {
            self.lines.insert(node.to_owned(), VecDeque::new());
        }
        if let Some(lines) = self.lines.get_mut(node) {
            if lines.len() >= HISTORY_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    pub(super) fn lines(&self, node: &str) -> impl Iterator<Item = &Line> + '_ {
        self.lines.get(node).into_iter().flatten()
    }

    pub(super) fn forget(&mut self, node: &str) {
        self.lines.remove(node);
    }
}
