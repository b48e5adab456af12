//! The state folder.

use super::*;
use engine::write::Event;
use tempfile::TempDir;

fn event(message: &str) -> Event {
    Event {
        service: NamespacedName::new("default", "web"),
        uid: "u".to_owned(),
        warning: false,
        reason: "IPAllocated",
        message: message.to_owned(),
    }
}

#[test]
fn the_event_log_never_holds_more_than_two_files_of_the_bound() {
    let folder = TempDir::new().expect("a folder");
    let mut log = EventLog::new(folder.path()).rotated_at(1_000);
    for at in 0..100 {
        log.append(&event(&format!("{at}")), "test")
            .expect("appended");
    }
    for file in ["events.jsonl", "events.jsonl.1"] {
        let length = fs::metadata(folder.path().join(file))
            .expect("a file")
            .len();
        assert!((1..1_500).contains(&length), "{file}: {length}");
    }
    let text = fs::read_to_string(folder.path().join("events.jsonl")).expect("a log");
    assert!(
        text.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    assert!(text.contains("\"99\""), "the newest is there: {text}");
}

#[test]
fn a_garbled_status_is_told_and_the_others_are_read() {
    let folder = TempDir::new().expect("a folder");
    let mut statuses = Statuses::new(folder.path());
    let good = NamespacedName::new("default", "good");
    let value = serde_json::json!({"status": {}});
    statuses
        .write(Kind::Service, &good, &value)
        .expect("written");
    fs::write(folder.path().join("status/Service/default/bad.json"), "{").expect("written");
    let (state, faults) = statuses.load();
    assert_eq!(
        state.keys().map(|(_, name)| name).collect::<Vec<_>>(),
        [&good]
    );
    assert_eq!(faults.len(), 1);
}

#[test]
fn a_name_cannot_leave_the_folder() {
    let folder = TempDir::new().expect("a folder");
    let statuses = Statuses::new(folder.path());
    for (namespace, name) in [
        ("..", "a"),
        ("a", ".."),
        ("a", "../b"),
        ("", "a"),
        ("a/b", "c"),
    ] {
        let name = NamespacedName::new(namespace, name);
        assert!(
            statuses.write(Kind::Service, &name, &Value::Null).is_err(),
            "{name}"
        );
    }
}
