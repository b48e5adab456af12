//! Defaults and bounds of what is said on the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::{Members, duration, namespace, peer};

#[test]
fn durations_have_units() {
    assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
    assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
    for bad in [
        "",
        "s",
        "2h",
        "-1s",
        "1.5s",
        "99999999999999999999s",
        "18446744073709551615m",
    ] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_peer_without_a_port_has_memberlists() {
    for (text, is) in [
        ("10.0.0.1", "10.0.0.1:7946"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("fd00::1", "[fd00::1]:7946"),
        ("[fd00::1]", "[fd00::1]:7946"),
        ("[fd00::1]:2", "[fd00::1]:2"),
    ] {
        assert_eq!(peer(text).unwrap().to_string(), is);
    }
    assert!(peer("node-a:7946").is_err());
}

#[test]
fn the_namespace_is_the_flags_then_the_pods_then_metallbs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("namespace");
    assert_eq!(namespace(None, &file), "metallb-system");
    fs::write(&file, "lb\n").unwrap();
    assert_eq!(namespace(None, &file), "lb");
    assert_eq!(namespace(Some(""), &file), "lb");
    assert_eq!(namespace(Some("x"), &file), "x");
}

#[test]
fn membership_is_off_when_metallbs_would_be() {
    let members = |address: Option<&str>, labels: Option<&str>| Members {
        ml_bindaddr: address.map(str::to_owned),
        ml_labels: labels.map(str::to_owned),
        ..Members::default()
    };
    assert_eq!(members(None, Some("a=b")).bind().unwrap(), None);
    assert_eq!(members(Some(""), Some("a=b")).bind().unwrap(), None);
    assert_eq!(members(Some("10.0.0.1"), Some("")).bind().unwrap(), None);
    let on = members(Some("10.0.0.1"), Some("app=metallb,component=speaker"));
    assert_eq!(on.bind().unwrap(), Some("10.0.0.1:7946".parse().unwrap()));
    assert_eq!(on.labels().unwrap()["component"], "speaker");
    assert!(members(Some("node"), Some("a=b")).bind().is_err());
    assert!(members(Some("10.0.0.1"), Some("a")).bind().is_err());
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "topsecret\n").unwrap();
    let members = Members {
        members_key_file: Some(path.clone()),
        ..Members::default()
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("{:#}", members.key().unwrap_err());
    assert!(
        text.contains("chmod 600") && !text.contains("topsecret"),
        "{text}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(members.key().unwrap().unwrap(), b"topsecret");
    fs::write(&path, "\n").unwrap();
    assert!(members.key().is_err());
    fs::remove_file(&path).unwrap();
    assert!(members.key().is_err());
}

#[test]
fn a_secret_that_is_not_mounted_yet_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let members = |path: &Path| Members {
        ml_secret_key_path: Some(path.to_owned()),
        ..Members::default()
    };
    assert_eq!(members(folder.path()).key().unwrap(), None);
    fs::write(folder.path().join("secretkey"), "abc").unwrap();
    assert_eq!(members(folder.path()).key().unwrap().unwrap(), b"abc");
}

#[test]
fn our_own_address_flag_wins_over_metallbs() {
    let members = Members {
        members_bind: Some("192.0.2.1:7000".parse().unwrap()),
        ml_bindaddr: Some("10.0.0.1".to_owned()),
        ml_labels: Some("a=b".to_owned()),
        ..Members::default()
    };
    assert_eq!(
        members.bind().unwrap(),
        Some("192.0.2.1:7000".parse().unwrap())
    );
}
