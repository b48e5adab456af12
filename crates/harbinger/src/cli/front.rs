//! `harbinger front`: the forward table of the speaker that runs here, in words.
//!
//! Asks it over its local socket ([`crate::admin::local`]); it opens nothing in the kernel itself.

use std::time::Duration;

use anyhow::Context;
use hyper::Method;

use crate::admin::local;
use crate::output::{self, Format, Verdict};
use crate::speaker::forward::words::{self, Shown};

/// Longest wait for the speaker's answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The speaker of this node, where several run on one host.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Asks and prints; bad news when the kernel does not have what is wanted.
///
/// # Errors
/// No speaker answers.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let body = crate::cli::block_on(async {
        let asked = local::request(args.node.as_deref(), Method::GET, "/debug/front");
        let answer = tokio::time::timeout(ANSWER_MAX, asked).await;
        answer.context("the speaker does not answer")?
    })?;
    let shown: Shown = serde_json::from_slice(&body).context("the speaker's answer")?;
    let text = output::render(args.output, &shown, || words::text(&shown))?;
    output::print(&text)?;
    Ok(Verdict::bad_if(shown.failing.is_some()))
}
