//! The boundary to Kubernetes: two sources of the world behind one small trait.
//!
//! Owns everything that knows Kubernetes' objects as text: reading them into the engine's types
//! ([`convert`](self)), watching an API server or a folder of manifests ([`source`]), and carrying
//! the engine's writes out. It keeps no cache for others, decides nothing, and knows neither
//! frames nor members.

mod clock;
mod convert;
mod manifest;
mod manifests;
mod random;
mod snapshot;
pub mod source;
mod state;
mod write;

pub use manifests::{Manifests, ReadError, read_manifests};
pub use snapshot::WATCHED;
pub use source::directory::{DirectoryConfig, DirectoryError, DirectorySource};
pub use source::kube::{ConnectError, KubeConfig, KubeSource, Owner, Role, connect};
pub use source::{CHANGES_MAX, Campaign, Deadline, Source};

/// Annotation that names the pool of the addresses of a Service.
pub const POOL_ANNOTATION: &str = "metallb.io/ip-allocated-from-pool";
