//! Any frame, any metadata: the responder never panics, answers at most once, and its frames are whole.
#![no_main]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [flags, frame @ ..] = data else { return };
    let now = Instant::now();
    let interface = l2::Interface {
        index: 2,
        mac: l2::MacAddr([2, 0, 0, 0, 0, 1]),
        usable: true,
        ipv6: true,
    };
    let mut responder = l2::Responder::new(l2::Config::default(), interface, 7, now);
    let here: BTreeSet<IpAddr> = ["192.0.2.1", "2001:db8::1"]
        .iter()
        .filter_map(|a| a.parse().ok())
        .collect();
    responder.set_addresses(&here, &BTreeSet::new(), now);
    while responder.poll_transmit().is_some() {}
    let meta = l2::FrameMeta {
        ifindex: if flags & 1 == 0 { 2 } else { 3 },
        outgoing: flags & 2 != 0,
        vlan: (flags & 4 != 0).then_some(u16::from(flags >> 3)),
    };
    responder.handle_frame(frame, meta, now);
    let mut answers = 0;
    while let Some(transmit) = responder.poll_transmit() {
        assert!(transmit.bytes.len() >= 60, "padded");
        answers += 1;
    }
    assert!(answers <= 3, "one question, {answers} answers");
});
