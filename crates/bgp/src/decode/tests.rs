//! Framing: what is judged from a header, in which order, and with which answer.

use super::*;
use crate::message::{Capabilities, Cease, Families, FsmError, OpenError, encode_keepalive};

/// A message of any type and length field, with `body` behind the header.
fn raw(kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend_from_slice(&length.to_be_bytes());
    octets.push(kind);
    octets.extend_from_slice(body);
    octets
}

/// Kinds of all messages in `chunks`, and the error that ended them.
fn kinds(extended: bool, chunks: &[&[u8]]) -> (Vec<MessageKind>, Option<DecodeError>) {
    let mut decoder = Decoder::new(extended);
    let (mut kinds, mut error) = (Vec::new(), None);
    for chunk in chunks {
        let mut at = 0;
        loop {
            let (used, frame) = decoder.next_frame(&chunk[at..]);
            at += used;
            match frame {
                None => break,
                Some(Ok(frame)) => kinds.push(frame.kind),
                Some(Err(bad)) => assert!(error.replace(bad).is_none(), "one error"),
            }
        }
        assert_eq!(at, chunk.len(), "all input is taken");
    }
    (kinds, error)
}

/// The answer to a header: code, subcode, data; `None` for a silent close.
fn answer(extended: bool, octets: &[u8]) -> Option<(u8, u8, Vec<u8>)> {
    let (kinds, error) = kinds(extended, &[octets]);
    assert!(kinds.is_empty(), "{kinds:?}");
    let notification = error.expect("an error").notification?;
    let (code, subcode) = notification.error.octets();
    Some((code, subcode, notification.data))
}

// BGP-20
#[test]
fn a_marker_that_is_not_all_ones_is_1_1_without_data() {
    for at in 0..16 {
        let mut octets = raw(kind::KEEPALIVE, 19, &[]);
        octets[at] = 0xfe;
        assert_eq!(answer(false, &octets), Some((1, 1, vec![])), "octet {at}");
        octets[18] = kind::NOTIFICATION;
        assert_eq!(
            answer(false, &octets),
            Some((1, 1, vec![])),
            "the type cannot be trusted"
        );
    }
}

// BGP-21 BGP-50
#[test]
fn a_length_outside_the_limits_is_1_2_with_the_length() {
    for (extended, kind, length) in [
        (false, 1, 18),
        (false, 2, 0),
        (false, 1, 4_097),
        (true, 1, 4_097),
        (false, 2, 4_097),
        (false, 5, 65_535),
        (false, 200, 4_097),
        (true, 4, 4_097),
    ] {
        let data = u16::to_be_bytes(length).to_vec();
        // The header alone is enough: nothing of the body is waited for.
        assert_eq!(
            answer(extended, &raw(kind, length, &[])),
            Some((1, 2, data)),
            "{kind} {length}"
        );
    }
    for (kind, length) in [
        (kind::UPDATE, 65_535_u16),
        (kind::ROUTE_REFRESH, 4_097),
        (kind::NOTIFICATION, 65_535),
    ] {
        let octets = raw(kind, length, &vec![0; usize::from(length) - HEADER_LEN]);
        let (kinds, error) = kinds(true, &[&octets]);
        assert_eq!(
            (kinds.len(), error),
            (1, None),
            "{kind} {length} with extended messages"
        );
    }
}

// BGP-22
#[test]
fn each_kind_has_its_least_length_and_a_keepalive_exactly_one() {
    for (kind, shortest) in [
        (kind::OPEN, 29_u16),
        (kind::UPDATE, 23),
        (kind::ROUTE_REFRESH, 23),
        (kind::KEEPALIVE, 19),
    ] {
        if shortest > 19 {
            let short = shortest - 1;
            let octets = raw(kind, short, &vec![0; usize::from(short) - 19]);
            assert_eq!(
                answer(false, &octets),
                Some((1, 2, short.to_be_bytes().to_vec())),
                "{kind}"
            );
        }
        let octets = raw(kind, shortest, &vec![0; usize::from(shortest) - 19]);
        assert_eq!(kinds(false, &[&octets]).0.len(), 1, "{kind}");
    }
    assert_eq!(
        answer(false, &raw(kind::KEEPALIVE, 20, &[0])),
        Some((1, 2, vec![0, 20]))
    );
    for length in [0, 18, 19, 20, 4_097] {
        assert_eq!(
            answer(false, &raw(kind::NOTIFICATION, length, &[6])),
            None,
            "{length}: a silent close"
        );
    }
}

// BGP-23
#[test]
fn an_unknown_type_is_1_3_whatever_its_length() {
    for kind in [0, 6, 7, 128, 200, 255] {
        assert_eq!(answer(false, &raw(kind, 19, &[])), Some((1, 3, vec![kind])));
        assert_eq!(answer(true, &raw(kind, 19, &[])), Some((1, 3, vec![kind])));
    }
}

#[test]
fn nothing_is_read_behind_an_error() {
    let mut octets = raw(9, 19, &[]);
    encode_keepalive(&mut octets);
    let (kinds, error) = kinds(false, &[&octets, &octets]);
    assert!(kinds.is_empty() && error.is_some());
}

#[test]
fn the_offending_message_is_kept_for_display_up_to_a_bound() {
    let mut octets = raw(kind::UPDATE, 4_096, &[]);
    octets.resize(4_096, 0xaa);
    let frame = Frame {
        kind: MessageKind::Update,
        octets: &octets,
    };
    let error = frame
        .read(&WireRules::default())
        .expect_err("lengths overrun");
    assert_eq!(error.message, octets[..BAD_MESSAGE_OCTETS_MAX]);
}

// BGP-128
#[test]
fn chunking_does_not_change_what_is_read() {
    let mut octets = Vec::new();
    let open = Open::new(
        crate::Asn(64_512),
        90,
        [192, 0, 2, 1].into(),
        Capabilities::default(),
    );
    open.encode(&mut octets);
    encode_keepalive(&mut octets);
    octets.extend(raw(kind::UPDATE, 23, &[0; 4]));
    octets.extend(raw(kind::NOTIFICATION, 21, &[6, 2]));
    octets.extend(raw(77, 19, &[]));
    let whole = kinds(false, &[&octets]);
    assert_eq!(whole.0.len(), 4);
    for size in 1..octets.len() {
        let chunks: Vec<&[u8]> = octets.chunks(size).collect();
        assert_eq!(kinds(false, &chunks), whole, "chunks of {size}");
    }
}

#[test]
fn a_length_alone_reserves_nothing() {
    let mut decoder = Decoder::new(true);
    let octets = raw(kind::UPDATE, 65_535, &[0]);
    assert_eq!(decoder.next_frame(&octets), (octets.len(), None));
    assert_eq!(decoder.buffered(), octets.len());
    assert!(
        decoder.partial.capacity() < 64,
        "{}",
        decoder.partial.capacity()
    );
}

// BGP-44
#[test]
fn a_refresh_with_route_filters_is_a_plain_refresh() {
    let octets = raw(kind::ROUTE_REFRESH, 29, &[0, 1, 0, 1, 1, 64, 0, 2, 9, 9]);
    let frame = Frame {
        kind: MessageKind::RouteRefresh,
        octets: &octets,
    };
    let rules = WireRules {
        enhanced_refresh: true,
        ..WireRules::default()
    };
    let wanted = RouteRefresh {
        family: crate::AfiSafi::IPV4_UNICAST,
        kind: RefreshKind::Request,
    };
    assert_eq!(frame.read(&rules), Ok(Received::RouteRefresh(wanted)));
}

// BGP-45
#[test]
fn a_bracket_of_an_enhanced_refresh_that_is_too_long_is_7_1_with_the_message() {
    let rules = WireRules {
        enhanced_refresh: true,
        ..WireRules::default()
    };
    for subtype in [1, 2] {
        let octets = raw(kind::ROUTE_REFRESH, 24, &[0, 1, subtype, 1, 0]);
        let frame = Frame {
            kind: MessageKind::RouteRefresh,
            octets: &octets,
        };
        let notification = frame
            .read(&rules)
            .expect_err("too long")
            .notification
            .expect("told");
        assert_eq!(
            notification,
            Notification::with_data(ErrorCode::RouteRefresh(RefreshError::BadLength), octets)
        );
    }
    let octets = raw(kind::ROUTE_REFRESH, 24, &[0, 1, 9, 1, 0]);
    let frame = Frame {
        kind: MessageKind::RouteRefresh,
        octets: &octets,
    };
    let Ok(Received::RouteRefresh(refresh)) = frame.read(&rules) else {
        panic!("an unknown subtype is no error")
    };
    assert_eq!(refresh.kind, RefreshKind::Other(9));
}

#[test]
fn every_message_reads_back_as_it_was_written() {
    let messages = [
        crate::Message::Open(Open::new(
            crate::Asn(4_200_000_000),
            0,
            [1, 1, 1, 1].into(),
            Capabilities::default(),
        )),
        crate::Message::Keepalive,
        crate::Message::RouteRefresh(RouteRefresh {
            family: crate::AfiSafi::IPV6_UNICAST,
            kind: RefreshKind::End,
        }),
        crate::Message::Notification(Notification::new(ErrorCode::Fsm(FsmError::Established))),
        crate::Message::Notification(Notification::cease_with_text(
            Cease::AdministrativeReset,
            "bye",
        )),
        crate::Message::Notification(Notification::with_data(
            ErrorCode::Open(OpenError::BadPeerAs),
            [0, 0, 1, 2],
        )),
        crate::Message::Update(crate::Update::EndOfRib(crate::Family::Ipv6)),
    ];
    let rules = WireRules {
        families: Families::BOTH,
        ..WireRules::default()
    };
    let mut octets = Vec::new();
    for message in &messages {
        message.encode(&rules, &mut octets).unwrap();
    }
    let mut decoder = Decoder::new(false);
    let mut at = 0;
    for message in messages {
        let (used, frame) = decoder.next_frame(&octets[at..]);
        at += used;
        let back = match frame.unwrap().unwrap().read(&rules).unwrap() {
            Received::Open(open) => crate::Message::Open(open),
            Received::Update(view) => crate::Message::Update(view.to_updates().remove(0)),
            Received::Notification(notification) => crate::Message::Notification(notification),
            Received::Keepalive => crate::Message::Keepalive,
            Received::RouteRefresh(refresh) => crate::Message::RouteRefresh(refresh),
        };
        assert_eq!(back, message);
    }
}
