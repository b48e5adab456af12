//! What every verb does with its answer: text, JSON or YAML on standard output, and the exit status.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// What an answer means for the exit status; a question that cannot be answered is an `Err` (2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All well: 0.
    Good,
    /// The answer is bad news: 1.
    Bad,
}

impl Verdict {
    /// Bad when `bad`.
    pub fn bad_if(bad: bool) -> Self {
        if bad { Self::Bad } else { Self::Good }
    }
}

/// The value as the text of a program's format; `text` is what a person gets.
///
/// # Errors
/// The value cannot be written in that format.
pub fn render(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<String> {
    Ok(match format {
        Format::Text => text(),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(value).context("writing JSON")?;
            json.push('\n');
            json
        }
        Format::Yaml => serde_saphyr::to_string(value).context("writing YAML")?,
    })
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}
