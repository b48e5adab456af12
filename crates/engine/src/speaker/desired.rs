//! What the brain wants of the wire: one value, the newest wins.

use crate::plan::NodePlan;
use crate::routes::{Departure, Session};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The whole desired state of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// What to answer for. Its `answers` has a key for every interface that is usable,
    /// also one with no address: the wire keeps those open.
    pub plan: Arc<NodePlan>,
    /// The sessions with routers, by name of the peer, and what each is told.
    pub sessions: Arc<BTreeMap<String, Session>>,
    /// Whether the routers are to lose this node, and how.
    pub departure: Departure,
    /// Where members may be, this node's own address allowed; none while that is not
    /// known, and the start rule's delay does not run (L2-87).
    pub member_peers: Option<BTreeSet<SocketAddr>>,
    /// Secrets of the seal, newest first.
    pub member_keys: MemberKeys,
    /// What the others see of this node ([`crate::record`]); empty before the interfaces
    /// are known.
    pub member_record: Arc<[u8]>,
}

/// Secrets of the membership. They never reach a log: `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MemberKeys(pub Vec<Vec<u8>>);

impl fmt::Debug for MemberKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberKeys({})", self.0.len())
    }
}
