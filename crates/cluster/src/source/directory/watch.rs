//! Being told of changed files.

use super::{Inner, locked};
use notify::{EventKind, RecursiveMode, Watcher as _};
use std::path::Path;
use std::sync::{Arc, Weak};

/// Begins to watch, once per source. Where the system cannot (no inotify watches left), the
/// regular rescan goes on alone.
pub(super) fn begin(inner: &Arc<Inner>) {
    let mut watcher = locked(&inner.watcher);
    if watcher.is_some() {
        return;
    }
    let target: Weak<Inner> = Arc::downgrade(inner);
    let state = inner.state.clone();
    let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Some(inner) = target.upgrade() else {
            return;
        };
        let tells = match event {
            Ok(event) => {
                !matches!(event.kind, EventKind::Access(_))
                    && (event.paths.is_empty()
                        || event.paths.iter().any(|path| matters(path, &state)))
            }
            // An overrun: what was lost is not known.
            Err(_) => true,
        };
        if tells {
            inner.wake();
        }
    });
    let begun = made.and_then(|mut made| {
        made.watch(&inner.config.manifests, RecursiveMode::Recursive)?;
        if !inner.state.starts_with(&inner.config.manifests) {
            made.watch(&inner.state, RecursiveMode::Recursive)?;
        }
        Ok(made)
    });
    match begun {
        Ok(made) => *watcher = Some(made),
        Err(error) => tracing::warn!(
            folder = %inner.config.manifests.display(),
            %error,
            "cannot watch the folder; it is looked through every few seconds",
        ),
    }
}

/// In the state folder only statuses and the key matter, and no temporary files.
fn matters(path: &Path, state: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b".new-"));
    match path.strip_prefix(state) {
        Ok(inside) => {
            !hidden && (inside.starts_with("status") || inside == Path::new(crate::state::KEY_FILE))
        }
        Err(_) => true,
    }
}
