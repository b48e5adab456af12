//! `harbinger crds`: the CustomResourceDefinitions on standard output, or put into a cluster.
//!
//! `--apply` puts ours over whatever is there (MetalLB's, however it was installed) and removes nothing but
//! the conversion webhook. It never deletes a definition: that would delete every object of it.

mod apply;

use crate::cli::args::Kubeconfig;
use crate::output::{self, Verdict};

/// Print, or apply.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Install them in the cluster instead of printing them.
    #[arg(long)]
    pub apply: bool,
    /// With --apply: also remove MetalLB's `metallb-webhook-configuration`, which blocks every edit of a
    /// pool once MetalLB's controller is gone.
    #[arg(long, requires = "apply")]
    pub remove_webhook: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Kubeconfig,
}

/// Prints or applies.
///
/// # Errors
/// No cluster, no permission, or a definition that the server refuses.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    if !args.apply {
        output::print(&api::crds_yaml())?;
        return Ok(Verdict::Good);
    }
    let report = crate::cli::block_on(async {
        let client = args.cluster.client().await?;
        apply::apply(client, args.remove_webhook).await
    })?;
    output::print(&report)?;
    Ok(Verdict::Good)
}
