//! A host: one network namespace, held by a descriptor.
//!
//! Owns the namespace; threads and processes enter it. Deliberately knows no interface but loopback.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::runtime::{Builder, Runtime};

use super::child::Child;

/// A network namespace with its loopback up, IPv6 without duplicate address detection, and no noise of its
/// own (no router solicitations). Clones are the same host; the last one to go takes the namespace along,
/// once no child process is left in it.
#[derive(Debug, Clone)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    namespace: File,
}

impl Host {
    /// Makes a namespace.
    ///
    /// # Errors
    /// No permission to make one.
    pub fn new(name: &str) -> Result<Self> {
        let made = std::thread::scope(|scope| {
            let leave = || -> Result<File> {
                unshare(CloneFlags::CLONE_NEWNET).context(
                    "cannot make a network namespace (run as root or call lab::enter first)",
                )?;
                for family in ["all", "default"] {
                    for (key, value) in QUIET {
                        write_sysctl(&format!("net/ipv6/conf/{family}/{key}"), value)?;
                    }
                }
                Ok(File::open("/proc/thread-self/ns/net")?)
            };
            scope
                .spawn(leave)
                .join()
                .map_err(|_| anyhow!("thread died"))
        });
        let namespace = made??;
        let host = Self(Arc::new(Inner {
            name: name.to_owned(),
            namespace,
        }));
        host.link_up("lo")?;
        Ok(host)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where its namespace can be entered by other programs (`nsenter --net=PATH`), while this process lives.
    pub fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.0.namespace.as_raw_fd()
        )
    }

    pub(super) fn namespace(&self) -> &File {
        &self.0.namespace
    }

    /// Runs `f` on the host, on a thread of its own, and waits for it. A panic goes through.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let ran = std::thread::scope(|scope| {
            let inside = || {
                self.enter();
                f()
            };
            scope.spawn(inside).join()
        });
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a future on the host in a current-thread runtime and waits for it.
    pub fn block_on<R: Send>(&self, f: impl AsyncFnOnce() -> R + Send) -> R {
        self.run(|| runtime().block_on(f()))
    }

    /// Starts a thread on the host that goes on by itself.
    pub fn thread<R: Send + 'static>(
        &self,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let host = self.clone();
        std::thread::spawn(move || {
            host.enter();
            f()
        })
    }

    /// Starts a program on the host. It is killed when the [`Child`] is dropped.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(&self, mut command: Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        // A child process inherits the namespace of the thread that starts it.
        let child = self
            .run(move || command.spawn())
            .with_context(|| format!("cannot start {program} on {}", self.name()))?;
        Ok(Child::new(child))
    }

    /// Writes a setting under `/proc/sys` as this host sees it: "net/ipv4/ip_forward".
    ///
    /// # Errors
    /// No such setting, or refused.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        self.run(|| write_sysctl(path, value))
    }

    /// Switches forwarding on or off, for both families.
    ///
    /// # Errors
    /// Refused.
    pub fn forwarding(&self, on: bool) -> Result<()> {
        let value = if on { "1" } else { "0" };
        self.sysctl("net/ipv4/ip_forward", value)?;
        self.sysctl("net/ipv6/conf/all/forwarding", value)
    }

    /// Reads a file under `/proc/net` as this host sees it: "igmp6".
    ///
    /// # Errors
    /// No such file.
    pub fn proc_net(&self, file: &str) -> Result<String> {
        self.run(|| {
            Ok(std::fs::read_to_string(format!(
                "/proc/thread-self/net/{file}"
            ))?)
        })
    }

    /// A TCP port of this host that nobody uses now.
    ///
    /// # Errors
    /// Loopback has none.
    pub fn free_port(&self) -> Result<u16> {
        self.run(|| {
            Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port())
        })
    }

    fn enter(&self) {
        setns(&self.0.namespace, CloneFlags::CLONE_NEWNET)
            .expect("a namespace made by this process can be entered by it");
    }
}

/// No duplicate address detection, so that addresses work at once; no router is looked for.
const QUIET: [(&str, &str); 4] = [
    ("accept_dad", "0"),
    ("dad_transmits", "0"),
    ("accept_ra", "0"),
    ("router_solicitations", "0"),
];

fn write_sysctl(path: &str, value: &str) -> Result<()> {
    std::fs::write(format!("/proc/sys/{path}"), value)
        .with_context(|| format!("cannot set /proc/sys/{path} to {value}"))
}

/// A current-thread runtime.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only memory and two descriptors")
}
