//! Probes against real servers on the loopback, with what kube-proxy 1.33 answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use engine::health::{Answer, Health, HealthDesired, NodeWanted, Probe, ProbeKind, ProbeResult};
use engine::name::NamespacedName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::carry_out;

mod figures;

/// A probe of the machine itself, aimed elsewhere.
fn probe(target: SocketAddr, kind: ProbeKind) -> Probe {
    let now = Instant::now();
    let mut health = Health::new(0, now);
    let node = NodeWanted {
        addresses: [(engine::world::Family::V4, [127, 0, 0, 1].into())].into(),
        ..NodeWanted::default()
    };
    let desired = HealthDesired {
        nodes: [("a".to_owned(), node)].into(),
        ..HealthDesired::default()
    };
    health.set_desired(desired.into(), now);
    let probe = health.poll_probe(now).expect("one is due");
    Probe {
        target,
        kind,
        timeout: Duration::from_secs(5),
        ..probe
    }
}

fn get() -> ProbeKind {
    ProbeKind::Get {
        path: "/healthz".into(),
        host: None,
        tls: false,
    }
}

/// Answers each connection with these bytes and keeps it open.
async fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap_or(0);
                if read > 0 {
                    assert!(request.starts_with(b"GET /healthz HTTP/1.1\r\n"));
                    let _gone = stream.write_all(answer.as_bytes()).await;
                }
                // Until the prober closes.
                let _reset = stream.read(&mut request).await;
            });
        }
    });
    address
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

#[test]
fn what_kube_proxy_says_is_understood() {
    const NODE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 289\r\n\r\n\
        {\"lastUpdated\":\"2026-01-01 00:00:00.0 +0000 UTC\",\"currentTime\":\"2026-01-01 00:00:00.0 +0000 UTC\",\"nodeEligible\":false,\"healthy\":true,\"status\":{\"IPv4\":{\"lastUpdated\":\"2026-01-01 00:00:00.0 +0000 UTC\",\"healthy\":true},\"IPv6\":{\"lastUpdated\":\"2026-01-01 00:00:00.0 +0000 UTC\",\"healthy\":false}}}";
    const LOCAL: &str = "HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 3\r\nContent-Length: 96\r\n\r\n\
        {\"service\":{\"namespace\":\"default\",\"name\":\"web\"},\"localEndpoints\":3,\"serviceProxyHealthy\":true}  ";
    const RUBBISH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let node = Answer {
        status: 503,
        eligible: Some(false),
        healthy_v4: Some(true),
        healthy_v6: Some(false),
        ..Answer::default()
    };
    let local = Answer {
        status: 200,
        service: Some(NamespacedName::new("default", "web")),
        endpoints: Some(3),
        proxy_healthy: Some(true),
        weight: Some(3),
        ..Answer::default()
    };
    let rubbish = Answer {
        status: 200,
        ..Answer::default()
    };
    run(async {
        for (text, answer) in [(NODE, node), (LOCAL, local), (RUBBISH, rubbish)] {
            let probe = probe(server(text).await, get());
            assert_eq!(
                carry_out(&probe).await,
                Some(ProbeResult::Answer(answer)),
                "{text}"
            );
        }
    });
}

#[test]
fn what_is_no_answer_has_its_name() {
    run(async {
        let refusing = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let gone = refusing.local_addr().expect("an address");
        drop(refusing);
        assert_eq!(
            carry_out(&probe(gone, get())).await,
            Some(ProbeResult::Refused)
        );
        let connect = probe(gone, ProbeKind::Connect);
        assert_eq!(carry_out(&connect).await, Some(ProbeResult::Refused));

        let silent = server("").await;
        let mut short = probe(silent, get());
        short.timeout = Duration::from_millis(50);
        let begun = Instant::now();
        assert_eq!(carry_out(&short).await, Some(ProbeResult::Timeout));
        assert!(begun.elapsed() >= Duration::from_millis(50));
        let connect = probe(silent, ProbeKind::Connect);
        assert_eq!(carry_out(&connect).await, Some(ProbeResult::Connected));

        let noise = server("220 mail.example ESMTP\r\n").await;
        let told = carry_out(&probe(noise, get())).await;
        assert!(matches!(told, Some(ProbeResult::Other(_))), "{told:?}");
    });
}

#[test]
fn an_endless_answer_is_cut() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the prober");
            stream.write_all(HEAD.as_bytes()).await.expect("the head");
            let block = [b'x'; 8192];
            while stream.write_all(&block).await.is_ok() {}
        });
        let told = carry_out(&probe(address, get())).await;
        let status = match told {
            Some(ProbeResult::Answer(answer)) => answer.status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status, 200);
    });
}
