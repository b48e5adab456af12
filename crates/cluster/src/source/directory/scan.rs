//! One look through the folder, with what was parsed before kept by the files' stamps.

use super::DirectoryConfig;
use crate::manifest::{self, Content, Object};
use crate::snapshot::{self, Objects, Snapshot};
use crate::state::{self, KEY_FILE, KeyError, Stamp, Statuses};
use engine::name::{Kind, NamespacedName};
use engine::problem::{Problem, Severity, reason};
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The caches.
#[derive(Debug)]
pub(super) struct Scanner {
    config: DirectoryConfig,
    state: PathBuf,
    statuses: Statuses,
    files: BTreeMap<PathBuf, (Option<Stamp>, Arc<Content>)>,
}

impl Scanner {
    pub(super) fn new(config: &DirectoryConfig, state: &Path) -> Self {
        Self {
            config: config.clone(),
            state: state.to_owned(),
            statuses: Statuses::new(state),
            files: BTreeMap::new(),
        }
    }

    /// Looks at everything. `holder`: this process may remove the statuses of what is gone.
    pub(super) fn scan(&mut self, old: Option<&Snapshot>, holder: bool) -> Snapshot {
        let (paths, mut problems) = manifest::find(&self.config.manifests, Some(&self.state));
        let mut whole = problems.is_empty();
        self.refresh(&paths);
        for (_, content) in self.files.values() {
            problems.extend(content.problems.iter().cloned());
            whole &= !content.broken;
        }
        let contents = self.files.values();
        let mut objects = snapshot::join(
            contents.flat_map(|(_, content)| &content.objects),
            &mut problems,
        );
        self.membership_secret(&mut objects, &mut problems);
        let (mut state, faults) = self.statuses.load();
        for (path, fault) in faults {
            let shown = path.display().to_string();
            problems.push(manifest::file_problem(&shown, None, &fault));
        }
        if holder && whole {
            self.forget_gone(&objects, &mut state);
        }
        snapshot::build(&objects, &state, problems, old)
    }

    pub(super) fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// Reads what changed. A file that is out of sight stays as it was. A broken file keeps those of its former objects that its readable
    /// part does not define: an unreadable object is not a deleted one.
    fn refresh(&mut self, paths: &[PathBuf]) {
        let mut fresh = BTreeMap::new();
        for path in paths {
            let stamp = Stamp::of(path).ok();
            let known = self.files.get(path);
            if let Some((Some(cached), content)) = known
                && Some(*cached) == stamp
            {
                fresh.insert(path.clone(), (stamp, content.clone()));
                continue;
            }
            let shown = self.shown(path);
            let mut content = manifest::read(path, &shown, &self.config.namespace);
            if let (true, Some((_, before))) = (content.broken, known) {
                keep_former(&mut content, before);
            }
            fresh.insert(path.clone(), (stamp, Arc::new(content)));
        }
        for (path, known) in &self.files {
            if !fresh.contains_key(path) && self.is_out_of_sight(path) {
                fresh.insert(path.clone(), known.clone());
            }
        }
        self.files = fresh;
    }

    /// Whether a file may well be there still: the folder of manifests is away, or one in it cannot be read.
    /// That is not the same as an empty folder, and addresses in use hang on it.
    fn is_out_of_sight(&self, path: &Path) -> bool {
        let root = &self.config.manifests;
        let mut folders = path
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(root));
        folders.any(|folder| {
            std::fs::read_dir(folder)
                .is_err_and(|error| folder == root || error.kind() != io::ErrorKind::NotFound)
        })
    }

    /// A path as problems show it: from the folder on.
    fn shown(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.config.manifests).ok();
        let inside = inside.filter(|inside| !inside.as_os_str().is_empty());
        let name = || path.file_name().map(Path::new);
        inside.or_else(name).unwrap_or(path).display().to_string()
    }

    /// The key file as the Secret it stands for, unless a manifest defines that.
    fn membership_secret(&self, objects: &mut Objects, problems: &mut Vec<Problem>) {
        let name = NamespacedName::new(&*self.config.namespace, &*self.config.secret_name);
        let path = self.state.join(KEY_FILE);
        let key = match state::read_key(&path) {
            Ok(key) => key,
            Err(KeyError::Absent) => return,
            Err(error) => {
                let text = format!("{}: {error}", path.display());
                problems.push(Problem::new(
                    Severity::Error,
                    Kind::Secret,
                    &name,
                    reason::UNREADABLE,
                    text,
                ));
                return;
            }
        };
        let value = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name.name.as_str(),
                "namespace": name.namespace.as_str(),
                "uid": format!("Secret/{name}"),
            },
            "type": "Opaque",
            "data": {"secretkey": k8s_openapi::ByteString(key)},
        });
        let source: Arc<str> = Arc::from(KEY_FILE);
        objects
            .entry((Kind::Secret, name.clone()))
            .or_insert_with(|| {
                Arc::new(Object {
                    kind: Kind::Secret,
                    name,
                    value,
                    source,
                    refused: None,
                })
            });
    }

    /// Removes the status of what no manifest defines any more, or defines with another uid: an
    /// object that is made again starts without one.
    fn forget_gone(&self, objects: &Objects, state: &mut snapshot::State) {
        state.retain(|key, written| {
            let uid = |value: &serde_json::Value| value.pointer("/metadata/uid").cloned();
            let stays = state::stands_alone(key.0)
                || objects
                    .get(key)
                    .is_some_and(|object| uid(&object.value) == uid(written));
            if !stays && let Err(error) = self.statuses.remove(key.0, &key.1) {
                tracing::warn!(object = %key.1, %error, "cannot remove the status of a gone object");
            }
            stays
        });
    }
}

fn keep_former(content: &mut Content, before: &Content) {
    let defined = |content: &Content, object: &Object| {
        content
            .objects
            .iter()
            .any(|other| other.kind == object.kind && other.name == object.name)
    };
    for object in &before.objects {
        if !defined(content, object) {
            content.objects.push(object.clone());
        }
    }
}
