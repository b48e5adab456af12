//! `docs/reference.md` is complete and invents nothing. The tables of metrics and flags are printed by `UPDATE=1`;
//! the others are written by hand and held against the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use engine::config;
use engine::forward;
use engine::plan::Refusal;
use engine::problem::reason;
use engine::world::{ENDPOINTS_ANNOTATION, MAINTENANCE_ANNOTATION, MOVE_ANNOTATION};
use harbinger::metrics::names::{ANNOUNCED, Name, PROBED, STATUS_WRITTEN};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
        .to_owned()
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/reference.md")).expect("the reference page")
}

/// First cells of the tables of a section, without their back-ticks.
fn cells(section: &str) -> BTreeSet<String> {
    let page = page();
    let (_, after) = page
        .split_once(&format!("## {section}\n"))
        .expect("the section is there");
    let text = after.split("\n## ").next().unwrap_or_default();
    let found: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .map(str::to_owned)
        .collect();
    assert!(!found.is_empty(), "section {section} has a table");
    found
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// Sources of a crate, tests left out.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("readable").path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if name.starts_with("tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, into);
        } else if name.ends_with(".rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

fn engine_sources() -> String {
    let mut text = String::new();
    sources(&root().join("crates/engine/src"), &mut text);
    text
}

/// What stands between `before` and the next quote, wherever it occurs.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}

#[test]
fn every_problem_is_explained() {
    assert_eq!(cells("Problems"), set(reason::ALL.iter().copied()));
}

#[test]
fn every_refusal_is_explained() {
    let all = Refusal::ALL.map(Refusal::as_str);
    assert_eq!(cells("Why a node does not announce"), set(all));
}

#[test]
fn every_annotation_is_explained() {
    let text = engine_sources();
    let ours = quoted(&text, "annotation(\"").map(|suffix| format!("metallb.io/{suffix}"));
    let mut known: BTreeSet<String> = ours.collect();
    known.extend(set([
        ENDPOINTS_ANNOTATION,
        MOVE_ANNOTATION,
        MAINTENANCE_ANNOTATION,
    ]));
    let extensions = config::bgp::ANNOTATIONS.iter();
    known.extend(extensions.map(|name| format!("harbinger.dev/{name}")));
    let fronting = forward::ANNOTATIONS.iter();
    known.extend(fronting.map(|name| format!("harbinger.dev/{name}")));
    assert_eq!(cells("Annotations"), known);
}

#[test]
fn every_event_is_explained() {
    let text = engine_sources();
    let mut known = BTreeSet::new();
    for before in [
        "Complaint::warning(\"",
        "reason: \"",
        "service, false, \"",
        "EVENT: &str = \"",
    ] {
        known.extend(quoted(&text, before).map(str::to_owned));
    }
    for word in [
        "announceFailed",
        "noclusterIPsIPFamily",
        "AddressInUse",
        "ForeignClaim",
        "SplitBrainSuspected",
        "BackendHealth",
        "WrongHealthPort",
        "BadHealthAnswer",
        "AllBackendsUnhealthy",
        "BackendsBack",
        "BackendHeld",
    ] {
        if text.contains(&format!("\"{word}\"")) {
            known.insert(word.to_owned());
        }
    }
    // Conditions of ConfigurationState have reasons too.
    known.retain(|word| {
        !["Reconciled", "ConfigurationError", "UnknownError"].contains(&word.as_str())
    });
    assert_eq!(cells("Events"), known);
}

fn metrics() -> String {
    let mut text = String::from("| metric | shape | meaning |\n|---|---|---|\n");
    for name in Name::ALL {
        let shape = format!("{:?}", name.shape()).to_lowercase();
        let _infallible = writeln!(text, "| `{}` | {shape} | {} |", name.as_str(), name.help());
    }
    for (name, help) in [
        (
            STATUS_WRITTEN,
            "Change of a Service received → its status written, seconds",
        ),
        (
            ANNOUNCED,
            "Change of a Service received → announced, seconds",
        ),
        (PROBED, "A health probe began → its result, seconds"),
    ] {
        let _infallible = writeln!(text, "| `{name}` | histogram | {help} |");
    }
    text
}

fn flags() -> String {
    let mut text = String::new();
    for verb in harbinger::cli::command().get_subcommands() {
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _infallible = writeln!(text, "### `harbinger {}`\n\n{about}\n", verb.get_name());
        let _infallible = writeln!(
            text,
            "| flag | environment | default | meaning |\n|---|---|---|---|"
        );
        let mut arguments: Vec<_> = verb.get_arguments().collect();
        arguments.sort_by_key(|argument| argument.get_id().as_str());
        for argument in arguments {
            let name = argument.get_long().map_or_else(
                || argument.get_id().as_str().to_uppercase(),
                |long| format!("--{long}"),
            );
            let variable = argument
                .get_env()
                .map(|variable| format!("`{}`", variable.to_string_lossy()))
                .unwrap_or_default();
            let defaults: Vec<_> = argument
                .get_default_values()
                .iter()
                .map(|value| value.to_string_lossy().into_owned())
                .collect();
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let _infallible = writeln!(
                text,
                "| `{name}` | {variable} | {} | {} |",
                defaults.join(", "),
                help.replace('\n', " ").replace('|', "\\|")
            );
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

fn fresh(marker: &str, want: &str) {
    let page = page();
    let start = format!("<!-- {marker} -->\n");
    let (before, after) = page.split_once(&start).expect("the marker is there");
    let (got, rest) = after.split_once("<!-- end -->").expect("the end is there");
    if got != want && std::env::var_os("UPDATE").is_some() {
        let text = format!("{before}{start}{want}<!-- end -->{rest}");
        std::fs::write(root().join("docs/reference.md"), text).expect("the page can be written");
        return;
    }
    assert_eq!(got, want, "docs/reference.md is stale: UPDATE=1 make check");
}

// One test, so that the page is not written by two at once.
#[test]
fn metrics_and_flags_are_fresh() {
    fresh("metrics", &metrics());
    fresh("flags", &flags());
}
