//! `harbinger version`: what this program is.

use serde::Serialize;

use crate::output::{self, Format, Verdict};

/// How to print it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    arch: &'static str,
    os: &'static str,
}

/// Prints it.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        arch: std::env::consts::ARCH,
        os: std::env::consts::OS,
    };
    let text = output::render(args.output, &version, || {
        format!(
            "harbinger {} {}/{}\n",
            version.version, version.os, version.arch
        )
    })?;
    output::print(&text)?;
    Ok(Verdict::Good)
}
