//! What FRR, BIRD and GoBGP really sent, read by our decoder and compared with what they were told to send.
//!
//! `UPDATE=1` rewrites the words below each message.

use std::path::Path;

use bgp::message::capability;
use bgp::{AfiSafi, AsPath, Decoder, Families, NextHop, Open, Received, Update, WireRules};

/// The speaker that recorded them offered everything of ours but the IPv6 next hop.
fn rules() -> WireRules {
    WireRules {
        extended_in: true,
        four_octet_as: true,
        families: Families::BOTH,
        enhanced_refresh: true,
        ..WireRules::default()
    }
}

fn open(open: &Open) -> String {
    let all = &open.capabilities;
    let names: Vec<&str> = all
        .codes()
        .into_iter()
        .map(|code| capability::name(code).unwrap_or("unknown"))
        .collect();
    let families: Vec<String> = all.multiprotocol.iter().map(AfiSafi::to_string).collect();
    let restart = all.graceful_restart.as_ref().map(|restart| {
        let kept: Vec<String> = restart
            .families
            .iter()
            .map(|(family, kept)| format!("{family} {kept}"))
            .collect();
        let [r, n] = [restart.restarting, restart.notification];
        format!(
            "restart {} s R {r} N {n} {kept:?}",
            restart.restart_time_secs
        )
    });
    let fqdn = all.fqdn.as_ref().map(ToString::to_string);
    let [asn, hold, id] = [
        open.asn().to_string(),
        open.hold_time_secs.to_string(),
        open.router_id.to_string(),
    ];
    format!(
        "open AS {asn} hold {hold} id {id} {families:?} {names:?} {restart:?} {fqdn:?} ignored {}",
        all.ignored
    )
}

fn update(update: &Update) -> String {
    let list = |prefixes: &[ipnetwork::IpNetwork]| {
        prefixes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    match update {
        Update::EndOfRib(family) => format!("end of {family}"),
        Update::Withdrawn(prefixes) => format!("withdraw {}", list(prefixes)),
        Update::Announced {
            prefixes,
            next_hop,
            attributes,
        } => {
            let hop = match next_hop {
                NextHop::V4(hop) => hop.to_string(),
                NextHop::V6 { global, link_local } => format!("{global} {link_local:?}"),
            };
            let mut words = format!(
                "announce {} via {hop} {:?}",
                list(prefixes),
                attributes.origin
            );
            if attributes.as_path != AsPath::default() {
                words += &format!(" path {}", attributes.as_path);
            }
            words += &attributes
                .med
                .map(|med| format!(" med {med}"))
                .unwrap_or_default();
            if attributes.atomic_aggregate {
                words += " atomic";
            }
            words += &attributes
                .aggregator
                .map(|a| format!(" aggregator {} {}", a.asn, a.router_id))
                .unwrap_or_default();
            for community in &attributes.communities {
                words += &format!(" {community:#}");
            }
            for community in &attributes.large_communities {
                words += &format!(" large:{community}");
            }
            for community in &attributes.extended_communities {
                words += &format!(" {community}");
            }
            words
        }
    }
}

fn words(message: &Received<'_>) -> String {
    match message {
        Received::Open(message) => open(message),
        Received::Keepalive => "keepalive".to_owned(),
        Received::Notification(notification) => format!("notification {notification}"),
        Received::RouteRefresh(refresh) => format!("refresh {} {:?}", refresh.family, refresh.kind),
        Received::Update(view) => {
            assert_eq!((view.treated_as_withdraw, view.discarded), (None, None));
            view.to_updates()
                .iter()
                .map(update)
                .collect::<Vec<_>>()
                .join("; ")
        }
    }
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name);
    let file = std::fs::read_to_string(&path).expect("the capture");
    let mut decoder = Decoder::new(true);
    let mut seen = String::new();
    for line in file.lines().filter(|line| !line.starts_with("  ")) {
        seen += &format!("{line}\n");
        if line.starts_with('#') {
            continue;
        }
        let message = octets(line);
        let (used, frame) = decoder.next_frame(&message);
        assert_eq!(used, message.len());
        let frame = frame.expect("a whole message").expect("a sound header");
        let message = frame.read(&rules()).expect("a real router is understood");
        seen += &format!("  {}\n", words(&message));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &seen).expect("the capture is written");
    }
    assert_eq!(seen, file, "UPDATE=1 rewrites it");
}

#[test]
fn frr_is_understood() {
    check("frr.txt");
}

#[test]
fn bird_is_understood() {
    check("bird.txt");
}

#[test]
fn gobgp_is_understood() {
    check("gobgp.txt");
}
