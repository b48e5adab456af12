//! Probes on real sockets, on a thread of their own, so that a large plan makes no answer late.
//!
//! ```text
//!   brain ── Probe (mpsc, 512, full: dropped and counted) ──► probe thread: one task for each
//!   brain ◄── Done (mpsc, 1,024, full: dropped and counted) ──┘
//! ```
//! Owns the sockets of probes. When what is asked, and what an answer means, is the health machine's; it takes a
//! probe whose result was dropped for lost, which says nothing about the node.

mod body;
mod http;
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use engine::health::{Probe, ProbeId, ProbeKind, ProbeResult, Rung};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// LIMIT: probes waiting for their task: as many as the machine has in flight.
const PROBES_MAX: usize = 512;

/// LIMIT: results waiting for the brain: those in flight, and those of probes that were given up meanwhile.
const RESULTS_MAX: usize = 1_024;

/// Stack of the probe thread, bytes: the tasks are on the heap.
const STACK_BYTES: usize = 512 * 1024;

/// What came of one probe.
#[derive(Clone, Debug)]
pub struct Done {
    /// Which.
    pub id: ProbeId,
    /// Its step of the ladder.
    pub rung: Rung,
    /// What.
    pub result: ProbeResult,
    /// How long it took.
    pub took: Duration,
}

/// The brain's ends.
#[derive(Debug)]
pub struct Prober {
    probes: mpsc::Sender<Probe>,
    results: mpsc::Receiver<Done>,
    dropped: u64,
}

impl Prober {
    /// Starts the thread; it ends with this value.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start() -> anyhow::Result<Self> {
        let (probes, asked) = mpsc::channel(PROBES_MAX);
        let (done, results) = mpsc::channel(RESULTS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime for probes")?;
        std::thread::Builder::new()
            .name("probe".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || runtime.block_on(run(asked, done)))
            .context("no thread for probes")?;
        Ok(Self {
            probes,
            results,
            dropped: 0,
        })
    }

    /// Carries it out; without room it is dropped and counted.
    pub fn ask(&mut self, probe: Probe) {
        if self.probes.try_send(probe).is_err() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The next result; none when the thread has ended.
    pub async fn done(&mut self) -> Option<Done> {
        self.results.recv().await
    }

    /// One that is there already.
    pub fn done_already(&mut self) -> Option<Done> {
        self.results.try_recv().ok()
    }

    /// Probes that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

async fn run(mut asked: mpsc::Receiver<Probe>, done: mpsc::Sender<Done>) {
    while let Some(probe) = asked.recv().await {
        let done = done.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let Some(result) = carry_out(&probe).await else {
                return;
            };
            // A full queue loses it, and the machine knows that lost is not dead.
            let _lost = done.try_send(Done {
                id: probe.id,
                rung: probe.rung,
                result,
                took: begun.elapsed(),
            });
        });
    }
}

/// None where this machine itself lacks something: that says nothing about the node.
pub(crate) async fn carry_out(probe: &Probe) -> Option<ProbeResult> {
    let outcome = tokio::time::timeout(probe.timeout, attempt(probe)).await;
    match outcome {
        Ok(Ok(result)) => Some(result),
        Ok(Err(error)) => refusal(&error),
        Err(_late) => Some(ProbeResult::Timeout),
    }
}

async fn attempt(probe: &Probe) -> io::Result<ProbeResult> {
    let stream = connect(probe.target).await?;
    match &probe.kind {
        ProbeKind::Connect => Ok(ProbeResult::Connected),
        ProbeKind::Get { path, host, tls } => {
            let host = host.as_deref();
            if *tls {
                let stream = tls::over(stream, probe.target, host).await?;
                http::get(stream, probe.target, path, host).await
            } else {
                http::get(stream, probe.target, path, host).await
            }
        }
    }
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Closed by a reset: thousands of probes leave no port waiting on either side.
    socket.set_zero_linger()?;
    socket.set_nodelay(true)?;
    socket.connect(target).await
}

fn refusal(error: &io::Error) -> Option<ProbeResult> {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Some(ProbeResult::Refused),
        Kind::TimedOut => Some(ProbeResult::Timeout),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
            Some(ProbeResult::Unreachable(error.to_string()))
        }
        Kind::AddrNotAvailable
        | Kind::AddrInUse
        | Kind::OutOfMemory
        | Kind::PermissionDenied
        | Kind::QuotaExceeded => {
            tracing::debug!(event = "probe", %error, "no probe could be made");
            None
        }
        // Descriptors ran out: EMFILE, ENFILE.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => None,
        _ => Some(ProbeResult::Other(error.to_string())),
    }
}
