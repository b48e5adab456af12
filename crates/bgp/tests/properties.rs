//! Properties of the codec: what is written reads back equal, and no bytes at all can harm the reader.

mod generate;

use bgp::error::BAD_MESSAGE_OCTETS_MAX;
use bgp::message::notification::DATA_KEPT_MAX;
use bgp::message::{EXTENDED_LEN_MAX, HEADER_LEN, MESSAGE_LEN_MAX};
use bgp::{Decoder, Message, Received, RouteRefresh, Update, WireRules};
use proptest::collection::vec;
use proptest::prelude::*;

/// Everything that `input` yields, in words, however it is cut.
fn read(input: &[u8], cuts: &[usize], rules: &WireRules) -> Vec<String> {
    let mut decoder = Decoder::new(rules.extended_in);
    let limit = if rules.extended_in {
        EXTENDED_LEN_MAX
    } else {
        MESSAGE_LEN_MAX
    };
    let mut words = Vec::new();
    let mut rest = input;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let cut = cuts
            .next()
            .map_or(rest.len(), |cut| *cut)
            .clamp(1, rest.len());
        let (chunk, tail) = rest.split_at(cut);
        rest = tail;
        let mut at = 0;
        loop {
            let (used, frame) = decoder.next_frame(&chunk[at..]);
            at += used;
            let Some(frame) = frame else { break };
            match frame.and_then(|frame| frame.read(rules)) {
                Ok(message) => words.push(bounded(&message)),
                Err(error) => {
                    assert!(error.message.len() <= BAD_MESSAGE_OCTETS_MAX);
                    words.push(error.to_string());
                }
            }
        }
        assert_eq!(at, chunk.len(), "all is taken");
        assert!(decoder.buffered() < limit, "a whole message is never kept");
    }
    words
}

/// The message in words; what it holds is no larger than what it came in.
fn bounded(message: &Received<'_>) -> String {
    match message {
        Received::Update(view) => {
            let updates = view.to_updates();
            let prefixes = updates.iter().map(|update| match update {
                Update::Announced { prefixes, .. } | Update::Withdrawn(prefixes) => prefixes.len(),
                Update::EndOfRib(_) => 0,
            });
            // A prefix takes an octet at least.
            assert!(prefixes.sum::<usize>() <= EXTENDED_LEN_MAX - HEADER_LEN);
            assert_eq!(view.announced_prefixes().count(), view.announced as usize);
            assert_eq!(view.withdrawn_prefixes().count(), view.withdrawn as usize);
            format!(
                "{updates:?} {:?} {:?}",
                view.treated_as_withdraw, view.discarded
            )
        }
        Received::Open(open) => {
            assert!(open.capabilities.others.len() <= 32);
            assert!(open.capabilities.multiprotocol.len() <= MESSAGE_LEN_MAX / 6);
            format!("{open:?}")
        }
        Received::Notification(notification) => {
            assert!(notification.data.len() <= DATA_KEPT_MAX);
            notification.to_string()
        }
        other => format!("{other:?}"),
    }
}

fn written(message: &Message, rules: &WireRules) -> Vec<u8> {
    let mut octets = Vec::new();
    message
        .encode(rules, &mut octets)
        .expect("generated to fit");
    octets
}

/// The message that `octets` are, alone and whole.
fn one<'a>(octets: &'a [u8], rules: &WireRules, decoder: &'a mut Decoder) -> Received<'a> {
    let (used, frame) = decoder.next_frame(octets);
    assert_eq!(used, octets.len());
    frame
        .expect("whole")
        .expect("a sound header")
        .read(rules)
        .expect("ours")
}

/// A message of ours, of any kind.
fn message() -> impl Strategy<Value = (WireRules, Message)> {
    let refresh = (any::<u16>(), any::<u8>(), any::<u8>()).prop_map(|(afi, kind, safi)| {
        let kind = bgp::message::RefreshKind::from_value(kind);
        Message::RouteRefresh(RouteRefresh {
            family: bgp::AfiSafi { afi, safi },
            kind,
        })
    });
    let other = prop_oneof![
        generate::open().prop_map(Message::Open),
        generate::notification().prop_map(Message::Notification),
        refresh,
        Just(Message::Keepalive),
    ];
    prop_oneof![
        generate::update(true).prop_map(|(rules, update)| (rules, Message::Update(update))),
        (generate::rules(), other),
    ]
}

/// Messages of ours with some octets changed, removed or doubled: near misses reach deeper than noise.
fn near_misses() -> impl Strategy<Value = (WireRules, Vec<u8>)> {
    let harm = vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6);
    (message(), vec(message(), 0..3), harm).prop_map(|((rules, first), more, harm)| {
        let mut octets = written(&first, &rules);
        for (_, message) in more {
            // Another message's rules may allow what ours do not: it is skipped.
            let _ = message.encode(&rules, &mut octets);
        }
        for (at, value, how) in harm {
            let at = at.index(octets.len());
            match how {
                0 => octets[at] = value,
                1 => octets[at] ^= 1 << (value % 8),
                2 if octets.len() > 1 => drop(octets.remove(at)),
                _ => octets.insert(at, value),
            }
        }
        (rules, octets)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // BGP-102
    #[test]
    fn what_is_written_reads_back_equal((rules, message) in message()) {
        let octets = written(&message, &rules);
        prop_assert!(octets.len() <= rules.send_len_max());
        let mut decoder = Decoder::new(rules.extended_in);
        let back = match one(&octets, &rules, &mut decoder) {
            Received::Open(open) => Message::Open(open),
            Received::Notification(notification) => Message::Notification(notification),
            Received::Keepalive => Message::Keepalive,
            Received::RouteRefresh(refresh) => Message::RouteRefresh(refresh),
            Received::Update(view) => {
                prop_assert_eq!((view.treated_as_withdraw, view.discarded), (None, None));
                let mut updates = view.to_updates();
                prop_assert_eq!(updates.len(), 1, "one kind");
                Message::Update(updates.remove(0))
            }
        };
        prop_assert_eq!(back, message);
    }

    // BGP-84 BGP-102
    #[test]
    fn attributes_ascend_behind_mp_and_stand_once((rules, update) in generate::update(true)) {
        let octets = written(&Message::Update(update), &rules);
        let field = |at: usize| usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
        let mut at = HEADER_LEN + 2 + field(HEADER_LEN);
        let end = at + 2 + field(at);
        at += 2;
        let mut codes = Vec::new();
        while at < end {
            let (flags, code) = (octets[at], octets[at + 1]);
            let (head, length) = if flags & 0x10 != 0 { (4, field(at + 2)) } else { (3, usize::from(octets[at + 2])) };
            prop_assert_eq!(flags & 0x10 != 0, length > 255, "BGP-85");
            codes.push(if matches!(code, 14 | 15) { 0 } else { code });
            at += head + length;
        }
        prop_assert_eq!(at, end);
        prop_assert!(codes.is_sorted_by(|a, b| a < b), "{:?}", codes);
    }

    // BGP-128
    #[test]
    fn near_misses_are_read_alike_however_they_are_cut(
        (rules, octets) in near_misses(),
        cuts in vec(1..80_usize, 1..5),
    ) {
        let whole = read(&octets, &[], &rules);
        prop_assert_eq!(&read(&octets, &cuts, &rules), &whole);
        prop_assert_eq!(&read(&octets, &[1], &rules), &whole);
        prop_assert!(whole.len() <= octets.len() / HEADER_LEN + 1);
    }

    // BGP-128
    #[test]
    fn noise_is_read_without_harm(
        rules in generate::rules(),
        kind in 0..7_u8,
        body in vec(any::<u8>(), 0..300),
        cuts in vec(1..80_usize, 1..5),
    ) {
        let mut octets = vec![0xff; 16];
        octets.extend(u16::try_from(HEADER_LEN + body.len()).unwrap().to_be_bytes());
        octets.push(kind);
        octets.extend(&body);
        prop_assert_eq!(read(&octets, &cuts, &rules), read(&octets, &[], &rules));
        prop_assert_eq!(read(&body, &cuts, &rules).len(), usize::from(body.len() >= HEADER_LEN), "no marker, one error");
    }
}
