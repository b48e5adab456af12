//! The tables of `harbinger bgp`.

use super::*;
use crate::admin::bgp::{LastError, Route};

fn session() -> Session {
    Session {
        peer: "tor".into(),
        neighbor: "192.0.2.1:179".into(),
        state: "Established".into(),
        uptime_seconds: Some(3_661),
        local_asn: 64512,
        peer_asn: Some(64513),
        messages_received: 7,
        messages_sent: 9,
        prefixes_sent: 12,
        bfd: Some("Up".into()),
        ..Session::default()
    }
}

fn all(sessions: Vec<Session>) -> Sessions {
    Sessions {
        api_version: crate::admin::bgp::VERSION.into(),
        sessions,
    }
}

#[test]
fn a_summary_has_a_routers_columns() {
    let text = summary(&all(vec![session()]));
    let mut lines = text.lines();
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(
        words(lines.next().unwrap()),
        [
            "PEER", "NEIGHBOR", "AS", "MSG-RCVD", "MSG-SENT", "UP/DOWN", "STATE", "PFX-SENT", "BFD"
        ]
    );
    assert_eq!(
        words(lines.next().unwrap()),
        [
            "tor",
            "192.0.2.1:179",
            "64513",
            "7",
            "9",
            "01:01:01",
            "Established",
            "12",
            "Up"
        ]
    );
}

#[test]
fn trouble_is_told_with_the_bad_message_in_hex() {
    let broken = Session {
        uptime_seconds: None,
        state: "Idle".into(),
        obstacle: Some("NeighborUnknown".into()),
        last_error: Some(LastError {
            reason: "peer's prefix limit: it allows 3 of ipv4-unicast, we announced 12".into(),
            seconds_ago: 90_061,
            times: 2,
            bad_message: Some("ffff0013".into()),
        }),
        ..session()
    };
    let text = summary(&all(vec![broken]));
    assert!(text.contains("tor: not tried: NeighborUnknown"), "{text}");
    assert!(
        text.contains("tor: 1d01h01m ago: peer's prefix limit: it allows 3"),
        "{text}"
    );
    assert!(text.contains("tor: last bad message: ffff0013"), "{text}");
}

#[test]
fn routes_are_listed_with_what_was_said_of_them() {
    let telling = Session {
        routes: Some(vec![Route {
            prefix: "203.0.113.0/32".into(),
            communities: vec!["64512:7".into()],
            services: vec!["default/web".into()],
            ..Route::default()
        }]),
        ..session()
    };
    let text = told(&all(vec![telling]));
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    let expected = [
        "tor",
        "203.0.113.0/32",
        "self",
        "-",
        "-",
        "0",
        "64512:7",
        "default/web",
    ];
    assert_eq!(row, expected);
    assert_eq!(told(&all(Vec::new())), "nothing was told to any router\n");
}

#[test]
fn what_is_no_name_never_gets_into_a_path() {
    for bad in ["", "a b", "a&soft=true", "a/b", "%61"] {
        assert!(name(bad).is_err(), "{bad:?}");
    }
    assert_eq!(name("tor-1.rack").unwrap(), "tor-1.rack");
}
