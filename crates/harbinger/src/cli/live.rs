//! The objects of a live cluster, read once.

use std::time::Duration;

use anyhow::{Context, bail};
use cluster::{CHANGES_MAX, KubeConfig, KubeSource, Role, Source};
use engine::lease::LeaseConfig;
use engine::name::Kind;
use engine::world::{Change, World};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
    let source = source(cluster.client().await?, namespace);
    Ok(watch(&source).await?.world)
}

/// The cluster, to be read.
pub(super) fn source(client: kube::Client, namespace: &str) -> KubeSource {
    KubeSource::new(
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
    )
}

/// A world that follows its source.
pub(super) struct Watched {
    /// As it is now.
    pub(super) world: World,
    changes: mpsc::Receiver<Change>,
    _tasks: JoinSet<()>,
}

impl Watched {
    /// Waits until the world is as wanted.
    pub(super) async fn until(&mut self, holds: impl Fn(&World) -> bool) -> anyhow::Result<()> {
        while !holds(&self.world) {
            let change = self.changes.recv().await;
            self.world.apply(change.context("the watches ended")?);
        }
        Ok(())
    }
}

/// What a source lists of them, and what follows; what keeps one from being listed is the error.
pub(super) async fn watch(source: &dyn Source) -> anyhow::Result<Watched> {
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    let mut watched = Watched {
        _tasks: source.start(KINDS, sender),
        world: World::default(),
        changes,
    };
    let all = watched.until(|world| world.epoch(KINDS).is_some());
    match tokio::time::timeout(LIST_TIME_MAX, all).await {
        Ok(listed) => listed?,
        Err(_late) => {
            let problems = watched.world.problems();
            let why: Vec<&str> = problems.map(|p| p.message.as_str()).collect();
            let why = if why.is_empty() {
                "it does not answer; is it up? (`kubectl version`)".to_owned()
            } else {
                why.join("\n")
            };
            bail!("the cluster could not be listed within {LIST_TIME_MAX:?}: {why}");
        }
    }
    Ok(watched)
}
