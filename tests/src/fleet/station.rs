//! A station on the LAN that says what a test wants, frame by frame.
//!
//! Owns the making of questions (ARP requests, neighbour solicitations) and their sending. It hears nothing:
//! that is the capture's.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Result;
use linux::packet::{ETHERTYPE_ARP, Options, PacketSocket};

use crate::lab::Host;

/// All ones.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// An ARP request for `target` as `mac` with address `sender` asks it.
pub fn arp_request(to: [u8; 6], mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(60);
    frame.extend(to);
    frame.extend(mac);
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

/// A neighbour solicitation.
#[derive(Debug, Clone, Copy)]
pub struct Solicitation {
    /// Ethernet source, and the option's content when there is one.
    pub mac: [u8; 6],
    /// Who asks; unspecified: somebody who tries the address.
    pub source: Ipv6Addr,
    /// Whose hardware address is asked for.
    pub target: Ipv6Addr,
    /// The node that is asked by unicast; none: the target's group.
    pub unicast: Option<[u8; 6]>,
    /// With the source link-layer option.
    pub option: bool,
}

impl Solicitation {
    /// As a frame.
    pub fn frame(&self) -> Vec<u8> {
        let group = solicited_node(self.target);
        let [.., a, b, c] = self.target.octets();
        let (to, destination) = match self.unicast {
            Some(mac) => (mac, self.target),
            None => ([0x33, 0x33, 0xff, a, b, c], group),
        };
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(self.target.octets());
        if self.option {
            message.extend([1, 1]);
            message.extend(self.mac);
        }
        let length = u16::try_from(message.len()).expect("a few octets");
        let sum = checksum(self.source, destination, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut frame = Vec::with_capacity(86);
        frame.extend(to);
        frame.extend(self.mac);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([58, 255]);
        frame.extend(self.source.octets());
        frame.extend(destination.octets());
        frame.extend(message);
        frame
    }
}

/// ff02::1:ffXX:XXXX of an address.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let [high, low] = [0xff00 | u16::from(a), u16::from_be_bytes([b, c])];
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low)
}

/// ICMPv6's, over the pseudo-header (RFC 8200 section 8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).expect("a few octets");
    let mut bytes = Vec::new();
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, 58]);
    bytes.extend(message);
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// Sends frames from interface `name` of `host`, one after the other, as fast as the kernel takes them.
///
/// # Errors
/// No such interface, or it is down.
pub fn send(host: &Host, name: &str, frames: &[Vec<u8>]) -> Result<()> {
    flood(host, name, frames, 1, Duration::ZERO)
}

/// Sends all of `frames` `rounds` times, with `pause` after each round.
///
/// # Errors
/// No such interface, or it is down.
pub fn flood(
    host: &Host,
    name: &str,
    frames: &[Vec<u8>],
    rounds: usize,
    pause: Duration,
) -> Result<()> {
    let index = host.index(name)?;
    host.block_on(async || {
        // Without a filter it hears nothing.
        let socket = PacketSocket::open(index, ETHERTYPE_ARP, &[], Options::default())?;
        for round in 0..rounds {
            for frame in frames {
                // A full queue is a storm's own limit.
                while let Err(error) = socket.send(frame) {
                    let full = matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN));
                    anyhow::ensure!(full, "cannot send on {name}: {error}");
                    tokio::task::yield_now().await;
                }
            }
            if round + 1 < rounds {
                crate::lab::pause(pause);
            }
        }
        Ok(())
    })
}
