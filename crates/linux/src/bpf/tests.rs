//! What needs no privilege: the encoding, and refusals.

use super::*;

#[test]
fn an_instruction_is_encoded_as_the_kernel_reads_it() {
    // r2 = *(u32 *)(r6 + 16), as `llvm-objdump` shows it: 61 62 10 00 00 00 00 00.
    let insn = Insn {
        code: 0x61,
        destination: 2,
        source: 6,
        offset: 16,
        immediate: 0,
    };
    let expected = [0x61, 0x62, 0x10, 0, 0, 0, 0, 0];
    if cfg!(target_endian = "little") {
        assert_eq!(encode(&insn, &[]).unwrap(), expected);
    }
}

#[test]
fn a_map_that_was_not_given_is_refused() {
    let insn = Insn {
        code: 0x18,
        destination: 1,
        source: 1,
        offset: 0,
        immediate: 0,
    };
    assert!(encode(&insn, &[]).is_err());
}

#[test]
fn a_lease_never_ends_later_than_asked() {
    let begun = Instant::now();
    let after = crate::sys::monotonic().unwrap();
    for lease in [Duration::ZERO, Duration::from_secs(1)] {
        let end = ktime(begun, lease).unwrap();
        // However long this thread was held up between two readings.
        assert!(u128::from(end) <= (after + lease).as_nanos());
        assert!(end > 0);
    }
}
