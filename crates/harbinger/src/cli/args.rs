//! Arguments that several verbs share, and where their defaults come from.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use engine::forward::{ForwardOptions, Traffic};

use crate::cli::metallb::{self, go_bool};
use crate::telemetry::{Level, LogControl, LogFormat};

/// The namespace when nothing says another.
pub const NAMESPACE: &str = "metallb-system";

/// Where a Pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Which cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Kubeconfig {
    /// Kubeconfig file; else KUBECONFIG, ~/.kube/config, or the Pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; else its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl Kubeconfig {
    /// A client of that cluster. Nothing is asked yet. To be called in the runtime where it is used.
    ///
    /// # Errors
    /// No configuration can be found or read.
    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        cluster::connect(self.kubeconfig.as_deref(), self.context.as_deref())
            .await
            .context("no cluster to ask; name a kubeconfig with --kubeconfig FILE")
    }
}

/// Logs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Logs, metrics, health")]
pub struct Logs {
    /// all, debug, info, warn, error, none, or directives like info,harbinger=debug.
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub log_level: Level,
    /// Form of the log; else text on a terminal and JSON elsewhere.
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

impl Logs {
    /// Sets the process's logging up.
    ///
    /// # Errors
    /// It is set up already.
    pub fn install(&self) -> anyhow::Result<LogControl> {
        crate::telemetry::install(&self.log_level, self.log_format)
    }
}

/// Oldest TLS version of the metrics port, in Go's spelling or ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsMin {
    /// TLS 1.2.
    #[value(name = "VersionTLS12", alias = "1.2")]
    V12,
    /// TLS 1.3.
    #[default]
    #[value(name = "VersionTLS13", alias = "1.3")]
    V13,
}

/// The ports an operator looks at.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Logs, metrics, health")]
pub struct Ports {
    /// HTTPS port of /metrics and /debug, guarded by the cluster's authentication; 0: none.
    #[arg(long, default_value_t = 9120)]
    pub port: u16,
    /// Folder with tls.crt and tls.key for that port; else a certificate is made at start.
    #[arg(long, value_name = "DIR")]
    pub metrics_cert_dir: Option<PathBuf>,
    /// Oldest TLS version there.
    #[arg(long, value_enum, default_value_t)]
    pub tls_min_version: TlsMin,
    /// The same over plain HTTP without any guard, for a lab or one box.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_plain: Option<SocketAddr>,
    /// Port of /healthz and /readyz; 0: none.
    #[arg(long, default_value_t = 17472)]
    pub health_probe_port: u16,
}

/// Names that say who and where we are.
#[derive(Clone, Debug, clap::Args)]
pub struct Identity {
    /// Our namespace: the only one whose metallb.io objects count [default: the Pod's own, else metallb-system].
    #[arg(long, env = "METALLB_NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of this Pod: the controller's identity in its Lease, the owner of a speaker's status objects.
    #[arg(long, env = "METALLB_POD_NAME")]
    pub pod_name: Option<String>,
    /// Serve the Services of this loadBalancerClass; without it, those that have none.
    #[arg(long, value_name = "CLASS")]
    pub lb_class: Option<String>,
    /// Seed of all that is drawn at random but keys; drawn and logged when not given.
    #[arg(long)]
    pub seed: Option<u64>,
}

impl Identity {
    /// The namespace in force.
    pub fn namespace(&self) -> String {
        namespace(self.namespace.as_deref(), Path::new(NAMESPACE_FILE))
    }

    /// The class in force: an empty flag is none, as in MetalLB.
    pub fn class(&self) -> Option<String> {
        self.lb_class.clone().filter(|class| !class.is_empty())
    }

    /// The seed in force.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn seed(&self) -> anyhow::Result<u64> {
        match self.seed {
            Some(seed) => Ok(seed),
            None => Ok(u64::from_le_bytes(random()?)),
        }
    }
}

fn namespace(given: Option<&str>, file: &Path) -> String {
    given
        .filter(|namespace| !namespace.is_empty())
        .map(str::to_owned)
        .or_else(|| std::fs::read_to_string(file).ok())
        .map(|namespace| namespace.trim().to_owned())
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or_else(|| NAMESPACE.to_owned())
}

/// Bytes from the operating system.
///
/// # Errors
/// It gives none.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_unspecified| anyhow!("the operating system gives no random bytes"))?;
    Ok(bytes)
}

/// One leader among the controllers.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Leader election")]
pub struct Lease {
    /// How long a leader that says nothing is believed to be there.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub lease_duration: Duration,
    /// Name of the Lease object in our namespace.
    #[arg(long, default_value = "harbinger-controller", value_name = "NAME")]
    pub lease_name: String,
}

/// Shortest and longest lease: below a second one slow answer of the API server costs the leadership, above a
/// minute a takeover is no takeover.
const LEASE_MIN: Duration = Duration::from_secs(1);
const LEASE_MAX: Duration = Duration::from_secs(60);

impl Lease {
    /// The duration, checked.
    ///
    /// # Errors
    /// It is out of bounds.
    pub fn duration(&self) -> anyhow::Result<Duration> {
        if self.lease_duration < LEASE_MIN || self.lease_duration > LEASE_MAX {
            bail!("--lease-duration: from 1s to 60s");
        }
        Ok(self.lease_duration)
    }
}

/// `2s`, `500ms`, `1m`, or a bare number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_no_number| "a duration such as 2s, 500ms or 1m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => number
            .checked_mul(60)
            .map(Duration::from_secs)
            .ok_or_else(|| "too long".to_owned()),
        _ => Err("a duration such as 2s, 500ms or 1m".to_owned()),
    }
}

/// Which node of several answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PlacementArg {
    /// Who holds it keeps it; else by order, no node above its share.
    #[default]
    Fair,
    /// Always the first in MetalLB's order, without claims; the same on all nodes.
    Metallb,
}

/// Whether the kernel answers ARP itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FastPathArg {
    /// Where it can: Linux 6.6, CAP_BPF and CAP_NET_ADMIN; else packet sockets answer.
    #[default]
    Auto,
    /// Packet sockets answer.
    Off,
}

/// Whether ServiceBGPStatuses are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BgpStatusArg {
    /// While Services times nodes are at most 5,000; above that one for each node.
    #[default]
    Auto,
    /// One for each Service and node, as MetalLB.
    Always,
    /// None.
    Never,
}

impl From<BgpStatusArg> for engine::speaker::BgpStatusMode {
    fn from(arg: BgpStatusArg) -> Self {
        match arg {
            BgpStatusArg::Auto => Self::Auto,
            BgpStatusArg::Always => Self::Always,
            BgpStatusArg::Never => Self::Never,
        }
    }
}

/// What only speakers have.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Announcing")]
pub struct Announce {
    /// Announce also from nodes labelled node.kubernetes.io/exclude-from-external-load-balancers.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub ignore_exclude_lb: bool,
    /// Which of several nodes answers for an address.
    #[arg(long, value_enum, default_value_t)]
    pub placement: PlacementArg,
    /// Whether plain ARP requests are answered inside the kernel, by a BPF program that this process leases.
    #[arg(long, value_enum, default_value_t)]
    pub arp_fast_path: FastPathArg,
    /// Whether ServiceBGPStatus objects are written.
    #[arg(long, value_enum, default_value_t)]
    pub bgp_status: BgpStatusArg,
    /// After a stop that handed addresses over, how long the process stays, silent: 0s to 300s.
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub linger: Duration,
    /// Whether the health of nodes is probed: of every node while something is fronted, else of this one; always of every node; or never.
    #[arg(long, value_enum, default_value_t)]
    pub probes: ProbesArg,
}

/// When nodes are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProbesArg {
    /// While something is fronted.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: every node counts as healthy.
    Off,
}

impl From<ProbesArg> for engine::speaker::Probes {
    fn from(probes: ProbesArg) -> Self {
        match probes {
            ProbesArg::Auto => Self::Auto,
            ProbesArg::On => Self::On,
            ProbesArg::Off => Self::Off,
        }
    }
}

/// Who takes the packets of a Service that does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TrafficArg {
    /// The announcing node's own kube-proxy.
    Node,
    /// A healthy node, over its NodePort.
    Front,
}

impl From<TrafficArg> for Traffic {
    fn from(traffic: TrafficArg) -> Self {
        match traffic {
            TrafficArg::Node => Self::Node,
            TrafficArg::Front => Self::Front,
        }
    }
}

/// Whether and how the NodePorts of the cluster are fronted.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Fronting NodePorts")]
pub struct Fronting {
    /// This machine is no node of the cluster: it sends what arrives to a healthy node, over its NodePort.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub outside: bool,
    /// Who takes the packets of Services without the annotation harbinger.dev/traffic [default: node; front with --outside].
    #[arg(long, value_enum)]
    pub traffic: Option<TrafficArg>,
    /// Close the other ports of addresses that kube-proxy serves too.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub guard: bool,
    /// The forward table stays in the kernel when the process ends, for an upgrade.
    #[arg(long)]
    pub keep_on_exit: bool,
    /// Switch forwarding of packets on where it is off.
    #[arg(long)]
    pub set_sysctls: bool,
}

impl Fronting {
    /// As the engine takes it.
    pub fn options(&self) -> ForwardOptions {
        ForwardOptions {
            outside: self.outside,
            traffic: self.traffic.map(Into::into),
            guard: self.guard,
        }
    }
}

/// Longest time a stopping speaker stays.
const LINGER_MAX: Duration = Duration::from_secs(300);

impl Announce {
    /// The linger, checked.
    ///
    /// # Errors
    /// It is out of bounds.
    pub fn linger(&self) -> anyhow::Result<Duration> {
        if self.linger > LINGER_MAX {
            bail!("--linger: from 0s to 300s");
        }
        Ok(self.linger)
    }
}

/// Who is alive. Without an address to bind to, membership is off and every node counts as alive.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Membership")]
pub struct Members {
    /// Address and port to hear the other speakers on.
    #[arg(long, value_name = "ADDR:PORT")]
    pub members_bind: Option<SocketAddr>,
    /// The other speakers, comma-separated; else they are found by their Pods.
    #[arg(long, value_name = "ADDR:PORT,…", value_delimiter = ',', value_parser = peer)]
    pub members_peers: Vec<SocketAddr>,
    /// File with the key all speakers share, mode 0600; else the Secret of the cluster.
    #[arg(long, value_name = "FILE")]
    pub members_key_file: Option<PathBuf>,
    /// Address to hear the other speakers on, as MetalLB has it; empty: membership is off.
    #[arg(long, env = "METALLB_ML_BIND_ADDR", value_name = "ADDR")]
    pub ml_bindaddr: Option<String>,
    /// Port to hear the other speakers on, as MetalLB has it.
    #[arg(long, env = "METALLB_ML_BIND_PORT", value_name = "PORT")]
    pub ml_bindport: Option<String>,
    /// Labels by which the speakers' Pods are found (`app=metallb,component=speaker`); empty: membership is off.
    #[arg(long, env = "METALLB_ML_LABELS", value_name = "LABELS")]
    pub ml_labels: Option<String>,
    /// Folder with the file `secretkey`, as MetalLB mounts its Secret.
    #[arg(long, env = "METALLB_ML_SECRET_KEY_PATH", value_name = "DIR")]
    pub ml_secret_key_path: Option<PathBuf>,
    /// Name of the Secret with the key.
    #[arg(
        long,
        env = "METALLB_ML_SECRET_NAME",
        default_value = "memberlist",
        value_name = "NAME"
    )]
    pub ml_secret_name: String,
}

/// The Secret with the membership key when none is said.
pub const SECRET: &str = "memberlist";

/// Membership's port when none is said.
pub const MEMBERS_PORT: u16 = 7946;

/// A membership key longer than this is no key, bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// `10.0.0.1`, `10.0.0.1:7946`, `fd00::1`, `[fd00::1]:7946`.
fn peer(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    text.parse()
        .or_else(|_no_port| {
            text.trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .map(|address| SocketAddr::new(address, MEMBERS_PORT))
        })
        .map_err(|_no_address| "an address such as 10.0.0.1:7946 or [fd00::1]:7946".to_owned())
}

impl Members {
    /// The address to bind to; none: membership is off.
    ///
    /// # Errors
    /// An address or a port that is none.
    pub fn bind(&self) -> anyhow::Result<Option<SocketAddr>> {
        if let Some(address) = self.members_bind {
            return Ok(Some(address));
        }
        let port = match self.ml_bindport.as_deref() {
            None | Some("") => MEMBERS_PORT,
            Some(text) => text
                .parse()
                .map_err(|_no_port| anyhow!("--ml-bindport={text:?} is no port"))?,
        };
        let statically = !self.members_peers.is_empty();
        match self.ml_bindaddr.as_deref() {
            None | Some("") if statically => {
                let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                Ok(Some(SocketAddr::new(any, port)))
            }
            None | Some("") => Ok(None),
            Some(_) if !statically && self.labels()?.is_empty() => Ok(None),
            Some(text) => text
                .parse::<IpAddr>()
                .map(|address| Some(SocketAddr::new(address, port)))
                .map_err(|_no_address| anyhow!("--ml-bindaddr={text:?} is no IP address")),
        }
    }

    /// The labels of `--ml-labels`.
    ///
    /// # Errors
    /// Not of the form `key=value,…`.
    pub fn labels(&self) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
        self.ml_labels
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                part.split_once('=')
                    .map(|(key, value)| {
                        (
                            key.trim().to_owned(),
                            value.trim_matches(['=', ' ']).to_owned(),
                        )
                    })
                    .ok_or_else(|| anyhow!("--ml-labels: {part:?} is not of the form key=value"))
            })
            .collect()
    }

    /// The key of a file, when one is named; its bytes are never logged.
    ///
    /// # Errors
    /// The file cannot be read, is open to others, or is empty or too long.
    pub fn key(&self) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(path) = &self.members_key_file {
            return read_key(path, true).map(Some);
        }
        let Some(folder) = self
            .ml_secret_key_path
            .as_ref()
            .filter(|p| !p.as_os_str().is_empty())
        else {
            return Ok(None);
        };
        let path = folder.join("secretkey");
        // An optional Secret that is not there yet mounts as an empty folder; the key comes by the watch then.
        if path.exists() {
            // A mounted Secret is readable by its group by design.
            read_key(&path, false).map(Some)
        } else {
            Ok(None)
        }
    }
}

fn read_key(path: &Path, private: bool) -> anyhow::Result<Vec<u8>> {
    use std::os::unix::fs::PermissionsExt;
    let place = path.display();
    let metadata =
        std::fs::metadata(path).with_context(|| format!("the membership key {place}"))?;
    let mode = metadata.permissions().mode() & 0o777;
    if private && mode & 0o077 != 0 {
        bail!(
            "the membership key {place} is open to others (mode {mode:o}); run `chmod 600 {place}`"
        );
    }
    if metadata.len() > KEY_BYTES_MAX {
        bail!("the membership key {place} is longer than {KEY_BYTES_MAX} bytes");
    }
    let mut key = std::fs::read(path).with_context(|| format!("the membership key {place}"))?;
    while key.last().is_some_and(u8::is_ascii_whitespace) {
        key.pop();
    }
    if key.is_empty() {
        bail!("the membership key {place} is empty; write one with `openssl rand -base64 32`");
    }
    Ok(key)
}

/// The notes about flags and environment that have no effect, as warnings.
///
/// # Errors
/// The environment asks for something that cannot be.
pub fn tell_notes(notes: Vec<String>) -> anyhow::Result<()> {
    let mut all = metallb::environment(|name| std::env::var(name).ok())?;
    all.extend(notes);
    for note in all {
        tracing::warn!(event = "flag", "{note}");
    }
    Ok(())
}
