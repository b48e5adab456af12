//! The facts in the answers of kube-proxy and of those that stand in for it.

use engine::health::Answer;
use engine::name::NamespacedName;
use hyper::http::response::Parts;
use serde::Deserialize;

/// The number of local endpoints, since Kubernetes 1.28.
const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// Both forms in one: 10256 has `nodeEligible` and `status`, a health port has `service` and `localEndpoints`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    node_eligible: Option<bool>,
    status: Option<Families>,
    service: Option<Service>,
    local_endpoints: Option<u32>,
    service_proxy_healthy: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Families {
    #[serde(rename = "IPv4")]
    v4: Option<Family>,
    #[serde(rename = "IPv6")]
    v6: Option<Family>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Family {
    healthy: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    namespace: String,
    name: String,
}

/// What does not fit is as if it were not there.
pub(super) fn read(head: &Parts, body: &[u8]) -> Answer {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let status = body.status.unwrap_or_default();
    let healthy = |family: Option<Family>| family.and_then(|family| family.healthy);
    let weight = head.headers.get(WEIGHT);
    Answer {
        status: head.status.as_u16(),
        eligible: body.node_eligible,
        healthy_v4: healthy(status.v4),
        healthy_v6: healthy(status.v6),
        service: body
            .service
            .map(|service| NamespacedName::new(service.namespace, service.name)),
        endpoints: body.local_endpoints,
        proxy_healthy: body.service_proxy_healthy,
        weight: weight.and_then(|text| text.to_str().ok()?.parse().ok()),
    }
}
