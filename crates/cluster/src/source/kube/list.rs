//! Listing a kind: in pages from the store, or at once from the watch cache.

use super::{Shared, path};
use crate::convert::{self, Convert, Converted};
use engine::name::NamespacedName;
use engine::problem::Problem;
use engine::world::Stored;
use http::Request;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Objects of one page.
const PAGE_OBJECTS: usize = 500;
/// Most pages of one list: a server that hands out the same continuation for ever ends here.
const PAGES_MAX: usize = 10_000;
/// Longest wait for one page; 10,000 Services from the watch cache take 0.4 s.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a list is begun again because its continuation expired.
const BEGUN_AGAIN_MAX: usize = 3;

/// Where a list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The store, consistently, in pages.
    Store,
    /// The server's watch cache, whatever its age (`resourceVersion=0`, where the server
    /// ignores `limit`).
    Cache,
}

/// A complete list.
#[derive(Debug)]
pub(super) struct List<T> {
    pub(super) good: Vec<Stored<T>>,
    pub(super) bad: Vec<(NamespacedName, Problem)>,
    /// The version to watch from.
    pub(super) version: String,
}

#[derive(Deserialize)]
#[serde(bound = "R: serde::de::DeserializeOwned")]
struct Page<R> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default = "Vec::new", deserialize_with = "convert::nullable")]
    items: Vec<R>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continuation: Option<String>,
}

/// Why a list failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// The server said so.
    #[error(transparent)]
    Server(#[from] kube::Error),
    /// It did not answer.
    #[error("no answer within {} s", PAGE_TIMEOUT.as_secs())]
    Timeout,
    /// It answered something else.
    #[error("the answer is no list: {0}")]
    Garbage(String),
}

/// Lists a whole kind. The objects are converted page by page, so that no more than one page is
/// held as text.
pub(super) async fn list<T: Convert>(shared: &Shared, from: From) -> Result<List<T>, ListError> {
    let mut begun_again = 0;
    loop {
        match pages(shared, from).await {
            Err(ListError::Server(kube::Error::Api(status)))
                if status.code == 410 && begun_again < BEGUN_AGAIN_MAX =>
            {
                begun_again += 1;
            }
            answer => return answer,
        }
    }
}

async fn pages<T: Convert>(shared: &Shared, from: From) -> Result<List<T>, ListError> {
    let (collection, selector) = path::collection(T::KIND, &shared.config);
    let mut list = List {
        good: Vec::new(),
        bad: Vec::new(),
        version: String::new(),
    };
    let mut continuation = String::new();
    for _ in 0..PAGES_MAX {
        let query = match from {
            From::Cache => "resourceVersion=0".to_owned(),
            From::Store if continuation.is_empty() => format!("limit={PAGE_OBJECTS}"),
            From::Store => {
                let token = path::escape(&continuation);
                format!("limit={PAGE_OBJECTS}&continue={token}")
            }
        };
        let text = fetch(shared, &format!("{collection}?{query}{selector}")).await?;
        let meta = take::<T>(&text, &mut list)?;
        list.version = meta.resource_version;
        match meta.continuation.filter(|token| !token.is_empty()) {
            Some(token) => continuation = token,
            None => return Ok(list),
        }
    }
    Err(ListError::Garbage("the list never ends".to_owned()))
}

async fn fetch(shared: &Shared, uri: &str) -> Result<String, ListError> {
    let request = Request::get(uri)
        .body(Vec::new())
        .map_err(|error| ListError::Garbage(error.to_string()))?;
    match tokio::time::timeout(PAGE_TIMEOUT, shared.client.request_text(request)).await {
        Ok(text) => Ok(text?),
        Err(_) => Err(ListError::Timeout),
    }
}

/// Takes a page in. All at once as a rule; where one object does not fit its kind, one by one, so
/// that it harms no other.
fn take<T: Convert>(text: &str, list: &mut List<T>) -> Result<PageMeta, ListError> {
    if let Ok(page) = serde_json::from_str::<Page<T::Raw>>(text) {
        list.good.reserve(page.items.len());
        for raw in page.items {
            list.put(convert::stored(raw, None));
        }
        return Ok(page.metadata);
    }
    let page: Page<Value> =
        serde_json::from_str(text).map_err(|error| ListError::Garbage(error.to_string()))?;
    for value in page.items {
        list.put(convert::from_value(&convert::name_of(&value), &value, None));
    }
    Ok(page.metadata)
}

impl<T> List<T> {
    fn put(&mut self, converted: Converted<T>) {
        match converted {
            Converted::Good(stored) => self.good.push(stored),
            Converted::Bad(name, problem) => self.bad.push((name, problem)),
        }
    }
}
