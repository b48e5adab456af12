//! A fleet: nodes on a LAN that run the real `harbinger` on one folder of manifests, with a pod behind each.
//!
//! Owns the lab, the folder and the processes; all go when it is dropped. kube-proxy's part is one nf_tables
//! rule per Service port in each node's namespace. Deliberately absent: any decision about what is right; that
//! is the caller's.

pub mod partition;
pub mod station;
pub mod trial;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab::{
    Capture, Child, Frame, Host, LanOptions, Lines, Topology, Web, client, nft, pause,
};

/// Port the pods listen on.
pub const POD_PORT: u16 = 8080;
/// Port on which they return what they are sent, on connections that stay.
pub const LINES_PORT: u16 = 8081;
/// Port of membership.
pub const MEMBERS_PORT: u16 = 7946;
/// Port of the plain admin endpoint on each node's loopback.
pub const ADMIN_PORT: u16 = 9121;
/// The pool of [`Fleet::alone`], and of the demo.
pub const POOL: [&str; 2] = ["192.0.2.200-192.0.2.219", "2001:db8:2::200-2001:db8:2::213"];
/// Its first address.
pub const V4: &str = "192.0.2.200";
/// Its first address of the other family.
pub const V6: &str = "2001:db8:2::200";
/// Longest wait for anything; every wait ends at its event.
pub const WITHIN: Duration = Duration::from_secs(20);
/// One admin request.
const ADMIN_WITHIN: Duration = Duration::from_secs(5);
/// Between two questions whether a node is ready.
const ADMIN_INTERVAL: Duration = Duration::from_millis(5);

/// The binary under test: `HARBINGER_BIN`, else the one that this build made beside.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HARBINGER_BIN").map(PathBuf::from)
        && path.exists()
    {
        return Ok(path);
    }
    let here = std::env::current_exe().context("own path")?;
    let beside = here
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("harbinger"))
        .find(|path| path.is_file());
    beside.context("no harbinger binary: run `make binary`, or set HARBINGER_BIN")
}

/// Whether this process may use the fast path; if not, the reason is printed, and a test of it is to end.
///
/// # Panics
/// Nothing is in the way of it and it does not work: a skip must not hide that.
pub fn has_fast_path() -> bool {
    /// Linux 6.6 has the place for the program.
    const SINCE: (u32, u32) = (6, 6);
    /// Bits of CAP_NET_ADMIN and CAP_BPF.
    const NEEDED: u64 = 1 << 12 | 1 << 39;
    let Err(why) = linux::bpf::ingress_available() else {
        return true;
    };
    let kernel = linux::probe::kernel().expect("a kernel has a release");
    let rights = linux::probe::capabilities().expect("a process has capabilities");
    let old = (kernel.major, kernel.minor) < SINCE;
    let may = rights.effective & NEEDED == NEEDED && !crate::lab::has_own_users();
    assert!(old || !may, "the fast path is broken here: {why}");
    eprintln!("skipped, no fast path here: {why}");
    false
}

/// Nodes with pods, a client, and a folder of manifests that all of them read.
#[derive(Debug)]
pub struct Fleet {
    /// The lab.
    pub lab: Topology,
    /// Pod n is behind node n.
    pub pods: Vec<Host>,
    webs: Vec<(Web, Lines)>,
    folder: tempfile::TempDir,
    speakers: BTreeMap<usize, Child>,
    /// Arguments that every process gets beside the usual ones.
    pub extra: Vec<String>,
    /// A program with its arguments that starts each process in its place, such as one that takes rights away.
    pub starter: Vec<String>,
    /// The file with the membership's key, for what is started from now on.
    pub key: PathBuf,
    /// Whether the processes take part in the membership; off, a lone one need not listen for others first.
    pub membership: bool,
}

impl Fleet {
    /// Makes the lab with `nodes` nodes and an empty folder; nothing runs yet.
    ///
    /// # Errors
    /// Namespaces are not permitted.
    pub fn new(nodes: usize) -> Result<Self> {
        let lab = Topology::new(nodes, LanOptions::default())?;
        // In memory where the system has that: statuses are synced to the disk one by one, and a lab does not
        // measure whoever else uses the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir())?;
        std::fs::create_dir(folder.path().join("manifests"))?;
        std::fs::create_dir(folder.path().join("logs"))?;
        let mut fleet = Self {
            key: write_key(folder.path(), "key", "a key of the lab")?,
            lab,
            pods: Vec::new(),
            webs: Vec::new(),
            folder,
            speakers: BTreeMap::new(),
            extra: Vec::new(),
            starter: Vec::new(),
            membership: true,
        };
        for n in 0..nodes {
            fleet.add_pod(n)?;
        }
        let objects: String = (0..nodes).map(|n| node_manifest(n, "")).collect();
        fleet.write("nodes.yaml", &objects)?;
        Ok(fleet)
    }

    /// A pod in a namespace of its own, behind its node by a veth, with a web server.
    fn add_pod(&mut self, n: usize) -> Result<()> {
        let node = &self.lab.nodes[n];
        let pod = Host::new(&format!("pod-{n}"))?;
        // A name that the default exclusion list has, as those of network plugins.
        node.add_veth_to("veth-pod", &pod, "eth0")?;
        for (host, name, end) in [(node, "veth-pod", 1), (&pod, "eth0", 2)] {
            host.link_up(name)?;
            host.add_address(name, &format!("10.244.{n}.{end}/24"))?;
            host.add_address(name, &format!("fd00:244:{n}::{end}/64"))?;
        }
        pod.add_route("0.0.0.0/0", &format!("10.244.{n}.1"))?;
        pod.add_route("::/0", &format!("fd00:244:{n}::1"))?;
        let everywhere: IpAddr = "::".parse()?;
        self.webs.push((
            Web::start(&pod, SocketAddr::new(everywhere, POD_PORT))?,
            Lines::start(&pod, SocketAddr::new(everywhere, LINES_PORT))?,
        ));
        self.pods.push(pod);
        Ok(())
    }

    /// The folder of manifests.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// The folder that statuses and events are written to.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where node n's log is.
    pub fn log(&self, n: usize) -> PathBuf {
        self.folder
            .path()
            .join("logs")
            .join(format!("node-{n}.log"))
    }

    /// Puts a manifest into the folder, whole or not at all.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, self.manifests().join(name))?)
    }

    /// Takes a manifest away.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_file(self.manifests().join(name))?)
    }

    /// Starts `harbinger run` on node n.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start(&mut self, n: usize) -> Result<()> {
        let mut command = self.command()?;
        let peers: Vec<String> = (0..self.lab.nodes.len())
            .map(|peer| format!("{}:{MEMBERS_PORT}", Topology::node_ipv4(peer)))
            .collect();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(n))?;
        command
            .arg("run")
            .arg("--dir")
            .arg(self.manifests())
            .arg("--state")
            .arg(self.state())
            .args(["--node-name", &format!("node-{n}")])
            .args(["--port", "0", "--health-probe-port", "0"])
            .args(["--metrics-plain", &format!("127.0.0.1:{ADMIN_PORT}")])
            .args(["--log-format", "json"])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if self.membership {
            command
                .args([
                    "--members-bind",
                    &format!("{}:{MEMBERS_PORT}", Topology::node_ipv4(n)),
                ])
                .args(["--members-peers", &peers.join(",")])
                .arg("--members-key-file")
                .arg(&self.key);
        }
        let child = self.lab.nodes[n].spawn(command)?;
        self.speakers.insert(n, child);
        Ok(())
    }

    /// Starts every node.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.lab.nodes.len()).try_for_each(|n| self.start(n))
    }

    /// One node that announces [`V4`] and [`V6`] for the dual-stack Service "web", and a capture on the client
    /// from before its start.
    ///
    /// # Errors
    /// It does not come up.
    pub fn alone() -> Result<(Self, Capture)> {
        Self::alone_as(|_| ())
    }

    /// As [`Fleet::alone`], with whatever is to be set before the start.
    ///
    /// # Errors
    /// It does not come up.
    pub fn alone_as(set: impl FnOnce(&mut Self)) -> Result<(Self, Capture)> {
        let mut fleet = Self::new(1)?;
        fleet.membership = false;
        set(&mut fleet);
        let wire = Capture::start(&fleet.lab.client, "eth0")?;
        fleet.write("pool.yaml", &pool(&POOL))?;
        fleet.write("web.yaml", &service("web", true, 1))?;
        fleet.start(0)?;
        for address in [V4, V6] {
            fleet.announced(&wire, address.parse()?, None)?;
        }
        fleet.wait_until_ready(&[0], WITHIN)?;
        Ok((fleet, wire))
    }

    /// Waits for the first unasked announcement of an address, of all seen or of those after a moment.
    ///
    /// # Errors
    /// There is none; the logs are in the text.
    pub fn announced(
        &self,
        wire: &Capture,
        address: IpAddr,
        after: Option<Instant>,
    ) -> Result<Frame> {
        wire.wait(WITHIN, |frame| {
            after.is_none_or(|after| frame.at >= after) && frame.gratuitous(address)
        })
        .with_context(|| {
            format!(
                "nobody announced {address} within {WITHIN:?}\n{}",
                self.logs()
            )
        })
    }

    /// A command of the binary under test.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn command(&self) -> Result<Command> {
        let Some((program, arguments)) = self.starter.split_first() else {
            return Ok(Command::new(binary()?));
        };
        let mut command = Command::new(program);
        command.args(arguments).arg(binary()?);
        Ok(command)
    }

    /// The process of node n, to be signalled.
    ///
    /// # Errors
    /// It does not run.
    pub fn process(&mut self, n: usize) -> Result<&mut Child> {
        match self.speakers.get_mut(&n) {
            Some(child) => Ok(child),
            None => bail!("nothing runs on node-{n}"),
        }
    }

    /// Kills the process of node n (SIGKILL) and forgets it.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, n: usize) -> Result<()> {
        self.process(n)?.kill()?;
        self.speakers.remove(&n);
        Ok(())
    }

    /// Ends the process of node n in good order (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn stop(&mut self, n: usize) -> Result<ExitStatus> {
        let child = self.process(n)?;
        child.term();
        let status = child.wait_within(Duration::from_secs(10))?;
        self.speakers.remove(&n);
        Ok(status)
    }

    /// `harbinger move`: asks for a Service's addresses to go to node n, and waits until they are there.
    ///
    /// # Errors
    /// It was refused, or did not come about; what it said is in the text.
    pub fn move_to(&self, service: &str, n: usize) -> Result<String> {
        let mut command = self.command()?;
        command
            .args(["move", "svc", service, "--to", &format!("node-{n}")])
            .arg("--dir")
            .arg(self.manifests())
            .arg("--state")
            .arg(self.state());
        let output = command.output()?;
        if !output.status.success() {
            bail!("move: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Plays kube-proxy: on every node, `address:port` leads to the web server of the node's own pod, and the
    /// next port to what returns lines.
    ///
    /// # Errors
    /// nf_tables refuses.
    pub fn proxy(&self, services: &[(IpAddr, u16)]) -> Result<()> {
        for (n, node) in self.lab.nodes.iter().enumerate() {
            let rule = |address: IpAddr, port, pod_port| nft::Dnat {
                protocol: nft::Protocol::Tcp,
                from: SocketAddr::new(address, port),
                to: SocketAddr::new(pod_address(n, address.is_ipv4()), pod_port),
                masquerade: true,
            };
            let rules: Vec<nft::Dnat> = services
                .iter()
                .flat_map(|(address, port)| {
                    [
                        rule(*address, *port, POD_PORT),
                        rule(*address, *port + 1, LINES_PORT),
                    ]
                })
                .collect();
            nft::set(node, &rules)?;
        }
        Ok(())
    }

    /// Which node's hardware address this is.
    ///
    /// # Errors
    /// An interface is missing.
    pub fn node_of(&self, mac: [u8; 6]) -> Result<Option<usize>> {
        for (n, node) in self.lab.nodes.iter().enumerate() {
            if node.mac("eth0")? == mac {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Asks node n's admin endpoint; the body of a 200 answer.
    ///
    /// # Errors
    /// Nobody listens there, or it is another answer.
    pub fn admin(&self, n: usize, path: &str) -> Result<String> {
        let at = SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT));
        let mut stream = client::connect(&self.lab.nodes[n], at, ADMIN_WITHIN)?;
        stream.set_read_timeout(Some(ADMIN_WITHIN))?;
        write!(stream, "GET {path} HTTP/1.0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => bail!("{path} on node-{n}: {head}\n{body}"),
        }
    }

    /// The sum of a metric of node n over the samples whose text has `label`.
    ///
    /// # Errors
    /// As [`Fleet::admin`].
    pub fn metric(&self, n: usize, name: &str, label: &str) -> Result<f64> {
        Ok(sum(&self.admin(n, "/metrics")?, name, label))
    }

    /// Waits until these nodes have planned once.
    ///
    /// # Errors
    /// One is not ready within `time`; its log is in the text.
    pub fn wait_until_ready(&mut self, nodes: &[usize], time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        for &n in nodes {
            loop {
                let Err(error) = self.admin(n, "/readyz") else {
                    break;
                };
                if let Some(status) = self.process(n)?.try_wait() {
                    bail!("node-{n} ended: {status}\n{}", self.logs());
                }
                if Instant::now() >= end {
                    bail!(
                        "node-{n} is not ready after {time:?}: {error:#}\n{}",
                        self.logs()
                    );
                }
                pause(ADMIN_INTERVAL);
            }
        }
        Ok(())
    }

    /// All logs, for a failing test.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for n in 0..self.lab.nodes.len() {
            let log = std::fs::read_to_string(self.log(n)).unwrap_or_default();
            let _infallible = writeln!(text, "--- node-{n}\n{log}");
        }
        text
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The sum of a metric over the samples whose text has `label`.
fn sum(text: &str, name: &str, label: &str) -> f64 {
    let samples = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Makes a key file in a folder, readable by its owner alone.
///
/// # Errors
/// The disk.
pub fn write_key(folder: &Path, name: &str, key: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, key)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

/// The address of pod n.
pub fn pod_address(n: usize, v4: bool) -> IpAddr {
    let n16 = u16::try_from(n).expect("a lab is small");
    let n8 = u8::try_from(n).expect("a lab is small");
    if v4 {
        IpAddr::from([10, 244, n8, 2])
    } else {
        IpAddr::from([0xfd00, 0x244, n16, 0, 0, 0, 0, 2])
    }
}

/// Node n with labels such as "a: b".
pub fn node_manifest(n: usize, labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{n}, labels: {{{labels}}}}}\nstatus:\n  addresses:\n  \
         - {{type: InternalIP, address: {}}}\n",
        Topology::node_ipv4(n)
    )
}

/// A pool and an advertisement for it.
pub fn pool(addresses: &[&str]) -> String {
    let list: String = addresses.iter().map(|a| format!("\n  - {a}")).collect();
    format!(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: lan, namespace: metallb-system}}\n\
         spec:\n  addresses:{list}\n---\n\
         apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {{name: lan, namespace: metallb-system}}\n"
    )
}

/// Services "{name}-0", "{name}-1" and so on, each as [`service`].
pub fn services(name: &str, count: usize, dual: bool, nodes: usize) -> String {
    (0..count)
        .map(|n| service(&format!("{name}-{n}"), dual, nodes))
        .collect()
}

/// A Service of type LoadBalancer, served by every one of `nodes` nodes.
pub fn service(name: &str, dual: bool, nodes: usize) -> String {
    let families = if dual {
        "\n  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]\n  clusterIPs: [10.96.0.10, \"fd00:96::10\"]"
    } else {
        ""
    };
    let endpoints: Vec<String> = (0..nodes).map(|n| format!("node-{n}")).collect();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: default\n  annotations:\n    \
         harbinger.dev/endpoints: {}\nspec:\n  type: LoadBalancer{families}\n  ports:\n  - {{name: http, port: 80}}\n",
        endpoints.join(",")
    )
}
