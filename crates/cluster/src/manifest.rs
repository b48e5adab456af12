//! Manifests: files to objects.
//!
//! Owns finding the files, splitting them into documents, parsing each alone (a broken one costs
//! nothing but itself) and checking each object as the API server would by itself. It keeps
//! nothing, and derives nothing that needs a second object: that is [`crate::snapshot`]'s.

mod document;
mod find;
mod object;
#[cfg(test)]
mod tests;

pub(crate) use find::find;
pub(crate) use object::{Object, name_fits};

use engine::name::NamespacedName;
use engine::problem::{Problem, Severity, reason};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Longest file that is read, bytes: a cluster of 10,000 Services dumps to about 13 MB.
pub(crate) const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What one file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// Objects of kinds that are understood.
    pub(crate) objects: Vec<Arc<Object>>,
    /// What is wrong with the file.
    pub(crate) problems: Vec<Problem>,
    /// Objects of other kinds, by kind.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// Some part could not be parsed: which objects stood there is not known.
    pub(crate) broken: bool,
}

/// Reads the text of one file; `shown` is how problems name it.
pub(crate) fn parse(shown: &str, text: &str, namespace: &str) -> Content {
    let mut content = Content::default();
    for document in document::split(shown, text) {
        match document {
            Ok(document) => object::take(document, namespace, &mut content),
            Err(error) => {
                content.broken = true;
                content.problems.push(file_problem(
                    shown,
                    Some((error.line, error.column)),
                    &error.message,
                ));
            }
        }
    }
    content
}

/// Reads one file; one that cannot be read is a problem and broken.
pub(crate) fn read(path: &Path, shown: &str, namespace: &str) -> Content {
    let text = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => Err(format!(
            "the file is longer than {FILE_BYTES_MAX} bytes and is not read"
        )),
        Ok(_) => std::fs::read(path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string())),
        Err(error) => Err(error.to_string()),
    };
    match text {
        Ok(text) => parse(shown, &text, namespace),
        Err(message) => Content {
            problems: vec![file_problem(shown, None, &message)],
            broken: true,
            ..Content::default()
        },
    }
}

/// A problem of a file rather than of an object.
pub(crate) fn file_problem(shown: &str, place: Option<(u64, u64)>, message: &str) -> Problem {
    let (message, source) = match place {
        Some((line, column)) => (
            format!("line {line}, column {column}: {message}"),
            format!("{shown}:{line}:{column}"),
        ),
        None => (message.to_owned(), shown.to_owned()),
    };
    Problem {
        severity: Severity::Error,
        kind: "File".to_owned(),
        object: NamespacedName::new("", shown),
        reason: reason::UNREADABLE,
        message,
        source: Some(Arc::from(source)),
    }
}
