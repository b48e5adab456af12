//! The sessions as they are told upwards: what an object may say of them.
//!
//! Owns the words. Leaves out whatever changes while nothing happens.

use super::Routers;
use crate::config::bgp::Endpoint;
use crate::facts::SessionFact;
use bgp::{Peer, State};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// LIMIT: octets of an error's words in an object.
const ERROR_BYTES_MAX: usize = 1_024;

impl Routers {
    /// Every session, by name of the peer.
    pub fn facts(&self) -> BTreeMap<String, SessionFact> {
        self.views()
            .map(|(name, session, machine)| {
                let peer = &session.peer;
                let fact = SessionFact {
                    neighbor: match &peer.endpoint {
                        Endpoint::Address(ip) => SocketAddr::new(*ip, peer.port).to_string(),
                        Endpoint::Interface(interface) => interface.clone(),
                    },
                    vrf: peer.vrf.clone(),
                    bgp: bgp_word(machine),
                    bfd: self.bfd_status(name).map_or("N/A", |s| bfd_word(s.state)),
                    last_error: last_error(machine),
                };
                (name.to_owned(), fact)
            })
            .collect()
    }
}

fn bgp_word(machine: &Peer) -> &'static str {
    let view = machine.view();
    match machine.state() {
        State::Established => "Established",
        _ if view.obstacle.is_some() || view.leaving => "Idle",
        _ => "Active",
    }
}

fn bfd_word(state: bfd::State) -> &'static str {
    match state {
        bfd::State::AdminDown => "AdminDown",
        bfd::State::Down => "Down",
        bfd::State::Init => "Init",
        bfd::State::Up => "Up",
    }
}

fn last_error(machine: &Peer) -> String {
    let view = machine.view();
    if machine.state() == State::Established {
        return String::new();
    }
    let mut text = match (view.obstacle, view.last_error) {
        (Some(obstacle), _) => obstacle.as_str().to_owned(),
        (None, Some(error)) => error.reason.to_string(),
        (None, None) => String::new(),
    };
    let mut end = ERROR_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
