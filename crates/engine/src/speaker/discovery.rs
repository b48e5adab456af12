//! Where the members are, what seals their datagrams, what this node tells of itself.

use super::{MemberKeys, SpeakerConfig};
use crate::facts::{Interface, MemberRecord, Word};
use crate::interfaces::{Exclusion, usable};
use crate::name::{Kind, NamespacedName};
use crate::record;
use crate::selector::Selector;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// LIMIT: members that are called; SWIM is tuned and tried up to 200.
const PEERS_MAX: usize = 2_048;

/// Key of the Secret (compat/metallb.md 2.9).
const SECRET_KEY: &str = "secretkey";

/// How members find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Membership is off: every node of the world counts as alive, as in MetalLB without
    /// memberlist.
    Off,
    /// By the speaker Pods of our namespace.
    Pods {
        /// Labels they carry.
        selector: Selector,
        /// The membership's port.
        port: u16,
        /// Only addresses of this family are called: that of the membership's socket.
        ipv6: bool,
    },
    /// A list, and keys that come from a file; without a cluster.
    Static {
        /// The members.
        peers: BTreeSet<SocketAddr>,
        /// Their secrets; none: those of the Secret count.
        keys: Option<MemberKeys>,
    },
}

/// None before the Pods are listed.
pub(super) fn peers(config: &SpeakerConfig, world: &World) -> Option<BTreeSet<SocketAddr>> {
    match &config.discovery {
        Discovery::Off => Some(BTreeSet::new()),
        Discovery::Static { peers, .. } => Some(peers.clone()),
        Discovery::Pods {
            selector,
            port,
            ipv6,
        } => {
            world.epoch(&[Kind::Pod])?;
            let pods = world.pods.iter().map(|stored| &stored.object);
            let ours = pods.filter(|pod| {
                pod.name.namespace == config.namespace && selector.matches(&pod.labels)
            });
            let addresses = ours.flat_map(|pod| pod.ips.iter().find(|ip| ip.is_ipv6() == *ipv6));
            let peers = addresses.map(|ip| SocketAddr::new(*ip, *port));
            Some(peers.take(PEERS_MAX).collect())
        }
    }
}

pub(super) fn keys(config: &SpeakerConfig, world: &World) -> MemberKeys {
    if let Discovery::Static {
        keys: Some(keys), ..
    } = &config.discovery
    {
        return keys.clone();
    }
    let name = NamespacedName::new(config.namespace.as_str(), config.secret_name.as_str());
    let secret = world.secrets.get(&name).map(|stored| &stored.object);
    let key = secret.and_then(|secret| secret.data.get(SECRET_KEY));
    MemberKeys(
        key.filter(|key| !key.is_empty())
            .into_iter()
            .cloned()
            .collect(),
    )
}

pub(super) fn record(
    known: &BTreeMap<u32, Interface>,
    exclusion: &Exclusion,
    word: Option<Word>,
) -> Arc<[u8]> {
    let record = MemberRecord {
        interfaces: usable(known, exclusion),
        word,
        ..MemberRecord::default()
    };
    record::encode(&record).into()
}
