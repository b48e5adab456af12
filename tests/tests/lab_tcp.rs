//! TCP of `linux` as BGP needs it: TTL and its minimum, passwords, source addresses, scopes, in namespaces.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use linux::tcp::{ConnectOptions, Connection, ListenOptions, Listener, Password};
use tests::lab::router::{Bird, Frr, Router, await_session};
use tests::lab::{self, Capture, Host, Lan};

tests::enter_lab_at_start!();

const WITHIN: Duration = Duration::from_secs(20);
/// A connection that does not come about in this time is refused by silence: the kernel sends its second SYN after 1 s.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Two hosts on a switch, each with a loop of its own.
struct Pair {
    _lan: Lan,
    near: Host,
    far: Host,
}

fn address(ipv6: bool, n: u8) -> IpAddr {
    let text = if ipv6 {
        format!("2001:db8:2::{n}")
    } else {
        format!("192.0.2.{n}")
    };
    text.parse().expect("an address")
}

impl Pair {
    fn new() -> Self {
        let lan = Lan::new().unwrap();
        let [near, far] = [("near", 1), ("far", 2)].map(|(name, n)| {
            let host = Host::new(name).unwrap();
            let addresses = [
                format!("192.0.2.{n}/24"),
                format!("2001:db8:2::{n}/64"),
                format!("fe80::{n}/64"),
            ];
            lan.attach(
                &host,
                "eth0",
                &[&addresses[0], &addresses[1], &addresses[2]],
            )
            .unwrap();
            host
        });
        Pair {
            _lan: lan,
            near,
            far,
        }
    }
}

fn password(text: &str) -> Option<Password> {
    Password::new(text)
}

fn to(ipv6: bool) -> ConnectOptions {
    ConnectOptions::to(SocketAddr::new(address(ipv6, 2), 179))
}

async fn write_all(connection: &Connection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        connection.writable().await?;
        bytes = &bytes[connection.write(bytes)?.unwrap_or(0)..];
    }
    Ok(())
}

async fn read_some(connection: &Connection) -> io::Result<Vec<u8>> {
    let mut buf = [0; 1_024];
    loop {
        connection.readable().await?;
        if let Some(count) = connection.read(&mut buf)? {
            return Ok(buf[..count].to_vec());
        }
    }
}

/// Accepts one connection on the far host and sends back what it reads, until its peer closes; the peer's address.
fn echo(
    far: &Host,
    options: ListenOptions,
    keys: Vec<(IpAddr, Password)>,
    minimum: Option<u8>,
) -> std::thread::JoinHandle<Option<SocketAddr>> {
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    let thread = far.thread(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = Listener::bind(&options).unwrap();
            for (peer, key) in &keys {
                listener.set_password(*peer, None, Some(key)).unwrap();
            }
            ready.send(()).unwrap();
            let connection = tokio::time::timeout(WITHIN, listener.accept())
                .await
                .ok()?
                .ok()?;
            connection.set_ttl(255, minimum).unwrap();
            while let Ok(bytes) = read_some(&connection).await {
                if bytes.is_empty() || write_all(&connection, &bytes).await.is_err() {
                    break;
                }
            }
            Some(connection.peer())
        })
    });
    listening.recv().unwrap();
    thread
}

fn listen(ipv6: bool) -> ListenOptions {
    ListenOptions {
        local: SocketAddr::new(address(ipv6, 2), 179),
        device: None,
    }
}

/// Connects and sends three octets there and back; the local address used.
fn exchange(near: &Host, options: &ConnectOptions) -> Result<SocketAddr, String> {
    near.block_on(async || {
        let connection = Connection::connect(options).map_err(|e| e.to_string())?;
        let made = tokio::time::timeout(SILENCE, connection.connected()).await;
        made.map_err(|_| "silence".to_owned())?
            .map_err(|e| e.to_string())?;
        write_all(&connection, b"abc")
            .await
            .map_err(|e| e.to_string())?;
        let back = tokio::time::timeout(SILENCE, read_some(&connection)).await;
        let back = back
            .map_err(|_| "no echo".to_owned())?
            .map_err(|e| e.to_string())?;
        assert_eq!(back, b"abc");
        assert_eq!(connection.unacknowledged().unwrap(), 0);
        connection.local().map_err(|e| e.to_string())
    })
}

// BGP-07, BGP-08
#[test]
fn passwords_right_wrong_and_missing_in_both_families() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    for ipv6 in [false, true] {
        let key = || vec![(address(ipv6, 1), password("right").unwrap())];
        for (ours, expected) in [(Some("right"), true), (Some("wrong"), false), (None, false)] {
            let far = echo(&pair.far, listen(ipv6), key(), None);
            let options = ConnectOptions {
                password: ours.and_then(password),
                ..to(ipv6)
            };
            let got = exchange(&pair.near, &options);
            assert_eq!(got.is_ok(), expected, "{ours:?} ipv6 {ipv6}: {got:?}");
            if !expected {
                assert_eq!(got, Err("silence".to_owned()), "the kernel drops silently");
                // Ends the listener.
                let options = ConnectOptions {
                    password: password("right"),
                    ..to(ipv6)
                };
                exchange(&pair.near, &options).unwrap();
            }
            far.join().unwrap();
        }
    }
}

// BGP-09
#[test]
fn a_live_connection_changes_its_password_with_its_peer_and_stalls_without() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let (ours, theirs) = (address(false, 1), address(false, 2));
    // Both ends in one thread of the near host would share nothing; so each has its own, and they meet at barriers.
    let steps = std::sync::Arc::new(std::sync::Barrier::new(2));
    let far_steps = std::sync::Arc::clone(&steps);
    let far = pair.far.thread(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = Listener::bind(&listen(false)).unwrap();
            listener
                .set_password(ours, None, password("old").as_ref())
                .unwrap();
            far_steps.wait();
            let connection = listener.accept().await.unwrap();
            assert_eq!(connection.peer().ip(), ours);
            assert_eq!(read_some(&connection).await.unwrap(), b"one");
            far_steps.wait();
            connection.set_password(password("new").as_ref()).unwrap();
            listener
                .set_password(ours, None, password("new").as_ref())
                .unwrap();
            far_steps.wait();
            assert_eq!(read_some(&connection).await.unwrap(), b"two");
            far_steps.wait();
            far_steps.wait();
        });
    });
    let near_steps = steps;
    pair.near.block_on(async || {
        near_steps.wait();
        let options = ConnectOptions {
            password: password("old"),
            ..ConnectOptions::to(SocketAddr::new(theirs, 179))
        };
        let connection = Connection::connect(&options).unwrap();
        connection.connected().await.unwrap();
        write_all(&connection, b"one").await.unwrap();
        near_steps.wait();
        near_steps.wait();
        // The far side has the new one already.
        connection.set_password(password("new").as_ref()).unwrap();
        write_all(&connection, b"two").await.unwrap();
        near_steps.wait();
        lab::eventually(WITHIN, "acknowledged", || {
            (connection.unacknowledged().unwrap() == 0).then_some(())
        });
        // A password that the other side does not have: what is sent stays unacknowledged (BGP-09's sign).
        connection.set_password(password("other").as_ref()).unwrap();
        write_all(&connection, b"three").await.unwrap();
        lab::pause(Duration::from_millis(500));
        assert_eq!(connection.unacknowledged().unwrap(), 5);
        near_steps.wait();
        connection.abort();
    });
    far.join().unwrap();
}

// BGP-11
#[test]
fn segments_below_the_minimum_ttl_are_dropped_on_both_sides() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    for ipv6 in [false, true] {
        let secured = ConnectOptions {
            minimum_ttl: Some(255),
            ..to(ipv6)
        };
        let far = echo(&pair.far, listen(ipv6), Vec::new(), Some(255));
        exchange(&pair.near, &secured).expect("the listener answers with 255");
        far.join().unwrap();
        // A peer whose segments arrive with 64 after the handshake is not heard any more.
        let far = echo(&pair.far, listen(ipv6), Vec::new(), Some(255));
        let echoed = pair.near.block_on(async || {
            let connection = Connection::connect(&to(ipv6)).unwrap();
            connection.connected().await.unwrap();
            write_all(&connection, b"abc").await.unwrap();
            assert_eq!(read_some(&connection).await.unwrap(), b"abc");
            connection.set_ttl(64, None).unwrap();
            write_all(&connection, b"def").await.unwrap();
            let back = tokio::time::timeout(SILENCE, read_some(&connection)).await;
            connection.set_ttl(255, None).unwrap();
            back.is_ok()
        });
        assert!(!echoed, "ipv6 {ipv6}");
        drop(far);
        // With the minimum on the listener its handshake is not even answered.
        let strict = pair.far.block_on(async || {
            let local = SocketAddr::new(address(ipv6, 2), 2_179);
            let listener = Listener::bind(&ListenOptions {
                local,
                device: None,
            })
            .unwrap();
            listener.set_minimum_ttl(Some(255)).unwrap();
            let weak = ConnectOptions {
                ttl: 64,
                ..ConnectOptions::to(local)
            };
            let near = pair.near.clone();
            let got = std::thread::spawn(move || exchange(&near, &weak));
            let accepted = tokio::time::timeout(SILENCE, listener.accept()).await;
            (accepted.is_ok(), got.join().unwrap())
        });
        assert_eq!(strict, (false, Err("silence".to_owned())), "ipv6 {ipv6}");
        // A listener that answers with the system's 64 is not heard by a connection that asks for 255.
        let plain = pair
            .far
            .run(|| std::net::TcpListener::bind(SocketAddr::new(address(ipv6, 2), 1_179)).unwrap());
        let secured = ConnectOptions {
            minimum_ttl: Some(255),
            ..ConnectOptions::to(SocketAddr::new(address(ipv6, 2), 1_179))
        };
        assert_eq!(
            exchange(&pair.near, &secured),
            Err("silence".to_owned()),
            "ipv6 {ipv6}"
        );
        drop(plain);
    }
}

// BGP-10
#[test]
fn segments_leave_with_the_ttl_asked_for_and_class_6() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    for ttl in [1u8, 255] {
        let capture = Capture::start(&pair.far, "eth0").unwrap();
        let far = echo(&pair.far, listen(false), Vec::new(), None);
        exchange(&pair.near, &ConnectOptions { ttl, ..to(false) }).unwrap();
        far.join().unwrap();
        let tcp = |f: &lab::Frame| f.ethertype() == 0x0800 && f.bytes[23] == 6;
        let frame = capture.wait(WITHIN, |f| !f.outgoing && tcp(f)).unwrap();
        assert_eq!((frame.bytes[22], frame.bytes[15]), (ttl, 0xc0));
        let frame = capture.wait(WITHIN, |f| f.outgoing && tcp(f)).unwrap();
        assert_eq!(frame.bytes[22], 255, "the listener's");
    }
}

// BGP-12
#[test]
fn the_source_address_is_bound_and_a_missing_one_is_named() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    pair.near.add_address("eth0", "192.0.2.77/24").unwrap();
    let far = echo(&pair.far, listen(false), Vec::new(), None);
    let local = Some(IpAddr::from([192, 0, 2, 77]));
    let used = exchange(&pair.near, &ConnectOptions { local, ..to(false) }).unwrap();
    assert_eq!(Some(used.ip()), local);
    assert_eq!(far.join().unwrap().map(|peer| peer.ip()), local);
    let local = Some(IpAddr::from([192, 0, 2, 78]));
    let error = pair.near.block_on(async || {
        Connection::connect(&ConnectOptions { local, ..to(false) }).unwrap_err()
    });
    assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL));
    assert!(
        error.to_string().contains("source address 192.0.2.78"),
        "{error}"
    );
}

// BGP-13
#[test]
fn a_link_local_peer_is_reached_by_its_interface() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let at = |host: &Host, n: u8, port| {
        let scope = host.index("eth0").unwrap();
        (
            SocketAddr::from(SocketAddrV6::new(
                format!("fe80::{n}").parse().unwrap(),
                port,
                0,
                scope,
            )),
            scope,
        )
    };
    let (local, device) = at(&pair.far, 2, 179);
    let far = echo(
        &pair.far,
        ListenOptions {
            local,
            device: Some(device),
        },
        Vec::new(),
        None,
    );
    let (peer, device) = at(&pair.near, 2, 179);
    let options = ConnectOptions {
        device: Some(device),
        local: Some(at(&pair.near, 1, 0).0.ip()),
        ..ConnectOptions::to(peer)
    };
    exchange(&pair.near, &options).unwrap();
    far.join().unwrap();
    let nowhere = ConnectOptions {
        device: Some(4_000),
        ..ConnectOptions::to(peer)
    };
    let error = pair
        .near
        .block_on(async || Connection::connect(&nowhere).unwrap_err());
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
}

// BGP-03
#[test]
fn a_port_in_use_and_an_absent_address_are_told_apart() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    pair.far.block_on(async || {
        let first = Listener::bind(&listen(false)).unwrap();
        let error = Listener::bind(&listen(false)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
        assert!(error.to_string().contains("192.0.2.2:179"), "{error}");
        let elsewhere = ListenOptions {
            local: "192.0.2.99:179".parse().unwrap(),
            device: None,
        };
        assert_eq!(
            Listener::bind(&elsewhere).unwrap_err().raw_os_error(),
            Some(libc::EADDRNOTAVAIL)
        );
        drop(first);
    });
}

/// A router's password and ours, by the bytes of an OPEN it answers; `None` when it stays silent.
fn open_answered(near: &Host, secret: Option<&str>) -> Option<u8> {
    near.block_on(async || {
        let options = ConnectOptions {
            password: secret.and_then(password),
            minimum_ttl: Some(255),
            ..to(false)
        };
        let connection = Connection::connect(&options).unwrap();
        tokio::time::timeout(SILENCE, connection.connected())
            .await
            .ok()?
            .ok()?;
        // OPEN: AS 65010, hold time 90, identifier 192.0.2.1, no parameters.
        let mut open = vec![0xff; 16];
        open.extend([0, 29, 1, 4, 0xfd, 0xf2, 0, 90, 192, 0, 2, 1, 0]);
        write_all(&connection, &open).await.ok()?;
        let answer = tokio::time::timeout(WITHIN, read_some(&connection))
            .await
            .ok()?
            .ok()?;
        answer.get(18).copied()
    })
}

// BGP-07, BGP-11
#[test]
fn frr_and_bird_take_our_password_and_our_ttl_and_no_other() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let frr = Frr::start(
        &pair.far,
        "router bgp 65002\n no bgp ebgp-requires-policy\n neighbor 192.0.2.1 remote-as 65010\n neighbor 192.0.2.1 passive\n \
         neighbor 192.0.2.1 password right\n neighbor 192.0.2.1 ttl-security hops 1\nexit\n",
    )
    .unwrap();
    lab::eventually(WITHIN, "FRR answers an OPEN with an OPEN", || {
        (open_answered(&pair.near, Some("right")) == Some(1)).then_some(())
    });
    assert_eq!(open_answered(&pair.near, Some("wrong")), None);
    assert_eq!(open_answered(&pair.near, None), None);
    drop(frr);
    let bird = Bird::start(
        &pair.far,
        "router id 192.0.2.2; protocol device {} protocol bgp p { local 192.0.2.2 as 65002; neighbor 192.0.2.1 as 65010; \
         passive on; password \"right\"; ttl security on; ipv4 { import all; export none; }; }\n",
    )
    .unwrap();
    await_session(&bird, address(false, 1), WITHIN, |s| {
        s.state == "Passive" || s.state == "Active"
    });
    lab::eventually(WITHIN, "BIRD answers an OPEN with an OPEN", || {
        (open_answered(&pair.near, Some("right")) == Some(1)).then_some(())
    });
    assert_eq!(open_answered(&pair.near, Some("wrong")), None);
    assert_eq!(open_answered(&pair.near, None), None);
    assert!(bird.sessions().is_ok());
}
