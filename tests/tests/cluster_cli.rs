//! The command line before a real API server: the first messages of a start, an address for a Service, the
//! guarded metrics port, `explain`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::controlplane::{ADMIN, CONTROLLER, ControlPlane, Daemon, NOBODY, PROMETHEUS};
use tests::{fleet, lab};

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(60);

const NAMESPACE: &str =
    r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "metallb-system"}}"#;
const OBJECTS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: p, namespace: metallb-system}
spec: {addresses: [192.0.2.0/28]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}]}
";
/// MetalLB's, as it stays behind when its controller is gone.
const WEBHOOK: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: metallb-webhook-configuration}
webhooks:
  - name: ipaddresspoolvalidationwebhook.metallb.io
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
    clientConfig: {service: {name: metallb-webhook-service, namespace: metallb-system, path: /validate}}
    rules: [{apiGroups: [metallb.io], apiVersions: [v1beta1], operations: [CREATE, UPDATE], resources: [ipaddresspools]}]
";
/// What a Prometheus with the chart's role may do.
const SCRAPER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: scraper}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: scraper}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: scraper}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: monitoring}]
";

fn plane() -> Arc<ControlPlane> {
    let plane = ControlPlane::shared();
    plane.kubectl_ok(&["apply", "-f", "-"], NAMESPACE).unwrap();
    plane
}

fn harbinger(plane: &ControlPlane, user: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(fleet::binary().unwrap());
    command
        .args(arguments)
        .arg("--kubeconfig")
        .arg(plane.kubeconfig(user));
    command
}

fn output(plane: &ControlPlane, user: &str, arguments: &[&str]) -> Output {
    plane.output(harbinger(plane, user, arguments), "").unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_start_that_cannot_be_is_one_message_with_the_mend() {
    let plane = plane();
    let refused = |user: &str, arguments: &[&str]| {
        let mut all = vec!["controller", "--port=0", "--health-probe-port=0"];
        all.extend(arguments);
        let output = output(&plane, user, &all);
        assert_eq!(output.status.code(), Some(2), "{}", error(&output));
        error(&output)
    };
    let text = refused(ADMIN, &["--namespace=nowhere"]);
    assert!(text.contains("kubectl create namespace nowhere"), "{text}");
    let text = refused(NOBODY, &[]);
    assert!(text.contains("not allowed to get namespaces"), "{text}");
    assert!(text.contains("deploy/"), "{text}");
}

#[test]
fn a_service_gets_an_address_and_the_numbers_are_guarded() {
    let plane = plane();
    takeover(&plane);
    lab::eventually(SOON, "pools may be written again", || {
        plane.kubectl_ok(&["apply", "-f", "-"], OBJECTS).ok()
    });
    plane.kubectl_ok(&["apply", "-f", "-"], SCRAPER).unwrap();
    let explained = explain(&plane);
    assert_eq!(explained.status.code(), Some(1), "{}", error(&explained));
    assert!(
        text(&explained).contains("is a controller running"),
        "{}",
        text(&explained)
    );
    let port = free_port();
    let mut controller = start(&plane, port);
    let status = [
        "get",
        "service",
        "web",
        "-o",
        "jsonpath={.status.loadBalancer.ingress[0].ip}",
    ];
    let address = lab::eventually(SOON, "an address", || {
        let address = plane.kubectl_ok(&status, "").ok()?;
        (!address.is_empty()).then_some(address)
    });
    assert_eq!(address, "192.0.2.0");
    assert!(text(&explain(&plane)).contains("192.0.2.0"));
    guarded(&plane, port);
    let status = controller.stop_within(SOON);
    assert!(status.success());
    both_in_one(&plane);
}

/// `run` on the same cluster: the controller's part serves, the speaker's part tells its state. No Node and no
/// advertisement: nothing is announced on the machine's own network.
fn both_in_one(plane: &ControlPlane) {
    if !lab::ready() {
        return;
    }
    let second = OBJECTS.replace("name: web", "name: second");
    plane.kubectl_ok(&["apply", "-f", "-"], &second).unwrap();
    let flags = [
        "run",
        "--health-probe-port=0",
        "--port=0",
        "--node-name=no-node",
    ];
    let mut both = plane
        .daemon("both", harbinger(plane, ADMIN, &flags))
        .unwrap();
    let status = [
        "get",
        "service",
        "second",
        "-o",
        "jsonpath={.status.loadBalancer.ingress[0].ip}",
    ];
    lab::eventually(SOON, "a second address", || {
        let address = plane.kubectl_ok(&status, "").ok()?;
        (address == "192.0.2.1").then_some(())
    });
    let state = [
        "-n",
        "metallb-system",
        "get",
        "configurationstate",
        "speaker-no-node",
    ];
    lab::eventually(SOON, "the speaker's state", || {
        plane.kubectl_ok(&state, "").ok()
    });
    assert!(both.stop_within(SOON).success(), "{}", both.log_end());
}

/// The one command of a takeover removes what blocks every edit of a pool; without the wish it is only told.
fn takeover(plane: &ControlPlane) {
    plane.kubectl_ok(&["apply", "-f", "-"], WEBHOOK).unwrap();
    let get = ["get", "validatingwebhookconfigurations", "-o", "name"];
    let told = output(plane, ADMIN, &["crds", "--apply"]);
    assert!(told.status.success(), "{}", error(&told));
    assert!(
        text(&told).contains("harbinger crds --apply --remove-webhook"),
        "{}",
        text(&told)
    );
    assert!(
        plane
            .kubectl_ok(&get, "")
            .unwrap()
            .contains("metallb-webhook-configuration")
    );
    let done = output(plane, ADMIN, &["crds", "--apply", "--remove-webhook"]);
    assert!(done.status.success(), "{}", error(&done));
    assert!(
        !plane
            .kubectl_ok(&get, "")
            .unwrap()
            .contains("metallb-webhook-configuration")
    );
}

fn start(plane: &ControlPlane, port: u16) -> Daemon {
    let flags = [
        "controller",
        "--health-probe-port=0",
        "--pod-name=c",
        "--lease-duration=2s",
    ];
    let mut command = harbinger(plane, ADMIN, &flags);
    command.arg(format!("--port={port}"));
    plane.daemon("controller", command).unwrap()
}

fn explain(plane: &ControlPlane) -> Output {
    output(plane, ADMIN, &["explain", "svc", "default/web"])
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// 401 without a token, 403 without a right, 200 with both; other paths are other rights.
fn guarded(plane: &ControlPlane, port: u16) {
    let status = |token: Option<String>, path: &str| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new("curl");
        command.args(["-sk", "-o", "-", "-w", "\n%{http_code}", "--max-time", "10"]);
        if let Some(token) = token {
            command
                .arg("-H")
                .arg(format!("Authorization: Bearer {token}"));
        }
        command.arg(format!("https://{address}{path}"));
        let answer = text(&plane.output(command, "").unwrap());
        let (body, code) = answer.rsplit_once('\n').unwrap();
        (code.to_owned(), body.to_owned())
    };
    assert_eq!(status(None, "/metrics").0, "401");
    assert_eq!(status(Some("nonsense".to_owned()), "/metrics").0, "401");
    assert_eq!(status(Some(plane.token(CONTROLLER)), "/metrics").0, "403");
    let begun = Instant::now();
    let (code, body) = status(Some(plane.token(PROMETHEUS)), "/metrics");
    assert_eq!(code, "200", "after {:?}", begun.elapsed());
    assert!(
        body.contains("metallb_allocator_addresses_in_use_total{pool=\"p\"} 1"),
        "{body}"
    );
    assert!(body.contains("harbinger_controller_leader 1"), "{body}");
    assert_eq!(
        status(Some(plane.token(PROMETHEUS)), "/debug/world").0,
        "403"
    );
}
