//! The walk over messages, on good and bad bytes.

use super::*;

#[test]
fn walks_messages_and_stops_at_one_that_does_not_fit() {
    let mut bytes = message(16, 2, 7, &[1, 2, 3]);
    bytes.push(0);
    bytes.extend(message(3, 0, 7, &[0; 4]));
    let got: Vec<_> = Messages(&bytes).map(|(h, p)| (h.kind, p.len())).collect();
    assert_eq!(got, [(16, 3), (3, 4)]);
    for cut in 0..bytes.len() {
        let n = Messages(&bytes[..cut]).count();
        assert!(n <= 2, "{n} messages in {cut} bytes");
    }
    // A length below the header's own would never advance.
    let mut short = message(16, 0, 0, &[]);
    short[..4].copy_from_slice(&3u32.to_ne_bytes());
    assert_eq!(Messages(&short).count(), 0);
}

#[test]
fn a_dump_ends_with_done_error_or_goes_on() {
    let mut seen = Vec::new();
    let mut interrupted = false;
    let mut run = |bytes: &[u8], interrupted: &mut bool| {
        walk(bytes, 7, interrupted, &mut |kind, _: &[u8]| seen.push(kind))
    };
    let done = message(libc::NLMSG_DONE as u16, 0, 7, &[0; 4]);
    let failed = message(libc::NLMSG_ERROR as u16, 0, 7, &(-19i32).to_ne_bytes());
    let stale = message(libc::NLMSG_DONE as u16, 0, 6, &[0; 4]);
    let torn = message(16, libc::NLM_F_DUMP_INTR as u16, 7, &[]);
    assert_eq!(run(&done, &mut interrupted), Walked::Done);
    assert_eq!(run(&failed, &mut interrupted), Walked::Failed(19));
    assert_eq!(run(&stale, &mut interrupted), Walked::More);
    assert!(!interrupted);
    assert_eq!(run(&torn, &mut interrupted), Walked::More);
    assert!(interrupted);
    assert_eq!(seen, [16]);
}
