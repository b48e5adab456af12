//! Announces prefixes to one router until a time has passed, then takes leave: the whole of a shell around
//! [`bgp::Peer`], with nothing but the standard library.
//!
//! ```text
//! announce MY_ASN PEER_ASN ROUTER_ID PEER:PORT NEXT_HOP SECONDS PREFIX...
//! announce 64500 64512 10.0.0.1 10.0.0.254:179 10.0.0.1 60 192.0.2.1/32 192.0.2.2/32
//! ```
//!
//! It blocks where a real shell would wait for several sockets, and does not listen.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::{
    Action, Close, Closed, Config, ConnId, ConnectFailure, Endpoints, Peer, RouteAttributes,
    RouteSet, Settings,
};

/// The longest sleep in a read.
const TURN: Duration = Duration::from_millis(20);

struct Shell {
    peer: Peer,
    router: SocketAddr,
    next_hop: Ipv4Addr,
    sockets: BTreeMap<ConnId, TcpStream>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [
        my_asn,
        peer_asn,
        id,
        router,
        next_hop,
        seconds,
        prefixes @ ..,
    ] = args.as_slice()
    else {
        return Err(
            "usage: announce MY_ASN PEER_ASN ROUTER_ID PEER:PORT NEXT_HOP SECONDS PREFIX...".into(),
        );
    };
    let settings = Settings::new(my_asn.parse()?, peer_asn.parse()?, id.parse()?);
    let config = Config::new(settings).map_err(|errors| format!("{errors:?}"))?;
    let plain = Arc::new(RouteAttributes::default());
    let mut routes = RouteSet::new();
    for prefix in prefixes {
        routes.insert(prefix.parse()?, plain.clone())?;
    }
    let start = Instant::now();
    let mut shell = Shell {
        peer: Peer::new(config, u64::from(std::process::id()), start),
        router: router.parse()?,
        next_hop: next_hop.parse()?,
        sockets: BTreeMap::new(),
    };
    shell.peer.set_routes(&routes, start);
    let end = start + Duration::from_secs(seconds.parse()?);
    while !shell.peer.is_stopped() {
        let now = Instant::now();
        if now >= end {
            shell.peer.stop(now);
        }
        shell.turn();
    }
    shell.turn();
    Ok(())
}

impl Shell {
    /// What came, then what is due, then what goes.
    fn turn(&mut self) {
        let conns: Vec<ConnId> = self.sockets.keys().copied().collect();
        if conns.is_empty() {
            std::thread::sleep(TURN);
        }
        for conn in conns {
            self.read(conn);
        }
        let now = Instant::now();
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        self.act();
        let conns: Vec<ConnId> = self.sockets.keys().copied().collect();
        for conn in conns {
            self.write(conn);
        }
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.peer.poll_action() {
            match action {
                Action::Connect(conn) => self.connect(conn),
                Action::Close(conn, how) => {
                    if let Some(socket) = self.sockets.remove(&conn)
                        && how == Close::Finish
                    {
                        // A failure means that the router was quicker.
                        let _ = socket.shutdown(Shutdown::Write);
                        let _ = (&socket).read(&mut [0; 64]);
                    }
                }
            }
        }
        while let Some(event) = self.peer.poll_event() {
            println!("{event:?}");
            if let bgp::PeerEvent::Down { reason, .. } | bgp::PeerEvent::Failed { reason, .. } =
                event
            {
                println!("{reason}");
            }
        }
    }

    fn connect(&mut self, conn: ConnId) {
        let connected = TcpStream::connect_timeout(&self.router, Duration::from_secs(2));
        let now = Instant::now();
        match connected.and_then(|socket| {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(TURN))?;
            Ok((socket.local_addr()?, socket))
        }) {
            Ok((local, socket)) => {
                let ends = Endpoints {
                    ipv4: Some(self.next_hop),
                    ..Endpoints::new(local, self.router)
                };
                self.sockets.insert(conn, socket);
                self.peer.handle_connected(conn, ends, now);
            }
            Err(error) => {
                let failure = match error.kind() {
                    ErrorKind::TimedOut => ConnectFailure::TimedOut { off_link: false },
                    ErrorKind::ConnectionRefused => ConnectFailure::Refused,
                    ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                        ConnectFailure::Unreachable
                    }
                    _ => ConnectFailure::Other(error.to_string()),
                };
                self.peer.handle_connect_failed(conn, failure, now);
            }
        }
    }

    fn read(&mut self, conn: ConnId) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let mut octets = [0; 65_536];
        let read = socket.read(&mut octets);
        let now = Instant::now();
        let how = match read {
            Ok(0) => Closed::ByPeer,
            Ok(length) => {
                return self
                    .peer
                    .handle_bytes(conn, octets.get(..length).unwrap_or_default(), now);
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                return;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Closed::Reset,
            Err(error) => Closed::Other(error.to_string()),
        };
        self.sockets.remove(&conn);
        self.peer.handle_closed(conn, how, now);
    }

    fn write(&mut self, conn: ConnId) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        while let Some(octets) = self.peer.poll_transmit(conn, 16_384, Instant::now()) {
            if socket.write_all(&octets).is_err() {
                self.sockets.remove(&conn);
                self.peer.handle_closed(conn, Closed::Reset, Instant::now());
                return;
            }
        }
    }
}
