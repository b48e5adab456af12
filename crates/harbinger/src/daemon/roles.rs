//! The roles of a process, from flags to running loops.

use std::sync::Arc;

use anyhow::Context;
use cluster::{DirectoryConfig, DirectorySource, KubeConfig, KubeSource, Owner, Source};
use engine::alloc;
use engine::controller::ControllerConfig;
use engine::forward::ForwardTable;
use engine::lease::LeaseConfig;
use engine::speaker::{Desired, SpeakerConfig};
use engine::wire::WireConfig;
use tokio::sync::{oneshot, watch};

use super::{Ends, Process, members};
use crate::admin::{FORWARD, SPEAKER};
use crate::cli;
use crate::cli::args::{Announce, FastPathArg, Fronting, Identity, Lease, Members};
use crate::controller as controlling;
use crate::speaker::brain;
use crate::speaker::forward;
use crate::speaker::probe::Prober;
use crate::speaker::wire::{self, WireReport};

/// Stack of the wire thread, bytes: it has shallow calls and two buffers on the heap.
const WIRE_STACK_BYTES: usize = 1 << 20;

/// The ConfigMap of the exclusion list.
const EXCLUSION: &str = "metallb-excludel2";

/// Separates the machines' randomness.
const SEED_WIRE: u64 = 0x5749_5245;
const SEED_SPEAKER: u64 = 0x5350_454b;
const SEED_SOURCE: u64 = 0x534f_5552;

/// The seed, logged so that a run can be repeated.
pub(super) fn seed(identity: &Identity) -> anyhow::Result<u64> {
    let seed = identity.seed()?;
    tracing::info!(event = "seed", seed, "the seed of this run");
    Ok(seed)
}

/// Our name in the election; two processes must not share one.
pub(super) fn identity(identity: &Identity) -> anyhow::Result<String> {
    match identity.pod_name.as_ref().filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.clone()),
        None => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let random: [u8; 4] = cli::args::random()?;
            let random = u32::from_le_bytes(random);
            Ok(format!("{}-{random:08x}", host.trim()))
        }
    }
}

/// What the controller machine is told. An empty Secret name: none is created.
pub(super) fn controller_config(
    identity: &Identity,
    secret: &str,
    derive_families: bool,
) -> ControllerConfig {
    ControllerConfig {
        options: alloc::Options {
            lb_class: identity.class(),
            derive_families,
            ..alloc::Options::default()
        },
        secret_name: Some(secret.to_owned()).filter(|name| !name.is_empty()),
        ..ControllerConfig::new(identity.namespace())
    }
}

/// `ipMode` of the statuses: what goes to an address from within the cluster is kube-proxy's, unless a machine
/// before the cluster adds something to it (KEP-1860).
pub(super) fn ip_mode(outside: bool) -> &'static str {
    if outside { "Proxy" } else { "VIP" }
}

fn lease_config(lease: &Lease) -> anyhow::Result<LeaseConfig> {
    let duration = lease.duration()?;
    Ok(LeaseConfig {
        duration,
        renew: duration / 4,
        ..LeaseConfig::default()
    })
}

fn kube_config(identity: &Identity, role: cluster::Role, seed: u64) -> KubeConfig {
    KubeConfig {
        namespace: identity.namespace(),
        role,
        instance: identity.pod_name.clone().unwrap_or_default(),
        pod_selector: String::new(),
        secret_name: None,
        config_map_name: Some(EXCLUSION.to_owned()),
        lease_name: String::new(),
        lease: LeaseConfig::default(),
        owner: None,
        seed: seed ^ SEED_SOURCE,
    }
}

/// The cluster as a controller sees it.
pub(super) fn controller_source(
    client: kube::Client,
    args: &cli::controller::Args,
    seed: u64,
) -> anyhow::Result<Arc<dyn Source>> {
    let deployment = Some(args.deployment.clone()).filter(|name| !name.is_empty());
    let secret = match args.ml_secret_name.as_str() {
        "" => cli::args::SECRET,
        name => name,
    };
    Ok(Arc::new(KubeSource::new(
        client,
        KubeConfig {
            secret_name: Some(secret.to_owned()),
            lease_name: args.lease.lease_name.clone(),
            lease: lease_config(&args.lease)?,
            owner: deployment.map(Owner::Deployment),
            ..kube_config(&args.identity, cluster::Role::Controller, seed)
        },
    )))
}

/// The cluster as a speaker sees it.
pub(super) fn speaker_source(
    client: kube::Client,
    args: &cli::speaker::Args,
    seed: u64,
) -> anyhow::Result<Arc<dyn Source>> {
    let pod = args
        .identity
        .pod_name
        .clone()
        .filter(|name| !name.is_empty());
    Ok(Arc::new(KubeSource::new(
        client,
        KubeConfig {
            pod_selector: args.members.ml_labels.clone().unwrap_or_default(),
            // The passwords of BGP peers are in Secrets of any name.
            secret_name: None,
            owner: pod.map(Owner::Pod),
            ..kube_config(&args.identity, cluster::Role::Speaker, seed)
        },
    )))
}

type Sources = (Arc<dyn Source>, Arc<dyn Source>, Option<kube::Client>);

/// The two views of `run`: of a folder, or of a cluster.
pub(super) async fn sources(args: &cli::run::Args, seed: u64) -> anyhow::Result<Sources> {
    if let Some(folder) = &args.dir {
        let source = DirectorySource::open(DirectoryConfig {
            manifests: folder.clone(),
            state: args.state.clone(),
            namespace: args.identity.namespace(),
            secret_name: args.members.ml_secret_name.clone(),
            component: "metallb-controller",
        })
        .context("the folder of --dir or of --state cannot be used; create it, or name another")?;
        tracing::info!(
            event = "directory", manifests = %folder.display(), state = %source.state().display(),
            "the cluster is a folder of manifests; metrics only with --metrics-plain"
        );
        let speaker = source.with_component("metallb-speaker");
        return Ok((Arc::new(source), Arc::new(speaker), None));
    }
    let client = args.cluster.client().await?;
    super::preflight::cluster(&client, &args.identity.namespace()).await?;
    let secret = Some(args.members.ml_secret_name.clone());
    let controller = KubeConfig {
        secret_name: secret,
        lease_name: args.lease.lease_name.clone(),
        lease: lease_config(&args.lease)?,
        ..kube_config(&args.identity, cluster::Role::Controller, seed)
    };
    let speaker = KubeConfig {
        pod_selector: args.members.ml_labels.clone().unwrap_or_default(),
        secret_name: None,
        ..kube_config(&args.identity, cluster::Role::Speaker, seed)
    };
    Ok((
        Arc::new(KubeSource::new(client.clone(), controller)),
        Arc::new(KubeSource::new(client.clone(), speaker)),
        Some(client),
    ))
}

/// Starts the controller's loop.
pub(super) fn controller(
    process: &mut Process,
    config: ControllerConfig,
    identity: String,
    seed: u64,
    source: Arc<dyn Source>,
) {
    let Ends { ready, questions } = process.role("controller");
    let setup = controlling::Setup {
        config,
        seed,
        identity,
        source,
        timings: process.timings.clone(),
        ready,
        questions,
        stop: process.stop.clone(),
    };
    process.part("the controller", controlling::run(setup));
}

/// What a speaker is made of.
pub(super) struct SpeakerArgs<'a> {
    pub(super) node: String,
    pub(super) identity: &'a Identity,
    pub(super) announce: &'a Announce,
    pub(super) fronting: &'a Fronting,
    pub(super) members: &'a Members,
}

/// Starts the wire thread and the brain's loop; returns when the sockets that a start needs are open.
pub(super) async fn speaker(
    process: &mut Process,
    args: &SpeakerArgs<'_>,
    seed: u64,
    source: Arc<dyn Source>,
) -> anyhow::Result<()> {
    let linger = args.announce.linger()?;
    process.patience(linger);
    let (_links, snapshot) = linux::route::Links::open(linux::route::Options::default())
        .await
        .context("cannot read the interfaces of this host")?;
    let membership = members::membership(args.members, &args.node, &snapshot.borrow())?;
    let (desired, wanted) = watch::channel(Arc::<Desired>::default());
    let (report, told) = watch::channel(WireReport::default());
    let wire_ends = process.role("wire");
    let setup = wire::Setup {
        config: WireConfig {
            linger,
            ..WireConfig::new(args.node.clone(), membership.config)
        },
        seed: seed ^ SEED_WIRE,
        arp_fast_path: args.announce.arp_fast_path == FastPathArg::Auto,
        members: membership.bind,
        desired: wanted,
        report,
        ready: wire_ends.ready,
        questions: wire_ends.questions,
        stop: process.stop.clone(),
    };
    let ended = wire_thread(setup).await?;
    process.part("the wire thread", async move {
        ended
            .await
            .unwrap_or_else(|_gone| Err(anyhow::anyhow!("it panicked")))
    });
    let table = forwarding(process, args.fronting, told.clone())?;
    let Ends { ready, questions } = process.role(SPEAKER);
    let config = SpeakerConfig {
        forward: args.fronting.options(),
        lb_class: args.identity.class(),
        ignore_exclude: args.announce.ignore_exclude_lb,
        placement: args.announce.placement.into(),
        bgp_statuses: args.announce.bgp_status.into(),
        discovery: membership.discovery,
        secret_name: args.members.ml_secret_name.clone(),
        probes: args.announce.probes.into(),
        ..SpeakerConfig::new(args.node.clone(), args.identity.namespace())
    };
    let setup = brain::Setup {
        config,
        seed: seed ^ SEED_SPEAKER,
        source,
        desired,
        table,
        report: told,
        prober: Prober::start()?,
        timings: process.timings.clone(),
        ready,
        questions,
        stop: process.stop.clone(),
    };
    process.part("the speaker", brain::run(setup));
    Ok(())
}

/// Starts the forward thread, which opens nothing before it is told to.
fn forwarding(
    process: &mut Process,
    fronting: &Fronting,
    wire: watch::Receiver<WireReport>,
) -> anyhow::Result<watch::Sender<Arc<ForwardTable>>> {
    let (table, wanted) = watch::channel(Arc::<ForwardTable>::default());
    let Ends { ready, questions } = process.role(FORWARD);
    let setup = forward::Setup {
        options: forward::Options {
            keep_on_exit: fronting.keep_on_exit,
            set_sysctls: fronting.set_sysctls,
        },
        table: wanted,
        wire,
        ready,
        questions,
        stop: process.stop.clone(),
    };
    let (ending, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("forward".to_owned())
        .stack_size(WIRE_STACK_BYTES)
        .spawn(move || {
            let result = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(anyhow::Error::new)
                .and_then(|runtime| runtime.block_on(forward::run(setup)));
            let _nobody_waits = ending.send(result);
        })
        .context("no thread for the forward table")?;
    process.part("the forward thread", async move {
        ended
            .await
            .unwrap_or_else(|_gone| Err(anyhow::anyhow!("it panicked")))
    });
    Ok(table)
}

/// Starts the thread; the receiver tells its end. What keeps it from starting is the error here.
async fn wire_thread(setup: wire::Setup) -> anyhow::Result<oneshot::Receiver<anyhow::Result<()>>> {
    let (started, ready) = oneshot::channel();
    let (ending, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("wire".to_owned())
        .stack_size(WIRE_STACK_BYTES)
        .spawn(move || {
            let result = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(anyhow::Error::new)
                .and_then(|runtime| {
                    runtime.block_on(wire::run(setup, move || {
                        let _nobody_waits = started.send(());
                    }))
                });
            let _nobody_waits = ending.send(result);
        })
        .context("no thread for the wire")?;
    if ready.await.is_ok() {
        return Ok(ended);
    }
    match ended.await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Err(anyhow::anyhow!("the wire thread did not start")),
    }
}
