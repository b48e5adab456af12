//! Any octets of a connection, cut anywhere: the decoder never panics, ends at the first error, and what it reads of
//! routes can be written again.
#![no_main]

use bgp::{Decoder, Families, Message, Received, WireRules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [flags, size, stream @ ..] = data else { return };
    let flag = |bit: u8| flags >> bit & 1 != 0;
    let rules = WireRules {
        extended_in: flag(0),
        extended_out: flag(0),
        four_octet_as: flag(1),
        internal: flag(2),
        families: Families { ipv4: flag(3), ipv6: flag(4) },
        extended_next_hop: flag(5),
        enhanced_refresh: flag(6),
    };
    let mut decoder = Decoder::new(rules.extended_in);
    let mut failed = false;
    // The size of the chunks must not matter; a marker before each message is what chance would not find.
    let mut octets = Vec::with_capacity(stream.len() + 16);
    if flag(7) {
        octets.extend_from_slice(&[0xff; 16]);
    }
    octets.extend_from_slice(stream);
    for chunk in octets.chunks(usize::from(*size).max(1)) {
        let mut at = 0;
        loop {
            let (used, frame) = decoder.next_frame(&chunk[at..]);
            at += used;
            let Some(frame) = frame else { break };
            assert!(!failed, "nothing is read behind an error");
            match frame {
                Err(_) => failed = true,
                Ok(frame) => {
                    if let Ok(Received::Update(view)) = frame.read(&rules) {
                        assert_eq!(view.announced_prefixes().count(), view.announced as usize);
                        assert_eq!(view.withdrawn_prefixes().count(), view.withdrawn as usize);
                        for update in view.to_updates() {
                            // What came in a long header may not fit a short one: an error, never a panic.
                            let _ = Message::Update(update).encode(&rules, &mut Vec::new());
                        }
                    }
                }
            }
        }
        assert_eq!(at, chunk.len(), "all is taken");
    }
});
