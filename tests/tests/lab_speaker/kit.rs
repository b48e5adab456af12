//! What the files of this test share: questions and the answers to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use tests::fleet::station::{self, BROADCAST, Solicitation};
use tests::fleet::{Fleet, V4, V6, WITHIN};
use tests::lab::{Capture, Frame, Host, eventually};

/// Long enough to see that nothing comes; an answer takes well under a millisecond.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);
/// A station that nobody has heard of.
pub(crate) const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

pub(crate) fn v4() -> Ipv4Addr {
    V4.parse().unwrap()
}

pub(crate) fn v6() -> Ipv6Addr {
    V6.parse().unwrap()
}

pub(crate) fn both() -> [IpAddr; 2] {
    [v4().into(), v6().into()]
}

/// The ARP question that a stranger asks everybody.
pub(crate) fn arp_question() -> Vec<u8> {
    station::arp_request(BROADCAST, STRANGER, Ipv4Addr::new(192, 0, 2, 99), v4())
}

/// The same for IPv6.
pub(crate) fn ndp_question() -> Vec<u8> {
    Solicitation {
        mac: STRANGER,
        source: "2001:db8:2::99".parse().unwrap(),
        target: v6(),
        unicast: None,
        option: true,
    }
    .frame()
}

/// Whether a frame is an answer, not an announcement, about our address of that family.
pub(crate) fn answers(frame: &Frame, v4_too: bool) -> bool {
    let ip: IpAddr = if v4_too { v4().into() } else { v6().into() };
    frame.announces(ip) && !frame.gratuitous(ip)
}

/// Says `question` from interface eth0 of `asker` and gives the first answer, which `wire` must see there.
pub(crate) fn exchange(asker: &Host, wire: &Capture, question: Vec<u8>) -> Frame {
    let arp = question[12..14] == [0x08, 0x06];
    wire.clear();
    station::send(asker, "eth0", &[question]).unwrap();
    wire.wait(WITHIN, |f| answers(f, arp))
        .unwrap_or_else(|| panic!("no answer; seen: {:#?}", wire.frames()))
}

/// Asks and sees that nobody answers.
pub(crate) fn nobody_answers(asker: &Host, wire: &Capture, question: Vec<u8>) {
    let arp = question[12..14] == [0x08, 0x06];
    wire.clear();
    station::send(asker, "eth0", &[question]).unwrap();
    let answer = wire.wait(SILENCE, |f| answers(f, arp));
    assert!(answer.is_none(), "{answer:?}");
}

/// Waits until node 0 says of itself that it answers on `interface`, or that it does not.
pub(crate) fn wait_answering(fleet: &Fleet, interface: &str, wanted: bool) {
    let label = format!("interface=\"{interface}\"");
    let what = format!("answering on {interface}: {wanted}\n{}", fleet.logs());
    eventually(WITHIN, &what, || {
        let count = fleet
            .metric(0, "harbinger_speaker_answering", &label)
            .ok()?;
        ((count > 0.0) == wanted).then_some(())
    });
}

/// Whether `host` is in the solicited-node group of `address` on `interface`.
pub(crate) fn in_group(host: &Host, interface: &str, address: Ipv6Addr) -> bool {
    let hex: String = station::solicited_node(address)
        .octets()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let table = host.proc_net("igmp6").unwrap();
    table
        .lines()
        .any(|line| line.split_whitespace().any(|word| word == interface) && line.contains(&hex))
}

/// Everything that is written under a folder of the state, by file.
pub(crate) fn texts(folder: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return String::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            if path.is_dir() {
                texts(path)
            } else {
                std::fs::read_to_string(path).unwrap_or_default()
            }
        })
        .collect()
}

/// Waits until what the processes have written (statuses, events) has every one of these.
pub(crate) fn wait_told(fleet: &Fleet, wanted: &[&str]) {
    let what = format!(
        "{wanted:?} in {}\n{}",
        fleet.state().display(),
        fleet.logs()
    );
    eventually(WITHIN, &what, || {
        let told = texts(&fleet.state());
        wanted.iter().all(|part| told.contains(part)).then_some(())
    });
}
