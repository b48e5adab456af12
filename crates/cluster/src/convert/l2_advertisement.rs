//! metallb.io L2Advertisement.

use super::selector::{selector, selectors};
use super::{Convert, FieldError, Meta, Raw};
use engine::name::Kind;
use engine::world::{Change, Delta, L2Advertisement};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct RawL2Advertisement {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: api::L2AdvertisementSpec,
}

impl Raw for RawL2Advertisement {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for L2Advertisement {
    const KIND: Kind = Kind::L2Advertisement;
    type Raw = RawL2Advertisement;

    fn convert(raw: RawL2Advertisement) -> Result<Self, FieldError> {
        Ok(Self {
            name: raw.metadata.named(),
            pools: raw.spec.ip_address_pools,
            pool_selectors: selectors(raw.spec.ip_address_pool_selectors),
            node_selectors: selectors(raw.spec.node_selectors),
            interfaces: raw.spec.interfaces,
            service_selectors: selectors(raw.spec.service_selectors),
            preferred_nodes: raw
                .spec
                .preferred_node_selectors
                .into_iter()
                .map(|preferred| (preferred.weight, selector(preferred.preference)))
                .collect(),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::L2Advertisement(delta)
    }
}
