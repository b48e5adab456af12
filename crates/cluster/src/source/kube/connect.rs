//! A client as this source wants it.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::Path;
use std::time::Duration;

/// Longest wait for a connection: a server that is gone must not hold a write past its lease.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no client; the text says what to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig that cannot be used.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("no cluster: neither a kubeconfig nor a service account was found ({0})")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// The client cannot be made of it (certificates, addresses).
    #[error("no client: {0}")]
    Client(#[source] Box<kube::Error>),
}

/// A client from a kubeconfig (and a context of it), else from the environment: `KUBECONFIG`,
/// `~/.kube/config`, the service account of a Pod. It does not connect yet.
///
/// Hidden retries are off: each write has a deadline and a policy of its own.
pub async fn connect(path: Option<&Path>, context: Option<&str>) -> Result<Client, ConnectError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let mut config = match path {
        Some(path) => {
            let failed = |source| ConnectError::Kubeconfig {
                path: path.display().to_string(),
                source: Box::new(source),
            };
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(failed)?
        }
        None if context.is_some() => {
            Config::from_kubeconfig(&options)
                .await
                .map_err(|source| ConnectError::Kubeconfig {
                    path: "of the environment".to_owned(),
                    source: Box::new(source),
                })?
        }
        None => Config::infer()
            .await
            .map_err(|error| ConnectError::Infer(Box::new(error)))?,
    };
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}
