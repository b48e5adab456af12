//! The sockets of the sessions with routers: BGP's connections, and those of BFD.
//!
//! ```text
//!   engine::wire::routers ── RouterAction, bytes ──►┌─────────┐──► TCP, UDP 3784 and 4784
//!   connected, bytes, closed, datagrams ◄───────────│ sockets │
//! ```
//! Owns opening, closing, readiness and what a socket did not take yet; decides nothing. Each future in `ready`
//! holds its socket; one that belongs to a connection which is closed meanwhile ends without being told.

mod bfd;
mod discovery;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::bgp::{Close, Closed, ConnId, ConnectFailure};
use engine::wire::routers::{Dial, RouterAction, Routers};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use linux::tcp::{ConnectOptions, Connection, Password};

use bfd::BfdSockets;
use discovery::DiscoverySockets;

/// An attempt to connect that takes longer is given up (BGP-04).
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a connection may take to say its last words.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Bytes that are asked of the machine at once: as much as the kernel keeps unsent (BGP-15).
const WRITE_BYTES: usize = 16 * 1024;

/// Bytes that are read at once; the machine takes 64 KiB a call.
const READ_BYTES: usize = 64 * 1024;

/// Reads of one connection in a turn, so that a full table does not starve BFD.
const READS_PER_TURN: usize = 4;

/// A connection of a peer.
type Key = (String, ConnId);

/// A socket that has something for us.
pub(super) enum Ready {
    /// An attempt to connect ended.
    Connected(Key, Rc<Connection>, io::Result<()>),
    /// There is something to read.
    Readable(Key, Rc<Connection>),
    /// There is room again.
    Writable(Key, Rc<Connection>),
    /// A connection has said its last words.
    Finished,
    /// BFD.
    Bfd(bfd::Ready),
    /// An unnumbered link.
    Discovery(discovery::Ready),
}

struct Open {
    connection: Rc<Connection>,
    /// Handed out by the machine, and not taken by the socket yet.
    unsent: Vec<u8>,
    connected: bool,
    /// A future waits for room.
    waiting: bool,
}

pub(super) struct RouterSockets {
    open: BTreeMap<Key, Open>,
    bfd: BfdSockets,
    discovery: DiscoverySockets,
    pub(super) ready: FuturesUnordered<LocalBoxFuture<'static, Ready>>,
    buffer: Box<[u8]>,
}

impl RouterSockets {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            bfd: BfdSockets::new(),
            discovery: DiscoverySockets::default(),
            ready: FuturesUnordered::new(),
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    /// Everything that is open.
    pub(super) fn count(&self) -> usize {
        self.open.len() + self.bfd.count() + self.discovery.count()
    }

    /// Does what the machine asks for until it asks for nothing more.
    pub(super) fn settle(&mut self, routers: &mut Routers, now: Instant) {
        // Each action can bring at most one more, of a connection that cannot be opened.
        while let Some(action) = routers.poll_action() {
            match action {
                RouterAction::Connect { peer, conn, dial } => {
                    self.connect((peer, conn), &dial, routers, now);
                }
                RouterAction::Close { peer, conn, how } => {
                    self.flush(&(peer.clone(), conn), routers, now);
                    self.close((peer, conn), how);
                }
                RouterAction::Bfd(action) => self.bfd.act(action, routers, &self.ready, now),
                RouterAction::Discover(ifindex) => self.discovery.open(ifindex, &self.ready),
                RouterAction::Undiscover(ifindex) => self.discovery.close(ifindex),
            }
        }
        self.bfd.transmit(routers);
        self.discovery.transmit(routers);
        let keys: Vec<Key> = self.open.keys().cloned().collect();
        for key in keys {
            self.flush(&key, routers, now);
        }
    }

    /// What became ready, and what else is by now.
    pub(super) fn take(&mut self, first: Ready, routers: &mut Routers, now: Instant) {
        let mut next = Some(first);
        for _ in 0..=self.count() {
            let Some(ready) = next else {
                return;
            };
            self.take_one(ready, routers, now);
            next = self.ready.next().now_or_never().flatten();
        }
        if let Some(ready) = next {
            self.take_one(ready, routers, now);
        }
    }

    fn take_one(&mut self, ready: Ready, routers: &mut Routers, now: Instant) {
        match ready {
            Ready::Connected(key, connection, result) => {
                self.connected(key, &connection, result, routers, now);
            }
            Ready::Readable(key, connection) => self.read(key, connection, routers, now),
            Ready::Writable(key, connection) => {
                if let Some(open) = self.open.get_mut(&key)
                    && Rc::ptr_eq(&open.connection, &connection)
                {
                    open.waiting = false;
                    self.flush(&key, routers, now);
                }
            }
            Ready::Finished => {}
            Ready::Bfd(ready) => self.bfd.take(ready, routers, &self.ready),
            Ready::Discovery(ready) => self.discovery.take(ready, routers, &self.ready, now),
        }
    }

    /// Reads every BFD socket empty: done before deadlines are judged (BFD-51).
    pub(super) fn drain_bfd(&mut self, routers: &mut Routers) {
        self.bfd.drain(routers);
    }

    fn connect(&mut self, key: Key, dial: &Dial, routers: &mut Routers, now: Instant) {
        let options = ConnectOptions {
            local: dial.local,
            device: dial.device,
            ttl: dial.ttl,
            minimum_ttl: dial.minimum_ttl,
            password: dial
                .password
                .as_ref()
                .and_then(|key| Password::new(key.0.to_vec())),
            ..ConnectOptions::to(dial.remote)
        };
        let (peer, conn) = (key.0.clone(), key.1);
        match Connection::connect(&options) {
            Ok(connection) => {
                let connection = Rc::new(connection);
                let waiting = Rc::clone(&connection);
                let open = Open {
                    connection,
                    unsent: Vec::new(),
                    connected: false,
                    waiting: false,
                };
                self.open.insert(key.clone(), open);
                self.ready.push(Box::pin(async move {
                    let result = tokio::time::timeout(CONNECT_MAX, waiting.connected()).await;
                    let result = result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                    Ready::Connected(key, waiting, result)
                }));
            }
            Err(error) => {
                let failure = ConnectFailure::Other(error.to_string());
                routers.connect_failed(&peer, conn, failure, now);
            }
        }
    }

    fn connected(
        &mut self,
        key: Key,
        connection: &Rc<Connection>,
        result: io::Result<()>,
        routers: &mut Routers,
        now: Instant,
    ) {
        let Some(open) = self.open.get_mut(&key) else {
            return;
        };
        if !Rc::ptr_eq(&open.connection, connection) {
            return;
        }
        let local = result.and_then(|()| connection.local());
        match local {
            Ok(local) => {
                open.connected = true;
                self.await_bytes(key.clone(), Rc::clone(connection));
                routers.connected(&key.0, key.1, local, connection.peer(), now);
                self.flush(&key, routers, now);
            }
            Err(error) => {
                self.open.remove(&key);
                let failure = failure(&error, connection.peer(), routers);
                routers.connect_failed(&key.0, key.1, failure, now);
            }
        }
    }

    fn await_bytes(&self, key: Key, connection: Rc<Connection>) {
        self.ready.push(Box::pin(async move {
            // An error shows at the read.
            let _shown_later = connection.readable().await;
            Ready::Readable(key, connection)
        }));
    }

    fn read(&mut self, key: Key, connection: Rc<Connection>, routers: &mut Routers, now: Instant) {
        for _ in 0..READS_PER_TURN {
            let current = self.open.get(&key);
            if current.is_none_or(|open| !Rc::ptr_eq(&open.connection, &connection)) {
                return;
            }
            match connection.read(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    self.open.remove(&key);
                    routers.closed(&key.0, key.1, Closed::ByPeer, now);
                    return;
                }
                Ok(Some(length)) => {
                    let octets = self.buffer.get(..length).unwrap_or_default();
                    routers.bytes(&key.0, key.1, octets, now);
                }
                Err(error) => {
                    self.open.remove(&key);
                    let how = match error.kind() {
                        io::ErrorKind::ConnectionReset => Closed::Reset,
                        _ => Closed::Other(error.to_string()),
                    };
                    routers.closed(&key.0, key.1, how, now);
                    return;
                }
            }
        }
        self.await_bytes(key, connection);
    }

    /// Gives a socket what it takes.
    fn flush(&mut self, key: &Key, routers: &mut Routers, now: Instant) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        if !open.connected || open.waiting {
            return;
        }
        loop {
            if open.unsent.is_empty() {
                match routers.transmit(&key.0, key.1, WRITE_BYTES, now) {
                    Some(octets) => open.unsent = octets,
                    None => return,
                }
            }
            match open.connection.write(&open.unsent) {
                Ok(Some(written)) => {
                    open.unsent.drain(..written.min(open.unsent.len()));
                }
                Ok(None) => {
                    open.waiting = true;
                    let (key, connection) = (key.clone(), Rc::clone(&open.connection));
                    self.ready.push(Box::pin(async move {
                        let _shown_later = connection.writable().await;
                        Ready::Writable(key, connection)
                    }));
                    return;
                }
                // The read tells why.
                Err(_) => {
                    open.unsent.clear();
                    return;
                }
            }
        }
    }

    fn close(&mut self, key: Key, how: Close) {
        let Some(open) = self.open.remove(&key) else {
            return;
        };
        match how {
            Close::Finish if open.connected => {
                self.ready.push(Box::pin(async move {
                    let _patience_ended = tokio::time::timeout(FINISH_MAX, finish(open)).await;
                    Ready::Finished
                }));
            }
            // The last reference ends the connection, also where a future still holds it for a moment.
            Close::Finish | Close::Abort => {
                if let Some(connection) = Rc::into_inner(open.connection) {
                    connection.abort();
                }
            }
        }
    }
}

/// Sends what is left, half-closes, and waits for the peer to do the same.
async fn finish(open: Open) {
    let mut unsent = open.unsent;
    while !unsent.is_empty() {
        match open.connection.write(&unsent) {
            Ok(Some(written)) => {
                unsent.drain(..written.min(unsent.len()));
            }
            Ok(None) => {
                if open.connection.writable().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
    if open.connection.finish().is_err() {
        return;
    }
    let mut rest = [0; 4_096];
    while open.connection.readable().await.is_ok() {
        match open.connection.read(&mut rest) {
            Ok(Some(0)) | Err(_) => return,
            Ok(Some(_) | None) => {}
        }
    }
}

/// What the kernel says of an attempt, in the machine's words.
fn failure(error: &io::Error, peer: SocketAddr, routers: &Routers) -> ConnectFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => ConnectFailure::TimedOut {
            off_link: !routers.is_on_link(peer.ip()),
        },
        io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ConnectFailure::Unreachable
        }
        _ => ConnectFailure::Other(error.to_string()),
    }
}
