//! Each finding from a host that has it, and from one that has not.

use engine::facts::Interface;
use linux::probe::{Announcer, Port};

use super::{Finding, Host, Level, findings, host, text};

fn interface(index: u32, name: &str) -> (u32, Interface) {
    let interface = Interface {
        index,
        name: name.to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        ethernet: true,
        up: true,
        carrier: true,
        broadcast: true,
        ipv6: true,
        ..Interface::default()
    };
    (index, interface)
}

fn fit() -> Host {
    Host {
        kernel: "6.12.0".to_owned(),
        net_raw: true,
        ports: vec![(host::MEMBERS, 7946, Ok(Port::Free))],
        interfaces: [interface(2, "eth0")].into(),
        ..Host::default()
    }
}

fn bad(host: &Host) -> Vec<Finding> {
    findings(host)
        .into_iter()
        .filter(|finding| finding.level != Level::Ok)
        .collect()
}

#[test]
fn a_fit_host_has_nothing_to_mend() {
    assert_eq!(bad(&fit()), []);
    assert!(text(&findings(&fit())).contains("eth0 can carry addresses"));
}

#[test]
fn every_fault_is_told_with_its_mend() {
    type Fault = (fn(&mut Host), Level, &'static str, &'static str);
    let faults: &[Fault] = &[
        (
            |host| {
                host.net_raw = false;
                host.packet_socket = Some("EPERM".to_owned());
            },
            Level::Error,
            "CAP_NET_RAW is missing",
            "NET_RAW",
        ),
        (
            |host| host.packet_socket = Some("EAFNOSUPPORT".to_owned()),
            Level::Error,
            "EAFNOSUPPORT",
            "af_packet",
        ),
        (
            |host| host.ports = vec![(host::MEMBERS, 7946, Ok(Port::InUse))],
            Level::Error,
            "7946 (membership) is in use",
            "--ml-bindport",
        ),
        (
            |host| host.ports = vec![(host::METRICS, 80, Ok(Port::Denied))],
            Level::Error,
            "80 (metrics) may not be bound",
            "--port",
        ),
        (
            |host| host.interfaces.clear(),
            Level::Error,
            "no interface can carry an address",
            "ip link set",
        ),
        (
            |host| host.interfaces.values_mut().for_each(|i| i.rp_filter = 1),
            Level::Warning,
            "strict on eth0",
            "rp_filter=2",
        ),
        (
            |host| host.interfaces.values_mut().for_each(|i| i.ipv6 = false),
            Level::Warning,
            "off on eth0",
            "disable_ipv6=0",
        ),
        (
            |host| host.ipvs = true,
            Level::Error,
            "arp_ignore of eth0 is 0",
            "strictARP",
        ),
        (
            |host| host.announcers = vec![(9, "speaker".to_owned(), Announcer::MetallbSpeaker)],
            Level::Error,
            "process 9",
            "DaemonSet",
        ),
        (
            |host| host.forwarding_off = true,
            Level::Warning,
            "net.ipv4.ip_forward is 0",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
        (
            |host| host.dropping = vec!["ip filter FORWARD".to_owned()],
            Level::Warning,
            "ip filter FORWARD is drop",
            "NodePorts",
        ),
    ];
    for (fault, level, seen, mend) in faults {
        let mut host = fit();
        fault(&mut host);
        let found = bad(&host);
        assert_eq!(found.len(), 1, "{seen}: {found:?}");
        assert_eq!(found[0].level, *level, "{seen}");
        assert!(found[0].seen.contains(seen), "{found:?}");
        assert!(found[0].mend.as_ref().unwrap().contains(mend), "{found:?}");
    }
}

#[test]
fn strict_arp_makes_ipvs_harmless() {
    let mut host = fit();
    host.ipvs = true;
    host.interfaces.values_mut().for_each(|i| i.arp_ignore = 1);
    assert_eq!(bad(&host), []);
}

#[test]
fn this_host_can_be_looked_at() {
    let args = super::Args {
        output: crate::output::Format::Json,
        port: 0,
        ml_bindport: 0,
        health_probe_port: 0,
    };
    assert!(super::run(&args).is_ok());
}
