//! One session: the machine of the peer, where it is, and what it is told.

use super::RouterAction;
use super::place::{self, Dial, Node, Surroundings};
use crate::config::bgp::{BfdProfile, BgpPeer, Community, Endpoint, RemoteAsn};
use crate::facts::Interface;
use crate::routes::{Departure, Route, RouteTable, Session};
use bgp::{Action, Bfd, Config, ConfigError, Family, Peer, RouteAttributes, RouteSet, Settings};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// What one endpoint weighs in a link bandwidth: 1 Gbit/s in octets per second (BGP-94).
const ENDPOINT_BANDWIDTH: u64 = 125_000_000;

/// One session.
pub(super) struct Router {
    pub(super) session: Session,
    pub(super) machine: Peer,
    /// How the next connection is opened; none while something is missing.
    dial: Option<Dial>,
    /// It does not change while the session is configured (BGP-37).
    router_id: Ipv4Addr,
    set: RouteSet,
    /// Equal attributes are one value, so that they share messages.
    known: BTreeMap<RouteAttributes, Arc<RouteAttributes>>,
    bfd: Option<(bfd::SessionKey, bfd::Profile)>,
    leaving: bool,
    departure: Departure,
    /// While the node is excluded: until when its routes are told as such that are about to
    /// go, and what is told after that.
    fading: Option<(Instant, Arc<RouteTable>)>,
}

impl Router {
    pub(super) fn new(
        session: &Session,
        around: &Surroundings<'_>,
        node: &Node,
        seed: u64,
        now: Instant,
    ) -> Result<Self, Vec<ConfigError>> {
        let chosen = || node.router_id(&session.peer, around.interfaces);
        let router_id = session.peer.router_id.unwrap_or_else(chosen);
        let config = Config::new(settings(&session.peer, router_id, node))?;
        let mut router = Self {
            session: Session {
                peer: Arc::clone(&session.peer),
                routes: Arc::default(),
            },
            machine: Peer::new(config, seed, now),
            dial: None,
            router_id,
            set: RouteSet::new(),
            known: BTreeMap::new(),
            bfd: None,
            leaving: false,
            departure: Departure::Stays,
            fading: None,
        };
        router.find(around, now);
        router.set_routes(&session.routes, now);
        Ok(router)
    }

    /// The session as it is to be now.
    pub(super) fn set(
        &mut self,
        session: &Session,
        around: &Surroundings<'_>,
        node: &Node,
        now: Instant,
    ) {
        // What has changed meanwhile is looked at when the node returns.
        if self.is_drained() && !self.leaving {
            return;
        }
        if self.leaving {
            self.leaving = false;
            self.machine.start(now);
        }
        if self.session.peer != session.peer {
            self.session.peer = Arc::clone(&session.peer);
            self.router_id = session.peer.router_id.unwrap_or(self.router_id);
            // One that cannot be is refused where the objects are checked; the old one stays.
            if let Ok(config) = Config::new(settings(&session.peer, self.router_id, node)) {
                self.machine.set_config(config, now);
            }
        }
        self.find(around, now);
        match &mut self.fading {
            Some((_, next)) => *next = Arc::clone(&session.routes),
            None => self.set_routes(&session.routes, now),
        }
    }

    /// The node goes, or returns; what is told from then on comes by [`Self::set`].
    pub(super) fn depart(&mut self, how: Departure, now: Instant) {
        let before = std::mem::replace(&mut self.departure, how);
        if self.leaving {
            return;
        }
        if before == Departure::Maintenance {
            self.machine.start(now);
        }
        self.fading = None;
        match how {
            Departure::Stays => {}
            Departure::Maintenance => self.machine.drain(now),
            Departure::Excluded => {
                let wait = self.session.peer.drain_wait;
                let wait = wait.unwrap_or(bgp::config::DRAIN_WAIT);
                let routes = Arc::clone(&self.session.routes);
                self.fading = Some((now + wait, Arc::clone(&routes)));
                // Every route is another one now.
                self.session.routes = Arc::default();
                self.set_routes(&routes, now);
            }
        }
    }

    /// What was told as going goes when its time has come.
    pub(super) fn fade(&mut self, now: Instant) {
        if self.fading.as_ref().is_some_and(|(until, _)| *until <= now)
            && let Some((_, next)) = self.fading.take()
        {
            self.set_routes(&next, now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let fading = self.fading.as_ref().map(|(until, _)| *until);
        self.machine.poll_timeout().into_iter().chain(fading).min()
    }

    /// The session ends, or has ended, because the node is in maintenance.
    pub(super) fn is_drained(&self) -> bool {
        self.departure == Departure::Maintenance
    }

    /// Looks again where the peer is and what this node lacks for it.
    fn find(&mut self, around: &Surroundings<'_>, now: Instant) {
        let peer = &self.session.peer;
        let found = place::dial(peer, around);
        self.bfd = match (&peer.bfd, &found) {
            (Some(profile), Ok(dial)) => Some(bfd_session(peer, profile, dial, around.interfaces)),
            _ => None,
        };
        match found {
            Ok(dial) => {
                let moved = self.dial.as_ref().is_some_and(|old| *old != dial);
                self.dial = Some(dial);
                self.machine.set_obstacle(None, now);
                if moved {
                    self.machine.restart(now);
                }
            }
            Err(obstacle) => {
                self.dial = None;
                self.machine.set_obstacle(Some(obstacle), now);
            }
        }
    }

    /// Only what differs is looked at: the tables share what stayed.
    fn set_routes(&mut self, routes: &Arc<RouteTable>, now: Instant) {
        if Arc::ptr_eq(&self.session.routes, routes) {
            return;
        }
        let old = std::mem::replace(&mut self.session.routes, Arc::clone(routes));
        for prefix in old.keys().filter(|prefix| !routes.contains_key(prefix)) {
            self.set.remove(prefix);
        }
        for (prefix, route) in routes.iter() {
            if old
                .get(prefix)
                .is_some_and(|before| Arc::ptr_eq(before, route))
            {
                continue;
            }
            let mut attributes = attributes(route, prefix.ip(), &self.session.peer);
            if self.fading.is_some() {
                going(&mut attributes, self.session.peer.is_internal());
            }
            let shared = self.known.entry(attributes.clone());
            let shared = shared.or_insert_with(|| Arc::new(attributes));
            // The bounds of a route were checked with its advertisement.
            let _within_bounds = self.set.insert(*prefix, Arc::clone(shared));
        }
        self.known.retain(|_, shared| Arc::strong_count(shared) > 1);
        self.machine.set_routes(&self.set, now);
    }

    /// The peer no longer exists for this node.
    pub(super) fn remove(&mut self, now: Instant) {
        if !self.leaving {
            self.leaving = true;
            self.machine.remove(now);
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    pub(super) fn bfd(&self) -> Option<(bfd::SessionKey, bfd::Profile)> {
        self.bfd
    }

    /// Whether a BFD session belongs beside it.
    pub(super) fn is_watched(&self) -> bool {
        let over = self.is_drained() && self.machine.is_stopped();
        !self.leaving && !over
    }

    /// Whether a connection from there may be this peer's; a link-local one by its link too.
    pub(super) fn is_at(&self, remote: SocketAddr) -> bool {
        let scope = |address: SocketAddr| match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        let dial = self.dial.as_ref();
        dial.is_some_and(|dial| {
            dial.remote.ip() == remote.ip() && scope(dial.remote) == scope(remote)
        })
    }

    /// The unnumbered link of an Established session.
    pub(super) fn established_link(&self) -> Option<u32> {
        let unnumbered = matches!(self.session.peer.endpoint, Endpoint::Interface(_));
        let up = unnumbered && self.machine.state() == bgp::State::Established;
        self.dial.as_ref().filter(|_| up)?.device
    }

    /// What BFD says of the path, if it is ours.
    pub(super) fn bfd_changed(&mut self, change: &bfd::StateChange, now: Instant) {
        if self.bfd.is_none_or(|(key, _)| key != change.key) {
            return;
        }
        let said = match change.to {
            bfd::State::Up => Bfd::Up,
            _ if change.is_failure() => Bfd::Down,
            _ if change.cause == bfd::status::Cause::PeerAdminDown => Bfd::AdminDown,
            _ => return,
        };
        let diagnostic = change.local_diagnostic.as_str();
        self.machine.handle_bfd(said, diagnostic, now);
    }

    pub(super) fn carry_out(&self, peer: &str, action: Action) -> RouterAction {
        let peer = peer.to_owned();
        match (action, &self.dial) {
            (Action::Connect(conn), Some(dial)) => RouterAction::Connect {
                peer,
                conn,
                dial: dial.clone(),
            },
            // The machine does not dial while it has an obstacle.
            (Action::Connect(conn), None) => RouterAction::Close {
                peer,
                conn,
                how: bgp::Close::Abort,
            },
            (Action::Close(conn, how), _) => RouterAction::Close { peer, conn, how },
        }
    }
}

fn settings(peer: &BgpPeer, router_id: Ipv4Addr, node: &Node) -> Settings {
    let (peer_asn, dynamic_asn) = match peer.remote_asn {
        RemoteAsn::Number(asn) => (Some(asn), None),
        RemoteAsn::Internal => (None, Some(bgp::DynamicAsn::Internal)),
        RemoteAsn::External => (None, Some(bgp::DynamicAsn::External)),
    };
    let (transport, unnumbered) = match &peer.endpoint {
        Endpoint::Address(IpAddr::V4(_)) => (Family::Ipv4, false),
        Endpoint::Address(IpAddr::V6(_)) => (Family::Ipv6, false),
        Endpoint::Interface(_) => (Family::Ipv6, true),
    };
    let restart = peer.graceful_restart.then(|| {
        // kube-proxy forwards on while this process is away, as the default says.
        let default = bgp::RestartSettings::default();
        let seconds = peer.restart_time.map(|time| time.as_secs());
        let seconds = seconds.and_then(|seconds| u16::try_from(seconds).ok());
        bgp::RestartSettings {
            time_secs: seconds.unwrap_or(default.time_secs),
            restarted: true,
            ..default
        }
    });
    Settings {
        local_asn: peer.local_asn,
        peer_asn,
        dynamic_asn,
        hold_time: Some(peer.hold_time),
        keepalive_time: Some(peer.keepalive_time),
        connect_time: peer.connect_time,
        min_hold_time: peer.min_hold_time,
        families: bgp::config::families(transport, peer.dual_stack, unnumbered),
        extended_next_hop: transport == Family::Ipv6 && (peer.dual_stack || unnumbered),
        graceful_restart: restart,
        ebgp_multihop: peer.ebgp_multi_hop,
        ttl_security: peer.ttl_security_hops.is_some(),
        password: peer.password.is_some(),
        bfd: peer.bfd.is_some(),
        bfd_strict: peer.bfd_strict,
        hostname: Some(node.name.clone()),
        drain_wait: peer.drain_wait.unwrap_or(bgp::config::DRAIN_WAIT),
        ..Settings::new(peer.my_asn, 0, router_id)
    }
}

fn bfd_session(
    peer: &BgpPeer,
    profile: &BfdProfile,
    dial: &Dial,
    interfaces: &BTreeMap<u32, Interface>,
) -> (bfd::SessionKey, bfd::Profile) {
    let address = dial.remote.ip();
    let mut key = bfd::SessionKey::new(address, place::bfd_mode(peer, address, interfaces));
    key.local = dial.local;
    match peer.endpoint {
        Endpoint::Interface(_) => key.interface = dial.device,
        Endpoint::Address(_) => key.vrf = dial.device,
    }
    let defaults = bfd::Profile::default();
    let profile = bfd::Profile {
        receive_interval: profile.receive_interval,
        transmit_interval: profile.transmit_interval,
        detect_multiplier: profile.detect_multiplier,
        echo_mode: profile.echo_interval.is_some(),
        echo_interval: profile.echo_interval.unwrap_or(defaults.echo_interval),
        passive: profile.passive,
        minimum_ttl: profile.minimum_ttl,
    };
    (key, profile)
}

/// A route as the machine takes it.
fn attributes(route: &Route, prefix: IpAddr, peer: &BgpPeer) -> RouteAttributes {
    let said = &route.attributes;
    let mut out = RouteAttributes {
        local_pref: said.local_pref,
        med: said.med,
        prepend: said.prepend,
        link_bandwidth: said.weight.map(|n| u64::from(n) * ENDPOINT_BANDWIDTH),
        next_hop: next_hop(prefix, peer),
        ..RouteAttributes::default()
    };
    for community in &said.communities {
        match community {
            Community::Standard(a, b) => {
                let value = (u32::from(*a) << 16) | u32::from(*b);
                out.communities.insert(bgp::Community(value));
            }
            Community::Large(a, b, c) => {
                out.large_communities.insert(bgp::LargeCommunity {
                    global: *a,
                    local_1: *b,
                    local_2: *c,
                });
            }
        }
    }
    out
}

/// A route that is about to go (RFC 8326 §4).
fn going(attributes: &mut RouteAttributes, internal: bool) {
    attributes
        .communities
        .insert(bgp::Community::GRACEFUL_SHUTDOWN);
    if internal {
        attributes.local_pref = Some(0);
    }
}

fn next_hop(prefix: IpAddr, peer: &BgpPeer) -> Option<IpAddr> {
    let same = |hop: &&IpAddr| hop.is_ipv4() == prefix.is_ipv4();
    peer.next_hops.iter().find(same).copied()
}
