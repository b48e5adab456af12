//! Packet sockets: whole Ethernet frames of one type on one interface.
//!
//! Owns the order that lets no unfiltered frame in: the socket is opened with protocol 0 (hears nothing),
//! the filter is attached, then it is bound. Deliberately absent: frame formats, filter compilation, and
//! any promiscuous or all-multicast mode (broadcast and joined groups are enough).

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{Domain, Socket, Type};

use crate::Error;
use crate::fd::Ready;
use crate::sys;

/// Ethernet type of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// Ethernet type of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Instructions a filter may have; the kernel's own bound (`BPF_MAXINSNS`).
pub const FILTER_INSNS_MAX: usize = 4096;

/// The VLAN id of a frame whose tag the kernel threw away. A socket of one Ethernet type, as ours, gets a frame
/// of a VLAN that has no interface on this host without its tag, marked as for another host; the id is gone.
/// 4095 is reserved and never on the wire (IEEE 802.1Q §9.6). A priority tag (id 0) goes without a trace.
pub const VLAN_UNKNOWN: u16 = 0x0fff;

/// One instruction of a classic BPF program. The program sees the frame from its Ethernet header, without a
/// VLAN tag (the kernel moves it to auxiliary data), and returns the bytes to keep; 0 drops the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison is true.
    pub jt: u8,
    /// Instructions to skip when a comparison is false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// The program of one instruction that drops everything: BPF_RET | BPF_K, 0.
pub(crate) const DROP_ALL: Insn = Insn {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 0,
};

/// What the kernel says about a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The interface that received it, which need not be the one the socket is bound to (L2-10).
    pub ifindex: u32,
    /// The frame was sent by this host.
    pub outgoing: bool,
    /// VLAN id of a tag the kernel took off; [`VLAN_UNKNOWN`] when it has thrown the id away, too.
    pub vlan: Option<u16>,
    /// The frame was longer than the buffer; the rest is lost.
    pub truncated: bool,
}

/// Settings of a socket that are fixed when it is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Receive buffer in bytes of kernel memory; `None` leaves the host's default. With CAP_NET_ADMIN the
    /// host's maximum (`net.core.rmem_max`) does not apply.
    pub receive_buffer_bytes: Option<usize>,
}

/// Frames since the socket was opened, counted by the kernel after the filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that passed the filter, dropped ones included.
    pub passed: u64,
    /// Frames lost because the receive buffer was full.
    pub dropped: u64,
}

/// A raw packet socket bound to one interface and one Ethernet type.
pub struct PacketSocket {
    socket: Ready<Socket>,
    ifindex: u32,
    passed: AtomicU64,
    dropped: AtomicU64,
}

impl PacketSocket {
    /// Opens a socket on interface `ifindex` for frames of `ethertype` that pass `filter`. An empty filter
    /// drops everything. Needs CAP_NET_RAW and a running tokio runtime.
    ///
    /// # Errors
    /// Permission, an unknown interface (`ENODEV`), an invalid program (`EINVAL`). Nothing stays open.
    pub fn open(
        ifindex: u32,
        ethertype: u16,
        filter: &[Insn],
        options: Options,
    ) -> Result<Self, Error> {
        let object = || format!("packet socket {ethertype:#06x} on interface {ifindex}");
        let index = i32::try_from(ifindex)
            .ok()
            .filter(|i| *i > 0)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
            .map_err(Error::io("open", object))?;
        // Protocol 0: the socket hears nothing before it is bound, so the filter is first (L2-12).
        let socket = Socket::new(Domain::from(libc::AF_PACKET), Type::RAW, None)
            .map_err(Error::io("open", object))?;
        socket
            .set_nonblocking(true)
            .map_err(Error::io("open", object))?;
        if let Some(bytes) = options.receive_buffer_bytes {
            set_receive_buffer(&socket, bytes)
                .map_err(Error::io("set the receive buffer of", object))?;
        }
        let one = 1i32;
        sys::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, &one)
            .map_err(Error::io("ask for auxiliary data of", object))?;
        attach(&socket, filter).map_err(Error::io("attach the filter to", object))?;
        sys::bind_packet(socket.as_fd(), index, ethertype).map_err(Error::io("bind", object))?;
        let socket = Ready::new(socket).map_err(Error::io("register", object))?;
        Ok(Self {
            socket,
            ifindex,
            passed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// The interface the socket was bound to.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Replaces the filter in one step: each frame is judged by the old or by the new program. Frames
    /// already queued stay. An empty filter drops everything.
    ///
    /// # Errors
    /// An invalid program; the old filter stays.
    pub fn set_filter(&self, filter: &[Insn]) -> Result<(), Error> {
        attach(self.socket.get(), filter).map_err(Error::io("attach the filter to", || {
            format!("packet socket on interface {}", self.ifindex)
        }))
    }

    /// Waits until [`recv`](Self::recv) may give a frame or an error. Cancel safe.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes one frame without waiting; `None` when there is none. The length is that of the frame in `buf`.
    ///
    /// # Errors
    /// `ENETDOWN` once after the interface went down or away. The socket stays bound: after an interface
    /// that came up again it works, after a deleted one it hears nothing more and should be dropped.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Option<(usize, Meta)>> {
        let got = self
            .socket
            .try_read(|socket| sys::recvmsg(socket.as_fd(), buf, 0))?;
        let Some(got) = got else { return Ok(None) };
        let Some(from) = sys::link_address(&got.name) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let len = got.len.min(buf.len());
        let told = got
            .control(libc::SOL_PACKET, libc::PACKET_AUXDATA)
            .and_then(vlan_id);
        let foreign = from.sll_pkttype == libc::PACKET_OTHERHOST;
        let frame = buf.get(..len).unwrap_or_default();
        let meta = Meta {
            ifindex: u32::try_from(from.sll_ifindex).unwrap_or(0),
            outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
            vlan: told.or_else(|| (foreign && self.is_for_us(frame)).then_some(VLAN_UNKNOWN)),
            truncated: got.len > buf.len(),
        };
        Ok(Some((len, meta)))
    }

    /// Whether the Ethernet destination is a group or the interface's own address: such a frame is never for
    /// another host, so the kernel's mark that it is means a VLAN.
    fn is_for_us(&self, frame: &[u8]) -> bool {
        let Some(destination) = frame.get(..6) else {
            return false;
        };
        let group = destination.first().is_some_and(|o| o & 1 != 0);
        group || sys::packet_mac(self.socket.as_fd()).is_some_and(|mac| mac == destination)
    }

    /// Sends one whole frame, Ethernet header included, without waiting.
    ///
    /// # Errors
    /// `ENOBUFS` or would-block when queues are full, `ENETDOWN`, `ENXIO`: the frame is lost, the socket
    /// stays usable.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.get().send(frame).map(drop)
    }

    /// What the kernel counted since the socket was opened.
    ///
    /// # Errors
    /// None in practice; a failed call leaves the counts as they were.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let new = sys::packet_statistics(self.socket.as_fd())?;
        let add = |total: &AtomicU64, count: u32| {
            let count = u64::from(count);
            total.fetch_add(count, Ordering::Relaxed) + count
        };
        Ok(Statistics {
            passed: add(&self.passed, new.tp_packets),
            dropped: add(&self.dropped, new.tp_drops),
        })
    }
}

pub(crate) fn attach(socket: &Socket, filter: &[Insn]) -> io::Result<()> {
    let filter = if filter.is_empty() {
        &[DROP_ALL]
    } else {
        filter
    };
    if filter.len() > FILTER_INSNS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let program: Vec<libc::sock_filter> = filter
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    sys::attach_filter(socket.as_fd(), &program)
}

/// With CAP_NET_ADMIN beyond the host's maximum, without it up to that.
pub(crate) fn set_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let value = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    sys::set_option(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        &value,
    )
    .or_else(|_| socket.set_recv_buffer_size(bytes))
}

/// The VLAN id in a `tpacket_auxdata`: status (u32) at 0, tag control (u16) at 16.
fn vlan_id(aux: &[u8]) -> Option<u16> {
    let status = u32::from_ne_bytes(aux.get(..4)?.try_into().ok()?);
    let tci = u16::from_ne_bytes(aux.get(16..18)?.try_into().ok()?);
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some(tci & 0x0fff)
}

#[cfg(test)]
mod tests;
