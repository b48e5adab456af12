//! The API server's audit log: who asked what, and what was answered.
//!
//! Owns the policy and the reading of the log; it counts nothing, that is the story's.

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

/// Every finished request of the project's service accounts.
pub(super) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts:metallb-system"]
  - level: None
"#;

/// One finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub user: String,
    /// create, patch, list, …
    pub verb: String,
    /// services/status, leases, …
    pub resource: String,
    /// namespace/name, as far as they are known.
    pub object: String,
    /// The answer's HTTP status.
    pub code: u16,
}

impl Request {
    /// Whether it changes objects.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    #[serde(rename = "requestURI")]
    request_uri: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Object {
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Request>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may still be under way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _partial)| whole);
    whole
        .lines()
        .map(|line| {
            let entry: Entry = serde_json::from_str(line)?;
            let object = entry.object_ref;
            let resource = match &object {
                Some(object) => {
                    let resource = object.resource.clone().unwrap_or_default();
                    match &object.subresource {
                        Some(sub) => format!("{resource}/{sub}"),
                        None => resource,
                    }
                }
                None => entry.request_uri,
            };
            let name = object.map_or(String::new(), |object| {
                let part = |part: Option<String>| part.unwrap_or_default();
                format!("{}/{}", part(object.namespace), part(object.name))
            });
            Ok(Request {
                user: entry.user.username,
                verb: entry.verb,
                resource,
                object: name,
                code: entry.response_status.and_then(|it| it.code).unwrap_or(0),
            })
        })
        .collect()
}
