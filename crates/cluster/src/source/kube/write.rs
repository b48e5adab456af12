//! Carrying writes out: one or two requests each, and what the answers mean.

use super::{Reply, Shared, owner, path};
use crate::source::Deadline;
use crate::write;
use engine::name::{Kind, NamespacedName};
use engine::write::{
    ConfigurationStateValue, Event, Outcome, ServiceStatus, SessionStateValue, Write,
};
use http::{Method, Request};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest wait for a write, whatever its deadline.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// `fieldManager` of what is written, and `action` of events.
const MANAGER: &str = "harbinger";

/// Carries one write out, until the deadline.
pub(super) async fn carry_out(shared: &Shared, write: &Write, mut deadline: Deadline) -> Outcome {
    if deadline.is_over() {
        return Outcome::Unavailable("the deadline is over".to_owned());
    }
    tokio::select! {
        sent = send(shared, write) => match sent {
            Ok(version) => Outcome::Done(version),
            Err(error) => outcome(&error),
        },
        () = deadline.over() => Outcome::Unavailable("no answer within the lease".to_owned()),
        () = tokio::time::sleep(WRITE_TIMEOUT) => Outcome::Unavailable("no answer in time".to_owned()),
    }
}

async fn send(shared: &Shared, write: &Write) -> Result<Option<String>, kube::Error> {
    match write {
        Write::ServiceStatus(status) => {
            patch_status(shared, Kind::Service, &status.name, &service_patch(status)).await
        }
        Write::PoolStatus { name, status } => {
            let body = json!({"status": write::pool_status(status)});
            patch_status(shared, Kind::IpAddressPool, name, &body).await
        }
        Write::Event(event) => event_(shared, event).await,
        Write::L2Status {
            existing,
            node,
            service,
            interfaces,
        } => {
            let name = match existing {
                Some(name) => name.clone(),
                None => {
                    let labels = write::l2_labels(node, service);
                    create_status(shared, Kind::ServiceL2Status, "l2-", &labels).await?
                }
            };
            let body = json!({"status": write::l2_status(node, service, interfaces)});
            patch_status(shared, Kind::ServiceL2Status, &name, &body).await
        }
        Write::DeleteL2Status(name) => delete(shared, Kind::ServiceL2Status, name).await,
        Write::BgpStatus {
            existing,
            node,
            service,
            peers,
        } => {
            let name = match existing {
                Some(name) => name.clone(),
                None => {
                    let labels = write::bgp_labels(node, service);
                    create_status(shared, Kind::ServiceBgpStatus, "bgp-", &labels).await?
                }
            };
            let body = json!({"status": write::bgp_status(node, service, peers)});
            patch_status(shared, Kind::ServiceBgpStatus, &name, &body).await
        }
        Write::DeleteBgpStatus(name) => delete(shared, Kind::ServiceBgpStatus, name).await,
        Write::SessionState(state) => session_state(shared, state).await,
        Write::DeleteSessionState(name) => delete(shared, Kind::BgpSessionState, name).await,
        Write::ConfigurationState(state) => configuration_state(shared, state).await,
        Write::MembershipSecret(name) => membership_secret(shared, name).await,
    }
}

/// The whole list or null and the annotation or null, under the version and the uid the decision
/// was made on: another version, or another Service of that name, is a conflict.
fn service_patch(status: &ServiceStatus) -> Value {
    let ingress: Vec<Value> = status
        .addresses
        .iter()
        .map(|ip| json!({"ip": ip, "ipMode": status.ip_mode}))
        .collect();
    json!({
        "metadata": {
            "uid": status.uid,
            "resourceVersion": status.version,
            "annotations": {(crate::POOL_ANNOTATION): status.pool},
        },
        "status": {"loadBalancer": {
            "ingress": if ingress.is_empty() { Value::Null } else { json!(ingress) },
        }},
    })
}

async fn patch_status(
    shared: &Shared,
    kind: Kind,
    name: &NamespacedName,
    body: &Value,
) -> Result<Option<String>, kube::Error> {
    let uri = format!("{}/status", path::object(kind, name));
    let reply = request(shared, Method::PATCH, &uri, Some(body)).await?;
    Ok(Some(reply.metadata.resource_version))
}

async fn delete(
    shared: &Shared,
    kind: Kind,
    name: &NamespacedName,
) -> Result<Option<String>, kube::Error> {
    let uri = path::object(kind, name);
    request(shared, Method::DELETE, &uri, None).await?;
    Ok(None)
}

async fn session_state(
    shared: &Shared,
    state: &SessionStateValue,
) -> Result<Option<String>, kube::Error> {
    let kind = Kind::BgpSessionState;
    let status = json!({"status": write::session_status(state)});
    match patch_status(shared, kind, &state.name, &status).await {
        Err(kube::Error::Api(answer)) if answer.code == 404 => {}
        answer => return answer,
    }
    let body = json!({
        "apiVersion": "harbinger.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": {
            "name": &*state.name.name,
            "namespace": &*state.name.namespace,
            "labels": write::session_labels(state),
            "ownerReferences": owner::references(shared).await,
        },
    });
    let uri = path::object(
        kind,
        &NamespacedName::new(state.name.namespace.as_str(), ""),
    );
    request(shared, Method::POST, &uri, Some(&body)).await?;
    patch_status(shared, kind, &state.name, &status).await
}

/// The server drops `.status` of what is created: its patch is a second write.
async fn create_status(
    shared: &Shared,
    kind: Kind,
    prefix: &str,
    labels: &Value,
) -> Result<NamespacedName, kube::Error> {
    let namespace = shared.config.namespace.as_str();
    let body = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": kind.as_str(),
        "metadata": {
            "generateName": prefix,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": owner::references(shared).await,
        },
    });
    let uri = path::object(kind, &NamespacedName::new(namespace, ""));
    let reply = request(shared, Method::POST, &uri, Some(&body)).await?;
    Ok(reply.metadata.named())
}

async fn configuration_state(
    shared: &Shared,
    state: &ConfigurationStateValue,
) -> Result<Option<String>, kube::Error> {
    let status = json!({"status": write::configuration_status(state)});
    match patch_status(shared, Kind::ConfigurationState, &state.name, &status).await {
        Err(kube::Error::Api(answer)) if answer.code == 404 => {}
        answer => return answer,
    }
    let body = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ConfigurationState",
        "metadata": {
            "name": state.name.name.as_str(),
            "namespace": state.name.namespace.as_str(),
            "labels": state.labels,
            "ownerReferences": owner::references(shared).await,
        },
    });
    let namespace = NamespacedName::new(state.name.namespace.as_str(), "");
    let uri = path::object(Kind::ConfigurationState, &namespace);
    request(shared, Method::POST, &uri, Some(&body)).await?;
    patch_status(shared, Kind::ConfigurationState, &state.name, &status).await
}

async fn membership_secret(
    shared: &Shared,
    name: &NamespacedName,
) -> Result<Option<String>, kube::Error> {
    let key = crate::random::base64(crate::state::KEY_BYTES)
        .map_err(|error| kube::Error::Service(Box::new(error)))?;
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name.name.as_str(),
            "namespace": name.namespace.as_str(),
            "ownerReferences": owner::references(shared).await,
        },
        "type": "Opaque",
        "data": {"secretkey": k8s_openapi::ByteString(key.into_bytes())},
    });
    let uri = path::object(
        Kind::Secret,
        &NamespacedName::new(name.namespace.as_str(), ""),
    );
    match request(shared, Method::POST, &uri, Some(&body)).await {
        Ok(reply) => Ok(Some(reply.metadata.resource_version)),
        // Somebody else's key is as good as ours.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

/// An event by `events.k8s.io/v1`; where the server or the rules refuse that, by core/v1.
async fn event_(shared: &Shared, event: &Event) -> Result<Option<String>, kube::Error> {
    if !shared.core_events.load(Ordering::Relaxed) {
        let uri = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            event.service.namespace
        );
        match request(shared, Method::POST, &uri, Some(&new_event(shared, event))).await {
            Err(kube::Error::Api(status)) if refused_by_path(&status) => {
                shared.core_events.store(true, Ordering::Relaxed);
            }
            answer => return answer.map(|_| None),
        }
    }
    let uri = format!("/api/v1/namespaces/{}/events", event.service.namespace);
    request(shared, Method::POST, &uri, Some(&core_event(shared, event)))
        .await
        .map(|_| None)
}

/// A 404 that names no object, or no permission; a namespace that is gone names itself.
fn refused_by_path(status: &kube::core::Status) -> bool {
    let names_one = status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty());
    status.code == 403 && status.reason == "Forbidden" && !status.message.contains("terminated")
        || status.code == 404 && !names_one
}

fn new_event(shared: &Shared, event: &Event) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event_name(event), "namespace": event.service.namespace.as_str()},
        "eventTime": crate::clock::now_text(),
        "reportingController": shared.config.role.component(),
        "reportingInstance": shared.config.instance,
        "action": MANAGER,
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "note": write::note(&event.message),
        "regarding": regarding(event),
    })
}

fn core_event(shared: &Shared, event: &Event) -> Value {
    let now = crate::clock::now_seconds_text();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(event), "namespace": event.service.namespace.as_str()},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": shared.config.role.component(), "host": shared.config.instance},
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "message": write::note(&event.message),
        "involvedObject": regarding(event),
    })
}

fn regarding(event: &Event) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": event.service.namespace.as_str(),
        "name": event.service.name.as_str(),
        "uid": event.uid,
    })
}

/// As client-go names them: the object's name and a number that does not repeat.
fn event_name(event: &Event) -> String {
    format!("{}.{:016x}", event.service.name, crate::random::number())
}

async fn request(
    shared: &Shared,
    method: Method,
    uri: &str,
    body: Option<&Value>,
) -> Result<Reply, kube::Error> {
    let content = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = body.map(ToString::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(format!("{uri}?fieldManager={MANAGER}"))
        .header(http::header::CONTENT_TYPE, content)
        .header(http::header::ACCEPT, "application/json")
        .body(body.into_bytes())
        .map_err(kube::Error::HttpError)?;
    shared.client.request(request).await
}

/// What an error means to the one who decided the write.
pub(super) fn outcome(error: &kube::Error) -> Outcome {
    let kube::Error::Api(status) = error else {
        return Outcome::Unavailable(error.to_string());
    };
    let of_uid = |cause: &kube::core::response::StatusCause| cause.field == "metadata.uid";
    match status.code {
        409 => Outcome::Conflict,
        // Another object of that name, under the very version we know: "field is immutable".
        422 if status
            .details
            .iter()
            .any(|details| details.causes.iter().any(of_uid)) =>
        {
            Outcome::Conflict
        }
        404 => Outcome::NotFound,
        400 | 403 | 405 | 413 | 415 | 422 => Outcome::Refused(status.message.clone()),
        _ => Outcome::Unavailable(status.message.clone()),
    }
}
