//! How this speaker takes part in the membership, from its flags.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use engine::selector::{LabelSelector, Selector};
use engine::speaker::{Discovery, MemberKeys};
use linux::route::Snapshot;
use members::BootId;

use crate::cli::args::{Members, random};

/// What the machines and the socket are told.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    /// Where to listen; none: off.
    pub(super) bind: Option<SocketAddr>,
    /// Of the membership machine.
    pub(super) config: Option<members::Config>,
    /// Of the speaker machine.
    pub(super) discovery: Discovery,
}

/// Reads the flags; `snapshot` has the addresses of this node.
///
/// # Errors
/// A flag that cannot be, a key that cannot be used, no address of our own.
pub(super) fn membership(
    flags: &Members,
    node: &str,
    snapshot: &Snapshot,
) -> anyhow::Result<Membership> {
    let Some(bind) = flags.bind()? else {
        tracing::warn!(
            event = "membershipOff",
            "membership is off: every node counts as alive, and a dead one is not replaced; set --ml-bindaddr and --ml-labels, or --members-bind and --members-peers"
        );
        return Ok(Membership {
            bind: None,
            config: None,
            discovery: Discovery::Off,
        });
    };
    let own = own_address(bind, &flags.members_peers, snapshot).context(
        "this node has no address that others could reach; name one with --members-bind ADDR:PORT",
    )?;
    let labels = flags.labels()?;
    let key = flags.key()?;
    let discovery = if !flags.members_peers.is_empty() || labels.is_empty() {
        Discovery::Static {
            peers: flags.members_peers.iter().copied().collect(),
            keys: key.map(|key| MemberKeys(vec![key])),
        }
    } else if flags.members_key_file.is_some() {
        bail!(
            "--members-key-file needs --members-peers: with --ml-labels the key is in the Secret --ml-secret-name"
        );
    } else {
        let raw = LabelSelector {
            match_labels: labels,
            ..LabelSelector::default()
        };
        Discovery::Pods {
            selector: Selector::parse(&raw).map_err(|why| anyhow::anyhow!("--ml-labels: {why}"))?,
            port: bind.port(),
            ipv6: bind.is_ipv6(),
        }
    };
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    // From the operating system, never from the logged seed: the seal's key depends on it.
    let boot = BootId::new(millis, random()?);
    Ok(Membership {
        bind: Some(bind),
        config: Some(members::Config::new(node, own, boot)),
        discovery,
    })
}

/// The address by which others know this node: the one it binds to, else the one that the list of peers has,
/// else the first that is not local to the host or the link.
fn own_address(bind: SocketAddr, peers: &[SocketAddr], snapshot: &Snapshot) -> Option<SocketAddr> {
    if !bind.ip().is_unspecified() {
        return Some(bind);
    }
    let own: Vec<IpAddr> = snapshot
        .values()
        .filter(|link| !link.flags.loopback)
        .flat_map(|link| link.addresses.iter().map(|(address, _)| *address))
        .filter(|address| address.is_ipv4() == bind.is_ipv4() && !local(*address))
        .collect();
    let listed = peers.iter().find(|peer| own.contains(&peer.ip()));
    listed.copied().or_else(|| {
        own.first()
            .map(|address| SocketAddr::new(*address, bind.port()))
    })
}

fn local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}
