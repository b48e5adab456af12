//! A move that a person asks for, kept in the state folder.

use super::*;
use engine::world::MOVE_ANNOTATION;

#[tokio::test]
async fn a_move_is_asked_for_beside_the_manifest_and_taken_back() {
    let folder = TempDir::new().expect("a folder");
    put(&folder, "a.yaml", &service("web", ""));
    let mut watched = watch(&folder).await;
    let name = NamespacedName::new("default", "web");
    let target = |world: &World, name: &NamespacedName| {
        let stored = world.services.get(name)?;
        stored.object.annotations.get(MOVE_ANNOTATION).cloned()
    };
    let ask = |watched: &Watched, node| watched.source.ask_move(&name, node).expect("written");
    ask(&watched, Some("node-2"));
    let is = |node: Option<&'static str>| {
        let name = name.clone();
        move |world: &World| target(world, &name).as_deref() == node
    };
    watched.until(is(Some("node-2"))).await;
    // A status that is written meanwhile keeps the wish.
    let campaign = watched.lead("one").await;
    let status = watched.status("web", "192.0.2.1");
    let outcome = watched.source.carry_out(status, Deadline::NONE).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    watched.until(|world| has(world, "web", "192.0.2.1")).await;
    assert_eq!(target(&watched.world, &name).as_deref(), Some("node-2"));
    ask(&watched, None);
    watched.until(is(None)).await;
    assert!(has(&watched.world, "web", "192.0.2.1"), "the status stays");
    drop(campaign);
    let nobody = NamespacedName::new("default", "nobody");
    assert!(watched.source.ask_move(&nobody, Some("node-2")).is_err());
}
