//! metallb.io L2Advertisement.

use super::selector::{selector, selectors};
use super::{Convert, FieldError, WithSpec};
use engine::name::Kind;
use engine::world::{Change, Delta, L2Advertisement};

impl Convert for L2Advertisement {
    const KIND: Kind = Kind::L2Advertisement;
    type Raw = WithSpec<api::L2AdvertisementSpec>;

    fn convert(raw: Self::Raw) -> Result<Self, FieldError> {
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
