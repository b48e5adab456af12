//! What the tests of this crate share: one base instant, stations, and frames written octet by octet.
//!
//! The frames are deliberately not built by `packet`, so that reading and building cannot share a mistake.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::{Config, Event, FrameMeta, Interface, MacAddr, Responder, Transmit};

pub(crate) const INDEX: u32 = 7;
pub(crate) const US: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x01]);
pub(crate) const CLIENT: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0xaa]);
pub(crate) const OTHER: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0xbb]);
pub(crate) const GROUP: MacAddr = MacAddr([0x01, 0, 0x5e, 0, 0, 1]);
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
pub(crate) const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);
pub(crate) const CLIENT_IP6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xaa);
pub(crate) const META: FrameMeta = FrameMeta {
    ifindex: INDEX,
    outgoing: false,
    vlan: None,
};
pub(crate) const INTERFACE: Interface = Interface {
    index: INDEX,
    mac: US,
    usable: true,
    ipv6: true,
};

/// The one clock read of a test; everything else is added to it.
#[expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be made otherwise; only differences matter"
)]
pub(crate) fn base() -> Instant {
    Instant::now()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn set<A: Into<IpAddr>>(addresses: impl IntoIterator<Item = A>) -> BTreeSet<IpAddr> {
    addresses.into_iter().map(Into::into).collect()
}

/// A responder on [`INTERFACE`] that answers for [`VIP`] and [`VIP6`], with [`ELSEWHERE`] on other interfaces.
pub(crate) fn responder(now: Instant) -> Responder {
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        &set([ELSEWHERE]),
        now,
    );
    responder
}

/// The same, with the first gratuitous frames taken away.
pub(crate) fn quiet(now: Instant) -> Responder {
    let mut responder = responder(now);
    drain(&mut responder);
    responder
}

pub(crate) fn drain(responder: &mut Responder) -> Vec<Transmit> {
    std::iter::from_fn(|| responder.poll_transmit()).collect()
}

pub(crate) fn events(responder: &mut Responder) -> Vec<Event> {
    std::iter::from_fn(|| responder.poll_event()).collect()
}

/// Runs a responder to `until`, taking every frame when the deadline says so.
pub(crate) fn run(
    responder: &mut Responder,
    from: Instant,
    until: Instant,
) -> Vec<(Instant, Transmit)> {
    let mut sent: Vec<_> = drain(responder)
        .into_iter()
        .map(|transmit| (from, transmit))
        .collect();
    let mut last = from;
    while let Some(due) = responder.poll_timeout().filter(|due| *due <= until) {
        assert!(due >= last, "a deadline never lies in the past");
        responder.handle_timeout(due);
        let frames = drain(responder);
        assert!(
            due > last || !frames.is_empty(),
            "a deadline that changes nothing is a busy loop"
        );
        sent.extend(frames.into_iter().map(|transmit| (due, transmit)));
        last = due;
    }
    responder.handle_timeout(until);
    sent.extend(
        drain(responder)
            .into_iter()
            .map(|transmit| (until, transmit)),
    );
    sent
}

/// The fields of an ARP frame that tests vary; [`ArpFrame::default`] is a client's broadcast request for [`VIP`].
#[derive(Clone, Debug)]
pub(crate) struct ArpFrame {
    pub(crate) destination: MacAddr,
    pub(crate) source: MacAddr,
    pub(crate) hardware: u16,
    pub(crate) protocol: u16,
    pub(crate) lengths: [u8; 2],
    pub(crate) operation: u16,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target_mac: MacAddr,
    pub(crate) target: Ipv4Addr,
    pub(crate) padding: Vec<u8>,
}

impl Default for ArpFrame {
    fn default() -> Self {
        ArpFrame {
            destination: MacAddr::BROADCAST,
            source: CLIENT,
            hardware: 1,
            protocol: 0x0800,
            lengths: [6, 4],
            operation: 1,
            sender_mac: CLIENT,
            sender: CLIENT_IP,
            target_mac: MacAddr::ZERO,
            target: VIP,
            padding: vec![0; 18],
        }
    }
}

impl ArpFrame {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = ethernet(self.destination, self.source, 0x0806);
        bytes.extend(self.hardware.to_be_bytes());
        bytes.extend(self.protocol.to_be_bytes());
        bytes.extend(self.lengths);
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac.0);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac.0);
        bytes.extend(self.target.octets());
        bytes.extend(&self.padding);
        bytes
    }
}

/// The fields of a Neighbor Discovery frame that tests vary; [`NdFrame::default`] is a client's multicast solicitation
/// for [`VIP6`] with its source link-layer option.
#[derive(Clone, Debug)]
pub(crate) struct NdFrame {
    pub(crate) destination_mac: MacAddr,
    pub(crate) source_mac: MacAddr,
    pub(crate) version: u8,
    pub(crate) payload_length: Option<u16>,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// Added to the right checksum, in ones' complement.
    pub(crate) checksum_error: u16,
    pub(crate) flags: u8,
    pub(crate) target: Ipv6Addr,
    pub(crate) options: Vec<u8>,
    /// Cut the ICMP message to this length.
    pub(crate) cut: Option<usize>,
}

impl Default for NdFrame {
    fn default() -> Self {
        NdFrame {
            destination_mac: MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]),
            source_mac: CLIENT,
            version: 6,
            payload_length: None,
            next_header: 58,
            hop_limit: 255,
            source: CLIENT_IP6,
            destination: "ff02::1:ff12:3456".parse().unwrap(),
            kind: 135,
            code: 0,
            checksum_error: 0,
            flags: 0,
            target: VIP6,
            options: option(1, CLIENT),
            cut: None,
        }
    }
}

impl NdFrame {
    /// Duplicate address detection for [`VIP6`] by [`CLIENT`].
    pub(crate) fn dad() -> Self {
        NdFrame {
            source: Ipv6Addr::UNSPECIFIED,
            options: Vec::new(),
            ..NdFrame::default()
        }
    }

    /// An unsolicited advertisement of [`VIP6`] by [`CLIENT`].
    pub(crate) fn advertisement() -> Self {
        NdFrame {
            destination_mac: MacAddr([0x33, 0x33, 0, 0, 0, 1]),
            source: VIP6,
            destination: "ff02::1".parse().unwrap(),
            kind: 136,
            flags: 0x20,
            options: option(2, CLIENT),
            ..NdFrame::default()
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut icmp = vec![self.kind, self.code, 0, 0, self.flags, 0, 0, 0];
        icmp.extend(self.target.octets());
        icmp.extend(&self.options);
        icmp.truncate(self.cut.unwrap_or(usize::MAX));
        if icmp.len() >= 4 {
            let sum =
                checksum(self.source, self.destination, &icmp).wrapping_add(self.checksum_error);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        let mut bytes = ethernet(self.destination_mac, self.source_mac, 0x86dd);
        bytes.extend([self.version << 4, 0, 0, 0]);
        bytes.extend(
            self.payload_length
                .unwrap_or(icmp.len() as u16)
                .to_be_bytes(),
        );
        bytes.extend([self.next_header, self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(icmp);
        bytes
    }
}

/// A link-layer option of one unit.
pub(crate) fn option(kind: u8, mac: MacAddr) -> Vec<u8> {
    let mut bytes = vec![kind, 1];
    bytes.extend(mac.0);
    bytes
}

/// The checksum of RFC 4443 §2.3, written from the text: the checksum field itself must be zero.
pub(crate) fn checksum(source: Ipv6Addr, destination: Ipv6Addr, icmp: &[u8]) -> u16 {
    let mut bytes = [source.octets(), destination.octets()].concat();
    bytes.extend((icmp.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, 58]);
    bytes.extend(icmp);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ethernet(destination: MacAddr, source: MacAddr, ethertype: u16) -> Vec<u8> {
    let mut bytes = [destination.0, source.0].concat();
    bytes.extend(ethertype.to_be_bytes());
    bytes
}
