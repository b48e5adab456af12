//! Any datagram, sealed or not: the membership never panics and keeps within its bounds.
#![no_main]

use std::net::SocketAddr;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use members::{BootId, Config, Keys, Membership, Sealing};

fuzz_target!(|data: &[u8]| {
    let [sealed, rest @ ..] = data else { return };
    let now = Instant::now();
    let at = |n: u8| SocketAddr::from(([192, 0, 2, n], 7946));
    let mut config = Config::new("a", at(1), BootId::from_bytes([1; 16]));
    let keys = if sealed & 1 == 0 {
        // Unsealed, so that what is inside the seal is reached.
        config.sealing = Sealing::None;
        Keys::none()
    } else {
        Keys::new([b"sixteen bytes at least".as_slice()]).expect("a good key")
    };
    let mut machine = Membership::new(config, keys, 7, now).expect("a good configuration");
    // Several datagrams, each with its length before it.
    let mut rest = rest;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (datagram, next) = tail.split_at(length);
        machine.handle_datagram(at(2), datagram, now);
        rest = next;
    }
    while machine.poll_transmit().is_some() {}
    while machine.poll_event().is_some() {}
});
