//! One kind: list, watch, and again, whatever happens.

use super::backoff::Backoff;
use super::list::{self, From, ListError};
use super::{Role, Shared, line, path};
use crate::convert::{self, Convert, Converted};
use engine::world::{Change, Delta};
use http::Request;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;

/// The server ends a watch after 30 to 60 s: some load balancers cut idle flows silently, and a
/// connection that died unseen is found by then.
const WATCH_SECS: u64 = 30;
/// Longest wait past the time the server should have ended the watch by.
const OVERDUE: Duration = Duration::from_secs(5);
/// Longest wait for a watch to begin.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a watch ended.
enum End {
    /// In good order: go on from the version reached.
    Over,
    /// The version is too old for the server: list again.
    Gone,
    /// Go on from the version reached, after a wait.
    Failed(String),
    /// The same, and the user has something to mend.
    Refused(String),
    /// Nobody listens any more.
    Deaf,
}

/// Follows a kind until nobody listens.
pub(super) async fn follow<T: Convert>(shared: &Shared, changes: &mpsc::Sender<Change>) {
    let mut epochs = shared.epoch.subscribe();
    let mut first = true;
    let mut log = Log::new(T::KIND);
    loop {
        // A resync that is asked for from here on makes another list.
        let epoch = *epochs.borrow_and_update();
        let from = match shared.config.role {
            Role::Speaker if first && epoch == 0 => From::Cache,
            _ => From::Store,
        };
        let version = tokio::select! {
            version = listed::<T>(shared, changes, from, epoch, &mut log) => version,
            // A list from before is of no use to who asks for a newer one: ten thousand objects take a while.
            asked = epochs.changed() => if asked.is_ok() {
                continue;
            } else {
                return;
            },
        };
        let Some(version) = version else {
            return;
        };
        first = false;
        tokio::select! {
            deaf = watched::<T>(shared, changes, version, &mut log) => if deaf {
                return;
            },
            asked = epochs.changed() => if asked.is_err() {
                return;
            },
        }
    }
}

/// Lists until it succeeds and sends the list; its version, or none when nobody listens.
async fn listed<T: Convert>(
    shared: &Shared,
    changes: &mpsc::Sender<Change>,
    from: From,
    epoch: u64,
    log: &mut Log,
) -> Option<String> {
    let (mut backoff, mut short) = (Backoff::new(), Backoff::short());
    let list = loop {
        match list::list::<T>(shared, from).await {
            Ok(list) => break list,
            Err(error) => {
                log.failed("list", &error.to_string());
                let mend = mend(shared, T::KIND, &error);
                let wait = if mend.is_some() {
                    &mut short
                } else {
                    &mut backoff
                };
                if mend.is_some() && !shared.complain(T::KIND, mend, changes).await {
                    return None;
                }
                wait.wait().await;
            }
        }
    };
    log.works();
    let reset = Delta::Reset {
        objects: list.good,
        epoch,
    };
    changes.send(T::change(reset)).await.ok()?;
    for (name, problem) in list.bad {
        let kind = T::KIND;
        let change = Change::Unreadable {
            kind,
            name,
            problem,
        };
        changes.send(change).await.ok()?;
    }
    shared
        .complain(T::KIND, None, changes)
        .await
        .then_some(list.version)
}

/// What a user can do about it, where it is for a user to do.
fn mend(shared: &Shared, kind: engine::name::Kind, error: &ListError) -> Option<String> {
    let ListError::Server(kube::Error::Api(status)) = error else {
        return None;
    };
    let what = path::shown(kind);
    match status.code {
        404 if path::is_ours(kind) => Some(format!(
            "{what}: the CustomResourceDefinition is not installed; run harbinger crds --apply"
        )),
        404 => Some(format!("{what}: the API server does not serve it")),
        401 => Some(format!(
            "{what}: the API server does not know the credentials"
        )),
        403 => Some(format!(
            "{what}: forbidden; {}",
            path::rule(kind, &shared.config)
        )),
        _ => None,
    }
}

/// Watches from a version until a new list is needed; true when nobody listens.
async fn watched<T: Convert>(
    shared: &Shared,
    changes: &mpsc::Sender<Change>,
    mut version: String,
    log: &mut Log,
) -> bool {
    let mut backoff = Backoff::new();
    loop {
        let before = version.clone();
        let end = once::<T>(shared, changes, &mut version).await;
        if version != before {
            backoff.reset();
        }
        match end {
            End::Over => log.works(),
            End::Gone => return false,
            End::Deaf => return true,
            End::Refused(mend) => {
                log.failed("watch", &mend);
                if !shared.complain(T::KIND, Some(mend), changes).await {
                    return true;
                }
                backoff.wait().await;
            }
            End::Failed(why) => {
                log.failed("watch", &why);
                backoff.wait().await;
            }
        }
    }
}

/// One watch request.
async fn once<T: Convert>(
    shared: &Shared,
    changes: &mpsc::Sender<Change>,
    version: &mut String,
) -> End {
    let secs = WATCH_SECS + crate::random::number() % (WATCH_SECS + 1);
    let (collection, selector) = path::collection(T::KIND, &shared.config);
    let from = path::escape(version);
    let uri = format!(
        "{collection}?watch=1&allowWatchBookmarks=true&resourceVersion={from}\
         &timeoutSeconds={secs}{selector}"
    );
    let request = match Request::get(uri).body(Vec::new()) {
        Ok(request) => request,
        Err(error) => return End::Failed(error.to_string()),
    };
    let begun = tokio::time::timeout(BEGIN_TIMEOUT, shared.client.request_stream(request));
    let stream = match begun.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => return End::Gone,
        Ok(Err(error)) => {
            let why = error.to_string();
            return match mend(shared, T::KIND, &ListError::Server(error)) {
                Some(mend) => End::Refused(mend),
                None => End::Failed(why),
            };
        }
        Err(_) => return End::Failed("no answer".to_owned()),
    };
    if !shared.complain(T::KIND, None, changes).await {
        return End::Deaf;
    }
    let mut stream = std::pin::pin!(stream);
    let mut text = Vec::new();
    let overdue = tokio::time::Instant::now() + Duration::from_secs(secs) + OVERDUE;
    loop {
        let more = tokio::time::timeout_at(overdue, line::read(&mut stream, &mut text)).await;
        match more {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return End::Over,
            Ok(Err(error)) => return End::Failed(error.to_string()),
            Err(_) => return End::Failed("the connection fell silent".to_owned()),
        }
        match event::<T>(&text) {
            Ok(Event::Change(change, reached)) => {
                if changes.send(*change).await.is_err() {
                    return End::Deaf;
                }
                *version = reached;
            }
            Ok(Event::Bookmark(reached)) => *version = reached,
            Ok(Event::Expired) => return End::Gone,
            Ok(Event::Error(why)) => return End::Failed(why),
            Err(error) => return End::Failed(error.to_string()),
        }
    }
}

/// One line, understood.
pub(super) enum Event {
    /// A change and the version it reaches.
    Change(Box<Change>, String),
    /// Only a version.
    Bookmark(String),
    /// The watch's version is too old (410).
    Expired,
    /// Another error.
    Error(String),
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Deserialize)]
struct Body<O> {
    object: O,
}

/// Understands one line.
pub(super) fn event<T: Convert>(line: &[u8]) -> Result<Event, serde_json::Error> {
    let kind = serde_json::from_slice::<Head<'_>>(line)?.kind;
    match kind {
        "ADDED" | "MODIFIED" => upsert::<T>(line),
        "DELETED" => {
            let gone: Body<super::Reply> = serde_json::from_slice(line)?;
            let meta = gone.object.metadata;
            let change = T::change(Delta::Delete(meta.named()));
            Ok(Event::Change(Box::new(change), meta.resource_version))
        }
        "BOOKMARK" => {
            let mark: Body<super::Reply> = serde_json::from_slice(line)?;
            Ok(Event::Bookmark(mark.object.metadata.resource_version))
        }
        _ => {
            let status: Body<kube::core::Status> = serde_json::from_slice(line)?;
            let status = status.object;
            if status.code == 410 {
                return Ok(Event::Expired);
            }
            Ok(Event::Error(format!(
                "{}: {}",
                status.reason, status.message
            )))
        }
    }
}

fn upsert<T: Convert>(line: &[u8]) -> Result<Event, serde_json::Error> {
    let (converted, version) = match serde_json::from_slice::<Body<T::Raw>>(line) {
        Ok(body) => {
            let version = convert::Raw::meta(&body.object).resource_version.clone();
            (convert::stored::<T>(body.object, None), version)
        }
        Err(_) => {
            let body: Body<Value> = serde_json::from_slice(line)?;
            let version = body.object.pointer("/metadata/resourceVersion");
            let version = version.and_then(Value::as_str).unwrap_or_default();
            let name = convert::name_of(&body.object);
            let converted = convert::from_value::<T>(&name, &body.object, None);
            (converted, version.to_owned())
        }
    };
    let change = match converted {
        Converted::Good(stored) => T::change(Delta::Upsert(stored)),
        Converted::Bad(name, problem) => Change::Unreadable {
            kind: T::KIND,
            name,
            problem,
        },
    };
    Ok(Event::Change(Box::new(change), version))
}

/// Logs flips, not repetitions.
struct Log {
    kind: engine::name::Kind,
    failing: Option<String>,
}

impl Log {
    fn new(kind: engine::name::Kind) -> Self {
        Self {
            kind,
            failing: None,
        }
    }

    fn failed(&mut self, act: &str, why: &str) {
        if self.failing.as_deref() != Some(why) {
            tracing::warn!(kind = %self.kind, "cannot {act}: {why}");
            self.failing = Some(why.to_owned());
        }
    }

    fn works(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!(kind = %self.kind, "watching again");
        }
    }
}
