//! The three listeners of an operator.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::middleware;
use tokio::net::TcpListener;

use super::Process;
use crate::admin::guard::{Guard, guard};
use crate::admin::local::Local;
use crate::admin::{Admin, bind, health_router, router, serve, tls};
use crate::cli::args::{Ports, TlsMin};
use crate::metrics::Metrics;

/// Binds and starts what the flags ask for. Without a cluster nobody can be asked who may look, so there is no
/// guarded port. `local` binds health to the loopback, as a speaker in the host's network does.
pub(super) async fn start(
    process: &mut Process,
    ports: &Ports,
    client: Option<kube::Client>,
    local: bool,
) -> anyhow::Result<()> {
    let admin = Admin {
        metrics: Arc::new(Metrics::new(&process.timings)),
        log: process.log.clone(),
        roles: process.roles.clone(),
    };
    if let Some(address) = ports.metrics_plain {
        let listener = bind(address, "--metrics-plain").await?;
        let part = serve(listener, router(admin.clone()), process.stop.clone());
        process.part("plain metrics", part);
    }
    if ports.health_probe_port != 0 {
        let port = ports.health_probe_port;
        let listener = if local {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            bind(address, "--health-probe-port").await?
        } else {
            bind_everywhere(port, "--health-probe-port").await?
        };
        let part = serve(listener, health_router(admin.clone()), process.stop.clone());
        process.part("health", part);
    }
    if let Some(client) = client.filter(|_| ports.port != 0) {
        let tls12 = ports.tls_min_version == TlsMin::V12;
        let config = tls::config(ports.metrics_cert_dir.as_deref(), tls12)?;
        let listener = bind_everywhere(ports.port, "--port").await?;
        let listener = tls::TlsListener::new(listener, config);
        let guarded =
            router(admin).layer(middleware::from_fn_with_state(Guard::new(client), guard));
        process.part("metrics", serve(listener, guarded, process.stop.clone()));
    }
    Ok(())
}

/// Answers commands on this node. A second speaker of the same name in one network namespace goes without.
pub(super) fn local(process: &mut Process, node: &str) {
    let admin = Admin {
        metrics: Arc::new(Metrics::new(&process.timings)),
        log: process.log.clone(),
        roles: process.roles.clone(),
    };
    match Local::bind(node) {
        Ok(listener) => {
            let part = serve(listener, router(admin), process.stop.clone());
            process.part("commands", part);
        }
        Err(error) => tracing::warn!(
            event = "noCommands",
            error = format!("{error:#}"),
            "commands such as `harbinger bgp` cannot reach this process"
        ),
    }
}

/// On every address of both families, or of IPv4 where the host has no IPv6.
async fn bind_everywhere(port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match TcpListener::bind(both).await {
        Ok(listener) => Ok(listener),
        // A port in use is told by the second try.
        Err(_no_ipv6) => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), flag).await,
    }
}
