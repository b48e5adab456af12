//! What happened: a hash of everything, and, for a run that is told, the last lines in words.

use std::collections::VecDeque;
use std::fmt::Arguments;
use std::time::{Duration, Instant};

/// LIMIT: lines kept; what led to a failure is in the last seconds.
const LINES_MAX: usize = 4_000;

/// See the module.
pub(super) struct Trace {
    start: Instant,
    hash: u64,
    telling: bool,
    lines: VecDeque<(Duration, String)>,
}

impl Trace {
    pub(super) fn new(start: Instant, telling: bool) -> Self {
        Self {
            start,
            hash: 0xcbf2_9ce4_8422_2325,
            telling,
            lines: VecDeque::new(),
        }
    }

    /// Folds a number in.
    pub(super) fn fold(&mut self, number: u64) {
        self.hash = (self.hash ^ number)
            .wrapping_mul(0x9fb2_1c65_1e98_df25)
            .rotate_left(29);
    }

    /// Folds bytes in, eight at a time.
    pub(super) fn fold_bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.fold(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let mut rest = [0; 8];
        rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.fold(u64::from_le_bytes(rest) ^ bytes.len() as u64);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// A line, if lines are kept: the text is made only then.
    pub(super) fn line(&mut self, now: Instant, text: Arguments<'_>) {
        if self.telling {
            if self.lines.len() == LINES_MAX {
                self.lines.pop_front();
            }
            self.lines.push_back((now - self.start, text.to_string()));
        }
    }

    /// The last lines, oldest first.
    pub(super) fn tail(&self, lines: usize) -> String {
        let skip = self.lines.len().saturating_sub(lines);
        let text = |(at, line): &(Duration, String)| format!("{:>12.6} {line}\n", at.as_secs_f64());
        self.lines.iter().skip(skip).map(text).collect()
    }
}
