//! The sessions with routers as an operator sees them.
//!
//! Owns the way from the machine's values to those of the admin server. Decides nothing.

use std::time::Instant;

use bgp::{Peer, RouteAttributes, State};
use engine::config::bgp::{BgpPeer, Endpoint};
use engine::wire::routers::Routers;

use crate::admin::bgp::{LastError, Route, Session, Which};

/// What was asked for.
pub(super) fn sessions(routers: &Routers, which: &Which, now: Instant) -> Vec<Session> {
    let wanted = |name: &str| which.peer.as_deref().is_none_or(|peer| peer == name);
    routers
        .views()
        .filter(|(name, ..)| wanted(name))
        .map(|(name, session, machine)| {
            let mut shown = one(name, &session.peer, machine, now);
            let bfd = routers.bfd_status(name);
            shown.bfd = bfd.map(|status| format!("{:?}", status.state));
            shown.routes = which.routes.then(|| routes(session, machine));
            shown
        })
        .collect()
}

fn one(name: &str, peer: &BgpPeer, machine: &Peer, now: Instant) -> Session {
    let view = machine.view();
    let since = |at: Instant| now.saturating_duration_since(at).as_secs();
    let negotiated = view.negotiated.as_ref();
    let counters = machine.counters();
    Session {
        peer: name.to_owned(),
        neighbor: neighbor(peer),
        vrf: peer.vrf.clone(),
        state: state(view.state).to_owned(),
        state_seconds: since(view.since),
        uptime_seconds: view.established.map(since),
        local_asn: view.local_asn.0,
        peer_asn: negotiated.map(|agreed| agreed.peer_asn.0),
        peer_router_id: negotiated.map(|agreed| agreed.peer_id.to_string()),
        local: view.local.map(|end| end.to_string()),
        remote: view.remote.map(|end| end.to_string()),
        hold_seconds: negotiated.map(|agreed| agreed.hold_time_secs),
        messages_received: counters.received.total(),
        messages_sent: counters.sent.total(),
        prefixes_sent: view.routes_sent,
        prefixes_pending: view.routes_pending,
        prefixes_withheld: view.routes_withheld,
        prefixes_received: counters.prefixes_received,
        graceful_restart: negotiated.is_some_and(|agreed| agreed.graceful_restart),
        bfd: None,
        leaving: view.leaving,
        obstacle: view.obstacle.map(|obstacle| obstacle.as_str().to_owned()),
        last_error: view.last_error.as_ref().map(|error| LastError {
            reason: error.reason.to_string(),
            seconds_ago: since(error.at),
            times: error.times,
            bad_message: Some(error.bad_message_hex()).filter(|hex| !hex.is_empty()),
        }),
        next_attempt_seconds: view
            .next_attempt
            .map(|at| at.saturating_duration_since(now).as_secs()),
        routes: None,
    }
}

/// RFC 4271's names.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Idle => "Idle",
        State::Connect => "Connect",
        State::Active => "Active",
        State::OpenSent => "OpenSent",
        State::OpenConfirm => "OpenConfirm",
        State::Established => "Established",
    }
}

pub(super) fn neighbor(peer: &BgpPeer) -> String {
    match &peer.endpoint {
        Endpoint::Address(address) => std::net::SocketAddr::new(*address, peer.port).to_string(),
        Endpoint::Interface(interface) => interface.clone(),
    }
}

fn routes(session: &engine::routes::Session, machine: &Peer) -> Vec<Route> {
    machine
        .advertised()
        .map(|(prefix, attributes)| {
            let planned = session.routes.get(prefix);
            let services = planned.into_iter().flat_map(|route| &route.services);
            Route {
                prefix: prefix.to_string(),
                next_hop: attributes.next_hop.map(|hop| hop.to_string()),
                local_pref: attributes.local_pref,
                med: attributes.med,
                prepend: attributes.prepend,
                communities: communities(attributes),
                services: services.map(ToString::to_string).collect(),
            }
        })
        .collect()
}

fn communities(attributes: &RouteAttributes) -> Vec<String> {
    let standard = attributes.communities.iter().map(ToString::to_string);
    let large = attributes.large_communities.iter();
    let large = large.map(|community| format!("large:{community}"));
    standard.chain(large).collect()
}
