//! Reading manifests once, for the verbs that only look: the directory source's own reader.

#[cfg(test)]
mod tests;

use crate::manifest::{self, Content};
use crate::snapshot::{self, Snapshot, State, WATCHED};
use engine::problem::Problem;
use engine::world::Change;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// What manifests say.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The world: a Reset of every kind, then what is unreadable, then the source's problems.
    pub changes: Vec<Change>,
    /// Files and documents that could not be parsed (severity error, kind `File`), also told by
    /// the last change.
    pub problems: Vec<Problem>,
    /// Objects of kinds that are not understood, by kind.
    pub skipped: BTreeMap<String, usize>,
}

/// A path that cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// Reads files, folders (recursively) and `-` (standard input). `metallb.io` objects count only
/// in `namespace`; one without a namespace is taken to be in it.
pub fn read_manifests(paths: &[PathBuf], namespace: &str) -> Result<Manifests, ReadError> {
    let mut problems = Vec::new();
    let mut contents = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            contents.push(standard_input(namespace)?);
            continue;
        }
        if let Err(source) = std::fs::metadata(path) {
            let path = path.clone();
            return Err(ReadError { path, source });
        }
        let (files, faults) = manifest::find(path, None);
        problems.extend(faults);
        for file in files {
            let shown = shown(path, &file);
            contents.push(manifest::read(&file, &shown, namespace));
        }
    }
    let mut skipped = BTreeMap::new();
    for content in &contents {
        problems.extend(content.problems.iter().cloned());
        for (kind, count) in &content.skipped {
            *skipped.entry(kind.clone()).or_default() += count;
        }
    }
    let objects = snapshot::join(contents.iter().flat_map(|c| &c.objects), &mut problems);
    let snapshot: Snapshot = snapshot::build(&objects, &State::new(), problems, None);
    Ok(Manifests {
        changes: snapshot.reset(WATCHED, 0),
        problems: snapshot.problems,
        skipped,
    })
}

/// A file as problems show it: from the folder named on, so that output does not depend on where
/// the folder lies.
fn shown(root: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(root).ok();
    let inside = inside.filter(|inside| !inside.as_os_str().is_empty());
    let name = || file.file_name().map(Path::new);
    inside.or_else(name).unwrap_or(file).display().to_string()
}

fn standard_input(namespace: &str) -> Result<Content, ReadError> {
    let mut text = String::new();
    let input = io::stdin().lock();
    match input
        .take(manifest::FILE_BYTES_MAX)
        .read_to_string(&mut text)
    {
        Ok(_) => Ok(manifest::parse("-", &text, namespace)),
        Err(source) => Err(ReadError {
            path: PathBuf::from("-"),
            source,
        }),
    }
}
