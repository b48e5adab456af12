//! metallb.io BGPAdvertisement.

use super::selector::selectors;
use super::{Convert, FieldError, WithSpec};
use engine::name::Kind;
use engine::world::{BgpAdvertisement, Change, Delta};

impl Convert for BgpAdvertisement {
    const KIND: Kind = Kind::BgpAdvertisement;
    type Raw = WithSpec<api::BGPAdvertisementSpec>;

    fn convert(raw: Self::Raw) -> Result<Self, FieldError> {
        let spec = raw.spec;
        Ok(Self {
            name: raw.metadata.named(),
            annotations: raw.metadata.annotations.0,
            aggregation_length: spec.aggregation_length,
            aggregation_length_v6: spec.aggregation_length_v6,
            local_pref: spec.local_pref.filter(|value| *value != 0),
            communities: spec.communities,
            pools: spec.ip_address_pools,
            pool_selectors: selectors(spec.ip_address_pool_selectors),
            node_selectors: selectors(spec.node_selectors),
            peers: spec.peers,
            service_selectors: selectors(spec.service_selectors),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::BgpAdvertisement(delta)
    }
}
