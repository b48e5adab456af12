//! What is on the wire, and the sockets' own duties.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bfd::{Mode, Profile, SessionKey, State};
use tests::lab::{self, Capture, Frame, Host, Lan, Port};

use super::speaker::{Command, Speaker};

pub const WITHIN: Duration = Duration::from_secs(20);

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn profile(interval_ms: u64, multiplier: u8) -> Profile {
    Profile {
        receive_interval: ms(interval_ms),
        transmit_interval: ms(interval_ms),
        detect_multiplier: multiplier,
        ..Profile::default()
    }
}

/// Two hosts on a switch: 192.0.2.1 and .2, 2001:db8:2::1 and ::2.
pub struct Pair {
    pub lan: Lan,
    pub hosts: [Host; 2],
    pub ports: [Port; 2],
}

pub fn address(ipv6: bool, n: u8) -> IpAddr {
    let text = if ipv6 {
        format!("2001:db8:2::{n}")
    } else {
        format!("192.0.2.{n}")
    };
    text.parse().expect("an address")
}

impl Pair {
    pub fn new() -> Self {
        let lan = Lan::new().unwrap();
        let hosts = ["near", "far"].map(|name| Host::new(name).unwrap());
        let ports = [0, 1].map(|i| {
            let n = i + 1;
            let addresses = [format!("192.0.2.{n}/24"), format!("2001:db8:2::{n}/64")];
            lan.attach(&hosts[i], "eth0", &[&addresses[0], &addresses[1]])
                .unwrap()
        });
        Pair { lan, hosts, ports }
    }
}

/// Of host 0 (near) or 1 (far).
pub fn key(ipv6: bool, host: u8, mode: Mode) -> SessionKey {
    SessionKey {
        local: Some(address(ipv6, host + 1)),
        ..SessionKey::new(address(ipv6, 2 - host), mode)
    }
}

/// Both ends ours, both up.
pub fn both_up(pair: &Pair, ipv6: bool, mode: Mode, profile: Profile) -> [Speaker; 2] {
    let speakers =
        [0u8, 1].map(|i| Speaker::with(&pair.hosts[usize::from(i)], key(ipv6, i, mode), profile));
    for i in [0u8, 1] {
        speakers[usize::from(i)].await_state(&key(ipv6, i, mode), State::Up, WITHIN);
    }
    speakers
}

/// TTL or hop limit, class, source port, destination port and checksum of a UDP frame to this port.
fn udp(frame: &Frame, port: u16) -> Option<(u8, u8, u16, u16)> {
    let bytes = &frame.bytes;
    let (ttl, class, at) = match frame.ethertype() {
        0x0800 if bytes[23] == 17 => (bytes[22], bytes[15], 34),
        0x86dd if bytes[20] == 17 => (bytes[21], bytes[14] << 4 | bytes[15] >> 4, 54),
        _ => return None,
    };
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    (word(at + 2) == port).then(|| (ttl, class, word(at), word(at + 6)))
}

// BFD-10, BFD-11
#[test]
fn packets_leave_with_ttl_255_class_6_and_a_source_port_of_their_own() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    for (ipv6, mode) in [
        (false, Mode::SingleHop),
        (true, Mode::SingleHop),
        (false, Mode::MultiHop),
        (true, Mode::MultiHop),
    ] {
        let capture = Capture::start(&pair.hosts[1], "eth0").unwrap();
        let _speaker = Speaker::with(&pair.hosts[0], key(ipv6, 0, mode), profile(50, 3));
        let frame = capture
            .wait(WITHIN, |frame| {
                !frame.outgoing && udp(frame, mode.port()).is_some()
            })
            .expect("a packet");
        let (ttl, class, source, checksum) = udp(&frame, mode.port()).unwrap();
        assert_eq!((ttl, class), (255, 0xc0), "{mode:?} ipv6 {ipv6}");
        assert!(source >= 49_152);
        assert_ne!(checksum, 0, "checked");
    }
}

// BFD-70
#[test]
fn two_of_ours_come_up_in_each_mode_and_family() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    for (ipv6, mode) in [
        (false, Mode::SingleHop),
        (true, Mode::SingleHop),
        (false, Mode::MultiHop),
        (true, Mode::MultiHop),
    ] {
        let speakers = both_up(&pair, ipv6, mode, profile(50, 3));
        assert!(speakers[0].seen(|seen| seen.problems.is_empty()));
    }
}

// BFD-16
#[test]
fn a_link_local_session_is_bound_to_its_interface() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let link_local = |n: u8| -> IpAddr { format!("fe80::{n}").parse().unwrap() };
    for (i, host) in pair.hosts.iter().enumerate() {
        host.add_address("eth0", &format!("fe80::{}/64", i + 1))
            .unwrap();
    }
    let keys = [0u8, 1].map(|i| SessionKey {
        local: Some(link_local(i + 1)),
        interface: Some(pair.hosts[usize::from(i)].index("eth0").unwrap()),
        ..SessionKey::new(link_local(2 - i), Mode::SingleHop)
    });
    let speakers = [0, 1].map(|i| Speaker::with(&pair.hosts[i], keys[i], profile(50, 3)));
    for i in [0, 1] {
        speakers[i].await_state(&keys[i], State::Up, WITHIN);
    }
}

// BFD-15
#[test]
fn a_port_held_by_another_daemon_is_told_in_words() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("near").unwrap();
    // A daemon that shares its port with whoever asks, as FRR's and BIRD's do.
    let held = host.run(|| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        let any: std::net::SocketAddr = "0.0.0.0:3784".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket
    });
    let speaker = Speaker::with(&host, key(false, 0, Mode::SingleHop), profile(50, 3));
    let problem = lab::eventually(WITHIN, "a problem", || {
        speaker.seen(|seen| seen.problems.iter().find(|p| p.contains("3784")).cloned())
    });
    assert!(
        problem.contains("cannot bind BFD receive socket 0.0.0.0:3784"),
        "{problem}"
    );
    drop(held);
}

// BFD-15
#[test]
fn one_socket_per_port_serves_all_sessions_and_a_second_process_is_kept_out() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let _first = both_up(&pair, false, Mode::SingleHop, profile(50, 3));
    let second = Speaker::with(
        &pair.hosts[0],
        key(false, 0, Mode::SingleHop),
        profile(50, 3),
    );
    lab::eventually(WITHIN, "a problem", || {
        second.seen(|seen| (!seen.problems.is_empty()).then_some(()))
    });
}

// BFD-51, BFD-54
#[test]
fn a_loop_held_up_for_400_ms_calls_nothing_down_that_the_kernel_heard() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let capture = Capture::start(&pair.hosts[0], "eth0").unwrap();
    let key = |host| key(false, host, Mode::SingleHop);
    // The far side is patient: held up, we say nothing meanwhile.
    let near = Speaker::with(&pair.hosts[0], key(0), profile(50, 40));
    let _far = Speaker::with(&pair.hosts[1], key(1), profile(50, 6));
    let status = lab::eventually(WITHIN, "fast and up", || {
        near.status(&key(0))
            .filter(|s| s.state == State::Up && s.detection_time == Some(ms(300)))
    });
    assert_eq!(status.downs, 0);
    for _ in 0..5 {
        near.tell(Command::Stall(ms(400)));
        lab::pause(ms(600));
    }
    // A far side that was itself too late is a true Down: the machine may be busy with other things.
    let came: Vec<_> = capture
        .frames()
        .iter()
        .filter(|frame| !frame.outgoing && udp(frame, 3784).is_some())
        .map(|frame| frame.at)
        .collect();
    let false_downs = near.seen(|seen| {
        let heard = |at: Instant, c: &bfd::StateChange| {
            let (silence, detection) = (c.silence.unwrap(), c.detection_time.unwrap());
            let last = at - silence;
            // Both clocks of the capture's stamps and ours are turned from the wall's: a millisecond of doubt.
            came.iter()
                .any(|t| *t > last + ms(2) && *t + ms(2) < last + detection)
        };
        let left = seen.changes.iter().filter(|(_, c)| c.from == State::Up);
        left.filter(|(at, c)| heard(*at, c)).count()
    });
    assert!(came.len() > 50, "{}", came.len());
    println!("{} packets came, {} true Downs", came.len(), near.downs());
    assert_eq!(
        false_downs,
        0,
        "{:?}",
        near.seen(|seen| seen.changes.clone())
    );
}

// BFD-23
#[test]
fn a_process_that_stops_is_no_failure_to_the_other() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let [near, far] = both_up(&pair, false, Mode::SingleHop, profile(50, 3));
    let before = Instant::now();
    drop(near);
    let (_, change) = far.await_down(before, WITHIN);
    assert_eq!(change.cause, bfd::Cause::PeerAdminDown);
    assert!(!change.is_failure());
}

// BFD-64
#[test]
fn a_lost_path_is_told_to_the_other_side_at_once() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let [near, far] = both_up(&pair, false, Mode::SingleHop, profile(1_000, 10));
    let before = Instant::now();
    near.tell(Command::PathDown(key(false, 0, Mode::SingleHop)));
    let (at, change) = far.await_down(before, WITHIN);
    assert_eq!(change.remote_diagnostic, bfd::Diagnostic::PATH_DOWN);
    assert!(at - before < Duration::from_secs(2), "{:?}", at - before);
}
