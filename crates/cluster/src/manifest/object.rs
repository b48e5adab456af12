//! A document into objects: lists flattened, kinds known, names and schemas checked.

use super::document::Document;
use super::{Content, file_problem};
use engine::name::{Kind, NamespacedName};
use engine::problem::{Problem, Severity, reason};
use serde_json::Value;
use std::sync::Arc;

/// Longest `metadata.name` (a DNS subdomain), bytes.
const NAME_BYTES_MAX: usize = 253;
/// Most items of one list kind.
const LIST_ITEMS_MAX: usize = 200_000;
/// Lists inside lists are entered this deep.
const LIST_DEPTH_MAX: usize = 4;

/// One object of a kind that is understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its name, namespace filled in.
    pub(crate) name: NamespacedName,
    /// The object, namespace, uid and the schema's defaults filled in.
    pub(crate) value: Value,
    /// `file:line`.
    pub(crate) source: Arc<str>,
    /// It breaks its schema: as good as unreadable.
    pub(crate) refused: Option<Problem>,
}

/// Takes a document's objects into `content`.
pub(super) fn take(document: Document, namespace: &str, content: &mut Content) {
    let source: Arc<str> = Arc::from(document.source);
    flatten(document.value, &source, namespace, 0, content);
}

fn flatten(value: Value, source: &Arc<str>, namespace: &str, depth: usize, content: &mut Content) {
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let problem = file_problem(
            source,
            None,
            "no Kubernetes object: apiVersion or kind is missing",
        );
        content.problems.push(problem.at(Some(source.clone())));
        return;
    };
    let item_kind = kind.strip_suffix("List");
    if let (Some(item_kind), Some(Value::Array(items))) = (item_kind, value.get("items")) {
        if depth == LIST_DEPTH_MAX || items.len() > LIST_ITEMS_MAX {
            let problem = file_problem(source, None, "the list is too deep or too long to be read");
            content.problems.push(problem.at(Some(source.clone())));
            return;
        }
        for item in items {
            let mut item = item.clone();
            if let (Some(map), false) = (item.as_object_mut(), item_kind.is_empty()) {
                // Items of a typed list may leave out what the list says.
                map.entry("apiVersion")
                    .or_insert_with(|| version.as_str().into());
                map.entry("kind").or_insert_with(|| item_kind.into());
            }
            flatten(item, source, namespace, depth + 1, content);
        }
        return;
    }
    single(value, &version, &kind, source, namespace, content);
}

fn single(
    mut value: Value,
    version: &str,
    kind_text: &str,
    source: &Arc<str>,
    namespace: &str,
    content: &mut Content,
) {
    let Some(kind) = known(version, kind_text) else {
        *content.skipped.entry(kind_text.to_owned()).or_default() += 1;
        return;
    };
    let ours = version.starts_with("metallb.io/") || version.starts_with("harbinger.dev/");
    fill_in_metadata(&mut value, kind, kind_text, ours, namespace);
    let name = crate::convert::name_of(&value);
    let problem = |reason, severity, message: String| {
        Problem::new(severity, kind, &name, reason, message).at(Some(source.clone()))
    };
    if !name_fits(&name.name) || !(name.namespace.is_empty() || name_fits(&name.namespace)) {
        let text = format!("metadata: {:?} is no name of an object", name.to_string());
        content
            .problems
            .push(problem(reason::UNREADABLE, Severity::Error, text));
        return;
    }
    if ours && name.namespace != namespace {
        let text =
            format!("metadata.namespace: only objects in {namespace} count; this one is ignored");
        content
            .problems
            .push(problem(reason::WRONG_NAMESPACE, Severity::Warning, text));
        return;
    }
    let local = matches!(kind, Kind::Secret | Kind::ConfigMap | Kind::Pod);
    if local && name.namespace != namespace {
        // Somebody else's: an API source does not even ask for it.
        return;
    }
    let refused = ours
        .then(|| check(kind_text, version, &mut value))
        .flatten();
    let refused = refused.map(|text| problem(reason::INVALID_FIELD, Severity::Error, text));
    content.objects.push(Arc::new(Object {
        kind,
        name,
        value,
        source: source.clone(),
        refused,
    }));
}

/// What the API server's schema check says of one of our kinds, after its defaults.
fn check(kind: &str, version: &str, value: &mut Value) -> Option<String> {
    let version = version.rsplit('/').next().unwrap_or(version);
    api::apply_defaults(kind, version, value);
    let errors: Vec<String> = api::validate(kind, version, value)
        .iter()
        .map(ToString::to_string)
        .collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// Namespace and uid as cli.md says: what a server would have filled in.
fn fill_in_metadata(value: &mut Value, kind: Kind, kind_text: &str, ours: bool, namespace: &str) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    let metadata = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(Default::default()));
    if !metadata.is_object() {
        *metadata = Value::Object(Default::default());
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    if matches!(kind, Kind::Namespace | Kind::Node) {
        metadata.remove("namespace");
    } else if metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or("")
        .is_empty()
    {
        let filled = if ours { namespace } else { "default" };
        metadata.insert("namespace".to_owned(), filled.into());
    }
    if metadata
        .get("uid")
        .and_then(Value::as_str)
        .unwrap_or("")
        .is_empty()
    {
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or("");
        let uid = format!("{kind_text}/{}/{}", text("namespace"), text("name"));
        metadata.insert("uid".to_owned(), uid.into());
    }
}

/// Whether a name can be an object's, and a file's: lower case letters, digits, `-` and `.`.
pub(crate) fn name_fits(name: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= NAME_BYTES_MAX
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes
            .iter()
            .all(|byte| plain(byte) || matches!(byte, b'-' | b'.'))
}

fn known(version: &str, kind: &str) -> Option<Kind> {
    Some(match (version, kind) {
        ("v1", "Namespace") => Kind::Namespace,
        ("v1", "Node") => Kind::Node,
        ("v1", "Service") => Kind::Service,
        ("v1", "Secret") => Kind::Secret,
        ("v1", "ConfigMap") => Kind::ConfigMap,
        ("v1", "Pod") => Kind::Pod,
        ("discovery.k8s.io/v1", "EndpointSlice") => Kind::EndpointSlice,
        ("metallb.io/v1beta1", "IPAddressPool") => Kind::IpAddressPool,
        ("metallb.io/v1beta1", "L2Advertisement") => Kind::L2Advertisement,
        ("metallb.io/v1beta1", "BGPAdvertisement") => Kind::BgpAdvertisement,
        ("metallb.io/v1beta1" | "metallb.io/v1beta2", "BGPPeer") => Kind::BgpPeer,
        ("metallb.io/v1beta1", "BFDProfile") => Kind::BfdProfile,
        ("metallb.io/v1beta1", "Community") => Kind::Community,
        ("metallb.io/v1beta1", "ServiceL2Status") => Kind::ServiceL2Status,
        ("metallb.io/v1beta1", "ServiceBGPStatus") => Kind::ServiceBgpStatus,
        ("harbinger.dev/v1alpha1", "BGPSessionState") => Kind::BgpSessionState,
        ("harbinger.dev/v1alpha1", "FrontProfile") => Kind::FrontProfile,
        ("metallb.io/v1beta1", "ConfigurationState") => Kind::ConfigurationState,
        _ => return None,
    })
}
