//! The sessions with routers as an operator asks for them: the values, and the two paths they go over.
//!
//! Owns the shape of the answer (`harbinger.dev/bgp/v1alpha1`), written by the wire thread and read by
//! `harbinger bgp`. Makes nothing of it; the tables are the verb's.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Admin, Question, Role, ask, unavailable};

/// The answer's version.
pub const VERSION: &str = "harbinger.dev/bgp/v1alpha1";

/// Path of the sessions; `?peer=NAME` for one, `?routes=true` with what each was told.
pub const PATH: &str = "/debug/bgp";
/// Path of a reset, to be PUT: `?peer=NAME`, and `&soft=true` to send everything again.
pub const RESET_PATH: &str = "/debug/bgp/reset";

/// Every session of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// [`VERSION`].
    pub api_version: String,
    /// By name of the BGPPeer.
    pub sessions: Vec<Session>,
}

/// One session with a router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Name of the BGPPeer.
    pub peer: String,
    /// Address and port, or the interface of an unnumbered peer.
    pub neighbor: String,
    /// The VRF; none: the default one.
    pub vrf: Option<String>,
    /// RFC 4271's name of the state.
    pub state: String,
    /// Seconds in that state.
    pub state_seconds: u64,
    /// Seconds of being established; none when it is not.
    pub uptime_seconds: Option<u64>,
    /// Our system number on this session.
    pub local_asn: u32,
    /// The peer's system number, once it has told it.
    pub peer_asn: Option<u32>,
    /// The peer's identifier, once it has told it.
    pub peer_router_id: Option<String>,
    /// Our end of the connection.
    pub local: Option<String>,
    /// The peer's end.
    pub remote: Option<String>,
    /// Hold time in force, seconds.
    pub hold_seconds: Option<u16>,
    /// Messages read.
    pub messages_received: u64,
    /// Messages sent.
    pub messages_sent: u64,
    /// Prefixes the peer has been told of.
    pub prefixes_sent: usize,
    /// Prefixes that wait to be told or withdrawn.
    pub prefixes_pending: usize,
    /// Prefixes that cannot be told: their family is not agreed on, or has no next hop.
    pub prefixes_withheld: usize,
    /// Prefixes heard, all of them thrown away.
    pub prefixes_received: u64,
    /// Graceful restart is agreed on.
    pub graceful_restart: bool,
    /// State of the BFD session beside it; none: there is none.
    pub bfd: Option<String>,
    /// The session is being ended on purpose.
    pub leaving: bool,
    /// What this node lacks for it.
    pub obstacle: Option<String>,
    /// What last went wrong.
    pub last_error: Option<LastError>,
    /// Seconds until the next attempt, while none is made.
    pub next_attempt_seconds: Option<u64>,
    /// What the peer was told; only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
}

/// What last went wrong with a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// In words.
    pub reason: String,
    /// Seconds ago.
    pub seconds_ago: u64,
    /// How often in a row.
    pub times: u32,
    /// The first octets of the last bad message, in hex.
    pub bad_message: Option<String>,
}

/// A route as the peer was told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Its prefix.
    pub prefix: String,
    /// A next hop that is not our own address.
    pub next_hop: Option<String>,
    /// LOCAL_PREF, internal sessions only.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// How often our system number is put before the path once more.
    pub prepend: u8,
    /// As the API writes them.
    pub communities: Vec<String>,
    /// The Services behind it.
    pub services: Vec<String>,
}

/// Which sessions, and how much of them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Which {
    /// Name of the BGPPeer; none: all.
    pub peer: Option<String>,
    /// With the routes.
    #[serde(default)]
    pub routes: bool,
}

/// Which session is to be reset, and how.
#[derive(Clone, Debug, Deserialize)]
pub struct Reset {
    /// Name of the BGPPeer.
    pub peer: String,
    /// The session stays, and everything is sent again.
    #[serde(default)]
    pub soft: bool,
}

pub(super) async fn show(State(admin): State<Admin>, Query(which): Query<Which>) -> Response {
    let Some(wire) = wire(&admin) else {
        return nobody();
    };
    match ask(wire, |answer| Question::Sessions(which, answer)).await {
        Ok(sessions) => Json(Sessions {
            api_version: VERSION.to_owned(),
            sessions,
        })
        .into_response(),
        Err(error) => unavailable(wire, &error),
    }
}

pub(super) async fn reset(State(admin): State<Admin>, Query(which): Query<Reset>) -> Response {
    let Some(wire) = wire(&admin) else {
        return nobody();
    };
    let peer = which.peer.clone();
    match ask(wire, |answer| Question::Reset(which, answer)).await {
        Ok(true) => "ok\n".into_response(),
        Ok(false) => {
            let text = format!("this node has no session of a BGPPeer {peer:?}\n");
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(error) => unavailable(wire, &error),
    }
}

fn wire(admin: &Admin) -> Option<&Role> {
    admin.roles.iter().find(|role| role.name == "wire")
}

fn nobody() -> Response {
    let text = "this process speaks to no router: it is no speaker\n";
    (StatusCode::NOT_FOUND, text).into_response()
}
