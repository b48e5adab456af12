//! What opens, what does not, and what is kept.

use super::*;

const SECRET: &[u8] = b"0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210";

fn keys(secrets: &[&[u8]]) -> Keys {
    Keys::new(secrets).expect("long enough")
}

fn boot(number: u64) -> BootId {
    BootId::new(number, [0; 10])
}

fn reason(seal: &mut Seal, datagram: &[u8]) -> Option<DropReason> {
    seal.open(datagram).err().map(|refused| refused.reason)
}

#[test]
fn opens_what_the_same_secret_sealed() {
    let (mut from, mut to) = (
        Seal::new(boot(1), keys(&[SECRET])),
        Seal::new(boot(2), keys(&[OTHER, SECRET])),
    );
    let datagram = from.seal(b"payload").expect("sealed");
    assert_eq!(
        to.open(&datagram),
        Ok(Opened {
            boot: boot(1),
            payload: b"payload".to_vec()
        })
    );
    assert_eq!(reason(&mut to, &datagram), Some(DropReason::Replayed));
    assert_eq!(reason(&mut from, &datagram), Some(DropReason::FromSelf));
}

#[test]
fn a_full_payload_makes_the_longest_datagram() {
    let (mut from, mut to) = (
        Seal::new(boot(1), keys(&[SECRET])),
        Seal::new(boot(2), keys(&[SECRET])),
    );
    let datagram = from.seal(&[7; MAX_PAYLOAD_BYTES]).expect("sealed");
    assert_eq!(datagram.len(), MAX_DATAGRAM_BYTES);
    assert!(to.open(&datagram).is_ok());
    assert_eq!(
        reason(&mut to, &[&datagram[..], &[0]].concat()),
        Some(DropReason::TooLong)
    );
}

#[test]
fn another_secret_is_foreign_and_leaves_nothing() {
    let (mut from, mut to) = (
        Seal::new(boot(1), keys(&[OTHER])),
        Seal::new(boot(2), keys(&[SECRET])),
    );
    let datagram = from.seal(b"payload").expect("sealed");
    assert_eq!(
        to.open(&datagram),
        Err(Refused {
            reason: DropReason::Unsealed,
            foreign_key: true
        })
    );
    assert_eq!(to.senders(), 0);
}

#[test]
fn a_forged_counter_moves_no_window() {
    let (mut from, mut to) = (
        Seal::new(boot(1), keys(&[SECRET])),
        Seal::new(boot(2), keys(&[SECRET])),
    );
    let first = from.seal(b"1").expect("sealed");
    assert!(to.open(&first).is_ok());
    let mut forged = from.seal(b"2").expect("sealed");
    forged[25..33].copy_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(reason(&mut to, &forged), Some(DropReason::Unsealed));
    let third = from.seal(b"3").expect("sealed");
    assert!(to.open(&third).is_ok());
}

#[test]
fn another_key_under_the_same_boot_goes_on_with_counter_and_window() {
    let (mut from, mut to) = (
        Seal::new(boot(1), keys(&[SECRET])),
        Seal::new(boot(2), keys(&[SECRET, OTHER])),
    );
    let first = from.seal(b"1").expect("sealed");
    from.set_keys(keys(&[OTHER, SECRET]));
    let second = from.seal(b"2").expect("sealed");
    assert!(to.open(&second).is_ok());
    assert!(to.open(&first).is_ok());
    assert_eq!(reason(&mut to, &second), Some(DropReason::Replayed));
    to.set_keys(keys(&[OTHER]));
    from.set_keys(keys(&[SECRET]));
    assert_eq!(
        reason(&mut to, &from.seal(b"3").expect("sealed")),
        Some(DropReason::Unsealed)
    );
    assert_eq!(to.senders(), 1);
}

#[test]
fn two_boots_and_two_secrets_never_share_a_key() {
    let sealed = |number, secret| {
        Seal::new(boot(number), keys(&[secret]))
            .seal(&[0; 64])
            .expect("sealed")[HEADER_BYTES..]
            .to_vec()
    };
    assert_ne!(sealed(1, SECRET), sealed(2, SECRET));
    assert_ne!(sealed(1, SECRET), sealed(1, OTHER));
    assert_eq!(sealed(1, SECRET), sealed(1, SECRET));
}

/// The bytes of two releases must agree: this is what the first one sends.
#[test]
fn the_seal_is_the_one_that_was_published() {
    let datagram = Seal::new(boot(1), keys(&[SECRET]))
        .seal(b"")
        .expect("sealed");
    let hexadecimal: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hexadecimal, PUBLISHED);
}

#[test]
fn keeps_windows_for_a_bounded_number_of_boots() {
    let mut to = Seal::new(boot(0), keys(&[SECRET]));
    for number in 1..=(MAX_SENDERS as u64 + 10) {
        let datagram = Seal::new(boot(number), keys(&[SECRET]))
            .seal(b"x")
            .expect("sealed");
        assert!(to.open(&datagram).is_ok());
    }
    assert_eq!(to.senders(), MAX_SENDERS);
}

#[test]
fn stops_rather_than_use_a_counter_twice() {
    let mut seal = Seal::new(boot(1), keys(&[SECRET]));
    seal.skip(u64::MAX - 1);
    assert!(seal.seal(b"last").is_some());
    assert_eq!(seal.seal(b"none"), None);
    assert_eq!(seal.seal(b"none"), None);
}

#[test]
fn shows_no_secret_when_printed() {
    assert_eq!(format!("{:?}", keys(&[SECRET])), "Keys(1)");
    assert!(
        !KeyError::TooShort { index: 0, bytes: 3 }
            .to_string()
            .contains("0123")
    );
}

#[test]
fn plain_is_plain_and_only_among_the_plain() {
    let (mut from, mut to) = (
        Seal::new(boot(1), Keys::none()),
        Seal::new(boot(2), Keys::none()),
    );
    let datagram = from.seal(b"payload").expect("written");
    assert_eq!(
        to.open(&datagram),
        Ok(Opened {
            boot: boot(1),
            payload: b"payload".to_vec()
        })
    );
    assert_eq!(to.senders(), 0);
    let mut sealed = Seal::new(boot(3), keys(&[SECRET]));
    assert_eq!(reason(&mut sealed, &datagram), Some(DropReason::NotAllowed));
    assert_eq!(
        reason(&mut to, &sealed.seal(b"x").expect("sealed")),
        Some(DropReason::NotAllowed)
    );
}

/// Computed apart, from RFC 5869 and RFC 8439: version, key id, boot, counter 1, tag over nothing.
const PUBLISHED: &str = concat!(
    "01",
    "823abf3732f5636f",
    "00000000000100000000000000000000",
    "0000000000000001",
    "433f7c8e69874e63e9bce345e17dfda2",
);
