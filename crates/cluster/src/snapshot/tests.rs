//! Joining and differences.

use super::*;
use engine::world::Delta;
use serde_json::json;

fn object(kind: Kind, name: &str, value: Value, source: &str) -> Arc<Object> {
    Arc::new(Object {
        kind,
        name: NamespacedName::new("default", name),
        value,
        source: Arc::from(source),
        refused: None,
    })
}

fn service(name: &str, spec: Value, source: &str) -> Arc<Object> {
    let metadata = json!({"name": name, "namespace": "default", "uid": name});
    object(
        Kind::Service,
        name,
        json!({"metadata": metadata, "spec": spec}),
        source,
    )
}

fn snapshot(files: &[Arc<Object>], old: Option<&Snapshot>) -> Snapshot {
    let mut problems = Vec::new();
    let objects = join(files.iter(), &mut problems);
    build(&objects, &State::new(), problems, old)
}

fn told(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Service(Delta::Upsert(stored)) => format!("upsert {}", stored.object.name),
            Change::Service(Delta::Delete(name)) => format!("delete {name}"),
            Change::Unreadable { name, .. } => format!("unreadable {name}"),
            Change::SourceProblems(problems) => format!("{} problems", problems.len()),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn only_what_differs_is_told() {
    let before = snapshot(
        &[
            service("a", json!({}), "f:1"),
            service("b", json!({}), "f:2"),
        ],
        None,
    );
    let same = snapshot(
        &[
            service("a", json!({}), "f:1"),
            service("b", json!({}), "f:2"),
        ],
        Some(&before),
    );
    assert!(same.diff(&before, WATCHED).is_empty());
    let after = snapshot(
        &[
            service("b", json!({"type": "LoadBalancer"}), "f:2"),
            service("c", json!({}), "f:3"),
        ],
        Some(&before),
    );
    assert_eq!(
        told(&after.diff(&before, WATCHED)),
        ["delete default/a", "upsert default/b", "upsert default/c"]
    );
    assert!(
        after.diff(&before, &[Kind::Node]).is_empty(),
        "only the kinds asked for"
    );
}

#[test]
fn an_unreadable_object_stays_as_it_was_and_its_mend_is_told_even_if_nothing_changed() {
    let good = [service("a", json!({}), "f:1")];
    let bad = [service("a", json!({"type": 7}), "f:1")];
    let first = snapshot(&good, None);
    let second = snapshot(&bad, Some(&first));
    assert_eq!(
        told(&second.diff(&first, WATCHED)),
        ["unreadable default/a"]
    );
    let third = snapshot(&bad, Some(&second));
    assert!(third.diff(&second, WATCHED).is_empty(), "told once");
    let fourth = snapshot(&good, Some(&third));
    assert_eq!(told(&fourth.diff(&third, WATCHED)), ["upsert default/a"]);
}

#[test]
fn the_later_of_two_objects_of_one_name_counts_and_the_earlier_is_named() {
    let both = snapshot(
        &[
            service("a", json!({"loadBalancerClass": "first"}), "a.yaml:1"),
            service("a", json!({"loadBalancerClass": "second"}), "b.yaml:4"),
        ],
        None,
    );
    let problem = &both.problems[0];
    assert_eq!(problem.reason, reason::DUPLICATE);
    assert_eq!(problem.source.as_deref(), Some("b.yaml:4"));
    assert!(problem.message.contains("a.yaml:1"), "{}", problem.message);
    let changes = both.reset(&[Kind::Service], 0);
    let Change::Service(Delta::Reset { objects, .. }) = &changes[0] else {
        panic!("{changes:?}");
    };
    assert_eq!(objects[0].object.class.as_deref(), Some("second"));
}

#[test]
fn the_status_of_another_uid_is_not_laid_over() {
    let object = service("a", json!({}), "f:1");
    let objects = join([object].iter(), &mut Vec::new());
    for (uid, addresses) in [("a", 1), ("other", 0)] {
        let written = json!({"metadata": {"uid": uid},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        let key = (Kind::Service, NamespacedName::new("default", "a"));
        let state = State::from([(key, Arc::new(written))]);
        let snapshot = build(&objects, &state, Vec::new(), None);
        let changes = snapshot.reset(&[Kind::Service], 0);
        let Change::Service(Delta::Reset { objects, .. }) = &changes[0] else {
            panic!("{changes:?}");
        };
        assert_eq!(objects[0].object.ingress.len(), addresses, "{uid}");
    }
}
