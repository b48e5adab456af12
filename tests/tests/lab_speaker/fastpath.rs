//! The kernel answers in the place of the process, for exactly as long as the process would.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tests::fleet::station::{self, BROADCAST};
use tests::fleet::{self, Fleet, V4, WITHIN};
use tests::lab::{self, Capture, Frame, eventually};

use crate::kit::{STRANGER, answers, arp_question, exchange, nobody_answers, v4};

/// The longest that the kernel answers for a process that does not run, and what two clocks may differ.
const LEASE: Duration = Duration::from_millis(200 + 5);
const ASKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);

/// One node that announces; none where the fast path is not permitted, which is said.
fn alone() -> Option<(Fleet, Capture)> {
    if !lab::ready() || !fleet::has_fast_path() {
        return None;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    wait_interfaces(&fleet, 1.0);
    Some((fleet, wire))
}

fn wait_interfaces(fleet: &Fleet, wanted: f64) {
    let what = format!("{wanted} interfaces with a fast path\n{}", fleet.logs());
    eventually(WITHIN, &what, || {
        let count = fleet
            .metric(0, "harbinger_arp_fast_path_interfaces", "")
            .ok()?;
        (count == wanted).then_some(())
    });
}

/// Replies by the kernel; frames that reached the process.
fn counts(fleet: &Fleet) -> (f64, f64) {
    let metric = |name| fleet.metric(0, name, "").unwrap();
    let replies = metric("harbinger_arp_fast_path_replies_total");
    (
        replies,
        metric("harbinger_layer2_frames_received_total") - replies,
    )
}

// L2-03, L2-06, L2-20, L2-21
#[test]
fn plain_questions_are_answered_in_the_kernel_and_the_process_sees_none() {
    let Some((fleet, wire)) = alone() else { return };
    let client = &fleet.lab.client;
    let node = fleet.lab.nodes[0].mac("eth0").unwrap();
    let before = counts(&fleet);
    let label = format!("ip=\"{V4}\"");
    let sent = |fleet: &Fleet| {
        fleet
            .metric(0, "metallb_layer2_responses_sent", &label)
            .unwrap()
    };
    let sent_before = sent(&fleet);
    for to in [BROADCAST, node] {
        let reply = exchange(
            client,
            &wire,
            station::arp_request(to, STRANGER, ASKER, v4()),
        );
        assert_eq!((reply.destination(), reply.source()), (STRANGER, node));
    }
    // The client's own kernel, which does not pad.
    client.forget_neighbour(v4().into()).unwrap();
    let _refused = lab::client::connect(client, (v4(), 9).into(), Duration::from_secs(1));
    assert_eq!(client.neighbour(v4().into()).unwrap(), Some(node));
    let after = counts(&fleet);
    assert!(after.0 >= before.0 + 3.0, "{before:?} {after:?}");
    assert_eq!(after.1, before.1, "the process saw them");
    assert_eq!(
        sent(&fleet) - sent_before,
        after.0 - before.0,
        "they are responses"
    );
}

// L2-05, L2-07, L2-09, L2-10, L2-20
#[test]
fn what_is_not_plain_reaches_the_process_which_answers_with_the_same_octets() {
    let Some((fleet, wire)) = alone() else { return };
    let client = &fleet.lab.client;
    let by_kernel = exchange(client, &wire, arp_question());
    let mut apart = arp_question();
    apart[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x98]);
    let mut tagged = arp_question();
    tagged.splice(12..12, [0x81, 0, 0xe0, 0]);
    let probe = station::arp_request(BROADCAST, STRANGER, Ipv4Addr::UNSPECIFIED, v4());
    let cases = [
        ("sent by another", apart, true),
        ("with a priority", tagged, true),
        ("a probe", probe, false),
    ];
    for (what, question, same) in cases {
        let before = counts(&fleet);
        wire.clear();
        station::send(client, "eth0", &[question]).unwrap();
        let reply = wire.wait(WITHIN, |f| answers(f, true)).expect(what);
        let after = counts(&fleet);
        assert_eq!((after.0, after.1), (before.0, before.1 + 1.0), "{what}");
        assert_eq!(reply.bytes == by_kernel.bytes, same, "{what}");
    }
    // A claim of the address is no question: it is seen, and defended.
    let before = counts(&fleet);
    wire.clear();
    station::send(
        client,
        "eth0",
        &[station::arp_request(BROADCAST, STRANGER, v4(), v4())],
    )
    .unwrap();
    let defence = wire.wait(WITHIN, |f| {
        f.gratuitous(v4().into()) && f.source() != STRANGER
    });
    assert!(defence.is_some(), "not defended");
    assert_eq!(counts(&fleet), (before.0, before.1 + 1.0));
}

/// Asks every few milliseconds for `time` and gives the replies.
fn ask_for(fleet: &Fleet, wire: &Capture, time: Duration) -> Vec<Frame> {
    let until = Instant::now() + time;
    let mut n = 0_u8;
    while Instant::now() < until {
        // Many askers: each has a budget.
        n = n.wrapping_add(1);
        let mac = [2, 0, 0, 0, 1, n];
        let question = station::arp_request(BROADCAST, mac, ASKER, v4());
        station::send(&fleet.lab.client, "eth0", &[question]).unwrap();
        lab::pause(Duration::from_millis(3));
    }
    wire.frames()
        .into_iter()
        .filter(|f| answers(f, true))
        .collect()
}

#[test]
fn a_stopped_process_has_the_kernel_silent_before_anybody_takes_its_place() {
    let Some((mut fleet, wire)) = alone() else {
        return;
    };
    for round in 0..5 {
        exchange(&fleet.lab.client, &wire, arp_question());
        wire.clear();
        fleet.process(0).unwrap().stop();
        let stopped = Instant::now();
        let replies = ask_for(&fleet, &wire, Duration::from_millis(700));
        let last = replies
            .last()
            .map(|f| f.at.saturating_duration_since(stopped));
        println!(
            "round {round}: {} replies after SIGSTOP, the last after {last:?}",
            replies.len()
        );
        assert!(last.is_none_or(|last| last <= LEASE), "{last:?}");
        nobody_answers(&fleet.lab.client, &wire, arp_question());
        fleet.process(0).unwrap().cont();
        eventually(WITHIN, "an answer after SIGCONT", || {
            station::send(&fleet.lab.client, "eth0", &[arp_question()]).unwrap();
            wire.wait(Duration::from_millis(20), |f| answers(f, true))
        });
    }
}

#[test]
fn a_killed_process_leaves_nothing_in_the_kernel() {
    let Some((mut fleet, wire)) = alone() else {
        return;
    };
    exchange(&fleet.lab.client, &wire, arp_question());
    // Returns when the kernel has closed what it had open.
    fleet.kill(0).unwrap();
    nobody_answers(&fleet.lab.client, &wire, arp_question());
}

// L2-35, L2-90
#[test]
fn an_address_that_is_given_back_is_silent_in_the_kernel() {
    let Some((fleet, wire)) = alone() else { return };
    exchange(&fleet.lab.client, &wire, arp_question());
    fleet.remove("web.yaml").unwrap();
    wait_interfaces(&fleet, 0.0);
    nobody_answers(&fleet.lab.client, &wire, arp_question());
    fleet
        .write("web.yaml", &fleet::service("web", true, 1))
        .unwrap();
    wait_interfaces(&fleet, 1.0);
    exchange(&fleet.lab.client, &wire, arp_question());
}

// L2-22, L2-36, L2-45, L2-46
#[test]
fn the_kernel_follows_the_interface() {
    let Some((fleet, wire)) = alone() else { return };
    let node = &fleet.lab.nodes[0];
    exchange(&fleet.lab.client, &wire, arp_question());
    let new = [2, 0, 0, 0, 0, 0x77];
    node.set_mac("eth0", new).unwrap();
    let told = eventually(WITHIN, "replies with the new address", || {
        station::send(&fleet.lab.client, "eth0", &[arp_question()]).unwrap();
        let reply = wire.wait(Duration::from_millis(20), |f| {
            answers(f, true) && f.source() == new
        })?;
        Some(reply.arp().unwrap().sender_mac)
    });
    assert_eq!(told, new);
    let before = counts(&fleet);
    exchange(&fleet.lab.client, &wire, arp_question());
    assert_eq!(counts(&fleet).0, before.0 + 1.0, "by the kernel");
    node.link_down("eth0").unwrap();
    wait_interfaces(&fleet, 0.0);
    node.link_up("eth0").unwrap();
    let back = Instant::now();
    wait_interfaces(&fleet, 1.0);
    let before = counts(&fleet);
    // The switch's port forwards nothing at first.
    eventually(WITHIN, "an answer on the link that is back", || {
        station::send(&fleet.lab.client, "eth0", &[arp_question()]).unwrap();
        wire.wait(Duration::from_millis(100), |f| {
            answers(f, true) && f.at > back
        })
    });
    assert!(counts(&fleet).0 > before.0, "by the kernel");
}

// L2-03
#[test]
fn without_the_rights_or_by_the_flag_packet_sockets_answer() {
    if !lab::ready() {
        return;
    }
    let off = |fleet: &mut Fleet| fleet.extra.push("--arp-fast-path=off".to_owned());
    // In a user namespace nobody has these rights, and nothing has to be taken away.
    let unprivileged = |fleet: &mut Fleet| {
        if !lab::has_own_users() {
            let taken = "--bounding-set=-bpf,-net_admin,-sys_admin";
            fleet.starter = ["setpriv", taken].map(str::to_owned).to_vec();
        }
    };
    type Setting = fn(&mut Fleet);
    let cases: [(&str, Setting); 2] = [("off", off), ("unprivileged", unprivileged)];
    for (what, set) in cases {
        let (fleet, wire) = Fleet::alone_as(set).unwrap();
        let before = counts(&fleet);
        let reply = exchange(&fleet.lab.client, &wire, arp_question());
        assert_eq!(reply.bytes.len(), 60, "{what}");
        let after = counts(&fleet);
        assert_eq!((after.0, after.1), (0.0, before.1 + 1.0), "{what}");
        assert!(
            !fleet.logs().contains("\"ERROR\""),
            "{what}: {}",
            fleet.logs()
        );
    }
}
