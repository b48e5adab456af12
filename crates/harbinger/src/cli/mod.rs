//! The command line: one file per verb, and what all verbs share.
//!
//! Owns parsing, the choice of the verb and the exit status: 0 all well, 1 the answer is bad news, 2 the
//! question could not be answered. What a verb does is in its file; what it decides is the engine's.

pub mod args;
pub mod bgp;
pub mod check;
pub mod completions;
pub mod controller;
pub mod crds;
pub mod drain;
pub mod explain;
pub mod front;
pub mod health;
mod live;
pub mod metallb;
pub mod moving;
pub mod plan;
pub mod run;
pub mod speaker;
pub mod version;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::Verdict;

/// A load balancer for Kubernetes without a cloud.
#[derive(Debug, Parser)]
#[command(name = "harbinger", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Allocate addresses and write statuses; several replicas, one leader.
    Controller(Box<controller::Args>),
    /// Announce addresses from this node.
    Speaker(Box<speaker::Args>),
    /// Both in one process, on a cluster or on a folder of manifests.
    Run(Box<run::Args>),
    /// Say what would be assigned and announced, from manifests alone.
    Plan(plan::Args),
    /// Walk the path of a Service and name the first broken hop.
    Explain(explain::Args),
    /// Say which nodes may get new connections as a running speaker sees them, and why.
    Health(health::Args),
    /// Move what a Service announces to a named node, make before break.
    Move(moving::MoveArgs),
    /// Make the fewest moves after which no node carries more than its share.
    Rebalance(moving::RebalanceArgs),
    /// Send a node no new connection, and wait until the established ones are gone.
    Drain(Box<drain::Args>),
    /// Show the sessions of this node with its routers and what they were told; reset one.
    Bgp(bgp::Args),
    /// Say what a running speaker has the kernel do with packets for the addresses it holds.
    Front(front::Args),
    /// Say whether this host is fit, and what to do where it is not.
    Check(check::Args),
    /// Print the CustomResourceDefinitions, or install them over whatever is there.
    Crds(crds::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the version.
    Version(version::Args),
}

/// The whole definition, for completions and the reference page.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program: parses, does, prints the one message of a failure.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(metallb::normalise(arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows whether it is help (0, standard output) or usage (2, standard error).
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _nobody_left_to_tell = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            eprintln!("harbinger: {}", message(&error));
            ExitCode::from(2)
        }
    }
}

/// Does what was parsed.
///
/// # Errors
/// The question could not be answered; the text is the one message with its mend.
pub fn run(cli: Cli) -> anyhow::Result<Verdict> {
    match cli.verb {
        Verb::Controller(args) => controller::run(&args),
        Verb::Speaker(args) => speaker::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Health(args) => health::run(&args),
        Verb::Move(args) => moving::run_move(&args),
        Verb::Rebalance(args) => moving::run_rebalance(&args),
        Verb::Drain(args) => drain::run(&args),
        Verb::Bgp(args) => bgp::run(&args),
        Verb::Front(args) => front::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Crds(args) => crds::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Version(args) => version::run(&args),
    }
}

/// The one message of a failure: every cause, but none twice (many errors already show their source).
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A runtime for one question.
///
/// # Errors
/// What the question's own answer is, or no runtime can be made.
pub(crate) fn block_on<T>(question: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    crypto();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(question)
}

/// The process's one TLS provider; asking twice changes nothing.
pub(crate) fn crypto() {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}
