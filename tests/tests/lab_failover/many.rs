//! A thousand addresses taken over at once. Times are printed, never judged.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tests::fleet::trial::first_frames;
use tests::fleet::{self, Fleet, WITHIN};
use tests::lab::{self, Capture, eventually};

const NODES: usize = 3;
const ADDRESSES: usize = 1_000;
/// A folder of manifests is slow for so many: each status is a file.
const SERVED: Duration = Duration::from_secs(90);

// L2-30
#[test]
fn a_thousand_addresses_of_one_holder_are_taken_over_at_once() {
    if !lab::ready() {
        return;
    }
    let mut fleet = Fleet::new(NODES).unwrap();
    let wire = Capture::start(&fleet.lab.client, "eth0").unwrap();
    let pool = fleet::pool(&["10.1.0.0-10.1.3.231"]);
    fleet.write("pool.yaml", &pool).unwrap();
    let many = fleet::services("s", ADDRESSES, false, NODES);
    fleet.write("many.yaml", &many).unwrap();
    let all: BTreeSet<IpAddr> = (0..ADDRESSES)
        .map(|n| {
            IpAddr::from(
                (u32::from_be_bytes([10, 1, 0, 0]) + u32::try_from(n).unwrap()).to_be_bytes(),
            )
        })
        .collect();
    // Alone it takes all of them, and those that come later take nothing.
    let began = Instant::now();
    fleet.start(0).unwrap();
    first_frames(&wire, &all, began, SERVED, |_| true).unwrap();
    println!(
        "{ADDRESSES} addresses announced {:?} after the start of one node",
        began.elapsed()
    );
    for n in 1..NODES {
        fleet.start(n).unwrap();
    }
    fleet.wait_until_ready(&[0, 1, 2], SERVED).unwrap();
    eventually(WITHIN, "everybody knows everybody", || {
        let knows =
            |n: &usize| fleet.metric(*n, "harbinger_members_alive", "").unwrap() == NODES as f64;
        (0..NODES).all(|n| knows(&n)).then_some(())
    });
    // The claims have come and the rounds of the first announcement are over.
    lab::pause(Duration::from_secs(5));
    let mac = fleet.lab.nodes[0].mac("eth0").unwrap();
    assert_eq!(
        wire.count(
            |f| f.arp().is_some_and(|arp| arp.target_ip == arp.sender_ip) && f.source() != mac
        ),
        0
    );
    wire.clear();
    let killed = Instant::now();
    fleet.kill(0).unwrap();
    let first = first_frames(&wire, &all, killed, WITHIN, |f| f.source() != mac);
    let first = first.unwrap_or_else(|error| panic!("{error:#}\n{}", fleet.logs()));
    let times = first.values().map(|at| *at - killed);
    println!(
        "taken over: the first after {:?}, the last after {:?}",
        times.clone().min().unwrap(),
        times.max().unwrap()
    );
}
