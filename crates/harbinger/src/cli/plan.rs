//! `harbinger plan PATH…`: what would be assigned and announced, from manifests alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use engine::elect::Placement;
use engine::world::World;

use crate::cli::args::{NAMESPACE, PlacementArg, TrafficArg};
use crate::cli::metallb::go_bool;
use crate::output::{self, Format, Verdict};
use crate::plan::{self, Report};

/// What to plan for.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files, folders (read recursively) or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The namespace whose metallb.io objects count.
    #[arg(long, env = "METALLB_NAMESPACE", default_value = NAMESPACE)]
    pub namespace: String,
    /// Nodes that are alive, comma-separated; else every Node of the input.
    #[arg(long, value_delimiter = ',', value_name = "NODE,…")]
    pub members: Option<Vec<String>>,
    /// Serve the Services of this loadBalancerClass; without it, those that have none.
    #[arg(long, value_name = "CLASS")]
    pub lb_class: Option<String>,
    /// Announce also from nodes labelled node.kubernetes.io/exclude-from-external-load-balancers.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub ignore_exclude_lb: bool,
    /// Which of several nodes answers for an address.
    #[arg(long, value_enum, default_value_t)]
    pub placement: PlacementArg,
    /// Plan for a machine of this name that fronts the cluster from outside.
    #[arg(long, value_name = "NAME")]
    pub outside: Option<String>,
    /// Who takes the packets of Services without the annotation harbinger.dev/traffic.
    #[arg(long, value_enum)]
    pub traffic: Option<TrafficArg>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

impl From<PlacementArg> for Placement {
    fn from(placement: PlacementArg) -> Self {
        match placement {
            PlacementArg::Fair => Self::Fair,
            PlacementArg::Metallb => Self::MetalLb,
        }
    }
}

/// An answer ready to print.
#[derive(Clone, Debug)]
pub struct Answer {
    /// In the form asked for.
    pub text: String,
    /// Its meaning.
    pub verdict: Verdict,
}

/// Prints the plan.
///
/// # Errors
/// A path cannot be read, or nothing in it could be.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let answer = answer(args)?;
    output::print(&answer.text)?;
    Ok(answer.verdict)
}

/// Makes the plan, for the verb and for tests.
///
/// # Errors
/// As [`run`].
pub fn answer(args: &Args) -> anyhow::Result<Answer> {
    let (world, skipped) = read(&args.paths, &args.namespace)?;
    let options = plan::Options {
        namespace: args.namespace.clone(),
        lb_class: args.lb_class.clone().filter(|class| !class.is_empty()),
        ignore_exclude: args.ignore_exclude_lb,
        placement: args.placement.into(),
        members: args.members.as_ref().map(|names| {
            let names = names.iter().map(|name| name.trim());
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        }),
        derive_families: true,
        outside: args.outside.clone(),
        traffic: args.traffic.map(Into::into),
    };
    let plan = plan::plan(world, &options);
    let report = Report::new(&plan);
    let text = output::render(args.output, &report, || {
        let mut text = report.text();
        for (kind, count) in &skipped {
            let _infallible = writeln!(text, "  skipped: {count} × {kind}");
        }
        text
    })?;
    Ok(Answer {
        text,
        verdict: Verdict::bad_if(plan.bad_news()),
    })
}

/// Reads manifests into a world, and counts what is not understood.
///
/// # Errors
/// A path cannot be read, or everything in all of them is broken.
pub fn read(
    paths: &[PathBuf],
    namespace: &str,
) -> anyhow::Result<(World, BTreeMap<String, usize>)> {
    let manifests = cluster::read_manifests(paths, namespace)?;
    let mut world = World::default();
    for change in manifests.changes {
        world.apply(change);
    }
    let broken: Vec<String> = manifests
        .problems
        .iter()
        .filter(|problem| problem.kind == "File")
        .map(|problem| {
            let place = problem.source.as_deref().unwrap_or(&problem.object.name);
            format!("{place}: {}", problem.message)
        })
        .collect();
    if !broken.is_empty() && nothing(&world) && manifests.skipped.is_empty() {
        bail!("nothing could be read\n{}", broken.join("\n"));
    }
    Ok((world, manifests.skipped))
}

fn nothing(world: &World) -> bool {
    world.services.is_empty()
        && world.pools.is_empty()
        && world.nodes.is_empty()
        && world.l2_advertisements.is_empty()
        && world.endpoint_slices.is_empty()
        && world.namespaces.is_empty()
        && world.config_maps.is_empty()
        && world.secrets.is_empty()
        && world.problems().all(|problem| problem.kind == "File")
}
