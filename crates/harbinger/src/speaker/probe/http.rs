//! One GET over a connection that is there: no pool, no redirects, nothing kept.

use std::io;
use std::net::SocketAddr;

use engine::health::ProbeResult;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body;

/// LIMIT: octets of an answer's body that are read: kube-proxy's is some three hundred.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// LIMIT: octets of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

pub(super) async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: SocketAddr,
    path: &str,
    host: Option<&str>,
) -> io::Result<ProbeResult> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let host = host.map_or_else(|| target.to_string(), str::to_owned);
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(
            header::USER_AGENT,
            concat!("harbinger/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        // A body that is too long, or breaks off, is no reason to doubt the status.
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map(|all| all.to_bytes()).unwrap_or_default();
        Ok::<_, hyper::Error>(ProbeResult::Answer(body::read(&head, &body)))
    };
    // The connection is driven here and dropped with the answer: nothing outlives the probe.
    tokio::pin!(connection);
    tokio::pin!(exchange);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            result = &mut exchange => return Ok(result.unwrap_or_else(|error| other(&error))),
            _closed = &mut connection, if open => open = false,
        }
    }
}

fn other(error: &hyper::Error) -> ProbeResult {
    use std::error::Error as _;
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    ProbeResult::Other(format!("no HTTP answer ({why})"))
}
