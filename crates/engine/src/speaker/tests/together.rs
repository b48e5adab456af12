//! Two and three speakers on a virtual LAN: one answers, the others are silent, and what
//! happens when something breaks.

use super::lan::*;
use crate::elect::Placement;
use crate::elect::tests::build::*;
use crate::facts::Interface;
use crate::speaker::Discovery;
use crate::wire::Event as WireEvent;
use crate::world::{Change, Delta};
use std::net::IpAddr;
use std::time::Duration;

const VIP: &str = "10.0.0.1";
const SECOND: Duration = Duration::from_secs(1);

fn three(seed: u64) -> Lan {
    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    Lan::new(&build, 3, seed)
}

fn settled(seed: u64) -> Lan {
    let mut lan = three(seed);
    lan.run(2 * SECOND);
    lan
}

/// The first node of the order among those that live, as the tables of `elect` have it.
fn first(alive: &[usize]) -> usize {
    let names: Vec<String> = alive.iter().map(|host| format!("n{host}")).collect();
    let address: IpAddr = VIP.parse().unwrap();
    let first = crate::elect::order::ordered(names.iter().map(|n| (n.as_str(), 0)), address)[0];
    first[1..].parse().unwrap()
}

// L2-80, L2-82
#[test]
fn the_owner_answers_and_the_others_are_silent() {
    for seed in 0..3 {
        let mut lan = settled(seed);
        let owner = first(&[0, 1, 2]);
        assert_eq!(lan.owners(VIP), [owner], "seed {seed}");
        assert_eq!(lan.resolve(VIP), [owner], "seed {seed}");
        assert!(
            lan.resolve("10.0.0.77").is_empty(),
            "an address on no Service"
        );
    }
}

// L2-86
#[test]
fn the_next_answers_within_a_second_of_a_kill() {
    for seed in 0..5 {
        let mut lan = settled(seed);
        let owner = first(&[0, 1, 2]);
        lan.kill(owner);
        let killed = lan.now;
        lan.frames.clear();
        lan.run(SECOND);
        let alive: Vec<usize> = (0..3).filter(|host| *host != owner).collect();
        let frame = lan
            .gratuitous_after(VIP, killed, owner)
            .expect("a gratuitous frame");
        assert_eq!(frame.host, first(&alive), "seed {seed}");
        assert!(
            frame.at - killed <= SECOND,
            "seed {seed}: {:?}",
            frame.at - killed
        );
        assert_eq!(lan.resolve(VIP), [first(&alive)], "seed {seed}");
    }
}

// L2-87
#[test]
fn three_that_hear_each_other_begin_early_and_one_alone_after_a_second() {
    let mut lan = three(1);
    // And the probes, since nobody has announced it before.
    lan.run(400 * MS + 300 * MS);
    assert_eq!(lan.owners(VIP), [first(&[0, 1, 2])]);
    let wrong: Vec<&Seen> = lan
        .frames
        .iter()
        .filter(|f| f.host != first(&[0, 1, 2]))
        .collect();
    assert!(wrong.is_empty(), "nobody else ever spoke for it: {wrong:?}");

    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::new(&build, 1, 1);
    lan.run(990 * MS);
    assert!(lan.frames.is_empty() && lan.owners(VIP).is_empty());
    // And the probes, since nobody has announced it before.
    lan.run(320 * MS);
    assert_eq!(lan.owners(VIP), [0]);
    assert_eq!(lan.resolve(VIP), [0]);
}

// L2-87
#[test]
fn a_fresh_speaker_does_not_elect_itself_over_living_members() {
    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    for late in 0..3 {
        let mut lan = Lan::placed(&build, 3, 7, Placement::MetalLb);
        lan.kill(late);
        lan.run(3 * SECOND);
        lan.frames.clear();
        lan.restart(late);
        let started = lan.now;
        lan.run(2 * SECOND);
        assert_eq!(lan.owners(VIP), [first(&[0, 1, 2])], "host {late}");
        let spoke = lan.frames.iter().any(|f| f.host == late && f.at > started);
        assert_eq!(spoke, late == first(&[0, 1, 2]), "host {late}");
    }
}

#[test]
fn without_a_key_nothing_is_said_until_there_is_one() {
    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::new(&build, 1, 3);
    let peers = (0..3).map(member_address).collect();
    let made = lan.boot(0, Discovery::Static { peers, keys: None }, 3);
    lan.hosts[0] = made;
    lan.run(5 * SECOND);
    assert!(lan.owners(VIP).is_empty());
    let secret = crate::world::Secret {
        name: crate::name::NamespacedName::new(NAMESPACE, "memberlist"),
        kind: "Opaque".into(),
        data: [("secretkey".to_owned(), b"sixteen bytes or more".to_vec())].into(),
    };
    lan.change(Change::Secret(Delta::Upsert(stored(secret))));
    lan.run(900 * MS);
    assert!(lan.owners(VIP).is_empty(), "it listens first");
    // And the probes.
    lan.run(500 * MS);
    assert_eq!(lan.owners(VIP), [0]);
}

#[test]
fn with_membership_off_every_node_counts() {
    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::new(&build, 3, 4);
    for host in 0..3 {
        let made = lan.boot(host, Discovery::Off, 4);
        lan.hosts[host] = made;
    }
    lan.run(10 * MS);
    assert_eq!(lan.owners(VIP), [first(&[0, 1, 2])]);
}

#[test]
fn without_claims_a_leaver_is_silent_at_once_and_the_next_begins_at_once() {
    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::placed(&build, 3, 5, Placement::MetalLb);
    lan.run(2 * SECOND);
    let owner = first(&[0, 1, 2]);
    lan.frames.clear();
    let now = lan.now;
    lan.hosts[owner].wire.leave(now);
    lan.run(30 * MS);
    let alive: Vec<usize> = (0..3).filter(|host| *host != owner).collect();
    assert_eq!(lan.owners(VIP), [first(&alive)]);
    assert_eq!(lan.resolve(VIP), [first(&alive)]);
    lan.run(SECOND);
    assert_eq!(
        lan.hosts[owner].wire.poll_timeout(),
        None,
        "nothing left to do"
    );
}

#[test]
fn a_paused_process_says_nothing_until_it_has_heard_somebody() {
    let mut build = Build::new(&["n0", "n1", "n2"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::placed(&build, 3, 6, Placement::MetalLb);
    lan.run(2 * SECOND);
    let owner = first(&[0, 1, 2]);
    lan.pause(owner, 5 * SECOND);
    lan.run(2 * SECOND);
    let alive: Vec<usize> = (0..3).filter(|host| *host != owner).collect();
    assert!(
        lan.owners(VIP).contains(&first(&alive)),
        "somebody took over"
    );
    // Requests that waited in its socket are not answered when it wakes.
    lan.frames.clear();
    lan.ask(VIP);
    let wakes = lan.now + 3 * SECOND;
    lan.run(4 * SECOND);
    let late = lan.hosts[owner]
        .events
        .iter()
        .any(|e| matches!(e, WireEvent::Late { .. }));
    assert!(late);
    let stale = lan.frames.iter().any(|f| {
        f.host == owner && matches!(f.kind, l2::TransmitKind::Reply(_)) && f.at < wakes + 100 * MS
    });
    assert!(!stale);
    lan.run(5 * SECOND);
    assert_eq!(lan.owners(VIP), [owner], "MetalLB's order gives it back");
}

// L2-46
#[test]
fn a_node_without_an_interface_left_gives_up_its_candidacy() {
    let mut lan = settled(8);
    let owner = first(&[0, 1, 2]);
    lan.frames.clear();
    lan.hosts[owner].interfaces.get_mut(&2).unwrap().carrier = false;
    let cut = lan.now;
    lan.run(500 * MS);
    let alive: Vec<usize> = (0..3).filter(|host| *host != owner).collect();
    assert_eq!(lan.owners(VIP), [first(&alive)]);
    let frame = lan.gratuitous_after(VIP, cut, owner).unwrap();
    assert!(frame.at - cut <= 300 * MS, "{:?}", frame.at - cut);
    let speaks = lan.frames.iter().any(|f| f.host == owner && f.at > cut);
    assert!(!speaks);
}

// L2-46
#[test]
fn an_interface_that_goes_is_closed_and_the_others_go_on() {
    let mut build = Build::new(&["n0"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::new(&build, 1, 1);
    lan.hosts[0].interfaces.insert(3, interface(0, 3));
    lan.run(2 * SECOND);
    let on: Vec<u32> = lan.hosts[0]
        .wire
        .facts()
        .announced
        .keys()
        .copied()
        .collect();
    assert_eq!(on, [2, 3]);
    for index in [2, 3] {
        assert!(lan.frames.iter().any(|f| f.ifindex == index), "both burst");
    }
    lan.hosts[0].interfaces.remove(&3);
    lan.run(10 * MS);
    assert_eq!(lan.hosts[0].open.iter().copied().collect::<Vec<_>>(), [2]);
    lan.frames.clear();
    assert_eq!(lan.resolve(VIP), [0]);
    lan.run(10 * SECOND);
    assert!(lan.frames.iter().all(|f| f.ifindex == 2));
}

// L2-40, L2-45
#[test]
fn a_new_a_renamed_and_a_reused_interface() {
    let mut build = Build::new(&["n0"]);
    build.served(service("web", &[VIP]));
    let mut lan = Lan::new(&build, 1, 1);
    lan.run(2 * SECOND);

    lan.hosts[0].interfaces.insert(5, interface(0, 5));
    let appeared = lan.now;
    lan.frames.clear();
    lan.run(100 * MS);
    let frame = lan
        .frames
        .iter()
        .find(|f| f.ifindex == 5)
        .expect("a burst there");
    assert!(frame.at - appeared <= 100 * MS);

    // Renamed to an excluded name: closed.
    lan.hosts[0].interfaces.get_mut(&5).unwrap().name = "veth5".into();
    lan.run(10 * MS);
    assert!(!lan.hosts[0].open.contains(&5));
    lan.hosts[0].interfaces.get_mut(&5).unwrap().name = "lan5".into();
    lan.run(10 * MS);
    assert!(lan.hosts[0].open.contains(&5));

    // The same index is another device now, without an event between: a fresh responder.
    let counted = |lan: &Lan| {
        let mut all = lan.hosts[0].wire.responders();
        all.find(|(index, _)| *index == 5)
            .unwrap()
            .1
            .counters()
            .frames_received
    };
    lan.resolve(VIP);
    assert!(counted(&lan) > 0);
    let other = Interface {
        name: "eth9".into(),
        mac: Some([2, 9, 9, 9, 9, 9]),
        ..interface(0, 5)
    };
    lan.hosts[0].interfaces.insert(5, other);
    lan.frames.clear();
    lan.run(10 * MS);
    assert_eq!(counted(&lan), 0);
    assert!(
        lan.frames
            .iter()
            .any(|f| f.ifindex == 5 && f.bytes[6..12] == [2, 9, 9, 9, 9, 9])
    );
}

#[test]
fn one_status_two_writes_for_an_assigned_service_and_a_move_is_told_once() {
    let mut lan = settled(2);
    let owner = first(&[0, 1, 2]);
    assert_eq!(lan.api.statuses.len(), 1);
    let status = lan.api.statuses.values().next().unwrap();
    assert_eq!(
        (status.node.as_str(), status.interfaces.len()),
        (format!("n{owner}").as_str(), 0)
    );
    let l2 = lan
        .api
        .writes
        .iter()
        .filter(|w| matches!(w, crate::write::Write::L2Status { .. }));
    assert_eq!(l2.count(), 1);
    let events: Vec<&str> = lan.api.events.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(
        events,
        [format!(
            "announcing from node \"n{owner}\" with protocol \"layer2\""
        )]
    );

    lan.kill(owner);
    lan.run(3 * SECOND);
    let alive: Vec<usize> = (0..3).filter(|host| *host != owner).collect();
    let nodes: Vec<&str> = lan.api.statuses.values().map(|s| s.node.as_str()).collect();
    assert_eq!(
        nodes,
        [format!("n{}", first(&alive))],
        "the winner deleted the dead one's"
    );
    assert_eq!(lan.api.events.len(), 2);
    lan.run(20 * SECOND);
    assert_eq!(lan.api.events.len(), 2, "nothing is told again");
}
