//! Known bugs, put in at the border of a machine, to see that the checkers find them.
//!
//! No shipped line knows of them: a planted bug perverts what goes into a machine or what its shell does with what comes out.

use super::Sim;
use engine::claims::Claims;
use l2::MacAddr;
use l2::packet::{Ethernet, arp};
use std::net::IpAddr;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A node goes on answering for what it has released.
    AnswersAfterRelease,
    /// A source tells the controller that its list of Services is complete before it is.
    BeforeTheLists,
    /// A speaker that is asked to stop ends without a word.
    NoRelease,
    /// A process that was stopped does not notice that time has passed.
    Blind,
    /// The brains see every claim with the same term.
    EqualTerms,
}

impl Planted {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::AnswersAfterRelease,
        Self::BeforeTheLists,
        Self::NoRelease,
        Self::Blind,
        Self::EqualTerms,
    ];
}

/// The same claims, with one term for all.
pub(super) fn equalled(claims: &Claims) -> Arc<Claims> {
    let mut equal = Claims::default();
    for (address, claims) in claims.iter() {
        for claim in claims {
            equal.set(address, &claim.node, Some(1));
        }
    }
    Arc::new(equal)
}

impl Sim {
    /// Remembers what the first node has released, if it is to go on answering for it.
    pub(super) fn planted_release(&mut self, node: usize, address: IpAddr) {
        if node == 0 && self.settings.planted == Some(Planted::AnswersAfterRelease) {
            let now = self.now;
            if let Some(process) = &mut self.nodes[node].process {
                process.released.insert(address, now);
            }
        }
    }

    /// Answers a question for such an address.
    pub(super) fn planted_answer(&mut self, node: usize, ifindex: u32, frame: &[u8]) {
        if node != 0 || self.settings.planted != Some(Planted::AnswersAfterRelease) {
            return;
        }
        let Ok(ethernet) = Ethernet::parse(frame) else {
            return;
        };
        let mac = self.nodes[node]
            .interfaces
            .get(&ifindex)
            .and_then(|i| i.mac);
        if let (Ok(packet), Some(mac)) = (arp::Arp::parse(ethernet.payload), mac)
            && ethernet.ethertype == arp::ETHERTYPE
            && packet.operation == arp::Operation::Request
            && self.nodes[node]
                .process
                .as_ref()
                .is_some_and(|p| !p.paused && p.released.contains_key(&packet.target.into()))
        {
            let reply = packet.reply(MacAddr(mac));
            self.send_frame(node, ifindex, reply);
        }
    }
}
