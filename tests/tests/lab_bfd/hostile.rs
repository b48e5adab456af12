//! Forgers on the same network: wrong TTL, wrong names, other people's addresses, floods.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bfd::{Discriminator, DropReason, Mode, Packet, State};
use socket2::{Domain, Socket, Type};
use tests::lab::{self, Host};

use super::speaker::Speaker;
use super::wire::{Pair, WITHIN, both_up, key, ms, profile};

/// A socket on a host that sends as it likes.
struct Forger {
    socket: Socket,
    to: SocketAddr,
}

impl Forger {
    fn new(host: &Host, from: IpAddr, ttl: u32, mode: Mode) -> Self {
        let socket = host.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_ttl_v4(ttl).unwrap();
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
            socket
        });
        let to = SocketAddr::new(super::wire::address(false, 1), mode.port());
        Forger { socket, to }
    }

    fn send(&self, bytes: &[u8]) {
        // A full queue is a packet less.
        let _ = self.socket.send_to(bytes, &self.to.into());
    }
}

/// What the peer of this session would say, were it down.
fn forged(speaker: &Speaker, key: &bfd::SessionKey) -> Packet {
    let status = speaker.status(key).expect("the session lives");
    Packet {
        diagnostic: bfd::Diagnostic::DETECTION_TIME_EXPIRED,
        state: State::Down,
        poll: false,
        finished: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        multiplier: 3,
        my_discriminator: status.remote_discriminator.expect("known while up"),
        your_discriminator: Some(status.local_discriminator),
        desired_min_tx_us: 1_000_000,
        required_min_rx_us: 1_000_000,
        required_min_echo_rx_us: 0,
    }
}

fn drops(speaker: &Speaker, reason: DropReason) -> u64 {
    speaker.seen(|seen| seen.counters.drops.of(reason))
}

// BFD-02
#[test]
fn a_wrong_ttl_never_reaches_the_session() {
    if !lab::ready() {
        return;
    }
    for (mode, ttl) in [(Mode::SingleHop, 254), (Mode::MultiHop, 253)] {
        let pair = Pair::new();
        let speakers = both_up(&pair, false, mode, profile(100, 5));
        let key = key(false, 0, mode);
        let near = &speakers[0];
        let packet = forged(near, &key).encode();
        // From the peer's own address, so that nothing else is wrong.
        let forger = Forger::new(&pair.hosts[1], key.peer, ttl, mode);
        for _ in 0..100 {
            forger.send(&packet);
        }
        lab::eventually(WITHIN, "they are seen and dropped", || {
            let seen = near.seen(|s| s.kernel_drops) + drops(near, DropReason::Ttl);
            (seen >= 100).then_some(())
        });
        assert_eq!(near.downs(), 0);
        if mode == Mode::SingleHop {
            assert_eq!(
                drops(near, DropReason::Ttl),
                0,
                "the kernel's filter took them"
            );
        }
        // The counter-proof: the same with the right TTL takes it down.
        let before = Instant::now();
        Forger::new(&pair.hosts[1], key.peer, 255, mode).send(&packet);
        let (_, change) = near.await_down(before, WITHIN);
        assert_eq!(change.cause, bfd::Cause::PeerDown);
    }
}

// BFD-04, BFD-06
#[test]
fn wrong_names_and_wrong_senders_change_nothing() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let mode = Mode::SingleHop;
    let [near, far] = both_up(&pair, false, mode, profile(100, 5));
    let key = key(false, 0, mode);
    // A third station on the same network.
    let third = Host::new("third").unwrap();
    pair.lan.attach(&third, "eth0", &["192.0.2.3/24"]).unwrap();
    let spoof = Forger::new(&third, IpAddr::from([192, 0, 2, 3]), 255, mode);
    let inside = Forger::new(&pair.hosts[1], key.peer, 255, mode);
    let right = forged(&near, &key);
    let guessed = Packet {
        your_discriminator: Discriminator::new(0x0bad_cafe),
        ..right
    };
    let newcomer = Packet {
        your_discriminator: None,
        my_discriminator: Discriminator::new(77).unwrap(),
        ..right
    };
    for _ in 0..50 {
        spoof.send(&right.encode());
        spoof.send(&newcomer.encode());
        inside.send(&guessed.encode());
        inside.send(&newcomer.encode());
        inside.send(&right.encode()[..20]);
    }
    for (reason, count) in [
        (DropReason::WrongAddress, 50),
        (DropReason::UnknownPeer, 50),
        (DropReason::UnknownDiscriminator, 50),
        (DropReason::ForeignDiscriminator, 50),
        (DropReason::LengthTooLarge, 50),
    ] {
        lab::eventually(WITHIN, reason.as_str(), || {
            (drops(&near, reason) == count).then_some(())
        });
    }
    assert_eq!((near.downs(), far.downs()), (0, 0));
}

// BFD-56
#[test]
fn a_flood_of_invalid_packets_flaps_nothing() {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let mode = Mode::SingleHop;
    let [near, far] = both_up(&pair, false, mode, profile(100, 10));
    let forger = Forger::new(&pair.hosts[1], key(false, 0, mode).peer, 255, mode);
    let until = Instant::now() + Duration::from_secs(3);
    let mut sent = 0u64;
    while Instant::now() < until {
        for _ in 0..100 {
            forger.send(&[0x40; 24]);
        }
        sent += 100;
        lab::pause(ms(1));
    }
    let late = |c: &bfd::StateChange| c.silence >= c.detection_time;
    let flaps = near.seen(|s| {
        s.changes
            .iter()
            .filter(|(_, c)| c.from == State::Up && !late(c))
            .count()
    });
    println!(
        "{sent} sent, {} read, {} lost by the kernel",
        drops(&near, DropReason::Version),
        near.seen(|s| s.kernel_drops)
    );
    assert_eq!((flaps, near.downs(), far.downs()), (0, 0, 0));
    assert!(drops(&near, DropReason::Version) > 0);
}
