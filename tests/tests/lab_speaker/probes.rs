//! Neighbour unreachability detection: the kernels of many clients ask again by unicast whether their neighbour
//! is still there.

use std::net::IpAddr;

use futures::TryStreamExt;
use netlink_packet_route::neighbour::NeighbourState;
use tests::fleet::{self, Fleet, WITHIN};
use tests::lab::{self, Capture, Frame, Host, eventually};

/// One client may ask 40 questions at once (its burst), so many clients ask.
const CLIENTS: usize = 25;
/// Services, each with an address of both families.
const SERVICES: usize = 20;

/// Makes the kernel probe all of `addresses` at `mac` now.
fn probe(client: &Host, addresses: &[IpAddr], mac: [u8; 6]) {
    let probed = client.netlink(async |h| {
        let mut found = h.link().get().match_name("eth0".to_owned()).execute();
        let index = found.try_next().await?.expect("eth0").header.index;
        for address in addresses {
            let add = h.neighbours().add(index, *address).link_layer_address(&mac);
            add.state(NeighbourState::Probe).replace().execute().await?;
        }
        Ok(())
    });
    probed.unwrap();
}

/// The address that a unicast question of a kernel is about.
fn asked(frame: &Frame, node: [u8; 6]) -> Option<IpAddr> {
    if frame.destination() != node {
        return None;
    }
    match (frame.arp(), frame.neighbor()) {
        (Some(arp), _) if arp.operation == 1 => Some(arp.target_ip.into()),
        (_, Some(told)) if told.kind == 135 => Some(told.target.into()),
        _ => None,
    }
}

// L2-06, L2-60
#[test]
fn no_reachability_probe_of_a_thousand_stays_unanswered() {
    if !lab::ready() {
        return;
    }
    let (mut fleet, addresses) = twenty_dual_stack_services();
    fleet.start(0).unwrap();
    let node = fleet.lab.nodes[0].clone();
    let mac = node.mac("eth0").unwrap();
    let clients: Vec<Host> = (0..CLIENTS)
        .map(|n| {
            let client = Host::new(&format!("client-{n}")).unwrap();
            let own = [
                format!("192.0.2.{}/24", 120 + n),
                format!("2001:db8:2::1:{n}/64"),
            ];
            let own = own.each_ref().map(String::as_str);
            fleet.lab.lan.attach(&client, "eth0", &own).unwrap();
            client
        })
        .collect();
    let wire = Capture::start(&node, "eth0").unwrap();
    eventually(WITHIN, "all addresses are announced", || {
        let frames = wire.frames();
        let told = |ip: &IpAddr| frames.iter().any(|f| f.gratuitous(*ip));
        addresses.iter().all(told).then_some(())
    });
    for client in &clients {
        probe(client, &addresses, mac);
    }
    for client in &clients {
        eventually(WITHIN, "every neighbour is reachable", || {
            let known = client.neighbours().unwrap();
            let reachable = |ip: &IpAddr| {
                known
                    .iter()
                    .any(|n| n.ip == *ip && n.state == NeighbourState::Reachable)
            };
            addresses.iter().all(reachable).then_some(())
        });
    }
    let frames = wire.frames();
    let ours = |ip: IpAddr| addresses.contains(&ip);
    let questions = frames
        .iter()
        .filter(|f| asked(f, mac).is_some_and(ours))
        .count();
    let answers = frames
        .iter()
        .filter(|f| {
            f.outgoing
                && addresses
                    .iter()
                    .any(|ip| f.announces(*ip) && !f.gratuitous(*ip))
        })
        .count();
    println!("{questions} unicast probes, {answers} answers");
    // A probe that is not answered is repeated.
    assert_eq!((questions, answers), (1_000, 1_000));
}

fn twenty_dual_stack_services() -> (Fleet, Vec<IpAddr>) {
    let mut fleet = Fleet::new(1).unwrap();
    fleet.membership = false;
    fleet
        .write("pool.yaml", &fleet::pool(&fleet::POOL))
        .unwrap();
    fleet
        .write("many.yaml", &fleet::services("s", SERVICES, true, 1))
        .unwrap();
    let addresses = (0..SERVICES)
        .flat_map(|n| {
            [
                format!("192.0.2.{}", 200 + n),
                format!("2001:db8:2::{:x}", 0x200 + n),
            ]
        })
        .map(|text| text.parse().unwrap())
        .collect();
    (fleet, addresses)
}
