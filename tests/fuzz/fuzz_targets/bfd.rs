//! Any packets with any circumstances, at any times: the decoder and the endpoint never panic, what is sent is valid,
//! and deadlines move on.
#![no_main]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bfd::{Endpoint, Meta, Mode, Packet, Profile, SessionKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let address = |n: u8| IpAddr::from([192, 0, 2, n]);
    let mut endpoint = Endpoint::new(7, now);
    let set: BTreeMap<_, _> = [(1, Mode::SingleHop), (2, Mode::MultiHop)]
        .into_iter()
        .map(|(n, mode)| (SessionKey::new(address(n), mode), Profile::default()))
        .collect();
    endpoint.set_sessions(&set, now);
    let mut sent = 0usize;
    let mut rest = data;
    // Each step: flags, milliseconds, length, octets.
    while let [flags, pause, length, tail @ ..] = rest {
        let (octets, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        let mut octets = octets.to_vec();
        if flags & 1 != 0 && octets.len() >= 12 {
            // The right name for the session, which chance would not find.
            let known = endpoint.sessions().nth(usize::from(flags >> 7));
            if let Some((_, status)) = known {
                octets[8..12].copy_from_slice(&status.local_discriminator.get().to_be_bytes());
            }
        }
        let meta = Meta {
            remote: address(1 + (flags >> 1 & 1)),
            local: (flags & 4 != 0).then(|| address(9)),
            interface: u32::from(flags >> 3 & 1),
            vrf: None,
            mode: if flags & 16 == 0 { Mode::SingleHop } else { Mode::MultiHop },
            ttl: (flags & 32 == 0).then_some(255),
            received: now,
        };
        let _ = Packet::decode(&octets);
        endpoint.handle_datagram(&octets, &meta, now);
        now += Duration::from_millis(u64::from(*pause));
        for _ in 0..64 {
            while let Some(transmit) = endpoint.poll_transmit() {
                Packet::decode(&transmit.bytes).expect("what is sent is valid");
                sent += 1;
            }
            match endpoint.poll_timeout().filter(|due| *due <= now) {
                Some(_) => endpoint.handle_timeout(now),
                None => break,
            }
        }
        assert!(endpoint.poll_timeout().is_none_or(|due| due > now), "deadlines move on");
        while endpoint.poll_event().is_some() {}
        while endpoint.poll_action().is_some() {}
    }
    assert!(sent <= 4 + data.len() * 4, "sending is bounded by what comes in");
});
