//! The definitions before a real API server: taken, judging as the table says, over MetalLB's and back.
//!
//! Owns nothing in the product; each story clears the kinds of `metallb.io` away before it begins.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use http::{Method, Request};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec,
};
use kube::Client;
use serde_json::{Value, json};
use tests::cluster_stories::{remove_definitions, wait_established};
use tests::controlplane::{ADMIN, ControlPlane};
use tests::metallb_shaped::metallb_crds;
use tests::validation::{Case, Expect, cases};
use tests::{fleet, lab};

const NAMESPACE: &str = "metallb-system";
/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(60);
/// Requests under way at once.
const AT_ONCE: usize = 32;

#[test]
fn the_server_judges_every_object_as_the_table_says() {
    let plane = ControlPlane::shared();
    start_afresh(&plane);
    plane
        .kubectl_ok(&["apply", "--validate=false", "-f", "-"], &api::crds_yaml())
        .unwrap();
    wait_established(&plane);
    let begun = Instant::now();
    let table = cases();
    let wrong: Vec<String> = plane.block_on(async |client| {
        let judged = stream::iter(table.iter().enumerate())
            .map(|(index, case)| judge(client.clone(), index, case))
            .buffer_unordered(AT_ONCE);
        judged.filter_map(async |verdict| verdict).collect().await
    });
    println!(
        "{} objects judged in {:?}, {} not as the table says",
        table.len(),
        begun.elapsed(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn our_definitions_go_over_those_of_kubectl_apply_and_back() {
    takeover_and_back(Way::Apply);
}

#[test]
fn our_definitions_go_over_those_of_kubectl_create_and_back() {
    takeover_and_back(Way::Create);
}

#[test]
fn our_definitions_go_over_those_of_helm_and_back() {
    takeover_and_back(Way::Helm);
}

#[test]
fn our_definitions_go_over_those_of_a_server_side_apply_and_back() {
    takeover_and_back(Way::ServerSide);
}

/// How MetalLB's definitions came, and come again.
#[derive(Clone, Copy, Debug)]
enum Way {
    Apply,
    Create,
    Helm,
    ServerSide,
}

impl Way {
    fn install(self) -> &'static [&'static str] {
        match self {
            Self::Apply => &["apply", "--validate=false", "-f", "-"],
            Self::Create => &["create", "--validate=false", "-f", "-"],
            Self::Helm => &[
                "create",
                "--field-manager=helm",
                "--validate=false",
                "-f",
                "-",
            ],
            Self::ServerSide => &["apply", "--server-side", "--validate=false", "-f", "-"],
        }
    }

    fn back(self) -> &'static [&'static str] {
        match self {
            Self::Apply => &["apply", "--validate=false", "-f", "-"],
            Self::Create => &["replace", "--validate=false", "-f", "-"],
            Self::Helm => &[
                "replace",
                "--field-manager=helm",
                "--validate=false",
                "-f",
                "-",
            ],
            Self::ServerSide => &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--validate=false",
                "-f",
                "-",
            ],
        }
    }

    /// The manifest of MetalLB's definitions as this way has them.
    fn manifest(self) -> String {
        let items = metallb_crds().into_iter().map(|crd| {
            let mut crd = serde_json::to_value(crd).unwrap();
            if matches!(self, Self::Helm) {
                crd["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
                let annotations = &mut crd["metadata"]["annotations"];
                annotations["meta.helm.sh/release-name"] = json!("metallb");
                annotations["meta.helm.sh/release-namespace"] = json!(NAMESPACE);
            }
            crd
        });
        list(items.collect())
    }
}

fn takeover_and_back(way: Way) {
    let plane = ControlPlane::shared();
    start_afresh(&plane);
    let old = old_peers(&plane);
    plane
        .kubectl_ok(way.install(), &without_peers(&way.manifest()))
        .unwrap();
    replace_peers(&plane, way);
    wait_established(&plane);
    let created = create_good_objects(&plane);
    let before = objects(&plane, &[("BGPPeer", "v1beta2")]);

    let begun = Instant::now();
    println!("{}", harbinger_crds(&plane));
    println!(
        "{way:?}: ours over them in {:?}, with {created} objects and {} stored as v1beta1",
        begun.elapsed(),
        old.len()
    );
    assert_eq!(conversion(&plane), "None");
    let unreadable = BTreeSet::new();
    lab::eventually(SOON, "the peers stored as v1beta1 are read again", || {
        let peers = read(&plane, "BGPPeer", "v1beta1").ok()?;
        old.keys()
            .all(|name| peers.get(name) == old.get(name))
            .then_some(())
    });
    same(&before, &objects(&plane, &[]), &unreadable);

    // The first write through v1beta2 stores them as that: MetalLB's webhook need not be asked for them.
    for name in old.keys() {
        let args = ["label", "-n", NAMESPACE, "bgppeers", name, "story=old"];
        plane.kubectl_ok(&args, "").unwrap();
    }
    let before = objects(&plane, &[]);
    plane.kubectl_ok(way.back(), &way.manifest()).unwrap();
    wait_established(&plane);
    lab::eventually(SOON, "the webhook is MetalLB's again", || {
        (conversion(&plane) == "Webhook").then_some(())
    });
    same(&before, &objects(&plane, &[]), &unreadable);

    // And over them once more: what comes back may leave again.
    harbinger_crds(&plane);
    same(&before, &objects(&plane, &[]), &unreadable);
    println!(
        "{way:?}: back and over again, all {} objects as before",
        before.len()
    );
}

/// Peers stored as v1beta1, by a definition that knows no other; name and spec.
fn old_peers(plane: &ControlPlane) -> BTreeMap<String, Value> {
    let mut crd = peers_definition(&metallb_crds());
    crd["spec"]["conversion"] = json!({"strategy": "None"});
    for version in crd["spec"]["versions"].as_array_mut().unwrap() {
        let first = version["name"] == "v1beta1";
        version["storage"] = json!(first);
        version["served"] = json!(first);
    }
    plane
        .kubectl_ok(&["apply", "--validate=false", "-f", "-"], &crd.to_string())
        .unwrap();
    wait_established(plane);
    let good = good_cases(|case| case.kind == "BGPPeer" && case.version == "v1beta1");
    assert!(good.len() > 5);
    create(plane, good);
    read(plane, "BGPPeer", "v1beta1").unwrap()
}

fn peers_definition(crds: &[CustomResourceDefinition]) -> Value {
    let peers = crds
        .iter()
        .find(|crd| crd.spec.names.kind == "BGPPeer")
        .unwrap();
    serde_json::to_value(peers).unwrap()
}

/// Makes the peers' definition look as if it had come in the way of the story, with its objects kept.
fn replace_peers(plane: &ControlPlane, way: Way) {
    let manifest: Value = serde_json::from_str(&way.manifest()).unwrap();
    let items = manifest["items"].as_array().unwrap();
    let peers = items
        .iter()
        .find(|it| it["spec"]["names"]["kind"] == "BGPPeer")
        .unwrap();
    let replace: &[&str] = match way {
        Way::ServerSide => &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=false",
            "-f",
            "-",
        ],
        Way::Helm => &[
            "replace",
            "--field-manager=helm",
            "--validate=false",
            "-f",
            "-",
        ],
        Way::Create => &["replace", "--validate=false", "-f", "-"],
        Way::Apply => &["apply", "--validate=false", "-f", "-"],
    };
    plane.kubectl_ok(replace, &peers.to_string()).unwrap();
}

fn without_peers(manifest: &str) -> String {
    let mut manifest: Value = serde_json::from_str(manifest).unwrap();
    let items = manifest["items"].as_array_mut().unwrap();
    items.retain(|item| item["spec"]["names"]["kind"] != "BGPPeer");
    manifest.to_string()
}

fn list(items: Vec<Value>) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Good objects of the table with names of their own, of kinds that users write.
fn good_cases(wanted: impl Fn(&Case) -> bool) -> Vec<Value> {
    let cases = cases().into_iter().enumerate();
    cases
        .filter(|(_, case)| case.expect == Expect::Ok && wanted(case))
        .map(|(index, case)| {
            let mut object = case.object;
            object["metadata"]["name"] = json!(format!("case-{index}"));
            object
        })
        .collect()
}

/// Creates every good object of the table that MetalLB's definitions can store; how many.
fn create_good_objects(plane: &ControlPlane) -> usize {
    let good =
        good_cases(|case| (case.kind.as_str(), case.version.as_str()) != ("BGPPeer", "v1beta1"));
    let tried = good.len();
    let created = create(plane, good);
    assert!(
        created * 10 > tried * 9,
        "{created} of {tried} could be created"
    );
    created
}

fn create(plane: &ControlPlane, objects: Vec<Value>) -> usize {
    plane.block_on(async |client| {
        let created = stream::iter(objects)
            .map(|object| {
                let client = client.clone();
                async move {
                    let kind = object["kind"].as_str().unwrap();
                    let version = object["apiVersion"].as_str().unwrap();
                    let version = version.rsplit('/').next().unwrap();
                    let path = path(kind, version);
                    send(&client, Method::POST, &path, &object).await.is_ok()
                }
            })
            .buffer_unordered(AT_ONCE);
        created
            .filter(|done| std::future::ready(*done))
            .count()
            .await
    })
}

/// Every object of the kinds of the table, by kind and name, but for the named kinds (and their versions).
fn objects(plane: &ControlPlane, but: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for crd in metallb_crds() {
        let kind = crd.spec.names.kind.as_str();
        let version = crd
            .spec
            .versions
            .iter()
            .find(|version| version.storage)
            .unwrap();
        if but.contains(&(kind, version.name.as_str())) {
            continue;
        }
        let read = lab::eventually(SOON, &format!("{kind} can be listed"), || {
            read(plane, kind, &version.name).ok()
        });
        let read = read
            .into_iter()
            .map(|(name, object)| (format!("{kind} {name}"), object));
        all.extend(read);
    }
    all
}

/// What must not be lost: uid, labels, annotations, spec, status; by name.
fn read(
    plane: &ControlPlane,
    kind: &str,
    version: &str,
) -> Result<BTreeMap<String, Value>, kube::Error> {
    let path = path(kind, version);
    let list = plane.block_on(async |client| {
        let request = Request::get(path).body(Vec::new()).unwrap();
        client.request::<Value>(request).await
    })?;
    let items = list["items"].as_array().unwrap().iter();
    let kept = items.map(|item| {
        let metadata = &item["metadata"];
        let name = metadata["name"].as_str().unwrap().to_owned();
        let kept = json!({
            "uid": metadata["uid"], "labels": metadata["labels"], "annotations": metadata["annotations"],
            "spec": item["spec"], "status": item["status"],
        });
        (name, kept)
    });
    Ok(kept.collect())
}

fn same(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>, but: &BTreeSet<String>) {
    for (name, object) in before {
        if !but.contains(name) {
            assert_eq!(Some(object), after.get(name), "{name}");
        }
    }
}

/// `harbinger crds --apply`; its report.
fn harbinger_crds(plane: &ControlPlane) -> String {
    let mut command = Command::new(fleet::binary().unwrap());
    command
        .args(["crds", "--apply", "--kubeconfig"])
        .arg(plane.kubeconfig(ADMIN));
    let output = plane.output(command, "").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn conversion(plane: &ControlPlane) -> String {
    let path = "jsonpath={.spec.conversion.strategy}";
    let args = ["get", "crd", "bgppeers.metallb.io", "-o", path];
    plane.kubectl_ok(&args, "").unwrap()
}

/// No definition of `metallb.io`, and the namespace.
fn start_afresh(plane: &ControlPlane) {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    plane
        .kubectl_ok(
            &["apply", "--validate=false", "-f", "-"],
            &namespace.to_string(),
        )
        .unwrap();
    remove_definitions(plane);
}

/// The collection of a kind in our namespace.
fn path(kind: &str, version: &str) -> String {
    static PLACES: LazyLock<BTreeMap<String, (String, String)>> = LazyLock::new(|| {
        let specs = api::crds().into_iter().map(|crd| crd.spec);
        let place =
            |spec: CustomResourceDefinitionSpec| (spec.names.kind, (spec.group, spec.names.plural));
        specs.map(place).collect()
    });
    let (group, plural) = PLACES.get(kind).expect("a kind of ours");
    format!("/apis/{group}/{version}/namespaces/{NAMESPACE}/{plural}")
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(body).unwrap())
        .unwrap();
    client.request(request).await
}

/// What is wrong with the server's verdict on one case.
async fn judge(client: Client, index: usize, case: &Case) -> Option<String> {
    let verdict = write(&client, index, case).await;
    let causes = match &verdict {
        Ok(_) => Vec::new(),
        Err(kube::Error::Api(status)) if status.code == 422 => status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .map(|cause| (cause.field.clone(), cause.message.clone()))
            .collect(),
        Err(error) => return Some(format!("{}: {error}", case.is)),
    };
    let right = match &case.expect {
        Expect::Ok => verdict.is_ok(),
        Expect::Field(path) => causes.iter().any(|(field, _)| field == path),
        Expect::Rule(id) => {
            let rule = api::rules().iter().find(|rule| {
                rule.id == id && rule.kind == case.kind && rule.version == case.version
            });
            let message = rule.expect("a rule of ours").message;
            causes.iter().any(|(_, text)| text.contains(message))
        }
    };
    (!right).then(|| format!("{}: expected {:?}, got {causes:?}", case.is, case.expect))
}

/// Writes the object as the case means it; nothing of it stays but a predecessor.
async fn write(client: &Client, index: usize, case: &Case) -> Result<Value, kube::Error> {
    let collection = path(&case.kind, &case.version);
    let name = format!("case-{index}");
    let mut object = case.object.clone();
    object["metadata"]["name"] = json!(name);
    let of_status = object.get("status").is_some();
    let mut before = match &case.before {
        Some(before) => before.clone(),
        None if of_status => {
            let mut bare = object.clone();
            bare.as_object_mut().unwrap().remove("status");
            bare
        }
        None => {
            let path = format!("{collection}?dryRun=All");
            return send(client, Method::POST, &path, &object).await;
        }
    };
    before["metadata"]["name"] = json!(name);
    let mut there = send(client, Method::POST, &collection, &before).await?;
    let (one, mut version) = (format!("{collection}/{name}"), "resourceVersion");
    let target = if of_status {
        if before.get("status").is_some() {
            before["metadata"][version] = there["metadata"][version].take();
            let path = format!("{one}/status");
            there = send(client, Method::PUT, &path, &before).await?;
        }
        format!("{one}/status?dryRun=All")
    } else {
        format!("{one}?dryRun=All")
    };
    version = "resourceVersion";
    object["metadata"][version] = there["metadata"][version].take();
    send(client, Method::PUT, &target, &object).await
}
