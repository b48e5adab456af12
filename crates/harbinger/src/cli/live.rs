//! The objects of a live cluster, read once.

use std::time::Duration;

use anyhow::{Context, bail};
use cluster::{CHANGES_MAX, KubeConfig, KubeSource, Role, Source};
use engine::lease::LeaseConfig;
use engine::name::Kind;
use engine::world::World;
use tokio::sync::mpsc;

use crate::cli::args::Kubeconfig;

/// The kinds a path is walked through.
const KINDS: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::ServiceL2Status,
];

/// How long the cluster may take to list them.
const LIST_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads every kind that matters; what keeps one from being listed is the error.
pub(super) async fn world(cluster: &Kubeconfig, namespace: &str) -> anyhow::Result<World> {
    world_of(cluster.client().await?, namespace).await
}

/// The same through a client that is there.
pub(super) async fn world_of(client: kube::Client, namespace: &str) -> anyhow::Result<World> {
    let source = KubeSource::new(
        client,
        KubeConfig {
            namespace: namespace.to_owned(),
            role: Role::Speaker,
            instance: "harbinger".to_owned(),
            pod_selector: String::new(),
            secret_name: None,
            config_map_name: None,
            lease_name: String::new(),
            lease: LeaseConfig::default(),
            owner: None,
            seed: 0,
        },
    );
    listed(&source).await
}

/// What a source lists of them.
pub(super) async fn listed(source: &dyn Source) -> anyhow::Result<World> {
    let (sender, mut changes) = mpsc::channel(CHANGES_MAX);
    let _watching = source.start(KINDS, sender);
    let mut world = World::default();
    let all = async {
        while world.epoch(KINDS).is_none() {
            let change = changes
                .recv()
                .await
                .context("the cluster's watches ended")?;
            world.apply(change);
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(LIST_TIME_MAX, all).await {
        Ok(listed) => listed?,
        Err(_late) => {
            let why: Vec<&str> = world.problems().map(|p| p.message.as_str()).collect();
            let why = if why.is_empty() {
                "it does not answer; is it up? (`kubectl version`)".to_owned()
            } else {
                why.join("\n")
            };
            bail!("the cluster could not be listed within {LIST_TIME_MAX:?}: {why}");
        }
    }
    Ok(world)
}
