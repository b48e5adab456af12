//! `harbinger check`: is this host fit for what exists now, and what to do where it is not.
//!
//! Looks, never changes. What is looked at is in [`Host`], what it means in `findings`; so every finding can be
//! had in a test without the host that has it.

mod findings;
mod host;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::args::MEMBERS_PORT;
use crate::output::{self, Format, Verdict};

pub use findings::findings;
pub use host::Host;

/// What to look for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Port of /metrics to look at; 0: none.
    #[arg(long, default_value_t = 9120)]
    pub port: u16,
    /// Port of the membership to look at; 0: none.
    #[arg(long, default_value_t = MEMBERS_PORT)]
    pub ml_bindport: u16,
    /// Port of /healthz to look at; 0: none.
    #[arg(long, default_value_t = 17472)]
    pub health_probe_port: u16,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but may not do what you want.
    Warning,
    /// Something will not work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was looked at.
    pub subject: &'static str,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub mend: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    findings: &'a [Finding],
}

/// Looks at this host.
///
/// # Errors
/// The host cannot be looked at (`/proc` is not mounted).
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    let ports = [
        (host::METRICS, args.port),
        (host::MEMBERS, args.ml_bindport),
        (host::HEALTH, args.health_probe_port),
    ];
    let host = crate::cli::block_on(Host::look(&ports))?;
    let findings = findings(&host);
    let answer = Answer {
        api_version: "harbinger.dev/check/v1",
        findings: &findings,
    };
    output::print(&output::render(args.output, &answer, || text(&findings))?)?;
    Ok(Verdict::bad_if(
        findings.iter().any(|finding| finding.level == Level::Error),
    ))
}

fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => "ok     ",
            Level::Warning => "warning",
            Level::Error => "ERROR  ",
        };
        let _infallible = writeln!(out, "{mark}  {}: {}", finding.subject, finding.seen);
        if let Some(mend) = &finding.mend {
            let _infallible = writeln!(out, "         → {mend}");
        }
    }
    out
}
