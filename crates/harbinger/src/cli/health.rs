//! `harbinger health [NODE]`: which nodes may get new connections, as a running speaker sees them.
//!
//! Asks the speaker on this host by its local socket; it probes nothing itself.

use anyhow::{Context, bail};
use hyper::Method;

use crate::admin::local;
use crate::output::{self, Format, Verdict};
use crate::speaker::health::{Shown, words};

/// About whom, and whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this node, with its last changes.
    #[arg(value_name = "NODE")]
    pub of: Option<String>,
    /// The speaker of this node, where several run on one host.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Asks and prints; bad news when a node is suspect or unhealthy.
///
/// # Errors
/// Nobody answers there, or there is no such node.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let path = crate::admin::HEALTH_PATH;
    let asked = local::request(args.node.as_deref(), Method::GET, path);
    let body = super::block_on(asked)?;
    let shown: Shown = serde_json::from_slice(&body).context("what the speaker answers")?;
    if let Some(of) = &args.of
        && !shown.nodes.iter().any(|row| row.node == *of)
    {
        bail!("{} knows no node {of:?}", shown.node);
    }
    let text = output::render(args.output, &shown, || {
        words::text(&shown, args.of.as_deref())
    })?;
    output::print(&text)?;
    let bad = |state: &str| matches!(state, "unhealthy" | "suspect");
    Ok(Verdict::bad_if(
        shown.nodes.iter().any(|row| bad(&row.state)),
    ))
}
