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

#[test]
fn the_hop_front_tells_the_mode_the_nodes_and_who_is_left_out() {
    let plain = ask(&[POOL, ADVERTISEMENT, NODE, WEB, SLICE], "web").unwrap();
    let hop = |answer: &Explanation| {
        answer
            .hops
            .iter()
            .find(|h| h.hop == "front")
            .unwrap()
            .clone()
    };
    assert!(
        hop(&plain).evidence[0].starts_with("mode node"),
        "{}",
        plain.text()
    );
    let fronted = WEB.replace(
        "namespace: default}",
        "namespace: default, annotations: {harbinger.dev/traffic: front}}",
    );
    let address = |node: &str, meta: &str, ip: &str| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {node}{meta}}}\nstatus: {{addresses: [{{type: InternalIP, address: {ip}}}]}}"
        )
    };
    let drained = ", annotations: {harbinger.dev/maintenance: 'true'}";
    let a = address("node-a", "", "10.0.0.1");
    let b = address("node-b", drained, "10.0.0.2");
    let answer = ask(&[POOL, ADVERTISEMENT, &a, &b, &fronted, SLICE], "web").unwrap();
    let text = answer.text();
    for part in [
        "mode front, as planned",
        "node-a 10.0.0.1: up, 100 %",
        "node-b: gets nothing: it is being drained",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(answer.broken, None, "{text}");
    let b_alone = ask(&[POOL, ADVERTISEMENT, NODE, &b, &fronted, SLICE], "web").unwrap();
    assert_eq!(
        hop(&b_alone).state,
        super::State::Broken,
        "{}",
        b_alone.text()
    );
}

#[test]
fn what_the_speaker_sees_goes_before_what_is_planned() {
    use crate::speaker::forward::words::{PortLine, Shown, TargetLine};
    use crate::speaker::health;
    let target = |node: &str, up| TargetLine {
        node: node.into(),
        address: "10.0.0.1".into(),
        up,
        slots: 256,
        of: 256,
        ..TargetLine::default()
    };
    let port = PortLine {
        service: "default/web".into(),
        traffic: "front".into(),
        node_port: Some(30080),
        targets: vec![target("node-a", false), target("node-b", true)],
        ..PortLine::default()
    };
    let known = health::Node {
        node: "node-a".into(),
        address: "10.0.0.1".into(),
        state: "unhealthy".into(),
        reason: "10256 /healthz: no answer in time".into(),
        ..health::Node::default()
    };
    let seen = super::Seen {
        front: Some(Shown {
            ports: vec![port],
            ..Shown::default()
        }),
        health: Some(health::Shown {
            nodes: vec![known],
            ..health::Shown::default()
        }),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("objects.yaml");
    std::fs::write(
        &path,
        [POOL, ADVERTISEMENT, NODE, WEB, SLICE].join("\n---\n"),
    )
    .unwrap();
    let (world, _) = crate::cli::plan::read(&[path], "metallb-system").unwrap();
    let options = crate::plan::Options {
        namespace: "metallb-system".into(),
        lb_class: None,
        ignore_exclude: false,
        placement: engine::elect::Placement::Fair,
        members: None,
        derive_families: true,
        outside: None,
        traffic: None,
    };
    let plan = crate::plan::plan(world.clone(), &options);
    let name = engine::name::NamespacedName::new("default", "web");
    let origin = super::Origin::Manifests;
    let answer = super::explain(&world, &plan, &name, origin, &seen).unwrap();
    let text = answer.text();
    assert!(
        text.contains("as the speaker on this host has it"),
        "{text}"
    );
    assert!(
        text.contains(
            "node-a 10.0.0.1: gets nothing (unhealthy: 10256 /healthz: no answer in time)"
        ),
        "{text}"
    );
    assert!(text.contains("node-b 10.0.0.1: up, 100 %"), "{text}");
}
