//! AS_PATH: both widths, and what is malformed.

use super::*;

fn path(segments: &[(SegmentKind, &[u32])]) -> AsPath {
    let segment = |(kind, asns): &(SegmentKind, &[u32])| Segment {
        kind: *kind,
        asns: asns.iter().copied().map(Asn).collect(),
    };
    AsPath {
        segments: segments.iter().map(segment).collect(),
    }
}

#[test]
fn paths_in_both_widths() {
    use SegmentKind::{Sequence, Set};
    let table = [
        (path(&[]), &[][..], &[][..]),
        (
            path(&[(Sequence, &[64_512])]),
            &[2, 1, 0, 0, 0xfc, 0],
            &[2, 1, 0xfc, 0],
        ),
        (
            path(&[(Sequence, &[1, 2]), (Set, &[3])]),
            &[2, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 0, 0, 0, 3],
            &[2, 2, 0, 1, 0, 2, 1, 1, 0, 3],
        ),
    ];
    for (path, four, two) in table {
        for (four_octets, wanted) in [(true, four), (false, two)] {
            let mut octets = Vec::new();
            path.encode(four_octets, &mut octets);
            assert_eq!(octets, wanted, "{path}");
            assert_eq!(AsPath::decode(&octets, four_octets), Ok(path.clone()));
        }
    }
    assert_eq!(
        path(&[(Sequence, &[1, 2]), (Set, &[3, 4])]).to_string(),
        "1 2 {3,4}"
    );
}

#[test]
fn a_number_of_four_octets_is_23456_in_two() {
    let path = AsPath::repeated(Asn(4_200_000_000), 2);
    assert!(path.needs_four_octets() && !AsPath::repeated(Asn(65_535), 1).needs_four_octets());
    let mut octets = Vec::new();
    path.encode(false, &mut octets);
    assert_eq!(octets, [2, 2, 0x5b, 0xa0, 0x5b, 0xa0]);
}

#[test]
fn a_segment_beyond_255_numbers_is_split() {
    let mut octets = Vec::new();
    AsPath::repeated(Asn(1), 300).encode(true, &mut octets);
    let back = AsPath::decode(&octets, true).unwrap();
    assert_eq!(
        back.segments
            .iter()
            .map(|s| s.asns.len())
            .collect::<Vec<_>>(),
        [255, 45]
    );
    assert!(AsPath::repeated(Asn(1), 0).segments.is_empty());
}

#[test]
fn malformed_paths() {
    for (value, fault) in [
        (&[2][..], Fault::Length),
        (&[2, 1, 0, 0, 0], Fault::Length),
        (&[2, 255, 0, 0, 0, 1], Fault::Length),
        (&[2, 0], Fault::Value),
        (&[5, 1, 0, 0, 0, 1], Fault::Value),
        (&[0, 1, 0, 0, 0, 1], Fault::Value),
        (&[2, 1, 0, 0, 0, 0], Fault::Value),
        (&[2, 1, 0, 0, 0, 1, 9], Fault::Length),
        (&[3, 1, 0, 0, 0, 1], Fault::Confederation),
        (&[4, 1, 0, 0, 0, 1], Fault::Confederation),
    ] {
        assert_eq!(validate(value, true), Err(fault), "{value:?}");
        assert_eq!(AsPath::decode(value, true), Err(fault), "{value:?}");
    }
}
