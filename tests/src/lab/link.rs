//! Interfaces, addresses, routes and neighbours of a host, by netlink.
//!
//! Owns no state: every call opens a netlink connection on the host and closes it again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context, Result, anyhow, bail};
use futures::TryStreamExt;
use ipnetwork::IpNetwork;
use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_route::link::{
    InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkMessage, MacVlanMode,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use rtnetlink::{
    Handle, LinkBridge, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::Host;
use super::host::runtime;

/// What the kernel says of an interface that the lab needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// Index.
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Switched on.
    pub up: bool,
    /// Carrier.
    pub carrier: bool,
    /// How many want promiscuous mode.
    pub promiscuity: u32,
    /// How many want all multicast frames.
    pub all_multicast: u32,
}

/// An entry of the neighbour table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Address.
    pub ip: IpAddr,
    /// Hardware address, when known.
    pub mac: Option<[u8; 6]>,
    /// The interface.
    pub ifindex: u32,
    /// REACHABLE, STALE, ...
    pub state: NeighbourState,
}

impl Host {
    /// Runs netlink requests on the host.
    ///
    /// # Errors
    /// Those of the requests.
    pub fn netlink<R: Send>(&self, f: impl AsyncFnOnce(Handle) -> Result<R> + Send) -> Result<R> {
        self.run(|| {
            runtime().block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                tokio::spawn(connection);
                f(handle).await
            })
        })
        .with_context(|| format!("on host {}", self.name()))
    }

    /// Facts about an interface.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn link(&self, name: &str) -> Result<LinkFacts> {
        self.netlink(async |h| facts(&find(&h, name).await?))
    }

    /// The interface's hardware address.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn mac(&self, name: &str) -> Result<[u8; 6]> {
        Ok(self.link(name)?.mac)
    }

    /// The interface's index.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn index(&self, name: &str) -> Result<u32> {
        Ok(self.link(name)?.index)
    }

    /// Switches an interface on.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn link_up(&self, name: &str) -> Result<()> {
        self.change(name, |m| m.up())
    }

    /// Switches an interface off.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn link_down(&self, name: &str) -> Result<()> {
        self.change(name, |m| m.down())
    }

    /// Renames an interface; it may be up.
    ///
    /// # Errors
    /// There is none of that name, or the new one is taken.
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.change(name, |m| m.name(new))
    }

    /// Sets an interface's hardware address.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn set_mac(&self, name: &str, mac: [u8; 6]) -> Result<()> {
        self.change(name, |m| m.address(mac.to_vec()))
    }

    /// Makes an interface a port of a bridge, or frees it.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn set_master(&self, name: &str, master: Option<&str>) -> Result<()> {
        let master = master.map(|m| self.index(m)).transpose()?;
        self.change(name, |m| m.controller(master.unwrap_or(0)))
    }

    /// Deletes an interface.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn delete_link(&self, name: &str) -> Result<()> {
        self.netlink(async |h| {
            let index = find(&h, name).await?.header.index;
            Ok(h.link().del(index).execute().await?)
        })
    }

    /// Adds a pair of interfaces that are each other's cable, both down.
    ///
    /// # Errors
    /// A name is taken.
    pub fn add_veth(&self, name: &str, peer: &str) -> Result<()> {
        self.netlink(async |h| {
            Ok(h.link()
                .add(LinkVeth::new(name, peer).build())
                .execute()
                .await?)
        })
    }

    /// Adds many pairs `{prefix}N` and `{prefix}N-p` over one connection, as fast as the kernel takes them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn add_veths(&self, prefix: &str, count: usize) -> Result<()> {
        self.netlink(async |h| {
            for n in 0..count {
                let message = LinkVeth::new(&format!("{prefix}{n}"), &format!("{prefix}{n}-p"));
                h.link().add(message.build()).execute().await?;
            }
            Ok(())
        })
    }

    /// Adds a pair, one end here as `name`, the other on `far` as `far_name`; both down.
    ///
    /// # Errors
    /// A name is taken.
    pub fn add_veth_to(&self, name: &str, far: &Host, far_name: &str) -> Result<()> {
        let far = far.namespace().as_raw_fd();
        self.netlink(async |h| {
            let message = veth(name, far, far_name);
            Ok(h.link().add(message).execute().await?)
        })
    }

    /// Adds a bridge without spanning tree, up.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_bridge(&self, name: &str) -> Result<()> {
        self.netlink(async |h| {
            Ok(h.link()
                .add(LinkBridge::new(name).build())
                .execute()
                .await?)
        })
    }

    /// Adds a macvlan interface in bridge mode over `parent`, up.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_macvlan(&self, parent: &str, name: &str) -> Result<()> {
        let parent = self.index(parent)?;
        self.netlink(async |h| {
            let message = LinkMacVlan::new(name, parent, MacVlanMode::Bridge).up();
            Ok(h.link().add(message.build()).execute().await?)
        })
    }

    /// Adds an address such as "192.0.2.1/24".
    ///
    /// # Errors
    /// Not an address, or there already.
    pub fn add_address(&self, name: &str, address: &str) -> Result<()> {
        let net: IpNetwork = address.parse().context("address")?;
        self.netlink(async |h| {
            let index = find(&h, name).await?.header.index;
            add_address(&h, index, net).await
        })
    }

    /// Removes an address.
    ///
    /// # Errors
    /// It is not there.
    pub fn delete_address(&self, name: &str, address: &str) -> Result<()> {
        let net: IpNetwork = address.parse().context("address")?;
        self.netlink(async |h| {
            let index = find(&h, name).await?.header.index;
            let found = h
                .address()
                .get()
                .set_link_index_filter(index)
                .set_address_filter(net.ip())
                .execute()
                .try_next()
                .await?;
            let message = found.ok_or_else(|| anyhow!("{address} is not on {name}"))?;
            Ok(h.address().del(message).execute().await?)
        })
    }

    /// Adds a route to `destination` ("0.0.0.0/0", "2001:db8::/32") by a router.
    ///
    /// # Errors
    /// The router is not reachable.
    pub fn add_route(&self, destination: &str, via: &str) -> Result<()> {
        let net: IpNetwork = destination.parse().context("destination")?;
        let via: IpAddr = via.parse().context("router")?;
        self.netlink(async |h| {
            let message = match (net, via) {
                (IpNetwork::V4(net), IpAddr::V4(via)) => RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(net.network(), net.prefix())
                    .gateway(via)
                    .build(),
                (IpNetwork::V6(net), IpAddr::V6(via)) => RouteMessageBuilder::<Ipv6Addr>::new()
                    .destination_prefix(net.network(), net.prefix())
                    .gateway(via)
                    .build(),
                _ => bail!("{destination} and {via} are of different families"),
            };
            Ok(h.route().add(message).execute().await?)
        })
    }

    /// The neighbour table, both families.
    ///
    /// # Errors
    /// Netlink.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>> {
        self.netlink(async |h| {
            let messages: Vec<_> = h.neighbours().get().execute().try_collect().await?;
            let entries = messages.into_iter().filter_map(|m| {
                let mut entry = Neighbour {
                    ip: Ipv4Addr::UNSPECIFIED.into(),
                    mac: None,
                    ifindex: m.header.ifindex,
                    state: m.header.state,
                };
                for attribute in m.attributes {
                    match attribute {
                        NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => {
                            entry.ip = a.into()
                        }
                        NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => {
                            entry.ip = a.into()
                        }
                        NeighbourAttribute::LinkLayerAddress(a) => entry.mac = a.try_into().ok(),
                        _ => {}
                    }
                }
                (!entry.ip.is_unspecified()).then_some(entry)
            });
            Ok(entries.collect())
        })
    }

    /// The neighbour entry of one address, if there is one with a hardware address.
    ///
    /// # Errors
    /// Netlink.
    pub fn neighbour(&self, ip: IpAddr) -> Result<Option<[u8; 6]>> {
        let all = self.neighbours()?;
        Ok(all.into_iter().find(|n| n.ip == ip).and_then(|n| n.mac))
    }

    /// Puts an entry into the neighbour table in a given state, replacing what is there.
    ///
    /// # Errors
    /// Netlink.
    pub fn set_neighbour(
        &self,
        name: &str,
        ip: IpAddr,
        mac: [u8; 6],
        state: NeighbourState,
    ) -> Result<()> {
        self.netlink(async |h| {
            let index = find(&h, name).await?.header.index;
            let add = h.neighbours().add(index, ip).link_layer_address(&mac);
            Ok(add.state(state).replace().execute().await?)
        })
    }

    /// Forgets what the neighbour table knows of an address.
    ///
    /// # Errors
    /// Netlink.
    pub fn forget_neighbour(&self, ip: IpAddr) -> Result<()> {
        self.netlink(async |h| {
            let all: Vec<_> = h.neighbours().get().execute().try_collect().await?;
            for message in all {
                let is_it = message.attributes.iter().any(|a| match a {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => ip == *a,
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => ip == *a,
                    _ => false,
                });
                if is_it {
                    h.neighbours().del(message).execute().await?;
                }
            }
            Ok(())
        })
    }

    fn change(
        &self,
        name: &str,
        f: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec> + Send,
    ) -> Result<()> {
        self.netlink(async |h| {
            let index = find(&h, name).await?.header.index;
            let message = f(LinkUnspec::new_with_index(index)).build();
            Ok(h.link().set(message).execute().await?)
        })
    }
}

/// A pair whose far end is made in another namespace at once, which is much faster than moving it there.
pub(super) fn veth(name: &str, far: RawFd, far_name: &str) -> LinkMessage {
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(far_name)
        .setns_by_fd(far)
        .build();
    LinkVeth::new(name, far_name)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build()
}

/// Adds an address that works at once: duplicate address detection is skipped, which otherwise takes a moment
/// even where it is switched off.
pub(super) async fn add_address(handle: &Handle, index: u32, net: IpNetwork) -> Result<()> {
    let mut add = handle.address().add(index, net.ip(), net.prefix());
    if net.is_ipv6() {
        add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    }
    Ok(add.execute().await?)
}

pub(super) async fn find(handle: &Handle, name: &str) -> Result<LinkMessage> {
    let mut found = handle.link().get().match_name(name).execute();
    found
        .try_next()
        .await
        .with_context(|| format!("interface {name}"))?
        .ok_or_else(|| anyhow!("no interface {name}"))
}

fn facts(message: &LinkMessage) -> Result<LinkFacts> {
    let mut facts = LinkFacts {
        index: message.header.index,
        mac: [0; 6],
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        promiscuity: 0,
        all_multicast: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(a) => facts.mac = a.as_slice().try_into().unwrap_or_default(),
            LinkAttribute::Promiscuity(n) => facts.promiscuity = *n,
            LinkAttribute::AllMulticast(n) => facts.all_multicast = *n,
            _ => {}
        }
    }
    Ok(facts)
}
