//! The Lease object for the election, which `engine::lease` decides.

use super::{Shared, path};
use crate::source::Campaign;
use engine::lease::{Election, Leadership, LeaseAction, LeaseError, LeaseRecord};
use futures::future::BoxFuture;
use http::{Method, Request};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// When neither the machine nor the server has anything to say.
const IDLE: Duration = Duration::from_secs(1);

/// What an action came to.
enum Answer {
    Read(Result<LeaseRecord, LeaseError>),
    Write(Result<LeaseRecord, LeaseError>),
}

pub(super) fn campaign(shared: Arc<Shared>, identity: String) -> Campaign {
    let (leadership, receiver) = watch::channel(Leadership::Follower { holder: None });
    let (release, released) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { run(shared, identity, leadership, released).await });
    Campaign::new(receiver, release, tasks)
}

async fn run(
    shared: Arc<Shared>,
    identity: String,
    leadership: watch::Sender<Leadership>,
    mut released: oneshot::Receiver<()>,
) {
    let config = shared.config.lease.clone();
    let mut election = Election::new(identity, config.clone(), shared.config.seed, Instant::now());
    let mut flying: Option<BoxFuture<'static, Answer>> = None;
    let mut stop: Option<Instant> = None;
    let mut failing = false;
    loop {
        let now = Instant::now();
        election.handle_timeout(now);
        if stop.is_some() && matches!(election.leadership(), Leadership::Leader { .. }) {
            election.release(now);
        }
        if flying.is_none() && (stop.is_none() || election.is_releasing()) {
            let patience = patience(&election.leadership(), config.duration / 2, now);
            flying = election
                .poll_action(now)
                .map(|action| act(shared.clone(), action, patience));
        }
        let next = election.leadership();
        leadership.send_if_modified(|was| {
            let differs = *was != next;
            *was = next;
            differs
        });
        let over = stop.is_some_and(|stop| stop <= now);
        if stop.is_some() && (over || flying.is_none() && !election.is_releasing()) {
            return;
        }
        let due = [election.poll_timeout(), stop].into_iter().flatten().min();
        let due = due.unwrap_or(now + IDLE).max(now);
        tokio::select! {
            answer = async { match flying.as_mut() {
                Some(flying) => flying.await,
                None => std::future::pending().await,
            }} => {
                flying = None;
                tell(&answer, &mut failing);
                match answer {
                    Answer::Read(record) => election.handle_read(record, Instant::now()),
                    Answer::Write(record) => election.handle_write(record, Instant::now()),
                }
            }
            () = tokio::time::sleep_until(due.into()) => {}
            word = &mut released, if stop.is_none() => match word {
                Ok(()) => stop = Some(Instant::now() + config.duration),
                // The campaign was dropped: as in a crash, no word is said.
                Err(_) => return,
            },
        }
    }
}

/// How long an answer is waited for. A leader waits while its lease lasts: a server that is pressed answers late,
/// and what it carried out unheard would stand against the next try.
fn patience(leadership: &Leadership, usual: Duration, now: Instant) -> Duration {
    match leadership {
        Leadership::Leader {
            until: Some(until), ..
        } => until.saturating_duration_since(now).max(usual),
        _ => usual,
    }
}

/// Logs flips, not repetitions.
fn tell(answer: &Answer, failing: &mut bool) {
    let (Answer::Read(result) | Answer::Write(result)) = answer;
    match result {
        Err(LeaseError::Unavailable(why)) if !*failing => {
            tracing::warn!("the Lease: {why}");
            *failing = true;
        }
        Ok(_) if *failing => {
            tracing::info!("the Lease can be reached again");
            *failing = false;
        }
        _ => {}
    }
}

fn act(shared: Arc<Shared>, action: LeaseAction, timeout: Duration) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let late = |_| Err(LeaseError::Unavailable("no answer in time".to_owned()));
        match action {
            LeaseAction::Read => {
                let read = tokio::time::timeout(timeout, read(&shared));
                Answer::Read(read.await.unwrap_or_else(late))
            }
            LeaseAction::Write(record) => {
                let write = tokio::time::timeout(timeout, write(&shared, &record));
                Answer::Write(write.await.unwrap_or_else(late))
            }
        }
    })
}

#[derive(Debug, Deserialize)]
struct Lease {
    metadata: crate::convert::Meta,
    #[serde(default, deserialize_with = "crate::convert::nullable")]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    lease_transitions: Option<u64>,
    renew_time: Option<String>,
}

impl Lease {
    fn record(self) -> LeaseRecord {
        LeaseRecord {
            version: Some(self.metadata.resource_version),
            holder: self.spec.holder_identity.unwrap_or_default(),
            duration: Duration::from_secs(self.spec.lease_duration_seconds.unwrap_or_default()),
            transitions: self.spec.lease_transitions.unwrap_or_default(),
            renewed: self.spec.renew_time.unwrap_or_default(),
        }
    }
}

fn collection(shared: &Shared) -> String {
    let namespace = path::escape(&shared.config.namespace);
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}

fn object(shared: &Shared) -> String {
    let name = path::escape(&shared.config.lease_name);
    format!("{}/{name}", collection(shared))
}

/// The record; an absent Lease is one that nobody holds.
async fn read(shared: &Shared) -> Result<LeaseRecord, LeaseError> {
    match send(shared, Method::GET, &object(shared), String::new()).await {
        Ok(lease) => Ok(lease.record()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(LeaseRecord::default()),
        Err(error) => Err(LeaseError::Unavailable(error.to_string())),
    }
}

/// Creates the Lease or patches it under its version, with the present time.
async fn write(shared: &Shared, record: &LeaseRecord) -> Result<LeaseRecord, LeaseError> {
    let now = crate::clock::now_text();
    let mut body = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": shared.config.lease_name, "namespace": shared.config.namespace},
        "spec": {
            "holderIdentity": record.holder,
            // The server wants at least one second, whole.
            "leaseDurationSeconds": record.duration.as_secs().max(1),
            "leaseTransitions": record.transitions,
            "renewTime": now,
        },
    });
    let sent = match &record.version {
        None => send(shared, Method::POST, &collection(shared), body.to_string()).await,
        Some(version) => {
            if let Some(metadata) = body.get_mut("metadata").and_then(|m| m.as_object_mut()) {
                metadata.insert("resourceVersion".to_owned(), version.as_str().into());
            }
            send(shared, Method::PATCH, &object(shared), body.to_string()).await
        }
    };
    match sent {
        Ok(lease) => Ok(lease.record()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            Err(LeaseError::Conflict)
        }
        Err(error) => Err(LeaseError::Unavailable(error.to_string())),
    }
}

async fn send(
    shared: &Shared,
    method: Method,
    uri: &str,
    body: String,
) -> Result<Lease, kube::Error> {
    let content = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(http::header::CONTENT_TYPE, content)
        .body(body.into_bytes())
        .map_err(kube::Error::HttpError)?;
    shared.client.request(request).await
}
