//! A client of the network: TCP connections, HTTP requests and datagrams from a host, each with a time-out.
//!
//! Owns nothing between calls.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::Host;

/// Opens a TCP connection from `host`.
///
/// # Errors
/// Refused, unreachable, or not within `time`.
pub fn connect(host: &Host, to: SocketAddr, time: Duration) -> io::Result<TcpStream> {
    host.run(|| TcpStream::connect_timeout(&to, time))
}

/// Asks for `/` over HTTP from `host` on a new connection; the body of a 200 answer.
///
/// # Errors
/// No connection, no answer within `time` (each step), or another status.
pub fn http_get(host: &Host, to: SocketAddr, time: Duration) -> io::Result<String> {
    http_get_path(host, to, "/", time)
}

/// As [`http_get`], for another path.
///
/// # Errors
/// The same.
pub fn http_get_path(
    host: &Host,
    to: SocketAddr,
    path: &str,
    time: Duration,
) -> io::Result<String> {
    let mut stream = connect(host, to, time)?;
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {to}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("answer {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(bad()),
    }
}

/// Sends a datagram from `host` and waits for the answer to it.
///
/// # Errors
/// No answer within `time`, or the port is closed.
pub fn udp_exchange(
    host: &Host,
    to: SocketAddr,
    payload: &[u8],
    time: Duration,
) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = host.run(|| UdpSocket::bind(any))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(time))?;
    socket.send(payload)?;
    let mut buf = vec![0; 2048];
    let len = socket.recv(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}
