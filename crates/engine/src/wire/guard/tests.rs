//! Other stations on our addresses: what the speaker makes of them, up to the event on the Service.

use crate::elect::tests::build::{Build, service};
use crate::speaker::tests::lan::{Lan, MS, interface};
use crate::wire::Event;
use l2::{MacAddr, TransmitKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const VIP: &str = "10.0.0.1";
const SECOND: Duration = Duration::from_secs(1);
const FOREIGN: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 9]);

/// An ARP reply by which a station says that it has [`VIP`].
fn claim(mac: MacAddr) -> Vec<u8> {
    let vip: Ipv4Addr = VIP.parse().unwrap();
    let mut frame = vec![0xff; 6];
    frame.extend(mac.octets());
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2]);
    frame.extend(mac.octets());
    frame.extend(vip.octets());
    frame.extend(mac.octets());
    frame.extend(vip.octets());
    frame.resize(60, 0);
    frame
}

fn lan(hosts: usize) -> Lan {
    let names: Vec<String> = (0..hosts).map(|host| format!("n{host}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut build = Build::new(&names);
    build.served(service("web", &[VIP]));
    Lan::new(&build, hosts, 1)
}

/// Reasons and texts of the events about other stations, in order.
fn told(lan: &Lan) -> Vec<(&'static str, String)> {
    let ours = ["AddressInUse", "ForeignClaim", "SplitBrainSuspected"];
    let events = lan.api.events.iter();
    events
        .filter(|event| ours.contains(&event.reason))
        .map(|event| (event.reason, event.message.clone()))
        .collect()
}

fn gratuitous(lan: &Lan, host: usize, after: Instant) -> usize {
    let kind = TransmitKind::Gratuitous(VIP.parse().unwrap());
    let frames = lan.frames.iter();
    frames
        .filter(|frame| frame.host == host && frame.kind == kind && frame.at >= after)
        .count()
}

// L2-51 L2-52
#[test]
fn an_address_that_somebody_has_is_not_announced_until_it_is_free() {
    let mut lan = lan(1);
    lan.run(1_100 * MS);
    assert!(lan.owners(VIP).is_empty(), "it is being probed");
    lan.say(&claim(FOREIGN));
    lan.run(5 * SECOND);
    assert!(lan.owners(VIP).is_empty() && lan.resolve(VIP).is_empty());
    let told_once = told(&lan);
    let [("AddressInUse", text)] = told_once.as_slice() else {
        panic!("{told_once:?}");
    };
    for part in [VIP, "52:54:00:00:00:09", "QEMU/KVM", "\"eth0\"", "\"n0\""] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Half a minute later it is gone.
    lan.run(30 * SECOND);
    assert_eq!(lan.owners(VIP), [0]);
    assert_eq!(lan.resolve(VIP), [0]);
    assert_eq!(told(&lan).len(), 1);
}

// L2-53
#[test]
fn an_intruder_is_told_once_and_answered() {
    let mut lan = lan(1);
    lan.run(20 * SECOND);
    let before = lan.now;
    for _ in 0..100 {
        lan.say(&claim(FOREIGN));
        lan.run(10 * MS);
    }
    assert_eq!(gratuitous(&lan, 0, before), 2, "one round");
    assert_eq!(lan.owners(VIP), [0], "never given up");
    let told = told(&lan);
    assert!(
        matches!(told.as_slice(), [("ForeignClaim", text)] if text.contains(VIP)),
        "{told:?}"
    );
    let claim = Event::ForeignClaim {
        ifindex: 2,
        address: VIP.parse().unwrap(),
        mac: FOREIGN,
    };
    assert_eq!(
        lan.hosts[0].events.iter().filter(|e| **e == claim).count(),
        1
    );
}

// L2-54 L2-56
#[test]
fn another_speaker_is_no_intruder_and_one_that_is_gone_is_a_partition() {
    let mut lan = lan(2);
    lan.run(20 * SECOND);
    let [owner] = lan.owners(VIP)[..] else {
        panic!("{:?}", lan.owners(VIP));
    };
    let other = 1 - owner;
    let mac = MacAddr(interface(other, 2).mac.unwrap());
    let before = lan.now;
    let asked = |lan: &Lan| {
        let membership = lan.hosts[owner].wire.membership().unwrap();
        membership.counters().claim_questions
    };
    let before_asked = asked(&lan);
    lan.say(&claim(mac));
    lan.run(5 * MS);
    assert!(asked(&lan) > before_asked, "asked at once what it claims");
    for _ in 0..50 {
        lan.say(&claim(mac));
        lan.run(10 * MS);
    }
    let asked = asked(&lan) - before_asked;
    assert!(asked <= 3, "not for each frame: {asked}");
    assert_eq!(gratuitous(&lan, owner, before), 0, "not fought");
    assert!(told(&lan).is_empty(), "its claim decides");
    lan.kill(other);
    lan.run(3 * SECOND);
    let before = lan.now;
    for _ in 0..100 {
        lan.say(&claim(mac));
        lan.run(10 * MS);
    }
    assert_eq!(gratuitous(&lan, owner, before), 0, "not fought either");
    let told = told(&lan);
    let [("SplitBrainSuspected", text)] = told.as_slice() else {
        panic!("{told:?}");
    };
    let name = format!("\"n{other}\"");
    assert!(text.contains(VIP) && text.contains(&name), "{text}");
    assert_eq!(lan.owners(VIP), [owner]);
}

// L2-51
#[test]
fn a_takeover_is_not_probed() {
    let mut lan = lan(2);
    lan.run(10 * SECOND);
    let owner = lan.owners(VIP)[0];
    let before = lan.now;
    lan.kill(owner);
    lan.run(3 * SECOND);
    assert_eq!(lan.owners(VIP), [1 - owner]);
    let probe = TransmitKind::Probe(VIP.parse().unwrap());
    let probed = lan.frames.iter().any(|f| f.kind == probe && f.at >= before);
    assert!(!probed);
}

/// It says that it has the only interface that the address may be announced on, with the hardware address of its holder
/// too; and it speaks for the address.
#[test]
fn a_node_that_lies_about_its_interfaces_moves_nothing() {
    let mut lan = lan(3);
    lan.run(20 * SECOND);
    let holder = lan.owners(VIP)[0];
    let liar = (holder + 1) % 3;
    let mut eth9 = interface(liar, 9);
    eth9.mac = interface(holder, 2).mac;
    lan.hosts[liar].says.insert(9, eth9);
    lan.run(2 * SECOND);
    let says = |at: usize| {
        let members = &lan.hosts[at].wire.facts().members.alive;
        members[&format!("n{liar}")].interfaces.contains_key("eth7")
    };
    assert!(says(holder), "the lie is told");
    let before = lan.now;
    let mac = MacAddr(interface(liar, 2).mac.unwrap());
    for _ in 0..30 {
        lan.say(&claim(mac));
        lan.run(100 * MS);
        assert_eq!(lan.owners(VIP), [holder]);
    }
    assert_eq!(
        gratuitous(&lan, holder, before),
        0,
        "not fought: its claim decides"
    );
    assert_eq!(lan.resolve(VIP), [holder]);
    // It is no intruder while it is a member. Once it is gone, what it still says is told with its name.
    lan.kill(liar);
    lan.run(3 * SECOND);
    lan.say(&claim(mac));
    lan.run(100 * MS);
    let told = told(&lan);
    let [("SplitBrainSuspected", text)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        text.contains(VIP) && text.contains(&format!("\"n{liar}\"")),
        "{text}"
    );
    assert_eq!(lan.owners(VIP), [holder]);
}
