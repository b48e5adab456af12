//! The sockets of unnumbered links: router advertisements in and out.
//!
//! Owns opening, closing and readiness. A socket that cannot be opened is tried again.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use engine::wire::routers::Routers;
use linux::neighbor::NeighborSocket;
use tracing::warn;

use super::bfd::Pending;

/// A socket that could not be opened is tried again after this long.
const RETRY: Duration = Duration::from_secs(5);

/// Messages read from one socket in one go; a flood must not starve BFD.
const BATCH: usize = 32;

/// Something of an unnumbered link is ready.
pub(in crate::speaker::wire) enum Ready {
    /// There is something to read.
    Readable(u32, Rc<NeighborSocket>),
    /// It is time to try this link again.
    Retry(u32),
}

#[derive(Default)]
pub(super) struct DiscoverySockets {
    links: BTreeMap<u32, Option<Rc<NeighborSocket>>>,
}

impl DiscoverySockets {
    pub(super) fn count(&self) -> usize {
        self.links.len()
    }

    pub(super) fn open(&mut self, ifindex: u32, pending: &Pending) {
        match NeighborSocket::open(ifindex) {
            Ok(socket) => {
                let socket = Rc::new(socket);
                self.links.insert(ifindex, Some(Rc::clone(&socket)));
                await_messages(ifindex, socket, pending);
            }
            Err(error) => {
                warn!(%error, "no neighbour can be found on an unnumbered link; tried again every 5 s");
                self.links.insert(ifindex, None);
                pending.push(Box::pin(async move {
                    tokio::time::sleep(RETRY).await;
                    super::Ready::Discovery(Ready::Retry(ifindex))
                }));
            }
        }
    }

    pub(super) fn close(&mut self, ifindex: u32) {
        self.links.remove(&ifindex);
    }

    pub(super) fn take(
        &mut self,
        ready: Ready,
        routers: &mut Routers,
        pending: &Pending,
        now: Instant,
    ) {
        match ready {
            Ready::Readable(ifindex, socket) => {
                let current = self.links.get(&ifindex).and_then(Option::as_ref);
                if !current.is_some_and(|current| Rc::ptr_eq(current, &socket)) {
                    return;
                }
                // An error is the link's: silence tells it.
                let _silence_tells = socket.recv_batch(BATCH, |message| {
                    routers.discovered(
                        ifindex,
                        message.from,
                        message.hop_limit,
                        message.octets,
                        now,
                    );
                });
                await_messages(ifindex, socket, pending);
            }
            Ready::Retry(ifindex) => {
                if self.links.get(&ifindex).is_some_and(Option::is_none) {
                    self.open(ifindex, pending);
                }
            }
        }
    }

    /// Sends what is due. One that is lost is followed by the next.
    pub(super) fn transmit(&mut self, routers: &mut Routers) {
        while let Some(message) = routers.discovery_transmit() {
            if let Some(Some(socket)) = self.links.get(&message.ifindex) {
                let _next_one_follows = socket.send(&message.octets, message.to_routers);
            }
        }
    }
}

fn await_messages(ifindex: u32, socket: Rc<NeighborSocket>, pending: &Pending) {
    pending.push(Box::pin(async move {
        // An error shows at the read.
        let _shown_later = socket.readable().await;
        super::Ready::Discovery(Ready::Readable(ifindex, socket))
    }));
}
