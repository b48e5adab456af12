//! The way from a command on this node to the speaker on it: a socket without a file.
//!
//! Owns its name and who may use it. The name is in the abstract namespace, so that it needs no writable folder
//! and goes with the process; everybody in the network namespace can see it, so the kernel is asked who connects:
//! root and the speaker's own user are answered, others are closed without a byte. What is asked is the admin
//! server's.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

/// What every name begins with; the node's name follows.
const PREFIX: &str = "harbinger/";

/// LIMIT: octets of an answer; 100,000 routes with their attributes make 30 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Answers whoever may ask.
pub struct Local {
    listener: UnixListener,
    user: u32,
}

impl Local {
    /// Listens for commands about this node.
    ///
    /// # Errors
    /// Another process of this name runs here.
    pub fn bind(node: &str) -> anyhow::Result<Self> {
        let address = address(node)?;
        let listener = StdListener::bind_addr(&address)
            .with_context(|| format!("another speaker of {node} answers commands here"))?;
        listener.set_nonblocking(true)?;
        // What connects to itself is told its own user.
        let (one, _other) = UnixStream::pair()?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            user: one.peer_cred()?.uid(),
        })
    }
}

impl axum::serve::Listener for Local {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
            let user = stream.peer_cred().map(|who| who.uid());
            if user.is_ok_and(|user| user == 0 || user == self.user) {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn address(node: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{PREFIX}{node}"))
}

/// The node whose speaker runs here, when it is one.
///
/// # Errors
/// There is none, or there are several; the text names them.
fn only_node() -> anyhow::Result<String> {
    let sockets = std::fs::read_to_string("/proc/net/unix").context("/proc/net/unix")?;
    let start = format!("@{PREFIX}");
    let names = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().last()?.strip_prefix(start.as_str()));
    let nodes: std::collections::BTreeSet<&str> = names.collect();
    let mut each = nodes.iter();
    match (each.next(), each.next()) {
        (Some(node), None) => Ok((*node).to_owned()),
        (None, _) => bail!(
            "no speaker runs here; ask on the node, or in its Pod: kubectl exec -n metallb-system POD -- harbinger bgp"
        ),
        (Some(_), Some(_)) => {
            let nodes: Vec<&str> = nodes.into_iter().collect();
            bail!(
                "several speakers run here; name one with --node: {}",
                nodes.join(", ")
            )
        }
    }
}

/// Asks the speaker of a node on this host; none: the only one. The body of a good answer.
///
/// # Errors
/// Nobody answers, or the answer is a refusal, whose text is the error.
pub async fn request(
    node: Option<&str>,
    method: hyper::Method,
    path: &str,
) -> anyhow::Result<Bytes> {
    let node = match node {
        Some(node) => node.to_owned(),
        None => only_node()?,
    };
    let stream = StdStream::connect_addr(&address(&node)?)
        .with_context(|| format!("the speaker of {node} does not run here"))?;
    stream.set_nonblocking(true)?;
    let stream = TokioIo::new(UnixStream::from_std(stream)?);
    let closed = "it closed the connection; root and its own user may ask";
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .context(closed)?;
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "local")
        .body(Empty::<Bytes>::new())?;
    let asked = async {
        let answer = sender.send_request(request).await.context(closed)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow!("the answer could not be read: {error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    let (status, body) = tokio::select! {
        asked = asked => asked?,
        // It ends when the answer does; the answer is awaited beside it.
        Err(error) = connection => bail!("the speaker of {node}: {error}"),
    };
    if !status.is_success() {
        bail!("{}", String::from_utf8_lossy(&body).trim_end());
    }
    Ok(body)
}
