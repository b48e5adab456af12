//! The small trait behind which a cluster stands, and its two kinds.
//!
//! Everything above cannot tell a Kubernetes API from a folder of manifests. A source turns what
//! it sees into changes and carries writes out; it caches nothing for others and decides nothing.

mod deadline;
pub mod directory;
pub mod kube;

pub use deadline::Deadline;

use engine::lease::Leadership;
use engine::name::Kind;
use engine::world::Change;
use engine::write::{Outcome, Write};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Capacity of the channel of changes: a full one makes the source wait, which loses nothing, as
/// the server keeps the watch events and the folder its files.
pub const CHANGES_MAX: usize = 1_024;

/// A cluster.
///
/// All methods are called inside a tokio runtime.
pub trait Source: Send + Sync + 'static {
    /// Watches kinds: first a [`engine::world::Delta::Reset`] of each, then what changes. The
    /// tasks run until they are dropped or the receiver is; one that ends by itself is a defect.
    fn start(&self, kinds: &[Kind], changes: mpsc::Sender<Change>) -> JoinSet<()>;

    /// Asks for every watched kind to be listed again, consistently: each Reset that was begun
    /// after this call carries at least this epoch. Epochs only grow.
    fn resync(&self, epoch: u64);

    /// Carries one write out. What is not answered by the deadline is
    /// [`Outcome::Unavailable`], and may have happened all the same.
    fn carry_out(&self, write: Write, deadline: Deadline) -> BoxFuture<'static, Outcome>;

    /// Takes part in the election of the one that allocates. At most one campaign per source.
    fn campaign(&self, identity: &str) -> Campaign;
}

/// A running campaign; dropping it gives up without a word, as a crash does.
#[derive(Debug)]
pub struct Campaign {
    leadership: watch::Receiver<Leadership>,
    release: oneshot::Sender<()>,
    tasks: JoinSet<()>,
}

impl Campaign {
    pub(crate) fn new(
        leadership: watch::Receiver<Leadership>,
        release: oneshot::Sender<()>,
        tasks: JoinSet<()>,
    ) -> Self {
        Self {
            leadership,
            release,
            tasks,
        }
    }

    /// Who leads, now and from now on. Starts as a follower.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Gives the leadership up in good order, so that another takes it at once; returns when that
    /// is done. Call it after the last write has ended.
    pub async fn release(mut self) {
        // The task may be gone already: then there is nothing to give up.
        let _ = self.release.send(());
        while self.tasks.join_next().await.is_some() {}
    }
}
