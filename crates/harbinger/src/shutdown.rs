//! Stopping: one signal that every task sees, and the collected errors of all of them.
//!
//! ```text
//!   SIGTERM/SIGINT ─┐
//!   a task ended   ─┼─► Stop (watch<bool>) ──► every task, the wire thread
//!   a caller       ─┘
//! ```
//! If any task ends, the process ends: nothing may limp on without one of its parts.

#[cfg(test)]
mod tests;

use std::future::Future;

use anyhow::anyhow;
use tokio::sync::watch;

/// The wish to stop, shared by all tasks of a process. Clones are one wish.
#[derive(Clone, Debug)]
pub struct Stop {
    sender: watch::Sender<bool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            sender: watch::Sender::new(false),
        }
    }
}

impl Stop {
    /// Everybody is to stop. Saying it again changes nothing.
    pub fn request(&self) {
        self.sender.send_replace(true);
    }

    /// Whether it was said.
    pub fn requested(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until it is said. Cancel safe.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender is alive in `self`, so the only answer is that the value came.
        let _alive = receiver.wait_for(|stop| *stop).await;
    }
}

/// The errors of a stop; all are told, none hides another.
#[derive(Debug, Default)]
pub struct Errors(Vec<anyhow::Error>);

impl Errors {
    /// Notes how a part ended.
    pub fn note(&mut self, what: &str, result: anyhow::Result<()>) {
        if let Err(error) = result {
            let error = if what.is_empty() {
                error
            } else {
                error.context(what.to_owned())
            };
            self.0.push(error);
        }
    }

    /// One error that names all, or nothing.
    ///
    /// # Errors
    /// Any error was noted.
    pub fn finish(self) -> anyhow::Result<()> {
        let mut texts: Vec<String> = self.0.iter().map(crate::cli::message).collect();
        match texts.len() {
            0 => Ok(()),
            1 => Err(anyhow!(texts.remove(0))),
            _ => Err(anyhow!(texts.join("\n"))),
        }
    }
}

/// Runs one part of the process. When it ends, for whatever reason, everybody is told to stop; an end that
/// nobody asked for is an error.
pub async fn part(
    stop: Stop,
    what: &'static str,
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let result = run.await;
    let asked = stop.requested();
    stop.request();
    match result {
        Ok(()) if !asked => Err(anyhow!("{what} ended although nobody asked it to")),
        other => other.map_err(|error| error.context(what)),
    }
}

/// Turns SIGTERM and SIGINT into the wish to stop; returns after the first, or when somebody else asked.
///
/// # Errors
/// The handlers cannot be installed.
pub async fn signals(stop: Stop) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = stop.wait() => return Ok(()),
    };
    tracing::info!(event = "stopping", signal = name, "asked to stop");
    stop.request();
    Ok(())
}
