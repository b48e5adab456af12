//! GoBGP: one process with a configuration file, asked by its command line client.
//!
//! Owns the folder and the process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{BfdSession, Route, Router, Session, await_start, program};
use crate::lab::{Child, Host};

const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/sbin"];
/// Each host has a loopback of its own, so one number does for all.
const API_PORT: &str = "50051";

/// A running GoBGP.
#[derive(Debug)]
pub struct Gobgp {
    host: Host,
    client: PathBuf,
    // In this order: the process ends before its folder goes.
    child: Child,
    _folder: TempDir,
}

impl Gobgp {
    /// Starts it on a host with a configuration, as in `gobgpd.conf` (TOML).
    ///
    /// # Errors
    /// Not installed, or the configuration is refused.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gobgp").tempdir()?;
        let file = folder.path().join("gobgpd.toml");
        std::fs::write(&file, config)?;
        let log = folder.path().join("gobgpd.out");
        let mut command = Command::new(program("gobgpd", &FOLDERS)?);
        command
            .arg("-f")
            .arg(&file)
            .arg("--pprof-disable")
            .arg(format!("--api-hosts=127.0.0.1:{API_PORT}"))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(std::fs::File::options().append(true).open(&log)?);
        let mut child = host.spawn(command)?;
        let client = program("gobgp", &FOLDERS)?;
        await_start("gobgpd", &log, &mut child, || {
            // The global configuration is set a moment after the client is answered.
            let said = run(host, &client, &["-j", "global"]);
            said.is_ok_and(|said| said.contains("router_id") || said.contains("router-id"))
        })?;
        Ok(Self {
            host: host.clone(),
            client,
            child,
            _folder: folder,
        })
    }

    /// Its process, to stop or kill.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Runs its client: `["global", "rib", "add", "192.0.2.0/24"]`.
    ///
    /// # Errors
    /// The client fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run(&self.host, &self.client, arguments)
    }

    /// Runs its client and reads the answer as JSON.
    ///
    /// # Errors
    /// As [`run`](Self::run), or the answer is no JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let said = self.run(&[&["-j"], arguments].concat())?;
        if said.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&said).with_context(|| format!("{arguments:?} said {said}"))
    }
}

fn run(host: &Host, client: &PathBuf, arguments: &[&str]) -> Result<String> {
    let output = host.run(|| {
        Command::new(client)
            .args(["-p", API_PORT])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "gobgp {arguments:?}: {said} {errors}"
    );
    Ok(said)
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn route(path: &Value) -> Route {
    let mut route = Route {
        peer: path["neighbor-ip"].as_str().and_then(|p| p.parse().ok()),
        best: path["best"].as_bool().unwrap_or(false),
        stale: path["stale"].as_bool().unwrap_or(false),
        ..Route::default()
    };
    for attribute in list(&path["attrs"]) {
        let value = &attribute["value"];
        // By the number of the attribute.
        match attribute["type"].as_u64() {
            Some(1) => {
                let names = ["IGP", "EGP", "incomplete"];
                let name = value.as_u64().and_then(|n| names.get(n as usize));
                route.origin = name.copied().unwrap_or_default().to_owned();
            }
            Some(2) => {
                route.as_path = list(&attribute["as_paths"])
                    .flat_map(|segment| list(&segment["asns"]).filter_map(number))
                    .collect();
            }
            Some(3 | 14) => {
                let hop = attribute["nexthop"].as_str();
                route.next_hops = hop.and_then(|hop| hop.parse().ok()).into_iter().collect();
            }
            Some(4) => route.med = number(&attribute["metric"]).or(number(value)),
            Some(5) => route.local_pref = number(value).or(number(&attribute["value"])),
            Some(8) => {
                route.communities = list(&attribute["communities"])
                    .filter_map(number)
                    .map(|n| format!("{}:{}", n >> 16, n & 0xffff))
                    .collect();
            }
            Some(16) => {
                route.extended_communities = list(value).map(extended).collect();
            }
            Some(32) => {
                let part = |v: &Value, key: &str| v[key].as_u64().unwrap_or(0);
                route.large_communities = list(value)
                    .map(|v| {
                        let parts = ["ASN", "LocalData1", "LocalData2"].map(|key| part(v, key));
                        parts.map(|p| p.to_string()).join(":")
                    })
                    .collect();
            }
            _ => {}
        }
    }
    route
}

fn extended(value: &Value) -> String {
    let text = value["value"].as_str().unwrap_or_default();
    match value["subtype"].as_u64() {
        Some(2) => format!("rt:{text}"),
        Some(3) => format!("soo:{text}"),
        _ => value.to_string(),
    }
}

impl Router for Gobgp {
    fn sessions(&self) -> Result<Vec<Session>> {
        /// By the number of its API.
        const STATES: [&str; 7] = [
            "Unknown",
            "Idle",
            "Connect",
            "Active",
            "OpenSent",
            "OpenConfirm",
            "Established",
        ];
        let neighbours = self.json(&["neighbor"])?;
        let session = |facts: &Value| -> Option<Session> {
            let state = facts["state"]["session_state"].as_u64().unwrap_or(0);
            Some(Session {
                peer: facts["conf"]["neighbor_address"].as_str()?.parse().ok()?,
                remote_as: number(&facts["conf"]["peer_asn"]).unwrap_or(0),
                state: STATES
                    .get(state as usize)
                    .copied()
                    .unwrap_or_default()
                    .to_owned(),
                prefixes: list(&facts["afi_safis"])
                    .filter_map(|family| family["state"]["received"].as_u64())
                    .sum(),
                last_error: None,
                established_count: None,
            })
        };
        Ok(list(&neighbours).filter_map(session).collect())
    }

    fn routes(&self) -> Result<BTreeMap<String, Vec<Route>>> {
        let mut routes: BTreeMap<String, Vec<Route>> = BTreeMap::new();
        for family in ["ipv4", "ipv6"] {
            let table = self.json(&["global", "rib", "-a", family])?;
            for (prefix, paths) in table.as_object().into_iter().flatten() {
                let told = list(paths).map(route);
                routes.entry(prefix.clone()).or_default().extend(told);
            }
        }
        Ok(routes)
    }

    fn bfd(&self) -> Result<Vec<BfdSession>> {
        Ok(Vec::new())
    }
}
