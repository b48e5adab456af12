//! BGPPeers: the session as it may be run, with the password resolved.

use super::super::{Judge, counts, duration};
use super::bfd_profile::BfdProfile;
use super::extension::{self, Extensions};
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity, reason};
use crate::selector::{Labels, Selector, any_matches};
use crate::world::{self, Family, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// The port of BGP (RFC 4271 §8.2.1).
const PORT: u16 = 179;
/// MetalLB's range of ports.
const PORTS: std::ops::RangeInclusive<i64> = 0..=16_384;
/// TCP MD5 keys, in octets (the kernel's bound).
const PASSWORD_BYTES_MAX: usize = 80;
/// The hold time of a peer that says nothing of it (MetalLB's native engine).
const HOLD_TIME: Duration = Duration::from_secs(90);
/// Type and key of a Secret with a password.
const SECRET_TYPE: &str = "kubernetes.io/basic-auth";
const SECRET_KEY: &str = "password";

/// Names of the annotations that mean something on a BGPPeer.
const ANNOTATIONS: [&str; 9] = [
    "bfd-mode",
    "bfd-strict",
    "drain-wait",
    "min-hold-time",
    "multihop-ttl",
    "next-hop",
    "restart-time",
    "source-interface",
    "ttl-security-hops",
];

/// Which system the peer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAsn {
    /// This one.
    Number(u32),
    /// Ours, whatever the peer says first.
    Internal,
    /// Any other.
    External,
}

/// Where the peer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// At an address.
    Address(IpAddr),
    /// The link-local neighbour on an interface (unnumbered).
    Interface(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Interface(name) => write!(f, "{name}"),
        }
    }
}

/// How a BFD session is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BfdMode {
    /// By where the peer is (protocols: RFC 5881 on the link, RFC 5883 beyond it).
    #[default]
    Auto,
    /// RFC 5881.
    SingleHop,
    /// RFC 5883.
    MultiHop,
}

/// A TCP MD5 key; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Arc<[u8]>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A BGPPeer that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpPeer {
    /// The object; its name is the peer's.
    pub object: NamespacedName,
    /// Our system number.
    pub my_asn: u32,
    /// The peer's.
    pub remote_asn: RemoteAsn,
    /// Shown to this peer instead of ours.
    pub local_asn: Option<u32>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// TCP port.
    pub port: u16,
    /// Our address of the session.
    pub source_address: Option<IpAddr>,
    /// The interface whose address is our address of the session
    /// (`harbinger.dev/source-interface`).
    pub source_interface: Option<String>,
    /// Zero is none (RFC 4271 §4.2).
    pub hold_time: Duration,
    /// At most the hold time; zero with a hold time of zero.
    pub keepalive_time: Duration,
    /// Between two attempts to connect.
    pub connect_time: Option<Duration>,
    /// Lowest hold time that is accepted (`harbinger.dev/min-hold-time`).
    pub min_hold_time: Option<Duration>,
    /// Our BGP identifier.
    pub router_id: Option<Ipv4Addr>,
    /// Nodes that run the session; empty: all.
    pub node_selectors: Vec<Selector>,
    /// TCP MD5.
    pub password: Option<Password>,
    /// Beside it a BFD session.
    pub bfd: Option<Arc<BfdProfile>>,
    /// How (`harbinger.dev/bfd-mode`).
    pub bfd_mode: BfdMode,
    /// Established only after BFD is up (`harbinger.dev/bfd-strict`).
    pub bfd_strict: bool,
    /// RFC 4724.
    pub graceful_restart: bool,
    /// What we ask the peer to wait (`harbinger.dev/restart-time`).
    pub restart_time: Option<Duration>,
    /// How long routes are told with GRACEFUL_SHUTDOWN before they are withdrawn from a node
    /// that is drained (`harbinger.dev/drain-wait`).
    pub drain_wait: Option<Duration>,
    /// An external peer may be more than one hop away.
    pub ebgp_multi_hop: bool,
    /// Time to live over several hops (`harbinger.dev/multihop-ttl`).
    pub multihop_ttl: Option<u8>,
    /// RFC 5082: the peer is at most this far away (`harbinger.dev/ttl-security-hops`).
    pub ttl_security_hops: Option<u8>,
    /// The VRF of the session.
    pub vrf: Option<String>,
    /// Both families over the one session.
    pub dual_stack: bool,
    /// Next hops instead of our addresses, one of each family at most
    /// (`harbinger.dev/next-hop`).
    pub next_hops: Vec<IpAddr>,
}

impl BgpPeer {
    /// Whether a node with these labels runs the session.
    pub fn selects_node(&self, labels: &Labels) -> bool {
        self.node_selectors.is_empty() || any_matches(&self.node_selectors, labels)
    }

    /// Whether peer and we are in one system; none until a dynamic one has told.
    pub fn is_internal(&self) -> bool {
        match self.remote_asn {
            RemoteAsn::Number(asn) => asn == self.local_asn.unwrap_or(self.my_asn),
            RemoteAsn::Internal => true,
            RemoteAsn::External => false,
        }
    }

    /// Whether routes of a family go over the session.
    pub fn carries(&self, family: Family) -> bool {
        match &self.endpoint {
            Endpoint::Interface(_) => true,
            Endpoint::Address(address) => self.dual_stack || Family::of(*address) == family,
        }
    }
}

pub(super) fn parse(
    world: &World,
    profiles: &BTreeMap<String, Arc<BfdProfile>>,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<BgpPeer>> {
    let mut all: Vec<Arc<BgpPeer>> = Vec::new();
    for stored in world.bgp_peers.iter() {
        let raw = &stored.object;
        let source = stored.origin.source.clone();
        let mut judge = Judge::new(Kind::BgpPeer, &raw.name, source);
        if counts(&mut judge, namespace)
            && let Some(peer) = one(raw, world, profiles, namespace, &mut judge)
            && is_alone(&peer, &all, world, &mut judge)
        {
            all.push(Arc::new(peer));
        }
        problems.append(&mut judge.problems);
    }
    all
}

fn one(
    raw: &world::BgpPeer,
    world: &World,
    profiles: &BTreeMap<String, Arc<BfdProfile>>,
    namespace: &str,
    judge: &mut Judge<'_>,
) -> Option<BgpPeer> {
    let systems = systems(raw, judge);
    let endpoint = endpoint(raw, judge);
    let source_address = address("sourceAddress", raw.source_address.as_deref(), judge);
    let router_id = router_id(raw, judge);
    let timers = timers(raw, judge);
    let port = port(raw, judge);
    let node_selectors = judge.selectors("spec.nodeSelectors", &raw.node_selectors);
    let password = password(raw, world, namespace, judge);
    let bfd = bfd(raw, profiles, judge);
    if raw.disable_mp {
        let text = "spec.disableMP is deprecated and without effect: only the families of the session are offered";
        judge.tell(Severity::Warning, reason::DEPRECATED_FIELD, text);
    }
    let (my_asn, remote_asn, local_asn) = systems?;
    let (hold_time, keepalive_time, connect_time) = timers?;
    let (endpoint, source_address) = (endpoint?, source_address?);
    same_family(&endpoint, source_address, judge)?;
    let mut peer = BgpPeer {
        object: raw.name.clone(),
        my_asn,
        remote_asn,
        local_asn,
        endpoint,
        port: port?,
        source_address,
        source_interface: None,
        hold_time,
        keepalive_time,
        connect_time,
        min_hold_time: None,
        router_id: router_id?,
        node_selectors: node_selectors?,
        password: password?,
        bfd: bfd?,
        bfd_mode: BfdMode::Auto,
        bfd_strict: false,
        graceful_restart: raw.graceful_restart,
        restart_time: None,
        drain_wait: None,
        ebgp_multi_hop: raw.ebgp_multi_hop,
        multihop_ttl: None,
        ttl_security_hops: None,
        vrf: raw.vrf.clone(),
        dual_stack: raw.dual_stack,
        next_hops: Vec::new(),
    };
    extend(&mut peer, &raw.annotations, judge);
    Some(peer)
}

fn systems(raw: &world::BgpPeer, judge: &mut Judge<'_>) -> Option<(u32, RemoteAsn, Option<u32>)> {
    let mut asn = |field: &str, value: i64| {
        let fits = u32::try_from(value).ok().filter(|asn| *asn != 0);
        if fits.is_none() {
            let text = format!("spec.{field}: {value} is not within 1 and 4294967295");
            judge.error(reason::INVALID_FIELD, text);
        }
        fits
    };
    let mine = asn("myASN", raw.my_asn);
    let local = match raw.local_asn {
        Some(value) => asn("localASN", value).map(Some),
        None => Some(None),
    };
    let remote = match (raw.peer_asn, raw.dynamic_asn.as_deref()) {
        (Some(value), None) => asn("peerASN", value).map(RemoteAsn::Number),
        (None, Some("internal")) => Some(RemoteAsn::Internal),
        (None, Some("external")) => Some(RemoteAsn::External),
        (None, Some(other)) => {
            let text = format!("spec.dynamicASN: {other:?} is neither internal nor external");
            judge.error(reason::INVALID_FIELD, text);
            None
        }
        _ => {
            let text = "spec.peerASN: exactly one of peerASN and dynamicASN must be set";
            judge.error(reason::INVALID_FIELD, text);
            None
        }
    };
    let (mine, remote, local) = (mine?, remote?, local?);
    // As MetalLB: the numbers as written are compared, localASN aside.
    if raw.ebgp_multi_hop && remote == RemoteAsn::Number(mine) {
        let text = "spec.ebgpMultiHop: not for a peer in our own system (peerASN equals myASN)";
        judge.error(reason::INVALID_FIELD, text);
        return None;
    }
    Some((mine, remote, local))
}

fn endpoint(raw: &world::BgpPeer, judge: &mut Judge<'_>) -> Option<Endpoint> {
    match (&raw.peer_address, &raw.interface) {
        (Some(text), None) => match parse_address(text) {
            Some(IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
                let text = format!(
                    "spec.peerAddress: {text} is only valid on one link: use spec.interface instead"
                );
                judge.error(reason::INVALID_FIELD, text);
                None
            }
            Some(address) if !is_host(address) => {
                let text = format!("spec.peerAddress: {text} is no address of a router");
                judge.error(reason::INVALID_FIELD, text);
                None
            }
            Some(address) => Some(Endpoint::Address(address)),
            None => {
                let text = format!("spec.peerAddress: {text:?} is not an IP address");
                judge.error(reason::INVALID_FIELD, text);
                None
            }
        },
        (None, Some(name)) => Some(Endpoint::Interface(name.clone())),
        _ => {
            let text = "spec.peerAddress: exactly one of peerAddress and interface must be set";
            judge.error(reason::INVALID_FIELD, text);
            None
        }
    }
}

/// Unspecified, multicast and broadcast addresses belong to no host.
fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// IPv4 in IPv6 is refused, as the rule of the definitions does.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    (!mapped).then_some(address)
}

/// The outer option is none when the text is no address.
fn address(field: &str, text: Option<&str>, judge: &mut Judge<'_>) -> Option<Option<IpAddr>> {
    let Some(text) = text else {
        return Some(None);
    };
    let parsed = parse_address(text);
    if parsed.is_none() {
        let text = format!("spec.{field}: {text:?} is not an IP address");
        judge.error(reason::INVALID_FIELD, text);
    }
    parsed.map(Some)
}

fn same_family(endpoint: &Endpoint, source: Option<IpAddr>, judge: &mut Judge<'_>) -> Option<()> {
    if let (Endpoint::Address(peer), Some(source)) = (endpoint, source)
        && Family::of(*peer) != Family::of(source)
    {
        let text = format!("spec.sourceAddress: {source} and the peer {peer} differ in family");
        judge.error(reason::INVALID_FIELD, text);
        return None;
    }
    Some(())
}

/// An identifier is 32 bits, not zero (RFC 6286); MetalLB takes any address as text.
fn router_id(raw: &world::BgpPeer, judge: &mut Judge<'_>) -> Option<Option<Ipv4Addr>> {
    match address("routerID", raw.router_id.as_deref(), judge)? {
        None => Some(None),
        Some(IpAddr::V4(id)) if !id.is_unspecified() => Some(Some(id)),
        Some(other) => {
            let text = format!("spec.routerID: {other} is not an IPv4 address other than 0.0.0.0");
            judge.error(reason::INVALID_FIELD, text);
            None
        }
    }
}

type Timers = (Duration, Duration, Option<Duration>);

/// Hold, keepalive and connect time; absent ones follow from each other (2.4).
fn timers(raw: &world::BgpPeer, judge: &mut Judge<'_>) -> Option<Timers> {
    let mut read = |field: &str, text: &Option<String>| match text {
        None => Some(None),
        Some(text) => {
            let parsed = duration::parse(text);
            if parsed.is_none() {
                let text = format!("spec.{field}: {text:?} is not a duration that is not negative");
                judge.error(reason::INVALID_FIELD, text);
            }
            parsed.map(Some)
        }
    };
    let hold = read("holdTime", &raw.hold_time);
    let keepalive = read("keepaliveTime", &raw.keepalive_time);
    let connect = read("connectTime", &raw.connect_time);
    let (hold, keepalive, connect) = (hold?, keepalive?, connect?);
    let whole = |time: Duration| Duration::from_secs(time.as_secs());
    let (hold, keepalive) = match (hold, keepalive) {
        (Some(hold), Some(keepalive)) => (hold, keepalive),
        (Some(hold), None) => (hold, hold / 3),
        (None, Some(keepalive)) => (keepalive.saturating_mul(3), keepalive),
        (None, None) => (HOLD_TIME, HOLD_TIME / 3),
    };
    let held = whole(hold).as_secs();
    if held != 0 && !(3..=65_535).contains(&held) {
        let text = format!("spec.holdTime: {held} s is neither 0 nor within 3 s and 65535 s");
        judge.error(reason::INVALID_FIELD, text);
        return None;
    }
    if keepalive > hold {
        let text = "spec.keepaliveTime: at most holdTime";
        judge.error(reason::INVALID_FIELD, text);
        return None;
    }
    if let Some(time) = connect
        && (time != whole(time) || !(1..=65_535).contains(&time.as_secs()))
    {
        let text = "spec.connectTime: a whole number of seconds from 1 to 65535";
        judge.error(reason::INVALID_FIELD, text);
        return None;
    }
    Some((whole(hold), keepalive, connect))
}

fn port(raw: &world::BgpPeer, judge: &mut Judge<'_>) -> Option<u16> {
    let value = raw.peer_port.unwrap_or(0);
    match u16::try_from(value) {
        Ok(0) => Some(PORT),
        Ok(port) if PORTS.contains(&value) => Some(port),
        _ => {
            let text = format!("spec.peerPort: {value} is not within 1 and 16384");
            judge.error(reason::INVALID_FIELD, text);
            None
        }
    }
}

/// The outer option is none when there should be a password and there is none: a session
/// is never unsigned because a Secret is missing (BGP-07).
fn password(
    raw: &world::BgpPeer,
    world: &World,
    namespace: &str,
    judge: &mut Judge<'_>,
) -> Option<Option<Password>> {
    let (field, bytes) = match (&raw.password, &raw.password_secret) {
        (None, None) => return Some(None),
        (Some(_), Some(_)) => {
            let text = "spec.password: not together with passwordSecret";
            judge.error(reason::INVALID_FIELD, text);
            return None;
        }
        (Some(text), None) => ("spec.password".to_owned(), text.as_bytes().to_vec()),
        (None, Some(name)) => match secret(name, world, namespace) {
            Ok(bytes) => (format!("spec.passwordSecret: Secret {name:?}"), bytes),
            Err(why) => {
                judge.error(
                    reason::INVALID_SECRET,
                    format!("spec.passwordSecret: {why}"),
                );
                return None;
            }
        },
    };
    if bytes.is_empty() || bytes.len() > PASSWORD_BYTES_MAX {
        let length = bytes.len();
        let text = format!("{field}: {length} octets; TCP MD5 takes 1 to {PASSWORD_BYTES_MAX}");
        judge.error(reason::INVALID_SECRET, text);
        return None;
    }
    Some(Some(Password(Arc::from(bytes))))
}

fn secret(name: &str, world: &World, namespace: &str) -> Result<Vec<u8>, String> {
    let key = NamespacedName::new(namespace, name);
    let Some(stored) = world.secrets.get(&key) else {
        return Err(format!(
            "there is no Secret {name:?} in namespace {namespace:?}; the session waits for it"
        ));
    };
    let secret = &stored.object;
    if secret.kind != SECRET_TYPE {
        let is = &secret.kind;
        return Err(format!(
            "Secret {name:?} is of type {is:?}, not {SECRET_TYPE:?}"
        ));
    }
    let value = secret.data.get(SECRET_KEY);
    value
        .cloned()
        .ok_or_else(|| format!("Secret {name:?} has no key {SECRET_KEY:?}"))
}

/// The outer option is none when the profile is missing.
fn bfd(
    raw: &world::BgpPeer,
    profiles: &BTreeMap<String, Arc<BfdProfile>>,
    judge: &mut Judge<'_>,
) -> Option<Option<Arc<BfdProfile>>> {
    let Some(name) = &raw.bfd_profile else {
        return Some(None);
    };
    let found = profiles.get(name);
    if found.is_none() {
        let text = format!("spec.bfdProfile: there is no usable BFDProfile {name:?}");
        judge.error(reason::UNKNOWN_PROFILE, text);
    }
    found.map(|profile| Some(Arc::clone(profile)))
}

/// Annotations; a bad one is told and left out, the session runs without it.
fn extend(peer: &mut BgpPeer, annotations: &BTreeMap<String, String>, judge: &mut Judge<'_>) {
    extension::refuse_unknown(annotations, &ANNOTATIONS, judge);
    let mut extensions = Extensions { annotations, judge };
    let octet = |value: u32| u8::try_from(value).ok();
    peer.ttl_security_hops = extensions
        .number("ttl-security-hops", 1..=254)
        .and_then(octet);
    peer.multihop_ttl = extensions.number("multihop-ttl", 1..=255).and_then(octet);
    peer.min_hold_time = extensions.seconds("min-hold-time", 3..=65_535);
    // 12 bits (RFC 4724 §3).
    peer.restart_time = extensions.seconds("restart-time", 1..=4_095);
    peer.drain_wait = extensions.seconds("drain-wait", 0..=600);
    peer.bfd_strict = extensions.flag("bfd-strict");
    let mode = |text: &str| match text {
        "auto" => Some(BfdMode::Auto),
        "single" => Some(BfdMode::SingleHop),
        "multi" => Some(BfdMode::MultiHop),
        _ => None,
    };
    let mode = extensions.read("bfd-mode", "auto, single or multi", mode);
    peer.bfd_mode = mode.unwrap_or_default();
    peer.source_interface = extensions.text("source-interface").map(str::to_owned);
    let hops = extensions.read("next-hop", "one address of each family at most", next_hops);
    peer.next_hops = hops.unwrap_or_default();
    if peer.ttl_security_hops.is_some() && peer.ebgp_multi_hop {
        let text = "metadata.annotations[\"harbinger.dev/ttl-security-hops\"]: not together with ebgpMultiHop; it is ignored";
        extensions.judge.error(reason::INVALID_FIELD, text);
        peer.ttl_security_hops = None;
    }
}

fn next_hops(text: &str) -> Option<Vec<IpAddr>> {
    let parsed: Option<Vec<IpAddr>> = text
        .split(',')
        .map(|part| parse_address(part.trim()).filter(|address| is_host(*address)))
        .collect();
    parsed.filter(|all| {
        let families: BTreeSet<Family> = all.iter().map(|a| Family::of(*a)).collect();
        families.len() == all.len()
    })
}

/// Two sessions to one place from one node cannot be; the first by name is kept.
fn is_alone(peer: &BgpPeer, others: &[Arc<BgpPeer>], world: &World, judge: &mut Judge<'_>) -> bool {
    let place = |peer: &BgpPeer| (peer.endpoint.clone(), peer.port, peer.vrf.clone());
    let same = others
        .iter()
        .find(|other| place(other) == place(peer) && share_a_node(other, peer, world));
    if let Some(other) = same {
        let (name, endpoint, port) = (&other.object.name, &peer.endpoint, peer.port);
        let text = format!(
            "spec.peerAddress: BGPPeer {name:?} is at {endpoint} port {port} already, on a node both select"
        );
        judge.error(reason::DUPLICATE, text);
    }
    same.is_none()
}

/// Without nodes it is assumed.
fn share_a_node(a: &BgpPeer, b: &BgpPeer, world: &World) -> bool {
    world.nodes.is_empty()
        || world.nodes.iter().any(|node| {
            let labels = &node.object.labels;
            a.selects_node(labels) && b.selects_node(labels)
        })
}
