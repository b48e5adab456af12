//! Everything a set of manifests says, in engine types, and how it differs from before.
//!
//! Owns what needs more than one object: duplicates, the state written beside the manifests laid
//! over them, and what a server would have filled in (cli.md: address families). It reads no file.

mod derive;
mod kept;
#[cfg(test)]
mod tests;

use crate::convert::{self, Convert};
use crate::manifest::Object;
use engine::name::{Kind, NamespacedName};
use engine::problem::{Problem, Severity, reason};
use engine::world::{self, Change};
use kept::Kept;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Objects by kind and name, before conversion.
pub(crate) type Objects = BTreeMap<(Kind, NamespacedName), Arc<Object>>;
/// Statuses written by Harbinger, by kind and name: objects to lay over the manifests.
pub(crate) type State = BTreeMap<(Kind, NamespacedName), Arc<Value>>;

macro_rules! snapshot {
    ($($field:ident: $type:ident),* $(,)?) => {
        /// Every kind in engine types.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Snapshot {
            $($field: Kept<world::$type>,)*
            /// What is wrong with files, and with objects that no change can carry.
            pub(crate) problems: Vec<Problem>,
            /// uid and version of each object.
            pub(crate) versions: BTreeMap<(Kind, NamespacedName), (String, String)>,
        }

        impl Snapshot {
            /// Whole lists of the kinds asked for.
            pub(crate) fn reset(&self, kinds: &[Kind], epoch: u64) -> Vec<Change> {
                let mut changes = Vec::new();
                $(if kinds.contains(&<world::$type as Convert>::KIND) {
                    self.$field.reset(epoch, &mut changes);
                })*
                changes.push(Change::SourceProblems(self.problems.clone()));
                changes
            }

            /// What leads from `old` to this.
            pub(crate) fn diff(&self, old: &Self, kinds: &[Kind]) -> Vec<Change> {
                let mut changes = Vec::new();
                $(if kinds.contains(&<world::$type as Convert>::KIND) {
                    self.$field.diff(&old.$field, &mut changes);
                })*
                if self.problems != old.problems {
                    changes.push(Change::SourceProblems(self.problems.clone()));
                }
                changes
            }

            /// An unreadable object keeps its last readable value.
            fn keep_last_readable(&mut self, old: &Self) {
                $(self.$field.keep_last_readable(&old.$field);)*
            }

            fn put(&mut self, object: &Object, value: &Value) {
                match object.kind {
                    $(<world::$type as Convert>::KIND => self.$field.put(match &object.refused {
                        Some(problem) => {
                            convert::Converted::Bad(object.name.clone(), problem.clone())
                        }
                        None => convert::from_value(
                            &object.name,
                            value,
                            Some(object.source.clone()),
                        ),
                    }),)*
                }
            }
        }

        /// Every kind that a source can watch.
        pub const WATCHED: &[Kind] = &[$(<world::$type as Convert>::KIND),*];
    };
}
snapshot! {
    namespaces: Namespace,
    nodes: Node,
    pools: IpAddressPool,
    l2_advertisements: L2Advertisement,
    bgp_advertisements: BgpAdvertisement,
    bgp_peers: BgpPeer,
    bfd_profiles: BfdProfile,
    communities: Community,
    services: Service,
    endpoint_slices: EndpointSlice,
    pods: Pod,
    secrets: Secret,
    config_maps: ConfigMap,
    l2_statuses: L2Status,
    bgp_statuses: BgpStatus,
    session_states: SessionState,
    front_profiles: FrontProfile,
    configuration_states: ConfigurationState,
}

/// Joins what the files say. Of two objects of one name the later in path order counts.
pub(crate) fn join<'a>(
    files: impl Iterator<Item = &'a Arc<Object>>,
    problems: &mut Vec<Problem>,
) -> Objects {
    let mut objects = Objects::new();
    for object in files {
        let key = (object.kind, object.name.clone());
        if let Some(before) = objects.insert(key, object.clone()) {
            let text = format!("also defined at {}: the one here counts", before.source);
            problems.push(
                Problem::new(
                    Severity::Warning,
                    object.kind,
                    &object.name,
                    reason::DUPLICATE,
                    text,
                )
                .at(Some(object.source.clone())),
            );
        }
    }
    objects
}

/// Makes the snapshot. `old` keeps the last readable value of what is unreadable now.
pub(crate) fn build(
    objects: &Objects,
    state: &State,
    problems: Vec<Problem>,
    old: Option<&Snapshot>,
) -> Snapshot {
    let mut snapshot = Snapshot {
        problems,
        ..Snapshot::default()
    };
    let families = derive::default_families(objects);
    for (key, object) in objects {
        let mut value = object.value.clone();
        if let Some(written) = state.get(key)
            && written.pointer("/metadata/uid") == value.pointer("/metadata/uid")
        {
            overlay(&mut value, written);
        }
        if object.kind == Kind::Service {
            derive::families(&mut value, families);
        }
        snapshot.take(object, value);
    }
    for ((kind, name), value) in state {
        // Objects that exist in the state alone.
        if crate::state::stands_alone(*kind) && !objects.contains_key(&(*kind, name.clone())) {
            let object = Object {
                kind: *kind,
                name: name.clone(),
                value: Value::Null,
                source: Arc::from("state"),
                refused: None,
            };
            snapshot.take(&object, Value::clone(value));
        }
    }
    if let Some(old) = old {
        snapshot.keep_last_readable(old);
    }
    snapshot
}

impl Snapshot {
    fn take(&mut self, object: &Object, mut value: Value) {
        let version = version_of(&value);
        let uid = value.pointer("/metadata/uid").and_then(Value::as_str);
        let uid = uid.unwrap_or_default().to_owned();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), version.as_str().into());
        }
        self.put(object, &value);
        let key = (object.kind, object.name.clone());
        self.versions.insert(key, (uid, version));
    }
}

/// The resourceVersion of an object that no server counts for: a digest of what it says.
fn version_of(value: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Lays what Harbinger wrote over the manifest: the whole status, and annotations one by one
/// (null removes one).
fn overlay(value: &mut Value, written: &Value) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    if let Some(status) = written.get("status") {
        map.insert("status".to_owned(), status.clone());
    }
    let annotations = written
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let metadata = map.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(annotations), Some(metadata)) = (annotations, metadata) {
        let target = metadata
            .entry("annotations")
            .or_insert_with(|| Value::Object(Default::default()));
        if !target.is_object() {
            *target = Value::Object(Default::default());
        }
        for (key, annotation) in annotations {
            match (target.as_object_mut(), annotation) {
                (Some(target), Value::Null) => {
                    target.remove(key);
                }
                (Some(target), annotation) => {
                    target.insert(key.clone(), annotation.clone());
                }
                (None, _) => {}
            }
        }
    }
}
