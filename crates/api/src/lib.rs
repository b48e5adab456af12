//! The custom resources of `metallb.io` as Rust types, and their definitions.
//!
//! Owns the shape of every kind (one file each), the CustomResourceDefinitions generated from
//! them, the rules the API server checks for us, and a check of the same schemas for objects that
//! come from no API server. It decides nothing, reads nothing and knows nothing of the engine:
//! each rule of [`rules`] has a twin there, for rules that run without a server.
//!
//! The shapes equal MetalLB's, so that its objects are read unchanged; what is added are bounds,
//! patterns, rules and short names: `lbpool`, `lbl2`, `lbbgp`, `lbpeer`, `lbbfd`, `lbcomm`,
//! `lbl2s`, `lbbgps` and `lbstate`. MetalLB has none; `ippool` and `bgppeer` belong to others in
//! the same clusters.
//!
//! The stored version of BGPPeer is v1beta2, and it is the one to watch: the server shows such an
//! object through v1beta1 without its newer fields, and then even without a required `peerASN`.

#![allow(
    clippy::duplicated_attributes,
    reason = "each print column repeats the same keys"
)]

mod bfd_profile;
mod bgp_advertisement;
mod bgp_peer;
mod bgp_session_state;
mod bounds;
mod community;
mod configuration_state;
mod crds;
mod front_profile;
mod ip_address_pool;
mod l2_advertisement;
mod rules;
mod schema;
mod service_bgp_status;
mod service_l2_status;
#[cfg(test)]
mod tests;
pub mod v1beta1;
mod validate;

pub use bfd_profile::{BFDProfile, BFDProfileSpec, BFDProfileStatus};
pub use bgp_advertisement::{BGPAdvertisement, BGPAdvertisementSpec, BGPAdvertisementStatus};
pub use bgp_peer::{BGPPeer, BGPPeerSpec, BGPPeerStatus};
pub use bgp_session_state::{BGPSessionState, BGPSessionStateSpec, BGPSessionStateStatus};
pub use community::{Community, CommunityAlias, CommunitySpec, CommunityStatus};
pub use configuration_state::{
    ConfigurationState, ConfigurationStateSpec, ConfigurationStateStatus,
};
pub use crds::{crds, crds_yaml};
pub use front_profile::{
    FrontHealth, FrontPanic, FrontProfile, FrontProfileSpec, FrontProfileStatus,
};
pub use ip_address_pool::{
    IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation,
};
pub use l2_advertisement::{
    L2Advertisement, L2AdvertisementSpec, L2AdvertisementStatus, PreferredNodeSelector,
};
pub use rules::{Rule, rules};
pub use service_bgp_status::{ServiceBGPStatus, ServiceBGPStatusSpec, ServiceBGPStatusStatus};
pub use service_l2_status::{
    InterfaceInfo, ServiceL2Status, ServiceL2StatusSpec, ServiceL2StatusStatus,
};
pub use validate::{FieldError, apply_defaults, validate};

/// The API group of the kinds that MetalLB has.
pub const GROUP: &str = "metallb.io";

/// The API group of the kinds that only we have.
pub const OWN_GROUP: &str = "harbinger.dev";
