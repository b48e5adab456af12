//! foca's messages on the wire, by hand: bounded, without serde.
//!
//! Owns the layout `source | incarnation | boot and rank of the destination | tag | fields`, then foca's count and its updates.
//! Keeps no state. The destination goes without name and address: boot and rank are what foca compares, and a payload with two names
//! of 253 bytes would leave little room for updates.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};

use crate::identity::Identity;
use crate::message::{Reader, put_identity};

/// The codec foca is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codec;

/// The buffer is full, or the bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodecError {
    Full,
    Malformed,
}

impl fmt::Display for CodecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "no room in the datagram",
            Self::Malformed => "malformed message",
        })
    }
}

impl std::error::Error for CodecError {}

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        let mut out = Vec::with_capacity(128);
        put_identity(&mut out, &header.src);
        out.extend_from_slice(&header.src_incarnation.to_be_bytes());
        out.extend_from_slice(header.dst.boot.as_bytes());
        out.extend_from_slice(&header.dst.rank.to_be_bytes());
        put_message(&mut out, &header.message);
        put_whole(buf, &out)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        decode_with(buf, read_header)
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        let mut out = Vec::with_capacity(64);
        put_identity(&mut out, member.id());
        out.extend_from_slice(&member.incarnation().to_be_bytes());
        out.push(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        put_whole(buf, &out)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, CodecError> {
        decode_with(buf, read_member)
    }
}

/// Reads a whole foca message without acting on it, so that the machine can judge it first.
pub(crate) fn peek(bytes: &[u8]) -> Option<(Header<Identity>, Vec<Member<Identity>>)> {
    let mut reader = Reader::new(bytes);
    let header = read_header(&mut reader)?;
    let mut updates = Vec::new();
    if !reader.is_empty() {
        // Bounded by the payload: each update has at least 35 bytes.
        for _ in 0..reader.u16()? {
            updates.push(read_member(&mut reader)?);
        }
    }
    reader.is_empty().then_some((header, updates))
}

/// Writes all or nothing: foca demands that no half item stays behind.
fn put_whole(mut buf: impl BufMut, bytes: &[u8]) -> Result<(), CodecError> {
    if buf.remaining_mut() < bytes.len() {
        return Err(CodecError::Full);
    }
    buf.put_slice(bytes);
    Ok(())
}

fn decode_with<T>(
    mut buf: impl Buf,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<T, CodecError> {
    let mut reader = Reader::new(buf.chunk());
    let before = reader.left();
    let value = read(&mut reader).ok_or(CodecError::Malformed)?;
    let taken = before - reader.left();
    buf.advance(taken);
    Ok(value)
}

fn read_header(reader: &mut Reader<'_>) -> Option<Header<Identity>> {
    let src = reader.identity()?;
    let src_incarnation = reader.u16()?;
    let (boot, rank) = (reader.boot()?, reader.u64()?);
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let dst = Identity::new(Arc::from(""), nowhere, boot, rank);
    let message = read_message(reader)?;
    Some(Header {
        src,
        src_incarnation,
        dst,
        message,
    })
}

fn read_member(reader: &mut Reader<'_>) -> Option<Member<Identity>> {
    let (id, incarnation) = (reader.identity()?, reader.u16()?);
    let state = match reader.byte()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return None,
    };
    Some(Member::new(id, incarnation, state))
}

fn put_message(out: &mut Vec<u8>, message: &Message<Identity>) {
    let mut put = |tag: u8, number: Option<u8>, identity: Option<&Identity>| {
        out.push(tag);
        out.extend(number);
        if let Some(identity) = identity {
            put_identity(out, identity);
        }
    };
    match message {
        Message::Ping(number) => put(PING, Some(*number), None),
        Message::Ack(number) => put(ACK, Some(*number), None),
        Message::PingReq {
            target,
            probe_number,
        } => put(PING_REQ, Some(*probe_number), Some(target)),
        Message::IndirectPing {
            origin,
            probe_number,
        } => put(INDIRECT_PING, Some(*probe_number), Some(origin)),
        Message::IndirectAck {
            target,
            probe_number,
        } => put(INDIRECT_ACK, Some(*probe_number), Some(target)),
        Message::ForwardedAck {
            origin,
            probe_number,
        } => put(FORWARDED_ACK, Some(*probe_number), Some(origin)),
        Message::Announce => put(ANNOUNCE, None, None),
        Message::Feed => put(FEED, None, None),
        Message::Gossip => put(GOSSIP, None, None),
        Message::Broadcast => put(BROADCAST, None, None),
        Message::TurnUndead => put(TURN_UNDEAD, None, None),
    }
}

fn read_message(reader: &mut Reader<'_>) -> Option<Message<Identity>> {
    let tag = reader.byte()?;
    let message = match tag {
        PING => Message::Ping(reader.byte()?),
        ACK => Message::Ack(reader.byte()?),
        PING_REQ..=FORWARDED_ACK => {
            let (probe_number, identity) = (reader.byte()?, reader.identity()?);
            match tag {
                PING_REQ => Message::PingReq {
                    target: identity,
                    probe_number,
                },
                INDIRECT_PING => Message::IndirectPing {
                    origin: identity,
                    probe_number,
                },
                INDIRECT_ACK => Message::IndirectAck {
                    target: identity,
                    probe_number,
                },
                _ => Message::ForwardedAck {
                    origin: identity,
                    probe_number,
                },
            }
        }
        ANNOUNCE => Message::Announce,
        FEED => Message::Feed,
        GOSSIP => Message::Gossip,
        BROADCAST => Message::Broadcast,
        TURN_UNDEAD => Message::TurnUndead,
        _ => return None,
    };
    Some(message)
}

const PING: u8 = 1;
const ACK: u8 = 2;
const PING_REQ: u8 = 3;
const INDIRECT_PING: u8 = 4;
const INDIRECT_ACK: u8 = 5;
const FORWARDED_ACK: u8 = 6;
const ANNOUNCE: u8 = 7;
const FEED: u8 = 8;
const GOSSIP: u8 = 9;
const BROADCAST: u8 = 10;
const TURN_UNDEAD: u8 = 11;

#[cfg(test)]
mod tests;
