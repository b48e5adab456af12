//! Writes into the state folder.

use super::scan::Scanner;
use super::{Inner, locked};
use crate::state::{self, KEY_FILE};
use engine::name::{Kind, NamespacedName};
use engine::world::MOVE_ANNOTATION;
use engine::write::{ConfigurationStateValue, Outcome, ServiceStatus, SessionStateValue, Write};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Inner {
    /// Carries one write out; blocks for a few file operations.
    pub(super) fn carry_out(&self, write: &Write, component: &'static str) -> Outcome {
        let outcome = match write {
            Write::ServiceStatus(status) => self.service_status(status),
            Write::PoolStatus { name, status } => self.pool_status(name, *status),
            Write::Event(event) => {
                return told(locked(&self.events).append(event, component).map(|()| None));
            }
            Write::L2Status {
                existing,
                node,
                service,
                interfaces,
            } => {
                let name = existing
                    .clone()
                    .unwrap_or_else(|| self.status_name("l2", node, service));
                self.put(
                    Kind::ServiceL2Status,
                    &name,
                    &l2_status(&name, node, service, interfaces),
                )
            }
            Write::DeleteL2Status(name) => self.delete(Kind::ServiceL2Status, name),
            Write::BgpStatus {
                existing,
                node,
                service,
                peers,
            } => {
                let name = existing
                    .clone()
                    .unwrap_or_else(|| self.status_name("bgp", node, service));
                let value = bgp_status(&name, node, service, peers);
                self.put(Kind::ServiceBgpStatus, &name, &value)
            }
            Write::DeleteBgpStatus(name) => self.delete(Kind::ServiceBgpStatus, name),
            Write::SessionState(state) => {
                self.put(Kind::BgpSessionState, &state.name, &session_state(state))
            }
            Write::DeleteSessionState(name) => self.delete(Kind::BgpSessionState, name),
            Write::ConfigurationState(state) => self.put(
                Kind::ConfigurationState,
                &state.name,
                &configuration_state(state),
            ),
            Write::MembershipSecret(_) => match state::read_or_create(&self.state.join(KEY_FILE)) {
                Ok(_) => Outcome::Done(None),
                Err(error) => Outcome::Refused(error.to_string()),
            },
        };
        if matches!(outcome, Outcome::Done(_)) {
            self.wake();
        }
        outcome
    }

    fn service_status(&self, status: &ServiceStatus) -> Outcome {
        if !self.holder.load(Ordering::SeqCst) {
            return Outcome::Unavailable("this process does not hold the lease".to_owned());
        }
        // No scan between the comparison and the write.
        let scanner = locked(&self.scanner);
        let key = (Kind::Service, status.name.clone());
        match locked(&self.versions).get(&key) {
            None => return Outcome::NotFound,
            Some((uid, version)) if *uid != status.uid || *version != status.version => {
                return Outcome::Conflict;
            }
            Some(_) => {}
        }
        let ingress: Vec<Value> = status
            .addresses
            .iter()
            .map(|ip| json!({"ip": ip, "ipMode": status.ip_mode}))
            .collect();
        let mut annotations = json!({(crate::POOL_ANNOTATION): status.pool});
        // What a person has asked for beside the manifest stays.
        if let Some(node) = asked(&scanner, &status.name) {
            annotations[MOVE_ANNOTATION] = json!(node);
        }
        let value = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": status.name.name.as_str(),
                "namespace": status.name.namespace.as_str(),
                "uid": status.uid,
                "annotations": annotations,
            },
            "status": {"loadBalancer": if ingress.is_empty() {
                json!({})
            } else {
                json!({"ingress": ingress})
            }},
        });
        let written = scanner
            .statuses()
            .write(Kind::Service, &status.name, &value);
        if written.is_ok() {
            // Until the next scan tells the new version, a second write on the old one conflicts.
            locked(&self.versions).insert(key, (status.uid.clone(), String::new()));
        }
        told(written.map(|()| None))
    }

    /// Asks for a Service to move to a node, or takes that back; beside the manifest, which
    /// is the user's.
    pub(super) fn ask_move(&self, service: &NamespacedName, node: Option<&str>) -> io::Result<()> {
        let scanner = locked(&self.scanner);
        let key = (Kind::Service, service.clone());
        let uid = locked(&self.versions).get(&key).map(|(uid, _)| uid.clone());
        let uid = uid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let written = scanner.statuses().one(Kind::Service, service).ok();
        let ours = |value: &Arc<Value>| value["metadata"]["uid"] == uid;
        let mut value = match written.filter(ours) {
            Some(value) => Value::clone(&value),
            None => json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": service.name.as_str(), "namespace": service.namespace.as_str(), "uid": uid},
            }),
        };
        if !value["metadata"]["annotations"].is_object() {
            value["metadata"]["annotations"] = json!({});
        }
        if let Some(annotations) = value["metadata"]["annotations"].as_object_mut() {
            match node {
                Some(node) => annotations.insert(MOVE_ANNOTATION.to_owned(), json!(node)),
                None => annotations.remove(MOVE_ANNOTATION),
            };
        }
        scanner.statuses().write(Kind::Service, service, &value)?;
        drop(scanner);
        self.wake();
        Ok(())
    }

    fn pool_status(&self, name: &NamespacedName, status: engine::world::PoolStatus) -> Outcome {
        if !self.holder.load(Ordering::SeqCst) {
            return Outcome::Unavailable("this process does not hold the lease".to_owned());
        }
        let key = (Kind::IpAddressPool, name.clone());
        let Some((uid, _)) = locked(&self.versions).get(&key).cloned() else {
            return Outcome::NotFound;
        };
        let value = json!({
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "metadata": {"name": name.name.as_str(), "namespace": name.namespace.as_str(), "uid": uid},
            "status": crate::write::pool_status(&status),
        });
        self.put(Kind::IpAddressPool, name, &value)
    }

    fn put(&self, kind: Kind, name: &NamespacedName, value: &Value) -> Outcome {
        let scanner = locked(&self.scanner);
        told(scanner.statuses().write(kind, name, value).map(|()| None))
    }

    fn delete(&self, kind: Kind, name: &NamespacedName) -> Outcome {
        let scanner = locked(&self.scanner);
        match scanner.statuses().remove(kind, name) {
            Ok(true) => Outcome::Done(None),
            Ok(false) => Outcome::NotFound,
            Err(error) => Outcome::Unavailable(error.to_string()),
        }
    }

    /// `l2-` or `bgp-` and a digest, so that a repeated creation makes one object.
    fn status_name(&self, prefix: &str, node: &str, service: &NamespacedName) -> NamespacedName {
        let mut hasher = DefaultHasher::new();
        (node, service).hash(&mut hasher);
        let digest = hasher.finish();
        NamespacedName::new(&*self.config.namespace, format!("{prefix}-{digest:016x}"))
    }
}

/// The node that a Service is to move to, by the state folder.
fn asked(scanner: &Scanner, service: &NamespacedName) -> Option<String> {
    let value = scanner.statuses().one(Kind::Service, service).ok()?;
    let annotations = value.pointer("/metadata/annotations")?;
    Some(annotations.get(MOVE_ANNOTATION)?.as_str()?.to_owned())
}

fn told(result: io::Result<Option<String>>) -> Outcome {
    match result {
        Ok(version) => Outcome::Done(version),
        Err(error) => Outcome::Unavailable(error.to_string()),
    }
}

fn l2_status(
    name: &NamespacedName,
    node: &str,
    service: &NamespacedName,
    interfaces: &[String],
) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ServiceL2Status",
        "metadata": {
            "name": name.name.as_str(),
            "namespace": name.namespace.as_str(),
            "uid": format!("ServiceL2Status/{name}"),
            "labels": crate::write::l2_labels(node, service),
        },
        "status": crate::write::l2_status(node, service, interfaces),
    })
}

fn bgp_status(
    name: &NamespacedName,
    node: &str,
    service: &NamespacedName,
    peers: &[String],
) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ServiceBGPStatus",
        "metadata": {
            "name": &*name.name,
            "namespace": &*name.namespace,
            "uid": format!("ServiceBGPStatus/{name}"),
            "labels": crate::write::bgp_labels(node, service),
        },
        "status": crate::write::bgp_status(node, service, peers),
    })
}

fn session_state(state: &SessionStateValue) -> Value {
    json!({
        "apiVersion": "harbinger.dev/v1alpha1",
        "kind": "BGPSessionState",
        "metadata": {
            "name": &*state.name.name,
            "namespace": &*state.name.namespace,
            "uid": format!("BGPSessionState/{}", state.name),
            "labels": crate::write::session_labels(state),
        },
        "status": crate::write::session_status(state),
    })
}

fn configuration_state(state: &ConfigurationStateValue) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ConfigurationState",
        "metadata": {
            "name": state.name.name.as_str(),
            "namespace": state.name.namespace.as_str(),
            "uid": format!("ConfigurationState/{}", state.name),
            "labels": state.labels,
        },
        "status": crate::write::configuration_status(state),
    })
}
