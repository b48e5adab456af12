//! NOTIFICATION: numbers and words, and what data says.

use super::*;

#[test]
fn every_code_and_subcode_comes_back() {
    for code in 0..=u8::MAX {
        for subcode in 0..=u8::MAX {
            assert_eq!(
                ErrorCode::from_octets(code, subcode).octets(),
                (code, subcode)
            );
        }
    }
}

#[test]
fn words_for_a_status() {
    let table = [
        (
            Notification::new(ErrorCode::HoldTimerExpired),
            "4/0 hold timer expired",
        ),
        (
            Notification::with_data(ErrorCode::Open(OpenError::BadPeerAs), [0, 0, 0xfc, 0]),
            "2/2 OPEN error: bad peer AS [0000fc00]",
        ),
        (
            Notification::cease(Cease::Other(77)),
            "6/77 cease: subcode 77",
        ),
        (
            Notification::cease_with_text(Cease::AdministrativeShutdown, "node drained"),
            "6/2 cease: administrative shutdown \"node drained\"",
        ),
        (
            Notification::cease(Cease::BfdDown).into_hard_reset(),
            "6/9 cease: hard reset (6/10 cease: BFD down)",
        ),
        (
            Notification::with_data(ErrorCode::Cease(Cease::MaxPrefixes), [0, 1, 1, 0, 0, 0, 5]),
            "6/1 cease: maximum number of prefixes reached (5 of ipv4-unicast)",
        ),
        (
            Notification::new(ErrorCode::Other(200, 1)),
            "200/1 unknown error",
        ),
    ];
    for (notification, words) in table {
        assert_eq!(notification.to_string(), words);
    }
}

#[test]
fn a_hard_reset_carries_code_subcode_and_data() {
    let inner = Notification::cease_with_text(Cease::AdministrativeShutdown, "bye");
    let outer = inner.clone().into_hard_reset();
    assert_eq!(outer.data, [6, 2, 3, b'b', b'y', b'e']);
    assert_eq!(outer.hard_reset_reason(), Some(inner));
    for data in [&[][..], &[6]] {
        let short = Notification::with_data(ErrorCode::Cease(Cease::HardReset), data);
        assert_eq!(short.hard_reset_reason(), None, "{data:?}");
        assert!(!short.to_string().is_empty());
    }
}

#[test]
fn a_prefix_limit_is_read_only_when_it_is_whole() {
    for length in 0..12_usize {
        let notification =
            Notification::with_data(ErrorCode::Cease(Cease::MaxPrefixes), vec![0; length]);
        assert_eq!(
            notification.prefix_limit().is_some(),
            length == 7,
            "{length}"
        );
    }
}

// BGP-71
#[test]
fn communications_are_cut_on_a_character_and_shown_escaped_or_in_hex() {
    let long = Notification::cease_with_text(Cease::AdministrativeShutdown, &"ä".repeat(200));
    assert_eq!(
        (long.data.len(), long.data[0]),
        (255, 254),
        "127 characters of two octets"
    );
    assert!(std::str::from_utf8(&long.data[1..]).is_ok());
    assert!(
        Notification::cease_with_text(Cease::AdministrativeReset, "")
            .data
            .is_empty()
    );
    let received = |data: &[u8]| {
        Notification::with_data(ErrorCode::Cease(Cease::AdministrativeShutdown), data)
    };
    let text = |text: &str| Some(Communication::Text(text.to_owned()));
    let hex = |hex: &str| Some(Communication::Hex(hex.to_owned()));
    assert_eq!(
        received(&[3, b'b', b'y', b'e']).communication(),
        text("bye")
    );
    assert_eq!(
        received(&[3, 0x1b, b'[', b'm']).communication(),
        text("\\u{1b}[m")
    );
    assert_eq!(
        received("\u{5}\u{202e}ab".as_bytes()).communication(),
        text("\\u{202e}ab")
    );
    assert_eq!(
        received(&[255, b'a', b'b', b'c']).communication(),
        hex("ff616263"),
        "a length that does not fit"
    );
    assert_eq!(received(&[1, b'a', b'b']).communication(), hex("016162"));
    assert_eq!(
        received(&[2, 0xff, 0xfe]).communication(),
        hex("02fffe"),
        "not UTF-8"
    );
    assert_eq!(received(&[]).communication(), None);
    assert_eq!(received(&[0]).communication(), None);
    let escapes = received(&[&[255][..], &[0x1b; 255]].concat()).to_string();
    assert!(
        escapes.chars().all(|c| !c.is_control()),
        "255 octets of escapes are harmless"
    );
}

#[test]
fn what_is_sent_keeps_to_the_session_and_what_is_kept_is_bounded() {
    let huge = Notification::with_data(
        ErrorCode::RouteRefresh(RefreshError::BadLength),
        vec![7; 70_000],
    );
    for (extended_out, length) in [(false, 4_096), (true, 65_535)] {
        let mut octets = Vec::new();
        huge.encode(
            &WireRules {
                extended_out,
                ..WireRules::default()
            },
            &mut octets,
        );
        assert_eq!(octets.len(), length);
        assert_eq!(octets[16..18], u16::try_from(length).unwrap().to_be_bytes());
    }
    assert_eq!(
        Notification::decode(&[6; 4_000]).unwrap().data.len(),
        DATA_KEPT_MAX
    );
    assert_eq!(Notification::decode(&[6]), None);
}
