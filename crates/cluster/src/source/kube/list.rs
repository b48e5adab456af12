//! Listing a kind: in pages from the store, or at once from the watch cache.
//!
//! Kinds there are thousands of come in the binary form and object by object, so that neither the answer nor
//! what is parsed of it is ever held whole; the others as JSON.

use super::{Shared, binary, path};
use crate::convert::protobuf::{Envelope, Status};
use crate::convert::{self, Convert, Converted, FromProtobuf, Raw};
use ::kube::client::Body;
use engine::name::NamespacedName;
use engine::problem::Problem;
use engine::world::Stored;
use futures::TryStreamExt as _;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The binary form, and JSON where the server has no other.
const BINARY: &str = "application/vnd.kubernetes.protobuf";
const BINARY_OR_JSON: &str = "application/vnd.kubernetes.protobuf, application/json";

/// Objects of one page.
const PAGE_OBJECTS: usize = 500;
/// Most pages of one list: a server that hands out the same continuation for ever ends here.
const PAGES_MAX: usize = 10_000;
/// Longest wait for one page; 10,000 Services take 0.1 s in the binary form and 0.4 s as JSON.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a list is begun again because its continuation expired.
const BEGUN_AGAIN_MAX: usize = 3;

/// Where a list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The store, consistently: in pages; in the binary form at once, which servers since 1.31 answer from
    /// their watch cache when it is as new as the store, and pages never.
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

/// Lists a whole kind. The objects are converted as they come, so that no more than one page, or
/// one object of the binary form, is held as text.
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
            From::Store if T::Raw::FROM_PROTOBUF.is_some() => String::new(),
            From::Store if continuation.is_empty() => format!("limit={PAGE_OBJECTS}"),
            From::Store => {
                let token = path::escape(&continuation);
                format!("limit={PAGE_OBJECTS}&continue={token}")
            }
        };
        let uri = format!("{collection}?{query}{selector}");
        let page = tokio::time::timeout(PAGE_TIMEOUT, page(shared, &uri, &mut list));
        let meta = page.await.unwrap_or(Err(ListError::Timeout))?;
        list.version = meta.resource_version;
        match meta.continuation.filter(|token| !token.is_empty()) {
            Some(token) => continuation = token,
            None => return Ok(list),
        }
    }
    Err(ListError::Garbage("the list never ends".to_owned()))
}

/// One request, taken in.
async fn page<T: Convert>(
    shared: &Shared,
    uri: &str,
    list: &mut List<T>,
) -> Result<PageMeta, ListError> {
    let read = T::Raw::FROM_PROTOBUF;
    let request = Request::get(uri)
        .header(
            header::ACCEPT,
            read.map_or("application/json", |_| BINARY_OR_JSON),
        )
        .body(Body::empty())
        .map_err(|error| ListError::Garbage(error.to_string()))?;
    let answer = shared.client.send(request).await?;
    let binary = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|form| form.as_bytes().starts_with(BINARY.as_bytes()));
    if !answer.status().is_success() {
        return Err(refusal(answer, binary).await);
    }
    match read.filter(|_| binary) {
        Some(read) => take_binary(answer.into_body(), read, list).await,
        None => take(&whole(answer).await?, list),
    }
}

async fn whole(answer: Response<Body>) -> Result<Vec<u8>, ListError> {
    Ok(answer.into_body().collect().await?.to_bytes().into())
}

/// What the server says is wrong.
async fn refusal(answer: Response<Body>, binary: bool) -> ListError {
    let code = answer.status().as_u16();
    let body = match whole(answer).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let (message, reason) = if binary {
        let body = body.strip_prefix(binary::MAGIC).unwrap_or_default();
        let envelope = Envelope::decode(body).unwrap_or_default();
        let status = Status::decode(envelope.raw.as_slice()).unwrap_or_default();
        (status.message, status.reason)
    } else {
        match serde_json::from_slice::<kube::core::Status>(&body) {
            Ok(status) => (status.message, status.reason),
            Err(_) => (String::from_utf8_lossy(&body).into_owned(), String::new()),
        }
    };
    let status = kube::core::Status::failure(message.trim(), &reason).with_code(code);
    ListError::Server(kube::Error::Api(status.boxed()))
}

/// Takes a list of the binary form in, object by object.
async fn take_binary<T: Convert>(
    body: Body,
    read: FromProtobuf<T::Raw>,
    list: &mut List<T>,
) -> Result<PageMeta, ListError> {
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let mut stream = std::pin::pin!(stream.into_async_read());
    let meta = binary::read(&mut stream, |object| {
        list.put(convert::stored(read(object)?, None));
        Ok(())
    });
    let meta = meta
        .await
        .map_err(|error| ListError::Garbage(error.to_string()))?;
    Ok(PageMeta {
        resource_version: meta.resource_version,
        continuation: Some(meta.continuation),
    })
}

/// Takes a page in. All at once as a rule; where one object does not fit its kind, one by one, so
/// that it harms no other.
fn take<T: Convert>(text: &[u8], list: &mut List<T>) -> Result<PageMeta, ListError> {
    if let Ok(page) = serde_json::from_slice::<Page<T::Raw>>(text) {
        list.good.reserve(page.items.len());
        for raw in page.items {
            list.put(convert::stored(raw, None));
        }
        return Ok(page.metadata);
    }
    let page: Page<Value> =
        serde_json::from_slice(text).map_err(|error| ListError::Garbage(error.to_string()))?;
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
