//! A list in the API server's binary form, read as it comes: one object is held at a time.
//!
//! ```text
//! "k8s\0" Unknown { 2: raw = List { 1: metadata, 2: item, 2: item, … } }
//! ```
//! Owns the two outer layers of the encoding; objects are handed on as bytes.

use crate::convert::protobuf::ListMeta;
use futures::{AsyncBufRead, AsyncReadExt as _, io};
use prost::{DecodeError, Message as _};

/// What every answer of this form begins with.
pub(super) const MAGIC: &[u8] = b"k8s\0";
/// LIMIT: bytes of one object; the store's own bound is 1.5 MiB.
const OBJECT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// `raw` of the envelope.
const RAW: u64 = 2;
/// `metadata` and `items` of every list.
const METADATA: u64 = 1;
const ITEMS: u64 = 2;

/// Reads a whole list and hands each object on; the list's own metadata.
pub(super) async fn read<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    mut object: impl FnMut(&[u8]) -> Result<(), DecodeError>,
) -> io::Result<ListMeta> {
    let mut input = Input { stream, read: 0 };
    let mut bytes = Vec::new();
    input.take(MAGIC.len() as u64, &mut bytes).await?;
    if bytes != MAGIC {
        return Err(io::Error::other("no answer of the binary form"));
    }
    let mut meta = None;
    while let Some(key) = input.key().await? {
        let Key::Bytes(field, length) = key else {
            continue;
        };
        if field != RAW {
            input.take(length, &mut bytes).await?;
            continue;
        }
        let end = input.read.saturating_add(length);
        while input.read < end {
            let key = input.key().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let Key::Bytes(field, length) = key else {
                continue;
            };
            input.take(length, &mut bytes).await?;
            match field {
                METADATA => meta = Some(ListMeta::decode(bytes.as_slice())?),
                ITEMS => object(&bytes)?,
                _ => {}
            }
        }
    }
    meta.ok_or_else(|| io::Error::other("a list without metadata"))
}

/// What begins a field.
enum Key {
    /// So many bytes follow.
    Bytes(u64, u64),
    /// A number, which is read already.
    Number,
}

struct Input<'a, S> {
    stream: &'a mut S,
    /// Bytes so far.
    read: u64,
}

impl<S: AsyncBufRead + Unpin> Input<'_, S> {
    /// The next field; none at the end of the stream.
    async fn key(&mut self) -> io::Result<Option<Key>> {
        let Some(first) = self.byte().await? else {
            return Ok(None);
        };
        let key = self.varint(first).await?;
        let next = self.byte().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let value = self.varint(next).await?;
        match key & 7 {
            0 => Ok(Some(Key::Number)),
            2 => Ok(Some(Key::Bytes(key >> 3, value))),
            _ => Err(io::Error::other("a list has no such field")),
        }
    }

    /// A number in groups of seven bits, the lowest first.
    async fn varint(&mut self, first: u8) -> io::Result<u64> {
        let mut byte = first;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            byte = self.byte().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        Err(io::Error::other("a number of more than 64 bits"))
    }

    async fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let count = self.stream.read(&mut byte).await?;
        self.read = self.read.saturating_add(count as u64);
        Ok((count > 0).then_some(byte[0]))
    }

    /// Exactly so many bytes, in place of what `bytes` holds.
    async fn take(&mut self, length: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        if length > OBJECT_BYTES_MAX {
            return Err(io::Error::other("an object longer than any can be"));
        }
        bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.stream.read_exact(bytes).await?;
        self.read = self.read.saturating_add(length);
        Ok(())
    }
}
