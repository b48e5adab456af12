//! The engine judges a pool or an advertisement as the definitions' rules do: the same table of objects that the
//! real API server is asked (`cluster_crds`), through the reader of manifests and the engine.

use std::collections::BTreeMap;

use engine::config;
use engine::problem::{Problem, Severity};
use tests::validation::{Case, Expect, cases};

const NAMESPACE: &str = "metallb-system";

/// What is wrong with the object, in the engine's eyes and on the way to them.
fn errors(case: &Case) -> Vec<Problem> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("case.json");
    std::fs::write(&path, case.object.to_string()).expect("a file");
    let (world, _skipped) =
        harbinger::cli::plan::read(&[path], NAMESPACE).expect("the manifest is read");
    let (pools, of_pools) = config::pools(&world, NAMESPACE);
    let (_advertisements, of_advertisements) = config::l2_advertisements(&world, &pools, NAMESPACE);
    let all = world
        .problems()
        .cloned()
        .chain(of_pools)
        .chain(of_advertisements);
    all.filter(|problem| problem.severity == Severity::Error)
        .collect()
}

#[test]
fn the_engine_gives_the_verdicts_of_the_table() {
    let reasons: BTreeMap<(&str, &str), &str> = config::rules::TWINS
        .iter()
        .map(|(kind, id, reason)| ((*kind, *id), *reason))
        .collect();
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in cases() {
        let ours = ["IPAddressPool", "L2Advertisement"].contains(&case.kind.as_str());
        // A status is not judged by the engine, nor a change by an object alone.
        if !ours || case.before.is_some() || case.object.get("status").is_some() {
            continue;
        }
        judged += 1;
        let errors = errors(&case);
        // The bound of a key leaves room for a prefix; a name of that length is no label key.
        let stricter =
            case.is.contains("which the engine must") || case.is.ends_with("key of 317 characters");
        let fits = match &case.expect {
            Expect::Ok if stricter => !errors.is_empty(),
            Expect::Ok => errors.is_empty(),
            Expect::Field(_) => !errors.is_empty(),
            Expect::Rule(id) => match reasons.get(&(case.kind.as_str(), id.as_str())) {
                Some(reason) => errors.iter().any(|problem| problem.reason == *reason),
                None => false,
            },
        };
        if !fits {
            wrong.push(format!(
                "{} {}: {:?}, got {errors:?}",
                case.kind, case.is, case.expect
            ));
        }
    }
    println!("{judged} objects");
    assert!(judged > 80, "only {judged} objects");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
