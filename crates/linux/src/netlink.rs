//! A netlink socket for dumps and events, on tokio's readiness.
//!
//! Owns the walk over message headers and the meaning of the control messages (done, error, interrupted).
//! Deliberately decodes no payload, and reads attributes leniently: a new kernel's attribute, or one we do not
//! know, must never cost us the interface it is on.

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::NlasIterator;
use netlink_sys::{Socket, SocketAddr};

use crate::Error;
use crate::fd::Ready;

/// Bytes of a netlink message header.
pub(crate) const HEADER_BYTES: usize = 16;

/// Bytes read at once. The kernel packs up to 32 KiB of a dump into one datagram.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Datagrams of events thrown away in one turn, so that a flood of them cannot hold the thread.
const EVENTS_PER_TURN: usize = 1024;

/// Datagrams of one dump, as a bound on what is read: 4,096 of 32 KiB are 300,000 links.
const DUMP_DATAGRAMS_MAX: usize = 4096;

/// What became of reading pending events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Datagrams read and thrown away.
    pub(crate) datagrams: usize,
    /// The kernel had to drop events because the buffer was full.
    pub(crate) overrun: bool,
}

/// How a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dump {
    /// One consistent picture.
    Complete,
    /// Something changed while the kernel wrote it (`NLM_F_DUMP_INTR`).
    Interrupted,
}

/// A netlink socket of one protocol.
pub(crate) struct Netlink {
    socket: Ready<Socket>,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket for `protocol` (for example `libc::NETLINK_ROUTE`) and joins multicast `groups`.
    pub(crate) fn open(
        protocol: i32,
        groups: &[u32],
        receive_buffer_bytes: Option<usize>,
    ) -> Result<Self, Error> {
        let object = || format!("netlink socket of protocol {protocol}");
        let mut socket = Socket::new(protocol as isize).map_err(Error::io("open", object))?;
        socket
            .bind(&SocketAddr::new(0, 0))
            .map_err(Error::io("bind", object))?;
        socket
            .set_non_blocking(true)
            .map_err(Error::io("open", object))?;
        if let Some(bytes) = receive_buffer_bytes {
            socket
                .set_rx_buf_sz(i32::try_from(bytes).unwrap_or(i32::MAX))
                .map_err(Error::io("set the receive buffer of", object))?;
        }
        for group in groups {
            socket
                .add_membership(*group)
                .map_err(Error::io("join a multicast group with", object))?;
        }
        Ok(Self {
            socket: Ready::new(socket).map_err(Error::io("register", object))?,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM_BYTES),
        })
    }

    /// Waits for something to read. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Throws pending events away and says whether there were any.
    pub(crate) fn drain(&mut self) -> io::Result<Drained> {
        let mut drained = Drained::default();
        for _ in 0..EVENTS_PER_TURN {
            match self.receive() {
                Ok(Some(_)) => drained.datagrams += 1,
                Ok(None) => break,
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => drained.overrun = true,
                Err(e) => return Err(e),
            }
        }
        Ok(drained)
    }

    /// Asks for a dump and hands each message's type and payload to `each`.
    pub(crate) async fn dump(
        &mut self,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<Dump, Error> {
        let object = || format!("netlink dump of type {kind}");
        self.sequence = self.sequence.wrapping_add(1);
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        let request = message(kind, flags, self.sequence, body);
        self.socket
            .get()
            .send_to(&request, &SocketAddr::new(0, 0), 0)
            .map_err(Error::io("ask for", object))?;
        let mut interrupted = false;
        for _ in 0..DUMP_DATAGRAMS_MAX {
            let n = loop {
                match self.receive().map_err(Error::io("read", object))? {
                    Some(n) => break n,
                    None => self
                        .readable()
                        .await
                        .map_err(Error::io("wait for", object))?,
                }
            };
            let datagram = self.buffer.get(..n).unwrap_or_default();
            match walk(datagram, self.sequence, &mut interrupted, &mut each) {
                Walked::More => {}
                Walked::Done if interrupted => return Ok(Dump::Interrupted),
                Walked::Done => return Ok(Dump::Complete),
                Walked::Failed(code) => {
                    let refused = io::Error::from_raw_os_error(code);
                    return Err(Error::io("ask for", object)(refused));
                }
            }
            // The other tasks of this thread come first: a dump may be long.
            tokio::task::yield_now().await;
        }
        Err(Error::Answer {
            operation: "read",
            object: object(),
            reason: "it does not end",
        })
    }

    fn receive(&mut self) -> io::Result<Option<usize>> {
        let Self { socket, buffer, .. } = self;
        socket.try_read(|socket| {
            buffer.clear();
            socket.recv(buffer, 0)
        })
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netlink({})", self.socket.get().as_raw_fd())
    }
}

/// What one datagram of a dump held last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walked {
    More,
    Done,
    Failed(i32),
}

/// Hands each message of the answer to `each`, and says how the dump goes on.
pub(crate) fn walk(
    datagram: &[u8],
    sequence: u32,
    interrupted: &mut bool,
    each: &mut impl FnMut(u16, &[u8]),
) -> Walked {
    for (header, payload) in Messages(datagram) {
        // An answer to an earlier dump whose caller went away.
        if header.sequence != sequence {
            continue;
        }
        if i32::from(header.flags) & libc::NLM_F_DUMP_INTR != 0 {
            *interrupted = true;
        }
        match i32::from(header.kind) {
            // A dump that failed on its way says so in its last message.
            libc::NLMSG_DONE => match code(payload) {
                code if code < 0 => return Walked::Failed(-code),
                _ => return Walked::Done,
            },
            libc::NLMSG_ERROR => match code(payload) {
                0 => return Walked::Done,
                code => return Walked::Failed(-code),
            },
            libc::NLMSG_NOOP => {}
            _ => each(header.kind, payload),
        }
    }
    Walked::More
}

pub(crate) fn code(payload: &[u8]) -> i32 {
    payload
        .get(..4)
        .and_then(|b| b.try_into().ok())
        .map_or(-libc::EIO, i32::from_ne_bytes)
}

/// The fields of a header that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The port of the socket that asked, in an answer or an event.
    pub(crate) port: u32,
}

/// The messages of one datagram; ends at the first that does not fit.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (Header, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.0.get(..HEADER_BYTES)?;
        let len = u32_at(head, 0)? as usize;
        let payload = self.0.get(HEADER_BYTES..len)?;
        let header = Header {
            kind: u16_at(head, 4)?,
            flags: u16_at(head, 6)?,
            sequence: u32_at(head, 8)?,
            port: u32_at(head, 12)?,
        };
        let next = len.checked_next_multiple_of(4)?;
        self.0 = self.0.get(next..).unwrap_or_default();
        Some((header, payload))
    }
}

/// One whole request.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let len = (HEADER_BYTES + body.len()) as u32;
    let mut out = Vec::with_capacity(len as usize);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    out.extend_from_slice(body);
    out
}

/// Calls `each` with the type and value of every attribute; ends at the first that does not fit.
pub(crate) fn attributes(buf: &[u8], mut each: impl FnMut(u16, &[u8])) {
    for attribute in NlasIterator::new(buf) {
        let Ok(attribute) = attribute else { break };
        each(attribute.kind(), attribute.value());
    }
}

/// A 16-bit number in host order.
pub(crate) fn u16_at(buf: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        buf.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

/// A 32-bit number in host order.
pub(crate) fn u32_at(buf: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        buf.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
pub(crate) mod tests;
