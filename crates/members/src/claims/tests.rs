//! Books of claims: buckets, digests, parts in any order.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::terms::MAX_TERMS;
use super::wire::Part;
use super::{
    Book, Buckets, Key, MAX_BUCKET, MAX_CLAIMS, MAX_TERM, Terms, address_of, bucket_of, key_of,
};
use crate::message::Reader;

fn key(number: u32) -> Key {
    key_of(Ipv4Addr::from_bits(number).into())
}

fn decode(bytes: &[u8]) -> Option<Part> {
    let mut reader = Reader::new(bytes);
    Part::decode(&mut reader).filter(|_| reader.is_empty())
}

#[test]
fn the_bucket_of_an_address_is_fixed() {
    let cases = [("10.0.0.1", 13), ("10.0.0.2", 137), ("2001:db8::1", 197)];
    for (text, bucket) in cases {
        let address: IpAddr = text.parse().expect("an address");
        assert_eq!(bucket_of(key_of(address)), bucket, "{text}");
        assert_eq!(address_of(key_of(address)), address);
    }
}

#[test]
fn neighbours_spread_over_the_buckets_and_cost_few_bytes() {
    let mut book = Book::default();
    for number in 0..10_000 {
        assert!(book.set(key(0x0a00_0000 + number), Some(1)).is_some());
    }
    let parts: Vec<Part> = (0..=u8::MAX)
        .flat_map(|bucket| book.parts(bucket, 1_100))
        .collect();
    assert_eq!(parts.len(), 256, "each bucket is one part");
    let most = parts.iter().map(|part| part.claims.len()).max();
    assert!(most.is_some_and(|most| most < 80), "{most:?}");
    let bytes: usize = parts.iter().map(Part::encoded_len).sum();
    assert!(bytes < 36_000, "{bytes} bytes for 10,000 claims");
}

#[test]
fn a_book_has_room_for_so_many_and_no_more() {
    let mut book = Book::default();
    let kept = (0..40_000).filter(|number| book.set(key(*number), Some(1)).is_some());
    assert_eq!(kept.count(), MAX_CLAIMS);
    assert_eq!(book.count(), MAX_CLAIMS);
    assert_eq!(book.set(key(50_000), Some(1)), None);
    assert!(
        book.set(key(0), Some(2)).is_some(),
        "one that is there may change"
    );
    assert!(book.set(key(0), None).is_some());
    assert!(book.set(key(50_000), Some(1)).is_some());
    let mut copy = Book::default();
    let same: Vec<Key> = (0..)
        .map(key)
        .filter(|key| bucket_of(*key) == 3)
        .take(300)
        .collect();
    let part = Part {
        bucket: 3,
        version: 1,
        after: None,
        last: true,
        claims: same.iter().map(|key| (*key, 1)).collect(),
    };
    let applied = copy.apply(&part, 100);
    assert_eq!((applied.changes.len(), applied.refused), (100, 200));
    let applied = copy.apply(&part, usize::MAX >> 1);
    assert_eq!(
        (applied.changes.len(), applied.refused),
        (MAX_BUCKET - 100, 300 - MAX_BUCKET)
    );
}

#[test]
fn an_older_state_of_a_bucket_changes_nothing() {
    let (mut book, mut copy) = (Book::default(), Book::default());
    let bucket = book.set(key(1), Some(1)).expect("new");
    let older = book.parts(bucket, 1_000);
    book.set(key(1), Some(2)).expect("changed");
    book.parts(bucket, 1_000).iter().for_each(|part| {
        copy.apply(part, 9);
    });
    older.iter().for_each(|part| {
        copy.apply(part, 9);
    });
    assert_eq!(copy.term(key(1)), Some(2));
    assert!(copy.agree(book.version(), book.digest()));
}

#[test]
fn parts_that_cannot_be_are_refused() {
    let mut good = Vec::new();
    let part = Part {
        bucket: bucket_of(key(1)),
        version: 300,
        after: None,
        last: true,
        claims: vec![(key(1), 5)],
    };
    part.encode(&mut good);
    assert_eq!(decode(&good), Some(part.clone()));
    let with = |change: fn(&mut Part)| {
        let (mut part, mut bytes) = (part.clone(), Vec::new());
        change(&mut part);
        part.encode(&mut bytes);
        decode(&bytes)
    };
    assert_eq!(with(|part| part.bucket ^= 1), None, "the wrong bucket");
    assert_eq!(
        with(|part| part.claims = vec![(key(1), 0)]),
        None,
        "no term is 0"
    );
    assert_eq!(
        with(|part| part.claims = vec![(key(1), MAX_TERM + 1)]),
        None
    );
    assert_eq!(with(|part| part.claims.push((key(1), 5))), None, "twice");
    assert_eq!(
        with(|part| (part.last, part.claims) = (false, Vec::new())),
        None
    );
    for length in 0..good.len() {
        assert_eq!(decode(&good[..length]), None);
    }
}

#[test]
fn the_memory_of_terms_is_bounded_and_forgets_the_oldest() {
    let mut terms = Terms::default();
    for number in 0..MAX_TERMS as u32 {
        terms.see(key(number), 5);
    }
    terms.see(key(0), 6);
    terms.see(key(1), 4);
    for number in 0..3 {
        terms.see(key(1_000_000 + number), 1);
    }
    assert_eq!(terms.len(), MAX_TERMS);
    let kept: Vec<u64> = (0..5).map(|number| terms.highest(key(number))).collect();
    assert_eq!(kept, [6, 0, 0, 0, 5], "a raised term is young again");
}

#[test]
fn a_set_of_buckets_gives_each_once() {
    let mut set = Buckets::default();
    (0..=u8::MAX).rev().for_each(|bucket| set.insert(bucket));
    let mut taken = Vec::new();
    while let Some(bucket) = set.first() {
        set.remove(bucket);
        taken.push(bucket);
    }
    assert_eq!(taken, (0..=u8::MAX).collect::<Vec<_>>());
    assert!(set.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_copy_that_gets_the_differing_buckets_in_any_order_is_whole(
        first in proptest::collection::btree_map(any::<u128>(), 1..=MAX_TERM, 0..300),
        second in proptest::collection::btree_map(0_u128..2_000, proptest::option::of(1..=MAX_TERM), 0..300),
        limit in 60_usize..300,
        order in any::<u64>(),
    ) {
        let (mut book, mut copy) = (Book::default(), Book::default());
        let mut model = BTreeMap::new();
        for (key, term) in &first {
            book.set(*key, Some(*term));
            model.insert(*key, *term);
        }
        let bring = |book: &Book, copy: &mut Book, order: u64| {
            let mut differing = book.differing(&copy.digests());
            let mut parts = Vec::new();
            while let Some(bucket) = differing.first() {
                differing.remove(bucket);
                parts.extend(book.parts(bucket, limit));
            }
            let mut random = crate::random::SplitMix::new(order);
            while !parts.is_empty() {
                let part = parts.swap_remove(random.below(parts.len()));
                let mut bytes = Vec::new();
                part.encode(&mut bytes);
                assert_eq!(bytes.len(), part.encoded_len());
                assert!(bytes.len() <= limit || part.claims.len() == 1);
                let read = decode(&bytes).expect("what was written");
                assert_eq!(read, part);
                copy.apply(&read, MAX_CLAIMS);
            }
            assert!(copy.agree(book.version(), book.digest()));
            assert!(book.differing(&copy.digests()).is_empty());
            assert!(copy.claims().eq(book.claims()));
        };
        bring(&book, &mut copy, order);
        for (key, term) in &second {
            book.set(*key, *term);
            match term {
                Some(term) => model.insert(*key, *term),
                None => model.remove(key),
            };
        }
        bring(&book, &mut copy, !order);
        let told: BTreeMap<u128, u64> = copy.claims().collect();
        prop_assert_eq!(told.len(), copy.count());
        prop_assert_eq!(told, model);
    }
}
