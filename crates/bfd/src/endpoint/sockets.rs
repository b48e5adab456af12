//! Which sockets the sessions need: one to receive per family, port and VRF, one to send per session.
//!
//! Owns the source ports. Opens nothing: the shell does, and says when a port is taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::config::Mode;
use crate::random::SplitMix;
use crate::session::Session;

use super::SessionId;

/// Source ports (RFC 5881 §4).
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A socket to receive on (BFD-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receiver {
    /// IPv6, else IPv4.
    pub ipv6: bool,
    /// The port.
    pub mode: Mode,
    /// Bound to this VRF device; `None`: to none.
    pub vrf: Option<u32>,
}

/// A session's socket to send from, with TTL 255 (BFD-10, BFD-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// The address to bind to; `None`: the kernel chooses.
    pub local: Option<IpAddr>,
    /// The source port.
    pub source_port: u16,
    /// Where all its packets go.
    pub peer: IpAddr,
    /// To this port.
    pub mode: Mode,
    /// Bound to this interface; for a link-local peer also its scope.
    pub interface: Option<u32>,
    /// Bound to this VRF device when there is no interface.
    pub vrf: Option<u32>,
}

/// Something to do that is not sending a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a receive socket. Failing is a problem of the sessions concerned; to be tried again every 30 s.
    OpenReceiver(Receiver),
    /// Close it.
    CloseReceiver(Receiver),
    /// Open a session's socket, in place of an earlier one. A taken port is told by
    /// [`Endpoint::port_taken`](super::Endpoint::port_taken).
    Open(SessionId, Socket),
    /// Close it, after everything handed out by `poll_transmit` was sent.
    Close(SessionId),
}

#[derive(Debug)]
pub(super) struct Sockets {
    /// Sessions that need each receiver.
    receivers: BTreeMap<Receiver, BTreeSet<SessionId>>,
    ports: BTreeSet<u16>,
    random: SplitMix,
    /// What is to be told. Bounded: the newest word on each socket replaces the ones before it.
    actions: VecDeque<Action>,
}

impl Sockets {
    pub(super) fn new(seed: u64) -> Self {
        Sockets {
            receivers: BTreeMap::new(),
            ports: BTreeSet::new(),
            random: SplitMix::new(seed),
            actions: VecDeque::new(),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// A free source port, from a random place on.
    pub(super) fn first_port(&mut self) -> u16 {
        let (low, high) = (*SOURCE_PORTS.start(), *SOURCE_PORTS.end());
        let from = low + u16::try_from(self.random.up_to(u64::from(high - low))).unwrap_or(0);
        self.take_from(from)
    }

    /// The next free one after a port that is taken by somebody else.
    pub(super) fn next_port(&mut self, taken: u16) -> u16 {
        let next = self.take_from(taken.checked_add(1).unwrap_or(*SOURCE_PORTS.start()));
        self.ports.remove(&taken);
        next
    }

    fn take_from(&mut self, from: u16) -> u16 {
        let around = (from..=*SOURCE_PORTS.end()).chain(*SOURCE_PORTS.start()..from);
        let port = around
            .into_iter()
            .find(|port| !self.ports.contains(port))
            .expect("there are four times as many ports as sessions");
        self.ports.insert(port);
        port
    }

    pub(super) fn open(&mut self, id: SessionId, session: &Session) {
        let receiver = receiver(session);
        let users = self.receivers.entry(receiver).or_default();
        if users.is_empty() {
            self.actions.push_back(Action::OpenReceiver(receiver));
        }
        users.insert(id);
        self.actions
            .retain(|action| !matches!(action, Action::Open(other, _) if *other == id));
        let key = &session.key;
        self.actions.push_back(Action::Open(
            id,
            Socket {
                local: key.local,
                source_port: session.source_port,
                peer: key.peer,
                mode: key.mode,
                interface: key.interface,
                vrf: key.vrf,
            },
        ));
    }

    pub(super) fn close(&mut self, id: SessionId, session: &Session) {
        self.ports.remove(&session.source_port);
        self.actions.push_back(Action::Close(id));
        let receiver = receiver(session);
        if let Some(users) = self.receivers.get_mut(&receiver) {
            users.remove(&id);
            if users.is_empty() {
                self.receivers.remove(&receiver);
                self.actions.push_back(Action::CloseReceiver(receiver));
            }
        }
    }
}

fn receiver(session: &Session) -> Receiver {
    Receiver {
        ipv6: session.key.peer.is_ipv6(),
        mode: session.key.mode,
        vrf: session.key.vrf,
    }
}
