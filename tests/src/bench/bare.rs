//! A bare client: the same requests that the project sends, with nothing behind them.
//!
//! It is the reference for everything that goes through the API server. Owns the shapes of the requests.

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::{Method, Request};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

/// Requests under way at once, as the controller's bound has it.
pub(super) const AT_ONCE: usize = 32;
/// Namespace of all Services here.
pub(super) const NAMESPACE: &str = "default";
const MERGE: &str = "application/merge-patch+json";

/// What of an answer counts.
#[derive(Debug, Clone, Deserialize)]
struct Reply {
    metadata: Metadata,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    uid: String,
    resource_version: String,
}

/// A Service as a write needs it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Its name.
    pub(super) name: String,
    uid: String,
    version: String,
}

impl From<Reply> for Known {
    fn from(reply: Reply) -> Self {
        let Metadata {
            name,
            uid,
            resource_version: version,
        } = reply.metadata;
        Self { name, uid, version }
    }
}

/// One request.
pub(super) async fn send(
    client: &Client,
    method: Method,
    uri: &str,
    body: &Value,
) -> Result<Value> {
    let kind = if method == Method::PATCH {
        MERGE
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(http::header::CONTENT_TYPE, kind)
        .body(serde_json::to_vec(body)?)?;
    Ok(client.request(request).await?)
}

/// As [`send`], of a Service.
async fn service(client: &Client, method: Method, uri: &str, body: &Value) -> Result<Known> {
    let kind = if method == Method::PATCH {
        MERGE
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(http::header::CONTENT_TYPE, kind)
        .body(serde_json::to_vec(body)?)?;
    let reply: Reply = client.request(request).await?;
    Ok(reply.into())
}

/// Creates a Service of type LoadBalancer; of a class, when one is named.
pub(super) async fn create(client: &Client, name: &str, class: Option<&str>) -> Result<Known> {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": class,
            // Ten thousand would not find room in the range.
            "allocateLoadBalancerNodePorts": false,
            "ports": [{"name": "http", "port": 80}],
        },
    });
    let uri = format!("/api/v1/namespaces/{NAMESPACE}/services");
    service(client, Method::POST, &uri, &body).await
}

/// The one EndpointSlice of a Service, ready on one node.
pub(super) async fn create_slice(client: &Client, name: &str, node: &str) -> Result<()> {
    let body = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-x"),
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.0.2"], "nodeName": node, "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    });
    let uri = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices");
    send(client, Method::POST, &uri, &body).await.map(drop)
}

/// Writes a Service's status as the controller does: addresses and the pool's annotation under the version and
/// uid that are known; no address clears both.
pub(super) async fn write_status(
    client: &Client,
    known: &Known,
    ip: Option<&str>,
) -> Result<Known> {
    let ingress = ip.map(|ip| json!([{"ip": ip, "ipMode": "VIP"}]));
    let body = json!({
        "metadata": {
            "uid": known.uid,
            "resourceVersion": known.version,
            "annotations": {"metallb.io/ip-allocated-from-pool": ip.map(|_| "lan")},
        },
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    let uri = format!(
        "/api/v1/namespaces/{NAMESPACE}/services/{}/status?fieldManager=harbinger",
        known.name
    );
    service(client, Method::PATCH, &uri, &body).await
}

/// The n-th address of the pool.
pub(super) fn address(n: usize) -> String {
    format!("10.1.{}.{}", n / 256, n % 256)
}

/// Does something for all, 32 at once; the answers as they come.
pub(super) async fn all<T, R>(
    items: impl IntoIterator<Item = T>,
    act: impl AsyncFn(T) -> Result<R>,
) -> Result<Vec<R>> {
    stream::iter(items)
        .map(|item| act(item))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Every Service of type LoadBalancer, with what a write needs, and how many of them have an address.
pub(super) async fn list(client: &Client) -> Result<(Vec<Known>, usize)> {
    let uri = format!("/api/v1/namespaces/{NAMESPACE}/services");
    let request = Request::get(uri).body(Vec::new())?;
    let list: Value = client.request(request).await?;
    let items = list["items"].as_array().context("a list")?;
    let ours = items
        .iter()
        .filter(|item| item["spec"]["type"] == "LoadBalancer");
    let mut known = Vec::new();
    let mut served = 0;
    for item in ours {
        let reply: Reply = serde_json::from_value(item.clone())?;
        known.push(reply.into());
        served += usize::from(item["status"]["loadBalancer"]["ingress"].is_array());
    }
    Ok((known, served))
}
