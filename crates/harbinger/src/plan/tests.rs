//! The JSON contract on small manifests, letter for letter, and what follows from the whole set.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::args::PlacementArg;
use crate::cli::plan::{Answer, Args, answer};
use crate::output::{Format, Verdict};

const POOL: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: p, namespace: metallb-system}
spec: {addresses: [192.0.2.0/30]}
";
const ADVERTISEMENT: &str = "
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all, namespace: metallb-system}
";
const NODES: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-a}
---
apiVersion: v1
kind: Node
metadata:
  name: node-b
  labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}
---
apiVersion: v1
kind: Node
metadata: {name: node-c}
";
const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], nodeName: node-a}]
ports: [{port: 8080}]
";

fn args(paths: Vec<PathBuf>) -> Args {
    Args {
        paths,
        namespace: "metallb-system".to_owned(),
        members: None,
        lb_class: None,
        ignore_exclude_lb: false,
        placement: PlacementArg::Fair,
        outside: None,
        traffic: None,
        output: Format::Json,
    }
}

fn plan(documents: &[&str], change: impl FnOnce(&mut Args)) -> (Value, Answer) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("objects.yaml"),
        documents.join("\n---\n"),
    )
    .unwrap();
    let mut args = args(vec![folder.path().to_owned()]);
    change(&mut args);
    let answer = answer(&args).unwrap();
    let json = match args.output {
        Format::Json => serde_json::from_str(&answer.text).unwrap(),
        Format::Yaml => serde_saphyr::from_str(&answer.text).unwrap(),
        Format::Text => Value::Null,
    };
    (json, answer)
}

#[test]
fn the_contract_is_kept_to_the_letter() {
    let (json, answer) = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |_| {});
    let candidates = json["l2"][0]["candidates"].clone();
    let owner = candidates[0].clone();
    assert_eq!(
        candidates
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c.as_str().unwrap())
            .collect::<BTreeSet<_>>(),
        BTreeSet::from(["node-a", "node-c"])
    );
    let expected = json!({
        "apiVersion": "harbinger.dev/plan/v1",
        "config": {"result": "Valid", "problems": []},
        "pools": [{"name": "p", "assignedIPv4": 1, "availableIPv4": 3, "assignedIPv6": 0, "availableIPv6": 0}],
        "services": [{
            "namespace": "default", "name": "web", "pool": "p", "addresses": ["192.0.2.0"], "previous": [],
            "change": "assigned", "reason": null, "message": null,
            "annotations": {"metallb.io/ip-allocated-from-pool": "p"},
        }],
        "l2": [{
            "address": "192.0.2.0", "services": ["default/web"], "owner": owner, "interfaces": ["*"],
            "candidates": candidates,
            "refusals": [{"node": "node-b", "reason": "nodeLabeledExcludeBalancers"}],
        }],
        "bgp": [],
    });
    assert_eq!(json, expected);
    assert_eq!(answer.verdict, Verdict::Good);
    // The order of the fields is part of the bytes that pipelines compare.
    let keys = ["apiVersion", "config", "pools", "services", "l2", "bgp"];
    let places: Vec<_> = keys
        .iter()
        .map(|k| answer.text.find(&format!("\"{k}\"")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{}", answer.text);
}

#[test]
fn yaml_says_the_same_as_json_and_text_names_the_address() {
    let (json, _) = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |_| {});
    let (yaml, _) = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |args| {
        args.output = Format::Yaml
    });
    assert_eq!(json, yaml);
    let (_, text) = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |args| {
        args.output = Format::Text
    });
    for part in [
        "default/web",
        "192.0.2.0",
        "node-b: nodeLabeledExcludeBalancers",
        "Valid",
    ] {
        assert!(text.text.contains(part), "{part}\n{}", text.text);
    }
}

#[test]
fn a_bad_pool_never_disables_a_good_one_and_makes_the_result_invalid() {
    let bad = POOL
        .replace("name: p", "name: q")
        .replace("192.0.2.0/30", "192.0.2.0/33");
    let (json, answer) = plan(&[POOL, &bad, WEB], |_| {});
    assert_eq!(json["config"]["result"], "Invalid");
    let problem = &json["config"]["problems"][0];
    assert_eq!(problem["name"], "q");
    assert_eq!(problem["kind"], "IPAddressPool");
    assert_eq!(problem["severity"], "error");
    assert!(
        problem["source"]
            .as_str()
            .unwrap()
            .starts_with("objects.yaml:"),
        "{problem}"
    );
    assert_eq!(json["services"][0]["change"], "assigned");
    assert_eq!(answer.verdict, Verdict::Bad);
}

#[test]
fn a_service_that_gets_no_address_is_bad_news_with_its_reason() {
    let (json, answer) = plan(&[WEB], |_| {});
    assert_eq!(json["services"][0]["change"], "pending");
    assert_eq!(json["services"][0]["reason"], "AllocationFailed");
    assert!(json["services"][0]["message"].is_string());
    assert_eq!(json["services"][0]["annotations"], json!({}));
    assert_eq!(json["config"]["result"], "Valid");
    assert_eq!(answer.verdict, Verdict::Bad);
}

#[test]
fn without_nodes_or_advertisements_nothing_is_announced() {
    let (json, _) = plan(&[POOL, ADVERTISEMENT, WEB], |_| {});
    assert_eq!(json["l2"], json!([]));
    let (json, _) = plan(&[POOL, NODES, WEB], |_| {});
    assert_eq!(json["l2"], json!([]));
}

#[test]
fn a_node_that_is_no_member_is_no_candidate() {
    let (json, _) = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |args| {
        args.members = Some(vec!["node-c".to_owned(), "node-b".to_owned()]);
    });
    assert_eq!(json["l2"][0]["owner"], "node-c");
    assert_eq!(json["l2"][0]["candidates"], json!(["node-c"]));
    assert_eq!(
        json["l2"][0]["refusals"],
        json!([
            {"node": "node-a", "reason": "notAlive"},
            {"node": "node-b", "reason": "nodeLabeledExcludeBalancers"},
        ])
    );
}

#[test]
fn the_exclusion_label_counts_for_nothing_when_told_so() {
    let (json, _) = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |args| {
        args.ignore_exclude_lb = true
    });
    assert_eq!(json["l2"][0]["candidates"].as_array().unwrap().len(), 3);
    assert_eq!(json["l2"][0]["refusals"], json!([]));
}

#[test]
fn a_foreign_class_is_ignored_and_ours_served() {
    let service = WEB.replace(
        "type: LoadBalancer,",
        "type: LoadBalancer, loadBalancerClass: x/y,",
    );
    let (json, answer) = plan(&[POOL, &service], |_| {});
    assert_eq!(json["services"][0]["change"], "ignored");
    assert_eq!(answer.verdict, Verdict::Good);
    let (json, _) = plan(&[POOL, &service], |args| {
        args.lb_class = Some("x/y".to_owned())
    });
    assert_eq!(json["services"][0]["change"], "assigned");
}

#[test]
fn a_broken_document_costs_only_itself_and_is_told_with_its_line() {
    let (json, answer) = plan(&[POOL, WEB, "apiVersion: v1\nkind: [unclosed\n"], |_| {});
    assert_eq!(json["services"][0]["change"], "assigned");
    let problem = &json["config"]["problems"][0];
    assert_eq!(
        (&problem["kind"], &problem["reason"]),
        (&json!("File"), &json!("Unreadable"))
    );
    assert!(
        problem["source"]
            .as_str()
            .unwrap()
            .starts_with("objects.yaml:"),
        "{problem}"
    );
    assert_eq!(answer.verdict, Verdict::Bad);
}

#[test]
fn what_cannot_be_read_at_all_is_no_plan() {
    assert!(answer(&args(vec!["/nonexistent/objects.yaml".into()])).is_err());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "kind: [unclosed\n").unwrap();
    let error = answer(&args(vec![folder.path().to_owned()])).unwrap_err();
    assert!(error.to_string().contains("a.yaml"), "{error}");
    // Two empty folders hold nothing, which is a plan of nothing.
    let empty = tempfile::tempdir().unwrap();
    assert!(answer(&args(vec![empty.path().to_owned()])).is_ok());
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let once = plan(&[POOL, ADVERTISEMENT, NODES, WEB], |_| {}).1.text;
    let reversed = plan(&[WEB, NODES, ADVERTISEMENT, POOL], |_| {}).1.text;
    assert_eq!(once, reversed);
}

#[test]
fn a_holder_of_an_address_that_is_no_longer_in_a_pool_is_given_another() {
    let service = format!(
        "{}status: {{loadBalancer: {{ingress: [{{ip: 198.51.100.9}}]}}}}\n",
        WEB.split("---").next().unwrap().trim_start()
    );
    let (json, _) = plan(&[POOL, &service], |_| {});
    let line = &json["services"][0];
    assert_eq!(line["change"], "reassigned");
    assert_eq!(line["previous"], json!(["198.51.100.9"]));
    assert_eq!(line["addresses"], json!(["192.0.2.0"]));
    assert_eq!(line["reason"], "ClearAssignment");
}

#[test]
fn secrets_do_not_appear_in_any_form() {
    let secret = "
apiVersion: v1
kind: Secret
metadata: {name: memberlist, namespace: metallb-system}
stringData: {secretkey: topsecret}
data: {other: dG9wc2VjcmV0}
";
    for format in [Format::Json, Format::Yaml, Format::Text] {
        let (_, answer) = plan(&[POOL, secret, WEB], |args| args.output = format);
        for word in ["topsecret", "dG9wc2VjcmV0"] {
            assert!(!answer.text.contains(word), "{format:?}");
        }
    }
}

/// Not a bound (machines differ): it fails only when something is badly quadratic.
#[test]
fn two_thousand_services_on_a_hundred_nodes_are_no_burden() {
    let mut documents = vec![
        POOL.replace("192.0.2.0/30", "10.0.0.0/16"),
        ADVERTISEMENT.to_owned(),
    ];
    for node in 0..100 {
        documents.push(format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: node-{node}}}\n"
        ));
    }
    for service in 0..2000 {
        documents.push(WEB.replace("web", &format!("web-{service}")));
    }
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let start = Instant::now();
    let (json, _) = plan(&documents, |_| {});
    assert_eq!(json["l2"].as_array().unwrap().len(), 2000);
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
