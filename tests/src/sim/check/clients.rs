//! The hosts and their requests: who is asked, who would have answered, what is lost.

use super::Sim;
use crate::sim::Event;
use crate::sim::fault::Profile;
use crate::sim::host::Lookup;
use crate::sim::lan::End;
use engine::elect::Placement;
use engine::world::TrafficPolicy;
use std::net::IpAddr;
use std::time::Duration;

/// A holder that has handed an address over forwards for so long, if its process lives.
const LINGER: Duration = Duration::from_secs(5);
/// From a status to the first answer: the watch, probing, a burst.
const FIRST_USE: Duration = Duration::from_secs(3);
/// Requests by a host that has not asked before, of a thousand.
const NEW_HOSTS: usize = 30;

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) struct Clients {
    pub(in crate::sim) asked: u64,
    pub(in crate::sim) answered: u64,
    pub(in crate::sim) lost: u64,
}

impl Sim {
    pub(in crate::sim) fn host_hears(&mut self, host: usize, bytes: &[u8]) {
        self.hosts[host].handle_frame(bytes, self.now);
        for (address, mac) in std::mem::take(&mut self.hosts[host].answers) {
            self.check_answer(address, mac);
        }
        for (address, waiting) in std::mem::take(&mut self.hosts[host].resolved) {
            for _ in 0..waiting {
                self.request(host, address);
            }
        }
        self.host_sends(host);
    }

    pub(in crate::sim) fn client_due(&mut self, host: usize) {
        let pace = self.hosts[host].pace;
        self.after(pace, Event::Client { host });
        let given_up = self.hosts[host].handle_timeout(self.now);
        self.checks.clients.lost += u64::from(given_up);
        let shown = &self.checks.books.shown;
        if !shown.is_empty() {
            let index = self.random.below(shown.len());
            let address = *shown.keys().nth(index).expect("below the length");
            self.checks.clients.asked += 1;
            if self.random.chance(NEW_HOSTS) {
                self.hosts[host].forget(address);
            }
            self.request(host, address);
        }
        self.host_sends(host);
    }

    fn host_sends(&mut self, host: usize) {
        let port = self.hosts[host].port;
        for frame in std::mem::take(&mut self.hosts[host].out) {
            self.spread_frame(port, frame);
        }
    }

    fn request(&mut self, host: usize, address: IpAddr) {
        match self.hosts[host].look_up(address, self.now) {
            Lookup::Wait => {}
            Lookup::Send(mac) => {
                let from = self.hosts[host].port;
                let to = self.lan.port_with(&mac);
                let served =
                    to.is_some_and(|to| self.lan.joined(from, to) && self.serves(to, address));
                if served {
                    self.checks.clients.answered += 1;
                    self.hosts[host].confirm(address, self.now);
                } else {
                    self.checks.clients.lost += 1;
                    self.check_lost(address);
                }
            }
        }
    }

    /// Planned: nothing that people do on purpose loses a request (L2-85).
    fn check_lost(&mut self, address: IpAddr) {
        if self.faults.profile != Profile::Planned || self.placement != Placement::Fair {
            return;
        }
        // Who asked the last holder of an address that has just changed its Service has to learn of the new one.
        let since = self.checks.books.since.get(&address);
        if since.is_none_or(|since| *since + FIRST_USE > self.now) {
            return;
        }
        // Nobody could have answered for it until just now: how soon somebody does is another checker's.
        let silent = self.checks.unanswered.get(&address);
        if silent.is_some_and(|since| *since + FIRST_USE < self.now) {
            return;
        }
        if let Some(node) = self.ready_candidate(address) {
            let name = &self.nodes[node].name;
            let text = format!(
                "a request to {address} is lost, though {name} could serve it, and nothing went wrong"
            );
            self.fail(text);
        }
    }

    /// In front mode only a speaker that holds an address, or has just handed it over, forwards. Seeds where nothing goes
    /// wrong are that strict; in the others the kernel forwards whether the speaker lives or not (kube-proxy).
    fn forwards(&self, node: usize, address: IpAddr) -> bool {
        self.faults.profile != Profile::Planned
            || self.nodes[node].process.is_some()
                && self.checks.held_since(address, node, self.now - LINGER)
    }

    /// Whoever is behind a port forwards requests for an address to an endpoint: its kernel does so whether the speaker
    /// lives or not.
    fn serves(&self, port: usize, address: IpAddr) -> bool {
        let End::Node { node, ifindex } = self.lan.ports[port].end else {
            return false;
        };
        let it = &self.nodes[node];
        if !it.is_linked(ifindex) || !self.forwards(node, address) {
            return false;
        }
        let Some(names) = self.checks.books.shown.get(&address) else {
            return false;
        };
        let world = &self.server.truth;
        names.iter().any(|name| {
            let local = world
                .services
                .get(name)
                .is_some_and(|s| s.object.external_policy == TrafficPolicy::Local);
            let slices = world.endpoint_slices.iter().filter(|slice| {
                slice.object.service == name.name && slice.object.name.namespace == name.namespace
            });
            slices
                .flat_map(|slice| slice.object.endpoints.iter())
                .any(|endpoint| {
                    let here = endpoint.node.as_deref() == Some(it.name.as_str());
                    endpoint.can_serve() && (!local || here)
                })
        })
    }
}
