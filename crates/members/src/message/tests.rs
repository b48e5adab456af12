//! Every message comes back as it went; what is cut short or goes on too long does not come at all.

use proptest::prelude::*;

use super::*;

fn identities() -> impl Strategy<Value = Identity> {
    let address = (
        any::<bool>(),
        any::<[u8; 4]>(),
        any::<[u8; 16]>(),
        any::<u16>(),
    );
    (
        "[a-z0-9.-]{1,253}",
        address,
        any::<[u8; 16]>(),
        any::<u64>(),
    )
        .prop_map(|(name, (four, v4, v6, port), boot, rank)| {
            let ip = if four {
                IpAddr::from(v4)
            } else {
                IpAddr::from(v6)
            };
            Identity::new(
                name.as_str().into(),
                SocketAddr::new(ip, port),
                BootId::from_bytes(boot),
                rank,
            )
        })
}

pub(crate) fn messages() -> impl Strategy<Value = Message> {
    let boots = || any::<[u8; 16]>().prop_map(BootId::from_bytes);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..1_199).prop_map(Message::Foca),
        identities().prop_map(|sender| Message::Hello { sender }),
        (boots(), identities()).prop_map(|(to, sender)| Message::Welcome { to, sender }),
        identities().prop_map(|sender| Message::Leave { sender }),
        (boots(), identities(), any::<bool>()).prop_map(|(to, holder, alive)| Message::Taken {
            to,
            holder,
            alive
        }),
        (
            boots(),
            any::<u64>(),
            prop::collection::vec(any::<u8>(), 0..=MAX_RECORD_BYTES)
        )
            .prop_map(|(boot, sequence, bytes)| Message::Record {
                boot,
                sequence,
                bytes
            }),
        prop::collection::vec((boots(), any::<u64>()), 0..=MAX_SYNC_ENTRIES)
            .prop_map(Message::Sync),
        prop::collection::vec(boots(), 0..16).prop_map(Message::Want),
    ]
}

proptest! {
    #[test]
    fn comes_back_as_it_went_and_fits(message in messages()) {
        let bytes = message.encode();
        prop_assert!(bytes.len() <= MAX_PAYLOAD_BYTES);
        let read = Message::decode(&bytes);
        // Identities are equal by boot and rank alone: compare what is printed.
        prop_assert_eq!(format!("{read:?}"), format!("{:?}", Some(message)));
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1_300)) {
        if let Some(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_call_cut_short_or_too_long_is_refused(sender in identities(), extra in 1_usize..9) {
        let whole = Message::Hello { sender }.encode();
        for length in 0..whole.len() {
            prop_assert_eq!(Message::decode(&whole[..length]), None);
        }
        prop_assert_eq!(Message::decode(&[&whole[..], &vec![0; extra]].concat()), None);
    }
}

#[test]
fn refuses_what_cannot_be() {
    let identity = Identity::new(
        "n".into(),
        SocketAddr::from(([10, 0, 0, 1], 1)),
        BootId::new(1, [0; 10]),
        1,
    );
    let whole = Message::Hello { sender: identity }.encode();
    let family = 1 + 16 + 8;
    let length = whole.len() - 2;
    // (place, value): an address family of 5; an empty name; a name that is no UTF-8; kinds that do not exist.
    for (place, value) in [
        (family, 5),
        (length, 0),
        (length + 1, 0xff),
        (0, 0),
        (0, 9),
        (0, 16),
        (0, 255),
    ] {
        let mut bytes = whole.clone();
        bytes[place] = value;
        assert_eq!(Message::decode(&bytes), None, "{place} {value}");
    }
    let long_name = [&whole[..length], &[254], &[b'x'; 254][..]].concat();
    assert_eq!(Message::decode(&long_name), None);
    let long_record = [&[KIND_RECORD][..], &[0; 24], &[0; MAX_RECORD_BYTES + 1]].concat();
    assert_eq!(Message::decode(&long_record), None);
    assert_eq!(Message::decode(&[]), None);
}
