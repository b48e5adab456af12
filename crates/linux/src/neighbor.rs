//! A raw ICMPv6 socket for router solicitations and advertisements on one interface.
//!
//! Owns what RFC 4861 asks of the socket: hop limit 255, the link's own source address, the hop limit of what comes in.
//! Deliberately absent: messages, and any other type of ICMPv6, which the kernel is told not to pass.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;
use crate::fd::Ready;
use crate::sys;
use crate::tcp::bind_device;
use crate::udp::{octets, socket_address};

/// Octets read of a message; a router's has seldom 200.
const MESSAGE_BYTES: usize = 1_280;
/// `ICMP6_FILTER` of the level `IPPROTO_ICMPV6`: a bit that is set blocks its type.
const ICMP6_FILTER: i32 = 1;
/// Router advertisement.
const ADVERTISEMENT: usize = 134;
/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A message that came in.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// From the ICMPv6 type on.
    pub octets: &'a [u8],
    /// Who sent it.
    pub from: Ipv6Addr,
    /// The hop limit it came with.
    pub hop_limit: Option<u8>,
}

/// The socket.
pub struct NeighborSocket {
    socket: Ready<Socket>,
    ifindex: u32,
}

impl NeighborSocket {
    /// Opens it on an interface. Needs CAP_NET_RAW and a running tokio runtime.
    ///
    /// # Errors
    /// `EPERM`, or there is no such interface.
    pub fn open(ifindex: u32) -> Result<Self, Error> {
        let object = || format!("ICMPv6 socket of interface {ifindex}");
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))
            .map_err(Error::io("open", object))?;
        let set_up = || {
            socket.set_nonblocking(true)?;
            bind_device(&socket, ifindex)?;
            socket.set_multicast_if_v6(ifindex)?;
            socket.set_multicast_hops_v6(255)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_unicast_hops_v6(255)?;
            let fd = std::os::fd::AsFd::as_fd(&socket);
            let mut blocked = [u32::MAX; 8];
            if let Some(word) = blocked.get_mut(ADVERTISEMENT / 32) {
                *word &= !(1 << (ADVERTISEMENT % 32));
            }
            sys::set_option(fd, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked)?;
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1i32)
        };
        set_up().map_err(Error::io("set up", object))?;
        let socket = Ready::new(socket).map_err(Error::io("register", object))?;
        Ok(Self { socket, ifindex })
    }

    /// Waits until there may be messages. Cancel safe.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes at most `max` messages without waiting and hands each to `each`.
    ///
    /// # Errors
    /// What the kernel says about the socket.
    pub fn recv_batch(&self, max: usize, mut each: impl FnMut(&Message<'_>)) -> io::Result<()> {
        let mut buf = [0; MESSAGE_BYTES];
        for _ in 0..max {
            let got = self
                .socket
                .try_read(|socket| sys::recvmsg(std::os::fd::AsFd::as_fd(socket), &mut buf, 0))?;
            let Some(got) = got else {
                return Ok(());
            };
            let Some(SocketAddr::V6(from)) = socket_address(&got.name) else {
                continue;
            };
            let hop_limit = got
                .control(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
                .and_then(|bytes| octets::<4>(bytes, 0))
                .and_then(|int| u8::try_from(i32::from_ne_bytes(int)).ok());
            each(&Message {
                octets: buf.get(..got.len.min(MESSAGE_BYTES)).unwrap_or_default(),
                from: *from.ip(),
                hop_limit,
            });
        }
        Ok(())
    }

    /// Sends a message to all routers of the link, or to all nodes. The kernel writes the checksum.
    ///
    /// # Errors
    /// The message is lost: the interface is down, or has no link-local address yet.
    pub fn send(&self, octets: &[u8], to_routers: bool) -> io::Result<()> {
        let group = if to_routers { ALL_ROUTERS } else { ALL_NODES };
        let to = SocketAddrV6::new(group, 0, 0, self.ifindex);
        self.socket.get().send_to(octets, &to.into()).map(drop)
    }
}
