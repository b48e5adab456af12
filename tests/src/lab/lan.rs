//! A switch with hosts on it.
//!
//! Owns the switch's namespace with one bridge. Deliberately without spanning tree; multicast snooping is off
//! unless asked for.

use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use ipnetwork::IpNetwork;
use rtnetlink::{LinkBridge, LinkUnspec};

use super::link::{add_address, find, veth};
use super::{Host, eventually};

const BRIDGE: &str = "br0";
/// The second switch of a LAN that was split, and the ends of the cable between both.
const SECOND: &str = "br1";
const CABLE: [&str; 2] = ["cable0", "cable1"];

/// An address without its group after this long is a fault of the lab.
const GROUPS_WITHIN: Duration = Duration::from_secs(10);

/// How the switch behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct LanOptions {
    /// Forward multicast only to ports that asked for it by MLD or IGMP, with a querier on the switch.
    pub snooping: bool,
    /// After how long the switch forgets on which port an address is; 300 s by default.
    pub ageing: Option<Duration>,
}

/// A local network: an Ethernet switch.
#[derive(Debug)]
pub struct Lan {
    switch: Host,
    options: LanOptions,
    ports: AtomicU32,
}

impl Lan {
    /// A plain switch.
    ///
    /// # Errors
    /// Namespaces are not permitted.
    pub fn new() -> Result<Self> {
        Self::with(LanOptions::default())
    }

    /// A switch with options.
    ///
    /// # Errors
    /// Namespaces are not permitted.
    pub fn with(options: LanOptions) -> Result<Self> {
        let switch = Host::new("switch")?;
        // A switch has no address of its own and says nothing.
        switch.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        add_switch(&switch, BRIDGE, options)?;
        Ok(Self {
            switch,
            options,
            ports: AtomicU32::new(0),
        })
    }

    /// Makes two switches of it: these ports are on the second one from now on, and a cable joins both. Muted
    /// (see [`Port::mute`]), the cable drops every frame between the halves, and no host loses its carrier.
    ///
    /// # Errors
    /// It was split before.
    pub fn split(&self, ports: &mut [Port]) -> Result<Port> {
        add_switch(&self.switch, SECOND, self.options)?;
        let [near, far] = CABLE;
        self.switch.add_veth(near, far)?;
        for (end, bridge) in [(near, BRIDGE), (far, SECOND)] {
            self.switch.set_master(end, Some(bridge))?;
            self.switch.link_up(end)?;
        }
        for port in ports {
            self.switch.set_master(&port.name, Some(SECOND))?;
            port.bridge = SECOND;
        }
        Ok(Port {
            switch: self.switch.clone(),
            name: near.to_owned(),
            bridge: BRIDGE,
        })
    }

    /// The switch itself: a place to capture everything that crosses it (on "br0" or on a port).
    pub fn switch(&self) -> &Host {
        &self.switch
    }

    /// Plugs a host in: an interface `name` on it, up, with these addresses ("192.0.2.1/24").
    ///
    /// # Errors
    /// The name is taken, or an address is none.
    pub fn attach(&self, host: &Host, name: &str, addresses: &[&str]) -> Result<Port> {
        let port = format!("p{}", self.ports.fetch_add(1, Ordering::Relaxed));
        let far = host.namespace().as_raw_fd();
        self.switch.netlink(async |h| {
            let bridge = find(&h, BRIDGE).await?.header.index;
            h.link().add(veth(&port, far, name)).execute().await?;
            let index = find(&h, &port).await?.header.index;
            let plug = LinkUnspec::new_with_index(index).controller(bridge).up();
            Ok(h.link().set(plug.build()).execute().await?)
        })?;
        host.netlink(async |h| {
            let index = find(&h, name).await?.header.index;
            let up = LinkUnspec::new_with_index(index).up();
            h.link().set(up.build()).execute().await?;
            for address in addresses {
                let net: IpNetwork = address.parse().context("address")?;
                add_address(&h, index, net).await?;
            }
            Ok(())
        })?;
        // The kernel joins the groups of new IPv6 addresses a moment later; before that nobody finds them.
        for address in addresses {
            if let Ok(IpNetwork::V6(net)) = address.parse() {
                eventually(GROUPS_WITHIN, "the address has its group", || {
                    let table = host.proc_net("igmp6").ok()?;
                    table.contains(&solicited_node_hex(net.ip())).then_some(())
                });
            }
        }
        Ok(Port {
            switch: self.switch.clone(),
            name: port,
            bridge: BRIDGE,
        })
    }
}

/// Adds a bridge to a switch's namespace; the kernel's builder makes it up.
fn add_switch(switch: &Host, name: &str, options: LanOptions) -> Result<()> {
    switch.netlink(async |h| {
        let mut bridge = LinkBridge::new(name)
            .forward_delay(0)
            .mcast_snooping(options.snooping)
            .mcast_querier(options.snooping);
        if let Some(ageing) = options.ageing {
            // In hundredths of a second, as the kernel counts.
            bridge = bridge.ageing_time(u32::try_from(ageing.as_millis() / 10)?);
        }
        Ok(h.link().add(bridge.build()).execute().await?)
    })
}

/// ff02::1:ffXX:XXXX of an address, as /proc/net/igmp6 writes it.
fn solicited_node_hex(address: Ipv6Addr) -> String {
    let [.., a, b, c] = address.octets();
    format!("ff0200000000000000000001ff{a:02x}{b:02x}{c:02x}")
}

/// A port of a switch, with its cable.
#[derive(Debug, Clone)]
pub struct Port {
    switch: Host,
    name: String,
    /// The switch it belongs to.
    bridge: &'static str,
}

impl Port {
    /// Its name on the switch.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Switches the port off: the host loses its carrier.
    ///
    /// # Errors
    /// It has been removed.
    pub fn cut(&self) -> Result<()> {
        self.switch.link_down(&self.name)
    }

    /// Switches the port on again.
    ///
    /// # Errors
    /// It has been removed.
    pub fn mend(&self) -> Result<()> {
        self.switch.link_up(&self.name)
    }

    /// Takes the port out of the switch: the host keeps its carrier and nothing gets through.
    ///
    /// # Errors
    /// It has been removed.
    pub fn mute(&self) -> Result<()> {
        self.switch.set_master(&self.name, None)
    }

    /// Puts the port into the switch again.
    ///
    /// # Errors
    /// It has been removed.
    pub fn unmute(&self) -> Result<()> {
        self.switch.set_master(&self.name, Some(self.bridge))
    }
}

/// The usual lab: nodes and a client on one network. Node i (from 0) has 192.0.2.(11+i)/24 and
/// 2001:db8:2::(11+i)/64 on its eth0 and forwards; the client has .100 and ::100.
#[derive(Debug)]
pub struct Topology {
    /// The switch.
    pub lan: Lan,
    /// The nodes: "node-0", "node-1", ...
    pub nodes: Vec<Host>,
    /// The nodes' ports, in the same order.
    pub ports: Vec<Port>,
    /// The client, not a part of the cluster.
    pub client: Host,
}

impl Topology {
    /// Makes it.
    ///
    /// # Errors
    /// Namespaces are not permitted.
    pub fn new(nodes: usize, options: LanOptions) -> Result<Self> {
        let lan = Lan::with(options)?;
        let client = Host::new("client")?;
        lan.attach(&client, "eth0", &["192.0.2.100/24", "2001:db8:2::100/64"])?;
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for n in 0..nodes {
            let host = Host::new(&format!("node-{n}"))?;
            host.forwarding(true)?;
            let v4 = format!("{}/24", Self::node_ipv4(n));
            let v6 = format!("{}/64", Self::node_ipv6(n));
            ports.push(lan.attach(&host, "eth0", &[&v4, &v6])?);
            hosts.push(host);
        }
        Ok(Self {
            lan,
            nodes: hosts,
            ports,
            client,
        })
    }

    /// The IPv4 address of node `n`.
    pub fn node_ipv4(n: usize) -> String {
        format!("192.0.2.{}", 11 + n)
    }

    /// The IPv6 address of node `n`.
    pub fn node_ipv6(n: usize) -> String {
        format!("2001:db8:2::{}", 11 + n)
    }
}
