//! Real routers on a host: FRR, BIRD and GoBGP, each with a configuration text, asked over their control sockets.
//!
//! Owns their folders and processes; everything goes when the values are dropped. Deliberately decides nothing about
//! configurations: tests bring the text, as users would.
//!
//! FRR's daemons change to a user of their own and so need real root; BIRD and GoBGP also run in a user namespace.

mod bird;
mod frr;
mod gobgp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::eventually;

pub use bird::Bird;
pub use frr::Frr;
pub use gobgp::Gobgp;

/// A router that does not come up in this time is a fault of the lab.
const START_WITHIN: Duration = Duration::from_secs(30);

/// What a router says of a BGP session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The neighbour, without a zone.
    pub peer: IpAddr,
    /// Its configured AS, 0 when any will do.
    pub remote_as: u32,
    /// "Established", "Active", ... as in RFC 4271.
    pub state: String,
    /// Prefixes received and kept, of all families.
    pub prefixes: u64,
    /// The last reason for a reset, in the router's words.
    pub last_error: Option<String>,
    /// Times that it was established, where the router counts them.
    pub established_count: Option<u64>,
}

impl Session {
    /// Whether it is up.
    pub fn is_established(&self) -> bool {
        self.state == "Established"
    }
}

/// A route that a router was told by BGP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// Who told it, where the router says.
    pub peer: Option<IpAddr>,
    /// Next hops: of IPv6 the global one first.
    pub next_hops: Vec<IpAddr>,
    /// The path, sets flattened.
    pub as_path: Vec<u32>,
    /// "IGP", "EGP" or "incomplete".
    pub origin: String,
    /// MED, if it was told.
    pub med: Option<u32>,
    /// Local preference, as far as the router shows it.
    pub local_pref: Option<u32>,
    /// "65001:7"; well-known ones as numbers.
    pub communities: BTreeSet<String>,
    /// "65001:1:2".
    pub large_communities: BTreeSet<String>,
    /// As the router writes them, in small letters: "rt:65001:9".
    pub extended_communities: BTreeSet<String>,
    /// Whether it is the one in use.
    pub best: bool,
    /// Whether it is kept over a restart of its peer.
    pub stale: bool,
}

/// What a router says of a BFD session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BfdSession {
    /// The neighbour.
    pub peer: IpAddr,
    /// "Up", "Down", "Init" or "AdminDown".
    pub state: String,
    /// Time between its packets before jitter.
    pub transmit_interval: Duration,
    /// Silence that it takes for Down.
    pub detection_time: Duration,
    /// Its diagnostic, in words, where the router says.
    pub diagnostic: Option<String>,
    /// The neighbour's, in words, where the router says.
    pub remote_diagnostic: Option<String>,
}

/// What tests ask of any router.
pub trait Router: std::fmt::Debug {
    /// Its BGP sessions.
    ///
    /// # Errors
    /// It does not answer, or not as expected.
    fn sessions(&self) -> Result<Vec<Session>>;

    /// Routes told by BGP, of both families, by prefix.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    fn routes(&self) -> Result<BTreeMap<String, Vec<Route>>>;

    /// Its BFD sessions; GoBGP has none.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    fn bfd(&self) -> Result<Vec<BfdSession>>;

    /// The BGP session with this neighbour, if it has one.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    fn session(&self, peer: IpAddr) -> Result<Option<Session>> {
        Ok(self.sessions()?.into_iter().find(|s| s.peer == peer))
    }

    /// The BFD session with this neighbour, if it has one.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    fn bfd_session(&self, peer: IpAddr) -> Result<Option<BfdSession>> {
        Ok(self.bfd()?.into_iter().find(|s| s.peer == peer))
    }
}

/// Waits until a session of the router is as `wanted` says.
///
/// # Panics
/// Not in time; the message shows what the router said last.
#[track_caller]
pub fn await_session(
    router: &dyn Router,
    peer: IpAddr,
    within: Duration,
    wanted: impl Fn(&Session) -> bool,
) -> Session {
    let mut last = None;
    let what = format!("the BGP session with {peer}");
    eventually_showing(within, &what, &mut last, || router.session(peer), wanted)
}

/// Waits until a BFD session of the router is as `wanted` says.
///
/// # Panics
/// Not in time; the message shows what the router said last.
#[track_caller]
pub fn await_bfd(
    router: &dyn Router,
    peer: IpAddr,
    within: Duration,
    wanted: impl Fn(&BfdSession) -> bool,
) -> BfdSession {
    let mut last = None;
    let what = format!("the BFD session with {peer}");
    eventually_showing(
        within,
        &what,
        &mut last,
        || router.bfd_session(peer),
        wanted,
    )
}

#[track_caller]
fn eventually_showing<T: Clone + std::fmt::Debug>(
    within: Duration,
    what: &str,
    last: &mut Option<T>,
    mut ask: impl FnMut() -> Result<Option<T>>,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = std::time::Instant::now() + within;
    loop {
        match ask() {
            Ok(found) => *last = found,
            Err(e) => panic!("{what}: {e:#}"),
        }
        if let Some(found) = last.as_ref().filter(|found| wanted(found)) {
            return found.clone();
        }
        assert!(
            std::time::Instant::now() < deadline,
            "not within {within:?}: {what}, last seen as {last:?}"
        );
        super::pause(ASK_INTERVAL);
    }
}

/// Between two questions to a router: it has other things to do.
const ASK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until the router's routes are as `wanted` says.
///
/// # Panics
/// Not in time; the message shows what the router said last.
#[track_caller]
pub fn await_routes(
    router: &dyn Router,
    within: Duration,
    wanted: impl Fn(&BTreeMap<String, Vec<Route>>) -> bool,
) -> BTreeMap<String, Vec<Route>> {
    let mut last = None;
    let ask = || router.routes().map(Some);
    eventually_showing(within, "the routes", &mut last, ask, wanted)
}

/// The program, wherever a distribution puts it.
fn program(name: &str, folders: &[&str]) -> Result<PathBuf> {
    let found = folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    match found {
        Some(path) => Ok(path),
        None => bail!("{name} is not installed (make packages; looked in {folders:?})"),
    }
}

/// Waits until something answers; a program that has ended meanwhile is an error with its output.
fn await_start(
    what: &str,
    log: &Path,
    child: &mut super::Child,
    mut ready: impl FnMut() -> bool,
) -> Result<()> {
    let mut ended = None;
    eventually(START_WITHIN, what, || {
        ended = child.try_wait();
        (ended.is_some() || ready()).then_some(())
    });
    if let Some(status) = ended {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        bail!("{what} ended with {status}: {log}");
    }
    Ok(())
}

/// The number in front of a text's first space.
fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
