//! `harbinger drain node NAME`: new connections stop, established ones are counted until none is left.
//!
//! The wish is the annotation `harbinger.dev/maintenance` on the Node: fronts send nothing new there, what the node announces
//! goes to others, and its routers are told. How many connections are left the front on this host says, by its local socket;
//! this verb counts nothing itself.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::Context;
use engine::world::MAINTENANCE_ANNOTATION;
use hyper::Method;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::admin::local;
use crate::cli::args::{Kubeconfig, duration};
use crate::output::{self, Verdict};
use crate::speaker::forward::words::Shown;

/// Between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Longest wait for one answer of the front.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What to drain.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The kind of thing.
    #[command(subcommand)]
    pub what: What,
}

/// The things that can be drained.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// A node.
    Node(NodeArgs),
}

/// Which node, and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Take it back: connections may go there again.
    #[arg(long, conflicts_with = "wait")]
    pub undo: bool,
    /// Wait until no established connection is left, as the front on this host counts them.
    #[arg(long)]
    pub wait: bool,
    /// The longest wait; what is left then is told, and the answer is bad news.
    #[arg(long, default_value = "300s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// The front to ask, where several run on one host.
    #[arg(long, value_name = "NODE")]
    pub front: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Kubeconfig,
}

/// Drains; bad news when connections are left at the end of the wait.
///
/// # Errors
/// The Node cannot be annotated, or no front answers.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let What::Node(args) = &args.what;
    crate::cli::block_on(async {
        annotate(args).await?;
        if args.undo {
            output::print(&format!("{} gets new connections again\n", args.name))?;
            return Ok(Verdict::Good);
        }
        output::print(&format!("{} gets no new connection\n", args.name))?;
        match args.wait {
            true => wait(args).await,
            false => Ok(Verdict::Good),
        }
    })
}

async fn annotate(args: &NodeArgs) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(args.cluster.client().await?);
    let value = (!args.undo).then_some("true");
    let patch = json!({"metadata": {"annotations": {(MAINTENANCE_ANNOTATION): value}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let asked = nodes.patch(&args.name, &params, &patch).await;
    asked.with_context(|| format!("the Node {} could not be annotated", args.name))?;
    Ok(())
}

async fn wait(args: &NodeArgs) -> anyhow::Result<Verdict> {
    let end = Instant::now() + args.timeout;
    let mut told = None;
    loop {
        let left = left(&ask(args).await?, &args.name);
        if told != Some(left) {
            output::print(&format!("{}\n", left.text()))?;
            told = Some(left);
        }
        if left.is_over() {
            return Ok(Verdict::Good);
        }
        if Instant::now() >= end {
            output::print(&format!("not empty after {:?}\n", args.timeout))?;
            return Ok(Verdict::Bad);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ask(args: &NodeArgs) -> anyhow::Result<Shown> {
    let asked = local::request(args.front.as_deref(), Method::GET, "/debug/front");
    let answer = tokio::time::timeout(ANSWER_MAX, asked).await;
    let body = answer.context("the front does not answer")?.context(
        "established connections are counted on the front: run this where a speaker fronts, or without --wait",
    )?;
    serde_json::from_slice(&body).context("the front's answer")
}

/// What is left of a node, as a front sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The front has not taken the node out yet.
    Used,
    /// Nothing leads there from this front.
    Nothing,
    /// So many established connections.
    Connections(u64),
}

impl Left {
    fn text(self) -> String {
        match self {
            Self::Used => "the front still sends new connections there".to_owned(),
            Self::Nothing => "nothing leads there from this front".to_owned(),
            Self::Connections(1) => "1 established connection".to_owned(),
            Self::Connections(count) => format!("{count} established connections"),
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Nothing | Self::Connections(0))
    }
}

fn left(shown: &Shown, node: &str) -> Left {
    let targets = || shown.ports.iter().flat_map(|port| &port.targets);
    let of_node = || targets().filter(|target| target.node == node);
    if of_node().any(|target| target.up) {
        return Left::Used;
    }
    if of_node().next().is_none() {
        return Left::Nothing;
    }
    let drains = shown.draining.iter();
    let own = drains.filter(|line| of_node().any(|target| target.address == line.address));
    // What was drained to the end, or cannot be counted, is gone.
    Left::Connections(own.filter_map(|line| line.connections).sum())
}
