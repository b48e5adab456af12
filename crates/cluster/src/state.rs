//! The state folder: statuses of objects as files, read back at start.
//!
//! Owns the layout (`status/<Kind>/<namespace>/<name>.json`, `events.jsonl`, `lease.lock`,
//! `memberlist.key`), atomic writing, and reading with a cache. It does not decide who may write:
//! the source does.

mod events;
mod key;
#[cfg(test)]
mod tests;

pub(crate) use events::EventLog;
pub(crate) use key::{KEY_BYTES, KEY_FILE, KeyError, read_key, read_or_create};

use crate::manifest::name_fits;
use crate::snapshot::State;
use engine::name::{Kind, NamespacedName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Kinds whose status is kept in files.
const KINDS: &[Kind] = &[
    Kind::Service,
    Kind::IpAddressPool,
    Kind::ServiceL2Status,
    Kind::ServiceBgpStatus,
    Kind::BgpSessionState,
    Kind::ConfigurationState,
];
/// Longest status that is read, bytes; one is a few hundred.
const STATUS_BYTES_MAX: u64 = 1024 * 1024;

/// Kinds that no manifest defines: Harbinger makes and removes the whole object.
pub(crate) fn stands_alone(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ServiceL2Status
            | Kind::ServiceBgpStatus
            | Kind::BgpSessionState
            | Kind::ConfigurationState
    )
}

/// Tells one content of a file from the next without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of a file as it is now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path)?;
        Ok(Self {
            modified: metadata.modified()?,
            length: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

/// The statuses of a state folder.
#[derive(Debug)]
pub(crate) struct Statuses {
    root: PathBuf,
    cache: BTreeMap<PathBuf, (Stamp, Arc<Value>)>,
}

impl Statuses {
    /// Those under `state`; nothing is created before the first write.
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            root: state.join("status"),
            cache: BTreeMap::new(),
        }
    }

    /// Everything that is there; what cannot be read is told and left out.
    pub(crate) fn load(&mut self) -> (State, Vec<(PathBuf, String)>) {
        let mut state = State::new();
        let mut faults = Vec::new();
        let mut fresh = BTreeMap::new();
        for kind in KINDS {
            let folder = self.root.join(kind.as_str());
            for namespace in names(&folder) {
                for file in names(&folder.join(&namespace)) {
                    let path = folder.join(&namespace).join(&file);
                    let Some(name) = file.strip_suffix(".json").filter(|name| name_fits(name))
                    else {
                        continue;
                    };
                    match self.read(&path) {
                        Ok((stamp, value)) => {
                            let name = NamespacedName::new(namespace.clone(), name);
                            state.insert((*kind, name), value.clone());
                            fresh.insert(path, (stamp, value));
                        }
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => faults.push((path, error.to_string())),
                    }
                }
            }
        }
        self.cache = fresh;
        (state, faults)
    }

    fn read(&self, path: &Path) -> io::Result<(Stamp, Arc<Value>)> {
        let stamp = Stamp::of(path)?;
        if let Some((cached, value)) = self.cache.get(path)
            && *cached == stamp
        {
            return Ok((stamp, value.clone()));
        }
        if stamp.length > STATUS_BYTES_MAX {
            return Err(io::Error::other("the file is too long to be a status"));
        }
        let value = serde_json::from_slice(&fs::read(path)?)?;
        Ok((stamp, Arc::new(value)))
    }

    /// Writes one, so that a reader and a crash see the old one or the new one, whole.
    pub(crate) fn write(&self, kind: Kind, name: &NamespacedName, value: &Value) -> io::Result<()> {
        let path = self.path(kind, name)?;
        write_atomically(&path, format!("{value:#}\n").as_bytes())
    }

    /// One, as it is now.
    pub(crate) fn one(&self, kind: Kind, name: &NamespacedName) -> io::Result<Arc<Value>> {
        Ok(self.read(&self.path(kind, name)?)?.1)
    }

    /// Removes one; one that is not there is no error.
    pub(crate) fn remove(&self, kind: Kind, name: &NamespacedName) -> io::Result<bool> {
        match fs::remove_file(self.path(kind, name)?) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn path(&self, kind: Kind, name: &NamespacedName) -> io::Result<PathBuf> {
        if !name_fits(&name.name) || !name_fits(&name.namespace) {
            return Err(io::Error::other(format!("{name} is no name of an object")));
        }
        let folder = self.root.join(kind.as_str()).join(name.namespace.as_str());
        Ok(folder.join(format!("{}.json", name.name)))
    }
}

/// Writes a file by way of a temporary one beside it; file and folder are on the disk when this
/// returns.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    fs::create_dir_all(folder)?;
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".new-{}-{count}", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    });
    if written.is_err() {
        // The write failed already; a temporary file left behind is hidden and harmless.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect()
}
