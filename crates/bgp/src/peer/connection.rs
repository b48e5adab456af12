//! One TCP connection: its octets in and out, its timers, and what was agreed on it.
//!
//! Owns the order of what leaves: the rest of a message that was begun, then OPEN, KEEPALIVE and NOTIFICATION, then
//! routes. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::collision::Direction;
use super::negotiate::Negotiated;
use super::nexthop::Endpoints;
use super::outbound::{Made, Outbound};
use super::timers::Timers;
use crate::decode::Decoder;
use crate::message::{Families, Family, Notification, Open, WireRules, encode_keepalive};

/// A connection, by a name that is never used twice by one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

/// A message that waits besides routes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Urgent {
    Open(Open),
    Keepalive,
    Notification(Notification),
}

/// A message that was made for sending, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Open,
    Keepalive,
    Notification,
    Route(Made),
}

/// The octets on their way out. At most one message is made ahead of what the socket takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    /// The message that is being handed out, and how much of it was.
    rest: Vec<u8>,
    handed_out: usize,
    /// LIMIT: at most one OPEN, one KEEPALIVE and one NOTIFICATION, which is the last.
    urgent: VecDeque<Urgent>,
}

impl Writer {
    pub(crate) fn open(&mut self, open: Open) {
        self.urgent.push_back(Urgent::Open(open));
    }

    /// One that waits already is enough.
    pub(crate) fn keepalive(&mut self) {
        if !self.urgent.contains(&Urgent::Keepalive) {
            self.urgent.push_back(Urgent::Keepalive);
        }
    }

    /// The last message: what else waits is not said any more.
    pub(crate) fn notify(&mut self, notification: Notification) {
        self.urgent
            .retain(|message| matches!(message, Urgent::Open(_)));
        self.urgent.push_back(Urgent::Notification(notification));
    }

    pub(crate) fn has_notification(&self) -> bool {
        matches!(self.urgent.back(), Some(Urgent::Notification(_)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.urgent.is_empty()
    }

    /// Hands out up to `budget` octets, making messages as it goes. Each message made is told to `made`.
    pub(crate) fn hand_out(
        &mut self,
        budget: usize,
        rules: &WireRules,
        mut routes: Option<&mut Outbound>,
        mut made: impl FnMut(Sent),
    ) -> Vec<u8> {
        let mut octets = Vec::new();
        while octets.len() < budget {
            if self.rest.is_empty() {
                match self.make(rules, routes.as_deref_mut()) {
                    Some(sent) => made(sent),
                    None => break,
                }
            }
            let left = self.rest.get(self.handed_out..).unwrap_or_default();
            let taken = left.get(..budget - octets.len()).unwrap_or(left);
            octets.extend_from_slice(taken);
            self.handed_out += taken.len();
            if self.handed_out >= self.rest.len() {
                self.rest.clear();
                self.handed_out = 0;
            }
        }
        if self.rest.is_empty() {
            // An idle session holds no buffer (BGP-81).
            self.rest = Vec::new();
        }
        octets
    }

    fn make(&mut self, rules: &WireRules, routes: Option<&mut Outbound>) -> Option<Sent> {
        match self.urgent.pop_front() {
            Some(Urgent::Open(open)) => {
                open.encode(&mut self.rest);
                Some(Sent::Open)
            }
            Some(Urgent::Keepalive) => {
                encode_keepalive(&mut self.rest);
                Some(Sent::Keepalive)
            }
            Some(Urgent::Notification(notification)) => {
                notification.encode(rules, &mut self.rest);
                Some(Sent::Notification)
            }
            None => routes?.next_message(&mut self.rest).map(Sent::Route),
        }
    }
}

/// What a connection that is up has beside its octets.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) direction: Direction,
    /// Known once TCP is up.
    pub(crate) ends: Option<Endpoints>,
    pub(crate) decoder: Decoder,
    pub(crate) writer: Writer,
    pub(crate) timers: Timers,
    /// Our OPEN, once sent.
    pub(crate) ours: Option<Open>,
    /// What holds, once both OPENs are seen.
    pub(crate) negotiated: Option<Negotiated>,
    /// What is announced, once Established.
    pub(crate) outbound: Option<Outbound>,
    pub(crate) established: Option<Instant>,
    /// Our KEEPALIVE waits for BFD (`bfdStrict`).
    pub(crate) waits_for_bfd: bool,
    /// Their KEEPALIVE came while ours waited.
    pub(crate) confirmed: bool,
    /// The caller said that it is closed: no action is needed for that.
    pub(crate) gone: bool,
    /// When a refresh of a family was last begun.
    pub(crate) refreshed: BTreeMap<Family, Instant>,
    /// Families that were asked for again too early.
    pub(crate) refresh_due: Families,
    /// The peer was seen to announce what we announce.
    pub(crate) noted_cover: bool,
    /// The peer was seen to send confederation segments.
    pub(crate) noted_confederation: bool,
}

impl Connection {
    pub(crate) fn new(id: ConnId, direction: Direction, ends: Option<Endpoints>) -> Connection {
        Connection {
            id,
            direction,
            ends,
            decoder: Decoder::default(),
            writer: Writer::default(),
            timers: Timers::default(),
            ours: None,
            negotiated: None,
            outbound: None,
            established: None,
            waits_for_bfd: false,
            confirmed: false,
            gone: false,
            refreshed: BTreeMap::new(),
            refresh_due: Families::default(),
            noted_cover: false,
            noted_confederation: false,
        }
    }

    pub(crate) fn rules(&self) -> WireRules {
        self.negotiated
            .as_ref()
            .map(|negotiated| negotiated.rules)
            .unwrap_or_default()
    }

    /// Something waits to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        !self.writer.is_empty()
            || self
                .outbound
                .as_ref()
                .is_some_and(|outbound| !outbound.is_idle())
    }
}
