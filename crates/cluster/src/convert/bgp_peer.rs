//! metallb.io BGPPeer, v1beta2 and v1beta1: the server changes nothing between the two but the
//! version's name.

use super::selector::selectors;
use super::{Convert, FieldError, WithSpec};
use engine::name::Kind;
use engine::world::{BgpPeer, Change, Delta};

impl Convert for BgpPeer {
    const KIND: Kind = Kind::BgpPeer;
    type Raw = WithSpec<api::BGPPeerSpec>;

    fn convert(raw: Self::Raw) -> Result<Self, FieldError> {
        let spec = raw.spec;
        Ok(Self {
            name: raw.metadata.named(),
            annotations: raw.metadata.annotations.0,
            my_asn: spec.my_asn,
            peer_asn: spec.peer_asn.filter(|asn| *asn != 0),
            dynamic_asn: filled(spec.dynamic_asn),
            local_asn: spec.local_asn,
            peer_address: filled(spec.peer_address),
            interface: filled(spec.interface),
            source_address: filled(spec.source_address),
            peer_port: spec.peer_port,
            hold_time: filled(spec.hold_time),
            keepalive_time: filled(spec.keepalive_time),
            connect_time: filled(spec.connect_time),
            router_id: filled(spec.router_id),
            node_selectors: selectors(spec.node_selectors),
            password: filled(spec.password),
            password_secret: spec.password_secret.and_then(|secret| filled(secret.name)),
            bfd_profile: filled(spec.bfd_profile),
            graceful_restart: spec.enable_graceful_restart.unwrap_or_default(),
            ebgp_multi_hop: spec.ebgp_multi_hop.unwrap_or_default(),
            vrf: filled(spec.vrf),
            disable_mp: spec.disable_mp,
            dual_stack: spec.dual_stack_address_family,
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::BgpPeer(delta)
    }
}

/// An empty text says nothing, as in Go.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
