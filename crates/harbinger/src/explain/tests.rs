//! Each hop broken once, the first of them named with its mend.

use crate::cli::args::{Kubeconfig, PlacementArg};
use crate::cli::explain::{Svc, answer};
use crate::explain::Explanation;
use crate::output::Format;

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
const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-a}
";
const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80, nodePort: 30080}]}
";
const SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], nodeName: node-a}]
";

fn ask(documents: &[&str], name: &str) -> anyhow::Result<Explanation> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("objects.yaml"),
        documents.join("\n---\n"),
    )
    .unwrap();
    answer(&Svc {
        name: name.to_owned(),
        paths: vec![folder.path().to_owned()],
        cluster: Kubeconfig::default(),
        namespace: "metallb-system".to_owned(),
        lb_class: None,
        ignore_exclude_lb: false,
        placement: PlacementArg::Fair,
        members: None,
        output: Format::Text,
    })
}

#[test]
fn a_sound_path_has_no_broken_hop() {
    let answer = ask(&[POOL, ADVERTISEMENT, NODE, WEB, SLICE], "default/web").unwrap();
    assert_eq!(answer.broken, None, "{}", answer.text());
    let text = answer.text();
    for part in [
        "192.0.2.0",
        "node node-a answers",
        "NodePort 30080",
        "1 can serve, on node-a",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_first_broken_hop_is_named_with_its_mend() {
    let plain = WEB.replace("type: LoadBalancer,", "");
    let foreign = WEB.replace(
        "type: LoadBalancer,",
        "type: LoadBalancer, loadBalancerClass: x/y,",
    );
    let other_pool = ADVERTISEMENT.to_owned() + "spec: {ipAddressPools: [other]}\n";
    let excluded = NODE.replace(
        "name: node-a",
        "name: node-a, labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}",
    );
    let unready = SLICE.replace(
        "nodeName: node-a",
        "nodeName: node-a, conditions: {ready: false}",
    );
    let cases: &[(&[&str], &str, &str)] = &[
        (
            &[POOL, ADVERTISEMENT, NODE, &plain, SLICE],
            "service",
            "type: LoadBalancer",
        ),
        (
            &[POOL, ADVERTISEMENT, NODE, &foreign, SLICE],
            "service",
            "loadBalancerClass",
        ),
        (
            &[ADVERTISEMENT, NODE, WEB, SLICE],
            "address",
            "IPAddressPool",
        ),
        (
            &[POOL, NODE, WEB, SLICE],
            "advertisement",
            "L2Advertisement",
        ),
        (
            &[POOL, &other_pool, NODE, WEB, SLICE],
            "advertisement",
            "ipAddressPools",
        ),
        (
            &[POOL, ADVERTISEMENT, &excluded, WEB, SLICE],
            "announcer",
            "--ignore-exclude-lb",
        ),
        (
            &[POOL, ADVERTISEMENT, NODE, WEB, &unready],
            "announcer",
            "ready",
        ),
        (&[POOL, ADVERTISEMENT, NODE, WEB], "announcer", "ready"),
    ];
    for (documents, broken, mend) in cases {
        let answer = ask(documents, "web").unwrap();
        assert_eq!(answer.broken, Some(*broken), "{}", answer.text());
        let hop = answer.hops.iter().find(|hop| hop.hop == *broken).unwrap();
        assert!(
            hop.mend.as_ref().unwrap().contains(mend),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn an_unknown_service_and_a_bad_name_are_no_answer() {
    assert!(
        ask(&[POOL], "default/none")
            .unwrap_err()
            .to_string()
            .contains("default/none")
    );
    for bad in ["", "/", "a/", "/b", "a/b/c"] {
        assert!(ask(&[WEB], bad).is_err(), "{bad}");
    }
}
