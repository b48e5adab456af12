//! `harbinger move` and `harbinger rebalance`: a person decides that addresses go to another node.
//!
//! A move is an annotation on the Service (`harbinger.dev/move-to`): the speakers make it before they break
//! it. The verb waits until the speaker of the new node says that it announces, and takes the annotation back:
//! what has moved stays by its claim. Owns the refusals; who may, and what the share is, the engine says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cluster::{DirectoryConfig, DirectorySource, KubeSource, Source};
use engine::elect::Placement;
use engine::name::NamespacedName;
use engine::world::{MOVE_ANNOTATION, World};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cli::args::{Kubeconfig, NAMESPACE, duration};
use crate::cli::metallb::go_bool;
use crate::cli::{explain, live};
use crate::output::{self, Verdict};
use crate::plan::{self, Plan};

/// Labels by which speakers are found: those of `deploy/` and of MetalLB's manifests.
const SPEAKERS: &str = "component=speaker";

/// Where the Services and the speakers are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Folder of manifests of `harbinger run --dir`, instead of a cluster.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["kubeconfig", "context"])]
    pub dir: Option<PathBuf>,
    /// Its state folder [default: .harbinger in the folder of manifests].
    #[arg(long, value_name = "FOLDER", requires = "dir")]
    pub state: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Kubeconfig,
    /// The namespace whose metallb.io objects count.
    #[arg(long, env = "METALLB_NAMESPACE", default_value = NAMESPACE)]
    pub namespace: String,
    /// Labels of the speakers' Pods; a node without a ready one is suspect.
    #[arg(long, default_value = SPEAKERS, value_name = "LABELS")]
    pub speakers: String,
    /// As the speakers have it.
    #[arg(long, value_name = "CLASS")]
    pub lb_class: Option<String>,
    /// As the speakers have it.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub ignore_exclude_lb: bool,
    /// How long a move may take.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
}

/// What to move.
#[derive(Clone, Debug, clap::Args)]
pub struct MoveArgs {
    /// The kind of thing.
    #[command(subcommand)]
    pub what: What,
}

/// The things that can be moved.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// The addresses of a Service.
    #[command(visible_alias = "service")]
    Svc(Svc),
}

/// A Service and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Svc {
    /// NAMESPACE/NAME; a bare name is in the namespace default.
    #[arg(value_name = "NS/NAME")]
    pub name: String,
    /// The node that is to announce it.
    #[arg(long, value_name = "NODE")]
    pub to: String,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
}

/// How to rebalance.
#[derive(Clone, Debug, clap::Args)]
pub struct RebalanceArgs {
    /// Only say which moves it would make.
    #[arg(long)]
    pub dry_run: bool,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
}

/// Moves one Service.
///
/// # Errors
/// The move cannot be, nobody can be asked, or the node did not take over in time.
pub fn run_move(args: &MoveArgs) -> anyhow::Result<Verdict> {
    let What::Svc(svc) = &args.what;
    let name = explain::parse(&svc.name)?;
    crate::cli::block_on(async {
        let source = Where::open(&svc.place).await?;
        let seen = source.look(&svc.place).await?;
        seen.refuse_suspects()?;
        let from = movable(&seen.plan, &name, &svc.to)?;
        if from.as_deref() == Some(svc.to.as_str()) {
            return output::print(&format!("{} announces {name} already\n", svc.to));
        }
        source.carry_out(&name, &svc.to, &svc.place).await?;
        let from = from.unwrap_or_else(|| "nobody".to_owned());
        output::print(&format!("{name} moved from {from} to {}\n", svc.to))
    })?;
    Ok(Verdict::Good)
}

/// Moves what is too much on one node.
///
/// # Errors
/// A node is suspect, nobody can be asked, or a node did not take over in time.
pub fn run_rebalance(args: &RebalanceArgs) -> anyhow::Result<Verdict> {
    crate::cli::block_on(async {
        let source = Where::open(&args.place).await?;
        let seen = source.look(&args.place).await?;
        if !args.dry_run {
            seen.refuse_suspects()?;
        }
        let mut text = String::new();
        for suspect in &seen.suspects {
            writeln!(text, "suspect: {suspect}")?;
        }
        for one in &seen.plan.rebalance {
            let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
            let (service, from, to) = (&one.service, &one.from, &one.to);
            if args.dry_run {
                writeln!(text, "{service} ({}): {from} → {to}", addresses.join(", "))?;
                continue;
            }
            // Each move is decided on what is there then: somebody may die in between.
            source.look(&args.place).await?.refuse_suspects()?;
            source.carry_out(service, to, &args.place).await?;
            output::print(&format!("{service} moved from {from} to {to}\n"))?;
        }
        let count = seen.plan.rebalance.len();
        match (count, args.dry_run) {
            (0, _) => writeln!(text, "no node carries more than its share")?,
            (_, true) => writeln!(text, "{count} moves; nothing was changed")?,
            (_, false) => {}
        }
        output::print(&text)
    })?;
    Ok(Verdict::Good)
}

/// Who announces a Service now, when it may go to a node; the reason when it may not.
fn movable(plan: &Plan, name: &NamespacedName, to: &str) -> anyhow::Result<Option<String>> {
    let service = plan.world.services.get(name);
    let service = service.ok_or_else(|| anyhow!("there is no Service {name}"))?;
    let address = service.object.addresses().next();
    let entry = plan.l2.iter().find(|entry| Some(entry.address) == address);
    let entry = entry.ok_or_else(|| {
        anyhow!("{name} has no address that is announced; see `harbinger explain svc {name}`")
    })?;
    if !entry.candidates.iter().any(|node| node == to) {
        let why = match entry.refusals.get(to) {
            Some(refusal) => refusal.as_str(),
            None => "there is no such Node",
        };
        bail!(
            "{to} is no candidate for {name}: {why}; nothing was moved. Candidates: {}",
            entry.candidates.join(", ")
        );
    }
    // Only what a speaker says counts as held; the plan's owner may be a wish.
    let holder = entry
        .claims
        .iter()
        .find(|claim| Some(&*claim.node) == entry.owner.as_deref());
    Ok(holder.map(|claim| claim.node.to_string()))
}

/// What was seen.
struct Seen {
    plan: Plan,
    /// Nodes that may be on their way down, each with the reason.
    suspects: Vec<String>,
}

impl Seen {
    fn refuse_suspects(&self) -> anyhow::Result<()> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        bail!(
            "nothing was moved while a node is suspect, its addresses may have to move by themselves: {}",
            self.suspects.join("; ")
        );
    }
}

enum Where {
    Cluster(Client, KubeSource),
    Folder(DirectorySource),
}

impl Where {
    async fn open(place: &Place) -> anyhow::Result<Self> {
        let Some(folder) = &place.dir else {
            let client = place.cluster.client().await?;
            let source = live::source(client.clone(), &place.namespace);
            return Ok(Self::Cluster(client, source));
        };
        let source = DirectorySource::open(DirectoryConfig {
            manifests: folder.clone(),
            state: place.state.clone(),
            namespace: place.namespace.clone(),
            secret_name: crate::cli::args::SECRET.to_owned(),
            component: "metallb-controller",
        });
        Ok(Self::Folder(source.context("the folder cannot be used")?))
    }

    fn source(&self) -> &dyn Source {
        match self {
            Self::Cluster(_, source) => source,
            Self::Folder(source) => source,
        }
    }

    async fn look(&self, place: &Place) -> anyhow::Result<Seen> {
        let world = live::watch(self.source()).await?.world;
        let (members, suspects) = match self {
            Self::Cluster(client, _) => {
                let (ready, suspects) = speakers(client, place).await?;
                (Some(ready), suspects)
            }
            // A folder tells nothing of who is alive; the speakers themselves do not move to the dead.
            Self::Folder(_) => (None, Vec::new()),
        };
        let options = plan::Options {
            namespace: place.namespace.clone(),
            lb_class: place.lb_class.clone().filter(|class| !class.is_empty()),
            ignore_exclude: place.ignore_exclude_lb,
            placement: Placement::Fair,
            members,
            derive_families: place.dir.is_some(),
            outside: None,
            traffic: None,
        };
        let plan = plan::plan(world, &options);
        Ok(Seen { plan, suspects })
    }

    /// Asks for the move, waits for the speaker's word, and takes the wish back whatever came of it.
    async fn carry_out(
        &self,
        service: &NamespacedName,
        to: &str,
        place: &Place,
    ) -> anyhow::Result<()> {
        self.annotate(service, Some(to)).await?;
        let moved = tokio::time::timeout(place.timeout, self.moved(service, to)).await;
        self.annotate(service, None).await.with_context(|| {
            format!("the annotation {MOVE_ANNOTATION} stays on {service}; take it off yourself")
        })?;
        match moved {
            Ok(result) => result,
            Err(_late) => bail!(
                "the speaker of {to} did not say within {:?} that it announces {service}; the move was taken back, see its log",
                place.timeout
            ),
        }
    }

    /// Waits until the speaker of the node says that it announces.
    async fn moved(&self, service: &NamespacedName, to: &str) -> anyhow::Result<()> {
        let mut watched = live::watch(self.source()).await?;
        let says = |world: &World| {
            let mut statuses = world.l2_statuses.iter().map(|stored| &stored.object);
            statuses.any(|s| s.service == *service && s.node == to && s.has_status)
        };
        watched.until(says).await
    }

    async fn annotate(&self, service: &NamespacedName, to: Option<&str>) -> anyhow::Result<()> {
        match self {
            Self::Cluster(client, _) => {
                let services: Api<Service> = Api::namespaced(client.clone(), &service.namespace);
                let patch = json!({"metadata": {"annotations": {(MOVE_ANNOTATION): to}}});
                services
                    .patch(
                        &service.name,
                        &PatchParams::default(),
                        &Patch::Merge(&patch),
                    )
                    .await
                    .with_context(|| format!("the Service {service} could not be annotated"))?;
            }
            Self::Folder(source) => source
                .ask_move(service, to)
                .with_context(|| format!("the state of {service} could not be written"))?,
        }
        Ok(())
    }
}

/// Nodes with a ready speaker, and what looks like one that goes.
async fn speakers(
    client: &Client,
    place: &Place,
) -> anyhow::Result<(BTreeSet<String>, Vec<String>)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &place.namespace);
    let labelled = ListParams::default().labels(&place.speakers);
    let pods = pods
        .list(&labelled)
        .await
        .context("the speakers' Pods could not be listed")?;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .context("the Nodes could not be listed")?;
    let mut ready: BTreeMap<String, bool> = BTreeMap::new();
    for pod in &pods.items {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else {
            continue;
        };
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref());
        let up = conditions
            .unwrap_or_default()
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        let up = up && pod.metadata.deletion_timestamp.is_none();
        *ready.entry(node).or_default() |= up;
    }
    if ready.is_empty() {
        bail!(
            "no speaker was found in {} by the labels {:?}; name theirs with --speakers",
            place.namespace,
            place.speakers
        );
    }
    let mut suspects: Vec<String> = ready
        .iter()
        .filter(|(_, up)| !**up)
        .map(|(node, _)| format!("the speaker of {node} is not ready"))
        .collect();
    for node in &nodes.items {
        let name = node.metadata.name.clone().unwrap_or_default();
        let conditions = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref());
        let down = conditions
            .unwrap_or_default()
            .iter()
            .any(|c| c.type_ == "Ready" && c.status != "True");
        if down && ready.contains_key(&name) {
            suspects.push(format!("the node {name} is not Ready"));
        }
    }
    let up = ready
        .into_iter()
        .filter(|(_, up)| *up)
        .map(|(node, _)| node);
    Ok((up.collect(), suspects))
}
