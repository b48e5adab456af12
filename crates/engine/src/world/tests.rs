//! The store tells value changes and nothing else.

use super::*;
use std::sync::Arc;

fn node(name: &str, version: &str, unavailable: bool) -> Stored<Node> {
    Stored {
        object: Arc::new(Node {
            name: NamespacedName::new("", name),
            network_unavailable: unavailable,
            ..Node::default()
        }),
        origin: Origin {
            version: version.into(),
            source: None,
        },
    }
}

#[test]
fn a_heartbeat_changes_nothing_but_the_version() {
    let (mut store, mut texts) = (Store::default(), Texts::default());
    assert_eq!(
        store
            .apply(Delta::Upsert(node("a", "1", false)), &mut texts)
            .len(),
        1
    );
    assert!(
        store
            .apply(Delta::Upsert(node("a", "2", false)), &mut texts)
            .is_empty()
    );
    let name = NamespacedName::new("", "a");
    assert_eq!(store.get(&name).unwrap().origin.version, "2");
    assert_eq!(
        store
            .apply(Delta::Upsert(node("a", "3", true)), &mut texts)
            .len(),
        1
    );
}

#[test]
fn a_list_tells_what_appeared_changed_and_went() {
    let (mut store, mut texts) = (Store::default(), Texts::default());
    store.apply(
        Delta::Reset {
            objects: vec![
                node("a", "1", false),
                node("b", "1", false),
                node("c", "1", false),
            ],
            epoch: 0,
        },
        &mut texts,
    );
    assert_eq!(store.epoch(), Some(0));
    let changed = store.apply(
        Delta::Reset {
            objects: vec![
                node("a", "9", false),
                node("b", "9", true),
                node("d", "9", false),
            ],
            epoch: 3,
        },
        &mut texts,
    );
    let names: Vec<&str> = changed.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "d"]);
    assert_eq!(store.epoch(), Some(3));
}

#[test]
fn an_unreadable_version_keeps_the_last_good_one() {
    let mut world = World::default();
    world.apply(Change::Node(Delta::Upsert(node("a", "1", false))));
    let name = NamespacedName::new("", "a");
    let problem = Problem::new(
        crate::problem::Severity::Error,
        Kind::Node,
        &name,
        crate::problem::reason::UNREADABLE,
        "status: expected an object",
    );
    world.apply(Change::Unreadable {
        kind: Kind::Node,
        name: name.clone(),
        problem,
    });
    assert!(world.nodes.get(&name).is_some());
    assert_eq!(world.problems().count(), 1);
    world.apply(Change::Node(Delta::Upsert(node("a", "2", false))));
    assert_eq!(world.problems().count(), 0);
}
