//! BIRD: one process in a folder of its own, asked over its control socket.
//!
//! Owns the folder and the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{BfdSession, Route, Router, Session, await_start, first_word, program};
use crate::lab::{Child, Host};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    // In this order: the process ends before its folder goes.
    child: Child,
    folder: TempDir,
}

impl Bird {
    /// Starts it on a host with a configuration, as in `bird.conf`.
    ///
    /// # Errors
    /// Not installed, or the configuration is refused.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bird").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("bird.conf"), config)?;
        let log = at("bird.out");
        let mut command = Command::new(program("bird", &["/usr/sbin", "/usr/bin"])?);
        command
            .arg("-f")
            .arg("-c")
            .arg(at("bird.conf"))
            .arg("-s")
            .arg(at("bird.ctl"))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(std::fs::File::options().append(true).open(&log)?);
        let mut child = host.spawn(command)?;
        let socket = at("bird.ctl");
        await_start("bird", &log, &mut child, || {
            UnixStream::connect(&socket).is_ok()
        })?;
        Ok(Self { child, folder })
    }

    /// Its process, to stop or kill.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Replaces the whole configuration.
    ///
    /// # Errors
    /// It is refused; the old one holds.
    pub fn configure(&self, config: &str) -> Result<()> {
        std::fs::write(self.folder.path().join("bird.conf"), config)?;
        self.run("configure").map(drop)
    }

    /// Runs a command ("show protocols all", "disable p1") and gives its answer without codes.
    ///
    /// # Errors
    /// It is refused.
    pub fn run(&self, command: &str) -> Result<String> {
        let mut stream = UnixStream::connect(self.socket()).context("BIRD is gone")?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut next = || {
            lines
                .next()
                .context("BIRD closed")?
                .context("BIRD does not answer")
        };
        next()?;
        writeln!(stream, "{command}")?;
        let mut said = String::new();
        loop {
            let line = next()?;
            let (code, mark) = (line.get(..4), line.get(4..5));
            let code = code.and_then(|code| code.parse::<u16>().ok());
            let text = match code {
                Some(_) => line.get(5..),
                None => line.get(1..),
            };
            said.push_str(text.unwrap_or_default());
            said.push('\n');
            if let (Some(code), Some(" ")) = (code, mark) {
                if code >= 8_000 {
                    bail!("BIRD refuses {command:?}: {said}");
                }
                return Ok(said);
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("bird.ctl")
    }

    /// Name and facts of each BGP protocol.
    fn protocols(&self) -> Result<Vec<(String, Session)>> {
        let said = self.run("show protocols all")?;
        let mut found: Vec<(String, Session)> = Vec::new();
        let mut bgp = false;
        for line in said.lines() {
            let mut words = line.split_whitespace();
            if !line.starts_with(' ') && !line.is_empty() {
                let name = words.next().unwrap_or_default();
                bgp = words.next() == Some("BGP");
                if bgp {
                    found.push((name.to_owned(), UNKNOWN));
                }
                continue;
            }
            let Some((key, value)) = line.split_once(':').filter(|_| bgp) else {
                continue;
            };
            let Some((_, session)) = found.last_mut() else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "BGP state" => value.clone_into(&mut session.state),
                "Neighbor address" => {
                    let address = value.split('%').next().unwrap_or_default();
                    session.peer = address.parse().unwrap_or(session.peer);
                }
                "Neighbor AS" => session.remote_as = value.parse().unwrap_or(0),
                "Last error" => session.last_error = Some(value.to_owned()),
                "Routes" => session.prefixes += first_word(value).parse().unwrap_or(0),
                _ => {}
            }
        }
        Ok(found)
    }
}

const UNKNOWN: Session = Session {
    peer: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    remote_as: 0,
    state: String::new(),
    prefixes: 0,
    last_error: None,
    established_count: None,
};

/// "(65001,7) (65001, 1, 2)" as "65001:7", "65001:1:2".
fn tuples(text: &str) -> BTreeSet<String> {
    text.split(')')
        .map(|tuple| tuple.trim().trim_start_matches('('))
        .filter(|tuple| !tuple.is_empty())
        .map(|tuple| {
            let parts: Vec<_> = tuple.split(',').map(str::trim).collect();
            parts.join(":").to_lowercase()
        })
        .collect()
}

fn attribute(route: &mut Route, key: &str, value: &str) {
    match key {
        "BGP.origin" => match value {
            "Incomplete" => route.origin = "incomplete".to_owned(),
            other => route.origin = other.to_owned(),
        },
        "BGP.as_path" => {
            let numbers = value.split(|c: char| !c.is_ascii_digit());
            route.as_path = numbers.filter_map(|n| n.parse().ok()).collect();
        }
        "BGP.next_hop" => {
            let hops = value.split_whitespace();
            route.next_hops = hops.filter_map(|hop| hop.parse().ok()).collect();
        }
        "BGP.med" => route.med = value.parse().ok(),
        "BGP.local_pref" => route.local_pref = value.parse().ok(),
        "BGP.community" => route.communities = tuples(value),
        "BGP.large_community" => route.large_communities = tuples(value),
        "BGP.ext_community" => route.extended_communities = tuples(value),
        _ => {}
    }
}

impl Router for Bird {
    fn sessions(&self) -> Result<Vec<Session>> {
        Ok(self.protocols()?.into_iter().map(|(_, s)| s).collect())
    }

    fn routes(&self) -> Result<BTreeMap<String, Vec<Route>>> {
        let peers: BTreeMap<_, _> = self
            .protocols()?
            .into_iter()
            .map(|(name, session)| (name, session.peer))
            .collect();
        let mut routes: BTreeMap<String, Vec<Route>> = BTreeMap::new();
        let mut prefix = String::new();
        let mut told = false;
        for line in self.run("show route all")?.lines() {
            if let Some(detail) = line.strip_prefix('\t') {
                let last = routes.get_mut(&prefix).and_then(|all| all.last_mut());
                if let (Some((key, value)), Some(route), true) =
                    (detail.split_once(':'), last, told)
                {
                    attribute(route, key.trim(), value.trim());
                }
                continue;
            }
            let Some((before, after)) = line.split_once('[') else {
                continue;
            };
            if !line.starts_with(' ') {
                first_word(before).clone_into(&mut prefix);
            }
            // "[protocol time from 192.0.2.1] * (100s) [AS65001i]"; the letter s is for stale.
            let Some(peer) = peers.get(first_word(after)) else {
                told = false;
                continue;
            };
            told = true;
            let rest = after.split_once(']').map_or("", |(_, rest)| rest);
            let preference = rest.split(['(', ')']).nth(1).unwrap_or_default();
            routes.entry(prefix.clone()).or_default().push(Route {
                peer: Some(*peer),
                best: rest.trim_start().starts_with('*'),
                stale: preference.ends_with('s'),
                ..Route::default()
            });
        }
        Ok(routes)
    }

    fn bfd(&self) -> Result<Vec<BfdSession>> {
        let secs = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
        let session = |line: &str| -> Option<BfdSession> {
            let columns: Vec<_> = line.split_whitespace().collect();
            let [address, _, state, .., interval, timeout] = columns.as_slice() else {
                return None;
            };
            Some(BfdSession {
                peer: address.split('%').next()?.parse().ok()?,
                state: (*state).to_owned(),
                transmit_interval: secs(interval)?,
                detection_time: secs(timeout)?,
                diagnostic: None,
                remote_diagnostic: None,
            })
        };
        let said = self.run("show bfd sessions")?;
        Ok(said.lines().filter_map(session).collect())
    }
}
