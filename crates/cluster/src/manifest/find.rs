//! Finding manifests: a file as it is, a folder recursively and in path order.

use super::file_problem;
use engine::problem::Problem;
use std::path::{Path, PathBuf};

/// Deepest folder that is entered; a loop of links ends here.
const DEPTH_MAX: usize = 16;
/// Most files that are read.
const FILES_MAX: usize = 20_000;

/// The manifests under `root`, sorted by path, without hidden names (so without the state folder,
/// editors' swap files and the `..data` of a mounted ConfigMap) and without `except`.
pub(crate) fn find(root: &Path, except: Option<&Path>) -> (Vec<PathBuf>, Vec<Problem>) {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    if root.is_dir() {
        enter(root, except, 0, &mut found, &mut problems);
        found.sort();
    } else {
        found.push(root.to_owned());
    }
    (found, problems)
}

fn enter(
    folder: &Path,
    except: Option<&Path>,
    depth: usize,
    found: &mut Vec<PathBuf>,
    problems: &mut Vec<Problem>,
) {
    let shown = folder.display().to_string();
    if depth > DEPTH_MAX {
        let text = format!("folders deeper than {DEPTH_MAX} are not read");
        problems.push(file_problem(&shown, None, &text));
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(file_problem(&shown, None, &error.to_string()));
            return;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") || Some(path.as_path()) == except
        {
            continue;
        }
        if path.is_dir() {
            enter(&path, except, depth + 1, found, problems);
        } else if is_manifest(&path) {
            if found.len() == FILES_MAX {
                let text = format!("more than {FILES_MAX} files: the others are not read");
                problems.push(file_problem(&shown, None, &text));
                return;
            }
            found.push(path);
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}
