//! What the files of this test share: three nodes with a NodePort, and a box before them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use harbinger::speaker::forward::words::Shown;
use tests::fleet::{self, Fleet, POOL, V4, V6, WITHIN};
use tests::lab::{Capture, Echo, Topology, Web, client};

/// Nodes of the cluster; the box is the next host of the lab.
pub(crate) const NODES: usize = 3;
/// The box, which is no node.
pub(crate) const EDGE: usize = NODES;
/// NodePort of the Service's TCP port 80, and of its UDP port 53.
pub(crate) const NODE_PORT: u16 = 30080;
pub(crate) const UDP_NODE_PORT: u16 = 30053;
/// Longest wait for one answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

/// A box that fronts three nodes. What listens on a node's NodePort tells the node's name and who asked.
pub(crate) struct Edge {
    pub(crate) fleet: Fleet,
    pub(crate) wire: Capture,
    _webs: Vec<Web>,
    _echoes: Vec<Echo>,
}

impl Edge {
    /// Up, with the dual-stack Service "web" announced and its table in the kernel.
    pub(crate) fn new() -> Self {
        Self::with(&service(""), &[])
    }

    pub(crate) fn with(service: &str, flags: &[&str]) -> Self {
        let mut fleet = Fleet::new(NODES + 1).unwrap();
        fleet.membership = false;
        let nodes: String = (0..NODES).map(node_manifest).collect();
        fleet.write("nodes.yaml", &nodes).unwrap();
        fleet.write("pool.yaml", &fleet::pool(&POOL)).unwrap();
        fleet.write("web.yaml", service).unwrap();
        fleet.extra = vec!["--outside".to_owned()];
        fleet.extra.extend(flags.iter().map(|f| (*f).to_owned()));
        let any = |port| SocketAddr::new("::".parse().unwrap(), port);
        let nodes = &fleet.lab.nodes[..NODES];
        let webs = nodes.iter().map(|n| Web::start(n, any(NODE_PORT)).unwrap());
        let webs = webs.collect();
        let echoes = nodes
            .iter()
            .map(|n| Echo::start(n, any(UDP_NODE_PORT)).unwrap());
        let echoes = echoes.collect();
        let wire = Capture::start(&fleet.lab.client, "eth0").unwrap();
        fleet.start(EDGE).unwrap();
        let edge = Self {
            fleet,
            wire,
            _webs: webs,
            _echoes: echoes,
        };
        edge.wait_for("the table", |shown| {
            shown
                .ports
                .iter()
                .any(|port| port.targets.iter().any(|t| t.up))
        });
        for address in [V4, V6] {
            let address = address.parse().unwrap();
            edge.fleet.announced(&edge.wire, address, None).unwrap();
        }
        edge
    }

    /// The table as the program tells it.
    pub(crate) fn shown(&self) -> Option<Shown> {
        let text = self.fleet.admin(EDGE, "/debug/front").ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits until the program tells of a table that is applied and as wanted.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Shown) -> bool) -> Shown {
        let end = Instant::now() + WITHIN;
        loop {
            let shown = self.shown();
            if let Some(shown) = &shown
                && shown.failing.is_none()
                && wanted(shown)
            {
                return shown.clone();
            }
            assert!(
                Instant::now() < end,
                "not within {WITHIN:?}: {what}\n{shown:#?}\n{}",
                self.fleet.logs()
            );
            tests::lab::pause(Duration::from_millis(5));
        }
    }

    /// Waits until the nodes that new connections go to are exactly these.
    pub(crate) fn wait_up(&self, nodes: &[usize]) {
        let wanted: Vec<String> = nodes.iter().map(|n| format!("node-{n}")).collect();
        self.wait_for(&format!("up: {wanted:?}"), |shown| {
            let fronted = shown.ports.iter().filter(|p| p.traffic == "front");
            let mut fronted = fronted.peekable();
            fronted.peek().is_some()
                && fronted.all(|port| {
                    let up = port.targets.iter().filter(|t| t.up);
                    up.map(|t| t.node.clone()).eq(wanted.iter().cloned())
                })
        });
    }

    /// One request on a new connection: the node that answered, and whom it saw.
    pub(crate) fn get(&self, address: &str) -> io::Result<(String, IpAddr)> {
        let to = SocketAddr::new(address.parse().unwrap(), 80);
        let answer = client::http_get(&self.fleet.lab.client, to, ANSWER)?;
        let (node, peer) = answer.trim().split_once(' ').unwrap();
        Ok((node.to_owned(), peer.parse().unwrap()))
    }

    /// Requests, each on a connection of its own: how many each node answered. None may fail.
    pub(crate) fn spread(&self, address: &str, count: usize) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        for n in 0..count {
            match self.get(address) {
                Ok((node, _)) => *seen.entry(node).or_default() += 1,
                Err(error) => panic!(
                    "request {n} of {count} to {address}: {error}\n{:#?}\n{}",
                    self.shown(),
                    self.fleet.logs()
                ),
            }
        }
        seen
    }
}

/// Node n with an InternalIP of each family.
fn node_manifest(n: usize) -> String {
    format!(
        "{}  - {{type: InternalIP, address: \"{}\"}}\n",
        fleet::node_manifest(n, ""),
        Topology::node_ipv6(n)
    )
}

/// The Service "web": TCP 80 and UDP 53 with NodePorts, and a port that has none; `more` is put into its spec.
pub(crate) fn service(more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: default\n  annotations:\n    \
         harbinger.dev/endpoints: node-0,node-1,node-2\nspec:\n  type: LoadBalancer\n  \
         ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]\n  clusterIPs: [10.96.0.10, \"fd00:96::10\"]\n  \
         ports:\n  - {{name: http, port: 80, nodePort: {NODE_PORT}}}\n  \
         - {{name: dns, port: 53, protocol: UDP, nodePort: {UDP_NODE_PORT}}}\n  - {{name: bare, port: 81}}\n{more}"
    )
}
