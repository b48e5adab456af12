//! Speakers that come late, and one with another key.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tests::fleet::{self, Fleet, POOL, WITHIN, write_key};
use tests::lab::{self, Capture, Frame, eventually, pause};

const NODES: usize = 3;
const ADDRESSES: usize = 20;
/// Long enough for a mistaken claim: the first round comes at once.
const WATCH: Duration = Duration::from_millis(500);

/// A look reads all frames: not too often, or it takes the processor from those that are looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The address that a frame announces by ARP, asked or not.
fn claimed(frame: &Frame) -> Option<Ipv4Addr> {
    let arp = frame.arp()?;
    let ours = arp.sender_ip.octets().starts_with(&[192, 0, 2]) && arp.sender_ip.octets()[3] >= 200;
    ours.then_some(arp.sender_ip)
}

/// Whether it is a datagram of the membership that came in.
fn datagram_in(frame: &Frame) -> bool {
    let port = fleet::MEMBERS_PORT.to_be_bytes();
    let udp = frame.ethertype() == 0x0800 && frame.bytes.get(23) == Some(&17);
    udp && !frame.outgoing && frame.bytes.get(36..38) == Some(port.as_slice())
}

/// All addresses announced on a wire by the node with this hardware address, after a moment.
fn claims(wire: &Capture, mac: [u8; 6], after: Instant) -> BTreeSet<Ipv4Addr> {
    let frames = wire.frames();
    let of_it = frames.iter().filter(|f| f.source() == mac && f.at >= after);
    of_it.filter_map(claimed).collect()
}

/// How many addresses each of these nodes means to announce, once that is all of them and none twice.
fn shares(fleet: &Fleet, nodes: &[usize]) -> Vec<usize> {
    eventually(WITHIN, "every address has one owner", || {
        let count = |n: &usize| {
            let text = fleet.admin(*n, "/metrics").ok()?;
            let lines = text.lines();
            Some(
                lines
                    .filter(|l| l.starts_with("metallb_speaker_announced{"))
                    .count(),
            )
        };
        let counts: Vec<usize> = nodes.iter().map(count).collect::<Option<_>>()?;
        (counts.iter().sum::<usize>() == ADDRESSES).then_some(counts)
    })
}

// L2-87
#[test]
fn a_late_speaker_takes_only_what_is_its_own_and_only_after_it_has_heard_the_others() {
    if !lab::ready() {
        return;
    }
    let mut fleet = Fleet::new(NODES).unwrap();
    // With claims a late speaker takes nothing at all.
    fleet.extra = vec!["--placement".to_owned(), "metallb".to_owned()];
    let wire = Capture::start(&fleet.lab.client, "eth0").unwrap();
    let many = fleet::services("s", ADDRESSES, false, NODES);
    fleet.write("pool.yaml", &fleet::pool(&POOL)).unwrap();
    fleet.write("many.yaml", &many).unwrap();
    let macs: Vec<[u8; 6]> = (0..NODES)
        .map(|n| fleet.lab.nodes[n].mac("eth0").unwrap())
        .collect();
    let began = Instant::now();
    fleet.start_all().unwrap();
    // What is each one's own by the order.
    eventually(WITHIN, "all addresses are announced", || {
        let all: BTreeSet<_> = macs.iter().flat_map(|m| claims(&wire, *m, began)).collect();
        (all.len() == ADDRESSES).then_some(())
    });
    fleet.wait_until_ready(&[0, 1, 2], WITHIN).unwrap();
    for (late, mac) in macs.iter().copied().enumerate() {
        let others: Vec<usize> = (0..NODES).filter(|n| *n != late).collect();
        let own = shares(&fleet, &[0, 1, 2])[late];
        fleet.kill(late).unwrap();
        shares(&fleet, &others);
        let near = Capture::start(&fleet.lab.nodes[late], "eth0").unwrap();
        let started = Instant::now();
        fleet.start(late).unwrap();
        let frames = eventually(WITHIN, "it has its own again", || {
            pause(BETWEEN_LOOKS);
            let taken = claims(&near, mac, started);
            (taken.len() >= own).then(|| near.frames())
        });
        let heard = frames.iter().find(|f| datagram_in(f)).unwrap();
        let first = frames
            .iter()
            .find(|f| f.outgoing && claimed(f).is_some())
            .unwrap();
        println!(
            "node-{late}: heard the first member {:?}, first claim {:?} after the start",
            heard.at - started,
            first.at - started
        );
        assert!(heard.at < first.at);
        pause(WATCH);
        let taken = claims(&near, mac, started).len();
        assert_eq!(taken, own, "it claims no more than is its own by the order");
    }
}

#[test]
fn a_speaker_with_another_key_is_counted_told_once_and_ignored() {
    if !lab::ready() {
        return;
    }
    let mut fleet = Fleet::new(NODES).unwrap();
    fleet.write("pool.yaml", &fleet::pool(&POOL)).unwrap();
    for n in [0, 1] {
        fleet.start(n).unwrap();
    }
    fleet.wait_until_ready(&[0, 1], WITHIN).unwrap();
    fleet.key = write_key(fleet.path(), "other", "another key of the lab").unwrap();
    fleet.start(2).unwrap();
    for n in [0, 1] {
        let dropped = eventually(WITHIN, "its datagrams are counted", || {
            let name = "harbinger_members_dropped_total";
            let dropped = fleet.metric(n, name, "reason=\"unsealed\"").ok()?;
            (dropped >= 5.0).then_some(dropped)
        });
        let log = std::fs::read_to_string(fleet.log(n)).unwrap();
        let told = log
            .lines()
            .filter(|line| line.contains("wrongKey") && line.contains("192.0.2.13"))
            .count();
        println!("node-{n}: {dropped} datagrams dropped, told {told} time");
        assert_eq!(told, 1, "{log}");
        assert!(!log.contains("another key of the lab"));
        let alive = fleet.metric(n, "harbinger_members_alive", "").unwrap();
        assert_eq!(alive, 2.0);
    }
}
