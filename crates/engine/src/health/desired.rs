//! What is to be probed, and how: the input of the health machine.

use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Everything the machine is to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthDesired {
    /// The nodes, by name.
    pub nodes: BTreeMap<String, NodeWanted>,
    /// TCP NodePorts to try where port 10256 is not served, by family, each Service once.
    pub node_ports: BTreeMap<Family, Vec<NodePort>>,
    /// Services that are probed for themselves: those of policy Local, and those with an application probe.
    pub services: BTreeMap<NamespacedName, ServiceCheck>,
    /// Of the node probes.
    pub settings: Settings,
    /// The node this machine runs on, if it is one of them.
    pub own_node: Option<String>,
    /// What other observers say, by their node.
    pub observers: BTreeMap<String, Opinion>,
    /// The default gateway answers; none where nobody asks it. It breaks the tie between two nodes.
    pub gateway: Option<bool>,
}

/// One node as the cluster shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one fact of the Node object or of the members"
)]
pub struct NodeWanted {
    /// Its first InternalIP of each family.
    pub addresses: BTreeMap<Family, IpAddr>,
    /// It has the exclusion label.
    pub excluded: bool,
    /// Why it is being emptied, in words: its deletion, the autoscaler's taint, maintenance.
    pub leaving: Option<&'static str>,
    /// Somebody vouches that nothing runs there (taint `out-of-service`).
    pub out_of_service: bool,
    /// Its kubelet is silent. Never acted on alone.
    pub not_ready: bool,
    /// It was a member and the members have confirmed its loss. Never acted on alone: only a speaker may have died.
    pub member_lost: bool,
    /// Its speaker is a living member: the network between the two is well.
    pub heard: bool,
    /// The only link that leads there has no carrier.
    pub link_down: bool,
}

/// A NodePort to try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodePort {
    /// Whose.
    pub service: Arc<NamespacedName>,
    /// The port.
    pub port: u16,
}

/// How a Service is probed on each of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCheck {
    /// The probe.
    pub check: Check,
    /// Where: the nodes that have endpoints (Local), or every node.
    pub nodes: BTreeSet<String>,
    /// Of these probes.
    pub settings: Settings,
}

/// A probe of one Service on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Its `healthCheckNodePort`.
    Local {
        /// The port.
        port: u16,
    },
    /// A connection to its NodePort.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A request to its NodePort.
    Http(HttpCheck),
}

/// A request and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// The port.
    pub port: u16,
    /// The path, `/` if nothing else is said.
    pub path: Arc<str>,
    /// The `Host` header; none: address and port.
    pub host: Option<Arc<str>>,
    /// Statuses that are well; empty: 200 to 399.
    pub statuses: BTreeSet<u16>,
    /// Over TLS, without a look at the certificate.
    pub tls: bool,
}

/// What another observer thinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// It reaches more than half of the other nodes; otherwise what it says does not count.
    pub counts: bool,
    /// Nodes that it cannot reach.
    pub cannot_reach: BTreeSet<String>,
}

/// Times and thresholds of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the start of one probe to the start of the next, give or take a tenth.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Failures in a row after which no new connection goes there.
    pub fall: u32,
    /// Passes in a row after which connections go there again.
    pub rise: u32,
    /// From the end of one probe to the start of the next while a result is changing.
    pub fast: Duration,
    /// Interval of what has been down for longer than a minute.
    pub slow: Duration,
    /// How long the established connections of a node that drains are kept.
    pub drain: Duration,
    /// How long the share of a node that returns grows from a tenth to the whole; zero: at once.
    pub slow_start: Duration,
}

/// LIMIT: shortest interval and timeout; a probe more often is load without information.
pub const INTERVAL_FLOOR: Duration = Duration::from_millis(100);

/// LIMIT: shortest timeout, above the round trips of one site.
pub const TIMEOUT_FLOOR: Duration = Duration::from_millis(10);

/// LIMIT: longest of all times here, so that sums of them never overflow.
pub const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// LIMIT: most of `fall` and `rise`.
pub const THRESHOLD_MAX: u32 = 100;

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            fall: 3,
            rise: 2,
            fast: Duration::from_millis(250),
            slow: Duration::from_secs(5),
            drain: Duration::from_secs(300),
            slow_start: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Within the limits; the machine uses nothing else, whatever it is given.
    #[must_use]
    pub fn clamped(self) -> Self {
        let time = |t: Duration| t.clamp(INTERVAL_FLOOR, TIME_MAX);
        Self {
            interval: time(self.interval),
            timeout: self.timeout.clamp(TIMEOUT_FLOOR, TIME_MAX),
            fall: self.fall.clamp(1, THRESHOLD_MAX),
            rise: self.rise.clamp(1, THRESHOLD_MAX),
            fast: time(self.fast).min(time(self.interval)),
            slow: time(self.slow).max(time(self.interval)),
            drain: self.drain.min(TIME_MAX),
            slow_start: self.slow_start.min(TIME_MAX),
        }
    }
}
