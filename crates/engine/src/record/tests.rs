//! Records survive the wire, stay in their bound, and garbage is only garbage.

use super::*;
use proptest::prelude::*;

fn record(names: &[&str]) -> MemberRecord {
    MemberRecord {
        interfaces: names
            .iter()
            .map(|name| ((*name).to_owned(), [2, 0, 0, 0, 0, 7]))
            .collect(),
        ..MemberRecord::default()
    }
}

#[test]
fn comes_back_as_it_went() {
    for names in [
        &[][..],
        &["eth0"],
        &["bond0", "eth0.100", "fifteen-letters"],
    ] {
        let record = record(names);
        assert_eq!(decode(&encode(&record)), Some(record));
    }
}

#[test]
fn is_cut_and_says_so_when_it_does_not_fit() {
    let names: Vec<String> = (0..200).map(|i| format!("interface-{i:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bytes = encode(&record(&names));
    assert!(bytes.len() <= RECORD_BYTES_MAX);
    let decoded = decode(&bytes).unwrap();
    assert!(decoded.truncated);
    assert_eq!(decoded.interfaces.len(), (RECORD_BYTES_MAX - 2) / 22);
}

#[test]
fn the_flags_of_the_wire_are_laid_over_a_record() {
    let bytes = encode(&record(&["eth0"]));
    let leaving = decode(&flagged(&bytes, true, false)).unwrap();
    assert!(leaving.leaving && !leaving.isolated);
    assert_eq!(leaving.interfaces, record(&["eth0"]).interfaces);
    let back = flagged(&flagged(&bytes, true, true), false, false);
    assert_eq!(back, bytes);
    assert!(decode(&flagged(&[], true, false)).unwrap().truncated);
}

#[test]
fn another_version_and_bytes_left_over_are_refused() {
    assert_eq!(decode(&[]), None);
    assert_eq!(decode(&[1]), None);
    assert_eq!(decode(&[2, 0]), None);
    let mut bytes = encode(&record(&["eth0"]));
    bytes.push(4);
    assert_eq!(decode(&bytes), None);
    assert_eq!(decode(&[1, 0, 0]), None);
}

fn word() -> impl Strategy<Value = Word> {
    let names = || proptest::collection::btree_set("[a-z0-9.-]{0,80}", 0..40);
    (any::<bool>(), any::<bool>(), names(), names()).prop_map(
        |(counts, knows_itself, unreachable, unwell)| Word {
            counts,
            knows_itself,
            unreachable,
            unwell,
        },
    )
}

#[test]
fn a_word_on_health_travels_and_is_cut_to_its_bound() {
    let names = |range: std::ops::Range<usize>| range.map(|i| format!("node-{i:03}")).collect();
    let mut said = record(&["eth0"]);
    said.word = Some(Word {
        counts: true,
        knows_itself: true,
        unreachable: names(0..2),
        unwell: names(2..5),
    });
    assert_eq!(decode(&encode(&said)), Some(said.clone()));
    let flagged = decode(&flagged(&encode(&said), true, false)).unwrap();
    assert_eq!(flagged.word, said.word);
    said.word.as_mut().unwrap().unwell = names(2..500);
    let cut = decode(&encode(&said)).unwrap();
    let word = cut.word.unwrap();
    assert_eq!(word.unreachable.len() + word.unwell.len(), AGAINST_MAX);
    assert_eq!(cut.interfaces, said.interfaces, "the interfaces have room");
    // A kind that nobody knows is another version's.
    assert_eq!(decode(&[1, 8, 1, 2, 1, b'a']), None);
    assert_eq!(decode(&[1, 8]), None);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1_200)) {
        if let Some(record) = decode(&bytes) {
            prop_assert!(record.interfaces.len() <= RECORD_BYTES_MAX / 8);
        }
    }

    #[test]
    fn what_is_read_reads_the_same_again(
        names in proptest::collection::btree_map("[a-z0-9.@-]{1,15}", any::<[u8; 6]>(), 0..80),
        truncated: bool,
        leaving: bool,
        isolated: bool,
        word in proptest::option::of(word()),
    ) {
        let record = MemberRecord { interfaces: names, truncated, leaving, isolated, word };
        let bytes = encode(&record);
        prop_assert!(bytes.len() <= RECORD_BYTES_MAX);
        let once = decode(&bytes).unwrap();
        prop_assert_eq!(decode(&encode(&once)), Some(once));
    }
}
