//! The sessions with routers: BGP peers and the BFD sessions beside them, as one machine.
//!
//! Owns which sessions exist, what each announces, and the way from a lost BFD session to a
//! closed BGP session, which is one call (RFC 9384). Opens no socket: it asks for
//! connections and is told how they went. Does not decide what is announced
//! ([`crate::routes`]), and knows no message (`bgp`, `bfd`).
//!
//! ```text
//!   sessions, interfaces ──► Routers ──► actions (connect, close, BFD sockets), bytes
//!   connected, bytes, closed, BFD datagrams ──► Routers ──► events, views
//! ```

mod facts;
mod neighbors;
mod place;
mod router;
#[cfg(test)]
mod tests;

pub use neighbors::Discovery;
pub use place::Dial;

use crate::config::bgp::BgpPeer;
use crate::config::bgp::Endpoint;
use crate::facts::Interface;
use crate::routes::{Departure, Session};
use bfd::SessionKey;
use bgp::{Close, Closed, ConnId, ConnectFailure, Endpoints, PeerEvent};
use l2::MacAddr;
use neighbors::Neighbors;
use place::{Node, Surroundings};
use router::Router;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// LIMIT: events that wait to be polled; a turn makes a handful.
const EVENTS_MAX: usize = 1_024;

/// BFD says AdminDown this long after BGP's connections were closed (BGP-74).
const BFD_AFTER_BGP: Duration = Duration::from_millis(60);

/// Something to do with a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterAction {
    /// Open a TCP connection; tell [`Routers::connected`] or [`Routers::connect_failed`].
    Connect {
        /// Name of the BGPPeer.
        peer: String,
        /// The connection.
        conn: ConnId,
        /// How.
        dial: Dial,
    },
    /// Close one; nothing is told of it any more.
    Close {
        /// Name of the BGPPeer.
        peer: String,
        /// The connection.
        conn: ConnId,
        /// How.
        how: Close,
    },
    /// A socket of BFD.
    Bfd(bfd::Action),
    /// Open a socket for router advertisements on an interface; what it hears goes to
    /// [`Routers::discovered`].
    Discover(u32),
    /// Close it.
    Undiscover(u32),
}

/// A fact worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterEvent {
    /// Of a BGP session.
    Peer {
        /// Name of the BGPPeer.
        peer: String,
        /// What.
        event: PeerEvent,
    },
    /// Of a BFD session.
    Bfd(bfd::Event),
    /// Two routers advertise themselves on an unnumbered link; the first is taken.
    AmbiguousNeighbor {
        /// Name of the interface.
        interface: String,
        /// The one that is taken.
        taken: Ipv6Addr,
        /// The other one.
        other: Ipv6Addr,
    },
    /// The session cannot be run as it is configured.
    Refused {
        /// Name of the BGPPeer.
        peer: String,
        /// Every reason.
        why: String,
    },
}

/// See the module.
pub struct Routers {
    node: Node,
    seed: u64,
    wanted: Arc<BTreeMap<String, Session>>,
    interfaces: BTreeMap<u32, Interface>,
    routers: BTreeMap<String, Router>,
    refused: BTreeMap<String, Arc<BgpPeer>>,
    bfd: bfd::Endpoint,
    neighbors: Neighbors,
    departure: Departure,
    /// The sessions have to be looked at though they are the same.
    stale: bool,
    actions: VecDeque<RouterAction>,
    events: VecDeque<RouterEvent>,
    events_lost: u64,
    /// The process stops; when BFD is to say so, once BGP has been closed.
    stopping: Option<Instant>,
    bfd_stopped: bool,
}

impl Routers {
    /// No session.
    pub fn new(node: impl Into<String>, seed: u64, now: Instant) -> Self {
        Self {
            node: Node::new(node.into()),
            seed,
            wanted: Arc::default(),
            interfaces: BTreeMap::new(),
            routers: BTreeMap::new(),
            refused: BTreeMap::new(),
            bfd: bfd::Endpoint::new(seed, now),
            neighbors: Neighbors::new(seed),
            departure: Departure::Stays,
            stale: false,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            events_lost: 0,
            stopping: None,
            bfd_stopped: false,
        }
    }

    /// The sessions of this node, all of them, with what each announces.
    pub fn set_sessions(&mut self, sessions: &Arc<BTreeMap<String, Session>>, now: Instant) {
        if self.stopping.is_some() || (Arc::ptr_eq(&self.wanted, sessions) && !self.stale) {
            return;
        }
        self.wanted = Arc::clone(sessions);
        self.settle_sessions(now);
    }

    /// Whether this node stays; what goes is first told as such. The caller calls
    /// [`Self::set_sessions`] next.
    pub fn set_departure(&mut self, departure: Departure, now: Instant) {
        if self.stopping.is_some() || self.departure == departure {
            return;
        }
        self.departure = departure;
        self.stale = true;
        for router in self.routers.values_mut() {
            router.depart(departure, now);
        }
    }

    /// The interfaces as the kernel shows them, all of them.
    pub fn set_interfaces(&mut self, interfaces: &BTreeMap<u32, Interface>, now: Instant) {
        if self.interfaces == *interfaces {
            return;
        }
        self.interfaces.clone_from(interfaces);
        if self.stopping.is_none() {
            self.settle_sessions(now);
        }
    }

    fn settle_sessions(&mut self, now: Instant) {
        self.stale = false;
        self.settle_links(now);
        let wanted = Arc::clone(&self.wanted);
        let around = Surroundings {
            interfaces: &self.interfaces,
            neighbors: &self.neighbors,
        };
        let mut refused = Vec::new();
        for (name, session) in wanted.iter() {
            match self.routers.get_mut(name) {
                Some(router) => router.set(session, &around, &self.node, now),
                None if self.departure == Departure::Maintenance => {}
                None => {
                    // Different peers must not jitter alike.
                    let seed = self.seed ^ u64::from(place::crc32(name.as_bytes()));
                    match Router::new(session, &around, &self.node, seed, now) {
                        Ok(router) => {
                            self.routers.insert(name.clone(), router);
                        }
                        Err(why) => refused.push((name, session, why)),
                    }
                }
            }
        }
        for (name, session, why) in refused {
            self.refuse(name, session, &why);
        }
        for (name, router) in &mut self.routers {
            if !wanted.contains_key(name) {
                router.remove(now);
            }
        }
        self.settle_bfd(now);
        self.settle(now);
    }

    /// A peer that the machine refuses: the checks before it should not let that happen.
    /// Told once for each version of it.
    fn refuse(&mut self, name: &str, session: &Session, why: &[bgp::ConfigError]) {
        let before = self
            .refused
            .insert(name.to_owned(), Arc::clone(&session.peer));
        if before.is_none_or(|before| before != session.peer) {
            let words: Vec<String> = why.iter().map(ToString::to_string).collect();
            self.tell(RouterEvent::Refused {
                peer: name.to_owned(),
                why: words.join("; "),
            });
        }
    }

    /// BFD sessions beside the BGP sessions that ask for one; two to one place share it.
    fn settle_bfd(&mut self, now: Instant) {
        let mut sessions: BTreeMap<SessionKey, bfd::Profile> = BTreeMap::new();
        for router in self.routers.values().filter(|router| router.is_watched()) {
            if let Some((key, profile)) = router.bfd() {
                let shared = sessions.get(&key).map(|other| other.faster(profile));
                sessions.insert(key, shared.unwrap_or(profile));
            }
        }
        self.bfd.set_sessions(&sessions, now);
    }

    /// Links whose neighbour is looked for.
    fn settle_links(&mut self, now: Instant) {
        let names: BTreeSet<&str> = self
            .wanted
            .values()
            .filter_map(|session| match &session.peer.endpoint {
                Endpoint::Interface(name) => Some(name.as_str()),
                Endpoint::Address(_) => None,
            })
            .collect();
        let links: BTreeMap<u32, Option<MacAddr>> = self
            .interfaces
            .values()
            .filter(|interface| interface.up && names.contains(interface.name.as_str()))
            .map(|interface| (interface.index, interface.mac.map(MacAddr)))
            .collect();
        let (new, gone) = self.neighbors.set_links(&links, now);
        let close = gone.into_iter().map(RouterAction::Undiscover);
        self.actions.extend(close);
        self.actions
            .extend(new.into_iter().map(RouterAction::Discover));
    }

    /// Links with an Established session to their neighbour.
    fn established_links(&self) -> BTreeSet<u32> {
        let routers = self.routers.values();
        routers.filter_map(Router::established_link).collect()
    }

    /// A router advertisement came in on an unnumbered link.
    pub fn discovered(
        &mut self,
        ifindex: u32,
        from: Ipv6Addr,
        hop_limit: Option<u8>,
        octets: &[u8],
        now: Instant,
    ) {
        let own = self.interfaces.get(&ifindex).is_some_and(|interface| {
            let mut addresses = interface.addresses.iter();
            addresses.any(|network| network.ip() == IpAddr::V6(from))
        });
        if own || self.stopping.is_some() {
            return;
        }
        let established = self.established_links().contains(&ifindex);
        let heard = self
            .neighbors
            .heard(ifindex, from, hop_limit, octets, established, now);
        if let Some((taken, other)) = heard.rival {
            let interface = self.interfaces.get(&ifindex);
            let interface = interface.map(|i| i.name.clone()).unwrap_or_default();
            self.tell(RouterEvent::AmbiguousNeighbor {
                interface,
                taken,
                other,
            });
        }
        if heard.found {
            self.settle_sessions(now);
        }
    }

    /// The next message of discovery to send; its socket was asked for before.
    pub fn discovery_transmit(&mut self) -> Option<Discovery> {
        self.neighbors.poll_transmit()
    }

    /// Messages on unnumbered links that were no advertisements of a neighbour.
    pub fn discovery_refused(&self) -> u64 {
        self.neighbors.refused()
    }

    /// The connection stands.
    pub fn connected(
        &mut self,
        peer: &str,
        conn: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) {
        let ends = place::ends(local, remote, &self.interfaces);
        self.with(peer, now, |router| {
            router.machine.handle_connected(conn, ends, now)
        });
    }

    /// It does not.
    pub fn connect_failed(
        &mut self,
        peer: &str,
        conn: ConnId,
        failure: ConnectFailure,
        now: Instant,
    ) {
        self.with(peer, now, |router| {
            router.machine.handle_connect_failed(conn, failure, now)
        });
    }

    /// A peer connected to us; none: it is closed without a byte.
    pub fn accepted(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<(String, ConnId)> {
        let ends: Endpoints = place::ends(local, remote, &self.interfaces);
        let (name, router) = self
            .routers
            .iter_mut()
            .find(|(_, router)| router.is_at(remote))?;
        let conn = router.machine.handle_accepted(ends, now);
        let told = conn.map(|conn| (name.clone(), conn));
        self.settle(now);
        told
    }

    /// Bytes of a connection, at most 64 KiB a call.
    pub fn bytes(&mut self, peer: &str, conn: ConnId, octets: &[u8], now: Instant) {
        self.with(peer, now, |router| {
            router.machine.handle_bytes(conn, octets, now)
        });
    }

    /// A connection ended that we did not end.
    pub fn closed(&mut self, peer: &str, conn: ConnId, how: Closed, now: Instant) {
        self.with(peer, now, |router| {
            router.machine.handle_closed(conn, how, now)
        });
    }

    /// Whether there is something to write on a connection.
    pub fn wants_write(&self, peer: &str, conn: ConnId) -> bool {
        let router = self.routers.get(peer);
        router.is_some_and(|router| router.machine.wants_write(conn))
    }

    /// The next bytes of a connection, at most `budget` of them: what the socket takes now.
    /// They count as sent.
    pub fn transmit(
        &mut self,
        peer: &str,
        conn: ConnId,
        budget: usize,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let router = self.routers.get_mut(peer)?;
        router.machine.poll_transmit(conn, budget, now)
    }

    /// A datagram of BFD.
    pub fn bfd_datagram(&mut self, octets: &[u8], meta: &bfd::Meta, now: Instant) {
        self.bfd.handle_datagram(octets, meta, now);
        self.settle(now);
    }

    /// The source port of a BFD session is taken; another is tried.
    pub fn bfd_port_taken(&mut self, session: bfd::SessionId, now: Instant) {
        self.bfd.port_taken(session, now);
        self.settle(now);
    }

    /// A BFD packet could not be sent.
    pub fn bfd_transmit_failed(&mut self) {
        self.bfd.transmit_failed();
    }

    /// The next BFD packet to send; its socket was asked for before.
    pub fn bfd_transmit(&mut self) -> Option<bfd::Transmit> {
        self.bfd.poll_transmit()
    }

    /// What is due is done. What the sockets hold was handed in before.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bfd.handle_timeout(now);
        if self.stopping.is_none() {
            let established = self.established_links();
            if self.neighbors.handle_timeout(&established, now) {
                self.settle_sessions(now);
            }
        }
        for router in self.routers.values_mut() {
            router.fade(now);
        }
        for router in self.routers.values_mut() {
            if router.machine.poll_timeout().is_some_and(|due| due <= now) {
                router.machine.handle_timeout(now);
            }
        }
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] is to be called next, after the polls were drained.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let peers = self.routers.values().filter_map(Router::poll_timeout);
        let links = match self.stopping {
            None => self.neighbors.poll_timeout(&self.established_links()),
            Some(_) => None,
        };
        let last = !self.bfd_stopped && self.routers.is_empty();
        let bfd = self.stopping.filter(|_| last);
        let others = [self.bfd.poll_timeout(), bfd, links];
        peers.chain(others.into_iter().flatten()).min()
    }

    /// The next thing to do with a socket.
    pub fn poll_action(&mut self) -> Option<RouterAction> {
        self.actions.pop_front()
    }

    /// The next fact worth telling.
    pub fn poll_event(&mut self) -> Option<RouterEvent> {
        self.events.pop_front()
    }

    /// The process stops: with graceful restart the routers keep the routes, without it
    /// they are withdrawn (BGP-74).
    pub fn stop(&mut self, now: Instant) {
        if self.stopping.is_none() {
            for router in self.routers.values_mut() {
                router.machine.stop(now);
            }
            self.stopping = Some(now + BFD_AFTER_BGP);
            self.settle(now);
        }
    }

    /// After [`Self::stop`]: nothing is left to do.
    pub fn is_stopped(&self) -> bool {
        self.routers.is_empty() && self.bfd.is_empty()
    }

    /// Ends a session as an operator asks for, or sends everything again (`soft`). False
    /// when there is no such peer.
    pub fn reset(&mut self, peer: &str, soft: bool, now: Instant) -> bool {
        let known = self.routers.contains_key(peer);
        self.with(peer, now, |router| match soft {
            true => router.machine.refresh(now),
            false => router.machine.reset(now),
        });
        known
    }

    /// Every session, by name of the peer.
    pub fn views(&self) -> impl Iterator<Item = (&str, &Session, &bgp::Peer)> + '_ {
        self.routers
            .iter()
            .map(|(name, router)| (name.as_str(), &router.session, &router.machine))
    }

    /// The BFD session beside a BGP session.
    pub fn bfd_status(&self, peer: &str) -> Option<bfd::Status> {
        let (key, _) = self.routers.get(peer)?.bfd()?;
        self.bfd.status(&key)
    }

    /// What BFD counted.
    pub fn bfd_counters(&self) -> &bfd::Counters {
        self.bfd.counters()
    }

    /// Whether an address is on a link of this node.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        place::on_link(address, &self.interfaces)
    }

    fn with(&mut self, peer: &str, now: Instant, act: impl FnOnce(&mut Router)) {
        if let Some(router) = self.routers.get_mut(peer) {
            act(router);
            self.settle(now);
        }
    }

    /// Carries BFD's verdicts to BGP, in this very call, and collects what is to be done.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.bfd.poll_event() {
            if let bfd::Event::StateChanged(change) = event {
                for router in self.routers.values_mut() {
                    router.bfd_changed(&change, now);
                }
            }
            self.tell(RouterEvent::Bfd(event));
        }
        let mut stopped = Vec::new();
        let mut told = Vec::new();
        for (name, router) in &mut self.routers {
            while let Some(action) = router.machine.poll_action() {
                self.actions.push_back(router.carry_out(name, action));
            }
            while let Some(event) = router.machine.poll_event() {
                told.push((name.clone(), event));
            }
            let wanted = self.stopping.is_none() && !router.is_leaving();
            if router.machine.is_stopped() && !(wanted && router.is_drained()) {
                stopped.push(name.clone());
            }
        }
        let drained = told.iter().any(|(_, event)| *event == PeerEvent::Stopped);
        for (peer, event) in told {
            self.tell(RouterEvent::Peer { peer, event });
        }
        for name in stopped {
            self.routers.remove(&name);
        }
        if drained && self.stopping.is_none() {
            self.settle_bfd(now);
        }
        if self.stopping.is_some_and(|at| at <= now) && !self.bfd_stopped && self.routers.is_empty()
        {
            self.bfd_stopped = true;
            self.bfd.stop(now);
        }
        while let Some(action) = self.bfd.poll_action() {
            self.actions.push_back(RouterAction::Bfd(action));
        }
    }

    fn tell(&mut self, event: RouterEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }
}
