//! What the files of this test share: a cable with two hosts, filters and frames.

use std::net::Ipv4Addr;
use std::time::Duration;

use linux::packet::{Insn, Meta, PacketSocket};
use tests::fleet::station::{self, BROADCAST};
use tests::lab::Host;
use tokio::time::timeout;

/// Long enough for a loaded machine; every wait ends at its event.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const ACCEPT: Insn = Insn {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 0xffff,
};

/// Accepts frames whose 32 bits at `offset` are `value`.
pub(crate) fn accept_word(offset: u32, value: u32) -> [Insn; 4] {
    [
        // load word at offset
        insn(0x20, 0, 0, offset),
        // equal: next, else one further
        insn(0x15, 0, 1, value),
        ACCEPT,
        insn(0x06, 0, 0, 0),
    ]
}

pub(crate) fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

/// An ARP request for `target`, padded, broadcast from a made-up sender.
pub(crate) fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    let mac = [2, 0, 0, 0, 0, 99];
    station::arp_request(BROADCAST, mac, Ipv4Addr::new(192, 0, 2, 99), target)
}

pub(crate) fn target_of(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(frame[38], frame[39], frame[40], frame[41])
}

/// Two hosts on one cable, "a" and "b", both with an eth0 that is up.
pub(crate) fn cable() -> (Host, Host) {
    let (a, b) = (Host::new("a").unwrap(), Host::new("b").unwrap());
    a.add_veth_to("eth0", &b, "eth0").unwrap();
    // Known addresses: the link-local ones made from them are known, too.
    a.set_mac("eth0", [2, 0, 0, 0, 0, 0xa]).unwrap();
    b.set_mac("eth0", [2, 0, 0, 0, 0, 0xb]).unwrap();
    a.link_up("eth0").unwrap();
    b.link_up("eth0").unwrap();
    (a, b)
}

pub(crate) async fn next_frame(socket: &PacketSocket) -> (Vec<u8>, Meta) {
    let mut buf = vec![0; 2048];
    loop {
        timeout(SOON, socket.readable())
            .await
            .expect("a frame")
            .unwrap();
        if let Some((len, meta)) = socket.recv(&mut buf).unwrap() {
            buf.truncate(len);
            return (buf, meta);
        }
    }
}
