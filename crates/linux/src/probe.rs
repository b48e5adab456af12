//! Facts about this host for `harbinger check`.
//!
//! Owns the questions to the kernel. Deliberately absent: opinions; what a fact means and how to mend it is
//! said by the caller. Nothing is changed on the host, and every socket opened to find out is closed again.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use netlink_sys::{Socket as NetlinkSocket, SocketAddr as NetlinkAddr};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;
use crate::netlink::{Messages, message};
use crate::sys;

/// Bit of CAP_NET_BIND_SERVICE.
const CAP_NET_BIND_SERVICE: u32 = 10;
/// Bit of CAP_NET_ADMIN.
const CAP_NET_ADMIN: u32 = 12;
/// Bit of CAP_NET_RAW.
const CAP_NET_RAW: u32 = 13;

/// The effective capabilities of the calling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// All of them as the kernel's bit set.
    pub effective: u64,
}

impl Capabilities {
    /// May open packet sockets.
    pub fn net_raw(self) -> bool {
        self.has(CAP_NET_RAW)
    }

    /// May change interfaces, routes and nf_tables.
    pub fn net_admin(self) -> bool {
        self.has(CAP_NET_ADMIN)
    }

    /// May bind ports below 1024.
    pub fn net_bind_service(self) -> bool {
        self.has(CAP_NET_BIND_SERVICE)
    }

    fn has(self, bit: u32) -> bool {
        self.effective & (1 << bit) != 0
    }
}

/// Reads the calling thread's effective capabilities.
///
/// # Errors
/// `/proc` is not mounted or not as expected.
pub fn capabilities() -> Result<Capabilities, Error> {
    let path = "/proc/thread-self/status";
    let status = read(path)?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .map(|effective| Capabilities { effective })
        .ok_or_else(|| content(path, &status))
}

/// Whether a packet socket can be opened; it hears nothing.
///
/// # Errors
/// The kernel's refusal: `EPERM`, or `EAFNOSUPPORT` without packet sockets.
pub fn packet_socket() -> Result<(), Error> {
    Socket::new(Domain::from(libc::AF_PACKET), Type::RAW, None)
        .map(drop)
        .map_err(Error::io("open", || "packet socket".to_owned()))
}

/// A transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Whether a port can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// It could be bound, and is free again.
    Free,
    /// Another socket holds it.
    InUse,
    /// The address is not on this host.
    NoAddress,
    /// Ports below 1024 need CAP_NET_BIND_SERVICE.
    Denied,
}

/// Tries to bind an address.
///
/// # Errors
/// Anything but the answers [`Port`] has a name for.
pub fn port(transport: Transport, address: SocketAddr) -> Result<Port, Error> {
    let object = || format!("{transport:?} {address}");
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))
        .map_err(Error::io("open", object))?;
    if address.is_ipv6() {
        socket
            .set_only_v6(true)
            .map_err(Error::io("open", object))?;
    }
    // As servers do, so that connections of a former one that are being closed do not count.
    if transport == Transport::Tcp {
        socket
            .set_reuse_address(true)
            .map_err(Error::io("open", object))?;
    }
    let bound = socket.bind(&address.into()).and_then(|()| match transport {
        // With the option above only listening tells whether another one listens.
        Transport::Tcp => socket.listen(1),
        Transport::Udp => Ok(()),
    });
    match bound {
        Ok(()) => Ok(Port::Free),
        Err(e) => match e.kind() {
            io::ErrorKind::AddrInUse => Ok(Port::InUse),
            io::ErrorKind::AddrNotAvailable => Ok(Port::NoAddress),
            io::ErrorKind::PermissionDenied => Ok(Port::Denied),
            _ => Err(Error::io("bind", object)(e)),
        },
    }
}

/// A setting under `/proc/sys`, by its path there ("net/ipv4/conf/eth0/arp_ignore"); without the newline.
/// `None` when the kernel has no such setting.
///
/// # Errors
/// It exists and cannot be read.
pub fn sysctl(path: &str) -> Result<Option<String>, Error> {
    let path = format!("/proc/sys/{path}");
    match fs::read_to_string(&path) {
        Ok(value) => Ok(Some(value.trim_end().to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", || path)(e)),
    }
}

/// A numeric setting that the kernel takes per interface, as it is in effect there: the larger of the
/// interface's and of "all" (ip-sysctl: arp_ignore, arp_announce, rp_filter). `None` without the interface.
///
/// # Errors
/// As [`sysctl`], or not a number.
pub fn interface_sysctl(interface: &str, name: &str) -> Result<Option<i64>, Error> {
    let number = |of: &str| -> Result<Option<i64>, Error> {
        let path = format!("net/ipv4/conf/{of}/{name}");
        sysctl(&path)?
            .map(|value| value.parse().map_err(|_| content(&path, &value)))
            .transpose()
    };
    let Some(own) = number(interface)? else {
        return Ok(None);
    };
    Ok(Some(own.max(number("all")?.unwrap_or(own))))
}

/// The name of the interface on which kube-proxy in IPVS mode keeps all Service addresses.
pub const IPVS_INTERFACE: &str = "kube-ipvs0";

/// Whether the caller's network namespace has the interface of kube-proxy's IPVS mode.
pub fn ipvs_interface() -> bool {
    interface_index(IPVS_INTERFACE).is_some()
}

/// The index of an interface of the caller's network namespace.
pub fn interface_index(name: &str) -> Option<u32> {
    sys::name_to_index(name)
}

/// The running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -r` says.
    pub release: String,
    /// First number of it.
    pub major: u32,
    /// Second number of it.
    pub minor: u32,
}

/// Reads the kernel's release.
///
/// # Errors
/// `/proc` is not mounted or not as expected.
pub fn kernel() -> Result<Kernel, Error> {
    let path = "/proc/sys/kernel/osrelease";
    let release = read(path)?.trim_end().to_owned();
    parse_release(&release).ok_or_else(|| content(path, &release))
}

fn parse_release(release: &str) -> Option<Kernel> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    Some(Kernel {
        release: release.to_owned(),
        major: numbers.next()?.ok()?,
        minor: numbers.next()?.ok()?,
    })
}

/// Whether the kernel has nf_tables, asked by a message that reads and needs CAP_NET_ADMIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NfTables {
    /// It answered.
    Available,
    /// It has none, or not loaded and we may not load it.
    Absent,
    /// It may be there; the question needs CAP_NET_ADMIN.
    Denied,
}

/// Asks nf_tables for the generation of its ruleset.
///
/// # Errors
/// Netlink itself failed.
pub fn nf_tables() -> Result<NfTables, Error> {
    /// Subsystem nf_tables in the high octet, message in the low one.
    const GETGEN: u16 = ((libc::NFNL_SUBSYS_NFTABLES as u16) << 8) | libc::NFT_MSG_GETGEN as u16;
    let object = || "nf_tables".to_owned();
    let socket = match NetlinkSocket::new(libc::NETLINK_NETFILTER as isize) {
        Ok(socket) => socket,
        Err(e) if e.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            return Ok(NfTables::Absent);
        }
        Err(e) => return Err(Error::io("open netlink for", object)(e)),
    };
    // nfgenmsg: family, version, resource id.
    let request = message(GETGEN, libc::NLM_F_REQUEST as u16, 1, &[0; 4]);
    socket
        .send_to(&request, &NetlinkAddr::new(0, 0), 0)
        .map_err(Error::io("ask", object))?;
    // Netlink answers a request before `send` returns, so this does not wait.
    let mut answer = Vec::with_capacity(4096);
    socket
        .recv(&mut answer, 0)
        .map_err(Error::io("ask", object))?;
    let Some((header, payload)) = Messages(&answer).next() else {
        return Err(Error::Answer {
            operation: "ask",
            object: object(),
            reason: "the answer is no netlink message",
        });
    };
    if i32::from(header.kind) != libc::NLMSG_ERROR {
        return Ok(NfTables::Available);
    }
    Ok(match crate::netlink::u32_at(payload, 0).map(|c| c as i32) {
        Some(code) if code == -libc::EPERM => NfTables::Denied,
        _ => NfTables::Absent,
    })
}

/// A process of this host that the caller asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its process id, as seen in our process namespace.
    pub pid: u32,
    /// Its short name (`comm`), at most 15 characters.
    pub name: String,
    /// Its program as it was started: the first argument; empty for a kernel thread.
    pub program: String,
    /// Its arguments after the first.
    pub arguments: Vec<String>,
}

/// The processes for which `wanted` holds, by process id. Processes that end meanwhile or may not be read are
/// left out. In a container without the host's process namespace only its own are seen.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn processes(wanted: impl Fn(&Process) -> bool) -> Result<Vec<Process>, Error> {
    let path = "/proc";
    let entries = fs::read_dir(path).map_err(Error::io("list", || path.to_owned()))?;
    let mut found: Vec<Process> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            process(pid, &entry.path())
        })
        .filter(wanted)
        .collect();
    found.sort_unstable();
    Ok(found)
}

fn process(pid: u32, folder: &Path) -> Option<Process> {
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let line = fs::read(folder.join("cmdline")).unwrap_or_default();
    let mut arguments = line
        .split(|b| *b == 0)
        .map(|a| String::from_utf8_lossy(a).into_owned());
    let program = arguments.next().unwrap_or_default();
    let mut arguments: Vec<String> = arguments.collect();
    // The last argument is ended by a zero as well.
    if arguments.last().is_some_and(String::is_empty) {
        arguments.pop();
    }
    Some(Process {
        pid,
        name: name.trim_end().to_owned(),
        program,
        arguments,
    })
}

/// Another program that answers for addresses on the local network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Announcer {
    /// MetalLB's speaker.
    MetallbSpeaker,
    /// kube-vip.
    KubeVip,
    /// keepalived (VRRP).
    Keepalived,
}

/// Which announcer a process is, by its program's name; MetalLB's is called just "speaker", so its arguments
/// decide.
pub fn announcer(process: &Process) -> Option<Announcer> {
    let file = process.program.rsplit('/').next().unwrap_or_default();
    match file {
        "kube-vip" => Some(Announcer::KubeVip),
        "keepalived" => Some(Announcer::Keepalived),
        "speaker" => process
            .arguments
            .iter()
            .any(|a| METALLB_FLAGS.iter().any(|f| flag(a) == *f))
            .then_some(Announcer::MetallbSpeaker),
        _ => None,
    }
}

/// Flags of MetalLB's speaker of which its manifests always give one.
const METALLB_FLAGS: [&str; 4] = ["port", "log-level", "lb-class", "ml-bindport"];

fn flag(argument: &str) -> &str {
    let name = argument.trim_start_matches('-');
    name.split('=').next().unwrap_or_default()
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::io("read", || path.to_owned()))
}

fn content(path: &str, text: &str) -> Error {
    /// Enough to recognise the content, little enough for one log line.
    const SHOWN_CHARS: usize = 80;
    Error::Content {
        path: path.to_owned(),
        content: text.chars().take(SHOWN_CHARS).collect(),
    }
}

#[cfg(test)]
mod tests;
