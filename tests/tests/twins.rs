//! The engine judges each object of the configuration as the definitions' rules do: the same table of objects that the
//! real API server is asked (`cluster_crds`), through the reader of manifests and the engine.

use std::collections::BTreeMap;

use engine::config;
use engine::problem::{Problem, Severity, reason};
use tests::validation::{Case, Expect, cases};

const NAMESPACE: &str = "metallb-system";

const KINDS: [&str; 7] = [
    "BFDProfile",
    "BGPAdvertisement",
    "BGPPeer",
    "Community",
    "FrontProfile",
    "IPAddressPool",
    "L2Advertisement",
];

/// What the rules let pass, for a stated reason, and the engine does not.
const STRICTER: [&str; 7] = [
    "which the engine must",
    "which the rule does not see",
    // The bound of a key leaves room for a prefix; a name of that length is no label key.
    "key of 317 characters",
    // Nobody aggregates everything; MetalLB's own check lets it pass.
    "aggregationLengthV6 0",
    // Names of communities that no other object gives.
    "three parts, which may be an alias",
    "communities[] of 128 characters",
    // A peer without a spec is nowhere.
    "spec missing",
];

/// What is wrong with the object, in the engine's eyes and on the way to them.
fn errors(case: &Case) -> Vec<Problem> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("case.json");
    std::fs::write(&path, case.object.to_string()).expect("a file");
    let (world, _skipped) =
        harbinger::cli::plan::read(&[path], NAMESPACE).expect("the manifest is read");
    let (pools, of_pools) = config::pools(&world, NAMESPACE);
    let (_advertisements, of_advertisements) = config::l2_advertisements(&world, &pools, NAMESPACE);
    let (_bgp, of_bgp) = config::bgp::bgp(&world, &pools, NAMESPACE);
    let (_fronts, of_fronts) = config::front_profiles(&world, &pools, NAMESPACE);
    let all = world
        .problems()
        .cloned()
        .chain(of_pools)
        .chain(of_advertisements)
        .chain(of_bgp)
        .chain(of_fronts);
    // What another object decides is not what this one's rules say.
    let of_others = [reason::UNKNOWN_PROFILE, reason::INVALID_SECRET];
    all.filter(|problem| problem.severity == Severity::Error)
        .filter(|problem| !of_others.contains(&problem.reason))
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
        let ours = KINDS.contains(&case.kind.as_str());
        // A status is not judged by the engine, nor a change by an object alone.
        if !ours || case.before.is_some() || case.object.get("status").is_some() {
            continue;
        }
        judged += 1;
        let errors = errors(&case);
        let stricter = STRICTER.iter().any(|part| case.is.contains(part));
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
