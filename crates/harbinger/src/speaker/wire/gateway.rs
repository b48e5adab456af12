//! Whether the default gateway is there (L2-57).
//!
//! Owns the questions: an ARP request to each IPv4 default gateway when the wire asks, and
//! a look at the routes now and then. Does not judge: the wire does. `GAP:` an IPv6
//! gateway is not asked; a node with no other counts as one without a gateway.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use linux::packet::{Insn, Options, PacketSocket};
use linux::route::{Snapshot, default_gateways};
use tokio::sync::{mpsc, watch};

/// Between two looks at the routes; they seldom change.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long an answer may take; the wire asks again after it.
const ANSWER_MAX: Duration = Duration::from_millis(90);

/// LIMIT: gateways that are asked at once; hosts have one or two.
const GATEWAYS_MAX: usize = 4;

const ETHERTYPE_ARP: u16 = 0x0806;

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
                .filter_map(|route| match route.address {
                    Some(IpAddr::V4(address)) => Some((address, route.ifindex)),
                    _ => None,
                })
                .take(GATEWAYS_MAX)
                .collect();
            let there = !gateways.is_empty();
            tell.send_if_modified(|known| std::mem::replace(&mut known.there, there) != there);
        }
    }
}

/// Asks one gateway; an interface that cannot be used is no answer.
async fn ask(gateway: Ipv4Addr, ifindex: u32, links: &Snapshot) -> bool {
    let Some((mac, own)) = links.get(&ifindex).and_then(|link| {
        let own = link
            .addresses
            .iter()
            .find_map(|(address, _)| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
        Some((link.mac?, own.unwrap_or(Ipv4Addr::UNSPECIFIED)))
    }) else {
        return false;
    };
    let Ok(socket) = PacketSocket::open(
        ifindex,
        ETHERTYPE_ARP,
        &answers_of(gateway),
        Options::default(),
    ) else {
        return false;
    };
    if socket.send(&request(mac, own, gateway)).is_err() {
        return false;
    }
    let heard = async {
        let mut frame = [0; 64];
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
