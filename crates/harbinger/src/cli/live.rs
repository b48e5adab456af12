//! The objects of a live cluster, read once.

use engine::world::World;

use crate::cli::args::Kubeconfig;

pub(super) async fn world(_cluster: &Kubeconfig, _namespace: &str) -> anyhow::Result<World> {
    todo!("KubeSource")
}
