//! Detection of real cuts, and what many sessions cost. Figures are printed; the bounds that hold on any machine are
//! asserted here, those of a quiet one by the bench.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bfd::{Mode, SessionKey, State};
use tests::lab::{self, Host};

use super::speaker::Speaker;
use super::wire::{Pair, WITHIN, both_up, key, ms, profile};

// BFD-57
#[test]
fn a_cut_is_never_found_before_the_detection_time() {
    if !lab::ready() {
        return;
    }
    let (pair, mode) = (Pair::new(), Mode::SingleHop);
    for interval in [20, 50, 100] {
        let detection = ms(interval * 3);
        let mut late = Vec::new();
        for _ in 0..10 {
            let [near, far] = both_up(&pair, false, mode, profile(interval, 3));
            let key = key(false, 0, mode);
            lab::eventually(WITHIN, "fast", || {
                near.status(&key)
                    .filter(|s| s.detection_time == Some(detection) && !s.polling)
            });
            // Silent at once and without a goodbye.
            pair.ports[1].mute().unwrap();
            let (_, change) = near.await_down(Instant::now() - ms(1), WITHIN);
            let silence = change.silence.unwrap();
            assert!(silence >= detection, "{silence:?}");
            late.push(silence - detection);
            pair.ports[1].unmute().unwrap();
            drop((near, far));
        }
        late.sort();
        println!(
            "{interval} ms x 3: late by median {:?}, most {:?}",
            late[late.len() / 2],
            late[late.len() - 1]
        );
    }
}

/// Processor time of this process, user and system; the kernel counts it in hundredths of a second.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything: the 14th and 15th field of all.
    let (_, rest) = text.rsplit_once(')').unwrap();
    let ticks = rest.split_whitespace().skip(11).take(2);
    ms(ticks.map(|t| t.parse::<u64>().unwrap() * 10).sum())
}

// BFD-55
#[test]
fn two_hundred_sessions_are_held_by_two_loops() {
    if !lab::ready() {
        return;
    }
    const SESSIONS: u8 = 200;
    let lan = lab::Lan::new().unwrap();
    let hosts = ["near", "far"].map(|name| Host::new(name).unwrap());
    let ip = |side: usize, n: u8| IpAddr::from([10, 0, side as u8, n + 1]);
    for (side, host) in hosts.iter().enumerate() {
        let addresses: Vec<_> = (0..SESSIONS)
            .map(|n| format!("{}/16", ip(side, n)))
            .collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        lan.attach(host, "eth0", &addresses).unwrap();
    }
    let speakers = [0usize, 1].map(|side| {
        let speaker = Speaker::start(&hosts[side], side as u64);
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|n| {
                let key = SessionKey {
                    local: Some(ip(side, n)),
                    ..SessionKey::new(ip(1 - side, n), Mode::SingleHop)
                };
                (key, profile(50, 20))
            })
            .collect();
        speaker.set(&sessions);
        speaker
    });
    for speaker in &speakers {
        lab::eventually(Duration::from_secs(30), "all are up", || {
            speaker.seen(|seen| {
                let up = seen
                    .statuses
                    .values()
                    .filter(|s| s.state == State::Up && s.detection_time == Some(ms(1_000)));
                (up.count() == usize::from(SESSIONS)).then_some(())
            })
        });
    }
    let sent = |s: &Speaker| s.seen(|seen| (seen.counters.sent, seen.turns));
    let (before, used, start) = (sent(&speakers[0]), cpu(), Instant::now());
    lab::pause(Duration::from_secs(10));
    let (passed, used) = (start.elapsed(), cpu() - used);
    let after = sent(&speakers[0]);
    let share = used.as_secs_f64() / passed.as_secs_f64() / 2.0 * 100.0;
    println!(
        "200 sessions x 50 ms: {share:.1} % of a core a side, {:.0} packets and {:.0} turns a second",
        (after.0 - before.0) as f64 / passed.as_secs_f64(),
        (after.1 - before.1) as f64 / passed.as_secs_f64()
    );
    assert_eq!(speakers.iter().map(Speaker::downs).sum::<usize>(), 0);
}
