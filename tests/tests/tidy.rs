//! The house rules that a compiler does not hold: direction of dependencies, length of
//! files, bounded channels, rows of the checklists, words that do not belong here.
//!
//! It reads the repository as text and `cargo metadata`; it builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Style guide 6. A ratchet: files that are longer may be listed with their length and may only shrink.
const FILE_LINES_MAX: usize = 600;
const LONGER: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
        .to_owned()
}

/// Every tracked or new text file below the root but those that git ignores.
fn files(extension: &[&str]) -> Vec<(PathBuf, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let list = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut found: Vec<(PathBuf, String)> = list
        .lines()
        .map(PathBuf::from)
        .filter(|path| {
            extension.is_empty()
                || path
                    .extension()
                    .is_some_and(|e| extension.iter().any(|x| e == *x))
        })
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).ok()?;
            Some((path, text))
        })
        .collect();
    found.sort();
    assert!(found.len() > 3, "the listing found files");
    found
}

/// House 1.1: who may depend on whom, directly. Ours, then everybody else's.
fn allowed() -> BTreeMap<&'static str, (&'static [&'static str], Option<&'static [&'static str]>)> {
    BTreeMap::from([
        ("l2", (&[][..], Some(&["ipnetwork", "pnet_packet"][..]))),
        ("bgp", (&[][..], Some(&["ipnetwork", "thiserror"][..]))),
        (
            "members",
            (&[][..], Some(&["bytes", "foca", "rand_core", "ring"][..])),
        ),
        ("bfd", (&[][..], Some(&["thiserror"][..]))),
        (
            "engine",
            (
                &["bfd", "bgp", "l2", "members"][..],
                Some(
                    &[
                        "arcstr",
                        "ipnetwork",
                        "rangemap",
                        "regex",
                        "sha2",
                        "thiserror",
                    ][..],
                ),
            ),
        ),
        ("api", (&[][..], None)),
        ("cluster", (&["api", "engine"][..], None)),
        ("linux", (&[][..], None)),
        (
            "dataplane",
            (
                &["engine", "linux"][..],
                Some(&["ipnetwork", "thiserror"][..]),
            ),
        ),
        (
            "harbinger",
            (
                &[
                    "api",
                    "bfd",
                    "bgp",
                    "cluster",
                    "dataplane",
                    "engine",
                    "l2",
                    "linux",
                    "members",
                ][..],
                None,
            ),
        ),
        (
            "tests",
            (
                &[
                    "api",
                    "bfd",
                    "bgp",
                    "cluster",
                    "dataplane",
                    "engine",
                    "harbinger",
                    "l2",
                    "linux",
                    "members",
                ][..],
                None,
            ),
        ),
    ])
}

#[test]
fn dependencies_point_down_the_house() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let allowed = allowed();
    let ours: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(
        packages
            .iter()
            .filter_map(|p| p["name"].as_str())
            .collect::<BTreeSet<_>>(),
        ours,
        "a new crate needs a written reason and a line here"
    );
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let (may_ours, may_others) = allowed[name];
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let dev = dependency["kind"].as_str() == Some("dev");
            let fits = if ours.contains(on) {
                may_ours.contains(&on)
            } else {
                dev || may_others.is_none_or(|others| others.contains(&on))
            };
            if !fits {
                wrong.push(format!("{name} -> {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the plan of the house: {wrong:?}");
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in files(&["rs"]) {
        let name = path.to_string_lossy().into_owned();
        let lines = text.lines().count();
        let bound = LONGER
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(FILE_LINES_MAX, |l| l.1);
        if lines > bound {
            wrong.push(format!("{name}: {lines} lines, at most {bound}"));
        }
    }
    assert!(wrong.is_empty(), "split by concern: {wrong:#?}");
}

#[test]
fn every_rust_file_says_what_it_is() {
    let silent: Vec<_> = files(&["rs"])
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(
        silent.is_empty(),
        "open the file with what it is: {silent:?}"
    );
}

#[test]
fn every_channel_is_bounded() {
    let mut wrong = Vec::new();
    for (path, text) in files(&["rs"]) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if [
                "unbounded_channel",
                "mpsc::unbounded",
                "std::sync::mpsc::channel(",
            ]
            .iter()
            .any(|word| line.contains(word))
            {
                wrong.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "unbounded channels: {wrong:?}");
}

#[test]
fn pure_crates_ban_clocks_and_locks() {
    for name in ["l2", "bgp", "bfd", "members", "engine"] {
        let path = root().join("crates").join(name).join("clippy.toml");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for word in [
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "std::sync::Mutex",
        ] {
            assert!(text.contains(word), "{} must ban {word}", path.display());
        }
    }
}

/// Rows of one checklist: id, `due` or `later: …` or `refused: …`, a line of ours.
fn rows(file: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("tests/rows").join(file)).expect("the rows");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            assert_eq!(parts.len(), 3, "three columns: {line}");
            (parts[0].to_owned(), parts[1].to_owned())
        })
        .collect()
}

/// Ids of this checklist ("L2-", "BFD-") in a comment directly above a `#[test]` (or a `proptest!` case).
fn proved(prefix: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files(&["rs"]) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if !line.trim_start().starts_with("#[test]") {
                continue;
            }
            let comments = lines[..number]
                .iter()
                .rev()
                .take_while(|above| {
                    let above = above.trim_start();
                    above.starts_with("//") || above.starts_with("#[")
                })
                .filter(|above| above.trim_start().starts_with("//"));
            for id in comments
                .flat_map(|above| above.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')))
            {
                let digits = id.strip_prefix(prefix).unwrap_or_default();
                if digits.len() >= 2 && digits.chars().all(|c| c.is_ascii_digit()) {
                    found.entry(id.to_owned()).or_default().push(format!(
                        "{}:{}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    found
}

#[test]
fn every_row_of_the_layer_2_checklist_is_proved_or_not_yet_due() {
    check_rows("l2.tsv", "L2-");
}

#[test]
fn every_row_of_the_bfd_checklist_is_proved_or_not_yet_due() {
    check_rows("bfd.tsv", "BFD-");
}

#[test]
fn every_row_of_the_bgp_checklist_is_proved_or_not_yet_due() {
    check_rows("bgp.tsv", "BGP-");
}

fn check_rows(file: &str, prefix: &str) {
    let rows = rows(file);
    let proved = proved(prefix);
    let missing: Vec<_> = rows
        .iter()
        .filter(|(id, state)| *state == "due" && !proved.contains_key(*id))
        .map(|(id, _)| id)
        .collect();
    let unknown: Vec<_> = proved.keys().filter(|id| !rows.contains_key(*id)).collect();
    assert!(missing.is_empty(), "rows without a test: {missing:?}");
    assert!(
        unknown.is_empty(),
        "tests for rows that do not exist: {unknown:?}"
    );
}

#[test]
fn no_leftovers() {
    let banned = ["dbg!(", "todo!(", "unimplemented!(", "FIXME", "XXX:"];
    let mut wrong = Vec::new();
    for (path, text) in files(&["rs"]) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if banned.iter().any(|word| line.contains(word)) {
                wrong.push(format!(
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `GAP:`, `LIMIT:` and `DIFFERS:` are promises to the reader: print them all.
#[test]
fn gaps_are_greppable() {
    let mut gaps = 0;
    for (path, text) in files(&["rs", "md", "yaml"]) {
        for (number, line) in text.lines().enumerate() {
            if ["GAP:", "DIFFERS:"].iter().any(|word| line.contains(word))
                && !path.ends_with("tidy.rs")
            {
                println!("{}:{}: {}", path.display(), number + 1, line.trim());
                gaps += 1;
            }
        }
    }
    assert!(gaps > 0, "nothing is without a gap");
}
