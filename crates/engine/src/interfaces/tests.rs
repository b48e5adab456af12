//! The table of usability, the exclusion list, and what is complained about.

use super::*;
use crate::name::NamespacedName;
use crate::problem::reason;
use proptest::prelude::*;
use std::net::IpAddr;

fn plain(name: &str) -> Interface {
    Interface {
        index: 2,
        name: name.into(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        ethernet: true,
        up: true,
        carrier: true,
        broadcast: true,
        ipv6: true,
        arp_ignore: 1,
        ..Interface::default()
    }
}

fn enslaved(kind: &str) -> Interface {
    Interface {
        master: Some((9, kind.into())),
        ..plain("eth0")
    }
}

// L2-41, L2-50
#[test]
fn usable_is_what_can_answer_by_itself() {
    let table: Vec<(Interface, Result<(), Unusable>)> = vec![
        (plain("eth0"), Ok(())),
        (
            Interface {
                up: false,
                ..plain("eth0")
            },
            Err(Unusable::Down),
        ),
        (
            Interface {
                carrier: false,
                ..plain("eth0")
            },
            Err(Unusable::NoCarrier),
        ),
        (
            Interface {
                broadcast: false,
                ..plain("eth0")
            },
            Err(Unusable::NoBroadcast),
        ),
        (
            Interface {
                ethernet: false,
                ..plain("eth0")
            },
            Err(Unusable::NotEthernet),
        ),
        (
            Interface {
                mac: None,
                ..plain("eth0")
            },
            Err(Unusable::NotEthernet),
        ),
        (
            Interface {
                mac: Some([0; 6]),
                ..plain("eth0")
            },
            Err(Unusable::NotEthernet),
        ),
        (
            Interface {
                loopback: true,
                ..plain("eth0")
            },
            Err(Unusable::Loopback),
        ),
        (
            Interface {
                point_to_point: true,
                ..plain("eth0")
            },
            Err(Unusable::PointToPoint),
        ),
        (
            Interface {
                no_arp: true,
                ..plain("eth0")
            },
            Err(Unusable::NoArp),
        ),
        (
            enslaved("bridge"),
            Err(Unusable::Enslaved {
                kind: "bridge".into(),
            }),
        ),
        (
            enslaved("bond"),
            Err(Unusable::Enslaved {
                kind: "bond".into(),
            }),
        ),
        (
            enslaved("team"),
            Err(Unusable::Enslaved {
                kind: "team".into(),
            }),
        ),
        (
            enslaved("openvswitch"),
            Err(Unusable::Enslaved {
                kind: "openvswitch".into(),
            }),
        ),
        (enslaved("vrf"), Ok(())),
        (plain("br0"), Ok(())),
        (plain("veth12"), Err(Unusable::Excluded)),
        (
            Interface {
                addresses: Vec::new(),
                ..plain("eth1")
            },
            Ok(()),
        ),
    ];
    let exclusion = Exclusion::default();
    for (interface, expected) in table {
        assert_eq!(usability(&interface, &exclusion), expected, "{interface:?}");
    }
}

// L2-42
#[test]
fn the_default_list_is_the_known_one() {
    let exclusion = Exclusion::default();
    assert_eq!(exclusion.patterns().len(), 14);
    for name in [
        "docker0",
        "cbr0",
        "dummy1",
        "virbr0",
        "lxcbr0",
        "vethab12",
        "lo",
        "cali0123",
        "tunl0",
        "flannel.1",
        "kube-ipvs0",
        "cni0",
        "nodelocaldns",
        "lxc12",
    ] {
        assert!(exclusion.matches(name), "{name}");
    }
    for name in [
        "eth0",
        "lo1",
        "enp0s3",
        "bond0",
        "br-docker0",
        "xveth",
        "wlan0",
    ] {
        assert!(!exclusion.matches(name), "{name}");
    }
}

// L2-42
#[test]
fn patterns_are_joined_unanchored_and_checked() {
    let exclusion = Exclusion::parse(&["th1", "^br"]).unwrap();
    assert!(exclusion.matches("eth1") && exclusion.matches("eth10") && exclusion.matches("br0"));
    assert!(!exclusion.matches("eth0") && !exclusion.matches("xbr"));
    assert!(!Exclusion::none().matches("eth0"));
    for bad in ["(", "a{1000}{1000}{1000}", "[z-a]", "*"] {
        let error = Exclusion::parse(&["ok", bad]).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
    }
    let many = vec!["a"; PATTERNS_MAX + 1];
    assert!(Exclusion::parse(&many).is_err());
    assert!(Exclusion::parse(&["a".repeat(PATTERN_BYTES_MAX + 1)]).is_err());
}

proptest! {
    // L2-42
    #[test]
    fn no_list_panics_or_hangs(
        patterns in proptest::collection::vec(".{0,40}", 0..8),
        name in ".{0,15}",
    ) {
        if let Ok(exclusion) = Exclusion::parse(&patterns) {
            exclusion.matches(&name);
        }
    }
}

// L2-43
#[test]
fn selection_is_by_exact_name_among_the_usable() {
    let mut interfaces = BTreeMap::new();
    for (index, name) in [
        (1, "lo"),
        (2, "eth0"),
        (3, "eth1"),
        (4, "veth0"),
        (5, "eth0.5"),
    ] {
        interfaces.insert(
            index,
            Interface {
                index,
                ..plain(name)
            },
        );
    }
    interfaces.get_mut(&3).unwrap().carrier = false;
    let exclusion = Exclusion::default();
    let pick =
        |set: &InterfaceSet| -> Vec<u32> { selected(&interfaces, &exclusion, set).collect() };
    assert_eq!(pick(&InterfaceSet::All), [2, 5]);
    let named = |names: &[&str]| InterfaceSet::Named(names.iter().map(|n| (*n).into()).collect());
    assert_eq!(pick(&named(&["eth0", "eth1", "veth0", "nosuch"])), [2]);
    assert_eq!(named(&["a"]).union(&named(&["b"])), named(&["a", "b"]));
    assert_eq!(named(&["a"]).union(&InterfaceSet::All), InterfaceSet::All);
    assert_eq!(usable(&interfaces, &exclusion).len(), 2);
}

fn found(interfaces: Vec<Interface>, address: &str, on: &[u32]) -> Vec<&'static str> {
    let interfaces: BTreeMap<u32, Interface> =
        interfaces.into_iter().map(|i| (i.index, i)).collect();
    let address: IpAddr = address.parse().unwrap();
    let service = NamespacedName::new("default", "web");
    let addresses = BTreeMap::from([(address, (service, on.to_vec()))]);
    problems("n1", &interfaces, &Exclusion::default(), &addresses)
        .iter()
        .map(|problem| problem.reason)
        .collect()
}

fn with_address(interface: Interface, cidr: &str) -> Interface {
    Interface {
        addresses: vec![cidr.parse().unwrap()],
        ..interface
    }
}

fn ipvs(cidr: &str) -> Interface {
    with_address(
        Interface {
            index: 7,
            no_arp: true,
            ..plain("kube-ipvs0")
        },
        cidr,
    )
}

// L2-48
#[test]
fn an_address_on_an_interface_is_told() {
    let on = with_address(plain("eth0"), "192.0.2.1/24");
    assert_eq!(
        found(vec![on], "192.0.2.1", &[]),
        [reason::VIP_ON_INTERFACE]
    );
    let other = with_address(plain("eth0"), "192.0.2.9/24");
    assert!(found(vec![other], "192.0.2.1", &[2]).is_empty());
    let v6 = with_address(plain("eth0"), "2001:db8::1/64");
    assert_eq!(
        found(vec![v6], "2001:db8::1", &[]),
        [reason::VIP_ON_INTERFACE]
    );
}

// L2-48
#[test]
fn ipvs_is_well_with_strict_arp_only() {
    let strict = vec![plain("eth0"), ipvs("192.0.2.1/32")];
    assert!(found(strict, "192.0.2.1", &[]).is_empty());
    let open = vec![
        Interface {
            arp_ignore: 0,
            ..plain("eth0")
        },
        ipvs("192.0.2.1/32"),
    ];
    assert_eq!(found(open, "192.0.2.1", &[]), [reason::STRICT_ARP_OFF]);
    let only_excluded_open = vec![
        plain("eth0"),
        Interface {
            index: 8,
            arp_ignore: 0,
            ..plain("veth0")
        },
        ipvs("192.0.2.1/32"),
    ];
    assert!(found(only_excluded_open, "192.0.2.1", &[]).is_empty());
}

// L2-49
#[test]
fn strict_reverse_path_outside_the_subnet_is_a_note() {
    let strict = |cidr| {
        with_address(
            Interface {
                rp_filter: 1,
                ..plain("eth0")
            },
            cidr,
        )
    };
    assert_eq!(
        found(vec![strict("198.51.100.2/24")], "192.0.2.1", &[2]),
        [reason::STRICT_REVERSE_PATH]
    );
    assert!(found(vec![strict("192.0.2.9/24")], "192.0.2.1", &[2]).is_empty());
    assert!(found(vec![strict("198.51.100.2/24")], "192.0.2.1", &[]).is_empty());
    let loose = with_address(
        Interface {
            rp_filter: 2,
            ..plain("eth0")
        },
        "198.51.100.2/24",
    );
    assert!(found(vec![loose], "192.0.2.1", &[2]).is_empty());
}

// L2-63
#[test]
fn ipv6_off_is_a_note() {
    let off = Interface {
        ipv6: false,
        ..plain("eth0")
    };
    assert_eq!(
        found(vec![off.clone()], "2001:db8::1", &[2]),
        [reason::IPV6_DISABLED]
    );
    assert!(found(vec![off], "192.0.2.1", &[2]).is_empty());
}
