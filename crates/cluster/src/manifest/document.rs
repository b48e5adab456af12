//! One file into its documents, each parsed alone.

use serde_json::Value;

/// A document and the line it starts on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    /// What it says; never null.
    pub(super) value: Value,
    /// `file:line` of its first line that says something.
    pub(super) source: String,
}

/// Where and why a document cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParseError {
    /// Line in the file, from 1.
    pub(super) line: u64,
    /// Column, from 1.
    pub(super) column: u64,
    /// Why.
    pub(super) message: String,
}

/// Splits and parses. A file that begins with `{` holds JSON objects, one after another; any other
/// holds YAML documents.
pub(super) fn split(shown: &str, text: &str) -> Vec<Result<Document, ParseError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Some(documents) = json(shown, text)
    {
        return documents;
    }
    yaml(shown, text)
}

/// JSON objects one after another. None when not even the first one is JSON: YAML's flow style
/// also begins with a brace.
fn json(shown: &str, text: &str) -> Option<Vec<Result<Document, ParseError>>> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let from = stream.byte_offset();
        match stream.next() {
            None => return Some(documents),
            Some(Ok(value)) => {
                let rest = text.get(from..).unwrap_or_default();
                let start = from + (rest.len() - rest.trim_start().len());
                let line = 1 + text.get(..start).unwrap_or_default().matches('\n').count();
                documents.push(Ok(Document {
                    value,
                    source: format!("{shown}:{line}"),
                }));
            }
            Some(Err(_)) if documents.is_empty() => return None,
            Some(Err(error)) => {
                documents.push(Err(ParseError {
                    line: error.line() as u64,
                    column: error.column() as u64,
                    message: plain(&error.to_string()),
                }));
                return Some(documents);
            }
        }
    }
}

/// A line that begins with `---` ends a document wherever it stands (YAML 1.2, 9.1.2: also inside
/// a block scalar), so splitting before parsing is exact, and a broken document ends there too.
fn yaml(shown: &str, text: &str) -> Vec<Result<Document, ParseError>> {
    let mut documents = Vec::new();
    let mut chunk = String::new();
    let mut first_line = 1;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let end = is_marker(line, "...");
        if end || is_marker(line, "---") {
            documents.extend(document(shown, &chunk, first_line));
            chunk.clear();
            first_line = at as u64 + 1;
        }
        chunk.push_str(if end { "\n" } else { line });
    }
    documents.extend(document(shown, &chunk, first_line));
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Parses one document whose text begins on `first_line`; none when it says nothing.
fn document(shown: &str, text: &str, first_line: u64) -> Option<Result<Document, ParseError>> {
    let says = |line: &str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with('%') && line != "---"
    };
    let skipped = text.lines().position(says)? as u64;
    let line = first_line + skipped;
    Some(
        match serde_saphyr::from_str_with_options::<Value>(text, options(text.len())) {
            Ok(Value::Null) => return None,
            Ok(value) => Ok(Document {
                value,
                source: format!("{shown}:{line}"),
            }),
            Err(error) => {
                let place = error.location();
                Err(ParseError {
                    line: place.map_or(line, |place| first_line + place.line().saturating_sub(1)),
                    column: place.map_or(1, |place| place.column().max(1)),
                    message: plain(&error.without_snippet().to_string()),
                })
            }
        },
    )
}

/// The parser's own bounds, but for those that a whole cluster dumped as one list would break:
/// they grow with the text, which is bounded by [`super::FILE_BYTES_MAX`]. What aliases expand to
/// stays bounded as it was.
fn options(bytes: usize) -> serde_saphyr::Options {
    let usual = serde_saphyr::Budget::default();
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: usual.max_nodes.max(bytes),
            max_events: usual.max_events.max(bytes.saturating_mul(2)),
        },
    }
}

/// The parser's sentence without its own place (relative to the document) and snippet.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let cut = first
        .find(" at line ")
        .or_else(|| first.find(" (line "))
        .unwrap_or(first.len());
    first.get(..cut).unwrap_or(first).trim().to_owned()
}
