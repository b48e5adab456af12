//! Claims on the wire: a part of a bucket, small.
//!
//! Owns the layout `bucket (1) | flags (1) | version | number of claims | the address before the first | steps and terms`, with
//! numbers as LEB128 and each address as its distance from the one before, so that neighbours cost two or three bytes each.
//! A whole bucket is one part; one that does not fit is cut into ranges that may arrive in any order.

use std::collections::BTreeMap;

use super::{Key, MAX_BUCKET, MAX_TERM, bucket_of};
use crate::message::Reader;

/// The claims of one bucket within a range of addresses: all of them, and no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) bucket: u8,
    /// The owner's version at the bucket's last change.
    pub(crate) version: u64,
    /// The range begins after this address; `None`: with the bucket.
    pub(crate) after: Option<Key>,
    /// The range ends with the bucket; otherwise with the last claim.
    pub(crate) last: bool,
    /// Ascending, all of this bucket.
    pub(crate) claims: Vec<(Key, u64)>,
}

/// Cuts a bucket into parts of at most `limit` bytes each.
pub(super) fn split(
    bucket: u8,
    version: u64,
    claims: &BTreeMap<Key, u64>,
    limit: usize,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = Part {
        bucket,
        version,
        after: None,
        last: false,
        claims: Vec::new(),
    };
    let (mut used, mut before) = (PART_FRONT_BYTES, 0);
    for (key, term) in claims {
        let more = length(*key - before) + length(u128::from(*term));
        if used + more > limit && !part.claims.is_empty() {
            let next = Part {
                after: Some(before),
                claims: Vec::new(),
                ..part.clone()
            };
            parts.push(std::mem::replace(&mut part, next));
            used = PART_FRONT_BYTES;
        }
        used += more;
        before = *key;
        part.claims.push((*key, *term));
    }
    part.last = true;
    parts.push(part);
    parts
}

impl Part {
    pub(crate) fn encoded_len(&self) -> usize {
        let mut before = self.after.unwrap_or(0);
        let front = 2
            + length(u128::from(self.version))
            + length(count(&self.claims))
            + self.after.map_or(0, length);
        self.claims.iter().fold(front, |sum, (key, term)| {
            let step = length(*key - before);
            before = *key;
            sum + step + length(u128::from(*term))
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.bucket);
        out.push(u8::from(self.after.is_some()) | u8::from(self.last) << 1);
        put_number(out, u128::from(self.version));
        put_number(out, count(&self.claims));
        if let Some(after) = self.after {
            put_number(out, after);
        }
        let mut before = self.after.unwrap_or(0);
        for (key, term) in &self.claims {
            put_number(out, *key - before);
            put_number(out, u128::from(*term));
            before = *key;
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (bucket, flags) = (reader.byte()?, reader.byte()?);
        if flags > 3 {
            return None;
        }
        let version = small_number(reader)?;
        let number = usize::try_from(number(reader)?).ok()?;
        // Each has at least two bytes.
        if number > MAX_BUCKET || number > reader.left() / 2 {
            return None;
        }
        let after = match flags & 1 {
            0 => None,
            _ => Some(self::number(reader)?),
        };
        let last = flags & 2 != 0;
        if !last && number == 0 {
            return None;
        }
        let mut claims: Vec<(Key, u64)> = Vec::with_capacity(number);
        let mut before = after;
        for _ in 0..number {
            let step = self::number(reader)?;
            let key = before.unwrap_or(0).checked_add(step)?;
            let term = small_number(reader)?;
            let ascends = before.is_none_or(|before| before < key);
            if !ascends || bucket_of(key) != bucket || !(1..=MAX_TERM).contains(&term) {
                return None;
            }
            claims.push((key, term));
            before = Some(key);
        }
        Some(Self {
            bucket,
            version,
            after,
            last,
            claims,
        })
    }
}

fn count(claims: &[(Key, u64)]) -> u128 {
    claims.len() as u128
}

/// Bytes of a number in LEB128.
pub(crate) fn length(number: u128) -> usize {
    let bits = 128 - number.leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u128) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Reads a number; its shortest form only, at most 128 bits.
pub(crate) fn number(reader: &mut Reader<'_>) -> Option<u128> {
    let mut number = 0_u128;
    for shift in (0..128).step_by(7) {
        let byte = reader.byte()?;
        let bits = u128::from(byte & 0x7f);
        let placed = bits << shift;
        if placed >> shift != bits {
            return None;
        }
        number |= placed;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

pub(crate) fn small_number(reader: &mut Reader<'_>) -> Option<u64> {
    u64::try_from(number(reader)?).ok()
}

/// What precedes the claims at most: bucket, flags, version, number, the address before.
const PART_FRONT_BYTES: usize = 2 + 10 + 2 + 19;
