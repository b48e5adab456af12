//! `harbinger explain svc NS/NAME`: why there is no address, who may announce it, who refuses and why.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use engine::name::NamespacedName;
use hyper::Method;

use crate::admin::{HEALTH_PATH, local};
use crate::cli::args::{Kubeconfig, NAMESPACE, PlacementArg};
use crate::cli::metallb::go_bool;
use crate::cli::{live, plan as planning};
use crate::explain::{self, Explanation, Origin, Seen};
use crate::output::{self, Format, Verdict};
use crate::plan;

/// Longest wait for what the speaker on this host adds.
const SPEAKER_TIME_MAX: Duration = Duration::from_secs(2);

/// What to explain.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The kind of thing.
    #[command(subcommand)]
    pub what: What,
}

/// The things that can be explained.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// A Service.
    #[command(visible_alias = "service")]
    Svc(Svc),
}

/// A Service and where to look.
#[derive(Clone, Debug, clap::Args)]
pub struct Svc {
    /// NAMESPACE/NAME; a bare name is in the namespace default.
    #[arg(value_name = "NS/NAME")]
    pub name: String,
    /// Manifests to look at instead of a cluster: files, folders or -.
    #[arg(long = "dir", value_name = "PATH", num_args = 1.., conflicts_with_all = ["kubeconfig", "context"])]
    pub paths: Vec<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Kubeconfig,
    /// The namespace whose metallb.io objects count.
    #[arg(long, env = "METALLB_NAMESPACE", default_value = NAMESPACE)]
    pub namespace: String,
    /// Serve the Services of this loadBalancerClass; without it, those that have none.
    #[arg(long, value_name = "CLASS")]
    pub lb_class: Option<String>,
    /// As the speakers have it.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub ignore_exclude_lb: bool,
    /// As the speakers have it.
    #[arg(long, value_enum, default_value_t)]
    pub placement: PlacementArg,
    /// Nodes that are alive, comma-separated; else every Node there is.
    #[arg(long, value_delimiter = ',', value_name = "NODE,…")]
    pub members: Option<Vec<String>>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Prints the explanation.
///
/// # Errors
/// No such Service, no cluster, unreadable manifests.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let What::Svc(svc) = &args.what;
    let explanation = answer(svc)?;
    let text = output::render(svc.output, &explanation, || explanation.text())?;
    output::print(&text)?;
    Ok(Verdict::bad_if(explanation.broken.is_some()))
}

/// The explanation, for the verb and for tests.
///
/// # Errors
/// As [`run`].
pub fn answer(args: &Svc) -> anyhow::Result<Explanation> {
    let name = parse(&args.name)?;
    let (world, origin) = if args.paths.is_empty() {
        let world = crate::cli::block_on(live::world(&args.cluster, &args.namespace))?;
        (world, Origin::Cluster)
    } else {
        let (world, _) = planning::read(&args.paths, &args.namespace)?;
        (world, Origin::Manifests)
    };
    let options = plan::Options {
        namespace: args.namespace.clone(),
        lb_class: args.lb_class.clone().filter(|class| !class.is_empty()),
        ignore_exclude: args.ignore_exclude_lb,
        placement: args.placement.into(),
        members: args
            .members
            .clone()
            .map(|names| names.into_iter().collect()),
        derive_families: origin == Origin::Manifests,
        outside: None,
        traffic: None,
    };
    let plan = plan::plan(world.clone(), &options);
    let seen = match origin {
        Origin::Cluster => crate::cli::block_on(seen())?,
        Origin::Manifests => Seen::default(),
    };
    explain::explain(&world, &plan, &name, origin, &seen)
        .ok_or_else(|| anyhow!("there is no Service {name}"))
}

/// What the speaker on this host says of fronting and health; on a laptop there is none.
async fn seen() -> anyhow::Result<Seen> {
    let ask = async |path| {
        let asked = local::request(None, Method::GET, path);
        tokio::time::timeout(SPEAKER_TIME_MAX, asked)
            .await
            .ok()?
            .ok()
    };
    Ok(Seen {
        front: ask("/debug/front")
            .await
            .and_then(|body| serde_json::from_slice(&body).ok()),
        health: ask(HEALTH_PATH)
            .await
            .and_then(|body| serde_json::from_slice(&body).ok()),
    })
}

/// `NAMESPACE/NAME`; a bare name is in the namespace default.
///
/// # Errors
/// Another form.
pub(super) fn parse(text: &str) -> anyhow::Result<NamespacedName> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        bail!("{text:?} is not of the form NAMESPACE/NAME");
    }
    Ok(NamespacedName::new(namespace, name))
}
