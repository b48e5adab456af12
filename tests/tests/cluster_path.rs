//! The whole path on real parts: client, address, node, kube-proxy, pod in a namespace of its own.
//!
//! Owns nothing in the product; the lab of nodes is [`tests::cluster_lab`]. Times are printed, not judged.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tests::cluster_lab::ClusterLab;
use tests::lab::{self, client};
use tests::{fleet, lab::Capture};

tests::enter_lab_at_start!();

/// Long enough for a loaded machine; every wait ends at its event.
const SOON: Duration = Duration::from_secs(20);
const TRY: Duration = Duration::from_millis(500);
const NODES: usize = 3;

#[test]
fn a_client_reaches_pods_through_kube_proxy_with_nftables() {
    path("nftables");
}

#[test]
fn a_client_reaches_pods_through_kube_proxy_with_iptables() {
    path("iptables");
}

/// What the parts of the cluster said, for who has to find out why nothing answers.
fn logs(cluster: &ClusterLab) {
    for file in std::fs::read_dir(cluster.plane.folder()).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        if name.ends_with(".log") && (name.starts_with("speaker") || name.starts_with("kube-proxy"))
        {
            let log = std::fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.len().saturating_sub(15);
            println!("{name}:\n{}", lines[end..].join("\n"));
        }
    }
}

/// The pod that answers, once one does.
fn answer(cluster: &ClusterLab, at: SocketAddr) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        match client::http_get(&cluster.lab.client, at, TRY) {
            Ok(text) => return text,
            Err(error) if Instant::now() > deadline => {
                logs(cluster);
                panic!("{at} does not answer: {error}");
            }
            // Refused at once while kube-proxy does not know the address yet.
            Err(_) => lab::pause(Duration::from_millis(10)),
        }
    }
}

/// Nodes with kube-proxy, a pod and a speaker each, a controller, a pool, an advertisement.
fn started(mode: &str) -> ClusterLab {
    let mut cluster = ClusterLab::new(NODES, mode).unwrap();
    cluster.start_controller("controller-a").unwrap();
    for n in 0..NODES {
        cluster.pod("web", n).unwrap();
        cluster.start_speaker(n).unwrap();
    }
    cluster
        .apply(&fleet::pool(&["192.0.2.200-192.0.2.219"]))
        .unwrap();
    cluster
}

fn service(name: &str, policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{type: LoadBalancer, externalTrafficPolicy: {policy}, selector: {{app: web}}, \
         ports: [{{port: 80, targetPort: 8080}}]}}\n"
    )
}

fn path(mode: &str) {
    if !lab::ready() {
        return;
    }
    let mut cluster = started(mode);
    let wire = Capture::start(&cluster.lab.client, "eth0").unwrap();
    let begun = Instant::now();
    cluster.apply(&service("web", "Cluster")).unwrap();
    let address = cluster.address_of("web", SOON);
    let given = begun.elapsed();
    let at = SocketAddr::new(address, 80);
    let first = answer(&cluster, at);
    println!(
        "{mode}: applied → address {given:?}, → first answer {:?}: {}",
        begun.elapsed(),
        first.trim()
    );
    // Several pods answer behind one address: kube-proxy spreads.
    let pods: BTreeSet<String> = lab::eventually(SOON, "two pods answer", || {
        let answers = (0..20).filter_map(|_| client::http_get(&cluster.lab.client, at, TRY).ok());
        let pods: BTreeSet<String> = answers
            .filter_map(|text| text.split(' ').next().map(str::to_owned))
            .collect();
        (pods.len() > 1).then_some(pods)
    });
    println!("{mode}: answered by {pods:?}");

    // The holder dies: the next one answers for the address.
    let holder = holder(&cluster, address).unwrap();
    let killed = Instant::now();
    cluster.speaker(holder).unwrap().kill();
    let old = cluster.lab.nodes[holder].mac("eth0").unwrap();
    let frame = wire.wait_after(killed, SOON, |frame| {
        frame.gratuitous(address) && frame.source() != old
    });
    let frame = frame.expect("another one announces it");
    answer(&cluster, at);
    println!(
        "{mode}: holder node-{holder} killed; the next one's first frame after {:?}, the client is answered after {:?}",
        frame.at.saturating_duration_since(killed),
        killed.elapsed()
    );

    // With the Local policy a node's own pod answers, and sees who asks.
    cluster.apply(&service("local", "Local")).unwrap();
    let address = cluster.address_of("local", SOON);
    let text = answer(&cluster, SocketAddr::new(address, 80));
    println!("{mode}: Local: {}", text.trim());
    assert!(
        text.contains("192.0.2.100"),
        "the client's own address reaches the pod: {text}"
    );
}

#[test]
fn what_is_announced_goes_on_without_the_api_server() {
    if !lab::ready() {
        return;
    }
    let mut cluster = started("nftables");
    cluster.apply(&service("web", "Cluster")).unwrap();
    let address = cluster.address_of("web", SOON);
    let at = SocketAddr::new(address, 80);
    answer(&cluster, at);
    let wire = Capture::start(&cluster.lab.client, "eth0").unwrap();
    cluster.plane.stop_apiserver();
    cluster.lab.client.forget_neighbour(address).unwrap();
    answer(&cluster, at);
    // And its holder may die meanwhile.
    let holder = holder(&cluster, address).unwrap();
    let old = cluster.lab.nodes[holder].mac("eth0").unwrap();
    let killed = Instant::now();
    cluster.speaker(holder).unwrap().kill();
    let frame = wire.wait_after(killed, SOON, |frame| {
        frame.gratuitous(address) && frame.source() != old
    });
    let frame = frame.expect("another one announces it");
    answer(&cluster, at);
    println!(
        "without an API server: resolved and answered; holder killed, next frame after {:?}",
        frame.at.saturating_duration_since(killed)
    );
    cluster.plane.start_apiserver().unwrap();
    cluster.apply(&service("later", "Cluster")).unwrap();
    let later = cluster.address_of("later", SOON);
    answer(&cluster, SocketAddr::new(later, 80));
    answer(&cluster, at);
}

/// The node whose address of the link the client has for it.
fn holder(cluster: &ClusterLab, address: IpAddr) -> Option<usize> {
    let mac = cluster.lab.client.neighbour(address).ok()??;
    (0..NODES).find(|n| {
        cluster.lab.nodes[*n]
            .mac("eth0")
            .is_ok_and(|its| its == mac)
    })
}
