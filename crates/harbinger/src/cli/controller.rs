//! `harbinger controller`: allocates addresses and writes statuses; several replicas, one leader.

use crate::cli::args::{Identity, Kubeconfig, Lease, Logs, Ports, tell_notes};
use crate::cli::metallb::{self, ControllerFlags, SharedFlags, go_bool};
use crate::output::Verdict;

/// What MetalLB's controller takes, and ours.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
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
    /// The speakers are machines outside the cluster that front its NodePorts: statuses say ipMode Proxy.
    #[arg(long, value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub outside: bool,
    /// Name of the Secret with the membership key, created when absent; empty: none is created.
    #[arg(
        long,
        env = "METALLB_ML_SECRET_NAME",
        default_value = "",
        value_name = "NAME"
    )]
    pub ml_secret_name: String,
    /// Name of our Deployment; MetalLB makes it the owner of that Secret, here nothing owns it.
    #[arg(
        long,
        env = "METALLB_DEPLOYMENT",
        default_value = "",
        value_name = "NAME"
    )]
    pub deployment: String,
    /// enabled or disabled mean the same here: there is no webhook.
    #[arg(long, value_name = "MODE")]
    pub webhook_mode: Option<String>,
    /// Flags without effect.
    #[command(flatten)]
    pub shared: SharedFlags,
    /// Flags without effect.
    #[command(flatten)]
    pub ignored: ControllerFlags,
}

impl Args {
    /// What to tell about flags that do nothing.
    ///
    /// # Errors
    /// One asks for something that cannot be.
    pub fn notes(&self) -> anyhow::Result<Vec<String>> {
        let mut notes = self.shared.notes();
        notes.extend(self.ignored.notes());
        notes.extend(metallb::webhook_mode(self.webhook_mode.as_deref())?);
        Ok(notes)
    }
}

/// Runs until asked to stop.
///
/// # Errors
/// It cannot start, or a part of it ended.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let log = args.logs.install()?;
    tell_notes(args.notes()?)?;
    crate::daemon::controller(args, log)?;
    Ok(Verdict::Good)
}
