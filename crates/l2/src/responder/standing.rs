//! What may be answered without asking the responder, for the fast path.
//!
//! Owns the value and the number that says whether it may differ. Does not know who answers in its place.

use std::net::IpAddr;

use super::Responder;
use crate::fastpath::Standing;

impl Responder {
    /// A number that differs from an earlier one if [`Responder::standing`] may: cheap enough to be asked before each
    /// frame that is sent.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What may be answered without asking this responder, which is what it would answer itself: nothing on an
    /// interface that cannot send.
    pub fn standing(&self) -> Standing {
        if !self.interface.can_send() {
            return Standing::default();
        }
        let addresses = self.here.iter().filter_map(|address| match address {
            IpAddr::V4(v4) => Some((*v4, !self.guard.holds_back(*address))),
            IpAddr::V6(_) => None,
        });
        Standing {
            mac: self.interface.mac,
            addresses: addresses.collect(),
        }
    }
}
