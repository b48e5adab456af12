//! Octets and values, both ways, and every malformation.

use proptest::prelude::*;

use super::*;
use crate::testing::Raw;

fn packet() -> Packet {
    Packet {
        diagnostic: Diagnostic::NEIGHBOR_SIGNALED_DOWN,
        state: State::Up,
        poll: true,
        finished: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        multiplier: 3,
        my_discriminator: Discriminator::new(0x0102_0304).unwrap(),
        your_discriminator: Discriminator::new(0x0506_0708),
        desired_min_tx_us: 300_000,
        required_min_rx_us: 50_000,
        required_min_echo_rx_us: 0,
    }
}

// BFD-01
#[test]
fn octets_of_a_packet_are_those_of_the_rfc() {
    let golden = [
        0x23, 0xe0, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x04, 0x93, 0xe0, 0, 0, 0xc3, 0x50, 0, 0, 0,
        0,
    ];
    assert_eq!(packet().encode(), golden);
    assert_eq!(Packet::decode(&golden), Ok(packet()));
    for (number, state) in State::ALL.into_iter().enumerate() {
        let bytes = Packet { state, ..packet() }.encode();
        assert_eq!(usize::from(bytes[1] >> 6), number);
    }
}

/// Captured on a loopback interface, multihop: FRR 8.4.4 and BIRD 2.0.12 (Debian 12).
// BFD-01
#[test]
fn packets_of_other_implementations_are_read_and_built_alike() {
    let octets = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let frr = octets("2040031883e9a2c000000000000f4240000f42400000c350");
    let read = Packet::decode(&frr).unwrap();
    assert_eq!((read.state, read.multiplier), (State::Down, 3));
    assert_eq!(read.your_discriminator, None);
    assert_eq!(read.required_min_rx_us, 1_000_000, "slow while Down");
    assert_eq!(read.required_min_echo_rx_us, 50_000);
    assert_eq!(read.encode().as_slice(), frr);

    let bird = octets("208004180b8faac883e9a2c0000f4240000186a000000000");
    let read = Packet::decode(&bird).unwrap();
    assert_eq!((read.state, read.multiplier), (State::Init, 4));
    assert_eq!(read.my_discriminator.get(), 0x0b8f_aac8);
    assert_eq!(read.your_discriminator, Discriminator::new(0x83e9_a2c0));
    assert_eq!(read.desired_min_tx_us, 1_000_000);
    assert_eq!(read.required_min_rx_us, 100_000);
    assert_eq!(read.encode().as_slice(), bird);
}

// BFD-03
#[test]
fn the_first_failing_check_names_the_drop() {
    use DecodeError::*;
    let good = Raw::default();
    let cases = [
        (
            Raw {
                version: 0,
                length: 3,
                ..good
            }
            .bytes(),
            Version,
        ),
        (Raw { version: 2, ..good }.bytes(), Version),
        (
            Raw {
                version: 7,
                multiplier: 0,
                ..good
            }
            .bytes(),
            Version,
        ),
        (Raw { length: 0, ..good }.bytes(), LengthTooSmall),
        (
            Raw {
                length: 23,
                multiplier: 0,
                ..good
            }
            .bytes(),
            LengthTooSmall,
        ),
        (
            Raw {
                length: 24,
                flags: 4,
                ..good
            }
            .bytes(),
            LengthTooSmall,
        ),
        (
            Raw {
                length: 25,
                flags: 4,
                ..good
            }
            .bytes(),
            LengthTooSmall,
        ),
        (
            Raw {
                length: 26,
                flags: 4,
                ..good
            }
            .bytes(),
            LengthTooLarge,
        ),
        (Raw { length: 25, ..good }.bytes(), LengthTooLarge),
        (
            Raw {
                length: 255,
                multiplier: 0,
                ..good
            }
            .bytes(),
            LengthTooLarge,
        ),
        (
            Raw {
                multiplier: 0,
                flags: 1,
                ..good
            }
            .bytes(),
            Multiplier,
        ),
        (
            Raw {
                flags: 1,
                mine: 0,
                ..good
            }
            .bytes(),
            Multipoint,
        ),
        (Raw { mine: 0, ..good }.bytes(), MyDiscriminator),
        (Vec::new(), LengthTooLarge),
    ];
    for (number, (bytes, error)) in cases.into_iter().enumerate() {
        assert_eq!(Packet::decode(&bytes), Err(error), "case {number}");
    }
    for length in 1..24 {
        let cut = &good.bytes()[..length];
        assert_eq!(Packet::decode(cut), Err(LengthTooLarge), "{length} octets");
    }
}

// BFD-08
#[test]
fn octets_beyond_the_length_and_odd_diagnostics_are_no_error() {
    let mut bytes = Raw {
        diagnostic: 31,
        ..Raw::default()
    }
    .bytes();
    bytes.resize(65_507, 0xff);
    let read = Packet::decode(&bytes).unwrap();
    assert_eq!(read.diagnostic.number(), 31);
    assert_eq!(read.diagnostic.as_str(), "unknown diagnostic");
}

// BFD-05
#[test]
fn an_authenticated_packet_is_told_apart() {
    let mut bytes = Raw {
        flags: 4,
        length: 26,
        ..Raw::default()
    }
    .bytes();
    bytes.extend([1, 2]);
    assert!(Packet::decode(&bytes).unwrap().authenticated);
}

proptest! {
    // BFD-03
    #[test]
    fn any_octets_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(read) = Packet::decode(&bytes) {
            prop_assert!(read.multiplier > 0 && bytes.len() >= 24);
            let plain = Packet { authenticated: false, ..read };
            prop_assert_eq!(Packet::decode(&plain.encode()), Ok(plain));
        }
    }
}
