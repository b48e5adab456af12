//! Passwords and the layout of the kernel's key; connections are shown in the labs.

use super::*;

// BGP-07, BGP-08
#[test]
fn a_password_has_1_to_80_octets_and_is_never_shown() {
    assert!(Password::new("").is_none());
    assert!(Password::new("x".repeat(81)).is_none());
    assert!(Password::new("x".repeat(80)).is_some());
    let options = ConnectOptions {
        password: Password::new("hunter2"),
        ..ConnectOptions::to("192.0.2.1:179".parse().unwrap())
    };
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[test]
fn the_key_is_laid_out_as_the_kernel_reads_it() {
    assert_eq!(size_of::<Md5Signature>(), 216);
    let v4 = storage("192.0.2.1:179".parse().unwrap());
    assert_eq!(v4[..8], [2, 0, 0, 0, 192, 0, 2, 1]);
    let v6 = storage("[2001:db8::1]:179".parse().unwrap());
    assert_eq!(v6[..12], [10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8]);
}
