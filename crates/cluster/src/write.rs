//! The bodies of writes, the same for both sources.

use engine::name::NamespacedName;
use engine::world::PoolStatus;
use engine::write::{ConfigurationStateValue, EVENT_NOTE_BYTES_MAX, SessionStateValue};
use serde_json::{Value, json};

/// `status` of an IPAddressPool.
pub(crate) fn pool_status(status: &PoolStatus) -> Value {
    json!({
        "assignedIPv4": status.assigned_ipv4,
        "assignedIPv6": status.assigned_ipv6,
        "availableIPv4": status.available_ipv4,
        "availableIPv6": status.available_ipv6,
    })
}

/// Labels of a ServiceL2Status, and of a ServiceBGPStatus.
pub(crate) fn l2_labels(node: &str, service: &NamespacedName) -> Value {
    json!({
        "metallb.io/node": node,
        "metallb.io/service-name": service.name.as_str(),
        "metallb.io/service-namespace": service.namespace.as_str(),
    })
}

/// `status` of a ServiceL2Status; no interfaces means all.
pub(crate) fn l2_status(node: &str, service: &NamespacedName, interfaces: &[String]) -> Value {
    let interfaces: Vec<Value> = interfaces
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    json!({
        "node": node,
        "serviceName": service.name.as_str(),
        "serviceNamespace": service.namespace.as_str(),
        "interfaces": interfaces,
    })
}

/// Labels of the ServiceBGPStatus of a Service, or of a whole node.
pub(crate) fn bgp_labels(node: &str, service: &NamespacedName) -> Value {
    match service.name.is_empty() {
        true => json!({"metallb.io/node": node}),
        false => l2_labels(node, service),
    }
}

/// `status` of a ServiceBGPStatus; one of a whole node names no Service.
pub(crate) fn bgp_status(node: &str, service: &NamespacedName, peers: &[String]) -> Value {
    let mut status = json!({"node": node, "peers": peers});
    if !service.name.is_empty() {
        status["serviceName"] = json!(&*service.name);
        status["serviceNamespace"] = json!(&*service.namespace);
    }
    status
}

/// Labels of a BGPSessionState.
pub(crate) fn session_labels(state: &SessionStateValue) -> Value {
    json!({"harbinger.dev/node": state.node, "harbinger.dev/peer": state.peer})
}

/// `status` of a BGPSessionState; since when is the wall clock's.
pub(crate) fn session_status(state: &SessionStateValue) -> Value {
    json!({
        "node": state.node,
        "peer": state.peer,
        "neighbor": state.neighbor,
        "vrf": state.vrf,
        "bgpStatus": state.bgp,
        "bfdStatus": state.bfd,
        "lastError": match state.last_error.as_str() {
            "" => Value::Null,
            text => json!(text),
        },
        "since": crate::clock::now_seconds_text(),
    })
}

/// `status` of a ConfigurationState; the transition time is the wall clock's.
pub(crate) fn configuration_status(state: &ConfigurationStateValue) -> Value {
    let status = match state.result {
        "Valid" => "True",
        "Invalid" => "False",
        _ => "Unknown",
    };
    json!({
        "result": state.result,
        "errorSummary": state.error_summary,
        "conditions": [{
            "type": state.condition,
            "status": status,
            "reason": state.reason,
            "message": cut(&state.error_summary, CONDITION_MESSAGE_BYTES_MAX),
            "lastTransitionTime": crate::clock::now_seconds_text(),
        }],
    })
}

/// metav1.Condition's bound on `message`, bytes.
const CONDITION_MESSAGE_BYTES_MAX: usize = 32_768;

/// The note of an event, within the server's bound.
pub(crate) fn note(message: &str) -> &str {
    cut(message, EVENT_NOTE_BYTES_MAX)
}

/// The longest beginning of whole characters within `bytes`.
fn cut(text: &str, bytes: usize) -> &str {
    let end = text.floor_char_boundary(bytes);
    text.get(..end).unwrap_or(text)
}
