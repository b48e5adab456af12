//! What is written to the cluster: the requests, their outcomes, and the policy of
//! writing as a machine ([`Queue`]). `cluster` only carries them out.

mod queue;
mod random;

pub use queue::{Counters, Queue, QueueConfig, Settled, Ticket, WriteKey};
pub(crate) use random::SplitMix;

use crate::name::NamespacedName;
use crate::world::PoolStatus;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One write; everything needed to carry it out, nothing to decide. Those of which ten thousand may wait are small, what
/// there is little of is boxed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write {
    /// Merge patch of `services/status` with resourceVersion, the whole ingress list or
    /// null, and the annotation `metallb.io/ip-allocated-from-pool` or null.
    ServiceStatus(Box<ServiceStatus>),
    /// Status of an IPAddressPool (merge patch of `/status`).
    PoolStatus {
        /// The pool.
        name: NamespacedName,
        /// The counters.
        status: PoolStatus,
    },
    /// An event on a Service.
    Event(Event),
    /// Create or update this node's ServiceL2Status for a Service. `existing` names the
    /// object to patch, none to create one (`generateName: l2-`).
    L2Status {
        /// Object to patch.
        existing: Option<NamespacedName>,
        /// The node that announces.
        node: String,
        /// The Service.
        service: NamespacedName,
        /// Interface names; empty: all.
        interfaces: Vec<String>,
    },
    /// Delete a ServiceL2Status.
    DeleteL2Status(NamespacedName),
    /// Create or update this node's ServiceBGPStatus for a Service (`generateName: bgp-`); with
    /// an empty name of the Service the one of the whole node.
    BgpStatus {
        /// Object to patch.
        existing: Option<NamespacedName>,
        /// The node that announces.
        node: String,
        /// The Service.
        service: NamespacedName,
        /// BGPPeers that are told, sorted.
        peers: Vec<String>,
    },
    /// Delete a ServiceBGPStatus.
    DeleteBgpStatus(NamespacedName),
    /// Create or update a BGPSessionState.
    SessionState(Box<SessionStateValue>),
    /// Delete a BGPSessionState.
    DeleteSessionState(NamespacedName),
    /// Create or update a ConfigurationState.
    ConfigurationState(ConfigurationStateValue),
    /// Create the membership Secret if it is absent (16 random bytes, raw base64, drawn by the shell).
    MembershipSecret(NamespacedName),
}

/// See [`Write::ServiceStatus`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceStatus {
    /// The Service.
    pub name: NamespacedName,
    /// Its uid: a re-created Service of the same name is another one.
    pub uid: String,
    /// `metadata.resourceVersion` the decision was made on.
    pub version: String,
    /// The whole `status.loadBalancer.ingress`, empty to clear it.
    pub addresses: Vec<IpAddr>,
    /// `ipMode` of each: `VIP`, or `Proxy` in front mode.
    pub ip_mode: &'static str,
    /// Value of `metallb.io/ip-allocated-from-pool`, none to remove it.
    pub pool: Option<String>,
}

/// An event on a Service (events.k8s.io or core/v1; at most [`EVENT_NOTE_BYTES_MAX`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// The Service it is on.
    pub service: NamespacedName,
    /// Its uid.
    pub uid: String,
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// MetalLB's reason (compat/metallb.md 2.11) or one of ours.
    pub reason: &'static str,
    /// The text.
    pub message: String,
}

/// `events.k8s.io/v1` refuses a longer note.
pub const EVENT_NOTE_BYTES_MAX: usize = 1024;

/// A ConfigurationState as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigurationStateValue {
    /// `controller` or `speaker-<node>`, in our namespace.
    pub name: NamespacedName,
    /// Labels (`metallb.io/component-type`, `metallb.io/node-name`).
    pub labels: BTreeMap<String, String>,
    /// `Valid`, `Invalid`, `Unknown`.
    pub result: &'static str,
    /// Joined messages.
    pub error_summary: String,
    /// Condition type: `poolReconcilerValid` or `configReconcilerValid`.
    pub condition: &'static str,
    /// Condition reason: `Reconciled`, `ConfigurationError`, `UnknownError`.
    pub reason: &'static str,
}

/// A BGPSessionState as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionStateValue {
    /// The object, in our namespace.
    pub name: NamespacedName,
    /// This node.
    pub node: String,
    /// The BGPPeer.
    pub peer: String,
    /// Address and port, or the interface.
    pub neighbor: String,
    /// The VRF.
    pub vrf: Option<String>,
    /// See [`crate::facts::SessionFact::bgp`].
    pub bgp: String,
    /// See [`crate::facts::SessionFact::bfd`].
    pub bfd: String,
    /// In words; empty: nothing.
    pub last_error: String,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the resourceVersion of the object after it, when the server tells one.
    Done(Option<String>),
    /// Another version was there: wait for the watch to show it, then decide again.
    Conflict,
    /// The object is gone.
    NotFound,
    /// The server refuses it for good (invalid, forbidden); the text says why.
    Refused(String),
    /// The server could not be asked or was too busy; try again.
    Unavailable(String),
}
