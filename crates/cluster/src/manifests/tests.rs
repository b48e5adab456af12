//! Reading once: order, counts, places.

use super::*;
use engine::name::NamespacedName;
use engine::world::World;
use std::fs;
use tempfile::TempDir;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
                       spec: {type: LoadBalancer, ports: [{port: 80}]}\n";

fn world(manifests: &Manifests) -> World {
    let mut world = World::default();
    for change in &manifests.changes {
        world.apply(change.clone());
    }
    world
}

#[test]
fn folders_are_read_recursively_in_the_order_of_their_paths() {
    let folder = TempDir::new().expect("a folder");
    let sub = folder.path().join("b");
    fs::create_dir(&sub).expect("a folder");
    let write = |path: PathBuf, text: &str| fs::write(path, text).expect("written");
    write(folder.path().join("a.yaml"), SERVICE);
    write(
        sub.join("z.yml"),
        &SERVICE.replace("{type", "{loadBalancerClass: x/y, type"),
    );
    write(
        sub.join("d.json"),
        r#"{"apiVersion": "apps/v1", "kind": "Deployment"}"#,
    );
    write(folder.path().join("notes.txt"), "not: [yaml");
    write(folder.path().join(".hidden.yaml"), "not: [yaml");
    let read = read_manifests(&[folder.path().to_owned()], "ns").expect("readable");
    assert_eq!(read.skipped, BTreeMap::from([("Deployment".to_owned(), 1)]));
    assert_eq!(read.problems.len(), 1, "{:?}", read.problems);
    assert_eq!(read.problems[0].source.as_deref(), Some("b/z.yml:1"));
    let world = world(&read);
    let web = world
        .services
        .get(&NamespacedName::new("default", "web"))
        .expect("web");
    assert_eq!(web.object.class.as_deref(), Some("x/y"), "the later counts");
    assert_eq!(web.origin.source.as_deref(), Some("b/z.yml:1"));
    assert_eq!(world.epoch(WATCHED), Some(0), "every kind is listed");
}

#[test]
fn a_path_that_is_not_there_is_an_error_and_a_broken_file_a_problem() {
    let folder = TempDir::new().expect("a folder");
    let missing = folder.path().join("none.yaml");
    let error = read_manifests(std::slice::from_ref(&missing), "ns").expect_err("not there");
    assert!(
        error
            .to_string()
            .starts_with(&missing.display().to_string()),
        "{error}"
    );
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, format!("{SERVICE}---\na: [\n")).expect("written");
    let read = read_manifests(&[broken], "ns").expect("readable");
    assert_eq!(world(&read).services.len(), 1);
    assert_eq!(read.problems[0].kind, "File");
    let source = read.problems[0].source.clone().expect("a place");
    assert!(source.starts_with("broken.yaml:"), "{source}");
}
