//! The sockets of the wire thread: two packet sockets and the group memberships of each interface, and the
//! membership's UDP socket. Owns opening, closing and readiness; what is read and sent is the machine's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use engine::wire::{Action, Input, Protocol, Wire};
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use linux::group::Memberships;
use linux::packet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV6, PacketSocket};
use linux::udp::MemberSocket;

/// Room for one frame, bytes: what passes the filters is far shorter than an MTU.
const FRAME_BYTES_MAX: usize = 2_048;

/// Room for one datagram of the membership, bytes; one that is longer is not of ours and is dropped by length.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Kernel memory for frames that wait for their turn, bytes: 256 frames with the kernel's own overhead, twice.
const RECEIVE_BUFFER_BYTES: usize = 512 * 1024;

/// Reports of unreachable peers taken in one turn.
const REPORTS_PER_TURN: usize = 64;

/// A socket that has something to read.
pub(super) enum Ready {
    /// A packet socket of an interface.
    Frames(u32, Rc<PacketSocket>),
    /// The membership's.
    Datagrams(Rc<MemberSocket>),
}

struct Port {
    arp: Rc<PacketSocket>,
    ipv6: Rc<PacketSocket>,
    groups: Memberships,
    wanted: BTreeSet<Ipv6Addr>,
    /// `wanted` differs from what was last asked of the kernel.
    groups_changed: bool,
}

pub(super) struct Sockets {
    ports: BTreeMap<u32, Port>,
    members: Option<Rc<MemberSocket>>,
    /// One future for each open socket; a socket that was read is put back.
    pub(super) ready: FuturesUnordered<LocalBoxFuture<'static, Ready>>,
    frame: Box<[u8]>,
    datagram: Box<[u8]>,
}

impl Sockets {
    pub(super) fn new(members: Option<MemberSocket>) -> Self {
        let sockets = Self {
            ports: BTreeMap::new(),
            members: members.map(Rc::new),
            ready: FuturesUnordered::new(),
            frame: vec![0; FRAME_BYTES_MAX].into(),
            datagram: vec![0; DATAGRAM_BYTES_MAX].into(),
        };
        if let Some(socket) = &sockets.members {
            sockets.await_datagrams(Rc::clone(socket));
        }
        sockets
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.ports.len() * 2 + usize::from(self.members.is_some())
    }

    /// Watches a socket again after it was read.
    pub(super) fn await_frames(&self, ifindex: u32, socket: Rc<PacketSocket>) {
        self.ready.push(Box::pin(async move {
            // An error shows at the read.
            let _shown_later = socket.readable().await;
            Ready::Frames(ifindex, socket)
        }));
    }

    fn await_datagrams(&self, socket: Rc<MemberSocket>) {
        self.ready.push(Box::pin(async move {
            let _shown_later = socket.readable().await;
            Ready::Datagrams(socket)
        }));
    }

    /// Whether this socket is still the interface's.
    pub(super) fn is_open(&self, ifindex: u32, socket: &Rc<PacketSocket>) -> bool {
        self.ports
            .get(&ifindex)
            .is_some_and(|port| Rc::ptr_eq(&port.arp, socket) || Rc::ptr_eq(&port.ipv6, socket))
    }

    /// The next frame of a socket, none when there is none.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub(super) fn frame(
        &mut self,
        ifindex: u32,
        socket: &PacketSocket,
    ) -> io::Result<Option<Input<'_>>> {
        let Some((length, meta)) = socket.recv(&mut self.frame)? else {
            return Ok(None);
        };
        Ok(Some(Input::Frame {
            ifindex,
            bytes: self.frame.get(..length).unwrap_or_default(),
            meta: l2::FrameMeta {
                ifindex: meta.ifindex,
                outgoing: meta.outgoing,
                vlan: meta.vlan,
            },
        }))
    }

    /// Reads at most `max` datagrams, and the reports beside them.
    pub(super) fn take_datagrams(
        &mut self,
        socket: Rc<MemberSocket>,
        max: usize,
        mut each: impl FnMut(Input<'_>),
    ) {
        datagrams(&socket, &mut self.datagram, max, &mut each);
        self.await_datagrams(socket);
    }

    /// Does what the machine asks for and tells it how that went.
    pub(super) fn act(&mut self, action: Action, wire: &mut Wire, now: Instant) {
        match action {
            Action::Open { ifindex, arp, ipv6 } => match open(ifindex, &arp, &ipv6) {
                Ok(port) => {
                    self.await_frames(ifindex, Rc::clone(&port.arp));
                    self.await_frames(ifindex, Rc::clone(&port.ipv6));
                    self.ports.insert(ifindex, port);
                    wire.opened(ifindex, now);
                }
                Err(error) => wire.socket_failed(ifindex, error.to_string(), now),
            },
            Action::Close { ifindex } => self.close(ifindex),
            Action::SetFilter {
                ifindex,
                protocol,
                filter,
            } => self.set_filter(ifindex, protocol, &filter, wire, now),
            Action::JoinGroup { ifindex, group } => {
                if let Some(port) = self.ports.get_mut(&ifindex) {
                    port.wanted.insert(group);
                    port.groups_changed = true;
                }
            }
            // Asked by the loop, over a socket of its own.
            Action::ProbeGateway => {}
            Action::LeaveGroup { ifindex, group } => {
                if let Some(port) = self.ports.get_mut(&ifindex) {
                    port.wanted.remove(&group);
                    port.groups_changed = true;
                }
            }
        }
    }

    fn set_filter(
        &mut self,
        ifindex: u32,
        protocol: Protocol,
        filter: &l2::Filter,
        wire: &mut Wire,
        now: Instant,
    ) {
        let Some(port) = self.ports.get(&ifindex) else {
            return;
        };
        let socket = match protocol {
            Protocol::Arp => &port.arp,
            Protocol::Ipv6 => &port.ipv6,
        };
        if let Err(error) = socket.set_filter(&program(filter)) {
            self.close(ifindex);
            wire.socket_failed(ifindex, error.to_string(), now);
        }
    }

    /// Closes both sockets of an interface and leaves its groups.
    pub(super) fn close(&mut self, ifindex: u32) {
        if self.ports.remove(&ifindex).is_none() {
            return;
        }
        // The futures of the closed sockets hold them open: all futures are made anew without those.
        self.ready = FuturesUnordered::new();
        for (ifindex, port) in &self.ports {
            self.await_frames(*ifindex, Rc::clone(&port.arp));
            self.await_frames(*ifindex, Rc::clone(&port.ipv6));
        }
        if let Some(socket) = &self.members {
            self.await_datagrams(Rc::clone(socket));
        }
    }

    /// Brings the groups of every interface in line with what was asked for since the last time.
    pub(super) fn settle_groups(&mut self, wire: &mut Wire, now: Instant) {
        for (ifindex, port) in &mut self.ports {
            if !std::mem::take(&mut port.groups_changed) {
                continue;
            }
            // A solicited-node group has the last 24 bits of its addresses, so it stands for them.
            if port.groups.set(&port.wanted).is_err() {
                let joined: BTreeSet<Ipv6Addr> = port.groups.groups().collect();
                let missing: Vec<Ipv6Addr> = port.wanted.difference(&joined).copied().collect();
                for group in missing {
                    // The machine asks again later.
                    port.wanted.remove(&group);
                    wire.join_failed(*ifindex, group, now);
                }
            }
        }
    }

    pub(super) fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        let port = self
            .ports
            .get(&ifindex)
            .ok_or(io::ErrorKind::NotConnected)?;
        let arp = frame.get(12..14) == Some(&ETHERTYPE_ARP.to_be_bytes());
        let socket = if arp { &port.arp } else { &port.ipv6 };
        socket.send(frame)
    }

    pub(super) fn send_datagram(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        match &self.members {
            Some(socket) => socket.send_to(bytes, to),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn open(ifindex: u32, arp: &l2::Filter, ipv6: &l2::Filter) -> Result<Port, linux::Error> {
    let options = packet::Options {
        receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES),
    };
    Ok(Port {
        arp: Rc::new(PacketSocket::open(
            ifindex,
            ETHERTYPE_ARP,
            &program(arp),
            options,
        )?),
        ipv6: Rc::new(PacketSocket::open(
            ifindex,
            ETHERTYPE_IPV6,
            &program(ipv6),
            options,
        )?),
        groups: Memberships::new(ifindex),
        wanted: BTreeSet::new(),
        groups_changed: false,
    })
}

fn program(filter: &l2::Filter) -> Vec<packet::Insn> {
    filter
        .program
        .iter()
        .map(|insn| packet::Insn {
            code: insn.code,
            jt: insn.jt,
            jf: insn.jf,
            k: insn.k,
        })
        .collect()
}

fn datagrams(
    socket: &MemberSocket,
    buffer: &mut [u8],
    max: usize,
    each: &mut impl FnMut(Input<'_>),
) {
    for _ in 0..REPORTS_PER_TURN {
        match socket.unreachable() {
            Ok(Some(report)) if report.port => each(Input::Unreachable {
                address: report.peer,
            }),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let taken = socket.recv_batch(max, buffer, |from, bytes| {
        each(Input::Datagram { from, bytes });
    });
    if let Err(error) = taken {
        tracing::debug!(%error, "reading the membership's socket");
    }
}
