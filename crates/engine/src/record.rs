//! The member record on the wire: what a speaker tells its fellows of itself.
//!
//! Layout: version (1) | flags (bit 0: cut, 1: leaving, 2: isolated, 3: a word on health follows, 4: that counts, 5: it
//! knows its own node) | with bit 3: number of nodes (1), per node: kind (0: unreachable, 1: unwell) | length of the name |
//! name | per interface: length of the name (1..=15) | name | hardware address (6). Owns the encoding; the membership
//! carries the bytes and does not look into them.

#[cfg(test)]
mod tests;

use crate::facts::{MemberRecord, Word};
use std::collections::{BTreeMap, BTreeSet};

/// LIMIT: bytes of a record, so that it fits beside the gossip in one datagram of 1,200.
pub const RECORD_BYTES_MAX: usize = 1_024;

/// LIMIT: IFNAMSIZ - 1 of the kernel.
const NAME_BYTES_MAX: usize = 15;

const VERSION: u8 = 1;
const FLAG_TRUNCATED: u8 = 1;
const FLAG_LEAVING: u8 = 2;
const FLAG_ISOLATED: u8 = 4;
const FLAG_WORD: u8 = 8;
const FLAG_COUNTS: u8 = 16;
const FLAG_KNOWS_ITSELF: u8 = 32;

/// LIMIT: nodes that one record speaks against, each set cut in the order of the names: where so many are unwell the
/// others hear it from those nodes themselves.
const AGAINST_MAX: usize = 32;

/// LIMIT: bytes of a word, so that interfaces have room beside it.
const WORD_BYTES_MAX: usize = 512;

/// Writes a record in at most [`RECORD_BYTES_MAX`] bytes. Interfaces that do not fit, in
/// the order of their names, are left out and the record says so: the others then take the
/// node to have any interface that is asked for.
pub fn encode(record: &MemberRecord) -> Vec<u8> {
    let mut body = record.word.as_ref().map(word_bytes).unwrap_or_default();
    let mut truncated = record.truncated;
    for (name, mac) in &record.interfaces {
        let fits = name.len() <= NAME_BYTES_MAX
            && !name.is_empty()
            && 2 + body.len() + 1 + name.len() + mac.len() <= RECORD_BYTES_MAX;
        match u8::try_from(name.len()) {
            Ok(length) if fits => {
                body.push(length);
                body.extend_from_slice(name.as_bytes());
                body.extend_from_slice(mac);
            }
            _ => truncated = true,
        }
    }
    let word = record.word.as_ref();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(truncated, FLAG_TRUNCATED)
        | flag(record.leaving, FLAG_LEAVING)
        | flag(record.isolated, FLAG_ISOLATED)
        | flag(record.word.is_some(), FLAG_WORD)
        | flag(word.is_some_and(|word| word.counts), FLAG_COUNTS)
        | flag(word.is_some_and(|w| w.knows_itself), FLAG_KNOWS_ITSELF);
    let mut bytes = vec![VERSION, flags];
    bytes.append(&mut body);
    bytes
}

/// How many nodes, and each: its kind and its name.
fn word_bytes(word: &Word) -> Vec<u8> {
    let mut bytes = vec![0];
    let unreachable = word.unreachable.iter().map(|name| (0, name));
    let all = unreachable.chain(word.unwell.iter().map(|name| (1, name)));
    let mut count = 0;
    for (kind, name) in all.take(AGAINST_MAX) {
        let Ok(length) = u8::try_from(name.len()) else {
            continue;
        };
        if bytes.len() + 2 + name.len() <= WORD_BYTES_MAX {
            bytes.extend([kind, length]);
            bytes.extend_from_slice(name.as_bytes());
            count += 1;
        }
    }
    if let Some(first) = bytes.first_mut() {
        *first = count;
    }
    bytes
}

/// The word of a record and what follows it.
fn read_word(flags: u8, bytes: &[u8]) -> Option<(Word, &[u8])> {
    let (&count, mut rest) = bytes.split_first()?;
    let mut word = Word {
        counts: flags & FLAG_COUNTS != 0,
        knows_itself: flags & FLAG_KNOWS_ITSELF != 0,
        unreachable: BTreeSet::new(),
        unwell: BTreeSet::new(),
    };
    for _ in 0..count {
        let (&[kind, length], tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(usize::from(length))?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        match kind {
            0 => word.unreachable.insert(name),
            1 => word.unwell.insert(name),
            _ => return None,
        };
        rest = tail;
    }
    Some((word, rest))
}

/// Reads a record; `None` when it cannot be read, also when a later version wrote it. The
/// caller then knows nothing of the node's interfaces: see [`unknown`].
pub fn decode(bytes: &[u8]) -> Option<MemberRecord> {
    if bytes.len() > RECORD_BYTES_MAX {
        return None;
    }
    let (&[version, flags], mut rest) = bytes.split_first_chunk::<2>()?;
    if version != VERSION {
        return None;
    }
    let mut word = None;
    if flags & FLAG_WORD != 0 {
        let (read, tail) = read_word(flags, rest)?;
        word = Some(read);
        rest = tail;
    }
    let mut interfaces = BTreeMap::new();
    while let Some((&length, tail)) = rest.split_first() {
        let length = usize::from(length);
        if length == 0 || length > NAME_BYTES_MAX {
            return None;
        }
        let (name, tail) = tail.split_at_checked(length)?;
        let (mac, tail) = tail.split_first_chunk::<6>()?;
        interfaces.insert(String::from_utf8(name.to_vec()).ok()?, *mac);
        rest = tail;
    }
    Some(MemberRecord {
        interfaces,
        truncated: flags & FLAG_TRUNCATED != 0,
        leaving: flags & FLAG_LEAVING != 0,
        isolated: flags & FLAG_ISOLATED != 0,
        word,
    })
}

/// What is known of a member whose record has not come or cannot be read: nothing, so it
/// is taken to have every interface.
pub fn unknown() -> MemberRecord {
    MemberRecord {
        interfaces: BTreeMap::new(),
        truncated: true,
        ..MemberRecord::default()
    }
}

/// An encoded record with what the wire alone knows: whether the node leaves or is cut
/// off. A record that is not there yet becomes one that knows no interface and says so.
pub fn flagged(bytes: &[u8], leaving: bool, isolated: bool) -> Vec<u8> {
    let record = MemberRecord {
        leaving,
        isolated,
        ..decode(bytes).unwrap_or_else(unknown)
    };
    encode(&record)
}
