//! A blocking socket to the kernel's netfilter subsystems: one request at a time, answered before `send` returns.
//!
//! Owns the socket, the writer of attributes and the walk over answers. Deliberately knows no subsystem: tables are
//! in [`crate::nftables`], flows in [`crate::conntrack`].

use std::io;
use std::os::fd::AsFd;

use netlink_sys::{Socket, SocketAddr};

use crate::Error;
use crate::netlink::{HEADER_BYTES, Walked, u32_at, walk};
use crate::sys;

/// Bytes read at once. The kernel packs up to 32 KiB of a dump into one datagram.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Datagrams of one answer, as a bound on what is read: 65,536 of 32 KiB are 20 million elements.
/// LIMIT: a dump that is longer is an error.
const DUMP_DATAGRAMS_MAX: usize = 65_536;

/// Send and receive buffer in bytes: the largest transaction in one piece. A full load of 10,000 Services is 2 MB.
/// LIMIT: 64 MiB, about 400,000 Services.
const SOCKET_BUFFER_BYTES: i32 = 64 << 20;

/// Writes netlink attributes one after the other.
#[derive(Debug, Default, Clone)]
pub struct Attributes(pub(crate) Vec<u8>);

impl Attributes {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Octets written so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An attribute of plain octets, padded to four.
    pub fn octets(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        // An attribute of more than 64 kB cannot be written: callers cut lists into pieces.
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A string ended by zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let len = u16::try_from(value.len() + 5).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A 32-bit number in network order, as netfilter wants nearly all.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// A 64-bit number in network order.
    pub fn wide(&mut self, kind: u16, value: u64) -> &mut Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.0.len();
        let kind = kind | libc::NLA_F_NESTED as u16;
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        inner(self);
        let len = self.0.len() - at;
        debug_assert!(len <= usize::from(u16::MAX), "callers cut lists in pieces");
        let len = u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes();
        if let Some(place) = self.0.get_mut(at..at + 2) {
            place.copy_from_slice(&len);
        }
        self
    }
}

/// One message: header, netfilter's own header, attributes. The length is filled in afterwards.
pub(crate) fn append(
    out: &mut Vec<u8>,
    kind: u16,
    flags: i32,
    sequence: u32,
    (family, resource): (u8, u16),
    body: impl FnOnce(&mut Attributes),
) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(flags as u16).to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    let [high, low] = resource.to_be_bytes();
    out.extend_from_slice(&[family, 0, high, low]);
    let mut attributes = Attributes(std::mem::take(out));
    body(&mut attributes);
    *out = attributes.0;
    let len = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_ne_bytes());
    }
}

/// A netfilter socket in the network namespace of the thread that opened it.
pub(crate) struct Netfilter {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netfilter {
    pub(crate) fn open() -> Result<Self, Error> {
        let object = || "netfilter socket".to_owned();
        let mut socket =
            Socket::new(libc::NETLINK_NETFILTER as isize).map_err(Error::io("open", object))?;
        let address = socket.bind_auto().map_err(Error::io("bind", object))?;
        socket
            .set_non_blocking(true)
            .map_err(Error::io("open", object))?;
        // An error's answer carries the request's header and not the whole request.
        socket
            .set_cap_ack(true)
            .map_err(Error::io("set up", object))?;
        // Without the capability in the first namespace the plain option gives what the host's limit allows.
        for (forced, plain) in [
            (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
            (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        ] {
            let fd = socket.as_fd();
            sys::set_option(fd, libc::SOL_SOCKET, forced, &SOCKET_BUFFER_BYTES)
                .or_else(|_| sys::set_option(fd, libc::SOL_SOCKET, plain, &SOCKET_BUFFER_BYTES))
                .map_err(Error::io("set a buffer of", object))?;
        }
        Ok(Self {
            socket,
            port: address.port_number(),
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM_BYTES),
        })
    }

    /// The number the kernel knows this socket by.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket
            .send_to(bytes, &SocketAddr::new(0, 0), 0)
            .map(|_| ())
    }

    /// The next datagram, or none when nothing waits.
    pub(crate) fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.clear();
        match self.socket.recv(&mut self.buffer, 0) {
            Ok(_) => Ok(Some(&self.buffer)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Throws away what an earlier request left behind.
    pub(crate) fn forget(&mut self) {
        while let Ok(Some(_)) = self.receive() {}
    }

    /// Sends one request and hands each answer's type and payload to `each`; true when it is one consistent picture.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: i32,
        family: u8,
        body: impl FnOnce(&mut Attributes),
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(128);
        let flags = flags | libc::NLM_F_REQUEST;
        append(&mut bytes, kind, flags, self.sequence, (family, 0), body);
        self.send(&bytes)?;
        let sequence = self.sequence;
        let mut interrupted = false;
        // Before the attributes stands nfgenmsg.
        let mut each = |kind, payload: &[u8]| each(kind, payload.get(4..).unwrap_or_default());
        for _ in 0..DUMP_DATAGRAMS_MAX {
            let datagram = self.receive()?.ok_or(io::ErrorKind::TimedOut)?;
            match walk(datagram, sequence, &mut interrupted, &mut each) {
                Walked::More => {}
                Walked::Done => return Ok(!interrupted),
                Walked::Failed(code) => return Err(io::Error::from_raw_os_error(code)),
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl std::fmt::Debug for Netfilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netfilter(port {})", self.port)
    }
}

/// The message that an error answer is about: its sequence number.
pub(crate) fn refused_sequence(payload: &[u8]) -> Option<u32> {
    u32_at(payload, 4 + 8)
}

const _: () = assert!(HEADER_BYTES == 16, "the places above count on it");

/// A 32-bit number in network order.
pub fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))
}

/// A 64-bit number in network order.
pub fn wide(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))
}

/// A string ended by zero; none where it is not text.
pub fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    std::str::from_utf8(value.get(..end)?).ok()
}
