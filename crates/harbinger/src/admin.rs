//! What an operator looks at: `/metrics`, `/healthz`, `/readyz`, `/debug/{world,plan,facts,bgp,health,front}`, the log level,
//! and the reset of a session with a router.
//!
//! ```text
//!   plain HTTP (--metrics-plain) ──┐
//!   local socket, root only ───────┤
//!   HTTPS 9120, guarded ───────────┼─► router ──► Question (mpsc, 4, full = 503) ──► a role's loop
//!   health 17472 (two paths only) ─┘
//! ```
//! Owns the routes. It holds no state of the roles: numbers and debug pages are told by the role's own loop
//! when somebody asks, so that nothing is copied for nobody; the loop never waits for whoever asked.

pub mod bgp;
pub mod guard;
pub mod local;
pub mod tls;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Router, extract::DefaultBodyLimit};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::{self, Family, Metrics};
use crate::shutdown::Stop;
use crate::telemetry::{Level, LogControl};

/// A page of `/debug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The objects as the role sees them.
    World,
    /// What it wants.
    Plan,
    /// What it sees of itself.
    Facts,
    /// The health of the nodes, as JSON; of the role `speaker` alone.
    Health,
    /// The forward table, of the role `forward` alone.
    Front,
}

/// Something asked of a role's loop, which never waits for whoever asked: that one may be gone by then.
#[derive(Debug)]
pub enum Question {
    /// A page as text.
    Page(Page, oneshot::Sender<String>),
    /// The role's numbers as they are now.
    Metrics(oneshot::Sender<Vec<Family>>),
    /// Sessions with routers.
    Sessions(bgp::Which, oneshot::Sender<Vec<bgp::Session>>),
    /// Reset one; false: there is no such session.
    Reset(bgp::Reset, oneshot::Sender<bool>),
}

/// Where the health of the nodes is shown.
pub const HEALTH_PATH: &str = "/debug/health";

/// Name of the role that announces and probes.
pub const SPEAKER: &str = "speaker";
/// Name of the role that has the forward table.
pub const FORWARD: &str = "forward";

/// Questions waiting for one loop; more are refused, debug pages are for people.
pub const QUESTIONS_MAX: usize = 4;

/// How long a loop may take to write a page.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Longest body of a request, bytes: only a log level has one.
const BODY_BYTES_MAX: usize = 1024;

/// One role as the operator sees it.
#[derive(Clone)]
pub struct Role {
    /// `controller` or `speaker`.
    pub name: &'static str,
    /// Its first plan is applied.
    pub ready: watch::Receiver<bool>,
    /// Asks its loop for a page.
    pub questions: mpsc::Sender<Question>,
}

/// What the routes answer from.
#[derive(Clone)]
pub struct Admin {
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The log's level.
    pub log: LogControl,
    /// The roles of this process.
    pub roles: Vec<Role>,
}

/// Every route, without a guard.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/debug/world", get(world))
        .route("/debug/plan", get(plan))
        .route("/debug/facts", get(facts))
        .route(HEALTH_PATH, get(node_health))
        .route("/debug/front", get(front))
        .route("/debug/log-level", put(log_level))
        .route(bgp::PATH, get(bgp::show))
        .route(bgp::RESET_PATH, put(bgp::reset))
        .merge(health_routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(admin)
}

/// Only what a kubelet asks.
pub fn health_router(admin: Admin) -> Router {
    health_routes().with_state(admin)
}

fn health_routes() -> Router<Admin> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

/// Binds; a port in use is one message with its mend.
///
/// # Errors
/// The address cannot be had.
pub async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; free it, or choose another with {flag}")
    })
}

/// Serves until asked to stop; open requests are not waited for.
///
/// # Errors
/// The listener failed.
pub async fn serve<L>(listener: L, router: Router, stop: Stop) -> anyhow::Result<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::select! {
        result = axum::serve(listener, router) => result.context("the admin server"),
        () = stop.wait() => Ok(()),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut families = Vec::new();
    for role in &admin.roles {
        match ask(role, Question::Metrics).await {
            Ok(told) => families.extend(told),
            Err(error) => return unavailable(role, &error),
        }
    }
    let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (kind, admin.metrics.text(families)).into_response()
}

fn unavailable(role: &Role, error: &anyhow::Error) -> Response {
    let text = format!("{}: {error:#}\n", role.name);
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    let waiting: Vec<&str> = admin
        .roles
        .iter()
        .filter(|role| !*role.ready.borrow())
        .map(|role| role.name)
        .collect();
    if waiting.is_empty() {
        "ok\n".into_response()
    } else {
        let text = format!("no plan applied yet: {}\n", waiting.join(", "));
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

async fn world(State(admin): State<Admin>) -> Response {
    page(&admin, Page::World).await
}

async fn plan(State(admin): State<Admin>) -> Response {
    page(&admin, Page::Plan).await
}

async fn facts(State(admin): State<Admin>) -> Response {
    page(&admin, Page::Facts).await
}

/// JSON, of the one role that probes.
async fn node_health(State(admin): State<Admin>) -> Response {
    let Some(role) = admin.roles.iter().find(|role| role.name == SPEAKER) else {
        return (StatusCode::NOT_FOUND, "this process is no speaker\n").into_response();
    };
    match ask(role, |answer| Question::Page(Page::Health, answer)).await {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, text).into_response()
        }
        Err(error) => unavailable(role, &error),
    }
}

/// JSON, of the one role that has it.
async fn front(State(admin): State<Admin>) -> Response {
    let Some(role) = admin.roles.iter().find(|role| role.name == FORWARD) else {
        return (StatusCode::NOT_FOUND, "this process is no speaker\n").into_response();
    };
    match ask(role, |answer| Question::Page(Page::Front, answer)).await {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, text).into_response()
        }
        Err(error) => unavailable(role, &error),
    }
}

async fn page(admin: &Admin, page: Page) -> Response {
    let mut text = String::new();
    for role in &admin.roles {
        let question = |answer| Question::Page(page, answer);
        match ask(role, question).await {
            Ok(answer) => {
                let _infallible = writeln!(text, "# {}\n{answer}", role.name);
            }
            Err(error) => return unavailable(role, &error),
        }
    }
    text.into_response()
}

async fn ask<T>(
    role: &Role,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> anyhow::Result<T> {
    let (sender, receiver) = oneshot::channel();
    role.questions
        .try_send(question(sender))
        .map_err(|_full| anyhow!("too many questions at once, or it has ended"))?;
    tokio::time::timeout(ANSWER_MAX, receiver)
        .await
        .context("no answer in time")?
        .context("it has ended")
}

async fn log_level(State(admin): State<Admin>, body: String) -> Response {
    let level: Level = match body.parse() {
        Ok(level) => level,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error:#}\n")).into_response(),
    };
    match admin.log.set(&level) {
        Ok(()) => {
            tracing::info!(
                event = "logLevel",
                level = level.as_str(),
                "log level changed"
            );
            format!("{}\n", level.as_str()).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}
