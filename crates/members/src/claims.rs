//! What one node says about its addresses: a book of claims in 256 buckets, each with a version and a digest.
//!
//! Owns the placing of addresses in buckets, the digests, and what a part of a bucket from the wire does to a copy. Knows nothing of
//! who is alive, of datagrams (`claims::wire`) or of what is sent when (`membership::claims`), and does not say who wins.
//!
//! The bucket of an address: take it as a number of 128 bits (IPv4 mapped into IPv6, RFC 4291 §2.5.5.2), call its halves `high` and
//! `low`; with `scramble` the finaliser of SplitMix64, its place is `scramble(low + scramble(high))` and its bucket the first byte of
//! that. The digest of a set of claims is the wrapping sum of `scramble(place ^ scramble(term + 1))`.

mod terms;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;

pub(crate) use self::terms::Terms;
use self::wire::Part;
use crate::random::scramble;

/// What one node says about one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Grows by one at each change of holder; the higher wins. 1 to [`MAX_TERM`].
    pub term: u64,
}

/// An address as it is counted here.
pub(crate) type Key = u128;

pub(crate) fn key_of(address: IpAddr) -> Key {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

pub(crate) fn address_of(key: Key) -> IpAddr {
    Ipv6Addr::from_bits(key).to_canonical()
}

pub(crate) fn bucket_of(key: Key) -> u8 {
    let [bucket, ..] = place_of(key).to_be_bytes();
    bucket
}

fn place_of(key: Key) -> u64 {
    let bytes = key.to_be_bytes();
    let half = |half: &[u8]| {
        half.iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let (high, low) = bytes.split_at(8);
    scramble(half(low).wrapping_add(scramble(half(high))))
}

fn weight(key: Key, term: u64) -> u64 {
    scramble(place_of(key) ^ scramble(term.wrapping_add(1)))
}

/// The claims of one node: our own, or a copy of another's.
#[derive(Debug, Default)]
pub(crate) struct Book {
    buckets: BTreeMap<u8, Bucket>,
    /// Of our own: the number of changes. Of a copy: the highest version of which it was whole.
    version: u64,
    digest: u64,
    count: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    /// The book's version at the last change.
    version: u64,
    digest: u64,
    claims: BTreeMap<Key, u64>,
}

/// An address whose term in a book is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) term: Option<u64>,
}

/// What a part of a bucket did to a copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) changes: Vec<Change>,
    /// Claims for which there was no room.
    pub(crate) refused: usize,
}

impl Book {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn term(&self, key: Key) -> Option<u64> {
        self.buckets.get(&bucket_of(key))?.claims.get(&key).copied()
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = (Key, u64)> {
        self.buckets
            .values()
            .flat_map(|bucket| bucket.claims.iter().map(|(key, term)| (*key, *term)))
    }

    /// Our own book: sets or takes away one claim. `None`: nothing changed, or there is no room.
    pub(crate) fn set(&mut self, key: Key, term: Option<u64>) -> Option<u8> {
        let place = bucket_of(key);
        let bucket = self.buckets.get(&place);
        if bucket.and_then(|bucket| bucket.claims.get(&key).copied()) == term {
            return None;
        }
        let version = self.version + 1;
        let bucket = self.buckets.entry(place).or_default();
        let (claims, room) = (bucket.claims.len(), MAX_CLAIMS - self.count.min(MAX_CLAIMS));
        let is_new = term.is_some() && !bucket.claims.contains_key(&key);
        if is_new && (claims >= MAX_BUCKET || room == 0) {
            return None;
        }
        bucket.version = version;
        self.version = version;
        self.put(place, key, term);
        Some(place)
    }

    /// LIMIT: whoever has the key of the membership is believed. A member that makes up a version of another's bucket hides the true
    /// ones until that boot ends; nothing here tells such a lie from a reordered datagram.
    ///
    /// A copy takes a part of a bucket: within the part's range the claims are those of the part. At most `room` more than before.
    pub(crate) fn apply(&mut self, part: &Part, room: usize) -> Applied {
        let mut applied = Applied::default();
        let known = self.buckets.entry(part.bucket).or_default();
        if part.version < known.version {
            return applied;
        }
        known.version = part.version;
        let from = part.after.map_or(Bound::Unbounded, Bound::Excluded);
        let until = match part.claims.last() {
            Some((key, _)) if !part.last => Bound::Included(*key),
            _ => Bound::Unbounded,
        };
        let gone: Vec<Key> = known
            .claims
            .range((from, until))
            .map(|(key, _)| *key)
            .filter(|key| {
                part.claims
                    .binary_search_by_key(key, |(key, _)| *key)
                    .is_err()
            })
            .collect();
        let limit = (self.count + room).min(MAX_CLAIMS);
        for key in gone {
            self.put(part.bucket, key, None);
            applied.changes.push(Change { key, term: None });
        }
        for (key, term) in part.claims.iter().copied() {
            let bucket = self.buckets.entry(part.bucket).or_default();
            let before = bucket.claims.get(&key).copied();
            if before == Some(term) {
                continue;
            }
            if before.is_none() && (bucket.claims.len() >= MAX_BUCKET || self.count >= limit) {
                applied.refused += 1;
                continue;
            }
            self.put(part.bucket, key, Some(term));
            applied.changes.push(Change {
                key,
                term: Some(term),
            });
        }
        applied
    }

    /// A copy that equals what its owner had at this version.
    pub(crate) fn agree(&mut self, version: u64, digest: u64) -> bool {
        let agrees = self.digest == digest;
        if agrees {
            self.version = self.version.max(version);
        }
        agrees
    }

    /// The digests of the buckets that hold something, cut to 32 bits.
    pub(crate) fn digests(&self) -> BTreeMap<u8, u32> {
        self.buckets
            .iter()
            .filter(|(_, bucket)| !bucket.claims.is_empty())
            .map(|(place, bucket)| (*place, front(bucket.digest)))
            .collect()
    }

    /// Buckets in which a copy with these digests differs.
    pub(crate) fn differing(&self, theirs: &BTreeMap<u8, u32>) -> Buckets {
        let mut differing = Buckets::default();
        for place in 0..=u8::MAX {
            let ours = self
                .buckets
                .get(&place)
                .filter(|bucket| !bucket.claims.is_empty());
            if ours.map(|bucket| front(bucket.digest)) != theirs.get(&place).copied() {
                differing.insert(place);
            }
        }
        differing
    }

    /// The bucket in parts of at most `limit` bytes on the wire each; one, unless the hash is very uneven.
    pub(crate) fn parts(&self, place: u8, limit: usize) -> Vec<Part> {
        let empty = Bucket {
            version: self.version,
            ..Bucket::default()
        };
        let bucket = self.buckets.get(&place).unwrap_or(&empty);
        wire::split(place, bucket.version, &bucket.claims, limit)
    }

    fn put(&mut self, place: u8, key: Key, term: Option<u64>) {
        let bucket = self.buckets.entry(place).or_default();
        let before = match term {
            Some(term) => bucket.claims.insert(key, term),
            None => bucket.claims.remove(&key),
        };
        let removed = before.map_or(0, |before| weight(key, before));
        let added = term.map_or(0, |term| weight(key, term));
        bucket.digest = bucket.digest.wrapping_sub(removed).wrapping_add(added);
        self.digest = self.digest.wrapping_sub(removed).wrapping_add(added);
        self.count = self.count + usize::from(term.is_some()) - usize::from(before.is_some());
    }
}

fn front(digest: u64) -> u32 {
    let [a, b, c, d, ..] = digest.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// A set of buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Buckets([u128; 2]);

impl Buckets {
    pub(crate) fn insert(&mut self, place: u8) {
        if let Some(half) = self.0.get_mut(usize::from(place >> 7)) {
            *half |= 1 << (place & 127);
        }
    }

    pub(crate) fn remove(&mut self, place: u8) {
        if let Some(half) = self.0.get_mut(usize::from(place >> 7)) {
            *half &= !(1 << (place & 127));
        }
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0
            .iter_mut()
            .zip(more.0)
            .for_each(|(half, more)| *half |= more);
    }

    pub(crate) fn first(&self) -> Option<u8> {
        let [low, high] = self.0;
        let place = match (low, high) {
            (0, 0) => return None,
            (0, high) => 128 + high.trailing_zeros(),
            (low, _) => low.trailing_zeros(),
        };
        u8::try_from(place).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0, 0]
    }
}

/// LIMIT: claims of one node: more than the 10,000 addresses this is built for.
pub const MAX_CLAIMS: usize = 16_384;

/// LIMIT: claims of one node in one bucket: four times the mean of a full book; a good hash never comes near (24 deviations).
pub(crate) const MAX_BUCKET: usize = 256;

/// The highest term there can be: a counter that grows by one at each change of holder never gets there, and what comes from
/// elsewhere leaves room to grow over it.
pub const MAX_TERM: u64 = 1 << 48;

#[cfg(test)]
mod tests;
