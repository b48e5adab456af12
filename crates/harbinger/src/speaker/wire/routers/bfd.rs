//! The sockets of BFD: what is received on two ports, and one sender for each session.
//!
//! Owns opening, closing and readiness. The kernel's receive times are what the machine judges by.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::bfd::{Action, Meta, Mode, SessionId};
use engine::wire::routers::Routers;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use linux::bfd::{Clock, Receiver, ReceiverOptions, Sender, SenderOptions};
use tracing::warn;

/// A receive socket that could not be opened is tried again after this long.
const RETRY: Duration = Duration::from_secs(30);

/// Datagrams read from one socket in one go; 200 sessions at 50 ms make 4,000 a second.
const BATCH: usize = 256;

/// Something of BFD is ready.
pub(in crate::speaker::wire) enum Ready {
    /// There is something to read.
    Readable(::bfd::endpoint::Receiver, Rc<Receiver>),
    /// It is time to try this one again.
    Retry(::bfd::endpoint::Receiver),
}

pub(in crate::speaker::wire) type Pending = FuturesUnordered<LocalBoxFuture<'static, super::Ready>>;

pub(super) struct BfdSockets {
    receivers: BTreeMap<::bfd::endpoint::Receiver, Option<Rc<Receiver>>>,
    senders: BTreeMap<SessionId, Sender>,
    clock: Clock,
}

impl BfdSockets {
    pub(super) fn new() -> Self {
        Self {
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
            clock: Clock::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.receivers.len()
    }

    pub(super) fn act(
        &mut self,
        action: Action,
        routers: &mut Routers,
        pending: &Pending,
        now: Instant,
    ) {
        match action {
            Action::OpenReceiver(which) => self.open_receiver(which, pending),
            Action::CloseReceiver(which) => {
                self.receivers.remove(&which);
            }
            Action::Open(id, socket) => {
                let options = SenderOptions {
                    local: socket.local,
                    source_port: socket.source_port,
                    peer: socket.peer,
                    port: socket.mode.port(),
                    device: socket.interface.or(socket.vrf),
                };
                match Sender::open(&options) {
                    Ok(sender) => {
                        self.senders.insert(id, sender);
                    }
                    Err(error) if error.is_in_use() => routers.bfd_port_taken(id, now),
                    Err(error) => warn!(peer = %socket.peer, %error, "BFD cannot send"),
                }
            }
            Action::Close(id) => {
                self.transmit(routers);
                self.senders.remove(&id);
            }
        }
    }

    fn open_receiver(&mut self, which: ::bfd::endpoint::Receiver, pending: &Pending) {
        let options = ReceiverOptions {
            port: which.mode.port(),
            ipv6: which.ipv6,
            single_hop: which.mode == Mode::SingleHop,
            vrf: which.vrf,
        };
        match Receiver::bind(&options) {
            Ok(receiver) => {
                let receiver = Rc::new(receiver);
                self.receivers.insert(which, Some(Rc::clone(&receiver)));
                await_datagrams(which, receiver, pending);
            }
            Err(error) => {
                warn!(%error, "BFD cannot receive; tried again every 30 s");
                self.receivers.insert(which, None);
                pending.push(Box::pin(async move {
                    tokio::time::sleep(RETRY).await;
                    super::Ready::Bfd(Ready::Retry(which))
                }));
            }
        }
    }

    pub(super) fn take(&mut self, ready: Ready, routers: &mut Routers, pending: &Pending) {
        match ready {
            Ready::Readable(which, receiver) => {
                let current = self.receivers.get(&which).and_then(Option::as_ref);
                if current.is_some_and(|current| Rc::ptr_eq(current, &receiver)) {
                    let now = self.clock.turn();
                    read(&receiver, which, &self.clock, routers, now);
                    await_datagrams(which, receiver, pending);
                }
            }
            Ready::Retry(which) => {
                if self.receivers.get(&which).is_some_and(Option::is_none) {
                    self.open_receiver(which, pending);
                }
            }
        }
    }

    /// Reads everything that is there.
    pub(super) fn drain(&mut self, routers: &mut Routers) {
        let now = self.clock.turn();
        for (which, receiver) in &self.receivers {
            if let Some(receiver) = receiver {
                read(receiver, *which, &self.clock, routers, now);
            }
        }
    }

    /// Sends what is due.
    pub(super) fn transmit(&mut self, routers: &mut Routers) {
        while let Some(transmit) = routers.bfd_transmit() {
            let sent = self
                .senders
                .get(&transmit.session)
                .is_some_and(|sender| sender.send(&transmit.bytes).is_ok());
            if !sent {
                routers.bfd_transmit_failed();
            }
        }
    }
}

fn await_datagrams(which: ::bfd::endpoint::Receiver, receiver: Rc<Receiver>, pending: &Pending) {
    pending.push(Box::pin(async move {
        // An error shows at the read.
        let _shown_later = receiver.readable().await;
        super::Ready::Bfd(Ready::Readable(which, receiver))
    }));
}

/// An error of the socket is the path's, not the session's: silence tells it.
fn read(
    receiver: &Receiver,
    which: ::bfd::endpoint::Receiver,
    clock: &Clock,
    routers: &mut Routers,
    now: Instant,
) {
    let _silence_tells = receiver.recv_batch(BATCH, clock, |datagram| {
        let meta = Meta {
            remote: datagram.from.ip(),
            local: datagram.local,
            interface: datagram.ifindex,
            vrf: which.vrf,
            mode: which.mode,
            ttl: datagram.ttl,
            received: datagram.received,
        };
        routers.bfd_datagram(datagram.octets, &meta, now);
    });
}
