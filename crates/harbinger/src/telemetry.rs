//! Logs: one line per event on standard error, JSON or text, level changeable while running.
//!
//! The JSON keys are MetalLB's (`level`, `ts`, `caller`, `msg`), so that its log queries go on working. Owns
//! the subscriber and the handle that changes its level; what is worth a line is decided where it happens.

mod format;

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

pub use format::Json;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person.
    Text,
}

/// MetalLB's levels: `all` is `debug`, `none` is silence. A filter of directives
/// (`info,harbinger=debug`) is taken too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

/// Libraries whose chatter is not wanted below `warn`, whatever the level.
const QUIET: &str =
    "hyper=warn,hyper_util=warn,rustls=warn,h2=warn,tower=warn,kube_client=warn,kube_runtime=warn";

/// Longest filter text that is taken, bytes: it may come over the admin port.
const LEVEL_BYTES_MAX: usize = 256;

impl FromStr for Level {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() || text.len() > LEVEL_BYTES_MAX {
            return Err(anyhow!("one of all, debug, info, warn, error, none"));
        }
        let filter = match text {
            "all" => format!("trace,{QUIET}"),
            "none" => "off".to_owned(),
            "debug" | "info" | "warn" | "error" | "trace" => format!("{text},{QUIET}"),
            directives if directives.contains('=') || directives.contains(',') => {
                directives.to_owned()
            }
            _ => return Err(anyhow!("one of all, debug, info, warn, error, none")),
        };
        Targets::from_str(&filter).map_err(|error| anyhow!("no log filter: {error}"))?;
        Ok(Self(filter))
    }
}

impl Level {
    /// By target and level alone: filters by the fields of spans bring a compiler of regular expressions with them.
    fn filter(&self) -> Targets {
        // It was parsed before; silence is what is left of what cannot be.
        self.0.parse().unwrap_or_default()
    }

    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Changes the level of a running process.
#[derive(Clone)]
pub struct LogControl {
    handle: reload::Handle<Targets, Registry>,
}

impl LogControl {
    /// Applies a new level at once.
    ///
    /// # Errors
    /// The subscriber is gone; the old level stays.
    pub fn set(&self, level: &Level) -> anyhow::Result<()> {
        self.handle
            .reload(level.filter())
            .context("the log level could not be changed")
    }

    /// A control that is attached to nothing but remembers its filter; for admin servers in tests.
    pub fn detached() -> (Self, reload::Layer<Targets, Registry>) {
        let (layer, handle) = reload::Layer::new(Targets::new().with_default(tracing::Level::INFO));
        (Self { handle }, layer)
    }
}

/// Installs the process's subscriber.
///
/// # Errors
/// One is installed already.
pub fn install(level: &Level, format: Option<LogFormat>) -> anyhow::Result<LogControl> {
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let (filter, handle) = reload::Layer::new(level.filter());
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => registry
            .with(fmt::layer().event_format(Json).with_writer(std::io::stderr))
            .try_init(),
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none())
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    }
    .context("logging is set up once per process")?;
    Ok(LogControl { handle })
}
