//! Frames of other implementations, through the public interface only.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use l2::{Config, Event, FrameMeta, Interface, MacAddr, Responder, TransmitKind};

const RESPONDER: MacAddr = MacAddr([0xa6, 0x67, 0x0d, 0xa5, 0x00, 0xae]);
const CLIENT: MacAddr = MacAddr([0x32, 0x49, 0x74, 0x0c, 0x94, 0x3d]);

fn octets(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| {
        (digit as char)
            .to_digit(16)
            .expect("captures are hexadecimal") as u8
    };
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be made otherwise; only differences matter"
)]
fn base() -> Instant {
    Instant::now()
}

// L2-03, L2-05, L2-06, L2-09, L2-65, L2-73
#[test]
fn answers_what_linux_sends_and_tells_what_it_claims() {
    let now = base();
    let vips: BTreeSet<IpAddr> = ["10.99.0.5", "fd00::5"]
        .map(|text| text.parse().unwrap())
        .into();
    let interface = Interface {
        index: 2,
        mac: RESPONDER,
        usable: true,
        ipv6: true,
    };
    let meta = FrameMeta {
        ifindex: 2,
        outgoing: false,
        vlan: None,
    };
    let mut seen = 0;
    for line in include_str!("captures/linux-6.18.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let mut responder = Responder::new(Config::default(), interface, 1, now);
        responder.set_addresses(&vips, &BTreeSet::new(), now);
        while responder.poll_transmit().is_some() {}
        let (expected, hex) = line.split_once(' ').unwrap();
        responder.handle_frame(&octets(hex), meta, now);
        let reply = responder.poll_transmit();
        let answered =
            matches!(&reply, Some(transmit) if matches!(transmit.kind, TransmitKind::Reply(_)));
        let claim = responder.poll_event();
        match expected {
            "answer" => assert!(answered && claim.is_none(), "{line}: {reply:?} {claim:?}"),
            "claim" => {
                // It is defended, not answered (L2-53).
                let defended = matches!(
                    &reply,
                    Some(transmit) if matches!(transmit.kind, TransmitKind::Gratuitous(_))
                );
                assert!(defended, "{line}: {reply:?}");
                assert!(
                    matches!(claim, Some(Event::ForeignClaim { mac: CLIENT, .. })),
                    "{line}: {claim:?}"
                );
            }
            other => panic!("unknown expectation {other}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
    assert_eq!(CLIENT.to_string(), "32:49:74:0c:94:3d");
}
