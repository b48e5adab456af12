//! Lines of a watch: one JSON object each.

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use std::io;

/// Longest line, bytes: the store's bound on one object is 1.5 MiB, encoded at most twice that.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads one line into `line`; false at the end of the stream. A line cut off by the end is an
/// error: half an object is no object.
pub(super) async fn read(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    loop {
        let buffered = stream.fill_buf().await?;
        if buffered.is_empty() {
            return if line.is_empty() {
                Ok(false)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffered.len(), |end| end + 1);
        line.extend_from_slice(buffered.get(..taken).unwrap_or_default());
        stream.consume_unpin(taken);
        if line.len() > LINE_BYTES_MAX {
            return Err(io::Error::other("a watch event is longer than any object"));
        }
        if end.is_some() {
            return Ok(true);
        }
    }
}
