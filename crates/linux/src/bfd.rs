//! UDP sockets for BFD: one to receive per family and port, one to send per session.
//!
//! Owns what RFC 5881 asks of the sockets (TTL 255 out and in, class selector 6, source ports), the kernel's receive
//! times and their conversion to monotonic ones. Deliberately absent: packets, sessions, and any second port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Error;
use crate::fd::Ready;
use crate::packet::{DROP_ALL, Insn, attach, set_receive_buffer};
use crate::sys;
use crate::tcp::{bind_device, scoped, set_sent_ttl};
use crate::udp::{octets, socket_address};

/// Kernel memory for packets that wait: 256 KiB holds the packets of 200 sessions at 50 ms for more than 100 ms.
const RECEIVE_BUFFER_BYTES: usize = 512 * 1024;
/// Octets read of a datagram. A valid packet has 24; the rest only has to be seen to be there.
const DATAGRAM_BYTES: usize = 128;
/// Class selector 6, and the same as a priority for the host's own queues (BFD-11).
const NETWORK_CONTROL: u32 = 0xc0;
const PRIORITY: u32 = 6;
/// A receive time that old means that the wall clock was set (BFD-50).
const AGE_MAX: Duration = Duration::from_secs(10);
/// Offset at which a classic filter finds the network header.
const NETWORK_HEADER: u32 = 0xfff0_0000;

/// The two clocks, read together once per turn of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    previous: Instant,
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Reads both clocks for the first time.
    #[allow(clippy::new_without_default, reason = "it reads clocks")]
    pub fn new() -> Self {
        let now = Instant::now();
        Clock {
            previous: now,
            now,
            wall: SystemTime::now(),
        }
    }

    /// Reads both clocks at the start of a turn; the time to hand to machines.
    pub fn turn(&mut self) -> Instant {
        self.previous = self.now;
        self.now = Instant::now();
        self.wall = SystemTime::now();
        self.now
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A kernel stamp on the monotonic clock, by its age: between the turn before and this one, as the sockets are
    /// read empty in each. A stamp from the future or more than 10 s old counts as now: the wall clock was set.
    pub fn monotonic(&self, stamp: SystemTime) -> Instant {
        let age = self.wall.duration_since(stamp).unwrap_or_default();
        if age > AGE_MAX {
            return self.now;
        }
        let received = self.now.checked_sub(age).unwrap_or(self.now);
        received.clamp(self.previous, self.now)
    }
}

/// How to receive.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverOptions {
    /// 3784 or 4784.
    pub port: u16,
    /// IPv6, else IPv4.
    pub ipv6: bool,
    /// Take nothing that came with less than TTL 255, before it costs a wake.
    pub single_hop: bool,
    /// A VRF device, by index. The receiver bound to no device must be open before (BFD-15).
    pub vrf: Option<u32>,
}

/// A datagram with what the kernel says of it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its first octets; the length of the whole is in `length`.
    pub octets: &'a [u8],
    /// Octets of the whole datagram.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address it was sent to.
    pub local: Option<IpAddr>,
    /// Index of the interface it came in by; 0 when the kernel does not say.
    pub ifindex: u32,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// When the kernel received it.
    pub received: Instant,
}

/// A socket that receives control packets.
pub struct Receiver {
    socket: Ready<Socket>,
    port: u16,
}

impl Receiver {
    /// Binds to all addresses of the host. Needs a running tokio runtime.
    ///
    /// # Errors
    /// `EADDRINUSE`: another BFD daemon runs on this host; end it, or do without BFD. Nothing stays open.
    pub fn bind(options: &ReceiverOptions) -> Result<Self, Error> {
        let ReceiverOptions { port, ipv6, .. } = *options;
        let object = || format!("BFD receive socket {}", any(ipv6, port));
        let socket = open(ipv6).map_err(Error::io("open", object))?;
        set_receive_buffer(&socket, RECEIVE_BUFFER_BYTES)
            .map_err(Error::io("set the receive buffer of", object))?;
        ask_for_particulars(&socket, ipv6)
            .map_err(Error::io("ask for TTL and receive time of", object))?;
        if options.single_hop {
            // Before the bind, so that nothing slips in.
            attach(&socket, &ttl_255(ipv6)).map_err(Error::io("attach the filter to", object))?;
        }
        let shared = |socket: &Socket| {
            socket
                .set_reuse_address(true)
                .map_err(Error::io("share the port of", object))
        };
        if let Some(index) = options.vrf {
            shared(&socket)?;
            bind_device(&socket, index).map_err(Error::io("bind to its VRF the", object))?;
        }
        socket
            .bind(&any(ipv6, port).into())
            .map_err(Error::io("bind", object))?;
        if options.vrf.is_none() {
            // Only now: bound without sharing it has shown that nobody else is there (BFD-15).
            shared(&socket)?;
        }
        let socket = Ready::new(socket).map_err(Error::io("register", object))?;
        Ok(Self { socket, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until there may be datagrams. Cancel safe.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes at most `max` datagrams without waiting and hands each to `each`; how many there were. Fewer than `max`
    /// means that the queue is empty.
    ///
    /// # Errors
    /// What the kernel says about the socket; what was handed over before stays handed over.
    pub fn recv_batch(
        &self,
        max: usize,
        clock: &Clock,
        mut each: impl FnMut(&Datagram<'_>),
    ) -> io::Result<usize> {
        let mut buf = [0; DATAGRAM_BYTES];
        for count in 0..max {
            let Some(got) = self.recv(&mut buf)? else {
                return Ok(count);
            };
            let Some(from) = socket_address(&got.name) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let (local, ifindex) = arrival(&got);
            each(&Datagram {
                octets: buf.get(..got.len.min(DATAGRAM_BYTES)).unwrap_or_default(),
                length: got.len,
                from,
                local,
                ifindex,
                ttl: ttl(&got),
                received: stamp(&got).map_or(clock.now(), |stamp| clock.monotonic(stamp)),
            });
        }
        Ok(max)
    }

    /// Asks the kernel and not the runtime, which knows nothing of what came since it last slept: after a loop was held
    /// up that is everything (BFD-51).
    fn recv(&self, buf: &mut [u8]) -> io::Result<Option<sys::Received>> {
        match sys::recvmsg(self.socket.as_fd(), buf, 0) {
            Ok(got) => Ok(Some(got)),
            // Once more by the runtime, so that it forgets that there was something.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self
                .socket
                .try_read(|socket| sys::recvmsg(socket.as_fd(), buf, 0)),
            Err(e) => Err(e),
        }
    }

    /// Datagrams that the kernel threw away since the socket was opened, because the queue was full or by the filter
    /// for TTL 255.
    ///
    /// # Errors
    /// None in practice.
    pub fn dropped(&self) -> io::Result<u64> {
        sys::socket_drops(self.socket.as_fd()).map(u64::from)
    }
}

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct SenderOptions {
    /// The address to bind to; `None`: the kernel chooses.
    pub local: Option<IpAddr>,
    /// The source port, 49152 to 65535.
    pub source_port: u16,
    /// The peer.
    pub peer: IpAddr,
    /// The peer's port, 3784 or 4784.
    pub port: u16,
    /// The interface or VRF device to bind to, by index; a link-local peer needs one.
    pub device: Option<u32>,
}

/// A session's socket to send from. It hears nothing.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    peer: SockAddr,
}

impl Sender {
    /// Opens and binds it.
    ///
    /// # Errors
    /// `EADDRINUSE`: the source port is taken, try the next; `EADDRNOTAVAIL`: the host has no such address;
    /// `ENODEV`: no such device.
    pub fn open(options: &SenderOptions) -> Result<Self, Error> {
        let SenderOptions {
            peer, source_port, ..
        } = *options;
        let ipv6 = peer.is_ipv6();
        let scope = options.device.unwrap_or(0);
        let object = || format!("BFD socket to {peer} from port {source_port}");
        let socket = open(ipv6).map_err(Error::io("open", object))?;
        let set_up = || {
            set_sent_ttl(socket.as_fd(), ipv6, 255)?;
            if ipv6 {
                socket.set_tclass_v6(NETWORK_CONTROL)?;
            } else {
                socket.set_tos_v4(NETWORK_CONTROL)?;
            }
            socket.set_priority(PRIORITY)?;
            // Nobody reads it: what is sent to the source port must not pile up.
            attach(&socket, &[DROP_ALL])
        };
        set_up().map_err(Error::io("set up", object))?;
        if let Some(index) = options.device {
            bind_device(&socket, index).map_err(Error::io("bind to its device the", object))?;
        }
        let local = match options.local {
            Some(local) => scoped(local, source_port, scope),
            None => any(ipv6, source_port),
        };
        socket.bind(&local.into()).map_err(Error::io("bind", || {
            format!("BFD socket to {peer} to {local}")
        }))?;
        Ok(Self {
            socket,
            peer: scoped(peer, options.port, scope).into(),
        })
    }

    /// Sends one packet without waiting. The socket is not connected, so the ICMP answer to one packet costs no other.
    ///
    /// # Errors
    /// `ENETUNREACH`, `ENETDOWN`, `EINVAL` (the source address is gone), full queues: the packet is lost.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, &self.peer).map(drop)
    }
}

fn open(ipv6: bool) -> io::Result<Socket> {
    let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if ipv6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn any(ipv6: bool, port: u16) -> SocketAddr {
    if ipv6 {
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)
    } else {
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
    }
}

fn ask_for_particulars(socket: &Socket, ipv6: bool) -> io::Result<()> {
    let fd = socket.as_fd();
    let options = if ipv6 {
        [
            (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        ]
    } else {
        [
            (libc::IPPROTO_IP, libc::IP_RECVTTL),
            (libc::IPPROTO_IP, libc::IP_PKTINFO),
        ]
    };
    for (level, option) in options {
        sys::set_option(fd, level, option, &1i32)?;
    }
    sys::set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32)
}

/// Four instructions: load the TTL of the network header, keep what has 255.
fn ttl_255(ipv6: bool) -> [Insn; 4] {
    const LOAD_OCTET: u16 = 0x30;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let offset = if ipv6 { 7 } else { 8 };
    let insn = |code, jt, jf, k| Insn { code, jt, jf, k };
    [
        insn(LOAD_OCTET, 0, 0, NETWORK_HEADER + offset),
        insn(JUMP_EQUAL, 0, 1, 255),
        insn(RETURN, 0, 0, u32::MAX),
        insn(RETURN, 0, 0, 0),
    ]
}

fn ttl(got: &sys::Received) -> Option<u8> {
    got.control(libc::IPPROTO_IP, libc::IP_TTL)
        .or_else(|| got.control(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT))
        .and_then(|bytes| octets::<4>(bytes, 0))
        .and_then(|int| u8::try_from(i32::from_ne_bytes(int)).ok())
}

/// The address it was sent to and the interface it came by: `in_pktinfo` or `in6_pktinfo`.
fn arrival(got: &sys::Received) -> (Option<IpAddr>, u32) {
    let index = |bytes: &[u8], at| octets::<4>(bytes, at).map_or(0, u32::from_ne_bytes);
    if let Some(info) = got.control(libc::IPPROTO_IP, libc::IP_PKTINFO) {
        let local = octets::<4>(info, 8).map(|o| Ipv4Addr::from(o).into());
        return (local, index(info, 0));
    }
    if let Some(info) = got.control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
        let local = octets::<16>(info, 0).map(|o| Ipv6Addr::from(o).into());
        return (local, index(info, 16));
    }
    (None, 0)
}

/// The kernel's receive time: a `timespec` of the wall clock.
fn stamp(got: &sys::Received) -> Option<SystemTime> {
    let bytes = got.control(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
    let secs = i64::from_ne_bytes(octets::<8>(bytes, 0)?);
    let nanos = i64::from_ne_bytes(octets::<8>(bytes, 8)?);
    let secs = u64::try_from(secs).ok()?;
    let nanos = u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(secs, nanos))
}

#[cfg(test)]
mod tests;
