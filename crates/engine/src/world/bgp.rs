//! The kinds of BGP, as written. `config` checks them.

use super::objects::Object;
use crate::name::NamespacedName;
use crate::selector::LabelSelector;
use std::collections::BTreeMap;

/// `metallb.io` BGPPeer, as written (v1beta2; what v1beta1 lacks is absent). `Debug` hides
/// the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BgpPeer {
    /// Its name.
    pub name: NamespacedName,
    /// Our annotations: extensions of `harbinger.dev`.
    pub annotations: BTreeMap<String, String>,
    /// `myASN`.
    pub my_asn: i64,
    /// `peerASN`; 0 is none.
    pub peer_asn: Option<i64>,
    /// `dynamicASN`: `internal` or `external`.
    pub dynamic_asn: Option<String>,
    /// `localASN`.
    pub local_asn: Option<i64>,
    /// `peerAddress`; empty is none.
    pub peer_address: Option<String>,
    /// `interface`; empty is none.
    pub interface: Option<String>,
    /// `sourceAddress`; empty is none.
    pub source_address: Option<String>,
    /// `peerPort`; none or 0 is 179.
    pub peer_port: Option<i64>,
    /// `holdTime`, as Go writes durations.
    pub hold_time: Option<String>,
    /// `keepaliveTime`.
    pub keepalive_time: Option<String>,
    /// `connectTime`.
    pub connect_time: Option<String>,
    /// `routerID`; empty is none.
    pub router_id: Option<String>,
    /// Nodes that run the session; empty: all.
    pub node_selectors: Vec<LabelSelector>,
    /// `password`; empty is none.
    pub password: Option<String>,
    /// `passwordSecret.name`; empty is none.
    pub password_secret: Option<String>,
    /// `bfdProfile`; empty is none.
    pub bfd_profile: Option<String>,
    /// `enableGracefulRestart`.
    pub graceful_restart: bool,
    /// `ebgpMultiHop`.
    pub ebgp_multi_hop: bool,
    /// `vrf`; empty is none.
    pub vrf: Option<String>,
    /// `disableMP`: deprecated, without effect.
    pub disable_mp: bool,
    /// `dualStackAddressFamily`.
    pub dual_stack: bool,
}

impl std::fmt::Debug for BgpPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BgpPeer")
            .field("name", &self.name)
            .field("my_asn", &self.my_asn)
            .field("peer_asn", &self.peer_asn)
            .field("peer_address", &self.peer_address)
            .field("interface", &self.interface)
            .field("has_password", &self.password.is_some())
            .finish_non_exhaustive()
    }
}

/// `metallb.io/v1beta1` BGPAdvertisement, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BgpAdvertisement {
    /// Its name.
    pub name: NamespacedName,
    /// Our annotations: extensions of `harbinger.dev`.
    pub annotations: BTreeMap<String, String>,
    /// Prefix length of IPv4 routes.
    pub aggregation_length: i64,
    /// Prefix length of IPv6 routes.
    pub aggregation_length_v6: i64,
    /// `localPref`; none or 0 is not set.
    pub local_pref: Option<i64>,
    /// Values or names.
    pub communities: Vec<String>,
    /// Pools by name.
    pub pools: Vec<String>,
    /// Pools by label, united with the names; both empty: all pools.
    pub pool_selectors: Vec<LabelSelector>,
    /// Nodes; empty: all.
    pub node_selectors: Vec<LabelSelector>,
    /// BGPPeers by name; empty: all.
    pub peers: Vec<String>,
    /// Services; empty: all.
    pub service_selectors: Vec<LabelSelector>,
}

/// `metallb.io/v1beta1` BFDProfile, as written; what is absent keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BfdProfile {
    /// Its name.
    pub name: NamespacedName,
    /// Our annotations: extensions of `harbinger.dev`.
    pub annotations: BTreeMap<String, String>,
    /// Milliseconds.
    pub receive_interval: Option<i64>,
    /// Milliseconds.
    pub transmit_interval: Option<i64>,
    /// Packets that may be missed.
    pub detect_multiplier: Option<i64>,
    /// Milliseconds.
    pub echo_interval: Option<i64>,
    /// Echo packets are used.
    pub echo_mode: bool,
    /// We wait for the peer's first packet.
    pub passive_mode: bool,
    /// Lowest time to live over several hops.
    pub minimum_ttl: Option<i64>,
}

/// `metallb.io/v1beta1` Community: names for values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Community {
    /// Its name.
    pub name: NamespacedName,
    /// Name and value of each.
    pub aliases: Vec<(String, String)>,
}

/// `metallb.io/v1beta1` ServiceBGPStatus as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BgpStatus {
    /// Its name.
    pub name: NamespacedName,
    /// Label `metallb.io/node`, else `status.node`.
    pub node: String,
    /// The Service, by its labels, else its status.
    pub service: NamespacedName,
    /// `status.peers`.
    pub peers: Vec<String>,
    /// Whether `status` was there at all (a POST drops it).
    pub has_status: bool,
}

/// `harbinger.dev/v1alpha1` BGPSessionState as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    /// Its name.
    pub name: NamespacedName,
    /// `status.node`.
    pub node: String,
    /// `status.peer`: the BGPPeer.
    pub peer: String,
    /// `status.bgpStatus`.
    pub bgp: String,
    /// `status.bfdStatus`.
    pub bfd: String,
    /// `status.lastError`.
    pub last_error: String,
}

macro_rules! named {
    ($($type:ty),*) => { $(impl Object for $type {
        fn name(&self) -> &NamespacedName { &self.name }
    })* };
}

named!(
    BgpPeer,
    BgpAdvertisement,
    BfdProfile,
    Community,
    BgpStatus,
    SessionState
);
