//! TLS for the metrics port: a listener for axum, and the certificate.
//!
//! A handshake never holds the accept loop up: each runs beside it, bounded in number and time.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Handshakes at once; more connections wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 32;

/// A client that takes longer for its handshake is not waited for.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts TLS connections.
pub struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    /// TLS over an existing listener.
    pub fn new(tcp: TcpListener, config: Arc<ServerConfig>) -> Self {
        Self {
            tcp,
            acceptor: TlsAcceptor::from(config),
            handshakes: JoinSet::new(),
        }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = self.tcp.accept(), if self.handshakes.len() < HANDSHAKES_MAX => {
                    match accepted {
                        Ok((stream, from)) => {
                            let handshake = self.acceptor.accept(stream);
                            self.handshakes.spawn(async move {
                                let done = tokio::time::timeout(HANDSHAKE_TIME_MAX, handshake).await;
                                done.ok()?.ok().map(|stream| (stream, from))
                            });
                        }
                        Err(error) => {
                            tracing::debug!(%error, "accept on the metrics port");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// The server's configuration: the certificate of `folder` (`tls.crt`, `tls.key`), or one made now.
///
/// # Errors
/// The files cannot be read or do not fit each other.
pub fn config(folder: Option<&Path>, tls12: bool) -> anyhow::Result<Arc<ServerConfig>> {
    let (chain, key) = match folder {
        Some(folder) => read(folder)?,
        None => make()?,
    };
    let versions: &[_] = if tls12 {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .context("TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key of the metrics port do not fit each other")?;
    Ok(Arc::new(config))
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(folder: &Path) -> anyhow::Result<Pair> {
    let path = folder.join("tls.crt");
    let chain = CertificateDer::pem_file_iter(&path)
        .and_then(Iterator::collect)
        .with_context(|| format!("--metrics-cert-dir: cannot read {}", path.display()))?;
    let path = folder.join("tls.key");
    let key = PrivateKeyDer::from_pem_file(&path)
        .with_context(|| format!("--metrics-cert-dir: cannot read {}", path.display()))?;
    Ok((chain, key))
}

/// Self-signed and gone with the process, as MetalLB's: the scraper is told not to verify it.
fn make() -> anyhow::Result<Pair> {
    let names = vec!["localhost".to_owned(), "harbinger".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("making a certificate")?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}
