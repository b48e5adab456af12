//! FRR: zebra, staticd, bfdd and bgpd in a folder of their own, asked over their terminal sockets.
//!
//! Owns the folder and the four processes. Configuration goes through vtysh, which knows which daemon a line is for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{BfdSession, Route, Router, Session, await_start, program};
use crate::lab::{Child, Host};

const FOLDERS: [&str; 3] = ["/usr/lib/frr", "/usr/sbin", "/usr/bin"];
/// In the order of starting; the others talk to zebra.
const DAEMONS: [&str; 4] = ["zebra", "staticd", "bfdd", "bgpd"];
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A running FRR.
#[derive(Debug)]
pub struct Frr {
    host: Host,
    // In this order: the processes end before their folder goes.
    children: BTreeMap<&'static str, Child>,
    folder: TempDir,
}

impl Frr {
    /// Starts the daemons on a host and gives them a configuration, as in `frr.conf`.
    ///
    /// # Errors
    /// Not installed, not root, or the configuration is refused.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("frr").tempdir()?;
        let owner = nix::unistd::User::from_name("frr")?
            .context("FRR is not installed: no user frr (make packages)")?;
        nix::unistd::chown(folder.path(), Some(owner.uid), Some(owner.gid))
            .context("FRR needs root: its daemons change to the user frr")?;
        std::fs::write(folder.path().join("vtysh.conf"), "")?;
        let mut frr = Self {
            host: host.clone(),
            children: BTreeMap::new(),
            folder,
        };
        for daemon in DAEMONS {
            frr.start_daemon(daemon)?;
        }
        frr.configure(config)?;
        Ok(frr)
    }

    /// Starts one of "zebra", "staticd", "bfdd", "bgpd" (again), without configuration.
    ///
    /// # Errors
    /// It ends at once.
    pub fn start_daemon(&mut self, daemon: &'static str) -> Result<()> {
        self.children.remove(daemon);
        let at = |name: &str| self.folder.path().join(name);
        let log = at(&format!("{daemon}.out"));
        let mut command = Command::new(program(daemon, &FOLDERS)?);
        command
            .args(["-f", "/dev/null", "-P", "0", "--limit-fds", "4096"])
            .arg("-i")
            .arg(at(&format!("{daemon}.pid")))
            .arg("-z")
            .arg(at("zserv.api"))
            .arg("--vty_socket")
            .arg(self.folder.path())
            .arg(format!(
                "--log=file:{}",
                at(&format!("{daemon}.log")).display()
            ))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(std::fs::File::options().append(true).open(&log)?);
        if daemon == "bfdd" {
            command.arg("--bfdctl").arg(at("bfdd.sock"));
        }
        let socket = at(&format!("{daemon}.vty"));
        let _ = std::fs::remove_file(&socket);
        let mut child = self.host.spawn(command)?;
        await_start(daemon, &log, &mut child, || {
            UnixStream::connect(&socket).is_ok()
        })?;
        self.children.insert(daemon, child);
        Ok(())
    }

    /// The process of a daemon, to stop, kill or count.
    ///
    /// # Panics
    /// No such daemon.
    pub fn daemon(&mut self, daemon: &str) -> &mut Child {
        self.children
            .get_mut(daemon)
            .unwrap_or_else(|| panic!("{daemon} was started"))
    }

    /// Applies lines of configuration to what is there ("no ..." takes away).
    ///
    /// # Errors
    /// A line is refused; those before it hold.
    pub fn configure(&self, lines: &str) -> Result<()> {
        let file = self.folder.path().join("lines.conf");
        std::fs::write(&file, lines)?;
        let output = Command::new(program("vtysh", &FOLDERS)?)
            .arg("--vty_socket")
            .arg(self.folder.path())
            .arg("--config_dir")
            .arg(self.folder.path())
            .arg("-f")
            .arg(&file)
            .output()?;
        let said = [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).into_owned());
        let refused = said.iter().any(|text| text.contains('%'));
        ensure!(
            output.status.success() && !refused,
            "FRR refuses the configuration: {said:?}"
        );
        Ok(())
    }

    /// Runs commands of one daemon's terminal in one sitting ("configure terminal", ...); what it says to the last.
    /// Quicker than [`configure`](Self::configure).
    ///
    /// # Errors
    /// A command is refused.
    pub fn run(&self, daemon: &str, commands: &[&str]) -> Result<String> {
        let socket = self.folder.path().join(format!("{daemon}.vty"));
        let mut stream =
            UnixStream::connect(&socket).with_context(|| format!("{daemon} is gone"))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut said = String::new();
        for command in ["enable"].iter().chain(commands) {
            said = ask(&mut stream, command)
                .with_context(|| format!("{daemon} and the command {command:?}"))?;
        }
        Ok(said)
    }

    /// Runs a command that answers in JSON ("show bfd peers json").
    ///
    /// # Errors
    /// The command is refused, or the answer is not JSON.
    pub fn json(&self, daemon: &str, command: &str) -> Result<Value> {
        let said = self.run(daemon, &[command])?;
        serde_json::from_str(&said).with_context(|| format!("{command} said {said}"))
    }

    /// A daemon's log.
    pub fn log(&self, daemon: &str) -> String {
        let file = self.folder.path().join(format!("{daemon}.log"));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// The folder with its sockets, for another program.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// One command of the terminal protocol: ended by zero; the answer ends with three zeros and a status.
fn ask(stream: &mut UnixStream, command: &str) -> Result<String> {
    /// `CMD_SUCCESS` and `CMD_WARNING`; the second is also "nothing to show".
    const DONE: [u8; 2] = [0, 1];
    stream.write_all(command.as_bytes())?;
    stream.write_all(&[0])?;
    let mut answer = Vec::new();
    let mut buf = [0; 65_536];
    loop {
        if let [text @ .., 0, 0, 0, status] = answer.as_slice() {
            let text = String::from_utf8_lossy(text).into_owned();
            ensure!(DONE.contains(status), "refused ({status}): {text}");
            return Ok(text);
        }
        match stream.read(&mut buf)? {
            0 => bail!("it closed"),
            n => answer.extend_from_slice(&buf[..n]),
        }
    }
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// The words of a field's `string`, or nothing.
fn words(value: &Value) -> BTreeSet<String> {
    let text = value["string"].as_str().unwrap_or_default();
    text.split_whitespace().map(str::to_lowercase).collect()
}

fn route(path: &Value) -> Route {
    let segments = path["aspath"]["segments"].as_array();
    let as_path = segments
        .into_iter()
        .flatten()
        .flat_map(|segment| segment["list"].as_array().cloned().unwrap_or_default())
        .filter_map(|asn| number(&asn))
        .collect();
    let next_hops = path["nexthops"].as_array().into_iter().flatten();
    Route {
        peer: path["peer"]["peerId"].as_str().and_then(|p| p.parse().ok()),
        next_hops: next_hops
            .filter_map(|hop| hop["ip"].as_str()?.parse().ok())
            .collect(),
        as_path,
        origin: path["origin"].as_str().unwrap_or_default().to_owned(),
        med: number(&path["metric"]).or(number(&path["med"])),
        local_pref: number(&path["locPrf"]).or(number(&path["localpref"])),
        communities: words(&path["community"]),
        large_communities: words(&path["largeCommunity"]),
        extended_communities: words(&path["extendedCommunity"]),
        best: path["bestpath"]["overall"].as_bool().unwrap_or(false),
        stale: path["stale"].as_bool().unwrap_or(false),
    }
}

impl Router for Frr {
    fn sessions(&self) -> Result<Vec<Session>> {
        let neighbours = self.json("bgpd", "show bgp neighbors json")?;
        let mut sessions = Vec::new();
        for (name, facts) in neighbours.as_object().into_iter().flatten() {
            // An unnumbered neighbour goes by its interface; its address is told once it is known.
            let address = facts["bgpNeighborAddr"].as_str().filter(|a| *a != "none");
            let Ok(peer) = address.unwrap_or(name).parse::<IpAddr>() else {
                continue;
            };
            let families = facts["addressFamilyInfo"].as_object();
            sessions.push(Session {
                peer,
                remote_as: number(&facts["remoteAs"]).unwrap_or(0),
                state: facts["bgpState"].as_str().unwrap_or_default().to_owned(),
                prefixes: families
                    .into_iter()
                    .flatten()
                    .filter_map(|(_, family)| family["acceptedPrefixCounter"].as_u64())
                    .sum(),
                last_error: facts["lastResetDueTo"].as_str().map(str::to_owned),
                established_count: facts["connectionsEstablished"].as_u64(),
            });
        }
        Ok(sessions)
    }

    fn routes(&self) -> Result<BTreeMap<String, Vec<Route>>> {
        let mut routes: BTreeMap<String, Vec<Route>> = BTreeMap::new();
        for family in ["ipv4", "ipv6"] {
            let table = self.json("bgpd", &format!("show bgp {family} unicast json detail"))?;
            for (prefix, entry) in table["routes"].as_object().into_iter().flatten() {
                // The paths themselves, or below "paths", by version.
                let paths = entry.as_array().or_else(|| entry["paths"].as_array());
                let paths = paths.into_iter().flatten();
                // In front of the paths stands the prefix with what concerns all of them.
                let told = paths.filter(|path| path["peer"].is_object()).map(route);
                routes.entry(prefix.clone()).or_default().extend(told);
            }
        }
        Ok(routes)
    }

    fn bfd(&self) -> Result<Vec<BfdSession>> {
        let peers = self.json("bfdd", "show bfd peers json")?;
        let ms =
            |peer: &Value, field: &str| Duration::from_millis(peer[field].as_u64().unwrap_or(0));
        let session = |peer: &Value| -> Option<BfdSession> {
            let state = match peer["status"].as_str()? {
                "up" => "Up",
                "init" => "Init",
                "shutdown" => "AdminDown",
                _ => "Down",
            };
            let multiplier = number(&peer["remote-detect-multiplier"]).unwrap_or(0);
            let receive = ms(peer, "receive-interval").max(ms(peer, "remote-transmit-interval"));
            Some(BfdSession {
                peer: peer["peer"].as_str()?.parse().ok()?,
                state: state.to_owned(),
                transmit_interval: ms(peer, "transmit-interval")
                    .max(ms(peer, "remote-receive-interval")),
                detection_time: receive * multiplier,
                diagnostic: peer["diagnostic"].as_str().map(str::to_owned),
                remote_diagnostic: peer["remote-diagnostic"].as_str().map(str::to_owned),
            })
        };
        Ok(peers
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(session)
            .collect())
    }
}
