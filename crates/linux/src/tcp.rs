//! TCP connections and listeners for a routing protocol: TTL, minimum TTL, MD5 signatures, bound address and device.
//!
//! Owns the order in which options are set (everything before the first segment) and the form of the kernel's MD5
//! key. Deliberately absent: what is said on a connection, who may connect (the caller looks at the address of an
//! accepted connection), and retries.
//!
//! Addresses that the host does not have are refused (no `IP_FREEBIND`): the caller waits for the address.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::Error;
use crate::sys;

/// Octets of a password (RFC 2385; the kernel's bound).
pub const PASSWORD_MAX: usize = 80;
/// Connections that wait to be accepted. LIMIT: a node has tens of peers, each with one.
const BACKLOG: i32 = 64;
/// Class selector 6: network control, for what routers say to each other.
const NETWORK_CONTROL: u32 = 0xc0;

/// A shared secret for TCP MD5 signatures. It is in no message and no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// 1 to 80 octets of any value; `None` for anything else.
    pub fn new(octets: impl Into<Vec<u8>>) -> Option<Self> {
        let octets = octets.into();
        (1..=PASSWORD_MAX)
            .contains(&octets.len())
            .then(|| Self(octets.into_boxed_slice()))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The peer; a link-local one with its scope.
    pub peer: SocketAddr,
    /// The address to bind to, on a port of the kernel's choice.
    pub local: Option<IpAddr>,
    /// The interface or VRF device to bind to, by index.
    pub device: Option<u32>,
    /// TTL or hop limit to send with.
    pub ttl: u8,
    /// Drop segments that arrive with less (RFC 5082).
    pub minimum_ttl: Option<u8>,
    /// Sign and ask for signatures.
    pub password: Option<Password>,
    /// Close when data stay unacknowledged for this long; `None`: the system's retransmissions decide.
    pub user_timeout: Option<Duration>,
}

impl ConnectOptions {
    /// To this peer with TTL 255 and nothing else.
    pub fn to(peer: SocketAddr) -> Self {
        ConnectOptions {
            peer,
            local: None,
            device: None,
            ttl: 255,
            minimum_ttl: None,
            password: None,
            user_timeout: None,
        }
    }
}

/// A connection, perhaps still being made.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
}

impl Connection {
    /// Begins to connect and does not wait. Needs a running tokio runtime.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`: the host has no such local address; `ENODEV`: no such device; `ENETUNREACH`: no route;
    /// `EINVAL` with a local address of the other family. Nothing stays open.
    pub fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let peer = options.peer;
        let object = || format!("TCP connection to {peer}");
        let socket = open(peer, options.device, options.ttl)?;
        if let Some(ttl) = options.minimum_ttl {
            set_minimum_ttl(socket.as_fd(), peer.is_ipv6(), ttl)
                .map_err(Error::io("set the minimum TTL of", object))?;
        }
        if let Some(password) = &options.password {
            set_key(socket.as_fd(), &Key::host(peer, None), Some(password))
                .map_err(Error::io("set the password of", object))?;
        }
        if options.user_timeout.is_some() {
            socket
                .set_tcp_user_timeout(options.user_timeout)
                .map_err(Error::io("set the user timeout of", object))?;
        }
        if let Some(local) = options.local {
            let scope = match peer {
                SocketAddr::V6(v6) => v6.scope_id(),
                SocketAddr::V4(_) => 0,
            };
            socket
                .bind(&scoped(local, 0, scope).into())
                .map_err(Error::io("bind", || {
                    format!("TCP connection to {peer} to the source address {local}")
                }))?;
        }
        match socket.connect(&peer.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(Error::io("begin", object)(e));
            }
            Ok(()) | Err(_) => {}
        }
        let stream = TcpStream::from_std(socket.into()).map_err(Error::io("register", object))?;
        Ok(Self { stream, peer })
    }

    /// Waits until the connection is made or refused. Cancel safe.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`: to be dropped.
    pub async fn connected(&self) -> io::Result<()> {
        self.stream.writable().await?;
        match self.stream.take_error()? {
            None => Ok(()),
            Some(e) => Err(e),
        }
    }

    /// Waits until a read would give something. Cancel safe.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Waits until a write would take something. Cancel safe.
    ///
    /// # Errors
    /// Only when the runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Takes octets without waiting; `None` when there are none yet, `Some(0)` when the peer has closed.
    ///
    /// # Errors
    /// `ECONNRESET`, `ETIMEDOUT` and the like: the connection is gone.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        not_yet(self.stream.try_read(buf))
    }

    /// Hands over as many octets as the kernel takes now; `None` when it takes none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        not_yet(self.stream.try_write(buf))
    }

    /// The peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our address, known when connected.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Octets written that the peer has not acknowledged: 0 says that it has everything, and that its password is
    /// ours (BGP-09).
    ///
    /// # Errors
    /// The socket is gone.
    pub fn unacknowledged(&self) -> io::Result<usize> {
        sys::send_queue(self.stream.as_fd())
    }

    /// Replaces the password of a live connection: the next segments are signed with the new one.
    ///
    /// # Errors
    /// The kernel refuses a key on a live connection that had none, and a removal where there is none is done
    /// already; the connection goes on as it was.
    pub fn set_password(&self, password: Option<&Password>) -> Result<(), Error> {
        let key = Key::host(self.peer, None);
        set_key(self.stream.as_fd(), &key, password)
            .map_err(Error::io("replace the password of", || {
                format!("TCP connection to {}", self.peer)
            }))
    }

    /// Sets the TTL to send with, and the least to accept, on an accepted connection.
    ///
    /// # Errors
    /// A minimum of 0, or the socket is gone.
    pub fn set_ttl(&self, ttl: u8, minimum: Option<u8>) -> Result<(), Error> {
        let ipv6 = self.peer.is_ipv6();
        let object = || format!("TCP connection to {}", self.peer);
        set_sent_ttl(self.stream.as_fd(), ipv6, ttl)
            .map_err(Error::io("set the TTL of", object))?;
        minimum.map_or(Ok(()), |minimum| {
            set_minimum_ttl(self.stream.as_fd(), ipv6, minimum)
                .map_err(Error::io("set the minimum TTL of", object))
        })
    }

    /// Closes with a reset and forgets what is unsent; for a peer that is owed nothing.
    pub fn abort(self) {
        // Without it the close is an ordinary one, which is as good.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Says that nothing more will be sent; what was written still goes out.
    ///
    /// # Errors
    /// Not connected.
    pub fn finish(&self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write)
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// The address of this host and the port; a link-local one with its scope.
    pub local: SocketAddr,
    /// The interface or VRF device to bind to, by index.
    pub device: Option<u32>,
}

/// A listener that answers with TTL 255, so that peers that check take its first segment (BGP-11).
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local: SocketAddr,
}

impl Listener {
    /// Binds and listens. Needs a running tokio runtime, and CAP_NET_BIND_SERVICE for a port below 1024.
    ///
    /// # Errors
    /// `EADDRINUSE`: another process listens there; `EADDRNOTAVAIL`: the host has no such address; permission.
    pub fn bind(options: &ListenOptions) -> Result<Self, Error> {
        let local = options.local;
        let object = || format!("TCP listener {local}");
        let socket = open(local, options.device, 255)?;
        socket
            .set_reuse_address(true)
            .map_err(Error::io("set up", object))?;
        socket
            .bind(&local.into())
            .map_err(Error::io("bind", object))?;
        socket
            .listen(BACKLOG)
            .map_err(Error::io("listen on", object))?;
        let listener =
            TcpListener::from_std(socket.into()).map_err(Error::io("register", object))?;
        let local = listener.local_addr().unwrap_or(local);
        Ok(Self { listener, local })
    }

    /// The address it listens on, with the port the kernel chose if 0 was asked for.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sets, replaces or takes away the password for connections of one peer; those that are accepted later have it.
    /// With `vrf`, the index of a VRF device, it holds for that device only; any other device is refused by the
    /// kernel, so a link-local peer has one password on all interfaces (`GAP:` of the kernel).
    ///
    /// # Errors
    /// Too many keys for the kernel's option memory (`ENOMEM`): the peer cannot connect; `EINVAL`: no VRF device.
    pub fn set_password(
        &self,
        peer: IpAddr,
        vrf: Option<u32>,
        password: Option<&Password>,
    ) -> Result<(), Error> {
        let key = Key::host(SocketAddr::new(peer, 0), vrf);
        set_key(self.listener.as_fd(), &key, password)
            .map_err(Error::io("set the password of a peer on", || {
                format!("TCP listener {} for {peer}", self.local)
            }))
    }

    /// Drops segments that arrive with less than this TTL from the first on, for every connection: for a listener all of
    /// whose peers ask for it. One set at accept comes after what the peer sent with its handshake.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn set_minimum_ttl(&self, ttl: Option<u8>) -> Result<(), Error> {
        let fd = self.listener.as_fd();
        set_minimum_ttl(fd, self.local.is_ipv6(), ttl.unwrap_or(0))
            .map_err(Error::io("set the minimum TTL of", || {
                format!("TCP listener {}", self.local)
            }))
    }

    /// Waits for the next connection and takes it. Its peer is for the caller to judge; TTL 255 is set, a minimum is
    /// not. Cancel safe.
    ///
    /// # Errors
    /// `EMFILE` and the like; the listener stays usable.
    pub async fn accept(&self) -> io::Result<Connection> {
        let (stream, peer) = self.listener.accept().await?;
        prepare(&socket2::SockRef::from(&stream), peer.is_ipv6())?;
        Ok(Connection { stream, peer })
    }
}

/// What every socket of ours has; an accepted one does not inherit all of it.
fn prepare(socket: &Socket, ipv6: bool) -> io::Result<()> {
    // Messages are packed by the protocol; waiting for more would only delay them.
    socket.set_tcp_nodelay(true)?;
    if ipv6 {
        socket.set_tclass_v6(NETWORK_CONTROL)
    } else {
        socket.set_tos_v4(NETWORK_CONTROL)
    }
}

fn open(address: SocketAddr, device: Option<u32>, ttl: u8) -> Result<Socket, Error> {
    let object = || format!("TCP socket for {address}");
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(Error::io("open", object))?;
    let ipv6 = address.is_ipv6();
    let set_up = || {
        socket.set_nonblocking(true)?;
        if ipv6 {
            socket.set_only_v6(true)?;
        }
        prepare(&socket, ipv6)?;
        set_sent_ttl(socket.as_fd(), ipv6, ttl)
    };
    set_up().map_err(Error::io("set up", object))?;
    if let Some(index) = device {
        bind_device(&socket, index).map_err(Error::io("bind to its device the", || {
            format!("TCP socket for {address} (interface {index})")
        }))?;
    }
    Ok(socket)
}

/// Binds a socket to an interface by index, before its address.
pub(crate) fn bind_device(socket: &Socket, index: u32) -> io::Result<()> {
    let name =
        sys::index_to_name(index).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    socket.bind_device(Some(name.as_bytes()))
}

/// A socket address with the scope of a link-local one.
pub(crate) fn scoped(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, scope).into()
        }
        other => SocketAddr::new(other, port),
    }
}

pub(crate) fn set_sent_ttl(fd: BorrowedFd<'_>, ipv6: bool, ttl: u8) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)
    } else {
        (libc::IPPROTO_IP, libc::IP_TTL)
    };
    sys::set_option(fd, level, option, &i32::from(ttl))
}

fn set_minimum_ttl(fd: BorrowedFd<'_>, ipv6: bool, ttl: u8) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    sys::set_option(fd, level, option, &i32::from(ttl))
}

fn not_yet(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// For whose segments a password is.
struct Key {
    peer: SocketAddr,
    prefix: u8,
    vrf: Option<u32>,
}

impl Key {
    /// For one address.
    fn host(peer: SocketAddr, vrf: Option<u32>) -> Self {
        let prefix = if peer.is_ipv6() { 128 } else { 32 };
        Key { peer, prefix, vrf }
    }
}

/// The kernel's `struct tcp_md5sig`, which no library has.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Md5Signature {
    /// A `sockaddr_storage`.
    address: [u8; 128],
    flags: u8,
    prefix: u8,
    key_length: u16,
    device: i32,
    key: [u8; PASSWORD_MAX],
}

/// Use the prefix length; use the device.
const FLAG_PREFIX: u8 = 1;
const FLAG_DEVICE: u8 = 2;
/// `TCP_MD5SIG_EXT`: the form that looks at flags, prefix and device.
const TCP_MD5SIG_EXT: i32 = 32;

fn set_key(fd: BorrowedFd<'_>, key: &Key, password: Option<&Password>) -> io::Result<()> {
    let mut octets = [0; PASSWORD_MAX];
    let secret = password.map_or(&[][..], |password| &password.0);
    for (to, from) in octets.iter_mut().zip(secret) {
        *to = *from;
    }
    let mut signature = Md5Signature {
        address: storage(key.peer),
        flags: FLAG_PREFIX | key.vrf.map_or(0, |_| FLAG_DEVICE),
        prefix: key.prefix,
        key_length: u16::try_from(secret.len()).unwrap_or(0),
        device: key
            .vrf
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(0),
        key: octets,
    };
    let done = sys::set_option(fd, libc::IPPROTO_TCP, TCP_MD5SIG_EXT, &signature);
    // Nothing of the password stays on the stack.
    signature.key = std::hint::black_box([0; PASSWORD_MAX]);
    octets = std::hint::black_box([0; PASSWORD_MAX]);
    std::hint::black_box((&signature, &octets));
    match done {
        // Nothing to take away.
        Err(e) if password.is_none() && e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// A socket address as the kernel lays it out; the port of a key must be 0.
fn storage(address: SocketAddr) -> [u8; 128] {
    let (family, rest): (i32, Vec<u8>) = match address.ip() {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        // Behind a flow label of 0.
        IpAddr::V6(v6) => (libc::AF_INET6, [&[0; 4][..], &v6.octets()].concat()),
    };
    let family = u16::try_from(family).unwrap_or(0).to_ne_bytes();
    let mut bytes = [0; 128];
    let octets = family.into_iter().chain([0, 0]).chain(rest);
    for (to, from) in bytes.iter_mut().zip(octets) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests;
