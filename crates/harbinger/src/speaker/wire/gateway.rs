//! Whether the default gateway is there (L2-57).
//!
//! Owns the questions: an ARP request to each IPv4 default gateway and a neighbor solicitation
//! to each IPv6 one when the wire asks, and a look at the routes now and then. Does not judge:
//! the wire does. `GAP:` a node without an IPv6 address of its own on the way asks no IPv6
//! gateway, and hears none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use l2::MacAddr;
use l2::packet::nd;
use linux::packet::{Insn, Options, PacketSocket};
use linux::route::{Link, Snapshot, default_gateways};
use tokio::sync::{mpsc, watch};

/// Between two looks at the routes; they seldom change.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long an answer may take; the wire asks again after it.
const ANSWER_MAX: Duration = Duration::from_millis(90);

/// LIMIT: gateways that are asked at once; hosts have one or two.
const GATEWAYS_MAX: usize = 4;

const ETHERTYPE_ARP: u16 = 0x0806;

#[cfg(test)]
mod tests;

/// What is known, for the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// There is a default gateway that can be asked.
    pub(super) there: bool,
    /// Answers so far.
    pub(super) heard: u64,
}

/// The loop's end of the questions.
pub(super) struct Asker {
    ask: mpsc::Sender<()>,
    pub(super) known: watch::Receiver<Known>,
}

impl Asker {
    /// One question is under way at most.
    pub(super) fn ask(&self) {
        let _one_is_waiting = self.ask.try_send(());
    }
}

/// The two ends: the loop's, and the future that asks; it may be dropped at any await.
pub(super) fn gateway(
    links: watch::Receiver<Arc<Snapshot>>,
) -> (Asker, impl Future<Output = ()> + use<>) {
    let (ask, asked) = mpsc::channel(1);
    let (tell, known) = watch::channel(Known::default());
    (Asker { ask, known }, follow(links, asked, tell))
}

async fn follow(
    links: watch::Receiver<Arc<Snapshot>>,
    mut asked: mpsc::Receiver<()>,
    tell: watch::Sender<Known>,
) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut gateways = Vec::new();
    loop {
        let asks = tokio::select! {
            _ = look.tick() => false,
            question = asked.recv() => match question {
                Some(()) => true,
                None => return,
            },
        };
        if asks {
            let snapshot = Arc::clone(&links.borrow());
            let questions = gateways
                .iter()
                .map(|(address, ifindex)| ask(*address, *ifindex, &snapshot));
            if futures::future::join_all(questions).await.contains(&true) {
                tell.send_modify(|known| known.heard += 1);
            }
            continue;
        }
        // What cannot be read stays as it was.
        if let Ok(routes) = default_gateways().await {
            gateways = routes
                .iter()
                .filter_map(|route| Some((route.address?, route.ifindex)))
                .take(GATEWAYS_MAX)
                .collect();
            let there = !gateways.is_empty();
            tell.send_if_modified(|known| std::mem::replace(&mut known.there, there) != there);
        }
    }
}

/// Asks one gateway; an interface that cannot be used is no answer.
async fn ask(gateway: IpAddr, ifindex: u32, links: &Snapshot) -> bool {
    let question = links.get(&ifindex).and_then(|link| question(gateway, link));
    let Some((ethertype, filter, frame)) = question else {
        return false;
    };
    let Ok(socket) = PacketSocket::open(ifindex, ethertype, &filter, Options::default()) else {
        return false;
    };
    if socket.send(&frame).is_err() {
        return false;
    }
    let heard = async {
        let mut frame = [0; 128];
        loop {
            if socket.readable().await.is_err() {
                return false;
            }
            match socket.recv(&mut frame) {
                Ok(Some((_, meta))) if !meta.outgoing => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(ANSWER_MAX, heard)
        .await
        .unwrap_or(false)
}

/// What is sent to a gateway on a link, and what is let in of what comes back.
fn question(gateway: IpAddr, link: &Link) -> Option<(u16, Vec<Insn>, Vec<u8>)> {
    let mac = link.mac?;
    let addresses = link.addresses.iter().map(|(address, _)| *address);
    match gateway {
        IpAddr::V4(gateway) => {
            let own = addresses.filter_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            });
            let own = own.min().unwrap_or(Ipv4Addr::UNSPECIFIED);
            let frame = request(mac, own, gateway);
            Some((ETHERTYPE_ARP, answers_of(gateway).to_vec(), frame))
        }
        IpAddr::V6(gateway) => {
            let own = addresses.filter_map(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            });
            // A link-local address needs no route back, and asks first of all.
            let own = own.min_by_key(|address| !address.is_unicast_link_local())?;
            let frame = nd::solicitation(MacAddr(mac), own, gateway);
            Some((nd::ETHERTYPE, advertisements_of(gateway), frame))
        }
    }
}

/// Lets nothing through but neighbor advertisements of the gateway's address.
fn advertisements_of(gateway: Ipv6Addr) -> Vec<Insn> {
    let insn = |code, jt, jf, k| Insn { code, jt, jf, k };
    let (byte, word, equal, end) = (0x30, 0x20, 0x15, 0x06);
    let mut tests = vec![
        // Next header, hop limit, type.
        (byte, 20, 58),
        (byte, 21, 255),
        (byte, 54, 136),
    ];
    let target = gateway.octets();
    for (at, octets) in (62..).step_by(4).zip(target.chunks_exact(4)) {
        let octets = octets.try_into().unwrap_or_default();
        tests.push((word, at, u32::from_be_bytes(octets)));
    }
    let mut program = Vec::new();
    let mut left = 2 * tests.len();
    for (load, at, value) in tests {
        left -= 2;
        program.push(insn(load, 0, 0, at));
        // Past the tests that are left and the acceptance.
        program.push(insn(
            equal,
            0,
            u8::try_from(left + 1).unwrap_or(u8::MAX),
            value,
        ));
    }
    program.push(insn(end, 0, 0, 0xffff));
    program.push(insn(end, 0, 0, 0));
    program
}

/// Lets nothing through but ARP replies from the gateway.
fn answers_of(gateway: Ipv4Addr) -> [Insn; 6] {
    let insn = |code, jt, jf, k| Insn { code, jt, jf, k };
    [
        // Half word at 20: the operation.
        insn(0x28, 0, 0, 20),
        insn(0x15, 0, 3, 2),
        // Word at 28: the sender's protocol address.
        insn(0x20, 0, 0, 28),
        insn(0x15, 0, 1, gateway.to_bits()),
        insn(0x06, 0, 0, 0xffff),
        insn(0x06, 0, 0, 0),
    ]
}

fn request(mac: [u8; 6], own: Ipv4Addr, gateway: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(own.octets());
    frame.extend([0; 6]);
    frame.extend(gateway.octets());
    frame.resize(60, 0);
    frame
}
