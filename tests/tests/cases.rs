//! Objects in, plan out: every file of `tests/cases/` and every folder of `examples/` through the production code,
//! against the text kept beside it. `UPDATE=1` rewrites the text; read the difference before it is committed.

use std::path::{Path, PathBuf};

use clap::Parser;
use harbinger::cli::plan;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: plan::Args,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
        .to_owned()
}

/// The exit status and the JSON of a plan; paths in it are relative to the repository.
fn planned(path: &Path, extra: &str) -> String {
    let words = ["plan", "-o", "json"]
        .into_iter()
        .chain(extra.split_whitespace());
    let line = Line::parse_from(words.map(Into::into).chain([path.as_os_str().to_owned()]));
    let (status, text) = match plan::answer(&line.args) {
        Ok(answer) if answer.verdict == harbinger::output::Verdict::Good => (0, answer.text),
        Ok(answer) => (1, answer.text),
        Err(error) => (2, format!("{error:#}\n")),
    };
    let prefix = format!("{}/", root().display());
    format!("exit status {status}\n{}", text.replace(&prefix, ""))
}

/// The flags a case asks for in its comment `# args: …`.
fn flags(objects: &Path) -> String {
    let text = std::fs::read_to_string(objects).expect("a case can be read");
    text.lines()
        .find_map(|line| line.strip_prefix("# args: "))
        .unwrap_or_default()
        .to_owned()
}

fn check(objects: &Path, expected: &Path, wrong: &mut Vec<String>) {
    let got = planned(objects, &flags(objects));
    assert_eq!(
        got,
        planned(objects, &flags(objects)),
        "the same input, the same bytes"
    );
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(expected, &got).expect("the expected text can be written");
    }
    let want = std::fs::read_to_string(expected).unwrap_or_default();
    if want != got {
        let difference = want
            .lines()
            .zip(got.lines())
            .find(|(w, g)| w != g)
            .map_or_else(
                || "one is longer".to_owned(),
                |(w, g)| format!("expected {w}, got {g}"),
            );
        wrong.push(format!("{}: {difference}", objects.display()));
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_case_plans_as_written() {
    let cases: Vec<PathBuf> = sorted(&root().join("tests/cases"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        check(case, &case.with_extension("expected"), &mut wrong);
    }
    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_example_plans_as_written() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in sorted(&root().join("examples")) {
        assert!(
            folder.join("README.md").is_file(),
            "{} has no README",
            folder.display()
        );
        check(
            &folder.join("objects.yaml"),
            &folder.join("plan.expected"),
            &mut wrong,
        );
        count += 1;
    }
    assert!(count >= 7, "only {count} examples");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
