//! Holders that die, leave or lose their interface.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tests::fleet::station::{self, BROADCAST};
use tests::fleet::{self, Fleet, POOL, V4, V6, WITHIN};
use tests::lab::{self, Capture, Frame, Host, Lan, client, eventually};

const NODES: usize = 3;
const ADDRESSES: u8 = 200;

/// The first announcement of each address after a moment by a node that `by` picks.
fn first_announcements(
    fleet: &Fleet,
    wire: &Capture,
    addresses: &[IpAddr],
    after: Instant,
    by: impl Fn(&Frame) -> bool,
) -> BTreeMap<IpAddr, Frame> {
    let first = addresses.iter().map(|ip| {
        let frame = wire.wait_after(after, WITHIN, |f| f.gratuitous(*ip) && by(f));
        let frame = frame.unwrap_or_else(|| panic!("nobody announced {ip}\n{}", fleet.logs()));
        (*ip, frame)
    });
    first.collect()
}

/// Which node means to announce each address, once that is exactly one for all of them.
fn owners(fleet: &Fleet, addresses: &[IpAddr]) -> BTreeMap<IpAddr, usize> {
    eventually(WITHIN, "every address has one owner", || {
        let mut owners = BTreeMap::new();
        for n in 0..NODES {
            let text = fleet.admin(n, "/metrics").ok()?;
            let of_it = |ip: &&IpAddr| {
                let label = format!("ip=\"{ip}\"");
                let mut lines = text.lines();
                lines.any(|l| l.starts_with("metallb_speaker_announced{") && l.contains(&label))
            };
            for ip in addresses.iter().filter(of_it) {
                if owners.insert(*ip, n).is_some() {
                    return None;
                }
            }
        }
        (owners.len() == addresses.len()).then_some(owners)
    })
}

/// Three nodes that run and hear each other, with a capture on the client from before.
fn three(manifests: &[(&str, &str)]) -> (Fleet, Capture) {
    three_placed("fair", manifests)
}

fn three_placed(placement: &str, manifests: &[(&str, &str)]) -> (Fleet, Capture) {
    let mut fleet = Fleet::new(NODES).unwrap();
    fleet.extra = vec!["--placement".to_owned(), placement.to_owned()];
    let wire = Capture::start(&fleet.lab.client, "eth0").unwrap();
    for (name, text) in manifests {
        fleet.write(name, text).unwrap();
    }
    fleet.start_all().unwrap();
    fleet.wait_until_ready(&[0, 1, 2], WITHIN).unwrap();
    (fleet, wire)
}

/// Least, median and most.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |n: usize| times.get(n).map_or(0, Duration::as_millis);
    let (half, last) = (times.len() / 2, times.len().saturating_sub(1));
    format!(
        "first {} ms, median {} ms, last {} ms",
        at(0),
        at(half),
        at(last)
    )
}

// L2-30, L2-32
#[test]
fn every_address_of_a_killed_holder_is_taken_over() {
    if !lab::ready() {
        return;
    }
    let pool = fleet::pool(&["198.51.100.0-198.51.100.199"]);
    let many = fleet::services("s", usize::from(ADDRESSES), false, NODES);
    let began = Instant::now();
    // By MetalLB's order, so that a node that returns takes its own again and every round is alike.
    let (mut fleet, wire) = three_placed("metallb", &[("pool.yaml", &pool), ("many.yaml", &many)]);
    let macs: Vec<[u8; 6]> = (0..NODES)
        .map(|n| fleet.lab.nodes[n].mac("eth0").unwrap())
        .collect();
    let all: Vec<IpAddr> = (0..ADDRESSES)
        .map(|n| IpAddr::from([198, 51, 100, n]))
        .collect();
    // Who is first in the order for each: the same whenever all are there.
    let owners = owners(&fleet, &all);
    first_announcements(&fleet, &wire, &all, began, |_| true);
    for round in 0..5 {
        let victim = round % NODES;
        let mac = macs[victim];
        let owned: Vec<IpAddr> = owners
            .iter()
            .filter(|(_, owner)| **owner == victim)
            .map(|(ip, _)| *ip)
            .collect();
        assert!(!owned.is_empty(), "node-{victim} has a share");
        let killed = Instant::now();
        fleet.kill(victim).unwrap();
        let next = first_announcements(&fleet, &wire, &owned, killed, |f| f.source() != mac);
        let times = next.values().map(|frame| frame.at - killed).collect();
        let count = owned.len();
        println!("node-{victim} killed, {count} addresses: {}", spread(times));
        wire.clear();
        let started = Instant::now();
        fleet.start(victim).unwrap();
        first_announcements(&fleet, &wire, &owned, started, |f| f.source() == mac);
        wire.clear();
    }
}

// L2-83
#[test]
fn a_node_that_returns_takes_nothing() {
    if !lab::ready() {
        return;
    }
    let web = fleet::service("web", false, NODES);
    let (mut fleet, wire) = three(&[("pool.yaml", &fleet::pool(&POOL)), ("web.yaml", &web)]);
    let address: IpAddr = V4.parse().unwrap();
    let first = fleet.announced(&wire, address, None).unwrap();
    let holder = fleet.node_of(first.source()).unwrap().unwrap();
    let killed = Instant::now();
    fleet.kill(holder).unwrap();
    let taken = wire.wait(WITHIN, |frame| {
        frame.at >= killed && frame.source() != first.source() && frame.gratuitous(address)
    });
    let next = taken.unwrap().source();
    let returned = Instant::now();
    fleet.start(holder).unwrap();
    fleet.wait_until_ready(&[holder], WITHIN).unwrap();
    // The next round of the holder's burst: by then one that takes it back would have said so.
    let burst = wire.wait(WITHIN, |frame| {
        frame.at >= returned && frame.source() == next && frame.gratuitous(address)
    });
    burst.unwrap();
    let back = |frame: &tests::lab::Frame| {
        frame.at >= returned && frame.source() == first.source() && frame.gratuitous(address)
    };
    assert!(!wire.frames().iter().any(back), "{}", fleet.logs());
}

// L2-71, L2-74
#[test]
fn the_clients_cache_and_its_answers_follow_the_new_holder() {
    if !lab::ready() {
        return;
    }
    let web = fleet::service("web", true, NODES);
    let (mut fleet, wire) = three(&[("pool.yaml", &fleet::pool(&POOL)), ("web.yaml", &web)]);
    let addresses: [IpAddr; 2] = [V4.parse().unwrap(), V6.parse().unwrap()];
    fleet.proxy(&addresses.map(|a| (a, 80))).unwrap();
    let first = fleet.announced(&wire, addresses[0], None).unwrap();
    let holder = fleet.node_of(first.source()).unwrap().unwrap();
    for address in addresses {
        let to = SocketAddr::new(address, 80);
        let answer = client::http_get(&fleet.lab.client, to, WITHIN).unwrap();
        assert!(answer.starts_with(&format!("pod-{holder} ")), "{answer}");
    }
    let killed = Instant::now();
    fleet.kill(holder).unwrap();
    for address in addresses {
        let next = fleet.announced(&wire, address, Some(killed)).unwrap();
        let node = fleet.node_of(next.source()).unwrap().unwrap();
        assert_ne!(node, holder);
        eventually(WITHIN, "the client's cache has the new holder", || {
            let known = fleet.lab.client.neighbour(address).unwrap();
            (known == Some(next.source())).then_some(())
        });
        println!(
            "{address}: announced {:?}, cache seen replaced {:?} after the kill",
            next.at - killed,
            killed.elapsed()
        );
        let to = SocketAddr::new(address, 80);
        let answer = client::http_get(&fleet.lab.client, to, WITHIN).unwrap();
        assert!(answer.starts_with(&format!("pod-{node} ")), "{answer}");
    }
}

#[test]
fn a_holder_that_is_told_to_stop_says_goodbye() {
    if !lab::ready() {
        return;
    }
    let web = fleet::service("web", false, NODES);
    let (mut fleet, wire) = three(&[("pool.yaml", &fleet::pool(&POOL)), ("web.yaml", &web)]);
    let address: IpAddr = V4.parse().unwrap();
    let first = fleet.announced(&wire, address, None).unwrap();
    let holder = fleet.node_of(first.source()).unwrap().unwrap();
    let told = Instant::now();
    let status = fleet.stop(holder).unwrap();
    let ended = told.elapsed();
    assert!(status.success(), "{status}\n{}", fleet.logs());
    let next = wire
        .wait_after(told, WITHIN, |f| {
            f.gratuitous(address) && f.source() != first.source()
        })
        .unwrap();
    println!(
        "announced by the next holder {:?} after SIGTERM, the process ended after {ended:?}",
        next.at - told
    );
    let left = |n: usize| {
        let log = std::fs::read_to_string(fleet.log(n)).unwrap();
        log.contains("memberLeft") && !log.contains("memberDown")
    };
    for n in (0..NODES).filter(|n| *n != holder) {
        eventually(WITHIN, "it is known to have left", || left(n).then_some(()));
    }
}

#[test]
fn a_holder_that_was_frozen_answers_nothing_that_waited_for_it() {
    if !lab::ready() {
        return;
    }
    let web = fleet::service("web", false, NODES);
    let (mut fleet, wire) = three(&[("pool.yaml", &fleet::pool(&POOL)), ("web.yaml", &web)]);
    let address: IpAddr = V4.parse().unwrap();
    let first = fleet.announced(&wire, address, None).unwrap();
    let holder = fleet.node_of(first.source()).unwrap().unwrap();
    fleet.process(holder).unwrap().stop();
    let stopped = Instant::now();
    let next = wire
        .wait_after(stopped, WITHIN, |f| {
            f.gratuitous(address) && f.source() != first.source()
        })
        .unwrap();
    println!("announced by another {:?} after", next.at - stopped);
    // Ten questions wait in the frozen one's socket; the other answers them.
    let asker = [2, 0, 0, 0, 0, 0x99];
    let question = station::arp_request(
        BROADCAST,
        asker,
        "192.0.2.99".parse().unwrap(),
        V4.parse().unwrap(),
    );
    station::send(&fleet.lab.client, "eth0", &vec![question; 10]).unwrap();
    let answers = |by: &[u8; 6]| {
        wire.count(|f| f.announces(address) && f.destination() == asker && f.source() == *by)
    };
    eventually(WITHIN, "ten answers", || {
        (answers(&next.source()) == 10).then_some(())
    });
    fleet.process(holder).unwrap().cont();
    eventually(WITHIN, "it knows and goes on", || {
        let log = std::fs::read_to_string(fleet.log(holder)).unwrap();
        (log.contains("\"late\"") && log.contains("\"resumed\"")).then_some(())
    });
    assert_eq!(answers(&first.source()), 0);
}

// L2-46
#[test]
fn a_holder_whose_interface_goes_down_gives_up_at_once() {
    if !lab::ready() {
        return;
    }
    // Membership on eth0, the address on eth1 alone.
    let mut fleet = Fleet::new(NODES).unwrap();
    let lan = Lan::new().unwrap();
    let far = Host::new("far").unwrap();
    lan.attach(&far, "eth0", &[]).unwrap();
    let wire = Capture::start(&far, "eth0").unwrap();
    for node in &fleet.lab.nodes {
        lan.attach(node, "eth1", &[]).unwrap();
    }
    let pool = fleet::pool(&POOL);
    let pool = format!("{pool}spec: {{interfaces: [eth1]}}\n");
    fleet.write("pool.yaml", &pool).unwrap();
    let web = fleet::service("web", false, NODES);
    fleet.write("web.yaml", &web).unwrap();
    let elsewhere = Capture::start(&fleet.lab.client, "eth0").unwrap();
    fleet.start_all().unwrap();
    let address: IpAddr = V4.parse().unwrap();
    let first = fleet.announced(&wire, address, None).unwrap();
    let holder = (0..NODES)
        .find(|n| fleet.lab.nodes[*n].mac("eth1").unwrap() == first.source())
        .unwrap();
    let before = Instant::now();
    fleet.lab.nodes[holder].link_down("eth1").unwrap();
    let next = wire
        .wait_after(before, WITHIN, |f| {
            f.gratuitous(address) && f.source() != first.source()
        })
        .unwrap_or_else(|| panic!("nobody\n{}", fleet.logs()));
    println!("announced by another {:?} after", next.at - before);
    assert!(fleet.process(holder).unwrap().try_wait().is_none());
    assert_eq!(elsewhere.count(|f| f.announces(address)), 0);
}
