//! Who may look at the metrics port: the cluster is asked, as controller-runtime does for MetalLB.
//!
//! TokenReview says whose the bearer token is, SubjectAccessReview whether that user may `get` the path.
//! Nothing is remembered between two requests, so a withdrawn permission ends at once.
//! LIMIT: two API requests for each scrape; at most [`REVIEWS_MAX`] at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use tokio::sync::Semaphore;

/// Reviews at once; more requests are answered 429. Scrapers are few.
pub const REVIEWS_MAX: usize = 8;

/// Longest bearer token that is passed on, bytes; a service account's has about 1,200.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The guard; clones share its bound.
#[derive(Clone)]
pub struct Guard {
    client: kube::Client,
    reviews: Arc<Semaphore>,
}

impl Guard {
    /// A guard that asks this cluster.
    pub fn new(client: kube::Client) -> Self {
        Self {
            client,
            reviews: Arc::new(Semaphore::new(REVIEWS_MAX)),
        }
    }

    async fn check(&self, token: &str, verb: &str, path: &str) -> Result<(), StatusCode> {
        let Ok(_permit) = self.reviews.try_acquire() else {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        };
        let user = self.user(token).await?;
        if self.allowed(user, verb, path).await? {
            Ok(())
        } else {
            Err(StatusCode::FORBIDDEN)
        }
    }

    async fn user(&self, token: &str) -> Result<UserInfo, StatusCode> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| refused("TokenReview", &error))?;
        let status = answer.status.unwrap_or_default();
        match status.user {
            Some(user) if status.authenticated == Some(true) => Ok(user),
            _ => Err(StatusCode::UNAUTHORIZED),
        }
    }

    async fn allowed(&self, user: UserInfo, verb: &str, path: &str) -> Result<bool, StatusCode> {
        let extra: Option<BTreeMap<String, Vec<String>>> = user.extra;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                extra,
                groups: user.groups,
                uid: user.uid,
                user: user.username,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some(verb.to_owned()),
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| refused("SubjectAccessReview", &error))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn refused(what: &str, error: &kube::Error) -> StatusCode {
    tracing::warn!(event = "metricsGuard", %error, "{what} failed; is its permission granted?");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// The middleware.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Some(token) = bearer(&request) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let verb = match *request.method() {
        Method::PUT => "put",
        _ => "get",
    };
    match guard.check(token, verb, request.uri().path()).await {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_response(),
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let good = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX;
    good.then_some(token)
}
