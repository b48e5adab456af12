//! Our messages: what a sealed payload holds. One leading byte says which.
//!
//! Owns the layout of all kinds but foca's own bytes (`codec`) and the parts of claims (`claims::wire`), and the reader all decode
//! with. Keeps no state. Kinds 16 and up are for claims. A kind that is not known is dropped.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::claims::wire::Part;
use crate::identity::{BootId, Identity};

/// One message. `sender` is always the boot the seal names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// SWIM, as `codec` writes it.
    Foca(Vec<u8>),
    /// "Who is there?", to an address.
    Hello { sender: Identity },
    /// The answer: an identity that is alive now, for it answers to this very boot.
    Welcome { to: BootId, sender: Identity },
    /// A goodbye, to every member.
    Leave { sender: Identity },
    /// The answer to one whose name is held by another boot, or was held by one of a higher rank.
    Taken {
        to: BootId,
        holder: Identity,
        alive: bool,
    },
    /// The record of the node with this boot; it may come from another one.
    Record {
        boot: BootId,
        sequence: u64,
        bytes: Vec<u8>,
    },
    /// Which records the sender has.
    Sync(Vec<(BootId, u64)>),
    /// Which records the sender asks for.
    Want(Vec<BootId>),
    /// Which claims the sender has.
    Have {
        /// Not 0: an answer is wanted that bears this number.
        question: u32,
        /// Not 0: this answers that question.
        answers: u32,
        states: Vec<BookState>,
    },
    /// The sender asks for the buckets of this boot in which it differs: what is not named is empty.
    Pull {
        boot: BootId,
        digests: BTreeMap<u8, u32>,
    },
    /// Claims of a boot; it may come from another one.
    Claims {
        /// What the book is when everything has arrived.
        state: BookState,
        /// More is under way.
        more: bool,
        parts: Vec<Part>,
    },
}

/// The claims of a boot in short: how many changes there were, and the digest of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BookState {
    pub(crate) boot: BootId,
    pub(crate) version: u64,
    pub(crate) digest: u64,
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_PAYLOAD_BYTES);
        match self {
            Self::Foca(bytes) => {
                out.push(KIND_FOCA);
                out.extend_from_slice(bytes);
            }
            Self::Hello { sender } => {
                out.push(KIND_HELLO);
                put_identity(&mut out, sender);
            }
            Self::Welcome { to, sender } => {
                out.push(KIND_WELCOME);
                out.extend_from_slice(to.as_bytes());
                put_identity(&mut out, sender);
            }
            Self::Leave { sender } => {
                out.push(KIND_LEAVE);
                put_identity(&mut out, sender);
            }
            Self::Taken { to, holder, alive } => {
                out.push(KIND_TAKEN);
                out.extend_from_slice(to.as_bytes());
                out.push(u8::from(*alive));
                put_identity(&mut out, holder);
            }
            Self::Record {
                boot,
                sequence,
                bytes,
            } => {
                out.push(KIND_RECORD);
                out.extend_from_slice(boot.as_bytes());
                out.extend_from_slice(&sequence.to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Self::Sync(entries) => {
                out.push(KIND_SYNC);
                for (boot, sequence) in entries {
                    out.extend_from_slice(boot.as_bytes());
                    out.extend_from_slice(&sequence.to_be_bytes());
                }
            }
            Self::Want(boots) => {
                out.push(KIND_WANT);
                boots
                    .iter()
                    .for_each(|boot| out.extend_from_slice(boot.as_bytes()));
            }
            Self::Have {
                question,
                answers,
                states,
            } => {
                out.push(KIND_HAVE);
                out.extend_from_slice(&question.to_be_bytes());
                out.extend_from_slice(&answers.to_be_bytes());
                states.iter().for_each(|state| put_state(&mut out, state));
            }
            Self::Pull { boot, digests } => put_pull(&mut out, *boot, digests),
            Self::Claims { state, more, parts } => {
                out.push(KIND_CLAIMS);
                put_state(&mut out, state);
                out.push(u8::from(*more));
                parts.iter().for_each(|part| part.encode(&mut out));
            }
        }
        out
    }

    /// Reads a whole payload; nothing may be left over.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let message = match reader.byte()? {
            KIND_FOCA => Self::Foca(reader.rest().to_vec()),
            KIND_HELLO => Self::Hello {
                sender: reader.identity()?,
            },
            KIND_WELCOME => Self::Welcome {
                to: reader.boot()?,
                sender: reader.identity()?,
            },
            KIND_LEAVE => Self::Leave {
                sender: reader.identity()?,
            },
            KIND_TAKEN => {
                let to = reader.boot()?;
                let alive = match reader.byte()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                Self::Taken {
                    to,
                    holder: reader.identity()?,
                    alive,
                }
            }
            KIND_RECORD => {
                let (boot, sequence) = (reader.boot()?, reader.u64()?);
                let bytes = reader.rest().to_vec();
                if bytes.len() > MAX_RECORD_BYTES {
                    return None;
                }
                Self::Record {
                    boot,
                    sequence,
                    bytes,
                }
            }
            KIND_SYNC => {
                let mut entries = Vec::new();
                while !reader.is_empty() {
                    entries.push((reader.boot()?, reader.u64()?));
                }
                Self::Sync(entries)
            }
            KIND_WANT => {
                let mut boots = Vec::new();
                while !reader.is_empty() {
                    boots.push(reader.boot()?);
                }
                Self::Want(boots)
            }
            KIND_HAVE => Self::decode_have(&mut reader)?,
            KIND_PULL => Self::decode_pull(&mut reader)?,
            KIND_CLAIMS => Self::decode_claims(&mut reader)?,
            _ => return None,
        };
        reader.is_empty().then_some(message)
    }

    fn decode_have(reader: &mut Reader<'_>) -> Option<Self> {
        let (question, answers) = (reader.u32()?, reader.u32()?);
        let mut states = Vec::new();
        while !reader.is_empty() {
            states.push(reader.state()?);
        }
        Some(Self::Have {
            question,
            answers,
            states,
        })
    }

    fn decode_pull(reader: &mut Reader<'_>) -> Option<Self> {
        let boot = reader.boot()?;
        let held: [u8; 32] = reader.array()?;
        let mut digests = BTreeMap::new();
        for place in 0..=u8::MAX {
            let byte = held.get(usize::from(place >> 3))?;
            if byte & 1 << (place & 7) != 0 {
                digests.insert(place, reader.u32()?);
            }
        }
        Some(Self::Pull { boot, digests })
    }

    fn decode_claims(reader: &mut Reader<'_>) -> Option<Self> {
        let state = reader.state()?;
        let more = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut parts = Vec::new();
        while !reader.is_empty() {
            let part = Part::decode(reader)?;
            if part.version > state.version {
                return None;
            }
            parts.push(part);
        }
        Some(Self::Claims { state, more, parts })
    }
}

fn put_state(out: &mut Vec<u8>, state: &BookState) {
    out.extend_from_slice(state.boot.as_bytes());
    out.extend_from_slice(&state.version.to_be_bytes());
    out.extend_from_slice(&state.digest.to_be_bytes());
}

/// Writes 256 bits for the buckets that hold something, then a digest for each of these.
fn put_pull(out: &mut Vec<u8>, boot: BootId, digests: &BTreeMap<u8, u32>) {
    out.push(KIND_PULL);
    out.extend_from_slice(boot.as_bytes());
    let mut held = [0_u8; 32];
    for place in digests.keys() {
        if let Some(byte) = held.get_mut(usize::from(place >> 3)) {
            *byte |= 1 << (place & 7);
        }
    }
    out.extend_from_slice(&held);
    digests
        .values()
        .for_each(|digest| out.extend_from_slice(&digest.to_be_bytes()));
}

/// Writes `boot | rank | family | address | port | length of the name | name`.
///
/// LIMIT: the zone of an IPv6 link-local address is not carried, as it means nothing on another node; use other addresses.
pub(crate) fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    out.extend_from_slice(identity.boot.as_bytes());
    out.extend_from_slice(&identity.rank.to_be_bytes());
    match identity.address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&identity.address.port().to_be_bytes());
    out.push(
        u8::try_from(identity.name.len())
            .expect("names have at most MAX_NAME_BYTES, checked where they come in"),
    );
    out.extend_from_slice(identity.name.as_bytes());
}

/// Takes values off the front of bytes from the network; `None` where they end too early or say what cannot be.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn left(&self) -> usize {
        self.left.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.left.split_first_chunk::<N>()?;
        self.left = rest;
        Some(*front)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn boot(&mut self) -> Option<BootId> {
        self.array().map(BootId::from_bytes)
    }

    fn state(&mut self) -> Option<BookState> {
        Some(BookState {
            boot: self.boot()?,
            version: self.u64()?,
            digest: self.u64()?,
        })
    }

    pub(crate) fn identity(&mut self) -> Option<Identity> {
        let (boot, rank) = (self.boot()?, self.u64()?);
        let ip = match self.byte()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return None,
        };
        let address = SocketAddr::new(ip, self.u16()?);
        let length = usize::from(self.byte()?);
        if length == 0 || length > MAX_NAME_BYTES || self.left.len() < length {
            return None;
        }
        let (name, rest) = self.left.split_at(length);
        self.left = rest;
        let name = Arc::from(std::str::from_utf8(name).ok()?);
        Some(Identity::new(name, address, boot, rank))
    }
}

const KIND_FOCA: u8 = 1;
const KIND_HELLO: u8 = 2;
const KIND_WELCOME: u8 = 3;
const KIND_LEAVE: u8 = 4;
const KIND_TAKEN: u8 = 5;
const KIND_RECORD: u8 = 6;
const KIND_SYNC: u8 = 7;
const KIND_WANT: u8 = 8;
const KIND_HAVE: u8 = 16;
const KIND_PULL: u8 = 17;
const KIND_CLAIMS: u8 = 18;

/// Payload bytes of a datagram before the seal: with seal, UDP and IPv6 under 1,300, which passes Ethernet with any tunnel's header.
pub const MAX_PAYLOAD_BYTES: usize = 1_200;

/// Bytes of a record, so that one fits in a datagram with room to spare.
pub const MAX_RECORD_BYTES: usize = 1_024;

/// Bytes of a node name: a Kubernetes node name is a DNS subdomain (RFC 1123) of at most 253.
pub const MAX_NAME_BYTES: usize = 253;

/// Entries in one comparison of records: 24 bytes each within a payload.
pub(crate) const MAX_SYNC_ENTRIES: usize = 48;

/// Payload bytes of a datagram with claims: sealed, it is a UDP payload of at most 1,200 bytes.
pub(crate) const MAX_CLAIMS_PAYLOAD_BYTES: usize = 1_151;

/// Bytes of a datagram with claims before its parts: kind, state, flag.
pub(crate) const CLAIMS_FRONT_BYTES: usize = 1 + 32 + 1;

#[cfg(test)]
mod tests;
