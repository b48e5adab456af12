//! A probe as the shell carries it out, and what came of it.

use crate::name::NamespacedName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Which probe a result belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub(super) u64);

/// The step of the ladder (design/health.md, 3) that a probe stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// `healthCheckNodePort` of a Service.
    LocalPort,
    /// `/healthz` of port 10256.
    Healthz,
    /// `/livez` of port 10256, asked only when `/healthz` does not say why it is not well.
    Livez,
    /// A connection to a NodePort, where 10256 is not served.
    NodePort,
    /// What a Service asks for.
    Application,
}

impl Rung {
    /// Every rung.
    pub const ALL: [Self; 5] = [
        Self::LocalPort,
        Self::Healthz,
        Self::Livez,
        Self::NodePort,
        Self::Application,
    ];

    /// For labels and people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalPort => "healthCheckNodePort",
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::NodePort => "nodePort",
            Self::Application => "application",
        }
    }
}

/// One thing to ask. The shell owes a result within `timeout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Goes back with the result.
    pub id: ProbeId,
    /// Where.
    pub target: SocketAddr,
    /// What.
    pub kind: ProbeKind,
    /// How long it may take.
    pub timeout: Duration,
    /// Why, for counters.
    pub rung: Rung,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// One GET, no redirects, the connection closed after the answer.
    Get {
        /// The path.
        path: Arc<str>,
        /// The `Host` header; none: address and port.
        host: Option<Arc<str>>,
        /// Over TLS, any certificate.
        tls: bool,
    },
    /// A connection, closed with a reset.
    Connect,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// An HTTP answer.
    Answer(Answer),
    /// The connection was made ([`ProbeKind::Connect`]).
    Connected,
    /// Refused by the other side's kernel: something is alive there.
    Refused,
    /// No answer in time.
    Timeout,
    /// No way there, in the kernel's words.
    Unreachable(String),
    /// Something else, in words.
    Other(String),
}

impl ProbeResult {
    /// For labels.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Answer(_) => "answer",
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Other(_) => "other",
        }
    }
}

/// The facts of an HTTP answer; none where the body does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `nodeEligible` of 10256.
    pub eligible: Option<bool>,
    /// `status.IPv4.healthy` of 10256.
    pub healthy_v4: Option<bool>,
    /// `status.IPv6.healthy` of 10256.
    pub healthy_v6: Option<bool>,
    /// `service` of a healthCheckNodePort.
    pub service: Option<NamespacedName>,
    /// `localEndpoints`.
    pub endpoints: Option<u32>,
    /// `serviceProxyHealthy`.
    pub proxy_healthy: Option<bool>,
    /// Header `X-Load-Balancing-Endpoint-Weight`.
    pub weight: Option<u32>,
}
