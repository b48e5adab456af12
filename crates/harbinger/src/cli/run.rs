//! `harbinger run`: controller and speaker in one process, on a cluster or on a folder of manifests.

use std::path::PathBuf;

use anyhow::bail;

use crate::cli::args::{
    Announce, Fronting, Identity, Kubeconfig, Lease, Logs, Members, Ports, tell_notes,
};
use crate::output::Verdict;

/// Both roles.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder of manifests instead of a cluster, watched for changes.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["kubeconfig", "context"])]
    pub dir: Option<PathBuf>,
    /// Where statuses and events are written [default: .harbinger in the folder of manifests].
    #[arg(long, value_name = "FOLDER", requires = "dir")]
    pub state: Option<PathBuf>,
    /// Name of this node, as the Node object has it [default: the host name].
    #[arg(long, env = "METALLB_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
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
    /// Leader election.
    #[command(flatten)]
    pub lease: Lease,
    /// Announcing.
    #[command(flatten)]
    pub announce: Announce,
    /// Fronting.
    #[command(flatten)]
    pub fronting: Fronting,
    /// Membership.
    #[command(flatten)]
    pub members: Members,
}

impl Args {
    /// The node's name.
    ///
    /// # Errors
    /// None is given and the host has none.
    pub fn node(&self) -> anyhow::Result<String> {
        if let Some(name) = self.node_name.as_ref().filter(|name| !name.is_empty()) {
            return Ok(name.clone());
        }
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        match name.trim() {
            "" => bail!("this host has no name; give one with --node-name"),
            name => Ok(name.to_owned()),
        }
    }
}

/// Runs until asked to stop.
///
/// # Errors
/// It cannot start, or a part of it ended.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let log = args.logs.install()?;
    tell_notes(Vec::new())?;
    crate::daemon::both(args, log)?;
    Ok(Verdict::Good)
}
