//! Membership from flags.

use std::net::{IpAddr, SocketAddr};

use engine::speaker::Discovery;
use linux::route::{Flags, Link, Snapshot};

use super::members::membership;
use crate::cli::args::Members;

fn link(index: u32, name: &str, loopback: bool, addresses: &[&str]) -> (u32, Link) {
    let link = Link {
        index,
        name: name.to_owned(),
        mac: None,
        link_type: 1,
        flags: Flags {
            up: true,
            loopback,
            ..Flags::default()
        },
        master: None,
        kind: None,
        master_kind: None,
        addresses: addresses
            .iter()
            .map(|text| (text.parse::<IpAddr>().unwrap(), 24))
            .collect(),
        mtu: 1500,
        ipv6_disabled: false,
    };
    (index, link)
}

fn host() -> Snapshot {
    [
        link(1, "lo", true, &["127.0.0.1", "::1"]),
        link(
            2,
            "eth0",
            false,
            &["169.254.0.1", "10.0.0.1", "fe80::1", "fd00::1"],
        ),
        link(3, "eth1", false, &["192.0.2.11"]),
    ]
    .into()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn without_flags_membership_is_off() {
    let found = membership(&Members::default(), "a", &host()).unwrap();
    assert_eq!((found.bind, found.config.is_none()), (None, true));
    assert_eq!(found.discovery, Discovery::Off);
}

#[test]
fn our_own_address_is_the_bound_one_else_the_listed_one_else_the_first_that_others_can_reach() {
    let own = |bind: &str, peers: &[&str]| {
        let flags = Members {
            members_bind: Some(address(bind)),
            members_peers: peers.iter().map(|peer| address(peer)).collect(),
            ..Members::default()
        };
        membership(&flags, "a", &host())
            .unwrap()
            .config
            .unwrap()
            .address
    };
    assert_eq!(
        own("10.0.0.1:1", &["192.0.2.11:7946"]),
        address("10.0.0.1:1")
    );
    assert_eq!(
        own("0.0.0.0:7946", &["192.0.2.12:7946", "192.0.2.11:7946"]),
        address("192.0.2.11:7946")
    );
    assert_eq!(
        own("0.0.0.0:7000", &["192.0.2.99:7946"]),
        address("10.0.0.1:7000")
    );
    assert_eq!(
        own("[::]:7946", &["[fd00::2]:7946"]),
        address("[fd00::1]:7946")
    );
}

#[test]
fn speakers_are_found_by_their_pods_or_by_a_list() {
    let mut flags = Members {
        ml_bindaddr: Some("10.0.0.1".to_owned()),
        ml_labels: Some("app=metallb,component=speaker".to_owned()),
        ..Members::default()
    };
    let found = membership(&flags, "a", &host()).unwrap();
    assert!(matches!(
        found.discovery,
        Discovery::Pods {
            port: 7946,
            ipv6: false,
            ..
        }
    ));
    flags.members_peers = vec![address("10.0.0.2:7946")];
    let found = membership(&flags, "a", &host()).unwrap();
    assert!(matches!(
        found.discovery,
        Discovery::Static { keys: None, .. }
    ));
    flags.members_peers.clear();
    flags.ml_labels = Some("app=(x)".to_owned());
    assert!(membership(&flags, "a", &host()).is_err());
}

#[test]
fn a_key_is_read_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "a-very-secret-key-of-32-bytes!!!").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let flags = Members {
        members_bind: Some(address("10.0.0.1:7946")),
        members_peers: vec![address("10.0.0.2:7946")],
        members_key_file: Some(path),
        ..Members::default()
    };
    let found = membership(&flags, "a", &host()).unwrap();
    assert!(
        matches!(&found.discovery, Discovery::Static { keys: Some(keys), .. } if keys.0.len() == 1)
    );
    assert!(!format!("{found:?}").contains("secret-key"), "{found:?}");
}

#[test]
fn every_boot_is_another_one() {
    let flags = Members {
        members_bind: Some(address("10.0.0.1:7946")),
        ..Members::default()
    };
    let boot = || {
        membership(&flags, "a", &host())
            .unwrap()
            .config
            .unwrap()
            .boot
    };
    assert_ne!(boot(), boot());
}
