//! The routes over loopback, plain and with TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::{Admin, QUESTIONS_MAX, Question, Role, bind, health_router, router, serve, tls};
use crate::metrics::{Family, Metrics, Name, Timings};
use crate::shutdown::Stop;
use crate::telemetry::LogControl;

struct Bench {
    admin: Admin,
    ready: watch::Sender<bool>,
    _layer: tracing_subscriber::reload::Layer<
        tracing_subscriber::filter::Targets,
        tracing_subscriber::Registry,
    >,
}

/// A role's loop that answers until the test ends.
async fn role(mut questions: mpsc::Receiver<Question>) {
    while let Some(question) = questions.recv().await {
        match question {
            Question::Page(page, answer) => {
                let _gone = answer.send(format!("the page {page:?}"));
            }
            Question::Metrics(answer) => {
                let _gone = answer.send(vec![Family::one(Name::MembersAlive, 3)]);
            }
            Question::Sessions(..) | Question::Reset(..) => {}
        }
    }
}

/// Starts the role's loop too; call it inside a runtime.
fn bench() -> Bench {
    let (bench, questions) = deaf();
    tokio::spawn(role(questions));
    bench
}

fn deaf() -> (Bench, mpsc::Receiver<Question>) {
    let (ready, receiver) = watch::channel(false);
    let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
    let (log, layer) = LogControl::detached();
    let bench = Bench {
        admin: Admin {
            metrics: Arc::new(Metrics::new(&Timings::default())),
            log,
            roles: vec![Role {
                name: "speaker",
                ready: receiver,
                questions: sender,
            }],
        },
        ready,
        _layer: layer,
    };
    (bench, questions)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    exchange(stream, method, path, body).await
}

async fn exchange<S>(mut stream: S, method: &str, path: &str, body: &str) -> (u16, String)
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A TLS peer may end without a closing alert.
    let _end = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn the_operator_sees_metrics_health_and_readiness() {
    block_on(async {
        let bench = bench();
        let stop = Stop::default();
        let listener = bind(loopback(), "--metrics-plain").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, router(bench.admin.clone()), stop.clone()));
        let (status, text) = request(address, "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
        assert!(text.contains("harbinger_members_alive 3"), "{text}");
        assert_eq!(request(address, "GET", "/healthz", "").await.0, 200);
        let (status, text) = request(address, "GET", "/readyz", "").await;
        assert_eq!(status, 503);
        assert!(text.contains("speaker"), "{text}");
        bench.ready.send_replace(true);
        assert_eq!(request(address, "GET", "/readyz", "").await.0, 200);
        stop.request();
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_debug_page_is_written_by_the_roles_loop() {
    block_on(async {
        let (bench, questions) = deaf();
        let listener = bind(loopback(), "--metrics-plain").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, router(bench.admin), Stop::default()));
        let role = tokio::spawn(role(questions));
        let (status, text) = request(address, "GET", "/debug/plan", "").await;
        assert_eq!(
            (status, text.contains("# speaker\nthe page Plan")),
            (200, true)
        );
        role.abort();
        // With nobody to answer it is an error, not a hang.
        let _ended = role.await;
        assert_eq!(request(address, "GET", "/debug/world", "").await.0, 503);
        assert_eq!(request(address, "GET", "/metrics", "").await.0, 503);
        serving.abort();
    });
}

#[test]
fn the_log_level_is_put_and_a_bad_one_refused() {
    block_on(async {
        let bench = bench();
        let listener = bind(loopback(), "--metrics-plain").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, router(bench.admin), Stop::default()));
        let put = |body: &'static str| request(address, "PUT", "/debug/log-level", body);
        assert_eq!(put("debug").await.0, 200);
        assert_eq!(put("loud").await.0, 400);
        let long = "a".repeat(5000);
        assert_eq!(
            request(address, "PUT", "/debug/log-level", &long).await.0,
            413
        );
        serving.abort();
    });
}

#[test]
fn the_health_port_shows_nothing_but_health() {
    block_on(async {
        let bench = bench();
        let listener = bind(loopback(), "--health-probe-port").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, health_router(bench.admin), Stop::default()));
        assert_eq!(request(address, "GET", "/healthz", "").await.0, 200);
        assert_eq!(request(address, "GET", "/metrics", "").await.0, 404);
        assert_eq!(request(address, "GET", "/debug/world", "").await.0, 404);
        serving.abort();
    });
}

#[test]
fn a_port_in_use_is_told_with_the_mend() {
    block_on(async {
        let listener = bind(loopback(), "--port").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("{:#}", bind(address, "--port").await.unwrap_err());
        assert!(
            text.contains("--port") && text.contains(&address.to_string()),
            "{text}"
        );
    });
}

#[test]
fn metrics_are_served_over_tls_with_a_certificate_made_at_start() {
    block_on(async {
        let bench = bench();
        let listener = bind(loopback(), "--port").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = tls::TlsListener::new(listener, tls::config(None, false).unwrap());
        let serving = tokio::spawn(serve(listener, router(bench.admin), Stop::default()));
        // One who never shakes hands holds nobody up.
        let _idle = TcpStream::connect(address).await.unwrap();
        let stream = trusting().connect(name(), TcpStream::connect(address).await.unwrap());
        let (status, text) = exchange(stream.await.unwrap(), "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(
            text.contains("harbinger_service_announced_seconds"),
            "{text}"
        );
        serving.abort();
    });
}

fn name() -> rustls::pki_types::ServerName<'static> {
    "localhost".try_into().unwrap()
}

/// A client that trusts everybody, as a scraper with `insecure_skip_verify`.
fn trusting() -> tokio_rustls::TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
