//! What can be shown of packet sockets without a privilege: the reading of auxiliary data.

use super::*;

fn aux(status: u32, tci: u16) -> Vec<u8> {
    let mut bytes = vec![0u8; 20];
    bytes[..4].copy_from_slice(&status.to_ne_bytes());
    bytes[16..18].copy_from_slice(&tci.to_ne_bytes());
    bytes
}

#[test]
fn reads_the_vlan_id_only_when_the_kernel_says_it_is_valid() {
    let valid = libc::TP_STATUS_VLAN_VALID;
    let cases = [
        (aux(0, 0x0064), None),
        (aux(valid, 0x0064), Some(100)),
        // Priority 7, drop eligible, id 5.
        (aux(valid, 0xf005), Some(5)),
        // A priority tag.
        (aux(valid, 0xe000), Some(0)),
        (aux(valid, 0x0fff)[..17].to_vec(), None),
        (Vec::new(), None),
    ];
    for (bytes, expected) in cases {
        assert_eq!(vlan_id(&bytes), expected, "{bytes:?}");
    }
}
