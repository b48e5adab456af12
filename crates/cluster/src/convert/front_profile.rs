//! harbinger.dev FrontProfile.

use super::selector::selectors;
use super::{Convert, FieldError, WithSpec};
use engine::name::Kind;
use engine::world::{Change, Delta, FrontProfile};

impl Convert for FrontProfile {
    const KIND: Kind = Kind::FrontProfile;
    type Raw = WithSpec<api::FrontProfileSpec>;

    fn convert(raw: Self::Raw) -> Result<Self, FieldError> {
        let spec = raw.spec;
        let health = spec.health.unwrap_or_default();
        let panic = spec.panic.unwrap_or_default();
        Ok(Self {
            name: raw.metadata.named(),
            service_selectors: selectors(spec.service_selectors),
            pools: spec.ip_address_pools,
            mode: spec.mode,
            panic: panic.policy,
            threshold: panic.threshold,
            weights: spec.weights,
            drain_timeout: spec.drain_timeout,
            slow_start: spec.slow_start,
            interval: health.interval,
            timeout: health.timeout,
            fall: health.fall,
            rise: health.rise,
            fast_interval: health.fast_interval,
            slow_interval: health.slow_interval,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::FrontProfile(delta)
    }
}
