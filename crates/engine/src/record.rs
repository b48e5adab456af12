//! The member record on the wire: what a speaker tells its fellows of itself.
//!
//! Layout: version (1) | flags (bit 0: cut, 1: leaving, 2: isolated) | per interface: length of the name (1..=15) |
//! name | hardware address (6). Owns the encoding; the membership carries the bytes and
//! does not look into them.

#[cfg(test)]
mod tests;

use crate::facts::MemberRecord;
use std::collections::BTreeMap;

/// LIMIT: bytes of a record, so that it fits beside the gossip in one datagram of 1,200.
pub const RECORD_BYTES_MAX: usize = 1_024;

/// LIMIT: IFNAMSIZ - 1 of the kernel.
const NAME_BYTES_MAX: usize = 15;

const VERSION: u8 = 1;
const FLAG_TRUNCATED: u8 = 1;
const FLAG_LEAVING: u8 = 2;
const FLAG_ISOLATED: u8 = 4;

/// Writes a record in at most [`RECORD_BYTES_MAX`] bytes. Interfaces that do not fit, in
/// the order of their names, are left out and the record says so: the others then take the
/// node to have any interface that is asked for.
pub fn encode(record: &MemberRecord) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
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
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(truncated, FLAG_TRUNCATED)
        | flag(record.leaving, FLAG_LEAVING)
        | flag(record.isolated, FLAG_ISOLATED);
    let mut bytes = vec![VERSION, flags];
    bytes.append(&mut body);
    bytes
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
