//! The owner of what is created: the Pod or Deployment this process runs in.

use super::{Reply, Shared, path};
use engine::name::{Kind, NamespacedName};
use http::Request;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// An owner by name, in our namespace; its uid is asked for when it is first needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A speaker's Pod.
    Pod(String),
    /// The controller's Deployment.
    Deployment(String),
}

/// `metadata.ownerReferences`, empty where there is no owner or it cannot be read: an object
/// without an owner is better than none.
pub(super) async fn references(shared: &Shared) -> Value {
    let Some(owner) = &shared.config.owner else {
        return json!([]);
    };
    match shared.owner.get_or_try_init(|| ask(shared, owner)).await {
        Ok(reference) => json!([reference]),
        Err(error) => {
            if !shared.ownerless.swap(true, Ordering::Relaxed) {
                tracing::warn!(?owner, %error, "cannot read the owner; what is made has none");
            }
            json!([])
        }
    }
}

async fn ask(shared: &Shared, owner: &Owner) -> Result<Value, kube::Error> {
    let namespace = &shared.config.namespace;
    let (version, kind, name, uri) = match owner {
        Owner::Pod(name) => {
            let pod = NamespacedName::new(namespace.as_str(), name.as_str());
            ("v1", "Pod", name, path::object(Kind::Pod, &pod))
        }
        Owner::Deployment(name) => {
            let escaped = path::escape(name);
            let uri = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{escaped}");
            ("apps/v1", "Deployment", name, uri)
        }
    };
    let request = Request::get(uri)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    let reply: Reply = shared.client.request(request).await?;
    Ok(json!({
        "apiVersion": version,
        "kind": kind,
        "name": name,
        "uid": reply.metadata.uid,
    }))
}
