//! What there is to see of this host.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use engine::facts::Interface;
use linux::probe::{self, Announcer, Port, Transport};

use crate::speaker::forward::settings;
use crate::speaker::interfaces::interfaces;

/// What a port is for, the flag that changes it, and how it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// In words.
    pub what: &'static str,
    /// The flag.
    pub flag: &'static str,
    /// TCP or UDP.
    pub transport: Transport,
    /// Bound to 127.0.0.1 only.
    pub loopback: bool,
}

/// /metrics.
pub(super) const METRICS: Use = Use {
    what: "metrics",
    flag: "--port",
    transport: Transport::Tcp,
    loopback: false,
};
/// The membership.
pub(super) const MEMBERS: Use = Use {
    what: "membership",
    flag: "--ml-bindport or --members-bind",
    transport: Transport::Udp,
    loopback: false,
};
/// /healthz.
pub(super) const HEALTH: Use = Use {
    what: "health",
    flag: "--health-probe-port",
    transport: Transport::Tcp,
    loopback: true,
};

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Kernel release.
    pub kernel: String,
    /// CAP_NET_RAW is effective.
    pub net_raw: bool,
    /// Why no packet socket can be opened.
    pub packet_socket: Option<String>,
    /// Why the kernel cannot answer ARP itself; none: it can.
    pub fast_path: Option<String>,
    /// What was tried to bind, and how it went.
    pub ports: Vec<(Use, u16, Result<Port, String>)>,
    /// Interfaces.
    pub interfaces: BTreeMap<u32, Interface>,
    /// kube-proxy in IPVS mode was here.
    pub ipvs: bool,
    /// net.ipv4.ip_forward is 0.
    pub forwarding_off: bool,
    /// Chains of other programs that drop what passes through by policy.
    pub dropping: Vec<String>,
    /// Others that answer for addresses: process id, name, what it is.
    pub announcers: Vec<(u32, String, Announcer)>,
}

impl Host {
    /// Looks; binds each port for a moment and frees it again.
    pub(super) async fn look(ports: &[(Use, u16)]) -> anyhow::Result<Self> {
        let (_links, snapshot) = linux::route::Links::open(linux::route::Options::default())
            .await
            .context("cannot read the interfaces of this host")?;
        let capabilities = probe::capabilities().context("cannot read the capabilities")?;
        let wanted = |process: &probe::Process| probe::announcer(process).is_some();
        let announcers = probe::processes(wanted)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|process| {
                let kind = probe::announcer(&process)?;
                Some((process.pid, process.name, kind))
            })
            .collect();
        let tried = ports
            .iter()
            .filter(|(_, port)| *port != 0)
            .map(|(wish, port)| {
                let address = if wish.loopback {
                    Ipv4Addr::LOCALHOST
                } else {
                    Ipv4Addr::UNSPECIFIED
                };
                let answer = probe::port(wish.transport, SocketAddr::from((address, *port)));
                (*wish, *port, answer.map_err(|error| error.to_string()))
            });
        let interfaces = interfaces(&snapshot.borrow());
        Ok(Self {
            kernel: probe::kernel()
                .map(|kernel| kernel.release)
                .unwrap_or_default(),
            net_raw: capabilities.net_raw(),
            packet_socket: probe::packet_socket().err().map(|error| error.to_string()),
            fast_path: linux::bpf::ingress_available().err().map(|e| e.to_string()),
            ports: tried.collect(),
            interfaces,
            ipvs: probe::ipvs_interface(),
            forwarding_off: settings::is_off("net/ipv4/ip_forward"),
            dropping: settings::dropping(),
            announcers,
        })
    }
}
