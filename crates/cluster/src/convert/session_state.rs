//! harbinger.dev BGPSessionState.

use super::{Convert, FieldError, Meta, Raw};
use engine::name::Kind;
use engine::world::{Change, Delta, SessionState};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct RawSessionState {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    status: Option<api::BGPSessionStateStatus>,
}

impl Raw for RawSessionState {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Convert for SessionState {
    const KIND: Kind = Kind::BgpSessionState;
    type Raw = RawSessionState;

    fn convert(raw: RawSessionState) -> Result<Self, FieldError> {
        let label = |key: &str| raw.metadata.labels.get(key).cloned();
        let status = raw.status.unwrap_or_default();
        let node = label("harbinger.dev/node").or(status.node);
        let peer = label("harbinger.dev/peer").or(status.peer);
        Ok(Self {
            name: raw.metadata.named(),
            node: node.unwrap_or_default(),
            peer: peer.unwrap_or_default(),
            bgp: status.bgp_status.unwrap_or_default(),
            bfd: status.bfd_status.unwrap_or_default(),
            last_error: status.last_error.unwrap_or_default(),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::SessionState(delta)
    }
}
