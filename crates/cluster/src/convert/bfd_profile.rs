//! metallb.io BFDProfile.

use super::{Convert, FieldError, WithSpec};
use engine::name::Kind;
use engine::world::{BfdProfile, Change, Delta};

impl Convert for BfdProfile {
    const KIND: Kind = Kind::BfdProfile;
    type Raw = WithSpec<api::BFDProfileSpec>;

    fn convert(raw: Self::Raw) -> Result<Self, FieldError> {
        let spec = raw.spec;
        Ok(Self {
            name: raw.metadata.named(),
            annotations: raw.metadata.annotations.0,
            receive_interval: spec.receive_interval,
            transmit_interval: spec.transmit_interval,
            detect_multiplier: spec.detect_multiplier,
            echo_interval: spec.echo_interval,
            echo_mode: spec.echo_mode.unwrap_or_default(),
            passive_mode: spec.passive_mode.unwrap_or_default(),
            minimum_ttl: spec.minimum_ttl,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::BfdProfile(delta)
    }
}
