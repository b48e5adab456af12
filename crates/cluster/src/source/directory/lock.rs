//! The lease of a folder: an operating-system lock, which a killed holder frees at once.

use super::Inner;
use crate::source::Campaign;
use engine::lease::Leadership;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// How often a follower tries. A blocking wait could not be given up when the process stops.
const TRY_INTERVAL: Duration = Duration::from_millis(50);
/// Longest identity that is read from the file, bytes.
const IDENTITY_BYTES_MAX: u64 = 256;
/// Its name in the state folder.
const LOCK_FILE: &str = "lease.lock";

pub(super) fn campaign(inner: Arc<Inner>, identity: String) -> Campaign {
    let (leadership, receiver) = watch::channel(Leadership::Follower { holder: None });
    let (release, released) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { run(&inner, &identity, &leadership, released).await });
    Campaign::new(receiver, release, tasks)
}

async fn run(
    inner: &Inner,
    identity: &str,
    leadership: &watch::Sender<Leadership>,
    mut released: oneshot::Receiver<()>,
) {
    let mut ticks = tokio::time::interval(TRY_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut complained = false;
    loop {
        match try_lock(inner, identity) {
            Ok(Some(file)) => {
                let _held = Held { inner, _file: file };
                inner.holder.store(true, Ordering::SeqCst);
                leadership.send_replace(Leadership::Leader {
                    epoch: 1,
                    until: None,
                });
                // Dropped campaign or release: the lock goes with the file either way.
                let _ = released.await;
                leadership.send_replace(Leadership::Follower { holder: None });
                return;
            }
            Ok(None) => {
                complained = false;
                let holder = holder(inner);
                leadership.send_if_modified(|now| {
                    let next = Leadership::Follower { holder };
                    let differs = *now != next;
                    *now = next;
                    differs
                });
            }
            Err(error) => {
                if !complained {
                    tracing::error!(folder = %inner.state.display(), %error, "cannot lock {LOCK_FILE}");
                }
                complained = true;
            }
        }
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut released => return,
        }
    }
}

/// The lock while it is held; ends with the task, however that ends.
struct Held<'a> {
    inner: &'a Inner,
    _file: File,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.inner.holder.store(false, Ordering::SeqCst);
    }
}

/// None while another process holds it.
fn try_lock(inner: &Inner, identity: &str) -> io::Result<Option<File>> {
    let path = inner.state.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(identity.as_bytes())?;
    Ok(Some(file))
}

fn holder(inner: &Inner) -> Option<String> {
    use std::io::Read as _;
    let file = File::open(inner.state.join(LOCK_FILE)).ok()?;
    let mut identity = String::new();
    file.take(IDENTITY_BYTES_MAX)
        .read_to_string(&mut identity)
        .ok()?;
    (!identity.is_empty()).then_some(identity)
}
