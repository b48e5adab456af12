//! Facts that can be asked for without a privilege, and the recognition of other announcers.

use super::*;

#[test]
fn reads_the_release_of_any_kernel() {
    let cases = [
        ("6.18.44-fc-v595", Some((6, 18))),
        ("5.15.0-105-generic", Some((5, 15))),
        ("6.1", Some((6, 1))),
        ("6", None),
        ("", None),
    ];
    for (release, expected) in cases {
        let got = parse_release(release).map(|k| (k.major, k.minor));
        assert_eq!(got, expected, "{release}");
    }
    assert!(kernel().unwrap().major >= 4);
}

#[test]
fn a_held_port_is_in_use_and_a_foreign_address_is_none_of_ours() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp_at = tcp.local_addr().unwrap();
    let udp_at = udp.local_addr().unwrap();
    assert_eq!(port(Transport::Tcp, tcp_at).unwrap(), Port::InUse);
    assert_eq!(port(Transport::Udp, udp_at).unwrap(), Port::InUse);
    drop((tcp, udp));
    assert_eq!(port(Transport::Tcp, tcp_at).unwrap(), Port::Free);
    assert_eq!(port(Transport::Udp, udp_at).unwrap(), Port::Free);
    let foreign = "192.0.2.77:7".parse().unwrap();
    assert_eq!(port(Transport::Udp, foreign).unwrap(), Port::NoAddress);
}

#[test]
fn settings_are_read_or_absent() {
    assert_eq!(sysctl("net/no/such/setting").unwrap(), None);
    assert!(sysctl("kernel/osrelease").unwrap().is_some());
    let on_loopback = interface_sysctl("lo", "arp_ignore").unwrap();
    assert!(on_loopback.is_some());
    assert_eq!(interface_sysctl("no-such", "arp_ignore").unwrap(), None);
}

#[test]
fn capabilities_and_own_process_are_seen() {
    // Whatever they are, the kernel told.
    capabilities().unwrap();
    let me = std::process::id();
    let found = processes(|p| p.pid == me).unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].program.is_empty());
}

#[test]
fn recognises_other_announcers_by_program_and_flags() {
    let cases: [(&[&str], Option<Announcer>); 6] = [
        (&["/kube-vip", "manager"], Some(Announcer::KubeVip)),
        (&["/usr/sbin/keepalived", "-n"], Some(Announcer::Keepalived)),
        (
            &["/speaker", "--port=7472", "--log-level=info"],
            Some(Announcer::MetallbSpeaker),
        ),
        (&["speaker", "--volume=11"], None),
        (&["/usr/bin/harbinger", "speaker"], None),
        (&[""], None),
    ];
    for (line, expected) in cases {
        let process = Process {
            pid: 1,
            name: String::new(),
            program: line[0].to_owned(),
            arguments: line[1..].iter().map(|a| (*a).to_owned()).collect(),
        };
        assert_eq!(announcer(&process), expected, "{line:?}");
    }
}
