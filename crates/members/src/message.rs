//! Our messages: what a sealed payload holds. One leading byte says which.
//!
//! Owns the layout of all kinds but foca's own bytes (`codec`) and the reader both decode with. Keeps no state. Kinds 16 and up are
//! left for claims (256 buckets with digests, pulled): a kind that is not known is dropped, so they can be added beside the records.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

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
            _ => return None,
        };
        reader.is_empty().then_some(message)
    }
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

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn boot(&mut self) -> Option<BootId> {
        self.array().map(BootId::from_bytes)
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

/// Payload bytes of a datagram before the seal: with seal, UDP and IPv6 under 1,300, which passes Ethernet with any tunnel's header.
pub const MAX_PAYLOAD_BYTES: usize = 1_200;

/// Bytes of a record, so that one fits in a datagram with room to spare.
pub const MAX_RECORD_BYTES: usize = 1_024;

/// Bytes of a node name: a Kubernetes node name is a DNS subdomain (RFC 1123) of at most 253.
pub const MAX_NAME_BYTES: usize = 253;

/// Entries in one comparison of records: 24 bytes each within a payload.
pub(crate) const MAX_SYNC_ENTRIES: usize = 48;

#[cfg(test)]
mod tests;
