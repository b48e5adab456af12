//! What the labs, the stories, the demo and the benches share.

pub mod bench;
pub mod cluster_demo;
pub mod cluster_lab;
pub mod cluster_stories;
pub mod controlplane;
pub mod fleet;
pub mod lab;
pub mod metallb_shaped;
pub mod schema_table;
pub mod sim;
pub mod validation;
