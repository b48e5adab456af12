//! FRR's bfdd and BIRD as peers: up, equal intervals, down in both directions by cut and on purpose.

use std::time::{Duration, Instant};

use bfd::{Cause, Mode, State};
use tests::lab::router::{Bird, Frr, Router, await_bfd};
use tests::lab::{self, Host};

use super::speaker::Speaker;
use super::wire::{Pair, WITHIN, address, key, ms, profile};

/// One of the two, with a session towards 192.0.2.1 and 2001:db8:2::1.
#[derive(Debug)]
enum Peer {
    Frr(Frr),
    Bird(Bird),
}

fn mode_words(mode: Mode, n: u8, ipv6: bool) -> String {
    match mode {
        Mode::SingleHop => String::new(),
        Mode::MultiHop => format!(" multihop local-address {}", address(ipv6, n)),
    }
}

fn bird_config(mode: Mode, interval: u64, multiplier: u8, passive: bool) -> String {
    let timers = format!(
        "min rx interval {interval} ms; min tx interval {interval} ms; idle tx interval 1 s; multiplier {multiplier}; passive {};",
        if passive { "yes" } else { "no" }
    );
    let neighbours = match mode {
        Mode::SingleHop => "neighbor 192.0.2.1 dev \"eth0\"; neighbor 2001:db8:2::1 dev \"eth0\";".to_owned(),
        Mode::MultiHop => "neighbor 192.0.2.1 local 192.0.2.2 multihop; neighbor 2001:db8:2::1 local 2001:db8:2::2 multihop;".to_owned(),
    };
    let kind = match mode {
        Mode::SingleHop => "interface \"eth0\"",
        Mode::MultiHop => "multihop",
    };
    format!(
        "router id 192.0.2.2; protocol device {{}} protocol bfd b {{ {kind} {{ {timers} }}; {neighbours} }}\n"
    )
}

fn frr_lines(mode: Mode, interval: u64, multiplier: u8, extra: &str) -> String {
    let peers: String = [false, true]
        .map(|ipv6| {
            format!(
                " peer {}{}\n  transmit-interval {interval}\n  receive-interval {interval}\n  detect-multiplier {multiplier}\n{extra} exit\n",
                address(ipv6, 1),
                mode_words(mode, 2, ipv6)
            )
        })
        .concat();
    format!("bfd\n{peers}exit\n")
}

impl Peer {
    fn frr(host: &Host, mode: Mode, interval: u64, multiplier: u8) -> Self {
        Peer::Frr(Frr::start(host, &frr_lines(mode, interval, multiplier, "")).unwrap())
    }

    fn bird(host: &Host, mode: Mode, interval: u64, multiplier: u8) -> Self {
        Peer::Bird(Bird::start(host, &bird_config(mode, interval, multiplier, false)).unwrap())
    }

    fn router(&self) -> &dyn Router {
        match self {
            Peer::Frr(frr) => frr,
            Peer::Bird(bird) => bird,
        }
    }

    /// Down on purpose. BIRD has no such command for a session; taking its protocol down stops it.
    fn admin_down(&self, mode: Mode, down: bool) {
        match self {
            Peer::Frr(frr) => {
                let word = if down { "shutdown" } else { "no shutdown" };
                let peer = format!("peer 192.0.2.1{}", mode_words(mode, 2, false));
                frr.run("bfdd", &["configure terminal", "bfd", &peer, word])
                    .unwrap();
            }
            Peer::Bird(bird) => {
                bird.run(if down { "disable b" } else { "enable b" })
                    .unwrap();
            }
        }
    }

    fn set(&self, mode: Mode, interval: u64, multiplier: u8) {
        match self {
            Peer::Frr(frr) => frr
                .configure(&frr_lines(mode, interval, multiplier, ""))
                .unwrap(),
            Peer::Bird(bird) => bird
                .configure(&bird_config(mode, interval, multiplier, false))
                .unwrap(),
        }
    }
}

type Make = fn(&Host, Mode, u64, u8) -> Peer;

/// Up in both families with negotiated intervals equal on both sides, then down by a cut, seen by both.
#[track_caller]
fn check_up_and_cut(make: Make, mode: Mode, minimum_ttl: u8) {
    if !lab::ready() {
        return;
    }
    let pair = Pair::new();
    let peer = make(&pair.hosts[1], mode, 100, 4);
    let keys = [false, true].map(|ipv6| key(ipv6, 0, mode));
    let speaker = Speaker::start(&pair.hosts[0], 3);
    let started = Instant::now();
    let wanted = bfd::Profile {
        minimum_ttl,
        ..profile(150, 3)
    };
    speaker.set(&keys.map(|key| (key, wanted)));
    for key in &keys {
        speaker.await_state(key, State::Up, WITHIN);
    }
    println!("{mode:?}: both up after {:?}", started.elapsed());
    for (key, ipv6) in keys.iter().zip([false, true]) {
        let settled =
            |b: &tests::lab::router::BfdSession| b.state == "Up" && b.detection_time == ms(450);
        let theirs = await_bfd(peer.router(), address(ipv6, 1), WITHIN, settled);
        assert_eq!(theirs.transmit_interval, ms(150));
        let ours = lab::eventually(WITHIN, "our intervals settle", || {
            speaker
                .status(key)
                .filter(|s| s.detection_time == Some(ms(600)) && !s.polling)
        });
        assert_eq!(ours.transmit_interval, Some(ms(150)));
        assert_eq!(ours.remote_detection_time, theirs.detection_time);
    }
    assert_eq!(speaker.downs(), 0);
    // Carrier stays, nothing passes.
    pair.ports[1].mute().unwrap();
    let cut = Instant::now();
    let (_, change) = speaker.await_down(cut, WITHIN);
    assert_eq!(change.cause, Cause::DetectionTimeExpired);
    assert!(change.silence >= change.detection_time);
    await_bfd(peer.router(), address(false, 1), WITHIN, |b| {
        b.state == "Down"
    });
    pair.ports[1].unmute().unwrap();
    for key in &keys {
        speaker.await_state(key, State::Up, WITHIN);
    }
}

// BFD-70
#[test]
fn frr_single_hop_comes_up_in_both_families_and_a_cut_is_seen_by_both() {
    check_up_and_cut(Peer::frr, Mode::SingleHop, 254);
}

// BFD-70
#[test]
fn frr_multihop_comes_up_in_both_families_and_a_cut_is_seen_by_both() {
    check_up_and_cut(Peer::frr, Mode::MultiHop, 254);
}

// BFD-70
#[test]
fn bird_single_hop_comes_up_in_both_families_and_a_cut_is_seen_by_both() {
    check_up_and_cut(Peer::bird, Mode::SingleHop, 254);
}

// BFD-70
#[test]
fn bird_multihop_comes_up_in_both_families_and_a_cut_is_seen_by_both() {
    // BIRD sends multihop packets with the system's TTL of 64, so it needs a profile that lets them through.
    check_up_and_cut(Peer::bird, Mode::MultiHop, 60);
}

/// On purpose, from either side: told as such, no failure, and back up when it ends.
#[track_caller]
fn check_admin(make: Make, theirs: Cause) {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::SingleHop);
    let peer = make(&pair.hosts[1], mode, 100, 3);
    let key = key(false, 0, mode);
    let speaker = Speaker::with(&pair.hosts[0], key, profile(100, 3));
    speaker.await_state(&key, State::Up, WITHIN);
    await_bfd(peer.router(), key.local.unwrap(), WITHIN, |b| {
        b.state == "Up"
    });
    let before = Instant::now();
    peer.admin_down(mode, true);
    let (_, change) = speaker.await_down(before, WITHIN);
    assert_eq!(change.cause, theirs);
    peer.admin_down(mode, false);
    speaker.await_state(&key, State::Up, WITHIN);
    assert_eq!(speaker.downs(), 1, "exactly once");
    await_bfd(peer.router(), key.local.unwrap(), WITHIN, |b| {
        b.state == "Up"
    });
    // Ours: the session is taken away.
    speaker.set(&[]);
    await_bfd(peer.router(), key.local.unwrap(), WITHIN, |b| {
        b.state != "Up"
    });
    speaker.set(&[(key, profile(100, 3))]);
    speaker.await_state(&key, State::Up, WITHIN);
}

// BFD-23, BFD-72
#[test]
fn frr_shut_down_on_purpose_is_no_failure() {
    check_admin(Peer::frr, Cause::PeerAdminDown);
}

// BFD-23, BFD-72
#[test]
fn bird_shut_down_on_purpose_goes_silent_and_falls_once() {
    // BIRD 2.0.12 ends its sessions without a word, so this is a failure like any silence.
    check_admin(Peer::bird, Cause::DetectionTimeExpired);
}

// BFD-02, BFD-48
#[test]
fn bird_multihop_with_the_default_minimum_ttl_is_dropped_by_name() {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::MultiHop);
    let _peer = Peer::bird(&pair.hosts[1], mode, 100, 3);
    let key = key(false, 0, mode);
    let speaker = Speaker::with(&pair.hosts[0], key, profile(100, 3));
    let status = lab::eventually(WITHIN, "its packets are dropped", || {
        speaker
            .status(&key)
            .filter(|s| s.drops.of(bfd::DropReason::Ttl) >= 2)
    });
    assert_eq!((status.state, status.received), (State::Down, 0));
}

/// Twenty changes of intervals, in turn on either side, without a Down.
#[track_caller]
fn check_changes(make: Make) {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::SingleHop);
    let peer = make(&pair.hosts[1], mode, 200, 5);
    let key = key(false, 0, mode);
    let speaker = Speaker::with(&pair.hosts[0], key, profile(200, 5));
    speaker.await_state(&key, State::Up, WITHIN);
    for n in 0..20u64 {
        let interval = [200, 300, 250, 400][n as usize % 4] + n;
        if n % 2 == 0 {
            speaker.set(&[(key, profile(interval, 5))]);
            let settled = |b: &tests::lab::router::BfdSession| b.transmit_interval >= ms(interval);
            await_bfd(peer.router(), key.local.unwrap(), WITHIN, settled);
        } else {
            peer.set(mode, interval, 5);
            lab::eventually(WITHIN, "the new interval arrives", || {
                speaker
                    .status(&key)
                    .filter(|s| s.remote_desired_min_tx == ms(interval))
            });
        }
    }
    assert_eq!(
        speaker.downs(),
        0,
        "{:?}",
        speaker.seen(|seen| seen.changes.clone())
    );
    lab::eventually(WITHIN, "no poll is left", || {
        speaker
            .status(&key)
            .filter(|s| s.state == State::Up && !s.polling)
    });
}

// BFD-33, BFD-41, BFD-72
#[test]
fn frr_stays_up_over_twenty_changes_of_intervals() {
    check_changes(Peer::frr);
}

// BFD-33, BFD-41, BFD-72
#[test]
fn bird_stays_up_over_twenty_changes_of_intervals() {
    check_changes(Peer::bird);
}

// BFD-40, BFD-47
#[test]
fn frr_with_echo_mode_comes_up_and_gets_no_echo() {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::SingleHop);
    let frr = Frr::start(&pair.hosts[1], &frr_lines(mode, 100, 3, "")).unwrap();
    // By the terminal: it warns that this is for IPv4 and for FRR, which vtysh makes an error of.
    let echo = [
        "configure terminal",
        "bfd",
        "peer 192.0.2.1",
        "echo-mode",
        "echo transmit-interval 50",
    ];
    frr.run("bfdd", &echo).unwrap();
    let key = key(false, 0, mode);
    let speaker = Speaker::with(&pair.hosts[0], key, profile(100, 3));
    speaker.await_state(&key, State::Up, WITHIN);
    await_bfd(&frr, key.local.unwrap(), WITHIN, |b| {
        b.state == "Up" && b.detection_time == ms(300)
    });
    lab::pause(Duration::from_secs(2));
    assert_eq!(speaker.downs(), 0);
}

// BFD-26
#[test]
fn a_passive_side_is_raised_by_either_peer() {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::SingleHop);
    let key = key(false, 0, mode);
    let passive = bfd::Profile {
        passive: true,
        ..profile(100, 3)
    };
    for make in [Peer::frr as Make, Peer::bird as Make] {
        let peer = make(&pair.hosts[1], mode, 100, 3);
        let speaker = Speaker::with(&pair.hosts[0], key, passive);
        speaker.await_state(&key, State::Up, WITHIN);
        drop(peer);
    }
}

// BFD-71
#[test]
fn a_slow_frr_is_stable_beside_our_fast_timers() {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::SingleHop);
    let peer = Peer::frr(&pair.hosts[1], mode, 2_000, 5);
    let key = key(false, 0, mode);
    let speaker = Speaker::with(&pair.hosts[0], key, profile(50, 3));
    speaker.await_state(&key, State::Up, WITHIN);
    await_bfd(peer.router(), key.local.unwrap(), WITHIN, |b| {
        b.detection_time == ms(6_000)
    });
    lab::eventually(WITHIN, "our detection time settles", || {
        speaker
            .status(&key)
            .filter(|s| s.detection_time == Some(ms(10_000)))
    });
    lab::pause(Duration::from_secs(15));
    assert_eq!(speaker.downs(), 0);
}
