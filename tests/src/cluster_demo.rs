//! `make demo CLUSTER=1`: the demo's acts on a real control plane, with the real kube-proxy.
//!
//! It shows and measures; it asserts only that each act came to its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cluster_lab::ClusterLab;
use crate::fleet;
use crate::lab::{Capture, client};

const NODES: usize = 3;
const ACT: Duration = Duration::from_secs(30);
const TRY: Duration = Duration::from_millis(250);

/// Runs it, and leaves it up for somebody to try if `keep`.
///
/// # Errors
/// An act did not come to its end.
pub fn run(keep: bool) -> Result<()> {
    println!(
        "Starting etcd, kube-apiserver, kube-controller-manager, and {NODES} nodes with kube-proxy …"
    );
    let mut cluster = ClusterLab::new(NODES, "nftables")?;
    let wire = Capture::start(&cluster.lab.client, "eth0")?;
    for n in 0..NODES {
        cluster.pod("web", n)?;
        cluster.start_speaker(n)?;
    }
    cluster.start_controller("controller-1")?;
    cluster.start_controller("controller-2")?;
    cluster.apply(&fleet::pool(&["192.0.2.200-192.0.2.219"]))?;

    println!("\n1. kubectl expose --type=LoadBalancer:");
    let asked = Instant::now();
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n\
         spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n",
    )?;
    let address = cluster.address_of("web", ACT);
    println!("     EXTERNAL-IP {address}");
    let first = wire
        .wait_after(asked, ACT, |frame| frame.gratuitous(address))
        .context("nobody announced it")?;
    let holder = node_of(&cluster, first.source())?;
    println!(
        "     node-{holder} announced it {} ms after the apply began",
        (first.at - asked).as_millis()
    );

    println!("\n2. A client on the LAN, through kube-proxy to a pod:");
    let at = SocketAddr::new(address, 80);
    println!(
        "     GET http://{at}/ -> {}",
        answer(&cluster, at)?.1.trim()
    );

    println!("\n3. The speaker that answers is killed (SIGKILL):");
    let killed = Instant::now();
    cluster.speaker(holder)?.kill();
    let next = wire
        .wait_after(killed, ACT, |frame| {
            frame.gratuitous(address) && frame.source() != first.source()
        })
        .context("nobody took over")?;
    println!(
        "     node-{} announced it after {} ms",
        node_of(&cluster, next.source())?,
        (next.at - killed).as_millis()
    );
    let (when, text) = answer(&cluster, at)?;
    println!(
        "     the client is answered {} ms after the kill: {}",
        (when - killed).as_millis(),
        text.trim()
    );
    if keep {
        println!("\nThe cluster is up. Try:");
        println!(
            "  export KUBECONFIG={}; kubectl get services,servicel2statuses -A   (in {})",
            cluster
                .plane
                .kubeconfig(crate::controlplane::ADMIN)
                .display(),
            enter(&cluster.plane_host)
        );
        println!("  {} curl http://{address}/", enter(&cluster.lab.client));
        println!(
            "  {} explain svc default/web --kubeconfig …",
            fleet::binary()?.display()
        );
        println!("Press Enter to end it.");
        std::io::stdin().read_line(&mut String::new())?;
    }
    println!("\nDone.");
    Ok(())
}

fn enter(host: &crate::lab::Host) -> String {
    format!("nsenter --net={}", host.path())
}

fn node_of(cluster: &ClusterLab, mac: [u8; 6]) -> Result<usize> {
    for (n, node) in cluster.lab.nodes.iter().enumerate() {
        if node.mac("eth0")? == mac {
            return Ok(n);
        }
    }
    anyhow::bail!("a frame of no node")
}

/// Asks until somebody answers; kube-proxy needs a moment for a new Service.
fn answer(cluster: &ClusterLab, at: SocketAddr) -> Result<(Instant, String)> {
    let until = Instant::now() + ACT;
    loop {
        match client::http_get(&cluster.lab.client, at, TRY) {
            Ok(text) => return Ok((Instant::now(), text)),
            Err(error) if Instant::now() > until => return Err(error).context("no answer"),
            Err(_) => crate::lab::pause(Duration::from_millis(5)),
        }
    }
}
