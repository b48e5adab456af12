//! Many frames: of no concern to us, from one sender, on one interface.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::fleet::station::{self, BROADCAST};
use tests::fleet::{Fleet, WITHIN};
use tests::lab::{self, Capture, Host, Lan, eventually};

use crate::kit::{STRANGER, answers, arp_question, exchange, v4};

/// Frames in one go of a storm.
const CHUNK: u32 = 1_000;

/// Processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = text.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|t| t.parse::<u64>().unwrap())
        .sum();
    // USER_HZ is 100 on every architecture.
    Duration::from_millis(ticks * 10)
}

// L2-11, L2-12, L2-13
#[test]
fn a_storm_of_foreign_questions_does_not_reach_the_process() {
    if !lab::ready() {
        return;
    }
    let (mut fleet, wire) = Fleet::alone().unwrap();
    let received = "harbinger_layer2_frames_received_total";
    exchange(&fleet.lab.client, &wire, arp_question());
    let pid = fleet.process(0).unwrap().id();
    let before = (fleet.metric(0, received, "").unwrap(), processor_time(pid));
    assert!(before.0 > 0.0, "what concerns us is counted");
    let frames: Vec<Vec<u8>> = (0..CHUNK)
        .map(|n| {
            let [.., high, low] = n.to_be_bytes();
            let target = Ipv4Addr::new(10, 1, high, low);
            station::arp_request(BROADCAST, STRANGER, Ipv4Addr::new(10, 1, 255, 1), target)
        })
        .collect();
    drop(wire);
    let began = Instant::now();
    // 50,000 frames; the pause makes about as many a second of them.
    station::flood(
        &fleet.lab.client,
        "eth0",
        &frames,
        50,
        Duration::from_millis(15),
    )
    .unwrap();
    let took = began.elapsed();
    let used = processor_time(pid).saturating_sub(before.1);
    let after = fleet.metric(0, received, "").unwrap();
    println!(
        "50,000 frames in {took:?}: {used:?} of processor time, counted {} to {after}",
        before.0
    );
    assert_eq!(after, before.0);
    for name in ["eth0", "veth-pod"] {
        let link = fleet.lab.nodes[0].link(name).unwrap();
        assert_eq!((link.promiscuity, link.all_multicast), (0, 0), "{name}");
    }
}

// L2-23
#[test]
fn one_sender_gets_its_share_and_another_is_answered() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let client = &fleet.lab.client;
    let flooder = [2, 0, 0, 0, 0, 0x66];
    let question = station::arp_request(BROADCAST, flooder, Ipv4Addr::new(192, 0, 2, 66), v4());
    wire.clear();
    let began = Instant::now();
    // Fewer than the socket's buffer has room for, so that none is lost there.
    station::send(client, "eth0", &vec![question; 500]).unwrap();
    station::send(client, "eth0", &[arp_question()]).unwrap();
    let other = wire
        .wait(WITHIN, |f| answers(f, true) && f.destination() == STRANGER)
        .expect("an answer to the other");
    let label = "reason=\"RateLimited\"";
    let dropped = eventually(WITHIN, "all questions are counted", || {
        let dropped = fleet
            .metric(0, "harbinger_layer2_frames_dropped_total", label)
            .ok()?;
        let answered = wire.count(|f| answers(f, true) && f.destination() == flooder);
        (dropped + f64::from(u32::try_from(answered).unwrap()) >= 500.0).then_some(dropped)
    });
    let answered = wire.count(|f| answers(f, true) && f.destination() == flooder);
    println!(
        "of 500 questions {answered} answered, {dropped} dropped; the other's answer {:?} after the first",
        other.at - began
    );
    // The burst and 20 a second since then.
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(answered >= 40 && answered <= 40 + 20 * (seconds + 1));
}

// L2-24
#[test]
fn a_storm_on_one_interface_leaves_the_other_its_turn() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let lan = Lan::new().unwrap();
    let far = Host::new("far").unwrap();
    lan.attach(&far, "eth0", &[]).unwrap();
    let second = Capture::start(&far, "eth0").unwrap();
    lan.attach(&fleet.lab.nodes[0], "eth1", &[]).unwrap();
    fleet.announced(&second, v4().into(), None).unwrap();
    drop(second);
    // Questions that pass the filter, each from another sender.
    let frames: Vec<Vec<u8>> = (0..CHUNK)
        .map(|n| {
            let [.., high, low] = n.to_be_bytes();
            let sender = Ipv4Addr::new(192, 0, high, low);
            station::arp_request(BROADCAST, [2, 1, 0, 0, high, low], sender, v4())
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let storm = {
        let (stop, sent, far) = (Arc::clone(&stop), Arc::clone(&sent), far.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                station::send(&far, "eth0", &frames).unwrap();
                sent.fetch_add(frames.len(), Ordering::Relaxed);
            }
        })
    };
    eventually(WITHIN, "it storms", || {
        (sent.load(Ordering::Relaxed) >= 10_000).then_some(())
    });
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let asked = Instant::now();
        let answer = exchange(&fleet.lab.client, &wire, arp_question());
        worst = worst.max(answer.at.saturating_duration_since(asked));
    }
    stop.store(true, Ordering::Relaxed);
    storm.join().unwrap();
    println!(
        "20 answers on eth0, the worst after {worst:?}, while {} questions came on eth1",
        sent.load(Ordering::Relaxed)
    );
}
