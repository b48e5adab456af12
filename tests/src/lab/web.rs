//! Small servers on a host: one over HTTP that tells its host's name and who asked, one that returns what it is
//! sent on connections that stay, one that returns datagrams.
//!
//! Each owns its threads; they end when the value is dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Host;

/// A client that says nothing for this long is hung up on.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a connection that stays.
const HELD_TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP server that answers every request with `<host name> <peer address>\n`.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    running: Running,
}

impl Web {
    /// Listens on `address`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The address is not on the host, or taken.
    pub fn start(host: &Host, address: SocketAddr) -> Result<Self> {
        let listener = host
            .run(|| TcpListener::bind(address))
            .with_context(|| format!("listen on {address} of {}", host.name()))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let name = host.name().to_owned();
        let running = Running::start(move |stop| {
            while wait(&listener, stop) {
                while let Ok((stream, peer)) = listener.accept() {
                    let name = name.clone();
                    // A thread for each client, so that a slow one holds nobody up; its time is bounded.
                    std::thread::spawn(move || answer(stream, peer, &name));
                }
            }
        })?;
        Ok(Self { address, running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    pub fn stop(self) {
        drop(self.running);
    }
}

/// What stands where a node's kube-proxy tells of its health: every request gets the status set, and no body.
#[derive(Debug)]
pub struct Status {
    status: Arc<AtomicU16>,
    _running: Running,
}

impl Status {
    /// Listens on `address` and answers 200.
    ///
    /// # Errors
    /// The address is not on the host, or taken.
    pub fn start(host: &Host, address: SocketAddr) -> Result<Self> {
        let listener = host
            .run(|| TcpListener::bind(address))
            .with_context(|| format!("listen on {address} of {}", host.name()))?;
        listener.set_nonblocking(true)?;
        let status = Arc::new(AtomicU16::new(200));
        let now = Arc::clone(&status);
        let running = Running::start(move |stop| {
            while wait(&listener, stop) {
                while let Ok((stream, _)) = listener.accept() {
                    let status = now.load(Ordering::Relaxed);
                    std::thread::spawn(move || answer_status(stream, status));
                }
            }
        })?;
        Ok(Self {
            status,
            _running: running,
        })
    }

    /// What it answers from now on.
    pub fn set(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }
}

/// A TCP server that returns what it is sent, for as long as a connection lasts.
#[derive(Debug)]
pub struct Lines {
    _running: Running,
}

impl Lines {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address is not on the host, or taken.
    pub fn start(host: &Host, address: SocketAddr) -> Result<Self> {
        let listener = host
            .run(|| TcpListener::bind(address))
            .with_context(|| format!("listen on {address} of {}", host.name()))?;
        listener.set_nonblocking(true)?;
        let running = Running::start(move |stop| {
            while wait(&listener, stop) {
                while let Ok((stream, _)) = listener.accept() {
                    std::thread::spawn(move || give_back(stream));
                }
            }
        })?;
        Ok(Self { _running: running })
    }
}

/// Until the client goes, or says nothing for long.
fn give_back(mut stream: TcpStream) {
    let mut buf = [0; 1024];
    // Errors here are the client's, who sees them.
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(HELD_TIMEOUT));
    while let Ok(len @ 1..) = stream.read(&mut buf) {
        if stream.write_all(&buf[..len]).is_err() {
            return;
        }
    }
}

/// A UDP server that returns each datagram with `<host name> ` before it.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    running: Running,
}

impl Echo {
    /// Listens on `address`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The address is not on the host, or taken.
    pub fn start(host: &Host, address: SocketAddr) -> Result<Self> {
        let socket = host
            .run(|| UdpSocket::bind(address))
            .with_context(|| format!("listen on {address} of {}", host.name()))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let name = host.name().to_owned();
        let running = Running::start(move |stop| {
            let mut buf = vec![0; 2048];
            while wait(&socket, stop) {
                while let Ok((len, peer)) = socket.recv_from(&mut buf) {
                    let back = [name.as_bytes(), b" ", &buf[..len]].concat();
                    // A lost answer is the client's to notice.
                    let _ = socket.send_to(&back, peer);
                }
            }
        })?;
        Ok(Self { address, running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    pub fn stop(self) {
        drop(self.running);
    }
}

/// A thread that ends when its socket pair is closed.
#[derive(Debug)]
struct Running {
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(f: impl FnOnce(&UnixStream) + Send + 'static) -> Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::spawn(move || f(&stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the thread has ended already.
        let _ = self.stop.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for something to read; false when it is time to stop.
fn wait(socket: &impl AsFd, stop: &UnixStream) -> bool {
    loop {
        let mut fds = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        ];
        // An interruption looks again.
        let _ = poll(&mut fds, PollTimeout::NONE);
        if fds[1].any() == Some(true) {
            return false;
        }
        if fds[0].any() == Some(true) {
            return true;
        }
    }
}

fn answer_status(mut stream: TcpStream, status: u16) {
    if request(&mut stream).is_some() {
        let _ = write!(
            stream,
            "HTTP/1.0 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
}

/// Reads a request; none when it never ends.
fn request(stream: &mut TcpStream) -> Option<()> {
    // Errors here are the client's, who sees them.
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(CLIENT_TIMEOUT));
    let _ = stream.set_write_timeout(Some(CLIENT_TIMEOUT));
    let mut request = Vec::new();
    let mut buf = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buf) {
            Ok(n @ 1..) if request.len() < 8192 => request.extend_from_slice(&buf[..n]),
            _ => return None,
        }
    }
    Some(())
}

fn answer(mut stream: TcpStream, peer: SocketAddr, name: &str) {
    if request(&mut stream).is_none() {
        return;
    }
    let body = format!("{name} {}\n", peer.ip());
    let _ = write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
