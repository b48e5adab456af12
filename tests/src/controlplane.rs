//! A real control plane for the stories: etcd and kube-apiserver, and kube-controller-manager and kube-proxy
//! where a story asks for them.
//!
//! Owns the processes, their scratch folder, the users with their tokens, and the audit log; everything goes when
//! the value is dropped. Deliberately absent: any object of the project; what stands in the cluster is the story's.

mod audit;
mod daemon;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tempfile::TempDir;

use crate::lab::{self, Host};

pub use audit::Request;
pub use daemon::Daemon;

/// The user who may do everything.
pub const ADMIN: &str = "admin";
/// The controller's service account.
pub const CONTROLLER: &str = "system:serviceaccount:metallb-system:controller";
/// The speaker's service account.
pub const SPEAKER: &str = "system:serviceaccount:metallb-system:speaker";
/// A service account that may read metrics once a story binds a role to it.
pub const PROMETHEUS: &str = "system:serviceaccount:monitoring:prometheus";
/// Somebody without any right.
pub const NOBODY: &str = "nobody";
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const PROXY: &str = "system:kube-proxy";

/// Time for a start; 3 s on an idle machine, 9 s and more beside builds.
const START_WITHIN: Duration = Duration::from_secs(120);

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// In whose network namespace it runs; else in the calling thread's.
    pub host: Option<Host>,
    /// The address that kube-apiserver listens on, there.
    pub address: IpAddr,
    /// Whether kube-controller-manager runs too: endpoint slices, namespaces, garbage collection.
    pub controller_manager: bool,
    /// More flags for kube-apiserver.
    pub apiserver_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            controller_manager: false,
            apiserver_flags: Vec::new(),
        }
    }
}

/// A running control plane. Its parts are dropped in this order: kube-apiserver does not end in peace without etcd.
#[derive(Debug)]
pub struct ControlPlane {
    controller_manager: Mutex<Option<Daemon>>,
    apiserver: Mutex<Option<Daemon>>,
    _etcd: Daemon,
    options: Options,
    binary: PathBuf,
    port: u16,
    etcd_port: u16,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts everything and waits until kube-apiserver says that it is ready.
    ///
    /// # Errors
    /// No binary (`make localkube` builds it), or a part of it ended; the message has the end of its log.
    pub fn start(options: Options) -> Result<Self> {
        let binary = binary()?;
        let folder = tempfile::Builder::new()
            .prefix("harbinger-plane-")
            .tempdir()?;
        let [port, etcd_port, peer_port] = free_ports(&options)?;
        let flags = etcd_flags(folder.path(), etcd_port, peer_port);
        let etcd = Daemon::start(
            "etcd",
            command(&binary, "etcd", &flags),
            options.host.as_ref(),
            folder.path(),
        )?;
        let plane = Self {
            controller_manager: Mutex::new(None),
            apiserver: Mutex::new(None),
            _etcd: etcd,
            options,
            binary,
            port,
            etcd_port,
            folder,
        };
        plane.write_files()?;
        plane.start_apiserver()?;
        if plane.options.controller_manager {
            plane.start_controller_manager()?;
        }
        Ok(plane)
    }

    /// The one of this test binary, with the default options: started at the first call, stopped at exit.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn shared() -> Arc<Self> {
        Self::shared_with(Options::default)
    }

    /// The one of this test binary, with the options of the first call.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn shared_with(options: impl FnOnce() -> Options) -> Arc<Self> {
        static SHARED: Mutex<Option<Arc<ControlPlane>>> = Mutex::new(None);
        static AT_EXIT: Once = Once::new();
        extern "C" fn stop() {
            drop(held(&SHARED).take());
        }
        AT_EXIT.call_once(|| {
            // SAFETY: the function only takes a lock and drops a value, which is allowed at exit.
            unsafe { libc::atexit(stop) };
        });
        let mut shared = held(&SHARED);
        let plane = shared.get_or_insert_with(|| {
            Arc::new(Self::start(options()).expect("the control plane starts"))
        });
        Arc::clone(plane)
    }

    /// Where kube-apiserver listens.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(self.options.address, self.port)
    }

    /// The scratch folder, for files of the story.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A kubeconfig for one of the users of this module.
    ///
    /// # Panics
    /// No such user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        let path = self.kubeconfig_path(user);
        assert!(path.exists(), "no user {user}");
        path
    }

    /// The bearer token of a user.
    pub fn token(&self, user: &str) -> String {
        token(user)
    }

    /// A client for a user, in the calling thread's network namespace; call it inside a runtime.
    ///
    /// # Errors
    /// The kubeconfig is of no use, which would be a mistake here.
    pub async fn client(&self, user: &str) -> Result<kube::Client> {
        let file = Kubeconfig::read_from(self.kubeconfig(user))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Runs a future with the administrator's client, where the control plane is, and waits for it.
    pub fn block_on<R: Send>(&self, story: impl AsyncFnOnce(kube::Client) -> R + Send) -> R {
        let inside = async || {
            let client = self
                .client(ADMIN)
                .await
                .expect("the administrator's client");
            story(client).await
        };
        match &self.options.host {
            Some(host) => host.block_on(inside),
            None => runtime().block_on(inside()),
        }
    }

    /// Runs kubectl as the administrator.
    ///
    /// # Errors
    /// It cannot be started; its own failure is in the output.
    pub fn kubectl(&self, args: &[&str], stdin: &str) -> Result<Output> {
        self.kubectl_with_cache(&self.folder.path().join("kubectl"), args, stdin)
    }

    /// Runs kubectl as the administrator, with its discovery cache in a folder of the story's choice.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn kubectl_with_cache(&self, cache: &Path, args: &[&str], stdin: &str) -> Result<Output> {
        let mut kubectl = command(&self.binary, "kubectl", &[]);
        kubectl
            .arg("--kubeconfig")
            .arg(self.kubeconfig(ADMIN))
            .arg("--cache-dir")
            .arg(cache)
            .args(args)
            .env("HOME", self.folder.path());
        self.output(kubectl, stdin)
    }

    /// Runs kubectl and expects it to go well; its output.
    ///
    /// # Errors
    /// It failed, with what it said.
    pub fn kubectl_ok(&self, args: &[&str], stdin: &str) -> Result<String> {
        let output = self.kubectl(args, stdin)?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a program where the control plane is and waits for its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn output(&self, mut command: Command, stdin: &str) -> Result<Output> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let run = move || -> Result<Output> {
            let mut child = command.spawn()?;
            if let Some(mut pipe) = child.stdin.take() {
                // It may end without reading everything; its status tells.
                let _ = pipe.write_all(stdin.as_bytes());
            }
            Ok(child.wait_with_output()?)
        };
        self.inside(run)
    }

    /// Starts a program that goes on, where the control plane is; its log is `<name>.log` in the folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn daemon(&self, name: &str, command: Command) -> Result<Daemon> {
        let host = self.options.host.as_ref();
        Daemon::start(name, command, host, self.folder.path())
    }

    /// Starts kube-proxy for a node, in that node's network namespace.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn kube_proxy(&self, node: &str, host: &Host, mode: &str) -> Result<Daemon> {
        let flags = [
            format!("--hostname-override={node}"),
            format!("--proxy-mode={mode}"),
            "--cluster-cidr=10.88.0.0/16".to_owned(),
            // It would set the machine's own settings otherwise.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0".to_owned(),
            "--healthz-bind-address=127.0.0.1:10256".to_owned(),
            "--metrics-bind-address=127.0.0.1:10249".to_owned(),
        ];
        let mut proxy = command(&self.binary, "kube-proxy", &flags);
        proxy.arg("--kubeconfig").arg(self.kubeconfig(PROXY));
        let name = format!("kube-proxy-{node}");
        Daemon::start(&name, proxy, Some(host), self.folder.path())
    }

    /// Kills kube-apiserver; etcd goes on.
    pub fn stop_apiserver(&self) {
        drop(held(&self.apiserver).take());
    }

    /// Starts kube-apiserver, on the same port and the same etcd, and waits until it is ready.
    ///
    /// # Errors
    /// It ended; the message has the end of its log.
    pub fn start_apiserver(&self) -> Result<()> {
        let command = command(&self.binary, "kube-apiserver", &self.apiserver_flags());
        let mut server = self.daemon("kube-apiserver", command)?;
        self.block_on(async |client| -> Result<()> {
            let deadline = Instant::now() + START_WITHIN;
            loop {
                let request = http::Request::get("/readyz").body(Vec::new())?;
                if client.request_text(request).await.is_ok() {
                    return Ok(());
                }
                if server.has_ended() || Instant::now() > deadline {
                    bail!("kube-apiserver does not get ready:\n{}", server.log_end());
                }
                lab::pause(Duration::from_millis(10));
            }
        })?;
        *held(&self.apiserver) = Some(server);
        Ok(())
    }

    /// Starts kube-controller-manager.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_controller_manager(&self) -> Result<()> {
        let [port] = free_ports(&self.options)?;
        let flags = [
            "--leader-elect=false".to_owned(),
            "--controllers=endpointslice-controller,endpoints-controller,namespace-controller,garbage-collector-controller".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            "--authentication-skip-lookup=true".to_owned(),
            "--concurrent-service-endpoint-syncs=10".to_owned(),
        ];
        let mut command = command(&self.binary, "kube-controller-manager", &flags);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig(CONTROLLER_MANAGER))
            .arg("--cert-dir")
            .arg(self.folder.path().join("kcm-tls"));
        let daemon = self.daemon("kube-controller-manager", command)?;
        *held(&self.controller_manager) = Some(daemon);
        Ok(())
    }

    /// Forgets every revision of etcd before the newest: a watch from before is too old then, once the API
    /// server's own window does not reach back (after its restart).
    ///
    /// # Errors
    /// etcd refuses.
    pub fn compact(&self) -> Result<()> {
        let newest = self.etcd("/v3/kv/range", &json!({"key": "AA=="}).to_string())?;
        let newest: serde_json::Value = serde_json::from_str(&newest)?;
        let revision = &newest["header"]["revision"];
        let body = json!({"revision": revision, "physical": true}).to_string();
        self.etcd("/v3/kv/compaction", &body)?;
        Ok(())
    }

    /// What the project's service accounts asked of the API server so far, in order. A watch is in it when it
    /// ends.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn requests(&self) -> Result<Vec<Request>> {
        audit::read(&self.folder.path().join("audit.log"))
    }

    /// One call of etcd's JSON gateway.
    fn etcd(&self, path: &str, body: &str) -> Result<String> {
        self.inside(|| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.etcd_port))?;
            let length = body.len();
            write!(
                stream,
                "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}"
            )?;
            let answer = std::io::read_to_string(stream)?;
            let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
            let good = head.split(' ').nth(1) == Some("200");
            ensure!(good, "etcd {path}: {answer}");
            Ok(body.to_owned())
        })
    }

    fn inside<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.options.host {
            Some(host) => host.run(f),
            None => f(),
        }
    }

    fn kubeconfig_path(&self, user: &str) -> PathBuf {
        let name = user.replace(':', "-");
        self.folder.path().join(format!("{name}.kubeconfig"))
    }

    /// Tokens, kubeconfigs, the key of service accounts, the audit policy.
    fn write_files(&self) -> Result<()> {
        let at = |name: &str| self.folder.path().join(name);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        fs::write(at("sa.key"), key.serialize_pem())?;
        fs::write(at("sa.pub"), key.public_key_pem())?;
        fs::write(at("audit.yaml"), audit::POLICY)?;
        let mut tokens = String::new();
        for (user, groups) in USERS {
            tokens += &format!("{},{user},{user},\"{groups}\"\n", token(user));
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "story",
                "clusters": [{"name": "story", "cluster": {
                    "server": format!("https://{}", self.server()),
                    "insecure-skip-tls-verify": true,
                }}],
                "users": [{"name": "story", "user": {"token": token(user)}}],
                "contexts": [{"name": "story", "context": {"cluster": "story", "user": "story"}}],
            });
            fs::write(self.kubeconfig_path(user), config.to_string())?;
        }
        fs::write(at("tokens.csv"), tokens)?;
        Ok(())
    }

    fn apiserver_flags(&self) -> Vec<String> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let mut flags = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--bind-address={}", self.options.address),
            format!("--secure-port={}", self.port),
            // An address that is no loopback; nobody publishes it.
            "--advertise-address=192.0.2.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={}", at("tls")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--anonymous-auth=true".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", at("sa.pub")),
            format!("--service-account-signing-key-file={}", at("sa.key")),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--feature-gates=MultiCIDRServiceAllocator=false".to_owned(),
            "--max-requests-inflight=2000".to_owned(),
            "--max-mutating-requests-inflight=1000".to_owned(),
            format!("--audit-policy-file={}", at("audit.yaml")),
            format!("--audit-log-path={}", at("audit.log")),
        ];
        flags.extend(self.options.apiserver_flags.iter().cloned());
        flags
    }
}

/// User and groups.
const USERS: [(&str, &str); 7] = [
    (ADMIN, "system:masters"),
    (CONTROLLER_MANAGER, ""),
    (PROXY, ""),
    (
        CONTROLLER,
        "system:serviceaccounts,system:serviceaccounts:metallb-system",
    ),
    (
        SPEAKER,
        "system:serviceaccounts,system:serviceaccounts:metallb-system",
    ),
    (
        PROMETHEUS,
        "system:serviceaccounts,system:serviceaccounts:monitoring",
    ),
    (NOBODY, ""),
];

fn token(user: &str) -> String {
    format!("token-of-{}", user.replace(':', "-"))
}

/// The five programs in one file: `HARBINGER_LOCALKUBE`, which the Makefile sets and builds.
fn binary() -> Result<PathBuf> {
    let path = std::env::var_os("HARBINGER_LOCALKUBE")
        .map(PathBuf::from)
        .context("HARBINGER_LOCALKUBE is not set: run `make cluster`")?;
    let there = path.exists();
    ensure!(
        there,
        "{}: no such file: run `make localkube`",
        path.display()
    );
    Ok(path)
}

fn command(binary: &Path, name: &str, flags: &[String]) -> Command {
    let mut command = Command::new(binary);
    // It is the program by whose name it is called.
    command.arg0(name).args(flags);
    command
}

fn etcd_flags(folder: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--quota-backend-bytes=4294967296".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

/// Ports that nobody uses now, all different.
fn free_ports<const N: usize>(options: &Options) -> Result<[u16; N]> {
    let find = || -> Result<[u16; N]> {
        let held: Vec<TcpListener> = (0..N)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<std::io::Result<_>>()?;
        let mut ports = [0; N];
        for (port, listener) in ports.iter_mut().zip(&held) {
            *port = listener.local_addr()?.port();
        }
        Ok(ports)
    };
    match &options.host {
        Some(host) => host.run(find),
        None => find(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only memory and two descriptors")
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
