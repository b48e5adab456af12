//! The socket on the loopback address of this host, and the decoding of reports.

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn check_closed_port_is_reported(ip: IpAddr) {
    runtime().block_on(async {
        let socket = MemberSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        // A port that was free a moment ago.
        let closed = MemberSocket::bind(SocketAddr::new(ip, 0))
            .unwrap()
            .local_addr();
        socket.send_to(b"anybody there", closed).unwrap();
        let report = loop {
            socket.readable().await.unwrap();
            if let Some(report) = socket.unreachable().unwrap() {
                break report;
            }
        };
        assert_eq!(report.peer, closed);
        assert!(report.port);
        assert_eq!(report.errno, libc::ECONNREFUSED);
        assert_eq!(report.reporter, Some(ip));
        assert_eq!(socket.unreachable().unwrap(), None);
        // The socket goes on: what other peers send is not lost behind the error.
        let peer = MemberSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.send_to(b"again", closed).unwrap();
        socket.send_to(b"hello", peer.local_addr()).unwrap();
        peer.readable().await.unwrap();
        let mut buf = [0; 64];
        let (len, from) = peer.recv(&mut buf).unwrap().unwrap();
        assert_eq!((&buf[..len], from), (&b"hello"[..], socket.local_addr()));
    });
}

#[test]
fn reports_a_closed_port_over_ipv4() {
    check_closed_port_is_reported(Ipv4Addr::LOCALHOST.into());
}

#[test]
fn reports_a_closed_port_over_ipv6_where_the_host_has_it() {
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        check_closed_port_is_reported(Ipv6Addr::LOCALHOST.into());
    }
}

#[test]
fn a_batch_is_bounded_and_keeps_the_rest_readable() {
    runtime().block_on(async {
        let a = MemberSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let b = MemberSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        for n in 0..5u8 {
            a.send_to(&[n], b.local_addr()).unwrap();
        }
        let mut buf = [0; 8];
        let mut got = Vec::new();
        for expected in [3, 2] {
            b.readable().await.unwrap();
            let n = b
                .recv_batch(3, &mut buf, |_, bytes| got.extend_from_slice(bytes))
                .unwrap();
            assert_eq!(n, expected);
        }
        assert_eq!(got, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_cut_report_is_no_report() {
    let peer = "192.0.2.1:7946".parse().unwrap();
    let mut bytes = vec![0u8; 16];
    bytes[..4].copy_from_slice(&(libc::ECONNREFUSED as u32).to_ne_bytes());
    bytes[4..7].copy_from_slice(&[2, 3, 3]);
    let whole = report(&bytes, peer).unwrap();
    assert!(whole.port && whole.reporter.is_none());
    for cut in 0..7 {
        assert_eq!(report(&bytes[..cut], peer), None);
    }
}
