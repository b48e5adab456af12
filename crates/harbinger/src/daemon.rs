//! Putting a process together: sources, loops, threads, the admin server; and taking it apart again.
//!
//! ```text
//!   cluster thread (this one): watches, brains, writers, lease, admin     wire thread: sockets
//!            ▲ SIGTERM, SIGINT, or the end of any part ── Stop ──► every part
//! ```
//! If any part ends, the process ends. All errors of a stop are told.

mod admin;
mod members;
mod preflight;
mod roles;

#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin::{QUESTIONS_MAX, Question, Role};
use crate::cli;
use crate::metrics::Timings;
use crate::shutdown::{self, Errors, Stop};
use crate::telemetry::LogControl;

/// A stop takes no longer than this, whatever hangs.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Runs a controller until asked to stop.
///
/// # Errors
/// It cannot start, or a part of it ended.
pub fn controller(args: &cli::controller::Args, log: LogControl) -> anyhow::Result<()> {
    cli::block_on(async {
        let mut process = Process::new(log);
        let client = args.cluster.client().await?;
        let namespace = args.identity.namespace();
        preflight::cluster(&client, &namespace).await?;
        let seed = roles::seed(&args.identity)?;
        let source = roles::controller_source(client.clone(), args, seed)?;
        let mut config = roles::controller_config(&args.identity, &args.ml_secret_name, false);
        config.options.ip_mode = roles::ip_mode(args.outside);
        roles::controller(
            &mut process,
            config,
            roles::identity(&args.identity)?,
            seed,
            source,
        );
        admin::start(&mut process, &args.ports, Some(client), false).await?;
        process.run().await
    })
}

/// Runs a speaker until asked to stop.
///
/// # Errors
/// It cannot start, or a part of it ended.
pub fn speaker(args: &cli::speaker::Args, log: LogControl) -> anyhow::Result<()> {
    cli::block_on(async {
        preflight::sockets()?;
        let mut process = Process::new(log);
        let client = args.cluster.client().await?;
        preflight::cluster(&client, &args.identity.namespace()).await?;
        let seed = roles::seed(&args.identity)?;
        let source = roles::speaker_source(client.clone(), args, seed)?;
        let speaker = roles::SpeakerArgs {
            node: args.node_name.clone(),
            identity: &args.identity,
            announce: &args.announce,
            fronting: &args.fronting,
            members: &args.members,
        };
        roles::speaker(&mut process, &speaker, seed, source).await?;
        admin::local(&mut process, &args.node_name);
        admin::start(&mut process, &args.ports, Some(client), true).await?;
        process.run().await
    })
}

/// Runs both until asked to stop.
///
/// # Errors
/// It cannot start, or a part of it ended.
pub fn both(args: &cli::run::Args, log: LogControl) -> anyhow::Result<()> {
    cli::block_on(async {
        preflight::sockets()?;
        let mut process = Process::new(log);
        let node = args.node()?;
        let seed = roles::seed(&args.identity)?;
        let (controller, speaker, client) = roles::sources(args, seed).await?;
        let derive = args.dir.is_some();
        let mut config =
            roles::controller_config(&args.identity, &args.members.ml_secret_name, derive);
        config.options.ip_mode = roles::ip_mode(args.fronting.outside);
        let identity = format!("{node}-{}", std::process::id());
        roles::controller(&mut process, config, identity, seed, controller);
        let speaking = roles::SpeakerArgs {
            node,
            identity: &args.identity,
            announce: &args.announce,
            fronting: &args.fronting,
            members: &args.members,
        };
        roles::speaker(&mut process, &speaking, seed, speaker).await?;
        admin::local(&mut process, &speaking.node);
        admin::start(&mut process, &args.ports, client, true).await?;
        process.run().await
    })
}

/// The parts of this process while it is put together and while it runs.
struct Process {
    stop: Stop,
    parts: JoinSet<anyhow::Result<()>>,
    roles: Vec<Role>,
    timings: Timings,
    log: LogControl,
    /// How long a stop may take beside [`STOP_MAX`], because a part of it is meant to.
    patience: Duration,
}

/// The two ends that a role's loop has to the admin server.
struct Ends {
    ready: watch::Sender<bool>,
    questions: mpsc::Receiver<Question>,
}

impl Process {
    fn new(log: LogControl) -> Self {
        Self {
            stop: Stop::default(),
            parts: JoinSet::new(),
            roles: Vec::new(),
            timings: Timings::default(),
            log,
            patience: Duration::ZERO,
        }
    }

    /// A stop may take this much longer.
    fn patience(&mut self, more: Duration) {
        self.patience += more;
    }

    /// Makes a role known to the admin server.
    fn role(&mut self, name: &'static str) -> Ends {
        let (ready, receiver) = watch::channel(false);
        let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
        self.roles.push(Role {
            name,
            ready: receiver,
            questions: sender,
        });
        Ends { ready, questions }
    }

    /// Starts a part, whose end is the end of all.
    fn part(
        &mut self,
        what: &'static str,
        run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.parts.spawn(shutdown::part(stop, what, run));
    }

    /// Runs until all parts have ended.
    async fn run(mut self) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let patience = STOP_MAX + self.patience;
        self.part("signals", shutdown::signals(stop.clone()));
        tracing::info!(
            event = "started",
            version = env!("CARGO_PKG_VERSION"),
            pid = std::process::id(),
            "harbinger is running"
        );
        let mut errors = Errors::default();
        let all = async {
            while let Some(ended) = self.parts.join_next().await {
                match ended {
                    Ok(result) => errors.note("", result),
                    Err(error) => errors.note("a part", Err(anyhow!(error))),
                }
            }
        };
        let late = async {
            stop.wait().await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            () = all => {}
            () = late => tracing::warn!(event = "stopping", "some parts did not stop in time"),
        }
        tracing::info!(event = "stopped", "harbinger has stopped");
        errors.finish()
    }
}
