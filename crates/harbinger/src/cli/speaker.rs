//! `harbinger speaker`: announces addresses from this node.

use crate::cli::args::{
    Announce, Fronting, Identity, Kubeconfig, Logs, Members, Ports, tell_notes,
};
use crate::cli::metallb::{SharedFlags, SpeakerFlags};
use crate::output::Verdict;

/// What MetalLB's speaker takes, and ours.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Name of this node, as the Node object has it.
    #[arg(long, env = "METALLB_NODE_NAME", value_name = "NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub node_name: String,
    /// Who we are.
    #[command(flatten)]
    pub identity: Identity,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Kubeconfig,
    /// Logs.
    #[command(flatten)]
    pub logs: Logs,
    /// Ports.
    #[command(flatten)]
    pub ports: Ports,
    /// Announcing.
    #[command(flatten)]
    pub announce: Announce,
    /// Fronting.
    #[command(flatten)]
    pub fronting: Fronting,
    /// Membership.
    #[command(flatten)]
    pub members: Members,
    /// Flags without effect.
    #[command(flatten)]
    pub shared: SharedFlags,
    /// Flags without effect.
    #[command(flatten)]
    pub ignored: SpeakerFlags,
}

/// Runs until asked to stop.
///
/// # Errors
/// It cannot start, or a part of it ended.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let log = args.logs.install()?;
    let mut notes = args.shared.notes();
    notes.extend(args.ignored.notes());
    tell_notes(notes)?;
    crate::daemon::speaker(args, log)?;
    Ok(Verdict::Good)
}
