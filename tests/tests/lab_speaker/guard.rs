//! Hosts that have an address of ours, or claim it: the kernel of one of them, and what a station can say.

use std::time::{Duration, Instant};

use tests::fleet::station::{self, BROADCAST};
use tests::fleet::{self, Fleet, POOL, V4, V6, WITHIN};
use tests::lab::{self, Capture, Host, eventually};

use crate::kit::{SILENCE, STRANGER, arp_question, both, exchange, v4, wait_told};

const IN_USE: &str = "harbinger_layer2_addresses_in_use";
/// The thirty seconds after which it is tried again, and time for the rest.
const RETRY: Duration = Duration::from_secs(45);

// L2-51, L2-52, L2-75
#[test]
fn a_host_that_has_the_address_keeps_it_until_it_gives_it_up() {
    if !lab::ready() {
        return;
    }
    // With membership, which alone can tell that nobody has announced it before.
    let mut fleet = Fleet::new(1).unwrap();
    let foreign = Host::new("foreign").unwrap();
    let addresses = [format!("{V4}/24"), format!("{V6}/64")];
    let lan = &fleet.lab.lan;
    let _port = lan
        .attach(&foreign, "eth0", &[&addresses[0], &addresses[1]])
        .unwrap();
    let mac = foreign.mac("eth0").unwrap();
    let wire = Capture::start(&fleet.lab.client, "eth0").unwrap();
    fleet.write("pool.yaml", &fleet::pool(&POOL)).unwrap();
    fleet
        .write("web.yaml", &fleet::service("web", true, 1))
        .unwrap();
    fleet.start(0).unwrap();
    let text: Vec<String> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    wait_told(&fleet, &["AddressInUse", V4, V6, &text.join(":"), "eth0"]);
    for ip in [V4, V6] {
        let label = format!("ip=\"{ip}\"");
        assert_eq!(fleet.metric(0, IN_USE, &label).unwrap(), 1.0, "{ip}");
    }
    let node = fleet.lab.nodes[0].mac("eth0").unwrap();
    let ours = |f: &lab::Frame| f.source() == node && both().iter().any(|ip| f.announces(*ip));
    assert_eq!(wire.count(ours), 0, "{:#?}", wire.frames());
    let before = Instant::now();
    for address in &addresses {
        foreign.delete_address("eth0", address).unwrap();
    }
    for ip in both() {
        let frame = wire.wait_after(before, RETRY, |f| f.gratuitous(ip) && ours(f));
        let frame = frame.unwrap_or_else(|| panic!("{ip}\n{}", fleet.logs()));
        println!("{ip} announced {:?} after it was free", frame.at - before);
    }
    exchange(&fleet.lab.client, &wire, arp_question());
    let left = || fleet.metric(0, IN_USE, "").ok();
    eventually(WITHIN, "none is in use", || (left()? == 0.0).then_some(()));
}

// L2-53
#[test]
fn a_host_that_claims_the_address_later_is_told_and_answered() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    // Until the first rounds are over, so that a round is a defence.
    lab::pause(Duration::from_secs(5));
    let node = fleet.lab.nodes[0].mac("eth0").unwrap();
    let claim = station::arp_request(BROADCAST, STRANGER, v4(), v4());
    let before = Instant::now();
    station::send(&fleet.lab.client, "eth0", std::slice::from_ref(&claim)).unwrap();
    let round = |f: &lab::Frame| f.gratuitous(v4().into()) && f.source() == node;
    let frame = wire.wait_after(before, WITHIN, round);
    let frame = frame.unwrap_or_else(|| panic!("no defence\n{}", fleet.logs()));
    println!("defended {:?} after the claim", frame.at - before);
    wait_told(&fleet, &["ForeignClaim", V4, "02:00:00:00:00:99", "eth0"]);
    // Again and again: nothing more within ten seconds, and each is counted.
    lab::pause(SILENCE);
    let before = Instant::now();
    station::flood(
        &fleet.lab.client,
        "eth0",
        &[claim],
        50,
        Duration::from_millis(2),
    )
    .unwrap();
    lab::pause(SILENCE);
    assert_eq!(wire.count(|f| f.at > before && round(f)), 0);
    let count = |name: &str| fleet.metric(0, name, V4).unwrap();
    assert_eq!(count("harbinger_layer2_foreign_claims_total"), 51.0);
    assert_eq!(count("harbinger_layer2_defences_total"), 1.0);
    exchange(&fleet.lab.client, &wire, arp_question());
}
