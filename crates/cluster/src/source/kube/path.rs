//! Paths of the API, fixed: no discovery.

use super::KubeConfig;
use engine::name::{Kind, NamespacedName};

/// Group, version and plural of a kind; an empty group is core.
fn resource(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Namespace => ("", "v1", "namespaces"),
        Kind::Node => ("", "v1", "nodes"),
        Kind::Service => ("", "v1", "services"),
        Kind::Pod => ("", "v1", "pods"),
        Kind::Secret => ("", "v1", "secrets"),
        Kind::ConfigMap => ("", "v1", "configmaps"),
        Kind::EndpointSlice => ("discovery.k8s.io", "v1", "endpointslices"),
        Kind::IpAddressPool => (api::GROUP, "v1beta1", "ipaddresspools"),
        Kind::L2Advertisement => (api::GROUP, "v1beta1", "l2advertisements"),
        Kind::BgpAdvertisement => (api::GROUP, "v1beta1", "bgpadvertisements"),
        Kind::BgpPeer => (api::GROUP, "v1beta2", "bgppeers"),
        Kind::BfdProfile => (api::GROUP, "v1beta1", "bfdprofiles"),
        Kind::Community => (api::GROUP, "v1beta1", "communities"),
        Kind::ServiceL2Status => (api::GROUP, "v1beta1", "servicel2statuses"),
        Kind::ServiceBgpStatus => (api::GROUP, "v1beta1", "servicebgpstatuses"),
        Kind::BgpSessionState => (api::OWN_GROUP, "v1alpha1", "bgpsessionstates"),
        Kind::FrontProfile => (api::OWN_GROUP, "v1alpha1", "frontprofiles"),
        Kind::ConfigurationState => (api::GROUP, "v1beta1", "configurationstates"),
    }
}

/// Kinds watched in every namespace.
fn cluster_wide(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Namespace | Kind::Node | Kind::Service | Kind::EndpointSlice
    )
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

/// The collection that is listed and watched, and the selectors that keep it small.
pub(super) fn collection(kind: Kind, config: &KubeConfig) -> (String, String) {
    let (group, version, plural) = resource(kind);
    let prefix = prefix(group, version);
    let path = if cluster_wide(kind) {
        format!("{prefix}/{plural}")
    } else {
        format!("{prefix}/namespaces/{}/{plural}", config.namespace)
    };
    let by_name = |name: &Option<String>| {
        name.as_ref().map(|name| {
            format!(
                "&fieldSelector={}",
                escape(&format!("metadata.name={name}"))
            )
        })
    };
    let selector = match kind {
        Kind::Pod if !config.pod_selector.is_empty() => {
            Some(format!("&labelSelector={}", escape(&config.pod_selector)))
        }
        Kind::Secret => by_name(&config.secret_name),
        Kind::ConfigMap => by_name(&config.config_map_name),
        _ => None,
    };
    (path, selector.unwrap_or_default())
}

/// One object; an empty name gives the collection of its namespace.
pub(super) fn object(kind: Kind, name: &NamespacedName) -> String {
    let (group, version, plural) = resource(kind);
    let prefix = prefix(group, version);
    let namespaced = if name.namespace.is_empty() {
        format!("{prefix}/{plural}")
    } else {
        format!("{prefix}/namespaces/{}/{plural}", escape(&name.namespace))
    };
    if name.name.is_empty() {
        namespaced
    } else {
        format!("{namespaced}/{}", escape(&name.name))
    }
}

/// How a message names a kind: `ipaddresspools.metallb.io`, `services`.
pub(super) fn shown(kind: Kind) -> String {
    let (group, _, plural) = resource(kind);
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

/// Whether the kind comes with our definitions.
pub(super) fn is_ours(kind: Kind) -> bool {
    [api::GROUP, api::OWN_GROUP].contains(&resource(kind).0)
}

/// The rule that RBAC lacks when a kind may not be listed.
pub(super) fn rule(kind: Kind, config: &KubeConfig) -> String {
    let (group, _, plural) = resource(kind);
    let (role, place) = if cluster_wide(kind) {
        ("ClusterRole", String::new())
    } else {
        ("Role", format!(" in namespace {}", config.namespace))
    };
    format!(
        "a {role} of this service account{place} needs the rule \
         {{apiGroups: [{group:?}], resources: [{plural}], verbs: [list, watch]}}"
    )
}

/// Percent-encodes all but unreserved characters (RFC 3986 2.3).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
