//! Questions and answers, one by one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use netlink_packet_route::neighbour::NeighbourState;
use tests::fleet::station::{self, BROADCAST, Solicitation};
use tests::fleet::{Fleet, WITHIN};
use tests::lab::{self, client, eventually};

use crate::kit::{SILENCE, STRANGER, both, exchange, v4, v6};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

// L2-03, L2-70, L2-72
#[test]
fn the_kernel_finds_both_addresses_and_reaches_the_pod() {
    if !lab::ready() {
        return;
    }
    let (fleet, _wire) = Fleet::alone().unwrap();
    let addresses = both();
    fleet.proxy(&addresses.map(|a| (a, 80))).unwrap();
    for address in addresses {
        fleet.lab.client.forget_neighbour(address).unwrap();
        let asked = Instant::now();
        let to = SocketAddr::new(address, 80);
        let answer = client::http_get(&fleet.lab.client, to, WITHIN).unwrap();
        println!("{address}: {:?} for {}", asked.elapsed(), answer.trim());
        assert!(answer.starts_with("pod-0 "), "{answer}");
        let known = fleet.lab.client.neighbour(address).unwrap();
        assert_eq!(known, Some(fleet.lab.nodes[0].mac("eth0").unwrap()));
    }
}

// L2-03, L2-05, L2-06, L2-20
#[test]
fn every_kind_of_arp_question_gets_one_unicast_reply() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let node = fleet.lab.nodes[0].mac("eth0").unwrap();
    let neighbour = Ipv4Addr::new(192, 0, 2, 99);
    let questions = [
        ("of the subnet", BROADCAST, neighbour),
        ("of another subnet", BROADCAST, Ipv4Addr::new(10, 9, 8, 7)),
        (
            "a probe, as arping -D sends",
            BROADCAST,
            Ipv4Addr::UNSPECIFIED,
        ),
        ("by unicast", node, neighbour),
    ];
    for (what, to, sender) in questions {
        let question = station::arp_request(to, STRANGER, sender, v4());
        let reply = exchange(&fleet.lab.client, &wire, question);
        let arp = reply.arp().unwrap();
        assert_eq!(reply.destination(), STRANGER, "{what}");
        assert_eq!(reply.source(), node, "{what}");
        assert_eq!((arp.operation, arp.sender_mac), (2, node), "{what}");
        assert_eq!(
            (arp.target_mac, arp.target_ip),
            (STRANGER, sender),
            "{what}"
        );
        assert_eq!(reply.bytes.len(), 60, "{what}");
        assert!(reply.bytes[42..].iter().all(|octet| *octet == 0), "{what}");
        let second = wire.wait(SILENCE, |f| {
            f.at > reply.at && f.destination() == STRANGER && f.arp().is_some()
        });
        assert!(second.is_none(), "{what}: {second:?}");
    }
}

// L2-70, L2-71
#[test]
fn a_solicited_advertisement_replaces_what_the_client_believed() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let client = &fleet.lab.client;
    let (node, own) = (
        fleet.lab.nodes[0].mac("eth0").unwrap(),
        client.mac("eth0").unwrap(),
    );
    let dead = [2, 0, 0, 0, 0, 0xdd];
    client
        .set_neighbour("eth0", v6().into(), dead, NeighbourState::Reachable)
        .unwrap();
    let source: Ipv6Addr = "2001:db8:2::100".parse().unwrap();
    let question = Solicitation {
        mac: own,
        source,
        target: v6(),
        unicast: None,
        option: true,
    };
    let answer = exchange(client, &wire, question.frame());
    let told = answer.neighbor().unwrap();
    assert!(told.solicited && told.overrides && !told.router, "{told:?}");
    assert_eq!((told.source, told.destination), (v6(), source));
    assert_eq!(told.mac, Some(node));
    assert_eq!((answer.destination(), answer.source()), (own, node));
    assert_eq!(answer.bytes[21], 255, "hop limit");
    let known = eventually(WITHIN, "the cache is replaced", || {
        let known = client.neighbour(v6().into()).unwrap();
        (known != Some(dead)).then_some(known)
    });
    println!("replaced, seen {:?} after the answer", answer.at.elapsed());
    assert_eq!(known, Some(node));
}

// L2-72
#[test]
fn an_unicast_solicitation_without_option_is_answered_to_its_sender() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let question = Solicitation {
        mac: STRANGER,
        source: "2001:db8:2::99".parse().unwrap(),
        target: v6(),
        unicast: Some(fleet.lab.nodes[0].mac("eth0").unwrap()),
        option: false,
    };
    let answer = exchange(&fleet.lab.client, &wire, question.frame());
    assert_eq!(answer.destination(), STRANGER);
    assert_eq!(answer.neighbor().unwrap().destination, question.source);
}

// L2-73
#[test]
fn somebody_who_tries_the_address_hears_that_it_is_taken() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    // The last of the unasked ones would look the same.
    let unasked = |wire: &lab::Capture| wire.count(|f| f.gratuitous(v6().into()));
    eventually(WITHIN, "five rounds", || {
        (unasked(&wire) >= 5).then_some(())
    });
    let question = Solicitation {
        mac: STRANGER,
        source: Ipv6Addr::UNSPECIFIED,
        target: v6(),
        unicast: None,
        option: false,
    };
    wire.clear();
    station::send(&fleet.lab.client, "eth0", &[question.frame()]).unwrap();
    let answer = wire.wait(WITHIN, |f| f.announces(v6().into())).unwrap();
    let told = answer.neighbor().unwrap();
    assert_eq!(answer.destination(), [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(told.destination, ALL_NODES);
    assert!(!told.solicited && told.overrides, "{told:?}");
}

// L2-30, L2-31, L2-74
#[test]
fn an_owner_tells_everybody_in_rounds() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let node = fleet.lab.nodes[0].mac("eth0").unwrap();
    let count = |ip: IpAddr| wire.count(|f| f.gratuitous(ip));
    eventually(WITHIN, "six rounds of ARP and five of ND", || {
        (count(v4().into()) >= 12 && count(v6().into()) >= 5).then_some(())
    });
    let frames = wire.frames();
    let arps: Vec<_> = frames
        .iter()
        .filter(|f| f.gratuitous(v4().into()))
        .collect();
    for round in arps.chunks(2) {
        let [request, reply] = round else {
            panic!("a round of one frame");
        };
        println!("ARP round {:?} after the first", request.at - arps[0].at);
        for (frame, operation, target) in [(request, 1, [0; 6]), (reply, 2, node)] {
            let arp = frame.arp().unwrap();
            assert_eq!((arp.operation, arp.target_mac), (operation, target));
            assert_eq!(
                (arp.sender_mac, arp.sender_ip, arp.target_ip),
                (node, v4(), v4())
            );
            assert_eq!((frame.destination(), frame.source()), (BROADCAST, node));
        }
    }
    let told: Vec<_> = frames
        .iter()
        .filter(|f| f.gratuitous(v6().into()))
        .collect();
    for frame in &told {
        println!("ND {:?} after the first", frame.at - told[0].at);
        let told = frame.neighbor().unwrap();
        assert_eq!(told.destination, ALL_NODES);
        assert!(told.overrides && !told.solicited && !told.router);
        assert_eq!(told.mac, Some(node));
    }
    assert_eq!((arps.len(), told.len()), (12, 5));
    drop(fleet);
}
