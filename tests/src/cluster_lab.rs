//! A whole cluster in namespaces: the real control plane on the LAN, nodes with the real kube-proxy and the real
//! speaker, pods in namespaces of their own, one or more controllers, and a client outside.
//!
//! Owns the lab and every process; all go when it is dropped. Deliberately absent: kubelets and a CNI; a pod is a
//! namespace behind its node, and routes between nodes are static.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster_stories::deploy;
use crate::controlplane::{CONTROLLER, ControlPlane, Daemon, Options, SPEAKER};
use crate::fleet::{self, POD_PORT};
use crate::lab::{self, Host, LanOptions, Topology, Web};

/// Where the control plane is on the LAN.
const PLANE: [u8; 4] = [192, 0, 2, 2];
/// The namespace of everything of ours.
pub const NAMESPACE: &str = "metallb-system";

/// See the module. Processes are dropped before the control plane, and that before the lab.
#[derive(Debug)]
pub struct ClusterLab {
    speakers: BTreeMap<usize, Daemon>,
    controllers: BTreeMap<String, Daemon>,
    _proxies: Vec<Daemon>,
    /// The control plane.
    pub plane: ControlPlane,
    /// Its host.
    pub plane_host: Host,
    _webs: Vec<Web>,
    /// Pod n is behind node n.
    pub pods: Vec<Host>,
    /// Nodes and client.
    pub lab: Topology,
}

impl ClusterLab {
    /// Nodes registered, kube-proxy running on each in `mode` (nftables or iptables), our definitions applied;
    /// no controller and no speaker runs yet.
    ///
    /// # Errors
    /// A part does not start.
    pub fn new(nodes: usize, mode: &str) -> Result<Self> {
        let lab = Topology::new(nodes, LanOptions::default())?;
        let plane_host = Host::new("plane")?;
        lab.lan.attach(
            &plane_host,
            "eth0",
            &[&format!("{}/24", IpAddr::from(PLANE))],
        )?;
        let plane = ControlPlane::start(Options {
            host: Some(plane_host.clone()),
            address: PLANE.into(),
            controller_manager: true,
            ..Options::default()
        })?;
        let mut made = Self {
            speakers: BTreeMap::new(),
            controllers: BTreeMap::new(),
            _proxies: Vec::new(),
            plane,
            plane_host,
            _webs: Vec::new(),
            pods: Vec::new(),
            lab,
        };
        made.plane
            .kubectl_ok(&["create", "namespace", NAMESPACE], "")?;
        made.apply(&api::crds_yaml())?;
        // The processes run under what is shipped.
        made.apply(&std::fs::read_to_string(deploy().join("base/rbac.yaml"))?)?;
        for n in 0..nodes {
            made.add_node(n, mode)?;
        }
        Ok(made)
    }

    /// `kubectl apply` of manifests.
    ///
    /// # Errors
    /// Refused, with kubectl's words.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.plane
            .kubectl_ok(&["apply", "-f", "-"], manifests)
            .map(drop)
    }

    fn add_node(&mut self, n: usize, mode: &str) -> Result<()> {
        let node = &self.lab.nodes[n];
        let pod = Host::new(&format!("pod-{n}"))?;
        node.add_veth_to("pod0", &pod, "eth0")?;
        for (host, name, end) in [(node, "pod0", 1), (&pod, "eth0", 2)] {
            host.link_up(name)?;
            host.add_address(name, &format!("10.88.{n}.{end}/24"))?;
        }
        pod.add_route("0.0.0.0/0", &format!("10.88.{n}.1"))?;
        for other in (0..self.lab.nodes.len()).filter(|other| *other != n) {
            self.lab.nodes[other].add_route(&format!("10.88.{n}.0/24"), &Topology::node_ipv4(n))?;
        }
        let everywhere = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), POD_PORT);
        self._webs.push(Web::start(&pod, everywhere)?);
        self.pods.push(pod);
        let name = format!("node-{n}");
        self.apply(&format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n"
        ))?;
        // The admission marks a new Node as not ready; nobody here takes the taint away.
        self.plane.kubectl_ok(
            &["patch", "node", &name, "-p", r#"{"spec":{"taints":null}}"#],
            "",
        )?;
        let status = format!(
            r#"{{"status":{{"addresses":[{{"type":"InternalIP","address":"{}"}}],"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#,
            Topology::node_ipv4(n)
        );
        self.plane.kubectl_ok(
            &[
                "patch",
                "node",
                &name,
                "--subresource=status",
                "-p",
                &status,
            ],
            "",
        )?;
        let proxy = self.plane.kube_proxy(&name, &self.lab.nodes[n], mode)?;
        self._proxies.push(proxy);
        Ok(())
    }

    /// A pod of `app` on node n, ready, whose web server is the namespace behind the node.
    ///
    /// # Errors
    /// The API server refuses it.
    pub fn pod(&self, app: &str, n: usize) -> Result<()> {
        let name = format!("{app}-{n}");
        self.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{app: {app}}}}}\n\
             spec: {{nodeName: node-{n}, containers: [{{name: web, image: none}}]}}\n"
        ))?;
        let status = format!(
            r#"{{"status":{{"phase":"Running","podIP":"10.88.{n}.2","podIPs":[{{"ip":"10.88.{n}.2"}}],"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
        );
        self.plane.kubectl_ok(
            &["patch", "pod", &name, "--subresource=status", "-p", &status],
            "",
        )?;
        Ok(())
    }

    /// Starts a controller, on the control plane's host.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start_controller(&mut self, name: &str) -> Result<()> {
        let mut command = std::process::Command::new(fleet::binary()?);
        command
            .arg("controller")
            .arg("--kubeconfig")
            .arg(self.plane.kubeconfig(CONTROLLER))
            .args([
                "--namespace",
                NAMESPACE,
                "--pod-name",
                name,
                "--ml-secret-name",
                "memberlist",
            ])
            .args([
                "--port",
                "0",
                "--health-probe-port",
                "0",
                "--log-format",
                "json",
            ]);
        let daemon = self.plane.daemon(name, command)?;
        self.controllers.insert(name.to_owned(), daemon);
        Ok(())
    }

    /// Starts the speaker of node n: its membership has a static list and the key of the cluster's Secret.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start_speaker(&mut self, n: usize) -> Result<()> {
        let peers: Vec<String> = (0..self.lab.nodes.len()).map(Topology::node_ipv4).collect();
        let mut command = std::process::Command::new(fleet::binary()?);
        command
            .arg("speaker")
            .arg("--kubeconfig")
            .arg(self.plane.kubeconfig(SPEAKER))
            .args([
                "--namespace",
                NAMESPACE,
                "--node-name",
                &format!("node-{n}"),
            ])
            .args([
                "--members-bind",
                &format!("{}:7946", Topology::node_ipv4(n)),
            ])
            .args([
                "--members-peers",
                &peers.join(","),
                "--ml-secret-name",
                "memberlist",
            ])
            .args([
                "--port",
                "0",
                "--health-probe-port",
                "0",
                "--log-format",
                "json",
            ])
            .args([
                "--metrics-plain",
                &format!("127.0.0.1:{}", fleet::ADMIN_PORT),
            ]);
        let name = format!("speaker-{n}");
        let host = Some(&self.lab.nodes[n]);
        let daemon = Daemon::start(&name, command, host, self.plane.folder())?;
        self.speakers.insert(n, daemon);
        Ok(())
    }

    /// The speaker's process on node n.
    ///
    /// # Errors
    /// It does not run.
    pub fn speaker(&mut self, n: usize) -> Result<&mut Daemon> {
        self.speakers
            .get_mut(&n)
            .with_context(|| format!("no speaker runs on node-{n}"))
    }

    /// A controller's process.
    ///
    /// # Errors
    /// It does not run.
    pub fn controller(&mut self, name: &str) -> Result<&mut Daemon> {
        self.controllers
            .get_mut(name)
            .with_context(|| format!("no controller {name}"))
    }

    /// The first address of a Service's status, once there is one.
    ///
    /// # Panics
    /// There is none within `time`; the message has the logs.
    pub fn address_of(&self, service: &str, time: Duration) -> IpAddr {
        let what = format!("service {service} has an address");
        lab::eventually(time, &what, || {
            let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
            let text = self
                .plane
                .kubectl_ok(&["get", "service", service, "-o", path], "")
                .ok()?;
            text.trim().parse().ok()
        })
    }
}
