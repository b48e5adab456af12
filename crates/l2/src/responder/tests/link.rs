//! What link events do: hardware address, carrier, index, IPv6; groups and filters.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::testing::*;
use crate::{Action, Config, DropReason, Interface, MacAddr, Responder, TransmitKind};

const DOWN: Interface = Interface {
    usable: false,
    ..INTERFACE
};

fn actions(responder: &mut Responder) -> Vec<Action> {
    std::iter::from_fn(|| responder.poll_action()).collect()
}

fn group() -> Ipv6Addr {
    "ff02::1:ff12:3456".parse().unwrap()
}

/// A responder whose bursts are over and whose actions are taken, and the time.
fn settled() -> (Responder, std::time::Instant) {
    let now = base();
    let mut responder = Responder::new(
        Config {
            refresh: None,
            ..Config::default()
        },
        INTERFACE,
        1,
        now,
    );
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        &set([ELSEWHERE]),
        now,
    );
    run(&mut responder, now, now + ms(10_000));
    actions(&mut responder);
    (responder, now + ms(10_000))
}

/// Frames of a full burst of one IPv4 and one IPv6 address.
const BURST: usize = 12 + 5;

// L2-22, L2-32
#[test]
fn a_new_hardware_address_announces_all_addresses_again_at_once() {
    let (mut responder, now) = settled();
    responder.set_interface(
        Interface {
            mac: OTHER,
            ..INTERFACE
        },
        now,
    );
    let first = drain(&mut responder);
    let announced: BTreeSet<_> = first
        .iter()
        .map(|transmit| transmit.kind.address())
        .collect();
    assert_eq!(
        announced,
        set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        "within the same call, so within 100 ms"
    );
    let rest = run(&mut responder, now, now + ms(10_000));
    assert_eq!(first.len() + rest.len(), BURST);
    assert!(
        first
            .iter()
            .chain(rest.iter().map(|(_, t)| t))
            .all(|t| t.bytes[6..12] == OTHER.0)
    );
}

// L2-22: in the middle of a burst, too, and the IPv6 spacing does not keep a wrong address in caches.
#[test]
fn a_hardware_address_that_changes_during_the_burst_is_announced_at_once() {
    let now = base();
    let mut responder = responder(now);
    run(&mut responder, now, now + ms(500));
    responder.set_interface(
        Interface {
            mac: OTHER,
            ..INTERFACE
        },
        now + ms(500),
    );
    assert_eq!(drain(&mut responder).len(), 3);
}

// L2-36, L2-32
#[test]
fn without_carrier_nothing_leaves_and_on_its_return_the_rounds_start_again() {
    let now = base();
    let mut responder = responder(now);
    responder.handle_frame(&ArpFrame::default().bytes(), META, now);
    responder.set_interface(DOWN, now);
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6), IpAddr::V4(STRANGER)]),
        &set([ELSEWHERE]),
        now + ms(100),
    );
    responder.announce(IpAddr::V4(VIP), now + ms(200));
    responder.handle_frame(&ArpFrame::default().bytes(), META, now + ms(300));
    assert_eq!(run(&mut responder, now, now + ms(600_000)), []);
    assert_eq!(responder.poll_timeout(), None, "down is idle");
    assert_eq!(responder.counters().dropped(DropReason::InterfaceDown), 1);
    let up = now + ms(600_000);
    responder.set_interface(INTERFACE, up);
    let sent = run(&mut responder, up, up + ms(10_000));
    assert_eq!(
        sent.iter().filter(|(at, _)| *at == up).count(),
        5,
        "at once"
    );
    assert_eq!(
        sent.iter()
            .filter(|(_, t)| t.kind == TransmitKind::Gratuitous(IpAddr::V6(VIP6)))
            .count(),
        5
    );
    assert!(
        sent.iter()
            .filter(|(_, t)| t.kind == TransmitKind::Gratuitous(IpAddr::V4(STRANGER)))
            .count()
            >= 12
    );
}

// L2-36
#[test]
fn an_interface_without_a_station_address_sends_nothing() {
    for mac in [MacAddr::ZERO, MacAddr::BROADCAST, GROUP] {
        let (mut responder, now) = settled();
        responder.set_interface(Interface { mac, ..INTERFACE }, now);
        responder.handle_frame(&ArpFrame::default().bytes(), META, now);
        assert_eq!(run(&mut responder, now, now + ms(10_000)), [], "{mac}");
    }
}

// L2-32
#[test]
fn the_same_facts_again_restart_nothing() {
    let (mut responder, now) = settled();
    responder.set_interface(INTERFACE, now);
    assert_eq!(run(&mut responder, now, now + ms(10_000)), []);
    assert_eq!(actions(&mut responder), []);
}

// L2-12, L2-61, L2-66
#[test]
fn hands_out_filters_before_groups_and_only_when_the_cover_changes() {
    let now = base();
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    let first = actions(&mut responder);
    assert!(
        matches!(&first[..], [Action::SetArpFilter(arp), Action::SetNdFilter(nd)] if arp.cover.is_empty() && nd.cover.is_empty()),
        "nothing passes before the first plan: {first:?}"
    );
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        &set([ELSEWHERE]),
        now,
    );
    let plan = actions(&mut responder);
    let [
        Action::SetArpFilter(arp),
        Action::SetNdFilter(nd),
        Action::JoinGroup(joined),
    ] = &plan[..]
    else {
        panic!("{plan:?}")
    };
    assert_eq!((arp.cover.len(), nd.cover.len(), *joined), (2, 1, group()));
    assert_eq!((responder.arp_filter(), responder.nd_filter()), (arp, nd));
    responder.set_addresses(
        &set([IpAddr::V4(ELSEWHERE), IpAddr::V6(VIP6)]),
        &set([VIP]),
        now,
    );
    assert_eq!(
        actions(&mut responder),
        [],
        "the same addresses, otherwise placed"
    );
    responder.set_addresses(&set([ELSEWHERE]), &set([VIP]), now);
    let gone = actions(&mut responder);
    assert!(
        matches!(&gone[..], [Action::SetNdFilter(nd), Action::LeaveGroup(left)] if nd.cover.is_empty() && *left == group()),
        "{gone:?}"
    );
}

// L2-68
#[test]
fn groups_and_filters_are_handed_out_again_for_a_returned_or_new_interface() {
    let joins = |actions: &[Action]| {
        actions
            .iter()
            .filter(|a| **a == Action::JoinGroup(group()))
            .count()
    };
    let (mut responder, now) = settled();
    responder.set_interface(DOWN, now);
    assert_eq!(actions(&mut responder), [Action::LeaveGroup(group())]);
    responder.set_interface(INTERFACE, now);
    let again = actions(&mut responder);
    assert_eq!((again.len(), joins(&again)), (3, 1), "returned: {again:?}");
    responder.set_interface(
        Interface {
            index: INDEX + 1,
            ..INTERFACE
        },
        now,
    );
    let again = actions(&mut responder);
    assert_eq!(
        (again.len(), joins(&again)),
        (3, 1),
        "other index: {again:?}"
    );
    assert_eq!(run(&mut responder, now, now + ms(10_000)).len(), BURST);
}

// L2-68
#[test]
fn sockets_opened_again_get_their_filters_and_groups_and_no_burst() {
    let (mut responder, now) = settled();
    responder.reopen(now);
    let again = actions(&mut responder);
    assert!(
        matches!(
            &again[..],
            [
                Action::SetArpFilter(_),
                Action::SetNdFilter(_),
                Action::JoinGroup(_)
            ]
        ),
        "{again:?}"
    );
    assert_eq!(run(&mut responder, now, now + ms(10_000)), []);
}

// L2-63, L2-68, L2-69
#[test]
fn ipv6_that_comes_later_joins_and_announces_and_leaves_when_it_goes() {
    let now = base();
    let without = Interface {
        ipv6: false,
        ..INTERFACE
    };
    let mut responder = Responder::new(
        Config {
            refresh: None,
            ..Config::default()
        },
        without,
        1,
        now,
    );
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        &set([ELSEWHERE]),
        now,
    );
    assert!(!actions(&mut responder).contains(&Action::JoinGroup(group())));
    assert_eq!(
        run(&mut responder, now, now + ms(10_000)).len(),
        12,
        "IPv4 only"
    );
    let later = now + ms(10_000);
    responder.set_interface(INTERFACE, later);
    assert_eq!(actions(&mut responder), [Action::JoinGroup(group())]);
    assert_eq!(
        run(&mut responder, later, later + ms(10_000)).len(),
        5,
        "IPv6 only"
    );
    responder.set_interface(without, later + ms(10_000));
    assert_eq!(actions(&mut responder), [Action::LeaveGroup(group())]);
    assert_eq!(
        run(&mut responder, later + ms(10_000), later + ms(20_000)),
        []
    );
}

// L2-68
#[test]
fn a_failed_join_wakes_the_machine_for_its_retry() {
    let (mut responder, now) = settled();
    responder.join_failed(group(), now);
    assert_eq!(responder.poll_timeout(), Some(now + ms(1_000)));
    assert_eq!(actions(&mut responder), []);
    responder.handle_timeout(now + ms(1_000));
    assert_eq!(actions(&mut responder), [Action::JoinGroup(group())]);
    responder.join_failed(group(), now + ms(1_000));
    responder.set_interface(INTERFACE, now + ms(1_500));
    assert_eq!(
        actions(&mut responder),
        [Action::JoinGroup(group())],
        "a link event"
    );
}

// L2-66: each group is asked for once; that they fit into sockets is the shell's row.
#[test]
fn five_thousand_addresses_ask_for_five_thousand_groups() {
    let now = base();
    let mut responder = Responder::new(Config::default(), INTERFACE, 1, now);
    let vips = (0..5_000u128).map(|n| IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | n)));
    responder.set_addresses(&vips.collect(), &set::<Ipv4Addr>([]), now);
    let groups: BTreeSet<_> = actions(&mut responder)
        .into_iter()
        .filter_map(|action| match action {
            Action::JoinGroup(group) => Some(group),
            _ => None,
        })
        .collect();
    assert_eq!(groups.len(), 5_000);
}

// L2-07: two interfaces of this node on one segment hear each other.
#[test]
fn what_our_other_interfaces_say_is_no_foreign_claim_and_is_answered() {
    let (mut responder, now) = settled();
    responder.set_own_macs(&BTreeSet::from([OTHER]));
    let announce = ArpFrame {
        source: OTHER,
        sender_mac: OTHER,
        sender: VIP,
        ..ArpFrame::default()
    };
    responder.handle_frame(&announce.bytes(), META, now);
    let reply = ArpFrame {
        operation: 2,
        ..announce
    };
    responder.handle_frame(&reply.bytes(), META, now);
    let advertisement = NdFrame {
        source_mac: OTHER,
        options: option(2, OTHER),
        ..NdFrame::advertisement()
    };
    responder.handle_frame(&advertisement.bytes(), META, now);
    assert_eq!(events(&mut responder), []);
    assert_eq!(drain(&mut responder), []);
    responder.handle_frame(
        &ArpFrame {
            source: OTHER,
            sender_mac: OTHER,
            ..ArpFrame::default()
        }
        .bytes(),
        META,
        now,
    );
    assert_eq!(drain(&mut responder).len(), 1);
}
