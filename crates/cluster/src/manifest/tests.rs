//! Files to documents to objects.

use super::document::split;
use super::*;

fn problems(content: &Content) -> Vec<String> {
    content
        .problems
        .iter()
        .map(|problem| {
            format!(
                "{} {}",
                problem.source.as_deref().unwrap_or(""),
                problem.message
            )
        })
        .collect()
}

fn names(content: &Content) -> Vec<String> {
    content
        .objects
        .iter()
        .map(|object| format!("{} {} {}", object.kind, object.name, object.source))
        .collect()
}

const THREE: &str = "# pools\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n\
    apiVersion: v1\nkind: Service\nmetadata:\n  name: b\n bad: [\n---\n# the last\n\n\
    apiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: other}\n";

#[test]
fn a_broken_document_costs_nothing_but_itself() {
    let content = parse("f.yaml", THREE, "metallb-system");
    assert_eq!(
        names(&content),
        ["Service default/a f.yaml:3", "Service other/c f.yaml:15"]
    );
    assert!(content.broken);
    let told = problems(&content);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("f.yaml:11:"), "{told:?}");
    assert!(told[0].contains("line 11, column "), "{told:?}");
}

#[test]
fn a_document_marker_ends_a_block_scalar() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\nx: |\n  text\n---\n\
                apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n...\n";
    let documents = split("f", text);
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert!(documents.iter().all(Result::is_ok), "{documents:?}");
}

#[test]
fn a_file_without_objects_is_empty_not_wrong() {
    for text in ["", "\n# nothing\n", "---\n---\n", "null\n"] {
        let content = parse("f", text, "ns");
        assert!(
            content.objects.is_empty() && content.problems.is_empty(),
            "{text:?}"
        );
    }
}

#[test]
fn json_objects_may_follow_each_other() {
    let text = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}\n\
                {\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"b\"}}\n{\"x\": }\n";
    let content = parse("f.json", text, "ns");
    assert_eq!(names(&content), ["Namespace a f.json:1", "Node b f.json:2"]);
    assert!(content.broken);
    assert!(
        problems(&content)[0].starts_with("f.json:3:7 "),
        "{:?}",
        problems(&content)
    );
}

#[test]
fn lists_are_their_items_and_typed_ones_may_leave_the_kind_out() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ServiceList\n  items:\n  \
                - metadata: {name: a}\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: d}\n";
    let content = parse("f", text, "ns");
    assert_eq!(names(&content), ["Service default/a f:1"]);
    assert_eq!(content.skipped.get("Deployment"), Some(&1));
}

#[test]
fn our_objects_without_namespace_are_in_ours_and_others_are_told() {
    let pool = |metadata: &str| {
        format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {metadata}\n\
             spec: {{addresses: [192.0.2.0/24]}}\n"
        )
    };
    let content = parse("f", &pool("{name: p}"), "ns");
    assert_eq!(names(&content), ["IPAddressPool ns/p f:1"]);
    let content = parse("f", &pool("{name: p, namespace: other}"), "ns");
    assert!(content.objects.is_empty());
    assert_eq!(content.problems[0].reason, reason::WRONG_NAMESPACE);
    assert_eq!(content.problems[0].severity, Severity::Warning);
}

#[test]
fn a_schema_violation_names_the_field() {
    let text = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\n\
                spec: {addresses: 7}\n";
    let content = parse("f", text, "ns");
    let refused = content.objects[0].refused.clone().expect("a problem");
    assert_eq!(refused.reason, reason::INVALID_FIELD);
    assert!(
        refused.message.starts_with("spec.addresses: "),
        "{}",
        refused.message
    );
}

#[test]
fn a_name_that_could_leave_the_state_folder_is_refused() {
    for name in ["../../x", "a/b", "", ".hidden", "UPPER", "a b"] {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name:?}}}\n");
        let content = parse("f", &text, "ns");
        assert!(content.objects.is_empty(), "{name:?}");
        assert_eq!(content.problems.len(), 1, "{name:?}");
    }
}

#[test]
fn what_is_no_object_is_told_with_its_line() {
    let content = parse("f", "a: 1\n---\n- 1\n", "ns");
    let sources: Vec<_> = content
        .problems
        .iter()
        .filter_map(|p| p.source.as_deref())
        .collect();
    assert_eq!(sources, ["f:1", "f:3"]);
}

#[test]
fn the_uid_is_kind_namespace_and_name_unless_given() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n\
                apiVersion: v1\nkind: Service\nmetadata: {name: b, uid: u}\n";
    let content = parse("f", text, "ns");
    let uids: Vec<_> = content
        .objects
        .iter()
        .map(|object| {
            object
                .value
                .pointer("/metadata/uid")
                .cloned()
                .expect("a uid")
        })
        .collect();
    assert_eq!(uids, ["Service/default/a", "u"]);
}

#[test]
fn a_document_may_be_as_large_as_its_file() {
    // More nodes than the parser allows by itself; a dump of 6,000 Services has as many.
    let numbers = "0,".repeat(260_000);
    let text = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: a}}\nx: [{numbers}]\n");
    let content = parse("f", &text, "ns");
    assert!(content.problems.is_empty(), "{:?}", content.problems);
    assert_eq!(content.objects.len(), 1);
}

#[test]
fn aliases_that_would_fill_the_memory_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..12 {
        let before = vec![format!("*a{}", at - 1); 9].join(", ");
        text.push_str(&format!("a{at}: &a{at} [{before}]\n"));
    }
    let content = parse("f", &text, "ns");
    assert!(
        content.broken && content.problems.len() == 1,
        "{:?}",
        content.problems
    );
}
