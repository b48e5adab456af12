//! metallb.io IPAddressPool.

use super::selector::selectors;
use super::{Convert, FieldError, Meta, Raw};
use engine::name::Kind;
use engine::world::{Change, Delta, IpAddressPool, PoolStatus, ServiceAllocation};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct RawPool {
    #[serde(default)]
    metadata: Meta,
    spec: api::IPAddressPoolSpec,
    #[serde(default)]
    status: Option<Counters>,
}

/// The counters, each absent one zero: an empty `status: {}` is not unreadable.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counters {
    #[serde(rename = "assignedIPv4")]
    assigned_ipv4: Option<i64>,
    #[serde(rename = "assignedIPv6")]
    assigned_ipv6: Option<i64>,
    #[serde(rename = "availableIPv4")]
    available_ipv4: Option<i64>,
    #[serde(rename = "availableIPv6")]
    available_ipv6: Option<i64>,
}

impl Counters {
    /// None when one is missing: then the status must be written.
    fn complete(&self) -> Option<PoolStatus> {
        Some(PoolStatus {
            assigned_ipv4: self.assigned_ipv4?,
            assigned_ipv6: self.assigned_ipv6?,
            available_ipv4: self.available_ipv4?,
            available_ipv6: self.available_ipv6?,
        })
    }
}

impl Raw for RawPool {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for IpAddressPool {
    const KIND: Kind = Kind::IpAddressPool;
    type Raw = RawPool;

    fn convert(raw: RawPool) -> Result<Self, FieldError> {
        Ok(Self {
            name: raw.metadata.named(),
            labels: raw.metadata.labels,
            addresses: raw.spec.addresses,
            auto_assign: raw.spec.auto_assign,
            avoid_buggy_ips: raw.spec.avoid_buggy_ips,
            service_allocation: raw.spec.service_allocation.map(|from| ServiceAllocation {
                priority: from.priority.unwrap_or_default(),
                namespaces: from.namespaces,
                namespace_selectors: selectors(from.namespace_selectors),
                service_selectors: selectors(from.service_selectors),
            }),
            status: raw.status.and_then(|status| status.complete()),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Pool(delta)
    }
}
