//! A cluster to measure in: nodes on a LAN, a real control plane as one more host on it, the real controller and
//! speakers under the shipped RBAC.
//!
//! Owns all of these; they end with the value. Services only grow in number. kube-controller-manager and kubelets
//! are absent: what they would write (EndpointSlices, Pods' addresses) is written here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::audit::{Counts, Tail};
use super::{bare, say};
use crate::controlplane::{CONTROLLER, ControlPlane, Daemon, Options, SPEAKER};
use crate::fleet;
use crate::lab::{self, Host, LanOptions, Topology};

/// Nodes there are; a row runs speakers on as many as it wants.
pub(super) const NODES: usize = 5;
/// Our namespace.
const OURS: &str = "metallb-system";
/// The control plane's address on the LAN.
const SERVER: &str = "192.0.2.50";
/// Longest for what takes seconds at most on an idle machine.
const SOON: Duration = Duration::from_secs(120);
/// Longest for all Services to get their addresses.
const SERVED: Duration = Duration::from_secs(300);
/// Without a write for so long, nothing more is to come.
const QUIET: Duration = Duration::from_millis(1_500);

/// See the module.
pub(super) struct Cluster {
    speakers: BTreeMap<usize, Daemon>,
    controller: Option<Daemon>,
    pods: usize,
    services: usize,
    audit: Tail,
    /// The control plane.
    pub(super) plane: ControlPlane,
    /// The LAN.
    pub(super) lab: Topology,
}

impl Cluster {
    /// Starts the control plane with our definitions, nodes, one pool and one advertisement; nothing of ours runs.
    pub(super) fn start() -> Result<Self> {
        let lab = Topology::new(NODES, LanOptions::default())?;
        let host = Host::new("plane")?;
        lab.lan.attach(&host, "eth0", &[&format!("{SERVER}/24")])?;
        let options = Options {
            host: Some(host.clone()),
            address: SERVER.parse()?,
            ..Options::default()
        };
        let begun = Instant::now();
        let plane = ControlPlane::start(options)?;
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base");
        for file in ["namespace.yaml", "rbac.yaml"] {
            let text = std::fs::read_to_string(base.join(file))?;
            plane.kubectl_ok(&["apply", "-f", "-"], &text)?;
        }
        plane.kubectl_ok(&["apply", "-f", "-"], &api::crds_yaml())?;
        plane.kubectl_ok(
            &[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd",
                "--all",
            ],
            "",
        )?;
        plane.kubectl_ok(&["apply", "-f", "-"], &fleet::pool(&["10.1.0.0/16"]))?;
        plane.block_on(async |client| nodes(&client).await)?;
        let audit = Tail::new(plane.folder().join("audit.log"))?;
        say(&format!(
            "control plane: {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        Ok(Self {
            speakers: BTreeMap::new(),
            controller: None,
            pods: 0,
            services: 0,
            audit,
            plane,
            lab,
        })
    }

    /// How many Services there are.
    pub(super) fn services(&self) -> usize {
        self.services
    }

    /// Creates Services with their slices until there are so many.
    pub(super) fn create_until(&mut self, count: usize) -> Result<()> {
        let from = self.services;
        if from >= count {
            return Ok(());
        }
        let begun = Instant::now();
        self.plane.block_on(async |client| -> Result<()> {
            let client = &client;
            bare::all(from..count, async move |n| {
                let name = name(n);
                bare::create_slice(client, &name, &format!("node-{}", n % NODES)).await?;
                bare::create(client, &name, None).await
            })
            .await
            .map(drop)
        })?;
        self.services = count;
        say(&format!(
            "{from}..{count} Services created: {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// As [`Self::create_until`], and all of them have an address; the controller runs.
    pub(super) fn serve(&mut self, count: usize) -> Result<()> {
        self.create_until(count)?;
        self.start_controller()?;
        let begun = Instant::now();
        loop {
            self.wait_for_quiet()?;
            let (known, served) = self.plane.block_on(async |c| bare::list(&c).await)?;
            if served == known.len() {
                return Ok(());
            }
            // A pressed server may leave the controller without its Lease for a while.
            let all = known.len();
            let log = self.controller_log();
            ensure!(
                begun.elapsed() < SERVED,
                "{served} of {all} Services have an address:\n{log}"
            );
        }
    }

    /// Starts the controller unless it runs.
    pub(super) fn start_controller(&mut self) -> Result<()> {
        if self.controller.is_some() {
            return Ok(());
        }
        let mut command = Command::new(fleet::binary()?);
        command
            .arg("controller")
            .arg("--kubeconfig")
            .arg(self.plane.kubeconfig(CONTROLLER))
            .args(["--namespace", OURS, "--pod-name", "controller-0"])
            .args(["--ml-secret-name", "memberlist"])
            .args(["--port", "0", "--health-probe-port", "0"]);
        self.controller = Some(self.plane.daemon("controller", command)?);
        Ok(())
    }

    /// Ends the controller: in good order, or by SIGKILL.
    pub(super) fn stop_controller(&mut self, kill: bool) {
        if let Some(mut controller) = self.controller.take() {
            if kill {
                controller.kill();
            } else {
                controller.stop_within(SOON);
            }
        }
    }

    /// The controller's process id.
    pub(super) fn controller_id(&self) -> Result<u32> {
        Ok(self.controller.as_ref().context("no controller runs")?.id())
    }

    fn controller_log(&self) -> String {
        self.controller
            .as_ref()
            .map_or_else(String::new, Daemon::log_end)
    }

    /// Starts speakers on the first `count` nodes, at once; their Pods exist before.
    pub(super) fn start_speakers(&mut self, count: usize) -> Result<()> {
        self.set_pods(count)?;
        (0..count).try_for_each(|n| self.start_speaker(n))
    }

    /// Starts the speaker of node n; its Pod exists before.
    pub(super) fn start_speaker(&mut self, n: usize) -> Result<()> {
        let mut command = Command::new(fleet::binary()?);
        command
            .arg("speaker")
            .arg("--kubeconfig")
            .arg(self.plane.kubeconfig(SPEAKER))
            .args(["--node-name", &format!("node-{n}")])
            .args(["--pod-name", &format!("speaker-{n}")])
            .args(["--namespace", OURS])
            .args(["--ml-bindaddr", &Topology::node_ipv4(n)])
            .args(["--ml-labels", "app=metallb,component=speaker"])
            .args(["--ml-secret-name", "memberlist"])
            .args(["--port", "0", "--health-probe-port", "0"]);
        let node = &self.lab.nodes[n];
        let folder = self.plane.folder();
        let daemon = Daemon::start(&format!("speaker-{n}"), command, Some(node), folder)?;
        self.speakers.insert(n, daemon);
        Ok(())
    }

    /// Kills the speaker of node n (SIGKILL).
    pub(super) fn kill_speaker(&mut self, n: usize) -> Result<()> {
        let mut speaker = self.speakers.remove(&n).context("no such speaker")?;
        speaker.kill();
        Ok(())
    }

    /// Ends all speakers in good order.
    pub(super) fn stop_speakers(&mut self) {
        for speaker in self.speakers.values_mut() {
            speaker.signal(nix::sys::signal::Signal::SIGTERM);
        }
        for mut speaker in std::mem::take(&mut self.speakers).into_values() {
            speaker.stop_within(SOON);
        }
    }

    /// The speakers' process ids, by node.
    pub(super) fn speaker_ids(&self) -> Vec<u32> {
        self.speakers.values().map(Daemon::id).collect()
    }

    /// The ends of the speakers' logs.
    pub(super) fn speaker_logs(&self) -> String {
        let log = |daemon: &Daemon| format!("--- {}\n{}\n", daemon.name(), daemon.log_end());
        self.speakers.values().map(log).collect()
    }

    /// The Pods of the first `count` nodes, as a DaemonSet and kubelets would leave them.
    pub(super) fn set_pods(&mut self, count: usize) -> Result<()> {
        let had = std::mem::replace(&mut self.pods, count);
        self.plane.block_on(async |client| -> Result<()> {
            for n in count..had {
                let uri = format!("/api/v1/namespaces/{OURS}/pods/speaker-{n}");
                let now = json!({"gracePeriodSeconds": 0});
                bare::send(&client, Method::DELETE, &uri, &now).await?;
            }
            for n in had..count {
                pod(&client, n).await?;
            }
            Ok(())
        })
    }

    /// The project's writes since the last call, by kind.
    pub(super) fn writes(&mut self) -> Result<Counts> {
        self.audit.counts()
    }

    /// The audit log's reader, for what needs each write.
    pub(super) fn audit(&mut self) -> &mut Tail {
        &mut self.audit
    }

    /// Waits until the project has written nothing for a while; what it wrote until then.
    pub(super) fn wait_for_quiet(&mut self) -> Result<Counts> {
        let mut all = Counts::new();
        let mut last = Instant::now();
        let give_up = last + SERVED;
        while last.elapsed() < QUIET {
            lab::pause(Duration::from_millis(50));
            let new = self.writes()?;
            if !new.is_empty() {
                last = Instant::now();
            }
            for (what, count) in new {
                *all.entry(what).or_default() += count;
            }
            if last > give_up {
                bail!("writes go on and on: {all:?}");
            }
        }
        Ok(all)
    }
}

/// The n-th Service's name.
pub(super) fn name(n: usize) -> String {
    format!("service-{n}")
}

/// The n-th address of the pool.
pub(super) fn is_of_pool(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [10, 1])
}

async fn nodes(client: &Client) -> Result<()> {
    for n in 0..NODES {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{n}")},
            "status": {"addresses": [{"type": "InternalIP", "address": Topology::node_ipv4(n)}]},
        });
        bare::send(client, Method::POST, "/api/v1/nodes", &node).await?;
    }
    Ok(())
}

async fn pod(client: &Client, n: usize) -> Result<()> {
    let ip = Topology::node_ipv4(n);
    let pods = format!("/api/v1/namespaces/{OURS}/pods");
    let body = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("speaker-{n}"),
            "namespace": OURS,
            "labels": {"app": "metallb", "component": "speaker"},
        },
        "spec": {
            "nodeName": format!("node-{n}"),
            "hostNetwork": true,
            "containers": [{"name": "speaker", "image": "harbinger"}],
        },
    });
    let _created: Value = bare::send(client, Method::POST, &pods, &body).await?;
    let status = json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": ip,
    }});
    let uri = format!("{pods}/speaker-{n}/status");
    bare::send(client, Method::PATCH, &uri, &status)
        .await
        .map(drop)
}
