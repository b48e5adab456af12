//! `harbinger bgp`: the sessions of this node with its routers, and what they were told.
//!
//! Asks the speaker that runs here ([`crate::admin::local`]). Owns the tables: the columns of a router's "show bgp
//! summary" and "show advertised-routes".

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use hyper::Method;

use crate::admin::bgp::{PATH, RESET_PATH, Session, Sessions};
use crate::admin::local;
use crate::output::{self, Format, Verdict};

/// Longest wait for the speaker's answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What to show or do; without a command, the sessions.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Something else than a look at the sessions.
    #[command(subcommand)]
    pub what: Option<What>,
    /// Where to look.
    #[command(flatten)]
    pub look: Look,
}

/// What else there is.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// What each router was told.
    Routes(Routes),
    /// End a session and begin it anew; with --soft, keep it and send everything again.
    Reset(Reset),
}

/// Where to look, and the form.
#[derive(Clone, Debug, clap::Args)]
pub struct Look {
    /// The speaker of this node, where several run on one host.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Whose routes.
#[derive(Clone, Debug, clap::Args)]
pub struct Routes {
    /// Name of the BGPPeer; else all.
    pub peer: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub look: Look,
}

/// Which session.
#[derive(Clone, Debug, clap::Args)]
pub struct Reset {
    /// Name of the BGPPeer.
    pub peer: String,
    /// The session stays, and everything is sent again.
    #[arg(long)]
    pub soft: bool,
    /// The speaker of this node, where several run on one host.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

/// Asks and prints. Bad news: a session is not established.
///
/// # Errors
/// No speaker answers, or there is no such peer.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    match &args.what {
        None => {
            let all = sessions(&args.look, PATH)?;
            output::print(&output::render(args.look.output, &all, || summary(&all))?)?;
            let down = |session: &Session| session.uptime_seconds.is_none() && !session.leaving;
            Ok(Verdict::bad_if(all.sessions.iter().any(down)))
        }
        Some(What::Routes(routes)) => {
            let mut path = format!("{PATH}?routes=true");
            if let Some(peer) = &routes.peer {
                path = format!("{path}&peer={}", name(peer)?);
            }
            let all = sessions(&routes.look, &path)?;
            if let (Some(peer), true) = (&routes.peer, all.sessions.is_empty()) {
                bail!("this node has no session of a BGPPeer {peer:?}");
            }
            output::print(&output::render(routes.look.output, &all, || told(&all))?)?;
            Ok(Verdict::Good)
        }
        Some(What::Reset(reset)) => {
            let path = format!(
                "{RESET_PATH}?peer={}&soft={}",
                name(&reset.peer)?,
                reset.soft
            );
            ask(reset.node.as_deref(), Method::PUT, &path)?;
            let done = match reset.soft {
                true => "is told everything again",
                false => "was reset",
            };
            output::print(&format!("{} {done}\n", reset.peer))?;
            Ok(Verdict::Good)
        }
    }
}

/// A name that can be one: it goes into a path as it is.
fn name(peer: &str) -> anyhow::Result<&str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if peer.is_empty() || !peer.chars().all(good) {
        bail!("{peer:?} is no name of a BGPPeer");
    }
    Ok(peer)
}

fn sessions(look: &Look, path: &str) -> anyhow::Result<Sessions> {
    let body = ask(look.node.as_deref(), Method::GET, path)?;
    serde_json::from_slice(&body).context("the speaker's answer")
}

fn ask(node: Option<&str>, method: Method, path: &str) -> anyhow::Result<bytes::Bytes> {
    crate::cli::block_on(async {
        let asked = local::request(node, method, path);
        let answer = tokio::time::timeout(ANSWER_MAX, asked).await;
        answer.context("the speaker does not answer")?
    })
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn summary(all: &Sessions) -> String {
    if all.sessions.is_empty() {
        return "no sessions: no BGPPeer selects this node\n".to_owned();
    }
    let mut rows = table(&[
        "PEER", "NEIGHBOR", "AS", "MSG-RCVD", "MSG-SENT", "UP/DOWN", "STATE", "PFX-SENT", "BFD",
    ]);
    for session in &all.sessions {
        let since = session.uptime_seconds.unwrap_or(session.state_seconds);
        rows.add_row([
            session.peer.clone(),
            session.neighbor.clone(),
            or_dash(session.peer_asn),
            session.messages_received.to_string(),
            session.messages_sent.to_string(),
            span(since),
            match session.leaving {
                true => format!("{} (leaving)", session.state),
                false => session.state.clone(),
            },
            prefixes(session),
            session.bfd.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let mut text = format!("{}\n", rows.trim_fmt());
    for session in &all.sessions {
        trouble(&mut text, session);
    }
    text
}

/// `12`, or what is in the way of them: `12 (3 pending, 1 withheld)`.
fn prefixes(session: &Session) -> String {
    let rest: Vec<String> = [
        (session.prefixes_pending, "pending"),
        (session.prefixes_withheld, "withheld"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    match rest.is_empty() {
        true => session.prefixes_sent.to_string(),
        false => format!("{} ({})", session.prefixes_sent, rest.join(", ")),
    }
}

fn trouble(text: &mut String, session: &Session) {
    let peer = &session.peer;
    if let Some(obstacle) = &session.obstacle {
        let _infallible = writeln!(text, "{peer}: not tried: {obstacle}");
    }
    let Some(error) = &session.last_error else {
        return;
    };
    let _infallible = write!(
        text,
        "{peer}: {} ago: {}",
        span(error.seconds_ago),
        error.reason
    );
    let _infallible = match error.times {
        0 | 1 => writeln!(text),
        times => writeln!(text, " ({times} times)"),
    };
    if let Some(hex) = &error.bad_message {
        let _infallible = writeln!(text, "{peer}: last bad message: {hex}");
    }
}

fn told(all: &Sessions) -> String {
    let mut rows = table(&[
        "PEER",
        "PREFIX",
        "NEXT-HOP",
        "LOCPRF",
        "MED",
        "PREPEND",
        "COMMUNITIES",
        "SERVICES",
    ]);
    for session in &all.sessions {
        for route in session.routes.iter().flatten() {
            let list = |all: &[String]| match all {
                [] => "-".to_owned(),
                all => all.join(" "),
            };
            rows.add_row([
                session.peer.clone(),
                route.prefix.clone(),
                route.next_hop.clone().unwrap_or_else(|| "self".to_owned()),
                or_dash(route.local_pref),
                or_dash(route.med),
                route.prepend.to_string(),
                list(&route.communities),
                list(&route.services),
            ]);
        }
    }
    match rows.row_count() {
        0 => "nothing was told to any router\n".to_owned(),
        _ => format!("{}\n", rows.trim_fmt()),
    }
}

fn or_dash(value: Option<u32>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// As routers write it: `00:01:30`, `3d04h05m`.
fn span(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match days {
        0 => format!("{hours:02}:{minutes:02}:{rest:02}"),
        days => format!("{days}d{hours:02}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests;
