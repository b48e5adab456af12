//! A folder of manifests as a cluster, with a state folder beside it.
//!
//! ```text
//!  manifests ─┐ inotify        ┌─ thread per start(): scan, compare, send ──► changes (1,024)
//!  state     ─┴──────► wakers ─┤
//!  carry_out ──────────────────┘  (a waker holds one wake: more would say nothing new)
//! ```
//!
//! Owns watching, the caches of parsed files, and the lock. Several processes of one machine
//! share a folder: each reads what the others wrote. The thread may be stopped at any point: it
//! only reads.

mod lock;
mod scan;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use super::{Campaign, Deadline, Source};
use crate::snapshot::Snapshot;
use crate::state::EventLog;
use engine::name::{Kind, NamespacedName};
use engine::world::Change;
use engine::write::{Outcome, Write};
use futures::future::BoxFuture;
use scan::Scanner;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The folder is looked through this often even if nothing seems to happen: some file systems
/// (network, overlay) tell nothing.
const RESCAN_INTERVAL: Duration = Duration::from_secs(3);
/// After a wake, wait for this long a silence: an editor writes in several steps.
const QUIET_INTERVAL: Duration = Duration::from_millis(4);
/// But not longer than this, or a busy folder would never be read.
const QUIET_MAX: Duration = Duration::from_millis(60);

/// Where the manifests and the state are.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// Folder of manifests, read recursively; or one file.
    pub manifests: PathBuf,
    /// State folder; none: `.harbinger` in the folder of manifests.
    pub state: Option<PathBuf>,
    /// The namespace whose `metallb.io` objects count.
    pub namespace: String,
    /// Name of the Secret that the key file stands for.
    pub secret_name: String,
    /// Source of the events that are written: `metallb-controller` or `metallb-speaker`.
    pub component: &'static str,
}

/// The folder does not exist or cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct DirectoryError {
    path: PathBuf,
    source: std::io::Error,
}

/// A folder of manifests; clones share caches and lock.
#[derive(Clone, Debug)]
pub struct DirectorySource {
    inner: Arc<Inner>,
    component: &'static str,
}

#[derive(Debug)]
struct Inner {
    config: DirectoryConfig,
    state: PathBuf,
    /// Caches of parsed files; a scan holds it, and so does the moment of a write in which
    /// the version it was decided on is compared.
    scanner: Mutex<Scanner>,
    /// uid and version of each object, as the last scan or write left them.
    versions: Mutex<BTreeMap<(Kind, NamespacedName), (String, String)>>,
    events: Mutex<EventLog>,
    wakers: Mutex<Vec<SyncSender<()>>>,
    epoch: AtomicU64,
    /// This process holds the lock, through the campaign of this source.
    holder: AtomicBool,
    watcher: Mutex<Option<notify::RecommendedWatcher>>,
}

impl DirectorySource {
    /// Opens the folder; it must exist. Makes the state folder if it can.
    pub fn open(config: DirectoryConfig) -> Result<Self, DirectoryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DirectoryError { path, source }
        };
        let manifests = config.manifests.clone();
        let config = DirectoryConfig {
            manifests: manifests.canonicalize().map_err(failed(&manifests))?,
            ..config
        };
        let state = config
            .state
            .clone()
            .unwrap_or_else(|| beside(&config.manifests));
        std::fs::create_dir_all(&state).map_err(failed(&state))?;
        let state = state.canonicalize().map_err(failed(&state))?;
        let component = config.component;
        let inner = Arc::new(Inner {
            scanner: Mutex::new(Scanner::new(&config, &state)),
            versions: Mutex::default(),
            events: Mutex::new(EventLog::new(&state)),
            wakers: Mutex::default(),
            epoch: AtomicU64::new(0),
            holder: AtomicBool::new(false),
            watcher: Mutex::new(None),
            config,
            state,
        });
        Ok(Self { inner, component })
    }

    /// The same folder for another role: its events carry another source.
    #[must_use]
    pub fn with_component(&self, component: &'static str) -> Self {
        Self {
            inner: self.inner.clone(),
            component,
        }
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        &self.inner.state
    }

    /// Asks for a Service to move to a node, or takes that back with none: the annotation
    /// is laid over the manifest by the state folder. Blocks for a few file operations.
    pub fn ask_move(&self, service: &NamespacedName, node: Option<&str>) -> std::io::Result<()> {
        self.inner.ask_move(service, node)
    }

    /// The membership key of the state folder; made (mode 0600) if there is none. One that others
    /// may read is refused.
    pub fn membership_key(&self) -> Result<Vec<u8>, DirectoryError> {
        let path = self.inner.state.join(crate::state::KEY_FILE);
        crate::state::read_or_create(&path).map_err(|error| DirectoryError {
            path,
            source: std::io::Error::other(error.to_string()),
        })
    }
}

fn beside(manifests: &Path) -> PathBuf {
    let folder = if manifests.is_dir() {
        manifests
    } else {
        manifests.parent().unwrap_or(Path::new("."))
    };
    folder.join(".harbinger")
}

impl Source for DirectorySource {
    fn start(&self, kinds: &[Kind], changes: mpsc::Sender<Change>) -> JoinSet<()> {
        let (waker, wakes) = sync_channel(1);
        locked(&self.inner.wakers).push(waker);
        watch::begin(&self.inner);
        let (inner, kinds) = (self.inner.clone(), kinds.to_vec());
        let mut tasks = JoinSet::new();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            follow(&inner, &kinds, &changes, &wakes);
            drop(ended);
        });
        tasks.spawn(async move {
            // Only the end of the thread resolves it.
            let _ = end.await;
        });
        tasks
    }

    fn resync(&self, epoch: u64) {
        self.inner.epoch.fetch_max(epoch, Ordering::SeqCst);
        self.inner.wake();
    }

    fn carry_out(&self, write: Write, deadline: Deadline) -> BoxFuture<'static, Outcome> {
        let (inner, component) = (self.inner.clone(), self.component);
        Box::pin(async move {
            if deadline.is_over() {
                return Outcome::Unavailable("the deadline is over".to_owned());
            }
            let done = tokio::task::spawn_blocking(move || inner.carry_out(&write, component));
            match done.await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Unavailable(error.to_string()),
            }
        })
    }

    fn campaign(&self, identity: &str) -> Campaign {
        lock::campaign(self.inner.clone(), identity.to_owned())
    }
}

impl Inner {
    fn wake(&self) {
        locked(&self.wakers).retain(|waker| {
            !matches!(
                waker.try_send(()),
                Err(std::sync::mpsc::TrySendError::Disconnected(()))
            )
        });
    }

    fn scan(&self, old: Option<&Snapshot>) -> Snapshot {
        let mut scanner = locked(&self.scanner);
        let snapshot = scanner.scan(old, self.holder.load(Ordering::SeqCst));
        *locked(&self.versions) = snapshot.versions.clone();
        snapshot
    }
}

/// Sends what the folder says until nobody listens.
fn follow(inner: &Inner, kinds: &[Kind], changes: &mpsc::Sender<Change>, wakes: &Receiver<()>) {
    let mut sent: Option<(Snapshot, u64)> = None;
    loop {
        // Read before the scan: a resync asked for meanwhile is answered by the next one.
        let epoch = inner.epoch.load(Ordering::SeqCst);
        let snapshot = inner.scan(sent.as_ref().map(|(old, _)| old));
        let news = match &sent {
            Some((old, told)) if *told == epoch => snapshot.diff(old, kinds),
            _ => snapshot.reset(kinds, epoch),
        };
        for change in news {
            if changes.blocking_send(change).is_err() {
                return;
            }
        }
        sent = Some((snapshot, epoch));
        let woken = wakes.recv_timeout(RESCAN_INTERVAL);
        if changes.is_closed() || woken == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        if woken.is_ok() {
            settle(wakes);
        }
    }
}

fn settle(wakes: &Receiver<()>) {
    let begun = Instant::now();
    while begun.elapsed() < QUIET_MAX && wakes.recv_timeout(QUIET_INTERVAL).is_ok() {}
}

/// A panic while the lock was held leaves caches that the next scan makes again.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
