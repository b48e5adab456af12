//! foca's messages come back as they went, and a full buffer stays clean.

use foca::Codec as _;
use proptest::prelude::*;

use super::*;
use crate::identity::BootId;

fn identity(number: u8) -> Identity {
    Identity::new(
        format!("node-{number}").into(),
        SocketAddr::from(([10, 0, 0, number], 7946)),
        BootId::new(u64::from(number), [number; 10]),
        7,
    )
}

fn every_message() -> Vec<Message<Identity>> {
    let (other, probe_number) = (identity(3), 9);
    vec![
        Message::Ping(1),
        Message::Ack(2),
        Message::PingReq {
            target: other.clone(),
            probe_number,
        },
        Message::IndirectPing {
            origin: other.clone(),
            probe_number,
        },
        Message::IndirectAck {
            target: other.clone(),
            probe_number,
        },
        Message::ForwardedAck {
            origin: other,
            probe_number,
        },
        Message::Announce,
        Message::Feed,
        Message::Gossip,
        Message::Broadcast,
        Message::TurnUndead,
    ]
}

fn encoded(message: Message<Identity>, updates: &[Member<Identity>]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = Header {
        src: identity(1),
        src_incarnation: 4,
        dst: identity(2),
        message,
    };
    Codec
        .encode_header(&header, &mut out)
        .expect("a vector grows");
    out.extend_from_slice(&(updates.len() as u16).to_be_bytes());
    updates.iter().for_each(|update| {
        Codec
            .encode_member(update, &mut out)
            .expect("a vector grows")
    });
    out
}

#[test]
fn every_message_comes_back() {
    let updates = [State::Alive, State::Suspect, State::Down]
        .map(|state| Member::new(identity(5), 65_535, state));
    for message in every_message() {
        let bytes = encoded(message.clone(), &updates);
        let (header, read) = peek(&bytes).expect("what was written can be read");
        assert_eq!(
            (header.src, header.src_incarnation, header.dst),
            (identity(1), 4, identity(2))
        );
        assert_eq!((header.message, &read[..]), (message, &updates[..]));
        for length in 0..bytes.len() {
            assert!(
                peek(&bytes[..length]).is_none_or(|(_, updates)| updates.is_empty()),
                "cut to {length}"
            );
        }
    }
}

#[test]
fn foca_reads_header_and_updates_one_after_the_other() {
    let update = Member::new(identity(5), 3, State::Suspect);
    let bytes = encoded(Message::Gossip, std::slice::from_ref(&update));
    let mut left = &bytes[..];
    Codec.decode_header(&mut left).expect("a header");
    assert_eq!(left.get_u16(), 1);
    assert_eq!(Codec.decode_member(&mut left), Ok(update));
    assert!(left.is_empty());
    assert_eq!(Codec.decode_member(&mut left), Err(CodecError::Malformed));
}

#[test]
fn a_full_buffer_gets_no_half_member() {
    let update = Member::alive(identity(5));
    let mut whole = Vec::new();
    Codec
        .encode_member(&update, &mut whole)
        .expect("a vector grows");
    for room in 0..whole.len() {
        let mut buffer = Vec::new().limit(room);
        assert_eq!(
            Codec.encode_member(&update, &mut buffer),
            Err(CodecError::Full)
        );
        assert!(buffer.get_ref().is_empty());
    }
}

#[test]
fn refuses_tags_and_states_that_do_not_exist() {
    let bytes = encoded(Message::Feed, &[Member::alive(identity(5))]);
    let tag = bytes
        .iter()
        .rposition(|byte| *byte == FEED)
        .expect("written");
    for value in [0, 12, 255] {
        let mut bytes = bytes.clone();
        bytes[tag] = value;
        assert!(peek(&bytes).is_none(), "tag {value}");
        let mut bytes = encoded(Message::Feed, &[Member::alive(identity(5))]);
        *bytes.last_mut().expect("not empty") = value.max(3);
        assert!(peek(&bytes).is_none(), "state {value}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = peek(&bytes);
        let mut left = &bytes[..];
        let _ = Codec.decode_header(&mut left);
        let _ = Codec.decode_member(&mut left);
    }
}
