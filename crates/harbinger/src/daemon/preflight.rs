//! What can be known to be wrong before anything starts: one message with its mend each.

use std::time::Duration;

use anyhow::{anyhow, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::{Client, Error};

/// How often a refusal is asked again before it is believed: definitions and permissions that were applied a
/// moment before us take that long to count.
const TRIES: u32 = 20;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// This process may open packet sockets.
///
/// # Errors
/// It may not; the text has the mend.
pub(super) fn sockets() -> anyhow::Result<()> {
    let Err(error) = linux::probe::packet_socket() else {
        return Ok(());
    };
    if error.is_permission() {
        bail!(
            "no packet socket may be opened: CAP_NET_RAW is missing; run as root, or `setcap cap_net_raw+ep` on the program, or add NET_RAW to the container's capabilities"
        );
    }
    Err(anyhow::Error::new(error)
        .context("no packet socket can be opened; `harbinger check` says what this host lacks"))
}

/// The cluster has our namespace and serves our kinds to us. A cluster that does not answer is waited for by
/// the watches, so it is no error here.
///
/// # Errors
/// No namespace, no definitions, no permission; the text has the mend.
pub(super) async fn cluster(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let mut last = None;
    for _ in 0..TRIES {
        match look(client, namespace).await {
            Ok(()) => return Ok(()),
            Err(Finding::Silent(error)) => {
                tracing::warn!(event = "clusterSilent", %error, "the cluster does not answer yet");
                return Ok(());
            }
            Err(Finding::Wrong(error)) => {
                if last.is_none() {
                    tracing::warn!(
                        event = "waiting",
                        "{error:#}; trying for {:?}",
                        PAUSE * TRIES
                    );
                }
                last = Some(error);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(last.unwrap_or_else(|| anyhow!("the cluster was not asked")))
}

enum Finding {
    /// It cannot be asked now.
    Silent(Error),
    /// It answered, and somebody has to act.
    Wrong(anyhow::Error),
}

async fn look(client: &Client, namespace: &str) -> Result<(), Finding> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespaces.get_opt(namespace).await {
        Ok(Some(_)) => {}
        Ok(None) => {
            return Err(Finding::Wrong(anyhow!(
                "there is no namespace {namespace:?}; create it (`kubectl create namespace {namespace}`), or choose another with --namespace"
            )));
        }
        Err(error) => judge(error, "get namespaces")?,
    }
    let pools: Api<api::IPAddressPool> = Api::namespaced(client.clone(), namespace);
    match pools.list(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.code == 404 => Err(Finding::Wrong(anyhow!(
            "the cluster does not serve metallb.io; install its definitions with `harbinger crds --apply`"
        ))),
        Err(error) => judge(error, "list ipaddresspools.metallb.io"),
    }
}

fn judge(error: Error, what: &str) -> Result<(), Finding> {
    match &error {
        Error::Api(status) if status.code == 403 || status.code == 401 => {
            Err(Finding::Wrong(anyhow!(
                "not allowed to {what}: {}; apply the roles of deploy/, or use another kubeconfig",
                status.message
            )))
        }
        _ => Err(Finding::Silent(error)),
    }
}
