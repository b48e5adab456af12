//! The membership protocol's UDP socket: datagrams, and word of peers whose port is closed.
//!
//! Owns the error queue (IP_RECVERR, IPV6_RECVERR): a killed peer on a living host answers with "port
//! unreachable", which is the fastest sign of its death. Deliberately absent: what a datagram means, and
//! trust: an ICMP error can be forged, so the reader may only use it as a hint.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Error;
use crate::fd::Ready;
use crate::sys;

/// Pending errors of earlier datagrams that one send may run into and step over; each is the ICMP answer of
/// another peer and has nothing to do with the datagram being sent.
const SEND_ATTEMPTS: usize = 4;

/// An ICMP answer to something this socket sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable {
    /// Where the datagram had been sent.
    pub peer: SocketAddr,
    /// Who says so: the peer's host itself or a router; `None` when this host said it (no route, no answer
    /// to address resolution).
    pub reporter: Option<IpAddr>,
    /// Whether it is "port unreachable": the host lives, nobody listens.
    pub port: bool,
    /// The errno the kernel made of it: `ECONNREFUSED`, `EHOSTUNREACH`.
    pub errno: i32,
}

/// A UDP socket that reports unreachable peers.
pub struct MemberSocket {
    socket: Ready<Socket>,
    local: SocketAddr,
}

impl MemberSocket {
    /// Binds to `local`; an IPv6 socket serves IPv6 only. Needs a running tokio runtime.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, permission for a port below 1024. Nothing stays open.
    pub fn bind(local: SocketAddr) -> Result<Self, Error> {
        let object = || format!("UDP socket {local}");
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))
            .map_err(Error::io("open", object))?;
        socket
            .set_nonblocking(true)
            .map_err(Error::io("open", object))?;
        let (level, option) = if local.is_ipv6() {
            socket
                .set_only_v6(true)
                .map_err(Error::io("set IPv6 only on", object))?;
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        } else {
            (libc::IPPROTO_IP, libc::IP_RECVERR)
        };
        sys::set_option(socket.as_fd(), level, option, &1i32)
            .map_err(Error::io("ask for errors of", object))?;
        socket
            .bind(&local.into())
            .map_err(Error::io("bind", object))?;
        let local = socket
            .local_addr()
            .map_err(Error::io("read the address of", object))?
            .as_socket()
            .unwrap_or(local);
        Ok(Self {
            socket: Ready::new(socket).map_err(Error::io("register", object))?,
            local,
        })
    }

    /// The address it is bound to, with the port the kernel chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits until there is a datagram or an error to take. Cancel safe. After it returns, take errors with
    /// [`unreachable`](Self::unreachable) until `None`, then datagrams with [`recv`](Self::recv): what is
    /// left of either wakes again.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes one datagram without waiting; `None` when there is none. A datagram longer than `buf` is cut.
    ///
    /// # Errors
    /// What the kernel says about the socket itself; answers to earlier datagrams are stepped over, they
    /// are in [`unreachable`](Self::unreachable).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        for _ in 0..SEND_ATTEMPTS {
            match self
                .socket
                .try_read(|socket| sys::recvmsg(socket.as_fd(), buf, 0))
            {
                Ok(None) => return Ok(None),
                Ok(Some(got)) => {
                    let Some(from) = socket_address(&got.name) else {
                        return Err(io::ErrorKind::InvalidData.into());
                    };
                    return Ok(Some((got.len.min(buf.len()), from)));
                }
                Err(e) if is_answer(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Takes at most `max` datagrams and hands each to `each`; how many there were. Fewer than `max` means
    /// the queue is empty.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); what was handed over before stays handed over.
    pub fn recv_batch(
        &self,
        max: usize,
        buf: &mut [u8],
        mut each: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<usize> {
        for n in 0..max {
            let Some((len, from)) = self.recv(buf)? else {
                return Ok(n);
            };
            each(from, buf.get(..len).unwrap_or_default());
        }
        Ok(max)
    }

    /// Sends one datagram without waiting.
    ///
    /// # Errors
    /// Would-block and `ENOBUFS` when queues are full, `ENETUNREACH` and the like for this destination; the
    /// datagram is lost.
    pub fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<()> {
        let to = SockAddr::from(to);
        let mut last = None;
        for _ in 0..SEND_ATTEMPTS {
            match self.socket.get().send_to(payload, &to) {
                Ok(_) => return Ok(()),
                Err(e) if is_answer(&e) => last = Some(e),
                Err(e) => return Err(e),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::Other.into()))
    }

    /// Takes one report from the error queue without waiting.
    ///
    /// # Errors
    /// What the kernel says about the socket itself.
    pub fn unreachable(&self) -> io::Result<Option<Unreachable>> {
        loop {
            // The queue gives back the datagram as well, which nobody needs.
            let got = match sys::recvmsg(self.socket.as_fd(), &mut [], libc::MSG_ERRQUEUE) {
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.no_more_errors();
                    return Ok(None);
                }
                Err(e) => return Err(e),
            };
            let report = got
                .control(libc::IPPROTO_IP, libc::IP_RECVERR)
                .or_else(|| got.control(libc::IPPROTO_IPV6, libc::IPV6_RECVERR))
                .and_then(|bytes| report(bytes, socket_address(&got.name)?));
            if report.is_some() {
                return Ok(report);
            }
        }
    }
}

/// Errors that are the answer of the network to an earlier datagram, not of the kernel to this call.
fn is_answer(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EPROTO
                | libc::EACCES
                | libc::EMSGSIZE
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
        )
    )
}

/// Reads a `sock_extended_err` with the offender's address behind it.
fn report(bytes: &[u8], peer: SocketAddr) -> Option<Unreachable> {
    /// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6`.
    const ORIGIN_ICMP: u8 = 2;
    const ORIGIN_ICMP6: u8 = 3;
    /// Size of `sock_extended_err`.
    const HEADER_BYTES: usize = 16;
    let errno = i32::try_from(crate::netlink::u32_at(bytes, 0)?).ok()?;
    let (origin, kind, code) = (*bytes.get(4)?, *bytes.get(5)?, *bytes.get(6)?);
    let port = match origin {
        // Destination unreachable (3), port (3).
        ORIGIN_ICMP => (kind, code) == (3, 3),
        // Destination unreachable (1), port (4).
        ORIGIN_ICMP6 => (kind, code) == (1, 4),
        _ => false,
    };
    let offender = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let reporter = match i32::from(crate::netlink::u16_at(offender, 0).unwrap_or(0)) {
        libc::AF_INET => octets::<4>(offender, 4).map(|o| Ipv4Addr::from(o).into()),
        libc::AF_INET6 => octets::<16>(offender, 8).map(|o| Ipv6Addr::from(o).into()),
        _ => None,
    };
    Some(Unreachable {
        peer,
        reporter,
        port,
        errno,
    })
}

pub(crate) fn octets<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

pub(crate) fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            let v4 = sys::inet_address(name)?;
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            let v6 = sys::inet6_address(name)?;
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            // The flow label says nothing about who the peer is.
            Some(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
