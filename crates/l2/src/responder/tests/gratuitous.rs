//! Unasked frames: the rounds, their order under the budget, the refresh, failures.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::testing::*;
use crate::{Config, Interface, MacAddr, Responder, SEND_RETRY, Transmit, TransmitKind};

const NOBODY: [Ipv4Addr; 0] = [];

fn vip(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
}

fn vips(count: u32) -> BTreeSet<IpAddr> {
    (0..count).map(vip).collect()
}

fn with(config: Config, addresses: &BTreeSet<IpAddr>, now: Instant) -> Responder {
    let mut responder = Responder::new(config, INTERFACE, 1, now);
    responder.set_addresses(addresses, &set(NOBODY), now);
    responder
}

fn without_refresh() -> Config {
    Config {
        refresh: None,
        ..Config::default()
    }
}

/// When frames left, in milliseconds since `start`.
fn times(sent: &[(Instant, Transmit)], start: Instant) -> Vec<u128> {
    sent.iter()
        .map(|(at, _)| at.duration_since(start).as_millis())
        .collect()
}

fn is_request(transmit: &Transmit) -> bool {
    transmit.bytes[21] == 1
}

fn gratuitous(operation: u16, target_mac: MacAddr) -> Vec<u8> {
    let frame = ArpFrame {
        source: US,
        operation,
        sender_mac: US,
        sender: VIP,
        target_mac,
        target: VIP,
        ..ArpFrame::default()
    };
    frame.bytes()
}

// L2-21, L2-30
#[test]
fn a_round_is_a_broadcast_request_and_then_a_broadcast_reply() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP]), now);
    let frames: Vec<_> = drain(&mut responder)
        .into_iter()
        .map(|t| (t.kind, t.bytes))
        .collect();
    let kind = TransmitKind::Gratuitous(IpAddr::V4(VIP));
    assert_eq!(
        frames,
        [
            (kind, gratuitous(1, MacAddr::ZERO)),
            (kind, gratuitous(2, US))
        ]
    );
    assert!(frames.iter().all(|(_, bytes)| bytes.len() == 60));
}

// L2-31
#[test]
fn a_new_ipv4_address_gets_six_rounds() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP]), now);
    let sent = run(&mut responder, now, now + ms(3_600_000));
    assert_eq!(
        times(&sent, now),
        [
            0, 0, 200, 200, 1100, 1100, 2200, 2200, 3300, 3300, 4400, 4400
        ]
    );
    assert_eq!(
        responder.counters().addresses[&IpAddr::V4(VIP)].gratuitous_sent,
        12
    );
    assert_eq!(responder.poll_timeout(), None, "a silent machine is idle");
}

// L2-70, L2-74
#[test]
fn a_new_ipv6_address_gets_five_unsolicited_advertisements() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP6]), now);
    let sent = run(&mut responder, now, now + ms(3_600_000));
    assert_eq!(times(&sent, now), [0, 1100, 2200, 3300, 4400]);
    let expected = NdFrame {
        destination_mac: MacAddr([0x33, 0x33, 0, 0, 0, 1]),
        source_mac: US,
        source: VIP6,
        destination: "ff02::1".parse().unwrap(),
        kind: 136,
        flags: 0x20,
        options: option(2, US),
        ..NdFrame::default()
    };
    assert!(
        sent.iter()
            .all(|(_, transmit)| transmit.bytes == expected.bytes())
    );
}

// L2-32
#[test]
fn planning_the_same_again_does_not_restart_the_schedule() {
    let now = base();
    let (mut quiet, mut busy) = (
        with(without_refresh(), &vips(3), now),
        with(without_refresh(), &vips(3), now),
    );
    let expected = run(&mut quiet, now, now + ms(10_000));
    let mut sent = Vec::new();
    for step in 0..100 {
        let at = now + ms(step * 100);
        busy.set_addresses(&vips(3), &set([ELSEWHERE]), at);
        busy.set_interface(INTERFACE, at);
        sent.extend(run(&mut busy, at, at + ms(99)));
    }
    assert_eq!(sent, expected);
}

// L2-32
#[test]
fn leaving_and_coming_back_and_a_resolved_conflict_restart_the_schedule() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP]), now);
    run(&mut responder, now, now + ms(10_000));
    let later = now + ms(10_000);
    responder.set_addresses(&set(NOBODY), &set([VIP]), later);
    responder.set_addresses(&set([VIP]), &set(NOBODY), later);
    assert_eq!(
        run(&mut responder, later, later + ms(10_000)).len(),
        12,
        "moved here"
    );
    let later = later + ms(10_000);
    responder.announce(IpAddr::V4(VIP), later);
    assert_eq!(
        run(&mut responder, later, later + ms(10_000)).len(),
        12,
        "announced again"
    );
    responder.announce(IpAddr::V4(STRANGER), later);
    assert_eq!(
        run(&mut responder, later, later + ms(10_000)),
        [],
        "never for what is not ours"
    );
}

// L2-33
#[test]
fn refreshes_each_address_once_per_period_within_a_tenth() {
    for (period, config) in [
        (60_000, Config::default()),
        (
            5_000,
            Config {
                refresh: Some(ms(5_000)),
                ..Config::default()
            },
        ),
    ] {
        let now = base();
        let mut responder = with(config, &vips(200), now);
        run(&mut responder, now, now + ms(5_000));
        let sent = run(
            &mut responder,
            now + ms(5_000),
            now + ms(5_000 + 10 * period),
        );
        let mut rounds: BTreeMap<IpAddr, Vec<u128>> = BTreeMap::new();
        for (at, transmit) in sent.iter().filter(|(_, transmit)| is_request(transmit)) {
            rounds
                .entry(transmit.kind.address())
                .or_default()
                .push(at.duration_since(now).as_millis());
        }
        assert_eq!(rounds.len(), 200);
        let tenth = u128::from(period) / 10;
        for times in rounds.values() {
            assert!((9..=11).contains(&times.len()), "{}", times.len());
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                assert!(
                    (u128::from(period) - tenth..=u128::from(period) + tenth).contains(&gap),
                    "{gap}"
                );
            }
        }
        let busiest = (0..10 * period / 1000).map(|second| {
            let range = u128::from(5_000 + second * 1_000)..u128::from(6_000 + second * 1_000);
            sent.iter()
                .filter(|(at, _)| range.contains(&at.duration_since(now).as_millis()))
                .count()
        });
        assert!(
            busiest.max().unwrap() < 4 * 400 * 1_000 / period as usize,
            "spread over the period"
        );
    }
}

// L2-33
#[test]
fn refresh_can_be_off_and_is_held_within_its_bounds() {
    let now = base();
    let day = ms(86_400_000);
    let rounds = |refresh: Option<Duration>| {
        let mut responder = with(
            Config {
                refresh,
                ..Config::default()
            },
            &set([VIP]),
            now,
        );
        run(&mut responder, now, now + day)
            .iter()
            .filter(|(_, t)| is_request(t))
            .count()
            - 6
    };
    assert_eq!(rounds(None), 0);
    assert!(
        (86_400 / 5 - 2..=86_400 / 5).contains(&rounds(Some(Duration::ZERO))),
        "at least 5 s"
    );
    assert!(
        (23..=24).contains(&rounds(Some(day * 365))),
        "at most an hour"
    );
}

// L2-33
#[test]
fn a_new_refresh_period_is_obeyed_at_once_and_repeats_no_burst() {
    let now = base();
    let mut responder = with(without_refresh(), &vips(50), now);
    run(&mut responder, now, now + ms(10_000));
    let later = now + ms(10_000);
    responder.set_config(
        Config {
            refresh: Some(ms(5_000)),
            ..Config::default()
        },
        later,
    );
    let sent = run(&mut responder, later, later + ms(6_000));
    let refreshed: BTreeSet<_> = sent
        .iter()
        .map(|(_, transmit)| transmit.kind.address())
        .collect();
    assert_eq!(refreshed.len(), 50);
    assert!(sent.len() <= 50 * 4);
    responder.set_config(without_refresh(), later + ms(6_000));
    assert_eq!(
        run(&mut responder, later + ms(6_000), later + ms(600_000)),
        []
    );
}

// L2-34
#[test]
fn five_thousand_new_addresses_have_their_first_frame_within_1300_ms() {
    let now = base();
    let mut responder = with(Config::default(), &vips(5_000), now);
    let sent = run(&mut responder, now, now + ms(4_000));
    let mut first: BTreeMap<IpAddr, u128> = BTreeMap::new();
    for ((_, transmit), at) in sent.iter().zip(times(&sent, now)) {
        first.entry(transmit.kind.address()).or_insert(at);
    }
    assert_eq!(first.len(), 5_000);
    assert!(
        *first.values().max().unwrap() <= 1_300,
        "{:?}",
        first.values().max()
    );
    assert!(
        sent[..5_000].iter().all(|(_, t)| is_request(t)),
        "request frames of all first"
    );
    assert!(
        sent[5_000..10_000].iter().all(|(_, t)| !is_request(t)),
        "then their reply frames"
    );
    let times = times(&sent, now);
    for start in (0..3_000).step_by(100) {
        let second = times
            .iter()
            .filter(|at| (start..start + 1_000).contains(*at))
            .count();
        assert!(
            second <= 4_000 + 80,
            "{second} frames in the second from {start} ms on"
        );
    }
}

// L2-34
#[test]
fn new_addresses_go_before_later_rounds_and_refresh() {
    let now = base();
    let mut responder = with(Config::default(), &vips(4_000), now);
    let busy = now + ms(2_500);
    run(&mut responder, now, busy);
    let mut more = vips(4_000);
    more.extend((5_000..5_010).map(vip));
    responder.set_addresses(&more, &set(NOBODY), busy);
    let sent = run(&mut responder, busy, busy + ms(20));
    let of_new = |(_, transmit): &(Instant, Transmit)| transmit.kind.address() >= vip(5_000);
    assert!(
        sent.len() > 20 && sent[..20].iter().all(of_new),
        "they do not queue behind four thousand"
    );
    assert!(sent[20..].iter().all(|frame| !of_new(frame)));
}

// L2-34: a wake-up that comes 9 ms late each time loses no budget.
#[test]
fn late_wake_ups_lose_no_budget() {
    let now = base();
    let mut responder = with(Config::default(), &vips(5_000), now);
    let (mut at, mut frames) = (now, drain(&mut responder).len());
    while frames < 5_000 {
        at = responder.poll_timeout().unwrap() + ms(9);
        responder.handle_timeout(at);
        frames += drain(&mut responder).len();
    }
    assert!(at - now <= ms(1_300), "{:?}", at - now);
}

// L2-74: an address that waits for budget keeps its spacing.
#[test]
fn advertisements_of_one_address_are_a_second_apart_whatever_happens() {
    let now = base();
    let addresses: BTreeSet<IpAddr> = (0..1_500u128)
        .map(|n| IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | n)))
        .collect();
    let mut responder = with(Config::default(), &addresses, now);
    let mut sent = run(&mut responder, now, now + ms(1_300));
    responder.set_interface(
        Interface {
            usable: false,
            ..INTERFACE
        },
        now + ms(1_300),
    );
    responder.set_interface(INTERFACE, now + ms(1_310));
    for address in addresses.iter().take(100) {
        responder.announce(*address, now + ms(1_310));
    }
    sent.extend(run(&mut responder, now + ms(1_310), now + ms(10_000)));
    let mut last: BTreeMap<IpAddr, Instant> = BTreeMap::new();
    for (at, transmit) in sent {
        if let Some(before) = last.insert(transmit.kind.address(), at) {
            assert!(at - before >= ms(1_000), "{:?}", at - before);
        }
    }
    assert_eq!(last.len(), 1_500);
}

// L2-25
#[test]
fn a_gratuitous_frame_that_was_not_sent_stays_due() {
    let now = base();
    for fail_at in 0..12 {
        let mut responder = with(without_refresh(), &set([VIP]), now);
        let (mut at, mut delivered, mut handed) = (now, Vec::new(), 0);
        loop {
            while let Some(transmit) = responder.poll_transmit() {
                if handed == fail_at {
                    responder.transmit_failed(transmit.kind, at);
                } else {
                    delivered.push((at, transmit));
                }
                handed += 1;
            }
            let Some(due) = responder.poll_timeout() else {
                break;
            };
            at = due;
            responder.handle_timeout(at);
        }
        assert_eq!(delivered.len(), 12, "each frame of the burst, once");
        assert_eq!(handed, 13);
        let requests: Vec<bool> = delivered
            .iter()
            .map(|(_, transmit)| is_request(transmit))
            .collect();
        assert_eq!(
            requests,
            [true, false].repeat(6),
            "failure of frame {fail_at}"
        );
        assert_eq!(
            responder.counters().addresses[&IpAddr::V4(VIP)].send_failures,
            1
        );
    }
}

// L2-25, L2-32
#[test]
fn a_failure_that_is_told_late_does_not_shorten_a_restarted_burst() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP6]), now);
    run(&mut responder, now, now + ms(3_000));
    responder.handle_timeout(now + ms(3_300));
    let frame = responder.poll_transmit().unwrap();
    responder.announce(frame.kind.address(), now + ms(3_300));
    responder.transmit_failed(frame.kind, now + ms(3_300));
    assert_eq!(
        run(&mut responder, now + ms(3_300), now + ms(60_000)).len(),
        5
    );
}

// L2-25
#[test]
fn a_failing_interface_is_tried_at_ticks_and_not_in_a_loop() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP]), now);
    let (mut at, mut tries) = (now, 0);
    while at < now + ms(1_000) {
        while let Some(transmit) = responder.poll_transmit() {
            tries += 1;
            responder.transmit_failed(transmit.kind, at);
        }
        at = responder.poll_timeout().unwrap();
        responder.handle_timeout(at);
    }
    assert_eq!(tries, 1_000 / SEND_RETRY.as_millis());
}

// L2-25
#[test]
fn a_reply_that_was_not_sent_is_given_up_and_counted() {
    let now = base();
    let mut responder = with(without_refresh(), &set([VIP]), now);
    run(&mut responder, now, now + ms(5_000));
    responder.handle_frame(&ArpFrame::default().bytes(), META, now + ms(5_000));
    let reply = responder.poll_transmit().unwrap();
    responder.transmit_failed(reply.kind, now + ms(5_000));
    assert_eq!(run(&mut responder, now + ms(5_000), now + ms(50_000)), []);
    assert_eq!(
        responder.counters().addresses[&IpAddr::V4(VIP)].send_failures,
        1
    );
}

// L2-35
#[test]
fn a_withdrawn_address_is_silent_in_the_same_call() {
    let now = base();
    let mut responder = responder(now);
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    responder.handle_frame(&NdFrame::default().bytes(), META, now);
    responder.handle_frame(
        &ArpFrame {
            sender: VIP,
            ..ArpFrame::default()
        }
        .bytes(),
        META,
        now,
    );
    responder.set_addresses(&set(NOBODY), &set(NOBODY), now);
    assert_eq!(run(&mut responder, now, now + ms(100_000)), []);
    assert_eq!(events(&mut responder), []);
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    assert_eq!(drain(&mut responder), []);
    assert_eq!(responder.counters().addresses, BTreeMap::new());
}

// L2-34: ten thousand on one interface, in steady state.
#[test]
fn ten_thousand_addresses_settle_to_their_refresh_rate() {
    let now = base();
    let mut responder = with(Config::default(), &vips(10_000), now);
    run(&mut responder, now, now + ms(60_000));
    let sent = run(&mut responder, now + ms(60_000), now + ms(120_000));
    assert!(
        (19_500..=20_500).contains(&sent.len()),
        "one round of two frames each: {}",
        sent.len()
    );
}
